//! The arguments that say which deployment is measured, with which requests, against which targets; for the verbs that make several
//! runs of `profile`.

use clap::Parser;

use super::config::ProfileConfig;
use super::engines::{EngineArgs, HardwareArgs};
use super::profile::{ENDPOINT, INPUT, OUTPUT, ProfileArgs, SIMULATED, UiArg};
use super::resolve::usage;
use super::secret::Secret;
use super::{Cli, Verb};
use crate::error::{Error, Result};
use crate::export::asked::Asked;

/// A deployment, and what is asked of it.
#[derive(Clone, Debug, clap::Args)]
pub struct TargetArgs {
    /// Model to ask for. Without --url, one that can be simulated; the default is then Qwen/Qwen3-32B.
    #[arg(short, long)]
    pub model: Option<String>,

    /// Base URL of the deployment, e.g. localhost:8000. Without it, a simulated one in this process.
    #[arg(short, long, help_heading = ENDPOINT)]
    pub url: Option<String>,

    /// Take the URL from OPENAI_BASE_URL; LOADLINE_URL is this program's own, and used where --url is not given.
    #[arg(long, conflicts_with = "url", help_heading = ENDPOINT)]
    pub url_from_env: bool,

    /// Header to add to every request, as NAME:VALUE; can be given several times.
    #[arg(short = 'H', long, value_name = "NAME:VALUE", help_heading = ENDPOINT)]
    pub header: Vec<String>,

    /// Key to send as `Authorization: Bearer KEY`. Better from the environment: LOADLINE_API_KEY or OPENAI_API_KEY.
    #[arg(long, value_name = "KEY", help_heading = ENDPOINT)]
    pub api_key: Option<Secret>,

    /// Give a request up after this time; it counts as one that met no target.
    #[arg(long, value_name = "SECONDS", default_value_t = 21_600.0, help_heading = ENDPOINT)]
    pub request_timeout_seconds: f64,

    /// Do not ask the server for its own metrics.
    #[arg(long, help_heading = ENDPOINT)]
    pub no_server_metrics: bool,

    /// Prompt length, in tokens.
    #[arg(long, value_name = "TOKENS", default_value_t = 2048, help_heading = INPUT)]
    pub isl: u32,

    /// Answer length, in tokens.
    #[arg(long, value_name = "TOKENS", default_value_t = 256, help_heading = INPUT)]
    pub osl: u32,

    /// Let the model end an answer before that length. Otherwise `ignore_eos` and `min_tokens` are sent, which not every server takes.
    #[arg(long, help_heading = INPUT)]
    pub no_force_osl: bool,

    /// Seed of every draw; by default one is drawn, and recorded.
    #[arg(long, value_name = "SEED", help_heading = INPUT)]
    pub random_seed: Option<u64>,

    /// Longest time to first token that meets the SLA.
    #[arg(long, value_name = "MS", help_heading = OUTPUT)]
    pub ttft_target: f64,

    /// Longest mean time between the tokens of a request that meets it.
    #[arg(long, value_name = "MS", help_heading = OUTPUT)]
    pub itl_target: f64,

    /// What a simulated deployment runs on.
    #[command(flatten)]
    pub hardware: HardwareArgs,

    /// Run in simulated time, without sockets, as fast as this machine computes it.
    #[arg(long, conflicts_with = "url", help_heading = SIMULATED)]
    pub simulate: bool,

    /// Its engines.
    #[command(flatten)]
    pub engines: EngineArgs,
}

impl TargetArgs {
    /// What was asked of the deployment, by which command line, for the head of a page.
    pub fn about(&self, command: &[String]) -> String {
        format!(
            "prompts of {} and answers of {} tokens · TTFT {} ms and ITL {} ms at most · {}",
            self.isl,
            self.osl,
            self.ttft_target,
            self.itl_target,
            command.join(" ")
        )
    }

    /// The same for a file; `place` is where the deployment is.
    pub fn asked<'a>(&self, model: &'a str, place: &'a str) -> Asked<'a> {
        Asked {
            model,
            url: place,
            ttft_target_ms: self.ttft_target,
            itl_target_ms: self.itl_target,
            isl: self.isl,
            osl: self.osl,
        }
    }

    /// A run of `profile` against this deployment: streaming, in one lane, without a warm-up. The caller gives it its load.
    ///
    /// # Errors
    /// Those of [`ProfileArgs::resolve`], and [`Error::Usage`] for targets that nothing can meet.
    pub(super) fn profile(&self) -> Result<ProfileConfig> {
        let target = |ms: f64| ms.is_finite() && ms > 0.0;
        if !target(self.ttft_target) || !target(self.itl_target) {
            return usage("--ttft-target and --itl-target must be milliseconds above 0");
        }
        if self.isl == 0 || self.osl == 0 {
            return usage("--isl and --osl must be at least 1");
        }
        let blank = Cli::try_parse_from(["loadline", "profile"]).map_err(|e| Error::Internal(e.to_string()))?;
        let Verb::Profile(blank) = blank.verb else { return Err(Error::Internal("`profile` is another verb".into())) };
        let mut args = ProfileArgs {
            model: self.model.clone(),
            url: self.url.clone(),
            header: self.header.clone(),
            api_key: self.api_key.clone(),
            request_timeout_seconds: self.request_timeout_seconds,
            streaming: true,
            synthetic_input_tokens_mean: f64::from(self.isl),
            output_tokens_mean: Some(f64::from(self.osl)),
            random_seed: self.random_seed,
            concurrency: Some(1),
            request_count: Some(1),
            goodput: vec![format!("time_to_first_token:{} inter_token_latency:{}", self.ttft_target, self.itl_target)],
            hardware: self.hardware.clone(),
            simulate: self.simulate,
            engines: self.engines.clone(),
            // A dashboard for each of many runs would only flicker.
            ui: Some(UiArg::None),
            ..*blank
        };
        args.prompt.force_osl = !self.no_force_osl;
        args.telemetry.no_server_metrics = self.no_server_metrics;
        Ok(ProfileConfig { quiet: true, ..args.resolve()? })
    }
}
