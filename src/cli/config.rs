//! What a run of `profile` is to do; no flag is needed to understand it.
//!
//! Everything in it that can be recorded is in [`ProfileConfig::to_json`]; secrets are not.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::FailOn;
use super::artifacts::ArtifactConfig;
use super::base_url::BaseUrl;
use super::dataset::PoolConfig;
use super::network::NetworkConfig;
use super::opening;
use super::prompt::PromptConfig;
use super::readiness::ReadinessConfig;
use super::secret::{MASK, Secret, is_secret_header};
use super::telemetry::TelemetryConfig;
use crate::arrival::ArrivalParams;
use crate::arrival::curve::Curve;
use crate::comparison::combinations::Parameters;
use crate::endpoint::RequestOptions;
use crate::engine::HttpClient;
use crate::engine::pace::Pacing;
use crate::engine::stop::FailedMax;
use crate::export::{ExportLevel, vllm_json};
use crate::record::manifest::SloBound;
use crate::report::progress::Ui;
use crate::rng::Seed;
use crate::schedule::conversation::History;
use crate::schedule::dataset::DatasetLaws;
use crate::schedule::opening::OpeningSpec;
use crate::schedule::spec::{Cancellation, LengthLaw};
use crate::schedule::{Caps, Overload};
use crate::sim::config::ServeConfig;
use crate::time::SECOND_NS;
use crate::trace::ReadOptions;
use crate::trace::transform::Transforms;

/// Where requests go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A simulated deployment in this process.
    Simulated(Box<ServeConfig>),
    /// A server.
    Server(BaseUrl),
}

impl Destination {
    /// Where that is, for a file.
    pub fn place(&self) -> String {
        match self {
            Destination::Server(url) => url.to_string(),
            Destination::Simulated(_) => "simulated".into(),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// A trace.
    Trace {
        /// Its file.
        path: PathBuf,
        /// How to read it.
        options: ReadOptions,
        /// What is done to it.
        transforms: Box<Transforms>,
    },
    /// Drawn requests.
    Synthetic(DatasetLaws),
}

/// When it is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum LoadConfig {
    /// At the trace's times, if it has them, else in one lane.
    FromTrace,
    /// At the trace's times.
    Recorded,
    /// At a rate.
    Rate {
        /// Name of the arrival process.
        process: &'static str,
        /// Its parameters.
        params: ArrivalParams,
    },
    /// When a lane is free.
    Lanes(u32),
    /// By users, each of whom asks once in a gap.
    Users {
        /// How many.
        users: u32,
        /// Requests per second of all of them.
        rate_rps: f64,
    },
}

impl LoadConfig {
    fn to_json(&self) -> Value {
        match self {
            LoadConfig::FromTrace | LoadConfig::Recorded => json!({"fixed_schedule": true}),
            LoadConfig::Rate { process, params } => json!({"request_rate": params.rate_rps, "arrival_pattern": process,
                "arrival_smoothness": params.smoothness, "rate_profile": params.curve.as_ref().map(Curve::text)}),
            LoadConfig::Lanes(lanes) => json!({"concurrency": lanes}),
            LoadConfig::Users { users, rate_rps } => json!({"user_centric_rate": rate_rps, "num_users": users}),
        }
    }
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / SECOND_NS as f64
}

fn caps_json(caps: &Caps) -> Value {
    json!({"in_flight": caps.in_flight_max, "ramp_s": seconds(caps.ramp_ns), "prefill": caps.prefill_max,
        "prefill_ramp_s": seconds(caps.prefill_ramp_ns)})
}

/// What goes before the measurement; the first of its bounds ends it.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmupConfig {
    /// Most requests.
    pub requests: Option<u64>,
    /// Most conversations.
    pub sessions: Option<u64>,
    /// Nothing is sent after this.
    pub duration_ns: Option<i64>,
    /// Time to finish after that.
    pub grace_ns: i64,
    /// When it is asked: at a rate, or in lanes.
    pub load: LoadConfig,
    /// Caps on requests in flight.
    pub caps: Caps,
}

impl WarmupConfig {
    fn to_json(&self) -> Value {
        json!({
            "request_count": self.requests,
            "sessions": self.sessions,
            "duration_s": self.duration_ns.map(seconds),
            "grace_period_s": Some(self.grace_ns).filter(|ns| *ns < i64::MAX).map(seconds),
            "load": self.load.to_json(),
            "caps": caps_json(&self.caps),
        })
    }
}

/// The place of a run among several.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its number among the repeats, from 0.
    pub trial: u32,
    /// Its name among the repeats.
    pub run_label: String,
    /// The combination in words; `base` without one.
    pub variation_label: String,
    /// The combination's number, from 0.
    pub variation_index: u32,
    /// The combination's parameters.
    pub variation_values: Parameters,
}

/// Everything that `profile` needs to know.
#[derive(Clone, Debug)]
pub struct ProfileConfig {
    /// Where requests go.
    pub destination: Destination,
    /// Whether the simulated deployment is run in simulated time, without sockets.
    pub simulate: bool,
    /// What all requests have in common.
    pub request: RequestOptions,
    /// The header that names a request's session.
    pub session_header: http::HeaderName,
    /// The user's headers.
    pub headers: Vec<(String, String)>,
    /// The bearer key.
    pub api_key: Option<Secret>,
    /// What is asked.
    pub source: SourceConfig,
    /// How much of it there is, and in which order it is taken.
    pub pool: PoolConfig,
    /// What conversations open with.
    pub opening: OpeningSpec,
    /// Answer length where the source gives none.
    pub output: Option<LengthLaw>,
    /// The answers that later turns of a session are sent with.
    pub history: History,
    /// How prompts are counted and made.
    pub prompt: PromptConfig,
    /// When it is asked.
    pub load: LoadConfig,
    /// Caps on requests in flight.
    pub caps: Caps,
    /// What happens to a request that is due while the cap is reached.
    pub on_overload: Overload,
    /// Requests that the client gives up on purpose.
    pub cancellation: Option<Cancellation>,
    /// How many requests may fail before the run is stopped.
    pub failed_max: Option<FailedMax>,
    /// Requests to send.
    pub request_count: Option<u64>,
    /// Nothing is sent after this.
    pub duration_ns: Option<i64>,
    /// Time to finish after that.
    pub grace_ns: i64,
    /// What goes before the measurement.
    pub warmup: Option<WarmupConfig>,
    /// Time limit of a request.
    pub timeout_ns: i64,
    /// How the endpoint is spoken to.
    pub network: NetworkConfig,
    /// What else the server is asked.
    pub readiness: ReadinessConfig,
    /// What is asked of the server beside the load.
    pub telemetry: TelemetryConfig,
    /// Who speaks HTTP/1.1.
    pub client: HttpClient,
    /// How the time before a send is spent.
    pub pacing: Pacing,
    /// Whether the workers run under the kernel's real-time policy.
    pub realtime: bool,
    /// The seed.
    pub seed: Seed,
    /// vLLM's result file, where it is asked for.
    pub result_file: Option<vllm_json::Asked>,
    /// Where to write; `None` for a new directory.
    pub artifact_dir: Option<PathBuf>,
    /// How much is written beside the recording.
    pub export_level: ExportLevel,
    /// Its place among several runs.
    pub series: Option<Series>,
    /// aiperf's files.
    pub artifacts: ArtifactConfig,
    /// Whether tokens are counted by the server's usage and in no other way.
    pub server_counts_alone: bool,
    /// Whether usage is asked for in every event.
    pub per_chunk_usage: bool,
    /// The service-level objective.
    pub slo: Vec<SloBound>,
    /// What is shown while the run goes on; `None` for what suits standard error.
    pub ui: Option<Ui>,
    /// Whether nothing is said of the run beside warnings: it is one of many, and what they say together is printed.
    pub quiet: bool,
    /// Worker threads.
    pub workers: Option<u32>,
    /// The verdict that fails the run.
    pub fail_on: Option<FailOn>,
}

/// What shaped a simulated deployment.
fn simulated_json(c: &ServeConfig) -> Value {
    json!({
        "model": c.model, "gpu": c.gpu, "backend": c.backend.as_str(), "tp": c.tp,
        "max_num_seqs": c.max_num_seqs, "max_num_batched_tokens": c.max_num_batched_tokens,
        "max_model_len": c.max_model_len, "speedup": c.speedup, "replicas": c.replicas,
        "prefill_replicas": c.disaggregation.map(|d| d.prefill_replicas),
        "prefill_tp": c.disaggregation.map(|d| d.prefill_tp),
        "handoff_bytes_per_s": c.disaggregation.map(|d| d.handoff_bytes_per_s),
        "handoff_setup_s": c.disaggregation.map(|d| d.handoff_setup_s),
        "handoff_first_token": c.disaggregation.map(|d| d.first_token.as_str()),
        "kv_cache_tokens": c.kv_tokens, "prefix_caching": c.prefix_caching,
        "admission": c.admission.map(|a| format!("{a:?}").to_lowercase()),
        "queue_limit": c.queue_limit, "queue_full_status": c.queue_full_status,
        "step_overhead_s": c.step_overhead_s, "sequence_overhead_s": c.sequence_overhead_s,
        "step_noise": c.step_noise,
    })
}

impl ProfileConfig {
    /// The configuration as the manifest keeps it: everything that shaped the run, and no secret.
    pub fn to_json(&self) -> Value {
        let destination = match &self.destination {
            Destination::Simulated(c) => {
                let mut simulated = simulated_json(c);
                simulated["simulated_time"] = self.simulate.into();
                json!({"simulated": simulated})
            }
            Destination::Server(url) => json!({"url": url.to_string()}),
        };
        let source = match &self.source {
            SourceConfig::Trace { path, options, transforms } => json!({
                "input_file": path.display().to_string(),
                "format": options.format,
                "on_bad_row": format!("{:?}", options.on_bad_row).to_lowercase(),
                "block_size": options.block_size,
                "transforms": transforms,
            }),
            SourceConfig::Synthetic(laws) => json!({
                "input_tokens_mean": laws.input_mean(),
                "input_tokens_stddev": (laws.pairs.is_empty() && laws.texts.is_none()).then(|| laws.input.stddev()),
                "texts": laws.texts.map(|texts| json!({
                    "query_tokens_mean": texts.query.map(|law| law.mean()),
                    "query_tokens_stddev": texts.query.map(|law| law.stddev()),
                    "count_mean": texts.count.mean(),
                    "count_stddev": texts.count.stddev(),
                    "tokens_mean": texts.tokens.mean(),
                    "tokens_stddev": texts.tokens.stddev(),
                })),
                "length_pairs": laws.pairs.iter().map(|pair| json!({
                    "share": pair.share,
                    "input_tokens_mean": pair.input.mean(),
                    "input_tokens_stddev": pair.input.stddev(),
                    "output_tokens_mean": pair.output.mean(),
                    "output_tokens_stddev": pair.output.stddev(),
                })).collect::<Vec<_>>(),
                "turns_mean": laws.turns.mean(),
                "turns_stddev": laws.turns.stddev(),
                "turn_delay_ms_mean": laws.pauses.map(|p| p.ms.mean()),
                "turn_delay_ms_stddev": laws.pauses.map(|p| p.ms.stddev()),
                "turn_delay_ratio": laws.pauses.map(|p| p.ratio),
            }),
        };
        let shown = |(name, value): &(String, String)| {
            let value = if is_secret_header(name) { MASK } else { value.as_str() };
            (name.clone(), Value::from(value))
        };
        json!({
            "destination": destination,
            "source": source,
            "load": self.load.to_json(),
            "in_flight_max": self.caps.in_flight_max,
            "caps": caps_json(&self.caps),
            "on_overload": self.on_overload.as_str(),
            "request_cancellation_share": self.cancellation.map(|c| c.share),
            "request_cancellation_delay_s": self.cancellation.map(|c| seconds(c.after_ns)),
            "failed_request_threshold": self.failed_max.map(|m| m.share),
            "request_count": self.request_count,
            "benchmark_duration_s": self.duration_ns.map(seconds),
            "benchmark_grace_period_s": seconds(self.grace_ns),
            "warmup": self.warmup.as_ref().map(WarmupConfig::to_json),
            "request_timeout_s": seconds(self.timeout_ns),
            "output_tokens_mean": self.output.map(|l| l.mean()),
            "output_tokens_stddev": self.output.map(|l| l.stddev()),
            "history": self.history.as_str(),
            "pool": self.pool.to_json(),
            "opening": opening::to_json(&self.opening),
            "prompt": self.prompt.to_json(),
            "network": self.network.to_json(), "readiness": self.readiness.to_json(),
            "server_metrics": self.telemetry.to_json(),
            "vllm_result": self.result_file,
            "http_client": self.client.as_str(),
            "pacing": self.pacing.as_str(),
            "realtime": self.realtime,
            "headers": self.headers.iter().map(shown).collect::<Map<String, Value>>(),
            "api_key": self.api_key.as_ref().map(|_| MASK),
            "use_server_token_count": self.server_counts_alone, "export_level": self.export_level.as_str(), "export_outputs_json": self.artifacts.outputs,
            "series": self.series.as_ref().map(|s| json!({
                "trial": s.trial,
                "run_label": s.run_label,
                "variation_label": s.variation_label,
                "variation_index": s.variation_index,
                "variation_values":
                    s.variation_values.iter().map(|(name, v)| (name.to_string(), v.to_json())).collect::<Map<String, Value>>(),
            })),
            "profile_export_prefix": self.artifacts.prefix,
            "slice_duration_s": self.artifacts.slice_ns.map(|ns| ns as f64 / SECOND_NS as f64),
            "extra_inputs": self.request.extra,
            "session_header": self.session_header.as_str(),
            "use_legacy_max_tokens": self.request.legacy_max_tokens, "per_chunk_usage": self.per_chunk_usage,
        })
    }

    /// Whether a file is asked for that holds what requests and answers said.
    pub fn keeps_exchanges(&self) -> bool {
        self.export_level >= ExportLevel::Raw || self.artifacts.outputs
    }

    /// The load in a word, for directory names; aiperf's words.
    pub fn stimulus(&self) -> String {
        match &self.load {
            LoadConfig::FromTrace | LoadConfig::Recorded => "fixed_schedule".into(),
            LoadConfig::Rate { params, .. } => {
                let cap = self.caps.in_flight_max.map(|n| format!("concurrency{n}-")).unwrap_or_default();
                let rate =
                    params.rate_rps.map_or_else(|| "rate_profile".into(), |rate| format!("request_rate{rate:?}"));
                cap + &rate
            }
            LoadConfig::Lanes(lanes) => format!("concurrency{lanes}"),
            LoadConfig::Users { users, rate_rps } => format!("user_centric-users{users}-qps{rate_rps:?}"),
        }
    }
}
