//! Turns the load of one forward pass into its time, by the compact model: a roofline with fitted efficiencies.
//!
//! In: model, GPU, backend, TP; then a [`StepLoad`]. Out: seconds.
//! Per layer: four GEMMs (QKV, projection, gate+up, down), attention, two add-norms, the activation, two all-reduces;
//! once: the logits. Names in the formulas: `q`, `kv` heads per GPU, `hd` head width, `H` hidden size, `I` feed-forward width,
//! `V` vocabulary, `t` TP, `F` FLOP/s, `BW` memory and `NV` NVLink bytes/s; the rest are the columns of [`super::constants`].
//! Accuracy, against aiconfigurator 0.12.0 for Qwen3-32B on H200: 4-6 % (prefill), 4-8 % (decode); against
//! measured H200 runs: 11 % (prefill, TensorRT-LLM), 9 % (decode, TensorRT-LLM), 25 % (decode, vLLM).
//! Not here: host time, scheduling, sampling, HTTP.

use super::backend::Backend;
use super::constants::{self, Constants, ELEMENTWISE_LAUNCH_S, ELEMENTWISE_MEMORY};
use super::deployment::{Deployment, Layout};
use super::gpu::Gpu;
use super::model::ModelShape;
use super::precision::Precision;
use crate::error::{Error, Result};

/// Bytes of a BF16 number.
const BF16_BYTES: f64 = 2.0;

/// The tensor-parallel sizes that the constants were fitted for.
pub const TP_SIZES: [u32; 4] = [1, 2, 4, 8];

/// What one forward pass has to do. Prefill and decode may share a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepLoad {
    prefill_tokens: f64,
    /// Σ (b² − a²) over the chunks, where a chunk takes its sequence from `a` to `b` tokens.
    prefill_squares: f64,
    prefill_chunks: f64,
    decode_sequences: f64,
    decode_context_tokens: f64,
}

impl StepLoad {
    /// A pass that prefills `batch` whole prompts of `tokens` each.
    pub fn prefill(batch: u32, tokens: u32) -> StepLoad {
        let (batch, tokens) = (f64::from(batch), f64::from(tokens));
        let squares = batch * tokens * tokens;
        StepLoad {
            prefill_tokens: batch * tokens,
            prefill_squares: squares,
            prefill_chunks: batch,
            ..StepLoad::default()
        }
    }

    /// A pass that gives each of `batch` sequences, of `context` tokens each, one more token.
    pub fn decode(batch: u32, context: u32) -> StepLoad {
        let batch = f64::from(batch);
        StepLoad { decode_sequences: batch, decode_context_tokens: batch * f64::from(context), ..StepLoad::default() }
    }

    /// Adds a chunk of `new_tokens` of a prompt whose first `past_tokens` are already in the cache.
    pub fn add_prefill(&mut self, past_tokens: u32, new_tokens: u32) {
        let (a, b) = (f64::from(past_tokens), f64::from(past_tokens) + f64::from(new_tokens));
        self.prefill_tokens += b - a;
        self.prefill_squares += b * b - a * a;
        self.prefill_chunks += 1.0;
    }

    /// Adds one sequence of `context_tokens` that gets its next token.
    pub fn add_decode(&mut self, context_tokens: u32) {
        self.decode_sequences += 1.0;
        self.decode_context_tokens += f64::from(context_tokens);
    }
}

/// The time of forward passes of one deployment.
#[derive(Clone, Copy, Debug)]
pub struct CostModel {
    model: ModelShape,
    gpu: &'static Gpu,
    constants: &'static Constants,
    tp: u32,
}

impl CostModel {
    /// The cost model of a BF16 deployment by tensor parallelism alone.
    ///
    /// # Errors
    /// As [`CostModel::of`].
    pub fn new(model: &ModelShape, gpu: &'static Gpu, backend: Backend, tp: u32) -> Result<CostModel> {
        let layout = Layout::tensor(tp);
        CostModel::of(&Deployment { model, gpu, backend, precision: Precision::BF16, layout })
    }

    /// The cost model of a deployment.
    ///
    /// # Errors
    /// [`Error::Usage`] where the tensor-parallel size is not one of [`TP_SIZES`] or does not divide the model's heads, or
    /// where no kernels were measured for the GPU, backend and precision.
    pub fn of(deployment: &Deployment) -> Result<CostModel> {
        let Deployment { model, gpu, backend, precision, layout } = *deployment;
        let tp = layout.tp;
        if !TP_SIZES.contains(&tp) || !model.heads.is_multiple_of(tp) {
            let (name, heads) = (model.names[0], model.heads);
            return Err(Error::Usage(format!(
                "tensor-parallel size {tp} cannot be predicted for {name} ({heads} heads); use 1, 2, 4 or 8"
            )));
        }
        let unmeasured = |what: &str| {
            Error::Usage(format!("no kernels were measured for {what} with {} on {}", backend.as_str(), gpu.name))
        };
        if precision != Precision::BF16 || layout != Layout::tensor(tp) {
            return Err(unmeasured("this precision and layout"));
        }
        let constants = constants::lookup(gpu, backend).ok_or_else(|| unmeasured("any model"))?;
        Ok(CostModel { model: *model, gpu, constants, tp })
    }

    /// Seconds of one forward pass; 0 for an empty load.
    pub fn step_s(&self, load: &StepLoad) -> f64 {
        let rows = load.prefill_tokens + load.decode_sequences;
        if rows == 0.0 {
            return 0.0;
        }
        let m = &self.model;
        let (tp, hidden) = (f64::from(self.tp), f64::from(m.hidden));
        let intermediate = f64::from(m.intermediate) / tp;
        let (heads, kv_heads, head_dim) = self.heads();
        let gemms = self.gemm_s(rows, (heads + 2.0 * kv_heads) * head_dim, hidden)
            + self.gemm_s(rows, hidden, heads * head_dim)
            + self.gemm_s(rows, 2.0 * intermediate, hidden)
            + self.gemm_s(rows, hidden, intermediate);
        // An add-norm reads input and residual and writes both; the activation reads two halves and writes one.
        let elementwise = 2.0 * self.elementwise_s(4.0 * BF16_BYTES * hidden * rows)
            + self.elementwise_s(3.0 * BF16_BYTES * intermediate * rows);
        let reduces = 2.0 * self.all_reduce_s(BF16_BYTES * hidden * rows);
        let attention = self.context_attention_s(load) + self.generation_attention_s(load);
        let logits = self.gemm_s(load.prefill_chunks + load.decode_sequences, f64::from(m.vocab) / tp, hidden);
        f64::from(m.layers) * (gemms + elementwise + reduces + attention) + logits
    }

    /// Query heads, key/value heads and their width, on one GPU.
    fn heads(&self) -> (f64, f64, f64) {
        let m = &self.model;
        (f64::from(m.heads / self.tp), f64::from((m.kv_heads / self.tp).max(1)), f64::from(m.head_dim))
    }

    /// `((2MNK/(F·ec))^p + (2(MN+MK+NK)/(BW·em))^p)^(1/p) + tg`, s.
    fn gemm_s(&self, m: f64, n: f64, k: f64) -> f64 {
        let c = self.constants;
        let compute = 2.0 * m * n * k / (self.gpu.bf16_flops * c.gemm_compute);
        let memory = BF16_BYTES * (m * n + m * k + n * k) / (self.gpu.hbm_bytes_per_s * c.gemm_memory);
        (compute.powf(c.gemm_blend) + memory.powf(c.gemm_blend)).powf(c.gemm_blend.recip()) + c.gemm_launch_s
    }

    /// `2·B·S²·q·hd/(F·ea)·(1 + sh/S) + ta`, s, where `S² + sh·S` becomes `(b² − a²) + sh·(b − a)` for a chunk from
    /// `a` to `b`: the chunks of a prompt add up to the prompt.
    fn context_attention_s(&self, load: &StepLoad) -> f64 {
        if load.prefill_tokens == 0.0 {
            return 0.0;
        }
        let c = self.constants;
        let (heads, _, head_dim) = self.heads();
        let pairs = load.prefill_squares + c.context_half_tokens * load.prefill_tokens;
        2.0 * pairs * heads * head_dim / (self.gpu.bf16_flops * c.context_compute) + c.context_launch_s
    }

    /// `td + cb·B·q + (4·B·q·hd + 4·kv·hd·ΣS)/(BW·ed)`, s.
    fn generation_attention_s(&self, load: &StepLoad) -> f64 {
        let batch = load.decode_sequences;
        if batch == 0.0 {
            return 0.0;
        }
        let c = self.constants;
        let (heads, kv_heads, head_dim) = self.heads();
        let bytes = 4.0 * batch * heads * head_dim + 4.0 * kv_heads * head_dim * load.decode_context_tokens;
        c.generation_launch_s
            + c.generation_head_s * batch * heads
            + bytes / (self.gpu.hbm_bytes_per_s * c.generation_memory)
    }

    /// `ar0 + ar1·(t−1)·min(1, bytes/arn) + 2(t−1)/t·bytes/(NV·er)`, s; 0 on one GPU.
    fn all_reduce_s(&self, bytes: f64) -> f64 {
        if self.tp == 1 {
            return 0.0;
        }
        let c = self.constants;
        let peers = f64::from(self.tp - 1);
        let ring = 2.0 * peers / f64::from(self.tp) * bytes / (self.gpu.nvlink_bytes_per_s * c.reduce_link);
        c.reduce_launch_s + c.reduce_peer_s * peers * (bytes / c.reduce_knee_bytes).min(1.0) + ring
    }

    /// `bytes/(0.8·BW) + 3 µs`, s.
    fn elementwise_s(&self, bytes: f64) -> f64 {
        bytes / (self.gpu.hbm_bytes_per_s * ELEMENTWISE_MEMORY) + ELEMENTWISE_LAUNCH_S
    }
}

#[cfg(test)]
mod tests;
