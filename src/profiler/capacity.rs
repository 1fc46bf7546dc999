//! What one engine can carry: a model on `tp` GPUs → memory, latency by batch, the largest batch that keeps to an SLA.
//!
//! In: an [`Engine`] (its cost model and memory) and a [`Workload`]. Out: a [`Capacity`].
//! Stage: the static engine. A batch of equal sequences, all prompts in the cache, nobody waits: TTFT is the forward pass
//! of one prompt, ITL one decode step at the middle of the answer. Queueing, scheduling and hand-off are not in it; they
//! are in [`super::mean_field`] and [`super::disaggregate`].

use super::backend::Backend;
use super::calibrate::Calibration;
use super::cost::{CostModel, StepLoad};
use super::gpu::Gpu;
use super::memory;
use super::model::ModelShape;
use crate::error::Result;

/// Batches that a curve is computed for, at most.
pub const CURVE_POINTS: usize = 64;
/// The largest batch that is looked at: engines' own limits lie below.
pub const BATCH_MAX: u32 = 4096;

/// What every request looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Workload {
    /// Tokens of prompt.
    pub isl_tokens: u32,
    /// Tokens of answer.
    pub osl_tokens: u32,
}

impl Workload {
    /// Tokens of context in the middle of an answer.
    pub fn context_tokens(self) -> u32 {
        self.isl_tokens + self.osl_tokens / 2
    }
}

/// What the mean request has to get.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Sla {
    /// Time to first token, ms, at most.
    pub ttft_ms: f64,
    /// Time from token to token, ms, at most.
    pub itl_ms: f64,
}

/// What takes up the memory of one GPU, bytes.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MemoryUse {
    /// The whole.
    pub hbm_bytes: f64,
    /// This GPU's share of the weights.
    pub weights_bytes: f64,
    /// Activations of the largest forward pass.
    pub activation_bytes: f64,
    /// KV cache.
    pub kv_bytes: f64,
    /// The rest: CUDA context, graphs, communication buffers, and what the engine leaves free.
    pub other_bytes: f64,
}

/// One engine: a model on `tp` GPUs that work as one.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// GPUs.
    pub tp: u32,
    /// The time of its forward passes.
    pub cost: CostModel,
    /// Tokens of KV cache, all GPUs together; `None` where the weights do not fit.
    pub kv_tokens: Option<u64>,
    /// What takes up one GPU's memory.
    pub memory: MemoryUse,
    /// What the host adds to its passes.
    pub host: HostTime,
}

/// Time beside the forward pass; none of it without a calibration.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostTime {
    /// Once a request, before its first token, ms.
    pub request_ms: f64,
    /// Once a decode step, ms.
    pub step_ms: f64,
    /// For each sequence in it, ms.
    pub sequence_ms: f64,
}

impl Engine {
    /// The engine of a model on `tp` GPUs.
    ///
    /// # Errors
    /// Those of [`CostModel::new`].
    pub fn new(model: &'static ModelShape, gpu: &'static Gpu, backend: Backend, tp: u32) -> Result<Engine> {
        let kv_tokens = memory::kv_tokens(model, gpu, backend, tp);
        let hbm_bytes = gpu.hbm_bytes as f64;
        let weights_bytes = memory::weight_bytes(model, tp);
        let activation_bytes = memory::activation_bytes(model, tp);
        let kv_bytes = kv_tokens.unwrap_or(0) as f64 * memory::kv_bytes_per_token(model, tp);
        let other_bytes = (hbm_bytes - weights_bytes - activation_bytes - kv_bytes).max(0.0);
        let memory = MemoryUse { hbm_bytes, weights_bytes, activation_bytes, kv_bytes, other_bytes };
        let (cost, host) = (CostModel::new(model, gpu, backend, tp)?, HostTime::default());
        Ok(Engine { tp, cost, kv_tokens, memory, host })
    }

    /// The same with what was measured of a deployment.
    pub fn calibrated(self, calibration: &Calibration) -> Engine {
        let prefill = calibration.prefill;
        let decode = calibration.decode;
        Engine {
            cost: self.cost.with_prefill_factor(prefill.map_or(1.0, |p| p.factor)),
            host: HostTime {
                request_ms: prefill.map_or(0.0, |p| p.request_ms),
                step_ms: decode.map_or(0.0, |d| d.step_ms),
                sequence_ms: decode.map_or(0.0, |d| d.sequence_ms),
            },
            ..self
        }
    }

    /// Time of the forward pass of `batch` whole prompts, ms.
    pub fn prefill_ms(&self, batch: u32, tokens: u32) -> f64 {
        self.cost.step_s(&StepLoad::prefill(batch, tokens)) * 1e3 + self.host.request_ms
    }

    /// Time of one decode step, ms.
    pub fn decode_ms(&self, batch: u32, context_tokens: u32) -> f64 {
        self.cost.step_s(&StepLoad::decode(batch, context_tokens)) * 1e3 + self.host_ms(batch.into())
    }

    /// Time of any step in which so many sequences decode, ms.
    pub(super) fn step_ms(&self, load: &StepLoad, sequences: f64) -> f64 {
        self.cost.step_s(load) * 1e3 + self.host_ms(sequences)
    }

    fn host_ms(&self, sequences: f64) -> f64 {
        self.host.step_ms + self.host.sequence_ms * sequences
    }

    /// Sequences whose whole length fits into the KV cache at once; 0 where not one does.
    pub fn max_batch_by_memory(&self, workload: Workload) -> u32 {
        let per_sequence = u64::from(workload.isl_tokens) + u64::from(workload.osl_tokens);
        self.kv_tokens.map_or(0, |kv| u32::try_from(kv / per_sequence).unwrap_or(u32::MAX)).min(BATCH_MAX)
    }
}

/// One batch of the static engine.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct BatchPoint {
    /// Sequences.
    pub batch: u32,
    /// Forward pass of all their prompts at once, ms.
    pub ttft_ms: f64,
    /// One decode step in the middle of the answers, ms.
    pub itl_ms: f64,
    /// Tokens of answer per second and GPU, prompts not counted.
    pub tokens_per_s_per_gpu: f64,
    /// Tokens per second that one user sees.
    pub tokens_per_s_per_user: f64,
}

/// What one engine can carry.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Capacity {
    /// GPUs.
    pub tp: u32,
    /// What takes up one GPU's memory.
    pub memory: MemoryUse,
    /// Tokens of KV cache, all GPUs together; 0 where the weights do not fit.
    pub kv_tokens: u64,
    /// Largest batch that fits into the KV cache.
    pub max_batch_memory: u32,
    /// Largest batch whose ITL is within the SLA, whatever the memory; at most [`BATCH_MAX`].
    pub max_batch_itl: u32,
    /// The smaller of the two.
    pub max_batch: u32,
    /// One sequence alone.
    pub alone: BatchPoint,
    /// At `max_batch`; `None` where that is 0.
    pub full: Option<BatchPoint>,
    /// Up to [`CURVE_POINTS`] batches from 1 to what fits into memory, about evenly spaced on a log scale.
    pub curve: Vec<BatchPoint>,
    #[serde(skip)]
    pub(super) engine: Engine,
}

impl Capacity {
    /// Of one engine under a workload.
    pub fn of(engine: Engine, workload: Workload, sla: Sla) -> Capacity {
        let max_batch_memory = engine.max_batch_by_memory(workload);
        let context = workload.context_tokens();
        let max_batch_itl = largest(BATCH_MAX, |batch| engine.decode_ms(batch, context) <= sla.itl_ms);
        let max_batch = max_batch_memory.min(max_batch_itl);
        let at = |batch| point(&engine, workload, batch);
        Capacity {
            tp: engine.tp,
            memory: engine.memory,
            kv_tokens: engine.kv_tokens.unwrap_or(0),
            max_batch_memory,
            max_batch_itl,
            max_batch,
            alone: at(1),
            full: (max_batch > 0).then(|| at(max_batch)),
            curve: batches(max_batch_memory).into_iter().map(at).collect(),
            engine,
        }
    }

    /// The engine that this is the capacity of.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

fn point(engine: &Engine, workload: Workload, batch: u32) -> BatchPoint {
    let itl_ms = engine.decode_ms(batch, workload.context_tokens());
    BatchPoint {
        batch,
        ttft_ms: engine.prefill_ms(batch, workload.isl_tokens),
        itl_ms,
        tokens_per_s_per_gpu: f64::from(batch) * 1e3 / itl_ms / f64::from(engine.tp),
        tokens_per_s_per_user: 1e3 / itl_ms,
    }
}

/// The largest number in `1..=limit` for which `holds`, which holds for all below one for which it does; 0 if for none.
pub(super) fn largest(limit: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, limit);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

/// Up to [`CURVE_POINTS`] batches from 1 to `max`, rising.
pub(super) fn batches(max: u32) -> Vec<u32> {
    let last = CURVE_POINTS as f64 - 1.0;
    let at = |i: usize| f64::from(max).powf(i as f64 / last).round() as u32;
    // Small batches are all taken; where the log scale would repeat one, the next is.
    let mut batches: Vec<u32> = Vec::with_capacity(CURVE_POINTS);
    for i in 0..CURVE_POINTS {
        let next = at(i).max(batches.last().map_or(1, |b| b + 1));
        if next > max {
            break;
        }
        batches.push(next);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::{gpu, model};

    fn capacity(backend: Backend, tp: u32, sla: Sla) -> Capacity {
        let engine =
            Engine::new(model::lookup("Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap(), backend, tp).unwrap();
        Capacity::of(engine, Workload { isl_tokens: 2048, osl_tokens: 256 }, sla)
    }

    const PLAN: Sla = Sla { ttft_ms: 500.0, itl_ms: 50.0 };

    #[test]
    fn the_largest_batches_are_those_of_aiconfigurator() {
        // aiconfigurator 0.12.0, Qwen3-32B on H200, 2048/256, ITL 50: by memory; and with the ITL, where its grid tells.
        let known = [
            (Backend::TrtLlm, [120, 338, 775, 1649]),
            (Backend::Vllm, [108, 326, 761, 1632]),
            (Backend::SgLang, [101, 312, 734, 1577]),
        ];
        for (backend, by_tp) in known {
            for (tp, expected) in [1, 2, 4, 8].into_iter().zip(by_tp) {
                let got = capacity(backend, tp, PLAN);
                let error = f64::from(got.max_batch_memory) / f64::from(expected) - 1.0;
                assert!(error.abs() < 0.03, "{} TP{tp}: {} for {expected}", backend.as_str(), got.max_batch_memory);
            }
        }
        let tp1 = capacity(Backend::TrtLlm, 1, PLAN);
        assert_eq!(tp1.max_batch, tp1.max_batch_memory, "on one GPU memory binds before the ITL does");
    }

    #[test]
    fn the_itl_binds_exactly_where_the_next_batch_breaks_it() {
        let tight = Sla { itl_ms: 25.0, ..PLAN };
        let c = capacity(Backend::Vllm, 1, tight);
        assert!(c.max_batch_itl < c.max_batch_memory && c.max_batch == c.max_batch_itl);
        let context = 2048 + 128;
        assert!(c.engine.decode_ms(c.max_batch_itl, context) <= 25.0);
        assert!(c.engine.decode_ms(c.max_batch_itl + 1, context) > 25.0);
        assert_eq!(capacity(Backend::Vllm, 1, Sla { itl_ms: 1.0, ..PLAN }).full, None);
    }

    #[test]
    fn memory_adds_up_and_the_curve_spans_what_fits() {
        for tp in [1, 2, 4, 8] {
            let c = capacity(Backend::TrtLlm, tp, PLAN);
            let m = c.memory;
            let sum = m.weights_bytes + m.activation_bytes + m.kv_bytes + m.other_bytes;
            assert!((sum / m.hbm_bytes - 1.0).abs() < 1e-9 && m.other_bytes > 0.0, "TP{tp}: {m:?}");
            let batches: Vec<u32> = c.curve.iter().map(|p| p.batch).collect();
            assert_eq!((batches[0], batches[batches.len() - 1]), (1, c.max_batch_memory));
            assert!(batches.len() <= CURVE_POINTS && batches.windows(2).all(|w| w[0] < w[1]), "{batches:?}");
        }
        assert_eq!((batches(0), batches(3)), (vec![], vec![1, 2, 3]));
    }
}
