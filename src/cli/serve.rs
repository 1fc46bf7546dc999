//! The arguments of `loadline serve`.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::profiler::backend::Backend;
use crate::rng::Seed;
use crate::sim::batch::Admission;
use crate::sim::server::{Disaggregation, ServeConfig, Timing};
use crate::time::MILLISECOND_NS;

/// Serve a simulated deployment behind an OpenAI-compatible API.
///
/// The server answers as a real deployment of MODEL on TP GPUs would, in the time that such a deployment would
/// take: requests wait in one queue, prompts are prefilled in chunks behind what a prefix cache of paged blocks still holds
/// of them, and every sequence in the running batch gets a token per iteration; when blocks run out, the youngest
/// sequence is thrown out and computed again. The time of an iteration is predicted from the model's dimensions and the GPU's
/// measured kernels; no GPU, weights or tokenizer are needed. The words of an answer mean nothing.
///
/// Routes: POST /v1/chat/completions, POST /v1/completions (both streaming or not), GET /v1/models, GET
/// /v1/models/NAME, GET /health.
///
/// A prompt counts one token per whitespace-separated word, or per token id. An answer has exactly `max_tokens`
/// tokens (256 for a chat and 16 for a completion that names no limit); sampling parameters and stop words are ignored.
///
/// The server runs until Ctrl-C or SIGTERM, then gives answers in flight half a second.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ServeArgs {
    /// Model to simulate, by its Hugging Face id; requests must name it in the same spelling.
    ///
    /// Known are the dense models Qwen/Qwen3-32B, -14B and -8B, and meta-llama/Llama-3.1-8B and -70B.
    #[arg(long, default_value = DEFAULT_MODEL)]
    pub model: String,

    /// GPU to simulate: h200_sxm, h100_sxm, a100_sxm or b200_sxm.
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

    /// Sequences that run at once; more wait in the queue, in order of arrival.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub max_num_seqs: u32,

    /// Tokens of one iteration, prompts and answers together; longer prompts are prefilled in chunks.
    #[arg(long, value_name = "TOKENS", default_value_t = 8192)]
    pub max_num_batched_tokens: u32,

    /// Engines of this kind; each request goes to the one with the fewest under way.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub replicas: u32,

    /// Compute prompts on so many engines of their own, and only generate on the others.
    #[arg(long, value_name = "N")]
    pub prefill_replicas: Option<u32>,

    /// Tensor-parallel size of those engines. [default: that of --tp]
    #[arg(long, value_name = "GPUS", requires = "prefill_replicas")]
    pub prefill_tp: Option<u32>,

    /// Bandwidth of the link that hands the KV cache of a prompt over, one prompt at a time.
    #[arg(long, value_name = "GB_PER_S", default_value_t = 50.0)]
    pub handoff_gb_per_s: f64,

    /// Time of every hand-over beside that.
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub handoff_setup_ms: f64,

    /// Tokens of KV cache of each engine. [default: what fits beside the weights]
    #[arg(long, value_name = "TOKENS")]
    pub kv_cache_tokens: Option<u64>,

    /// Never find again what earlier prompts left in the cache.
    #[arg(long, alias = "no-enable-prefix-caching")]
    pub no_prefix_caching: bool,

    /// Who is let in while the cache is short: whoever has room for its next chunk, and the youngest is thrown out when that was
    /// too many (preempt); or only whom there is room for until its end (reserve). [default: reserve for trtllm, else preempt]
    #[arg(long, value_enum)]
    pub admission: Option<AdmissionArg>,

    /// Refuse a request when so many wait already. [default: the queue has no end]
    #[arg(long, value_name = "N")]
    pub queue_limit: Option<u32>,

    /// Status of such a refusal: 503, or 429 or 529 as some servers have it.
    #[arg(long, value_name = "STATUS", default_value_t = 503)]
    pub queue_full_status: u16,

    /// Time of an iteration beside its forward pass: scheduling, sampling, the host.
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds)]
    pub step_overhead_ms: f64,

    /// The same for each sequence in it.
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds)]
    pub sequence_overhead_ms: f64,

    /// Context length: a request whose prompt and answer together exceed it gets a 400.
    ///
    /// The default is longer than the real context of the models (Qwen3-32B: 40960), so that production traces with
    /// prompts above 131072 tokens can be replayed.
    #[arg(long, value_name = "TOKENS", default_value_t = 262_144)]
    pub max_model_len: u32,

    /// Divide every simulated time by this: 10 makes the deployment ten times as fast, 0.5 half as fast.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub speedup: f64,

    /// Vary the time of iterations at random: the standard deviation of its logarithm (0.1 is about 10 %).
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0)]
    pub step_noise: f64,

    /// Answer every request in constant time, however many there are: its first token after this many milliseconds.
    ///
    /// Model, GPU and the limits of the batch then have no effect; --speedup has. Made for measuring clients.
    #[arg(long, value_name = "MS", requires = "constant_itl_ms", value_parser = milliseconds)]
    pub constant_ttft_ms: Option<f64>,

    /// With --constant-ttft-ms: milliseconds from each token of an answer to the next.
    #[arg(long, value_name = "MS", requires = "constant_ttft_ms", value_parser = milliseconds)]
    pub constant_itl_ms: Option<f64>,

    /// Seed of the noise, and of the ids and words of answers.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Spellings of [`Admission`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AdmissionArg {
    /// Throw the youngest out when room is short.
    Preempt,
    /// Let in only whom there is room for until its end.
    Reserve,
}

impl AdmissionArg {
    fn meant(self) -> Admission {
        match self {
            AdmissionArg::Preempt => Admission::Preempt,
            AdmissionArg::Reserve => Admission::Reserve,
        }
    }
}

/// The model that is simulated when none is named.
pub const DEFAULT_MODEL: &str = "Qwen/Qwen3-32B";

const EXAMPLES: &str = "\
Examples:
  Qwen3-32B on four H200 with vLLM, on port 8000:
    loadline serve --model Qwen/Qwen3-32B --gpu h200_sxm --backend vllm --tp 4

  The same at a tenth of its time, for a quick rehearsal of a long trace:
    loadline serve --tp 4 --speedup 10

  Ask it something:
    curl -N http://127.0.0.1:8000/v1/chat/completions -d '{\"model\": \"Qwen/Qwen3-32B\", \"stream\": true,
      \"max_tokens\": 5, \"messages\": [{\"role\": \"user\", \"content\": \"hello there\"}]}'";

fn backend() -> impl TypedValueParser<Value = Backend> {
    PossibleValuesParser::new(Backend::ALL.map(Backend::as_str)).try_map(|name| Backend::parse(&name))
}

/// A length of time that a simulated token can take: a day is beyond all use, and far from where nanoseconds overflow.
fn milliseconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ms) if (0.0..=86_400_000.0).contains(&ms) => Ok(ms),
        _ => Err("give milliseconds, from 0 to a day (86400000)".into()),
    }
}

impl ServeArgs {
    fn timing(&self) -> Timing {
        let ns = |ms: f64| (ms * MILLISECOND_NS as f64).round() as i64;
        match (self.constant_ttft_ms, self.constant_itl_ms) {
            (Some(ttft), Some(itl)) => Timing::Constant { ttft_ns: ns(ttft), itl_ns: ns(itl) },
            _ => Timing::Model,
        }
    }

    /// The server's configuration. What cannot be is found when the server starts.
    pub fn resolve(&self) -> ServeConfig {
        ServeConfig {
            model: self.model.clone(),
            gpu: self.gpu.clone(),
            backend: self.backend,
            tp: self.tp,
            timing: self.timing(),
            host: self.host.clone(),
            port: self.port,
            max_num_seqs: self.max_num_seqs,
            max_num_batched_tokens: self.max_num_batched_tokens,
            replicas: self.replicas,
            disaggregation: self.prefill_replicas.map(|prefill_replicas| Disaggregation {
                prefill_replicas,
                prefill_tp: self.prefill_tp.unwrap_or(self.tp),
                handoff_bytes_per_s: self.handoff_gb_per_s * 1e9,
                handoff_setup_s: self.handoff_setup_ms / 1e3,
            }),
            kv_tokens: self.kv_cache_tokens,
            prefix_caching: !self.no_prefix_caching,
            admission: self.admission.map(AdmissionArg::meant),
            queue_limit: self.queue_limit,
            queue_full_status: self.queue_full_status,
            step_overhead_s: self.step_overhead_ms / 1e3,
            sequence_overhead_s: self.sequence_overhead_ms / 1e3,
            max_model_len: self.max_model_len,
            speedup: self.speedup,
            step_noise: self.step_noise,
            seed: Seed(self.seed),
            oracle: false,
            core: None,
        }
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
        let config = Cli::parse_from(["serve"]).args.resolve();
        assert_eq!(format!("{config:?}"), format!("{:?}", ServeConfig { port: 8000, ..ServeConfig::default() }));
    }

    #[test]
    fn the_plans_command_line_is_understood() {
        let line = "serve --model Qwen/Qwen3-8B --gpu h100_sxm --backend trtllm --tp 4 --port 0 --speedup 2.5 --seed 7";
        let config = Cli::parse_from(line.split(' ')).args.resolve();
        assert_eq!((config.model.as_str(), config.backend, config.tp), ("Qwen/Qwen3-8B", Backend::TrtLlm, 4));
        assert_eq!((config.port, config.speedup, config.seed), (0, 2.5, Seed(7)));
        assert!(Cli::try_parse_from(["serve", "--backend", "tgi"]).is_err());
    }

    #[test]
    fn constant_times_come_in_pairs() {
        let timing = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.args.resolve().timing);
        let both = timing("serve --constant-ttft-ms 50 --constant-itl-ms 0.25").unwrap();
        assert_eq!(both, Timing::Constant { ttft_ns: 50_000_000, itl_ns: 250_000 });
        for bad in ["50", "50 --constant-itl-ms=-1", "NaN --constant-itl-ms 1", "1e300 --constant-itl-ms 1"] {
            assert!(timing(&format!("serve --constant-ttft-ms {bad}")).is_err(), "{bad}");
        }
    }
}
