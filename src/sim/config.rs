//! What a simulated deployment is: its model and engines, its times, what it does wrong, and where it listens.
//!
//! In: settings. Out: a [`Deployment`] that does as they say, or the setting that cannot be.
//! Not here: the server that puts it behind a port ([`super::server`]).

use std::sync::Arc;

use super::batch::{Admission, BatchConfig, ContinuousBatch, StepTime, check_speedup};
use super::constant::ConstantTime;
use super::delayed::Delayed;
use super::deployment::Deployment;
use super::disaggregated::{Disaggregated, FirstToken, Link};
use super::fault::FaultRule;
use super::replicas::Replicas;
use super::table_time::TableTime;
use super::tls::TlsFiles;
use crate::error::{Error, Result};
use crate::profiler::backend::Backend;
use crate::profiler::calibrate::Calibration;
use crate::profiler::cost::CostModel;
use crate::profiler::gpu::Gpu;
use crate::profiler::model::ModelShape;
use crate::profiler::results::timing::MeasuredTimes;
use crate::profiler::{gpu, memory, model};
use crate::rng::Seed;

/// An engine, however its iterations are timed.
type Batch = ContinuousBatch<Box<dyn StepTime + Send>>;

/// Engines of one kind, at most: each has a block table of its own.
const REPLICAS_MAX: u32 = 256;

/// Where a deployment's times come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Continuous batching, timed by the profiler's model.
    #[default]
    Model,
    /// The same times for every request, with room for all of them: model, GPU and the batch's limits do not count.
    Constant {
        /// From a request's arrival to its first token, in nanoseconds, at least 0.
        ttft_ns: i64,
        /// From each token to the next, in nanoseconds, at least 0.
        itl_ns: i64,
    },
}

/// A deployment whose prompts are computed by engines of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disaggregation {
    /// Engines that compute prompts.
    pub prefill_replicas: u32,
    /// Tensor-parallel size of each of them.
    pub prefill_tp: u32,
    /// Bytes per second of the link between prefill and decode.
    pub handoff_bytes_per_s: f64,
    /// Time of every hand-over beside that, in seconds.
    pub handoff_setup_s: f64,
    /// When the first token gets out.
    pub first_token: FirstToken,
}

/// A simulated deployment and where it listens.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The model, by a name that [`model::lookup`] knows unless `shape` is given; requests must use the same spelling.
    pub model: String,
    /// Its dimensions, where they are not those of a model that is known by that name.
    pub shape: Option<&'static ModelShape>,
    /// The GPU, by a name that [`gpu::lookup`] knows.
    pub gpu: String,
    /// The GPU itself, where it bears tables of its own.
    pub hardware: Option<&'static Gpu>,
    /// The serving engine.
    pub backend: Backend,
    /// Tensor-parallel size: GPUs of the deployment.
    pub tp: u32,
    /// Where its times come from.
    pub timing: Timing,
    /// Address or name to listen on.
    pub host: String,
    /// Port to listen on; 0 for any.
    pub port: u16,
    /// The certificate to show; `None` for connections in the clear.
    pub tls: Option<TlsFiles>,
    /// Sequences that run at once, at most.
    pub max_num_seqs: u32,
    /// Tokens of one iteration, at most.
    pub max_num_batched_tokens: u32,
    /// Engines of this kind, behind one door.
    pub replicas: u32,
    /// Prompts on engines of their own; the engines above then only generate.
    pub disaggregation: Option<Disaggregation>,
    /// Tokens of KV cache of each engine; `None` for what fits beside the weights.
    pub kv_tokens: Option<u64>,
    /// Whether what earlier prompts left in the cache is found again.
    pub prefix_caching: bool,
    /// Who is let in while the cache is short; `None` for the backend's own way.
    pub admission: Option<Admission>,
    /// Requests that may wait in each engine; one more is refused.
    pub queue_limit: Option<u32>,
    /// The status of a request that is refused so.
    pub queue_full_status: u16,
    /// What the server does wrong, and to how many.
    pub faults: Vec<FaultRule>,
    /// Wait before every connection is accepted, in nanoseconds.
    pub accept_delay_ns: i64,
    /// When all connections are cut off at once, as a restart does, in nanoseconds since the start. The cache stays.
    pub restart_ns: Option<i64>,
    /// Time of an iteration beside its forward pass, in seconds.
    pub step_overhead_s: f64,
    /// The same per sequence in it.
    pub sequence_overhead_s: f64,
    /// What a profiler measured of an engine, in place of the model's times, and of its KV cache.
    pub tables: Option<Arc<MeasuredTimes>>,
    /// What was measured of the deployment; its overheads of steps and sequences come on top of those above.
    pub calibration: Option<Box<Calibration>>,
    /// Context length: tokens of prompt and answer together, at most. The default, 262,144, is more than Qwen3-32B
    /// really has (40,960), so that production traces with prompts above 131,072 tokens are served and not refused.
    pub max_model_len: u32,
    /// Divides every simulated time.
    pub speedup: f64,
    /// Spread of an iteration's time: standard deviation of its logarithm, 0 for none.
    pub step_noise: f64,
    /// Seed of the noise, and of ids and words.
    pub seed: Seed,
    /// Whether to keep the times of all events, in memory.
    pub oracle: bool,
    /// The core to pin the server's thread to.
    pub core: Option<usize>,
}

impl Default for ServeConfig {
    /// Qwen3-32B with vLLM on one H200, on any port of the loopback address.
    fn default() -> Self {
        ServeConfig {
            model: "Qwen/Qwen3-32B".into(),
            shape: None,
            gpu: "h200_sxm".into(),
            hardware: None,
            backend: Backend::Vllm,
            tp: 1,
            timing: Timing::Model,
            host: "127.0.0.1".into(),
            port: 0,
            tls: None,
            max_num_seqs: 256,
            max_num_batched_tokens: 8192,
            replicas: 1,
            disaggregation: None,
            kv_tokens: None,
            prefix_caching: true,
            admission: None,
            queue_limit: None,
            queue_full_status: 503,
            faults: Vec::new(),
            accept_delay_ns: 0,
            restart_ns: None,
            step_overhead_s: 0.0,
            sequence_overhead_s: 0.0,
            tables: None,
            calibration: None,
            max_model_len: 262_144,
            speedup: 1.0,
            step_noise: 0.0,
            seed: Seed(0),
            oracle: false,
            core: None,
        }
    }
}

impl ServeConfig {
    /// The engine that this configuration describes.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown model or GPU, a model that does not fit, or a setting that cannot be.
    pub fn engine(&self) -> Result<Box<dyn Deployment + Send>> {
        if self.max_model_len < 2 {
            return Err(Error::Usage("--max-model-len must be at least 2: a prompt and an answer".into()));
        }
        if !(400..600).contains(&self.queue_full_status) {
            return Err(Error::Usage(format!("--queue-full-status {} is no error", self.queue_full_status)));
        }
        match self.timing {
            Timing::Model => {
                let engine = self.modelled()?;
                Ok(match self.request_ns() {
                    0 => engine,
                    delay_ns => Box::new(Delayed::new(engine, delay_ns)),
                })
            }
            Timing::Constant { ttft_ns, itl_ns } => {
                check_speedup(self.speedup)?;
                let [ttft_ns, itl_ns] = [ttft_ns, itl_ns].map(|ns| (ns.max(0) as f64 / self.speedup) as i64);
                Ok(Box::new(ConstantTime::new(ttft_ns, itl_ns)))
            }
        }
    }

    /// What the host takes over a request, in nanoseconds. The step that prefills has the overhead of a step already.
    fn request_ns(&self) -> i64 {
        let Calibration { prefill, decode, .. } = self.calibration.as_deref().copied().unwrap_or_default();
        let in_step_ms = decode.map_or(0.0, |d| d.step_ms + d.sequence_ms);
        let ms = prefill.map_or(0.0, |p| (p.request_ms - in_step_ms).max(0.0));
        (ms / self.speedup * 1e6).round() as i64
    }

    fn modelled(&self) -> Result<Box<dyn Deployment + Send>> {
        let decode = self.batches(self.replicas, self.tp, "--replicas")?;
        let Some(d) = self.disaggregation else {
            return Ok(match <[Batch; 1]>::try_from(decode) {
                Ok([lone]) => Box::new(lone),
                Err(several) => Box::new(Replicas::new(several)),
            });
        };
        let prefill = self.batches(d.prefill_replicas, d.prefill_tp, "--prefill-replicas")?;
        let link = Link {
            bytes_per_s: d.handoff_bytes_per_s,
            // Of one GPU that holds all heads: together, the GPUs of any size hold as much.
            bytes_per_token: memory::kv_bytes_per_token(self.shape()?, 1),
            setup_s: d.handoff_setup_s,
            speedup: self.speedup,
            first_token: d.first_token,
            shares: self.tp,
        };
        Ok(Box::new(Disaggregated::new(prefill, decode, link)?))
    }

    /// The model that is simulated.
    ///
    /// # Errors
    /// As [`model::lookup`].
    pub fn shape(&self) -> Result<&'static ModelShape> {
        self.shape.map_or_else(|| model::lookup(&self.model), Ok)
    }

    /// So many engines of this size, each with noise of its own.
    fn batches(&self, replicas: u32, tp: u32, flag: &str) -> Result<Vec<Batch>> {
        if replicas == 0 || replicas > REPLICAS_MAX {
            return Err(Error::Usage(format!("{flag} must lie in 1..={REPLICAS_MAX}, not {replicas}")));
        }
        let (shape, gpu) = (self.shape()?, self.hardware.map_or_else(|| gpu::lookup(&self.gpu), Ok)?);
        let Calibration { prefill, decode, .. } = self.calibration.as_deref().copied().unwrap_or_default();
        let time: Box<dyn Fn() -> Box<dyn StepTime + Send>> = match &self.tables {
            Some(tables) => {
                let tables = TableTime::new(tables);
                Box::new(move || Box::new(tables.clone()))
            }
            None => {
                let cost = CostModel::new(shape, gpu, self.backend, tp)?;
                let cost = cost.with_prefill_factor(prefill.map_or(1.0, |p| p.factor));
                Box::new(move || Box::new(cost))
            }
        };
        let measured = self.tables.as_deref();
        let doubt =
            measured.and_then(|t| t.decode_table.as_ref()?.doubt(memory::kv_tokens(shape, gpu, self.backend, tp)));
        if let (None, Some(doubt)) = (self.kv_tokens, doubt) {
            return Err(Error::Usage(format!("{doubt}; say what the cache holds with --kv-cache-tokens")));
        }
        let fitting = || {
            memory::kv_tokens(shape, gpu, self.backend, tp).ok_or_else(|| {
                Error::Usage(format!("{} does not fit on {tp} GPU(s) {}; use a larger --tp", self.model, self.gpu))
            })
        };
        let config = BatchConfig {
            max_sequences: self.max_num_seqs,
            max_batched_tokens: self.max_num_batched_tokens,
            kv_tokens: self.kv_tokens.or(measured.and_then(|t| t.kv_tokens)).map_or_else(fitting, Ok)?,
            prefix_caching: self.prefix_caching,
            admission: self.admission.unwrap_or_else(|| Admission::of(self.backend)),
            queue_limit: self.queue_limit,
            step_overhead_s: self.step_overhead_s + decode.map_or(0.0, |d| d.step_ms) / 1e3,
            sequence_overhead_s: self.sequence_overhead_s + decode.map_or(0.0, |d| d.sequence_ms) / 1e3,
            speedup: self.speedup,
            step_noise: self.step_noise,
            seed: self.seed,
        };
        let one = |n: u32| {
            let seed = if n == 0 { self.seed } else { Seed(self.seed.hash(u64::from(n) << 8 | u64::from(tp))) };
            ContinuousBatch::new(time(), BatchConfig { seed, ..config })
        };
        (0..replicas).map(one).collect()
    }
}
