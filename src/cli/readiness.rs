//! The arguments about what is asked of a server before and after a run → what is meant.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::config::Destination;
use super::profile::{ENDPOINT, ProfileArgs};
use super::resolve::{non_negative_ns, positive_ns, usage};
use crate::error::Result;

/// Whether the server is waited for, and what else it is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct ReadinessArgs {
    /// Before the run, wait so long for the model to be served; 0 does not wait. When it is not there by then, the run fails.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, help_heading = ENDPOINT)]
    pub wait_for_model_timeout: f64,

    /// What tells that it is there: its name in the list of models, an answer of one token, or both.
    #[arg(long, value_enum, default_value_t = ReadyBy::Inference, help_heading = ENDPOINT)]
    pub wait_for_model_mode: ReadyBy,

    /// Time between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, help_heading = ENDPOINT)]
    pub wait_for_model_interval: f64,

    /// Before the run, have the server forget its prefix cache (POST; vLLM and SGLang can). When it does not, the run fails.
    #[arg(long, help_heading = ENDPOINT)]
    pub reset_kv_cache: bool,

    /// Path of that request, from the host on.
    #[arg(long, value_name = "PATH", default_value = "/reset_prefix_cache", help_heading = ENDPOINT)]
    pub reset_kv_cache_path: String,

    /// Time for its answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, help_heading = ENDPOINT)]
    pub reset_kv_cache_timeout_seconds: f64,

    /// Have the server profile itself during the run (POST, before and after; vLLM can, where it was started for it).
    #[arg(long, help_heading = ENDPOINT)]
    pub server_profiler: bool,

    /// Path of the request that starts it.
    #[arg(long, value_name = "PATH", default_value = "/start_profile", help_heading = ENDPOINT)]
    pub server_profiler_start_path: String,

    /// Path of the request that ends it.
    #[arg(long, value_name = "PATH", default_value = "/stop_profile", help_heading = ENDPOINT)]
    pub server_profiler_stop_path: String,

    /// Time for the answer to either.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, help_heading = ENDPOINT)]
    pub server_profiler_timeout_seconds: f64,
}

/// What tells that a model is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReadyBy {
    /// The list of models.
    Models,
    /// An answer.
    Inference,
    /// The one and the other.
    Both,
}

/// A request of nothing but its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The path, from the host on.
    pub path: String,
    /// Time for the answer.
    pub patience_ns: i64,
}

/// What is asked of a server around a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessConfig {
    /// How long to wait for the model; 0 for not at all.
    pub wait_ns: i64,
    /// What tells that it is there.
    pub ready_by: ReadyBy,
    /// Time between two looks.
    pub interval_ns: i64,
    /// Empties the prefix cache.
    pub reset: Option<Errand>,
    /// Start and end the server's own profile.
    pub profiler: Option<[Errand; 2]>,
}

impl ProfileArgs {
    /// What is asked of the server.
    pub(super) fn readiness(&self, destination: &Destination) -> Result<ReadinessConfig> {
        let args = &self.readiness;
        if (args.reset_kv_cache || args.server_profiler) && matches!(destination, Destination::Simulated(_)) {
            return usage(
                "--reset-kv-cache and --server-profiler need --url: a simulated deployment begins anew in each run",
            );
        }
        let errand = |path: &str, flag: &str, seconds: f64| {
            let path = format!("/{}", path.trim_start_matches('/'));
            positive_ns(flag, seconds).map(|patience_ns| Errand { path, patience_ns })
        };
        let profile = |path| errand(path, "--server-profiler-timeout-seconds", args.server_profiler_timeout_seconds);
        let reset = || {
            errand(&args.reset_kv_cache_path, "--reset-kv-cache-timeout-seconds", args.reset_kv_cache_timeout_seconds)
        };
        let profiler = || -> Result<[Errand; 2]> {
            Ok([profile(&args.server_profiler_start_path)?, profile(&args.server_profiler_stop_path)?])
        };
        Ok(ReadinessConfig {
            wait_ns: non_negative_ns("--wait-for-model-timeout", args.wait_for_model_timeout)?,
            ready_by: args.wait_for_model_mode,
            interval_ns: positive_ns("--wait-for-model-interval", args.wait_for_model_interval)?,
            reset: args.reset_kv_cache.then(reset).transpose()?,
            profiler: args.server_profiler.then(profiler).transpose()?,
        })
    }
}

impl ReadinessConfig {
    /// As the manifest keeps it.
    pub fn to_json(&self) -> Value {
        json!({
            "reset_kv_cache": self.reset.as_ref().map(|errand| &errand.path),
            "server_profiler": self.profiler.as_ref().map(|[start, stop]| [&start.path, &stop.path]),
        })
    }
}
