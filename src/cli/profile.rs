//! The arguments of `loadline profile`. Spellings, defaults and meanings are aiperf's where aiperf has the flag.

use std::path::PathBuf;

use clap::ValueEnum;

use super::FailOn;
use super::artifacts::ArtifactArgs;
use super::dataset::DatasetArgs;
use super::endpoint::{EndpointArg, TextArgs};
use super::engines::{EngineArgs, HardwareArgs};
use super::lengths::LengthArgs;
use super::network::NetworkArgs;
use super::opening::OpeningArgs;
use super::printed::Setting;
use super::prompt::PromptArgs;
use super::ramp::RampArgs;
use super::readiness::ReadinessArgs;
use super::secret::Secret;
use super::series::SeriesArgs;
use super::session::SessionArgs;
use super::telemetry::TelemetryArgs;
use super::trace::TraceArgs;
use super::warmup::WarmupArgs;
use crate::comparison::combinations::Parameters;

/// Drive load into an OpenAI-compatible endpoint and record the time of every token.
///
/// Without --url the load goes to a simulated deployment that is started in this process, on a loopback port: a real
/// HTTP server whose answers take the time that MODEL would take on TP GPUs.
///
/// What is asked comes from --input-file (a trace) or is drawn from the length flags. When it is asked is decided, in
/// this order, by --request-rate (open loop), the trace's own times (--fixed-schedule; the default for a trace that has
/// times, unless --no-fixed-schedule), or --concurrency (closed loop). Beside a rate or a trace's times, --concurrency
/// caps the requests in flight; requests that wait for a place are sent late, and their lag is recorded.
///
/// Results: a table on standard output, and in the artifact directory run.json, requests.parquet, tokens.parquet,
/// report.html and aiperf's files. Ctrl-C lets what is in flight finish; a second one gives it up. Either way
/// everything seen is written.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ProfileArgs {
    /// Flags from a file (YAML, JSON or TOML): keys are the long flags, and what is typed wins. docs/config.md has an example.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the configuration as a TOML file for --config that gives the same run, secrets left out; nothing is sent.
    #[arg(long)]
    pub print_config: bool,

    /// All flags with their values, as they were given or by default.
    #[arg(skip)]
    pub settings: Vec<Setting>,

    /// Model to ask for. Without --url, one that can be simulated; the default is then Qwen/Qwen3-32B.
    #[arg(short, long, alias = "model-names")]
    pub model: Option<String>,

    /// Base URL of the endpoint, e.g. localhost:8000, https://10.0.0.7/v1 or unix:/run/llm.sock.
    #[arg(short, long, help_heading = ENDPOINT)]
    pub url: Option<String>,

    /// Take the URL from OPENAI_BASE_URL. Without this flag that variable is not looked at, so that no real endpoint is loaded
    /// by accident; LOADLINE_URL is this program's own, and used where --url is not given.
    #[arg(long, conflicts_with = "url", help_heading = ENDPOINT)]
    pub url_from_env: bool,

    /// API to speak.
    #[arg(long, value_enum, default_value_t = EndpointArg::Chat, help_heading = ENDPOINT)]
    pub endpoint_type: EndpointArg,

    /// Stream the answers; without it, token times cannot be seen.
    #[arg(long, help_heading = ENDPOINT)]
    pub streaming: bool,

    /// Header to add to every request, as NAME:VALUE; can be given several times.
    #[arg(short = 'H', long, value_name = "NAME:VALUE", help_heading = ENDPOINT)]
    pub header: Vec<String>,

    /// Field to add to every request's body, as NAME:VALUE (VALUE is JSON or a word) or as a JSON object.
    #[arg(long, value_name = "NAME:VALUE|JSON", num_args = 1.., help_heading = ENDPOINT)]
    pub extra_inputs: Vec<String>,

    /// Key to send as `Authorization: Bearer KEY`. Better from the environment: LOADLINE_API_KEY or OPENAI_API_KEY. It is
    /// never written anywhere.
    #[arg(long, value_name = "KEY", help_heading = ENDPOINT)]
    pub api_key: Option<Secret>,

    /// Header that carries a request's session; requests of no session carry their own id there. X-Session-Affinity holds the
    /// same.
    #[arg(long, value_name = "NAME", default_value = "X-Correlation-ID", help_heading = ENDPOINT)]
    pub session_header: String,

    /// How bodies are written down; there is one way.
    #[arg(long, value_name = "TYPE", value_parser = ["application/json"], default_value = "application/json", hide = true)]
    pub request_content_type: String,

    /// Ask chats for `max_tokens` in place of `max_completion_tokens`.
    #[arg(long, help_heading = ENDPOINT)]
    pub use_legacy_max_tokens: bool,

    /// Count tokens as the server's usage does, and not at all where it has none; else its events are counted, and the prompt is
    /// as long as was asked for.
    #[arg(long, help_heading = ENDPOINT)]
    pub use_server_token_count: bool,

    /// Ask for usage in every event of a chat (stream_options.continuous_usage_stats), so that inter_token_latency knows how many
    /// tokens came with the first one. Needs --streaming and --use-server-token-count.
    #[arg(long, help_heading = ENDPOINT)]
    pub per_chunk_usage: bool,

    /// Give a request up after this time; it counts as a timeout.
    #[arg(long, value_name = "SECONDS", default_value_t = 21_600.0, help_heading = ENDPOINT)]
    pub request_timeout_seconds: f64,

    /// What else the server is asked.
    #[command(flatten)]
    pub readiness: ReadinessArgs,

    /// How the endpoint is spoken to.
    #[command(flatten)]
    pub network: NetworkArgs,

    /// The trace, and what is done to it.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// Mean prompt length, in tokens, of drawn requests.
    #[arg(long, alias = "isl", value_name = "TOKENS", default_value_t = 550.0, help_heading = INPUT)]
    pub synthetic_input_tokens_mean: f64,

    /// Standard deviation of the prompt length.
    #[arg(long, alias = "isl-stddev", value_name = "TOKENS", default_value_t = 0.0, help_heading = INPUT)]
    pub synthetic_input_tokens_stddev: f64,

    /// Mean answer length to ask for, where the trace gives none; by default no limit is sent.
    #[arg(long, alias = "osl", value_name = "TOKENS", help_heading = INPUT)]
    pub output_tokens_mean: Option<f64>,

    /// Standard deviation of the answer length.
    #[arg(long, alias = "osl-stddev", value_name = "TOKENS", default_value_t = 0.0, help_heading = INPUT)]
    pub output_tokens_stddev: f64,

    /// Requests of several texts.
    #[command(flatten)]
    pub texts: TextArgs,

    /// Other laws of their lengths.
    #[command(flatten)]
    pub lengths: LengthArgs,
    /// The pool that requests are taken from.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// How sessions are drawn and sent.
    #[command(flatten)]
    pub session: SessionArgs,
    /// What conversations open with.
    #[command(flatten)]
    pub opening: OpeningArgs,
    /// How prompts are counted and made.
    #[command(flatten)]
    pub prompt: PromptArgs,

    /// Seed of every draw; by default one is drawn, and recorded.
    #[arg(long, value_name = "SEED", help_heading = INPUT)]
    pub random_seed: Option<u64>,

    /// Requests in flight: lanes of closed-loop load, or a cap on open-loop load. [default: 1 lane]
    #[arg(long, value_name = "N", help_heading = LOAD)]
    pub concurrency: Option<u32>,

    /// Requests per second, open loop.
    #[arg(long, value_name = "PER_SECOND", help_heading = LOAD)]
    pub request_rate: Option<f64>,

    /// Requests per second as an expression of time, such as "10 + sin(amplitude=5, period=60s)"; `synth load --help` tells
    /// its grammar. The warm-up is closed-loop then.
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "request_rate", requires = "benchmark_duration",
        allow_hyphen_values = true, help_heading = LOAD)]
    pub rate_profile: Option<String>,

    /// How requests at that rate are spaced.
    #[arg(long, alias = "request-rate-mode", value_enum, default_value_t = PatternArg::Poisson, help_heading = LOAD)]
    pub arrival_pattern: PatternArg,

    /// Shape of gamma arrivals: 1 is Poisson, less is burstier, more is smoother.
    #[arg(long, alias = "vllm-burstiness", value_name = "SHAPE", help_heading = LOAD)]
    pub arrival_smoothness: Option<f64>,

    /// Most requests in flight at once beside a rate or a trace; the explicit form of --concurrency as a cap.
    #[arg(long, value_name = "N", conflicts_with = "concurrency", help_heading = LOAD)]
    pub max_in_flight: Option<u32>,

    /// What happens to a request that is due while that many are in flight: it waits and is sent late (its lag is recorded),
    /// it is not sent and counted so, or the run stops with exit code 3. A request for whose connection there is no file
    /// descriptor or local port is a connect error, not sent, or stops the run; nothing can wait for those.
    #[arg(long, value_enum, default_value_t = OverloadArg::Queue, help_heading = LOAD)]
    pub on_overload: OverloadArg,

    /// Share of the requests, in per cent, that the client gives up on purpose; not in the warm-up.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, help_heading = LOAD)]
    pub request_cancellation_rate: f64,

    /// Time from such a request's last byte to its giving up.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, help_heading = LOAD)]
    pub request_cancellation_delay: f64,

    /// Replay the trace at its own times, however slow the answers are.
    #[arg(long, conflicts_with_all = ["request_rate", "rate_profile", "no_fixed_schedule"], help_heading = LOAD)]
    pub fixed_schedule: bool,

    /// Use the trace's requests, but not its times.
    #[arg(long, help_heading = LOAD)]
    pub no_fixed_schedule: bool,

    /// Requests to send. [default: the whole trace; 10 where nothing else bounds drawn requests]
    #[arg(long, alias = "num-requests", value_name = "N", help_heading = LOAD)]
    pub request_count: Option<u64>,

    /// Send nothing more after this time.
    #[arg(long, value_name = "SECONDS", help_heading = LOAD)]
    pub benchmark_duration: Option<f64>,

    /// Time for what is in flight at the end of --benchmark-duration; then it is cancelled, and counted so. `inf` waits for all.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, help_heading = LOAD)]
    pub benchmark_grace_period: f64,

    /// Requests per second of --num-users users, each of whom asks once in N/QPS seconds, one conversation after the other; never before
    /// its last answer. For conversations (--conversation-turn-mean 2 or more, or a trace's sessions).
    #[arg(long, value_name = "QPS", requires = "num_users",
        conflicts_with_all = ["request_rate", "rate_profile", "fixed_schedule", "request_rate_series"], help_heading = LOAD)]
    pub user_centric_rate: Option<f64>,

    /// Users of --user-centric-rate.
    #[arg(long, value_name = "N", requires = "user_centric_rate", value_parser = clap::value_parser!(u32).range(1..), help_heading = LOAD)]
    pub num_users: Option<u32>,

    /// Stop the run, and exit with code 1, when more than this share of its requests (0 to 1) have failed. Looked at from
    /// max(10, --concurrency) ended requests on; the warm-up does not count.
    #[arg(long, value_name = "RATIO", help_heading = LOAD)]
    pub failed_request_threshold: Option<f64>,

    /// How the load grows.
    #[command(flatten)]
    pub ramp: RampArgs,

    /// What goes before it.
    #[command(flatten)]
    pub warmup: WarmupArgs,

    /// Service-level objective, as "METRIC:BOUND …" in milliseconds, e.g. "time_to_first_token:500
    /// inter_token_latency:50"; ttft, itl, tpot and e2el are understood too.
    #[arg(long, value_name = "BOUNDS", num_args = 1.., help_heading = OUTPUT)]
    pub goodput: Vec<String>,

    /// Where to write; by default a new directory under artifacts/ that is named after the model and the load.
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub artifact_dir: Option<PathBuf>,

    /// Files beside the recording: the numbers of the run alone; or also profile_export.jsonl and inputs.json, which have
    /// an entry for each request; or also profile_export_raw.jsonl, with each body as sent and each event as received.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = ExportLevelArg::Records, help_heading = OUTPUT)]
    pub export_level: ExportLevelArg,

    /// What is asked of the server beside the load.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    /// aiperf's files.
    #[command(flatten)]
    pub artifacts: ArtifactArgs,

    /// Several runs.
    #[command(flatten)]
    pub series: SeriesArgs,

    /// Of a command line with lists of values: each combination, with the line that it stands for.
    #[arg(skip)]
    pub combinations: Vec<(Parameters, ProfileArgs)>,

    /// Exit with code 1 when the verdict is this bad or worse.
    #[arg(long, value_name = "VERDICT", help_heading = OUTPUT)]
    pub fail_on: Option<FailOn>,

    /// How to wait for the next send: sleep to a little before it and spin, sleep all of it, or spin all of it.
    #[arg(long, value_enum, default_value_t = PacingArg::Auto, help_heading = LOAD)]
    pub pacing: PacingArg,

    /// Let the kernel prefer the workers to every ordinary thread of their cores (SCHED_FIFO, priority 10). Needs root or
    /// CAP_SYS_NICE; leave the server's cores out.
    #[arg(long, help_heading = LOAD)]
    pub rt: bool,

    /// vLLM's result file.
    #[command(flatten)]
    pub result_file: super::result_file::ResultFileArgs,

    /// Who speaks HTTP/1.1: our own lane, which records the kernel's receive times, or hyper, to compare with.
    #[arg(long, value_enum, default_value_t = ClientArg::Lane, help_heading = ENDPOINT)]
    pub http_client: ClientArg,

    /// What to show on standard error while the run goes on. [default: the dashboard on a terminal, nothing elsewhere]
    #[arg(long, alias = "ui-type", value_enum, value_name = "KIND", help_heading = OUTPUT)]
    pub ui: Option<UiArg>,

    /// Worker threads, each on a core of its own. [default: one core less than there are]
    #[arg(long, alias = "workers-max", value_name = "N", help_heading = OUTPUT)]
    pub workers: Option<u32>,

    /// What a simulated deployment runs on.
    #[command(flatten)]
    pub hardware: HardwareArgs,

    /// Run in simulated time, without sockets: the same schedule, worker and recording against the simulated deployment's engine,
    /// as fast as this machine computes it. Nothing is measured of client, network or HTTP then.
    #[arg(long, conflicts_with_all = ["url", "rt", "local_address", "http_version"], help_heading = SIMULATED)]
    pub simulate: bool,

    /// Its engines.
    #[command(flatten)]
    pub engines: EngineArgs,
}

pub(super) const ENDPOINT: &str = "Endpoint";
pub(super) const INPUT: &str = "What is asked";
pub(super) const LOAD: &str = "When it is asked";
pub(super) const OUTPUT: &str = "Results";
pub(super) const SIMULATED: &str = "Simulated deployment (without --url)";

const EXAMPLES: &str = "\
Examples:
  Replay a trace against the simulated deployment, and count goodput:
    loadline profile --input-file traces/sinusoidal.jsonl --custom-dataset-type mooncake_trace \\
      --streaming --goodput \"time_to_first_token:500 inter_token_latency:50\"

  The same against a server:
    loadline profile --model Qwen/Qwen3-32B --url localhost:8000 --streaming \\
      --input-file traces/sinusoidal.jsonl --custom-dataset-type mooncake_trace

  20 requests per second, Poisson, for a minute, 2048 tokens in and 256 out:
    loadline profile --url localhost:8000 --model Qwen/Qwen3-32B --streaming --request-rate 20 \\
      --benchmark-duration 60 --isl 2048 --osl 256 --force-osl

  Exact to the token of the model, its chat template counted in:
    loadline profile --url localhost:8000 --model Qwen/Qwen3-32B --streaming --concurrency 8 \\
      --isl 2048 --osl 256 --tokenizer ~/models/Qwen3-32B --isl-counts rendered

  Ten minutes of a production trace, from the 20th on, four times as fast:
    loadline profile --input-file conversation_trace.jsonl --streaming --from 1200 --to 1800 --speed 4

  An hour of that trace at 2 requests per second, without the bursts that its 3 s buckets make:
    loadline profile --input-file conversation_trace.jsonl --streaming --spread-buckets --target-rate 2 --loop-for 3600

  Five times the same, and how far the runs lie apart:
    loadline profile --url localhost:8000 --model Qwen/Qwen3-32B --streaming --concurrency 8 --num-profile-runs 5

  From one user to sixty-four, and which concurrency is worth having:
    loadline profile --streaming --concurrency 1,2,4,8,16,32,64 --isl 2048 --osl 256 --request-count 200

  Conversations (rows with a session_id), each turn with the server's real replies before it, eight at a time:
    loadline profile --url localhost:8000 --model Qwen/Qwen3-32B --streaming --input-file chats.jsonl \\
      --no-fixed-schedule --concurrency 8 --history live

  200 drawn conversations of about four turns with a pause of a second before each, 16 at a time:
    loadline profile --url localhost:8000 --model Qwen/Qwen3-32B --streaming --concurrency 16 --num-conversations 200 \\
      --conversation-turn-mean 4 --conversation-turn-stddev 1 --conversation-turn-delay-mean 1000 --isl 300 --osl 100";

/// Connection reuse, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reuse {
    /// Keep connections and use them again.
    Pooled,
    /// One connection for each request.
    Never,
}

/// Arrival patterns, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PatternArg {
    /// Equal gaps.
    Constant,
    /// Exponential gaps.
    Poisson,
    /// Gamma gaps; see --arrival-smoothness.
    Gamma,
    /// No gaps: each request as soon as --concurrency lets it (closed loop).
    #[value(name = "concurrency_burst", alias = "concurrency-burst")]
    ConcurrencyBurst,
}

/// Overload policies, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OverloadArg {
    /// Wait.
    Queue,
    /// Leave it out.
    Drop,
    /// Stop.
    Abort,
}

/// Pacing, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PacingArg {
    /// Sleep, then spin.
    Auto,
    /// Sleep.
    Sleep,
    /// Spin.
    Spin,
}

/// Export levels, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportLevelArg {
    /// The run as a whole.
    Summary,
    /// Also each request.
    Records,
    /// Also what was sent and received.
    Raw,
}

/// HTTP clients, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientArg {
    /// Our own.
    Lane,
    /// hyper's.
    Hyper,
}

/// What is shown of a run, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UiArg {
    /// Rates, latencies over the last seconds, errors, time left.
    Dashboard,
    /// One line of progress; where it cannot replace itself, a new one each five seconds.
    Simple,
    /// Nothing.
    None,
}
