//! The arguments that describe the engines of a simulated deployment, for `serve` and for a `profile` without a URL.

use std::path::PathBuf;
use std::sync::Arc;

use super::model_file;
use super::profile::SIMULATED;
use crate::error::{Error, Result};
use crate::profiler::calibrate::file::ProfileFile;
use crate::profiler::disaggregate::Handoff;
use crate::profiler::results::timing::MeasuredTimes;
use crate::sim::batch::Admission;
use crate::sim::config::{Disaggregation, ServeConfig};
use crate::sim::disaggregated::FirstToken;

/// What a simulated deployment runs on, where there is no URL.
#[derive(Clone, Debug, clap::Args)]
pub struct HardwareArgs {
    /// GPU of the simulated deployment.
    #[arg(long, value_name = "NAME", default_value = "h200_sxm", help_heading = SIMULATED)]
    pub gpu: String,

    /// Serving engine of the simulated deployment: vllm, trtllm or sglang.
    #[arg(long, value_name = "NAME", default_value = "vllm", help_heading = SIMULATED)]
    pub backend: String,

    /// GPUs of the simulated deployment (tensor parallelism): 1, 2, 4 or 8.
    #[arg(long, value_name = "GPUS", default_value_t = 4, help_heading = SIMULATED)]
    pub tp: u32,
}

/// How many engines, and what each can hold.
#[derive(Clone, Debug, clap::Args)]
pub struct EngineArgs {
    /// What was measured. A calibration's file (`sweep --calibrate-from RUN_DIR --profile-output FILE`) adds host time of requests, steps
    /// and sequences, how much slower prompts are than their kernels, and, for --prefill-replicas, the bandwidth of the hand-off. What a
    /// profiler wrote (a directory with selected_*_interpolation/raw_data.npz, one .npz or JSON with both tables, also by the names
    /// of Dynamo's mock engine, or a ConfigMap) times iterations in place of the model, and tells the size of the KV cache.
    #[arg(long, visible_alias = "engine-profile", value_name = "FILE|DIR", help_heading = SIMULATED)]
    pub profile: Option<PathBuf>,

    /// Sequences that run at once; more wait in the queue, in order of arrival.
    #[arg(long, value_name = "N", default_value_t = 256, help_heading = SIMULATED)]
    pub max_num_seqs: u32,

    /// Tokens of one iteration, prompts and answers together; longer prompts are prefilled in chunks.
    #[arg(long, value_name = "TOKENS", default_value_t = 8192, help_heading = SIMULATED)]
    pub max_num_batched_tokens: u32,

    /// Engines of this kind; each request goes to the one with the fewest under way.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = SIMULATED)]
    pub replicas: u32,

    /// Compute prompts on so many engines of their own, and only generate on the others.
    #[arg(long, value_name = "N", help_heading = SIMULATED)]
    pub prefill_replicas: Option<u32>,

    /// Tensor-parallel size of those engines. [default: that of --tp]
    #[arg(long, value_name = "GPUS", requires = "prefill_replicas", help_heading = SIMULATED)]
    pub prefill_tp: Option<u32>,

    /// Bandwidth of the link that hands the KV cache of a prompt over, one prompt at a time. [default: what --profile tells, else 50]
    #[arg(long, value_name = "GB_PER_S", help_heading = SIMULATED)]
    pub handoff_gb_per_s: Option<f64>,

    /// Time of every hand-over beside that. [default: 0]
    #[arg(long, value_name = "MS", help_heading = SIMULATED)]
    pub handoff_setup_ms: Option<f64>,

    /// When the first token gets out: when the decode engine has the whole cache (after); when its prompt is computed (before); or, where
    /// that engine is idle, when the first of its GPUs has its share, which come one after the other (first-share).
    #[arg(long, value_enum, default_value = "after", value_name = "WHEN", help_heading = SIMULATED)]
    pub handoff_first_token: FirstTokenArg,

    /// Tokens of KV cache of each engine. [default: what fits beside the weights]
    #[arg(long, value_name = "TOKENS", help_heading = SIMULATED)]
    pub kv_cache_tokens: Option<u64>,

    /// Never find again what earlier prompts left in the cache.
    #[arg(long, alias = "no-enable-prefix-caching", help_heading = SIMULATED)]
    pub no_prefix_caching: bool,

    /// Who is let in while the cache is short: whoever has room for its next chunk, and the youngest is thrown out when that was
    /// too many (preempt); or only whom there is room for until its end (reserve). [default: reserve for trtllm, else preempt]
    #[arg(long, value_enum, help_heading = SIMULATED)]
    pub admission: Option<AdmissionArg>,

    /// Refuse a request when so many wait already. [default: the queue has no end]
    #[arg(long, value_name = "N", help_heading = SIMULATED)]
    pub queue_limit: Option<u32>,

    /// Status of such a refusal: 503, or 429 or 529 as some servers have it.
    #[arg(long, value_name = "STATUS", default_value_t = 503, help_heading = SIMULATED)]
    pub queue_full_status: u16,

    /// Time of an iteration beside its forward pass: scheduling, sampling, the host.
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds, help_heading = SIMULATED)]
    pub step_overhead_ms: f64,

    /// The same for each sequence in it.
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds, help_heading = SIMULATED)]
    pub sequence_overhead_ms: f64,

    /// Context length: a request whose prompt and answer together exceed it gets a 400.
    ///
    /// The default is longer than the real context of the models (Qwen3-32B: 40960), so that production traces with
    /// prompts above 131072 tokens can be replayed.
    #[arg(long, value_name = "TOKENS", default_value_t = 262_144, help_heading = SIMULATED)]
    pub max_model_len: u32,

    /// Divide every simulated time by this: 10 makes the deployment ten times as fast, 0.5 half as fast.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, help_heading = SIMULATED)]
    pub speedup: f64,

    /// Vary the time of iterations at random: the standard deviation of its logarithm (0.1 is about 10 %).
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0, help_heading = SIMULATED)]
    pub step_noise: f64,
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

/// Spellings of [`FirstToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FirstTokenArg {
    /// With the whole cache.
    After,
    /// With the end of the prefill.
    Before,
    /// With the first GPU's share, where the engine is idle.
    FirstShare,
}

impl FirstTokenArg {
    fn meant(self) -> FirstToken {
        match self {
            FirstTokenArg::After => FirstToken::After,
            FirstTokenArg::Before => FirstToken::Before,
            FirstTokenArg::FirstShare => FirstToken::FirstShare,
        }
    }
}

/// A length of time that a simulated token can take: a day is beyond all use, and far from where nanoseconds overflow.
pub(super) fn milliseconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ms) if (0.0..=86_400_000.0).contains(&ms) => Ok(ms),
        _ => Err("give milliseconds, from 0 to a day (86400000)".into()),
    }
}

impl EngineArgs {
    /// As where nothing is typed.
    pub(super) fn untyped() -> Result<EngineArgs> {
        #[derive(clap::Parser)]
        struct Untyped {
            #[command(flatten)]
            engines: EngineArgs,
        }
        let none = <Untyped as clap::Parser>::try_parse_from(["engines"]);
        none.map(|all| all.engines).map_err(|e| Error::Internal(e.to_string()))
    }

    /// The deployment `base`, with these engines; `tp` is that of the ones that generate.
    ///
    /// # Errors
    /// Those of `model_file::described`, [`MeasuredTimes::read`], [`ProfileFile::load`] and [`ProfileFile::must_fit`].
    pub(super) fn fill(&self, mut base: ServeConfig) -> Result<ServeConfig> {
        base.shape = model_file::described(&base.model)?;
        if let Some(path) = &self.profile {
            match MeasuredTimes::read(path)? {
                Some(times) => base.tables = Some(Arc::new(times)),
                None => {
                    let file = ProfileFile::load(path)?;
                    file.must_fit(base.shape()?.names[0], &base.gpu, base.backend.as_str())?;
                    base.calibration = Some(Box::new(file.calibration));
                }
            }
        }
        let handoff = self.handoff(&base);
        Ok(ServeConfig {
            max_num_seqs: self.max_num_seqs,
            max_num_batched_tokens: self.max_num_batched_tokens,
            replicas: self.replicas,
            disaggregation: self.prefill_replicas.map(|prefill_replicas| Disaggregation {
                prefill_replicas,
                prefill_tp: self.prefill_tp.unwrap_or(base.tp),
                handoff_bytes_per_s: handoff.bytes_per_s,
                handoff_setup_s: handoff.constant_ms / 1e3,
                first_token: self.handoff_first_token.meant(),
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
            ..base
        })
    }

    /// As typed; else, as a sweep does, what the calibration tells of it.
    fn handoff(&self, base: &ServeConfig) -> Handoff {
        if self.handoff_gb_per_s.is_none() && self.handoff_setup_ms.is_none() {
            let stage = base.calibration.as_ref().and_then(|c| c.deployment);
            // A model that is not known is refused when its engines are made.
            if let (Some(stage), Ok(model)) = (stage, base.shape()) {
                return Handoff::measured(model, &stage);
            }
        }
        let assumed = Handoff::default();
        Handoff {
            bytes_per_s: self.handoff_gb_per_s.map_or(assumed.bytes_per_s, |gb| gb * 1e9),
            constant_ms: self.handoff_setup_ms.unwrap_or(assumed.constant_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::profiler::calibrate::{Calibration, SerialStage};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: EngineArgs,
    }

    #[test]
    fn the_hand_off_is_what_was_measured_unless_it_is_given() {
        // A prompt of 2048 tokens is 536,870,912 bytes of Qwen3-32B's cache.
        let stage = SerialStage { idle_ttft_ms: 900.0, serial_ms: 1250.0, itl_ms: 12.0, isl: 2048.0, osl: 256.0 };
        let calibration = Calibration { deployment: Some(stage), ..Calibration::default() };
        let handoff = |line: &str, calibration: Option<Calibration>| {
            let base = ServeConfig { calibration: calibration.map(Box::new), ..ServeConfig::default() };
            let filled =
                Cli::parse_from(format!("x --prefill-replicas 1 {line}").split_whitespace()).args.fill(base).unwrap();
            let d = filled.disaggregation.unwrap();
            (d.handoff_bytes_per_s, d.handoff_setup_s)
        };
        let (rate, setup) = handoff("", Some(calibration));
        assert!((536_870_912.0 / rate - 1.25).abs() < 1e-9 && setup == 0.0, "{rate} {setup}");
        assert_eq!(handoff("--handoff-gb-per-s 2", Some(calibration)), (2e9, 0.0));
        assert_eq!(handoff("--handoff-setup-ms 5", Some(calibration)), (50e9, 0.005));
        assert_eq!(handoff("", None), (50e9, 0.0));
    }
}
