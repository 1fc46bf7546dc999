//! The arguments of `loadline sweep --online`: where the deployments come from, and how much is measured of each.

use std::path::{Path, PathBuf};

use super::base_url::BaseUrl;
use super::config::{Destination, LoadConfig, ProfileConfig, SourceConfig, WarmupConfig};
use super::engines::{EngineArgs, HardwareArgs};
use super::model_file;
use super::resolve::{positive_ns, usage};
use super::secret::Secret;
use super::sweep::{SweepArgs, SweepFormat};
use super::target::TargetArgs;
use crate::comparison::capacity_search::Limits;
use crate::comparison::measured_sweep::Bounds;
use crate::comparison::profiled::Task;
use crate::comparison::selection::{Budget, Method};
use crate::deployment::Recipe;
use crate::deployment::kubernetes::Manifest;
use crate::deployment::launched::Template;
use crate::error::{Error, Result};
use crate::export::ExportLevel;
use crate::profiler::backend::Backend;
use crate::profiler::gpu;
use crate::profiler::sweep::Spec;
use crate::rng::Seed;
use crate::schedule::Caps;
use crate::schedule::spec::LengthLaw;

/// The name in `--endpoint` of a deployment in this process.
const SIMULATED: &str = "sim";
/// What precedes a manifest in `--launch`.
const KUBECTL: &str = "kubectl:";
/// Where results go unless that is said.
const OUTPUT_DIR: &str = "online_results";
/// Share by which throughput has to rise to be worth more clients.
const GROWTH_MIN: f64 = 0.05;
/// Requests of a load for each client: what is left of them in the steady state is about one for each.
const REQUESTS_PER_CLIENT: u64 = 4;
/// Fewest requests of a load, however small its share is.
const REQUESTS_MIN: u64 = 4;
/// Most requests before a load.
const WARMUP_MAX: u32 = 8;

/// Measuring instead of predicting.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Measuring (--online)")]
pub struct OnlineArgs {
    /// Measure instead of predicting (docs/online.md): for each size of --tp a deployment, a sweep of prompt lengths and one of
    /// requests in flight. `profile-sla` without --use-ai-configurator means this.
    #[arg(long)]
    pub online: bool,

    /// Where a deployment is: `tp=4=http://host:8000`, once for each size; `sim` simulates it, in simulated time and without a
    /// GPU, as happens where neither this nor --launch is given.
    #[arg(long, value_name = "[tp=GPUS=]URL|sim")]
    pub endpoint: Vec<String>,

    /// Start each deployment that has no --endpoint with this command line, on a free port, and stop it afterwards. {model}, {tp}
    /// and {port} are filled in; no shell is used; its words go to OUTPUT/tpN/deployment.log. Or, as kubectl:FILE, apply this manifest
    /// with {model} and {tp} filled in, forward a port to its Service, and delete it afterwards.
    #[arg(long, value_name = "COMMAND|kubectl:FILE")]
    pub launch: Option<String>,

    /// GPUs that a deployment takes where they are not as many as its TP: it has replicas, data parallelism or engines for prefill.
    /// `tp=4=8`, once for each size; not of a simulated one.
    #[arg(long, value_name = "[tp=SIZE=]GPUS")]
    pub gpus: Vec<String>,

    /// Longest time until a started deployment answers.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800.0)]
    pub ready_timeout: f64,

    /// Time between asking a started deployment to end and ending it.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub stop_timeout: f64,

    /// Prompt lengths of the prefill sweep, one request at a time. [default: an eighth, a half, once, twice and four times --isl]
    #[arg(long, value_name = "TOKENS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub prefill_isl: Vec<u32>,

    /// Requests of each prompt length.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub prefill_requests: u64,

    /// Requests of each load, beside four for each client.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub requests_min: u64,

    /// Most requests in flight that are tried.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_concurrency: u32,

    /// Most loads of a deployment that are measured.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub points_max: u32,

    /// Batches (requests in flight) that a --method chooses among, beside the one of each size that is predicted to be its best.
    /// [default: the powers of two up to 256 and --max-concurrency]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batches: Vec<u32>,

    /// Most measurements of a --method; for stack-rank the N of its top N. [default: as many as it wants]
    #[arg(long, value_name = "N", visible_alias = "budget", value_parser = clap::value_parser!(u32).range(1..))]
    pub top: Option<u32>,

    /// GPU seconds after which a --method begins no measurement. [default: no bound]
    #[arg(long, value_name = "SECONDS")]
    pub budget_gpu_s: Option<f64>,

    /// Sequences that a simulated deployment runs at once.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_num_seqs: u32,

    /// Header to add to every request, as NAME:VALUE; can be given several times.
    #[arg(short = 'H', long, value_name = "NAME:VALUE")]
    pub header: Vec<String>,

    /// Key to send as `Authorization: Bearer KEY`. Better from the environment: LOADLINE_API_KEY or OPENAI_API_KEY.
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<Secret>,

    /// Do not ask the servers for their own metrics.
    #[arg(long)]
    pub no_server_metrics: bool,
}

/// One deployment that is to be measured.
#[derive(Clone, Debug)]
pub struct CandidateConfig {
    /// Tensor-parallel size.
    pub tp: u32,
    /// GPUs that it takes.
    pub gpus: u32,
    /// Where it comes from.
    pub recipe: Recipe,
    /// A run against it, of which load, lengths and directory are still to be said; and the destination, where it is launched.
    pub base: ProfileConfig,
}

impl CandidateConfig {
    /// Its tensor-parallel size, and how many GPUs it takes.
    pub fn size(&self) -> (u32, u32) {
        (self.tp, self.gpus)
    }
}

/// A measured sweep as it is meant.
#[derive(Clone, Debug)]
pub struct OnlineConfig {
    /// The model, as requests name it.
    pub model: String,
    /// The GPU, for files.
    pub gpu: String,
    /// The serving engine, for files.
    pub backend: Backend,
    /// Tokens of a prompt.
    pub isl: u32,
    /// Tokens of an answer.
    pub osl: u32,
    /// The SLA.
    pub bounds: Bounds,
    /// GPUs that a deployment may take.
    pub max_gpus: u32,
    /// What is measured, by size.
    pub candidates: Vec<CandidateConfig>,
    /// Sizes that take more GPUs than there may be, and how many.
    pub too_large: Vec<(u32, u32)>,
    /// Prompt lengths of the prefill sweep, ascending.
    pub prefill_isl: Vec<u32>,
    /// Requests of each.
    pub prefill_requests: u64,
    /// Requests of a load, beside those for each client.
    pub requests_min: u64,
    /// Bounds of the search for loads.
    pub limits: Limits,
    /// The method that chooses; `None` where every size is swept.
    pub method: Option<&'static Method>,
    /// How much it may measure.
    pub budget: Budget,
    /// Batches that it chooses among, beside those that are predicted.
    pub batches: Vec<u32>,
    /// What is predicted of the same sizes, where model, GPU and engine are known.
    pub spec: Option<Spec>,
    /// Seed of what it draws.
    pub seed: Seed,
    /// Longest time until a deployment answers, ns.
    pub ready_ns: i64,
    /// Time to end, ns.
    pub stop_ns: i64,
    /// How it is printed.
    pub format: SweepFormat,
    /// Where files go.
    pub output_dir: PathBuf,
    /// What is to be said of it.
    pub notes: Vec<String>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it asks.
    pub task: Task,
    /// Its share, in (0, 1], of the requests of a whole measurement.
    pub effort: f64,
    /// Time in which its clients begin, one after the other, ns.
    pub ramp_ns: i64,
    /// Its directory.
    pub dir: PathBuf,
}

impl OnlineConfig {
    /// A run against a candidate at `url`. Each has texts of its own: a prefix cache has not seen them.
    ///
    /// # Errors
    /// Those of [`BaseUrl::parse`].
    pub fn run(&self, candidate: &CandidateConfig, url: Option<&str>, asked: Asked) -> Result<ProfileConfig> {
        let Asked { task, effort, ramp_ns, dir } = asked;
        let mut run = candidate.base.clone();
        if let Some(url) = url {
            run.destination = Destination::Server(BaseUrl::parse(url)?);
        }
        let (clients, requests) = match task {
            Task::Prefill { .. } => (1, self.prefill_requests),
            Task::Decode { clients } => {
                let whole = self.requests_min + REQUESTS_PER_CLIENT * u64::from(clients);
                // Each client asks twice at least: the first time it is alone.
                let share = ((whole as f64 * effort).ceil() as u64).max(2 * u64::from(clients));
                (clients, share.max(REQUESTS_MIN).min(whole))
            }
        };
        if let Task::Prefill { isl } = task {
            if let SourceConfig::Synthetic(laws) = &mut run.source {
                laws.input = LengthLaw::exactly(isl.into());
            }
            run.output = Some(LengthLaw::exactly(1.0));
        }
        run.load = LoadConfig::Lanes(clients);
        run.caps.ramp_ns = ramp_ns;
        run.request_count = Some(requests);
        run.warmup = Some(WarmupConfig {
            requests: Some(u64::from(clients.clamp(2, WARMUP_MAX))),
            sessions: None,
            duration_ns: None,
            grace_ns: i64::MAX,
            load: run.load.clone(),
            caps: Caps::default(),
        });
        run.prompt.cache_salt = run.prompt.cache_salt.map(|salt| format!("{salt}-{}-{effort}", task.dir(candidate.tp)));
        run.export_level = ExportLevel::Summary;
        run.artifact_dir = Some(dir);
        Ok(run)
    }
}

impl SweepArgs {
    /// Whether this sweep measures.
    pub fn is_online(&self) -> bool {
        self.online.online
    }

    /// As the original's name means it: without its flag for predictions, and without any other of ours, it measures.
    pub(super) fn as_profile_sla(&mut self) {
        self.online.online |= self.predicts().is_none();
    }

    /// A measured sweep.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] for what cannot be.
    pub fn resolve_online(&self) -> Result<OnlineConfig> {
        if let Some(flag) = self.predicts() {
            return usage(&format!("--online measures, and {flag} is about predictions: leave out either"));
        }
        let args = &self.online;
        let bounds = Bounds { ttft_ms: self.ttft, itl_ms: self.itl };
        if !(self.max_gpus >= 1 && self.osl >= 2) {
            return usage("--max-gpus must be at least 1, and --osl at least 2: an ITL needs two tokens");
        }
        let sizes = self.sizes().into_iter().map(|tp| Ok((tp, self.gpus_of(tp)?))).collect::<Result<Vec<_>>>()?;
        let (sizes, too_large): (Vec<_>, Vec<_>) = sizes.into_iter().partition(|(_, gpus)| *gpus <= self.max_gpus);
        if sizes.is_empty() {
            return usage("no size of --tp is within --max-gpus");
        }
        let mut prefill_isl = args.prefill_isl.clone();
        if prefill_isl.is_empty() {
            prefill_isl = vec![(self.isl / 8).max(1), (self.isl / 2).max(1), self.isl.saturating_mul(2)];
            prefill_isl.push(self.isl.saturating_mul(4));
        }
        // What is suggested for prefill is suggested at this length.
        prefill_isl.push(self.isl);
        prefill_isl.sort_unstable();
        prefill_isl.dedup();
        let candidates = sizes.iter().map(|size| self.candidate(*size)).collect::<Result<Vec<_>>>()?;
        let mut notes = Vec::new();
        if candidates.iter().any(|c| matches!(c.recipe, Recipe::Simulated)) {
            notes.push(
                "Measured on a simulated deployment, in simulated time: seconds are simulated ones. --endpoint or --launch measures a \
                 real one."
                    .into(),
            );
        }
        let mut batches = args.batches.clone();
        if batches.is_empty() {
            batches = (0..9).map(|power| 1 << power).filter(|n| *n <= args.max_concurrency).collect();
        }
        let spec = match self.resolve() {
            // What is predicted is one engine.
            Ok(predicted) => {
                let tps: Vec<u32> = sizes.iter().filter(|(tp, gpus)| tp == gpus).map(|(tp, _)| *tp).collect();
                (!tps.is_empty()).then_some(Spec { tps, ..predicted.spec })
            }
            Err(why) if self.method.selection().is_some() => {
                notes.push(format!("Nothing is predicted: {why}."));
                None
            }
            Err(_) => None,
        };
        Ok(OnlineConfig {
            model: self.model.clone(),
            gpu: self.aic_system.clone(),
            backend: self.backend,
            isl: self.isl,
            osl: self.osl,
            bounds,
            max_gpus: self.max_gpus,
            candidates,
            too_large,
            prefill_isl,
            prefill_requests: args.prefill_requests,
            requests_min: args.requests_min,
            limits: Limits {
                ttft_ms: bounds.ttft_ms,
                itl_ms: bounds.itl_ms,
                clients_max: args.max_concurrency,
                runs_max: args.points_max as usize,
                growth_min: GROWTH_MIN,
            },
            method: self.method.selection(),
            budget: self.budget()?,
            batches,
            spec,
            seed: Seed(self.seed),
            ready_ns: positive_ns("--ready-timeout", args.ready_timeout)?,
            stop_ns: positive_ns("--stop-timeout", args.stop_timeout)?,
            format: self.format,
            output_dir: self.output_dir.clone().unwrap_or_else(|| OUTPUT_DIR.into()),
            notes,
        })
    }

    /// The first flag that has a meaning for predictions alone.
    fn predicts(&self) -> Option<&'static str> {
        let flags = [
            (self.use_ai_configurator, "--use-ai-configurator"),
            (self.plots.dir.is_some(), "--plots"),
            (self.points.is_some(), "--points"),
            (self.regret, "--regret"),
            (self.aic_tables.is_some(), "--aic-tables"),
            (!self.calibrate_from.is_empty(), "--calibrate-from"),
            (self.profile.is_some(), "--profile"),
            (self.under_load, "--under-load"),
            (self.trace.input_file.is_some(), "--input-file"),
            (self.gpu_hour_price.is_some(), "--gpu-hour-price"),
        ];
        flags.iter().find(|(is_given, _)| *is_given).map(|(_, name)| *name)
    }

    fn budget(&self) -> Result<Budget> {
        let args = &self.online;
        if self.method.selection().is_none()
            && (args.top.is_some() || args.budget_gpu_s.is_some() || !args.batches.is_empty())
        {
            return usage(
                "--top, --budget-gpu-s and --batches bound a method: name it with --method, e.g. --method stack-rank",
            );
        }
        let gpu_s = args.budget_gpu_s.unwrap_or(f64::INFINITY);
        if gpu_s.is_nan() || gpu_s <= 0.0 {
            return usage("--budget-gpu-s must be seconds above 0");
        }
        Ok(Budget { gpu_s, ..args.top.map_or(Budget::NONE, Budget::measurements) })
    }

    fn candidate(&self, (tp, gpus): (u32, u32)) -> Result<CandidateConfig> {
        let args = &self.online;
        let recipe = self.recipe(tp)?;
        if matches!(recipe, Recipe::Simulated) {
            model_file::shape(&self.model)?;
            gpu::lookup(&self.aic_system)?;
        }
        let url = match &recipe {
            Recipe::Simulated => None,
            Recipe::Given(url) => Some(url.clone()),
            // Any that is one: where it will be is known when it is there.
            Recipe::Launched(_) | Recipe::Kubernetes(_) => Some("http://127.0.0.1:1".into()),
        };
        let target = TargetArgs {
            model: Some(self.model.clone()),
            url_from_env: false,
            simulate: url.is_none(),
            url,
            header: args.header.clone(),
            api_key: args.api_key.clone(),
            request_timeout_seconds: 21_600.0,
            no_server_metrics: args.no_server_metrics,
            isl: self.isl,
            osl: self.osl,
            no_force_osl: false,
            random_seed: Some(self.seed),
            ttft_target: self.ttft,
            itl_target: self.itl,
            hardware: HardwareArgs { gpu: self.aic_system.clone(), backend: self.backend.as_str().into(), tp },
            engines: EngineArgs { max_num_seqs: args.max_num_seqs, ..EngineArgs::untyped()? },
        };
        Ok(CandidateConfig { tp, gpus, recipe, base: target.profile()? })
    }

    /// What a flag that is given once for each size (`tp=N=VALUE`), or once for all (`VALUE`), says of one size: its own, and that of all.
    fn of_size<'a>(&self, flag: &str, given: &'a [String], tp: u32) -> Result<[Option<&'a str>; 2]> {
        let [mut own, mut all] = [None; 2];
        for text in given {
            let (size, value) = match text.strip_prefix("tp=").and_then(|rest| rest.split_once('=')) {
                Some((size, value)) => match size.parse::<u32>() {
                    Ok(size) if self.tp.contains(&size) => (Some(size), value),
                    _ => return usage(&format!("{flag} {text}: TP `{size}` is none of --tp")),
                },
                None => (None, text.as_str()),
            };
            let slot = if size.is_none() { &mut all } else { &mut own };
            if size.is_none_or(|size| size == tp) && slot.replace(value).is_some() {
                return usage(&format!("{flag} {text}: this size has one already"));
            }
        }
        Ok([own, all])
    }

    /// GPUs of the deployment of a size.
    fn gpus_of(&self, tp: u32) -> Result<u32> {
        let [own, all] = self.of_size("--gpus", &self.online.gpus, tp)?;
        let Some(text) = own.or(all) else { return Ok(tp) };
        let gpus = text.parse().ok().filter(|gpus| *gpus >= tp).ok_or_else(|| {
            Error::Usage(format!("--gpus {text}: a deployment of TP{tp} takes at least {tp}; write tp={tp}=GPUS"))
        })?;
        if gpus != tp && matches!(self.recipe(tp)?, Recipe::Simulated) {
            return usage(&format!("--gpus {text}: what is simulated is one engine, of {tp} GPUs"));
        }
        Ok(gpus)
    }

    /// Where the deployment of a size comes from: its own --endpoint, the one for all, --launch, or simulated.
    fn recipe(&self, tp: u32) -> Result<Recipe> {
        let [own, all] = self.of_size("--endpoint", &self.online.endpoint, tp)?;
        if own.is_none() && all.is_some_and(|place| place != SIMULATED) && self.sizes().len() > 1 {
            return usage("--endpoint: one URL is one size: give tp=N=URL for each, or --tp N");
        }
        match (own.or(all), &self.online.launch) {
            (Some(SIMULATED), _) => Ok(Recipe::Simulated),
            (Some(url), _) => BaseUrl::parse(url).map(|_| Recipe::Given(url.to_owned())),
            (None, Some(launch)) => match launch.strip_prefix(KUBECTL) {
                Some(file) => Manifest::read(Path::new(file), self.namespace.as_deref()).map(Recipe::Kubernetes),
                None => Template::parse(launch).map(Recipe::Launched),
            },
            (None, None) if self.online.endpoint.is_empty() => Ok(Recipe::Simulated),
            (None, None) => usage(&format!("TP {tp} has no --endpoint: give one, or leave it out of --tp")),
        }
    }
}
