//! The arguments of `loadline sweep`.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::model_file;
use super::online::OnlineArgs;
use super::plots::PlotsArgs;
use super::site_packages;
use super::trace::TraceArgs;
use crate::comparison::selection::{self, Method};
use crate::error::{Error, Result};
use crate::profiler::aic::KernelTables;
use crate::profiler::backend::Backend;
use crate::profiler::calibrate::Calibration;
use crate::profiler::capacity::{Sla, Workload};
use crate::profiler::disaggregate::Handoff;
use crate::profiler::gpu;
use crate::profiler::gpu::Gpu;
use crate::profiler::sweep::Spec;
use crate::rng::Seed;
use crate::trace::ReadOptions;
use crate::trace::transform::Transforms;

/// Predict TTFT, ITL, capacity and cost for each tensor-parallel size, and say what to deploy.
///
/// Nothing is deployed, sent or measured: the time of a forward pass is predicted from the model's dimensions and the GPU's
/// measured kernels, in milliseconds and without Python. Every figure names its stage: the static engine (nobody waits),
/// aggregated (one engine prefills and decodes), or disaggregated (workers of their own for each, and a hand-off between
/// them). Latencies are means.
///
/// With --output-dir the result is also written: sweep.json, sweep.csv, sweep.html (a page), and what Dynamo's profiler would
/// write (profile_sla.log, config_with_planner.yaml, selected_{prefill,decode}_interpolation/raw_data.npz).
///
/// With --online nothing is predicted: a deployment of each size is measured, started for it where that is wanted.
///
/// Exit code 1 where no topology meets the SLA; the bound that cannot be met and the nearest point are then told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SweepArgs {
    /// Model, by its Hugging Face id, or the config.json (or its folder) of any other.
    #[arg(long, default_value = super::serve::DEFAULT_MODEL)]
    pub model: String,

    /// Serving engine whose kernels and memory policy are predicted.
    #[arg(long, default_value = "vllm", value_parser = PossibleValuesParser::new(Backend::ALL.map(Backend::as_str)).try_map(|name| Backend::parse(&name)))]
    pub backend: Backend,

    /// GPU: h200_sxm, h100_sxm, a100_sxm, b200_sxm, l40s, or (kernels of b200_sxm, scaled) b300_sxm, gb200 or gb300.
    #[arg(long, value_name = "NAME", default_value = "h200_sxm", visible_alias = "gpu", alias = "system")]
    pub aic_system: String,

    /// Whose prediction to show: loadline's own (model); or also AI Configurator's (aic), where `aiconfigurator` or `aisimulate` is on
    /// the PATH. It takes about 20 seconds; that it was used, or why not, is told.
    ///
    /// With --online: who chooses among sizes and batches, and measures what it needs for that (docs/methods.md): predict-all,
    /// measure-all, stack-rank, hybrid, bayesian, halving or random. Without it every size is swept.
    #[arg(long, value_name = "NAME", default_value = "model", value_parser = method_arg)]
    pub method: MethodArg,

    /// Take the times of kernels from AI Configurator's own tables, by interpolation, in place of the constants of this program.
    ///
    /// The folder that the Python package aiconfigurator_core lies in, or its systems/data; `auto` for the one that is installed. No
    /// Python is run. GEMMs, attention and all-reduces come from the tables of the GPU and the backend where these have the format,
    /// the heads and the window; the rest, experts and latent attention always, from the constants. Which is which is told.
    #[arg(long, value_name = "DIR|auto", conflicts_with = "points")]
    pub aic_tables: Option<PathBuf>,

    /// Taken for the sake of profile_sla's command lines: predictions are made here in any case. To call AI Configurator as
    /// well: --method aic.
    #[arg(long)]
    pub use_ai_configurator: bool,

    /// Namespace of the cluster that --launch kubectl:FILE deploys into. A prediction takes it for the sake of profile_sla's command
    /// lines: nothing is deployed.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Tensor-parallel sizes.
    #[arg(long, value_name = "GPUS", value_delimiter = ',', default_value = "1,2,4,8")]
    pub tp: Vec<u32>,

    /// Tokens of a prompt.
    #[arg(long, value_name = "TOKENS", default_value_t = 2048)]
    pub isl: u32,

    /// Tokens of an answer.
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    pub osl: u32,

    /// Bound on the mean time to first token.
    #[arg(long, value_name = "MS", default_value_t = 500.0)]
    pub ttft: f64,

    /// Bound on the mean time from token to token.
    #[arg(long, value_name = "MS", default_value_t = 50.0)]
    pub itl: f64,

    /// GPUs that a deployment may take.
    #[arg(long, value_name = "N", default_value_t = 8, visible_alias = "num-gpus")]
    pub max_gpus: u32,

    /// Price of a GPU for an hour, in any currency, for costs per million tokens.
    #[arg(long, value_name = "PRICE")]
    pub gpu_hour_price: Option<f64>,

    /// Bandwidth at which a prefill worker hands the KV blocks of a prompt to a decode worker.
    ///
    /// The default is one 400 Gb/s network card, an assumption, unless a calibration tells. Over TCP expect well under 1.
    /// [default: 50]
    #[arg(long, value_name = "GB/S")]
    pub handoff_gb_per_s: Option<f64>,

    /// What a hand-off takes beside its bytes. [default: 0]
    #[arg(long, value_name = "MS")]
    pub handoff_ms: Option<f64>,

    /// Fit what the kernels do not tell (host time of requests, steps and sequences, the stage that all requests pass one by
    /// one) to measurements of the same model, GPU and engine, and predict with it.
    ///
    /// Directories of runs with profile_export_aiperf.json (aiperf's or loadline's, also one for each level below it or below
    /// validation/), and of profilers' runs with their tables. Two prompt lengths, two batches and two numbers of clients are
    /// fitted on; the rest tells the error.
    #[arg(long, value_name = "RUN_DIR", num_args = 1..)]
    pub calibrate_from: Vec<PathBuf>,

    /// Where to keep what was fitted, for --profile of later sweeps and of `serve`.
    #[arg(long, value_name = "FILE", requires = "calibrate_from")]
    pub profile_output: Option<PathBuf>,

    /// Predict with what an earlier --calibrate-from fitted.
    #[arg(long, value_name = "FILE", conflicts_with = "calibrate_from")]
    pub profile: Option<PathBuf>,

    /// Also play the recommended topology and the runner-up through, request by request in simulated time: percentiles and SLO
    /// attainment by request rate and by number of clients, and the rate up to which attainment holds.
    #[arg(long)]
    pub under_load: bool,

    /// Share of requests that has to meet the SLA, each by its own TTFT and mean ITL, under load.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub attainment: f64,

    /// Seed of the arrivals under load.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Requests to play through at their own times, in place of equal ones at a rate; implies --under-load.
    #[command(flatten)]
    pub trace: TraceArgs,

    /// Measuring.
    #[command(flatten)]
    pub online: OnlineArgs,

    /// In place of a sweep: predict each row of this CSV file and, where it says what was measured, how far that is off.
    ///
    /// The header tells what its rows are. Forward passes: model, system, backend, tp, kind (prefill or decode), batch, seq_len; quant,
    /// moe_ep and latency_ms may be there. Aggregated serving: model_path, system, backend, isl, osl, batch_size (requests under
    /// way), tp_size; gemm_quant_mode, moe_quant_mode, precision, mode, attention_dp_size, moe_tp_size, moe_ep_size,
    /// silicon_ttft_ms and silicon_tpot_ms may be there. All other options of the verb are without effect.
    #[arg(long, value_name = "FILE", conflicts_with = "plots")]
    pub points: Option<PathBuf>,

    /// Where to write the rows of --points with what is predicted for them; by default to standard output.
    ///
    /// Added are predicted_ms, or predicted_ttft_ms and predicted_tpot_ms, each with the bounds of its error band (_low, _high), the
    /// stage of serving that they are about, and the status: predicted, or why not.
    #[arg(long, value_name = "FILE", requires = "points")]
    pub output: Option<PathBuf>,

    /// With --points: how much each way to choose a tensor-parallel size would have lost on the measured ones of the table.
    ///
    /// For every model, GPU, engine and workload with three sizes or more, within TTFT 500, 1000 and 2000 ms and TPOT 30 and 50 ms: the
    /// mean regret, with an interval, of fixed choices and of every method (docs/methods.md), and how much it measured. Columns
    /// aic_ttft_ms and aic_tpot_ms, which scripts/aic_points.py adds, are judged as a second prediction. --seed and --format
    /// text and json hold.
    #[arg(long, requires = "points", conflicts_with = "output")]
    pub regret: bool,

    /// How to print it.
    #[arg(long, value_enum, default_value_t = SweepFormat::Text)]
    pub format: SweepFormat,

    /// Where to write the result as files; by default none are written.
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,

    /// Pictures.
    #[command(flatten)]
    pub plots: PlotsArgs,
}

const EXAMPLES: &str = "\
Examples:
  Which tensor-parallel size for Qwen3-32B on H200, at 500 ms to the first token and 50 ms between tokens:
    loadline sweep --model Qwen/Qwen3-32B --backend trtllm --aic-system h200_sxm \\
      --isl 2048 --osl 256 --ttft 500 --itl 50 --output-dir results/aic_all

  The same on 16 GPUs whose KV blocks travel over TCP, with costs:
    loadline sweep --max-gpus 16 --handoff-gb-per-s 0.4 --gpu-hour-price 3.5

  With the kernels that the installed AI Configurator has measured:
    loadline sweep --backend trtllm --aic-tables auto

  How far predictions are from a table of measurements:
    loadline sweep --points measured.csv --output scored.csv

  What following a prediction, or measuring the first two of it, would have cost on those measurements:
    loadline sweep --points measured.csv --regret

  What the recommended topology does under load, and on a trace:
    loadline sweep --backend trtllm --input-file conversation_trace.jsonl --custom-dataset-type mooncake_trace

  Fit host time and hand-off to what was measured, and keep it for the simulated deployment:
    loadline sweep --backend vllm --calibrate-from results/online_all --profile-output h200.json
    loadline serve --backend vllm --profile h200.json

  Measure instead, each size on vLLM that is started for it (more in docs/online.md):
    loadline sweep --online --launch 'vllm serve {model} --tensor-parallel-size {tp} --port {port}' --output-dir results/online_all

  The Pareto front for a program:
    loadline sweep --format json | jq .pareto_front";

/// Whose prediction, or who chooses, as typed.
#[derive(Clone, Copy, Debug)]
pub enum MethodArg {
    /// The compact model of this program.
    Model,
    /// And AI Configurator's.
    Aic,
    /// A method that measures.
    Selection(&'static Method),
}

impl MethodArg {
    /// The method that measures, if it is one.
    pub(super) fn selection(self) -> Option<&'static Method> {
        match self {
            MethodArg::Selection(method) => Some(method),
            MethodArg::Model | MethodArg::Aic => None,
        }
    }
}

fn method_arg(name: &str) -> std::result::Result<MethodArg, String> {
    match name {
        "model" => Ok(MethodArg::Model),
        "aic" => Ok(MethodArg::Aic),
        other => selection::method(other).map(MethodArg::Selection).map_err(|e| format!("{e}, or model, or aic")),
    }
}

/// Ways to print, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SweepFormat {
    /// For people.
    Text,
    /// For programs, everything.
    Json,
    /// For spreadsheets: every operating point.
    Csv,
}

/// Where calibration comes from.
#[derive(Clone, Debug)]
pub enum Measured {
    /// From measurements, fitted now.
    Runs {
        /// Directories.
        dirs: Vec<PathBuf>,
        /// Where to keep what was fitted.
        output: Option<PathBuf>,
    },
    /// From a file.
    File(PathBuf),
}

/// What is played through in simulated time.
#[derive(Clone, Debug)]
pub struct UnderLoadConfig {
    /// Share of requests that has to meet the SLA.
    pub attainment: f64,
    /// Seed of the arrivals.
    pub seed: Seed,
    /// A trace, how it is read and what is done to it.
    pub trace: Option<(PathBuf, ReadOptions, Transforms)>,
}

/// A sweep as it is meant.
#[derive(Clone, Debug)]
pub struct SweepConfig {
    /// What is asked.
    pub spec: Spec,
    /// Price of a GPU for an hour.
    pub gpu_hour_price: Option<f64>,
    /// Where calibration comes from, if it does.
    pub measured: Option<Measured>,
    /// Whether the hand-off was given, and no calibration may change it.
    pub handoff_given: bool,
    /// Whether AI Configurator is asked too.
    pub ask_aic: bool,
    /// What is played through, if anything is.
    pub under_load: Option<UnderLoadConfig>,
    /// How it is printed.
    pub format: SweepFormat,
    /// Where files go.
    pub output_dir: Option<PathBuf>,
    /// Where plots go as pictures.
    pub plots: Option<PathBuf>,
    /// What of the command line had no effect, and why.
    pub notes: Vec<String>,
}

impl SweepArgs {
    /// Names become data.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name or a price that is none. What the numbers cannot be is found by
    /// [`Spec::sweep`].
    pub fn resolve(&self) -> Result<SweepConfig> {
        if let (Some(method), false) = (self.method.selection(), self.is_online()) {
            return Err(Error::Usage(format!("--method {} measures, and needs --online", method.name)));
        }
        if self.gpu_hour_price.is_some_and(|price| !(price.is_finite() && price >= 0.0)) {
            return Err(Error::Usage("--gpu-hour-price must be a number, at least 0".into()));
        }
        let spec = Spec {
            model: model_file::shape(&self.model)?,
            gpu: self.gpu()?,
            backend: self.backend,
            tps: self.sizes(),
            workload: Workload { isl_tokens: self.isl, osl_tokens: self.osl },
            sla: Sla { ttft_ms: self.ttft, itl_ms: self.itl },
            max_gpus: self.max_gpus,
            handoff: Handoff {
                bytes_per_s: self.handoff_gb_per_s.map_or(Handoff::default().bytes_per_s, |gb| gb * 1e9),
                constant_ms: self.handoff_ms.unwrap_or(Handoff::default().constant_ms),
            },
            calibration: Calibration::default(),
        };
        Ok(SweepConfig {
            spec,
            gpu_hour_price: self.gpu_hour_price,
            under_load: self.under_load()?,
            ask_aic: matches!(self.method, MethodArg::Aic),
            measured: self.measured(),
            handoff_given: self.handoff_gb_per_s.is_some() || self.handoff_ms.is_some(),
            format: self.format,
            output_dir: self.output_dir.clone(),
            plots: self.plots.dir.clone(),
            notes: self.notes(),
        })
    }

    /// The sizes, each once, ascending.
    pub(super) fn sizes(&self) -> Vec<u32> {
        let mut tps = self.tp.clone();
        tps.sort_unstable();
        tps.dedup();
        tps
    }

    fn gpu(&self) -> Result<&'static Gpu> {
        let gpu = gpu::lookup(&self.aic_system)?;
        let Some(dir) = &self.aic_tables else { return Ok(gpu) };
        let dir = match dir.to_str() {
            Some("auto") => site_packages::holding(AIC_PACKAGE).into_iter().next().ok_or_else(|| {
                Error::Usage(format!(
                    "--aic-tables auto: no {AIC_PACKAGE} is installed; pip install aiconfigurator-core==0.12.0, or name its folder"
                ))
            })?,
            _ => dir.clone(),
        };
        Ok(gpu.tabled(KernelTables::read(&dir, gpu, self.backend)?))
    }

    fn measured(&self) -> Option<Measured> {
        if let Some(file) = &self.profile {
            return Some(Measured::File(file.clone()));
        }
        let (dirs, output) = (self.calibrate_from.clone(), self.profile_output.clone());
        (!dirs.is_empty()).then_some(Measured::Runs { dirs, output })
    }

    fn under_load(&self) -> Result<Option<UnderLoadConfig>> {
        if !(self.attainment > 0.0 && self.attainment <= 1.0) {
            return Err(Error::Usage(format!("--attainment {} must lie above 0 and be at most 1", self.attainment)));
        }
        let transforms = self.trace.transforms()?;
        let trace = self.trace.input_file.clone().map(|path| (path, self.trace.read_options(), transforms));
        let wanted = self.under_load || trace.is_some();
        Ok(wanted.then_some(UnderLoadConfig { attainment: self.attainment, seed: Seed(self.seed), trace }))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.use_ai_configurator && matches!(self.method, MethodArg::Model) {
            notes.push("AI Configurator was not called: every figure is predicted by loadline's own model (--method aic calls it).".into());
        }
        if let Some(namespace) = &self.namespace {
            notes.push(format!("Nothing was deployed into namespace {namespace}, and nothing measured."));
        }
        notes
    }
}

/// The Python package with AI Configurator's tables.
const AIC_PACKAGE: &str = "aiconfigurator_core";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: SweepArgs,
    }

    #[test]
    fn the_plans_command_lines_are_understood() {
        let line = "sweep --model Qwen/Qwen3-32B --backend trtllm --use-ai-configurator --aic-system h200_sxm \
                    --isl 2048 --osl 256 --ttft 500 --itl 50 --output-dir results/aic_all";
        let config = Cli::parse_from(line.split_whitespace()).args.resolve().unwrap();
        assert_eq!((config.spec.backend, config.spec.gpu.name), (Backend::TrtLlm, "h200_sxm"));
        assert_eq!((&config.spec.tps[..], config.spec.max_gpus), (&[1, 2, 4, 8][..], 8));
        assert!(config.notes[0].contains("was not called"), "{:?}", config.notes);
        let line = "sweep --model Qwen/Qwen3-32B --backend vllm --namespace me --isl 2048 --osl 256 --ttft 500 --itl 50 \
                    --output-dir results/online_all";
        let config = Cli::parse_from(line.split_whitespace()).args.resolve().unwrap();
        assert!(config.notes[0].contains("namespace me"), "{:?}", config.notes);
    }

    #[test]
    fn sizes_are_a_list_and_what_is_unknown_is_refused() {
        let resolve = |line: &str| Cli::parse_from(line.split(' ')).args.resolve();
        assert_eq!(resolve("sweep --tp 4,2,4").unwrap().spec.tps, [2, 4]);
        assert!(resolve("sweep --gpu tpu").unwrap_err().to_string().contains("h200_sxm"));
        assert!(resolve("sweep --gpu-hour-price=-1").unwrap_err().to_string().contains("--gpu-hour-price"));
    }
}
