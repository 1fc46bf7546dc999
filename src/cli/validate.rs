//! The arguments of `loadline validate`. Spellings and defaults are those of the validate_deployment that it replaces.

use std::path::PathBuf;

use super::config::{LoadConfig, ProfileConfig, WarmupConfig};
use super::plots::PlotsArgs;
use super::resolve::{non_negative_ns, usage};
use super::target::TargetArgs;
use crate::arrival::ArrivalParams;
use crate::comparison::levels::Load;
use crate::comparison::validation::Predicted;
use crate::error::Result;
use crate::schedule::Caps;

/// Hold a prediction against a deployment at four levels of load.
///
/// The levels are idle (one request at a time), medium, saturation and overload: 50, 90 and 110 % of --max-batch-size requests
/// in flight, or with --open-loop of the requests per second that the deployment can answer. Each is a run of `profile` with a
/// warm-up, in a directory of its own (OUTPUT/validation/LEVEL), and its numbers are those of the steady state: what is sent while the load
/// comes and goes is left out. For each level: TTFT and ITL as measured and as predicted, the error (predicted - actual) / actual,
/// the share of the requests that met both targets, and goodput, the requests per second that did.
///
/// Without --url the deployment is a simulated one; with --simulate in simulated time.
///
/// Results: a table on standard output, and OUTPUT/validation.json.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ValidateArgs {
    /// The deployment, and what is asked of it.
    #[command(flatten)]
    pub target: TargetArgs,

    /// Predicted time to first token, as `sweep` gives it; 0 is none.
    #[arg(long, value_name = "MS", default_value_t = 0.0, help_heading = PREDICTION)]
    pub predicted_ttft: f64,

    /// Predicted time between tokens; 0 is none.
    #[arg(long, value_name = "MS", default_value_t = 0.0, help_heading = PREDICTION)]
    pub predicted_itl: f64,

    /// Exit with code 1 where the median of TTFT or ITL was predicted so many per cent wrong, either way, at any level.
    #[arg(long, value_name = "PERCENT", help_heading = PREDICTION)]
    pub fail_on_error_pct: Option<f64>,

    /// Most requests that the deployment holds at once: what the levels are shares of.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = LEVELS)]
    pub max_batch_size: u32,

    /// Requests of each level, its warm-up not counted.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..), help_heading = LEVELS)]
    pub requests_per_level: u64,

    /// Requests before each level. [default: twice those in flight, at least 4 and at most 100]
    #[arg(long, value_name = "N", help_heading = LEVELS)]
    pub warmup_requests: Option<u64>,

    /// Time over which the clients of a level begin, one after the other; 0: all at once, who then ask in step. [default: what one
    /// request takes, as the levels before tell]
    #[arg(long, value_name = "SECONDS", help_heading = LEVELS)]
    pub concurrency_ramp_duration: Option<f64>,

    /// Run every level so many times, in other texts and at other times, and give intervals of 95 % over the repeats.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = LEVELS)]
    pub repeats: u32,

    /// Load medium, saturation and overload by Poisson arrivals instead, at shares of the deployment's capacity.
    #[arg(long, help_heading = LEVELS)]
    pub open_loop: bool,

    /// That capacity. [default: what a closed loop of --max-batch-size requests in flight gets answered, measured after idle]
    #[arg(long, value_name = "PER_SECOND", requires = "open_loop", help_heading = LEVELS)]
    pub capacity_rps: Option<f64>,

    /// Where to write; files of an earlier validation there are replaced.
    #[arg(long, value_name = "DIR", default_value = "validation_results")]
    pub output_dir: PathBuf,

    /// Pictures.
    #[command(flatten)]
    pub plots: PlotsArgs,
}

const PREDICTION: &str = "What was predicted";
const LEVELS: &str = "Levels of load";
const EXAMPLES: &str = "\
Examples:
  The plan's own, on a deployment that holds eight requests:
    loadline validate --url http://localhost:8000 --model Qwen/Qwen3-32B --isl 2048 --osl 256 --ttft-target 500 \\
      --itl-target 50 --predicted-ttft 193.7 --predicted-itl 21.1 --max-batch-size 8 --output-dir results/aic_all

  A rehearsal in simulated time, three times over, that fails where a prediction is more than 20 % off:
    loadline validate --simulate --tp 2 --ttft-target 500 --itl-target 50 --predicted-ttft 110 --predicted-itl 13 \\
      --max-batch-size 16 --repeats 3 --fail-on-error-pct 20

  By arrivals: half, nine tenths and eleven tenths of what the deployment can answer:
    loadline validate --simulate --open-loop --ttft-target 500 --itl-target 50 --max-batch-size 32";

/// What `validate` is to do.
#[derive(Clone, Debug)]
pub struct ValidateConfig {
    /// A run of it, of which load and directory are not those of a level.
    pub base: ProfileConfig,
    /// Targets and lengths, for the file.
    pub target: TargetArgs,
    /// What was predicted.
    pub predicted: Predicted,
    /// The error beyond which it fails.
    pub fail_on_error_pct: Option<f64>,
    /// What levels are shares of.
    pub batch_max: u32,
    /// Requests of a run.
    pub requests: u64,
    /// Requests before it.
    pub warmup: Option<u64>,
    /// Time over which clients begin, ns; `None` for that of one request.
    pub ramp_ns: Option<i64>,
    /// Runs of a level.
    pub repeats: u32,
    /// Whether levels are arrivals, and of which capacity; `None` for one that is measured.
    pub open_loop: Option<Option<f64>>,
    /// Where to write.
    pub output_dir: PathBuf,
    /// Where plots go as pictures.
    pub plots: Option<PathBuf>,
}

impl ValidateArgs {
    /// Checks the arguments against each other.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] for what cannot be.
    pub fn resolve(&self) -> Result<ValidateConfig> {
        let prediction = |flag: &str, ms: f64| match ms {
            0.0 => Ok(None),
            ms if ms.is_finite() && ms > 0.0 => Ok(Some(ms)),
            _ => usage(&format!("{flag} must be milliseconds above 0, or 0 for none")),
        };
        let predicted = Predicted {
            ttft_ms: prediction("--predicted-ttft", self.predicted_ttft)?,
            itl_ms: prediction("--predicted-itl", self.predicted_itl)?,
        };
        if let Some(percent) = self.fail_on_error_pct {
            if !(percent >= 0.0 && percent.is_finite()) {
                return usage("--fail-on-error-pct must be per cent, 0 or more");
            }
            if predicted == Predicted::default() {
                return usage("--fail-on-error-pct needs --predicted-ttft or --predicted-itl");
            }
        }
        if self.capacity_rps.is_some_and(|rps| !(rps.is_finite() && rps > 0.0)) {
            return usage("--capacity-rps must be requests per second above 0");
        }
        let ramp_ns = self.concurrency_ramp_duration.map(|s| non_negative_ns("--concurrency-ramp-duration", s));
        Ok(ValidateConfig {
            base: self.target.profile()?,
            target: self.target.clone(),
            predicted,
            fail_on_error_pct: self.fail_on_error_pct,
            batch_max: self.max_batch_size,
            requests: self.requests_per_level,
            warmup: self.warmup_requests,
            ramp_ns: ramp_ns.transpose()?,
            repeats: self.repeats,
            open_loop: self.open_loop.then_some(self.capacity_rps),
            output_dir: self.output_dir.clone(),
            plots: self.plots.dir.clone(),
        })
    }
}

impl ValidateConfig {
    /// One run of a level, the `repeat`-th from 0, into `dir`, whose clients begin over `ramp_ns`. Each has a seed and texts of its
    /// own: a prefix cache has not seen them.
    pub fn run(&self, load: Load, ramp_ns: i64, (name, repeat): (&str, u32), dir: PathBuf) -> ProfileConfig {
        let (load, in_flight) = match load {
            Load::Clients(clients) => (LoadConfig::Lanes(clients), clients),
            Load::Rate(rate) => {
                let params = ArrivalParams { rate_rps: Some(rate), smoothness: None, curve: None };
                (LoadConfig::Rate { process: "poisson", params }, self.batch_max)
            }
        };
        let mut run = self.base.clone();
        run.load = load.clone();
        run.caps.ramp_ns = ramp_ns;
        run.request_count = Some(self.requests);
        let warmup = self.warmup.unwrap_or_else(|| (2 * u64::from(in_flight)).clamp(4, 100));
        run.warmup = (warmup > 0).then_some(WarmupConfig {
            requests: Some(warmup),
            sessions: None,
            duration_ns: None,
            grace_ns: i64::MAX,
            load,
            caps: Caps::default(),
        });
        run.seed.0 = run.seed.0.wrapping_add(u64::from(repeat));
        run.prompt.cache_salt = run.prompt.cache_salt.map(|salt| format!("{salt}-{name}-{}", repeat + 1));
        run.artifact_dir = Some(dir);
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(line: &str) -> Result<ValidateConfig> {
        use clap::Parser;
        let words = ["loadline", "validate-deployment"].into_iter().chain(line.split_whitespace());
        match super::super::Cli::try_parse_from(words).map_err(|e| crate::error::Error::Usage(e.to_string()))?.verb {
            super::super::Verb::Validate(args) => args.resolve(),
            _ => unreachable!("the verb is validate"),
        }
    }

    const TARGETS: &str = "--ttft-target 500 --itl-target 50 --max-batch-size 8";

    #[test]
    fn the_plans_command_line_is_understood() {
        let line = "--url http://localhost:8000 --model Qwen/Qwen3-32B --isl 2048 --osl 256 --predicted-ttft 193.7 --predicted-itl 0";
        let config = resolve(&format!("{TARGETS} {line} --output-dir out")).unwrap();
        assert_eq!(config.predicted, Predicted { ttft_ms: Some(193.7), itl_ms: None });
        assert_eq!((config.requests, config.batch_max, config.repeats), (100, 8, 1));
        let run = config.run(Load::Clients(9), 7, ("overload", 1), "d".into());
        assert_eq!((run.load, run.request_count, run.caps.ramp_ns), (LoadConfig::Lanes(9), Some(100), 7));
        assert_eq!(run.warmup.unwrap().requests, Some(18));
        assert!(run.prompt.force_osl && run.prompt.cache_salt.unwrap().ends_with("-overload-2"));
        assert_eq!(run.slo.iter().map(|b| b.bound).collect::<Vec<_>>(), [500.0, 50.0]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        for (line, why) in [
            ("--predicted-ttft=-1", "--predicted-ttft must be"),
            ("--fail-on-error-pct 5", "needs --predicted-ttft"),
            ("--capacity-rps 5", "--open-loop"),
            ("--open-loop --capacity-rps 0", "above 0"),
            ("--isl 0", "at least 1"),
            ("--concurrency-ramp-duration=-1", "--concurrency-ramp-duration"),
            ("--simulate --url http://x --model m", "cannot be used with"),
            ("--url http://x", "--model"),
        ] {
            let text = resolve(&format!("{TARGETS} {line}")).unwrap_err().to_string();
            assert!(text.contains(why), "{line}: {text}");
        }
        assert!(resolve("--ttft-target nan --itl-target 5 --max-batch-size 8").is_err());
    }
}
