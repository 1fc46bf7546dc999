//! The arguments of `loadline serve`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::engines::{EngineArgs, milliseconds};
use crate::error::Result;
use crate::profiler::backend::Backend;
use crate::rng::Seed;
use crate::sim::config::{ServeConfig, Timing};
use crate::sim::fault::FaultRule;
use crate::sim::tls::TlsFiles;
use crate::time::{MILLISECOND_NS, SECOND_NS};

/// Serve a simulated deployment behind an OpenAI-compatible API.
///
/// The server answers as a real deployment of MODEL on TP GPUs would, in the time that such a deployment would
/// take: requests wait in one queue, prompts are prefilled in chunks behind what a prefix cache of paged blocks still holds
/// of them, and every sequence in the running batch gets a token per iteration; when blocks run out, the youngest
/// sequence is thrown out and computed again. The time of an iteration is predicted from the model's dimensions and the GPU's
/// measured kernels; no GPU, weights or tokenizer are needed. The words of an answer mean nothing.
///
/// Routes: POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/messages (streaming or not), /v1/embeddings, /tokenize and
/// /detokenize; GET /v1/models, /v1/models/NAME, /metrics and /health.
///
/// A prompt counts one token per whitespace-separated word, or per token id. /tokenize gives the ids by which the simulation knows
/// words, which are not those of the model's own vocabulary. An answer has exactly `max_tokens`
/// tokens; one without that limit has 256 (a chat) or 16 (a completion), or `min_tokens` where that is more. Sampling parameters and
/// stop words change nothing, but are checked: what vLLM refuses gets its 400 here too.
///
/// The server runs until Ctrl-C or SIGTERM, then gives answers in flight half a second, and says what CPU time it took per event
/// (`loadline:cpu_seconds_per_event` at /metrics).
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ServeArgs {
    /// Model to simulate, by its Hugging Face id; requests must name it in the same spelling.
    ///
    /// Known are models of Qwen, Llama, Mistral, gpt-oss, DeepSeek, Kimi, MiniMax and GLM; an unknown name lists them.
    #[arg(long, default_value = DEFAULT_MODEL)]
    pub model: String,

    /// GPU to simulate: h200_sxm, h100_sxm, a100_sxm, b200_sxm, b300_sxm, gb200, gb300 or l40s.
    #[arg(long, value_name = "NAME", default_value = "h200_sxm")]
    pub gpu: String,

    /// Serving engine whose kernels and memory policy are simulated.
    #[arg(long, default_value = "vllm", value_parser = backend())]
    pub backend: Backend,

    /// Tensor-parallel size: 1, 2, 4 or 8 GPUs.
    #[arg(long, value_name = "GPUS", default_value_t = 1)]
    pub tp: u32,

    /// Address to listen on. The server knows no authentication: keep it on loopback unless the network is yours.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,

    /// Speak TLS with this certificate: PEM, the server's own first. HTTP/2 and HTTP/1.1 are offered by ALPN.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of --tls-cert: PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The engines.
    #[command(flatten)]
    pub engines: EngineArgs,

    /// Answer every request in constant time, however many there are: its first token after this many milliseconds.
    ///
    /// Model, GPU and the limits of the batch then have no effect; --speedup has. Made for measuring clients.
    #[arg(long, value_name = "MS", requires = "constant_itl_ms", value_parser = milliseconds)]
    pub constant_ttft_ms: Option<f64>,

    /// With --constant-ttft-ms: milliseconds from each token of an answer to the next.
    #[arg(long, value_name = "MS", requires = "constant_ttft_ms", value_parser = milliseconds)]
    pub constant_itl_ms: Option<f64>,

    /// Do wrong by a share of the requests: SHARE:FAULT, or SHARE:FAULT:FROM-TO with seconds since the start. May be repeated.
    ///
    /// FAULT is status=CODE, cut@N (the connection is closed after N events), truncate@N (the stream ends there as if it were
    /// whole), malformed@N (the event after N is half a line), stall@N=SECONDS, or slow=SECONDS (before every event). A request can name
    /// its own in a header, `X-Loadline-Fault: stall@3=2`.
    #[arg(long, value_name = "RULE", value_parser = FaultRule::parse)]
    pub fault: Vec<FaultRule>,

    /// Accept a connection only so many milliseconds after the one before it.
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds)]
    pub accept_delay_ms: f64,

    /// Cut every connection off so many seconds after the start, as a restart would.
    #[arg(long, value_name = "SECONDS")]
    pub restart_at: Option<f64>,

    /// Keep when every request came and every event was sent, and write it at the end, as requests.parquet and tokens.parquet.
    ///
    /// Times are nanoseconds of CLOCK_MONOTONIC; those of a client's recording are the same less its `t0_monotonic_ns`, and rows belong
    /// together by `x_request_id`. Held in memory until then: 8 bytes per event, half a GiB at most; what is beyond is counted.
    #[arg(long, value_name = "DIR")]
    pub oracle: Option<PathBuf>,

    /// Seed of the noise, and of the ids and words of answers.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// The model that is simulated when none is named.
pub const DEFAULT_MODEL: &str = "Qwen/Qwen3-32B";

const EXAMPLES: &str = "\
Examples:
  Qwen3-32B on four H200 with vLLM, on port 8000:
    loadline serve --model Qwen/Qwen3-32B --gpu h200_sxm --backend vllm --tp 4

  The same at a tenth of its time, for a quick rehearsal of a long trace:
    loadline serve --tp 4 --speedup 10

  One that fails as real ones do: 5 % of the requests get a 503, 1 % are cut off in mid-stream:
    loadline serve --fault 0.05:status=503 --fault 0.01:cut@10

  Over TLS, with a certificate of one's own, and a load that trusts it:
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost \\
      -keyout key.pem -out cert.pem
    loadline serve --port 8443 --tls-cert cert.pem --tls-key key.pem
    loadline profile --url https://localhost:8443 --tls-ca-file cert.pem --model Qwen/Qwen3-32B --streaming

  Ask it something:
    curl -N http://127.0.0.1:8000/v1/chat/completions -d '{\"model\": \"Qwen/Qwen3-32B\", \"stream\": true,
      \"max_tokens\": 5, \"messages\": [{\"role\": \"user\", \"content\": \"hello there\"}]}'";

fn backend() -> impl TypedValueParser<Value = Backend> {
    PossibleValuesParser::new(Backend::ALL.map(Backend::as_str)).try_map(|name| Backend::parse(&name))
}

impl ServeArgs {
    fn timing(&self) -> Timing {
        let ns = |ms: f64| (ms * MILLISECOND_NS as f64).round() as i64;
        match (self.constant_ttft_ms, self.constant_itl_ms) {
            (Some(ttft), Some(itl)) => Timing::Constant { ttft_ns: ns(ttft), itl_ns: ns(itl) },
            _ => Timing::Model,
        }
    }

    fn tls(&self) -> Option<TlsFiles> {
        Some(TlsFiles { cert: self.tls_cert.clone()?, key: self.tls_key.clone()? })
    }

    /// The server's configuration. What else cannot be is found when the server starts.
    ///
    /// # Errors
    /// Those of `EngineArgs::fill`.
    pub fn resolve(&self) -> Result<ServeConfig> {
        let base = ServeConfig {
            model: self.model.clone(),
            gpu: self.gpu.clone(),
            backend: self.backend,
            tp: self.tp,
            timing: self.timing(),
            host: self.host.clone(),
            port: self.port,
            tls: self.tls(),
            seed: Seed(self.seed),
            oracle: self.oracle.is_some(),
            faults: self.fault.clone(),
            accept_delay_ns: (self.accept_delay_ms * MILLISECOND_NS as f64) as i64,
            restart_ns: self.restart_at.map(|s| (s * SECOND_NS as f64) as i64),
            ..ServeConfig::default()
        };
        self.engines.fill(base)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ServeArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_configuration() {
        let config = Cli::parse_from(["serve"]).args.resolve().unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", ServeConfig { port: 8000, ..ServeConfig::default() }));
    }

    #[test]
    fn the_plans_command_line_is_understood() {
        let line = "serve --model Qwen/Qwen3-8B --gpu h100_sxm --backend trtllm --tp 4 --port 0 --speedup 2.5 --seed 7";
        let config = Cli::parse_from(line.split(' ')).args.resolve().unwrap();
        assert_eq!((config.model.as_str(), config.backend, config.tp), ("Qwen/Qwen3-8B", Backend::TrtLlm, 4));
        assert_eq!((config.port, config.speedup, config.seed), (0, 2.5, Seed(7)));
        assert!(Cli::try_parse_from(["serve", "--backend", "tgi"]).is_err());
    }

    #[test]
    fn constant_times_come_in_pairs() {
        let timing = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.args.resolve().unwrap().timing);
        let both = timing("serve --constant-ttft-ms 50 --constant-itl-ms 0.25").unwrap();
        assert_eq!(both, Timing::Constant { ttft_ns: 50_000_000, itl_ns: 250_000 });
        for bad in ["50", "50 --constant-itl-ms=-1", "NaN --constant-itl-ms 1", "1e300 --constant-itl-ms 1"] {
            assert!(timing(&format!("serve --constant-ttft-ms {bad}")).is_err(), "{bad}");
        }
    }
}
