//! The arguments of `loadline goodput`.

use std::path::PathBuf;

use super::config::{LoadConfig, ProfileConfig, WarmupConfig};
use super::plots::PlotsArgs;
use super::resolve::usage;
use super::target::TargetArgs;
use crate::arrival::ArrivalParams;
use crate::comparison::goodput_search::Question;
use crate::error::Result;
use crate::export::ExportLevel;
use crate::schedule::Caps;

/// Find the highest rate of requests at which enough of them meet their targets: the goodput search.
///
/// Poisson arrivals come at one rate after the other: doubled until too few requests meet both targets, then halfway between what
/// holds and what does not. A rate is decided by the interval of its attainment (Wilson's, of as many independent requests as its run is
/// worth); where it is undecided it is measured again with twice the requests, up to --requests-max. The answer is a rate that was
/// measured, and the interval between the highest rate that holds and the lowest that does not, each decided at --confidence-level.
///
/// A request counts from the moment that it was scheduled for, so that a late client cannot make the deployment look better; a
/// failed one meets no target. The first tenth and the last tenth of each run are left out.
///
/// Without --url the deployment is a simulated one; with --simulate in simulated time.
///
/// Results: a table on standard output, OUTPUT/goodput.json, and a run directory for each look at a rate.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct GoodputArgs {
    /// The deployment, and what is asked of it.
    #[command(flatten)]
    pub target: TargetArgs,

    /// Share of the requests that must meet both targets.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, help_heading = SEARCH)]
    pub attainment: f64,

    /// Rate to begin with.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1.0, help_heading = SEARCH)]
    pub start_rate: f64,

    /// Highest rate to try.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1000.0, help_heading = SEARCH)]
    pub max_rate: f64,

    /// Requests of a first look at a rate.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(20..), help_heading = SEARCH)]
    pub requests: u64,

    /// Most requests of a rate.
    #[arg(long, value_name = "N", default_value_t = 1600, value_parser = clap::value_parser!(u64).range(20..=10_000_000), help_heading = SEARCH)]
    pub requests_max: u64,

    /// Requests before each look, at the same rate.
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = SEARCH)]
    pub warmup_requests: u64,

    /// How close the ends of the answer have to be: their distance as a share of the upper one.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, help_heading = SEARCH)]
    pub precision: f64,

    /// Confidence of each rate's decision.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, help_heading = SEARCH)]
    pub confidence_level: f64,

    /// Exit with code 1 where the ends do not come that close.
    #[arg(long, help_heading = SEARCH)]
    pub fail_unresolved: bool,

    /// Where to write; files of an earlier search there are replaced.
    #[arg(long, value_name = "DIR", default_value = "goodput_results")]
    pub output_dir: PathBuf,

    /// Pictures.
    #[command(flatten)]
    pub plots: PlotsArgs,
}

const SEARCH: &str = "The search";
const EXAMPLES: &str = "\
Examples:
  What two simulated H200 hold within the plan's targets, in simulated time:
    loadline goodput --simulate --tp 2 --isl 2048 --osl 256 --ttft-target 500 --itl-target 50

  A deployment of yours, for 99 % of the requests, from 4 requests per second on:
    loadline goodput --url localhost:8000 --model Qwen/Qwen3-32B --ttft-target 500 --itl-target 50 --attainment 0.99 --start-rate 4";

/// What `goodput` is to do.
#[derive(Clone, Debug)]
pub struct GoodputConfig {
    /// A run of it, without its rate.
    pub base: ProfileConfig,
    /// Targets and lengths, for the file.
    pub target: TargetArgs,
    /// What is searched for.
    pub question: Question,
    /// Requests before each look.
    pub warmup: u64,
    /// Whether an unresolved search fails.
    pub fail_unresolved: bool,
    /// Where to write.
    pub output_dir: PathBuf,
    /// Where plots go as pictures.
    pub plots: Option<PathBuf>,
}

impl GoodputArgs {
    /// Checks the arguments against each other.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] for what cannot be.
    pub fn resolve(&self) -> Result<GoodputConfig> {
        let inside = |share: f64| share > 0.0 && share < 1.0;
        if !inside(self.attainment) || !inside(self.precision) || !inside(self.confidence_level) {
            return usage("--attainment, --precision and --confidence-level must lie between 0 and 1");
        }
        let rates = [self.start_rate, self.max_rate];
        if rates.iter().any(|rate| !(rate.is_finite() && *rate > 0.0)) || self.start_rate > self.max_rate {
            return usage("--start-rate must be above 0, and --max-rate no less");
        }
        if self.requests > self.requests_max {
            return usage("--requests-max must be at least --requests");
        }
        Ok(GoodputConfig {
            base: self.target.profile()?,
            target: self.target.clone(),
            question: Question {
                attainment: self.attainment,
                start_rps: self.start_rate,
                rate_max_rps: self.max_rate,
                requests: self.requests,
                requests_max: self.requests_max,
                precision: self.precision,
                confidence: self.confidence_level,
            },
            warmup: self.warmup_requests,
            fail_unresolved: self.fail_unresolved,
            output_dir: self.output_dir.clone(),
            plots: self.plots.dir.clone(),
        })
    }
}

impl GoodputConfig {
    /// The `look`-th look, from 0, at a rate: with a seed and texts of its own.
    pub fn run(&self, rate_rps: f64, requests: u64, look: u64, dir: PathBuf) -> ProfileConfig {
        let params = ArrivalParams { rate_rps: Some(rate_rps), smoothness: None, curve: None };
        let load = LoadConfig::Rate { process: "poisson", params };
        let mut run = self.base.clone();
        run.load = load.clone();
        run.request_count = Some(requests);
        run.warmup = (self.warmup > 0).then_some(WarmupConfig {
            requests: Some(self.warmup),
            sessions: None,
            duration_ns: None,
            grace_ns: i64::MAX,
            load,
            caps: Caps::default(),
        });
        run.seed.0 = run.seed.0.wrapping_add(look);
        run.prompt.cache_salt = run.prompt.cache_salt.map(|salt| format!("{salt}-{}", look + 1));
        run.export_level = ExportLevel::Summary;
        run.artifact_dir = Some(dir);
        run
    }
}
