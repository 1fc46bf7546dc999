//! How many tokens of KV cache fit beside the weights.
//!
//! Source: the memory estimate of aiconfigurator-core 0.12.0 (Apache-2.0), whose vLLM figure for Qwen3-32B on one
//! H200 lies 2.4 % below what a real vLLM logged (256,000 tokens). Its figures are met to the token for vLLM and
//! TensorRT-LLM, and from above within 3 % for SGLang on H200 (a term of about 1 GiB is not modelled).

use super::backend::Backend;
use super::deployment::{Deployment, Layout};
use super::gpu::Gpu;
use super::model::ModelShape;
use super::precision::Precision;

/// Bytes of a BF16 number.
const BF16_BYTES: f64 = 2.0;
/// Tokens of one forward pass that activations are sized for.
const ACTIVATION_TOKENS: f64 = 8192.0;
/// What the engine itself takes: CUDA context, graphs, workspace.
const OTHER_BYTES: f64 = 3.5 * (1u64 << 30) as f64;

/// Bytes of KV cache that one token takes on one of `tp` GPUs, in the published precision: keys and values of every layer.
pub fn kv_bytes_per_token(model: &ModelShape, tp: u32) -> f64 {
    f64::from(model.precision.kv_bytes) * model.kv_numbers(tp)
}

/// Bytes of the published weights on one of `tp` GPUs.
pub fn weight_bytes(model: &ModelShape, tp: u32) -> f64 {
    weight_bytes_in(model, model.precision, Layout::tensor(tp))
}

/// Bytes of weights on each GPU, in a precision and a layout.
fn weight_bytes_in(model: &ModelShape, precision: Precision, layout: Layout) -> f64 {
    let [dense, experts, vocabulary] = model.parameters(layout.tp);
    let (attention_gpus, expert_gpus) = (f64::from(layout.tp), f64::from(layout.moe_tp * layout.moe_ep));
    (dense * precision.dense.bytes() + vocabulary * BF16_BYTES) / attention_gpus
        + experts * precision.experts.bytes() / expert_gpus
}

/// Bytes that activations take on one of `tp` GPUs, at most.
pub fn activation_bytes(model: &ModelShape, tp: u32) -> f64 {
    let factor = match tp {
        1 => 11.0,
        2 => 6.5,
        _ => 5.0,
    };
    // Latent attention unfolds a few heads at a time: its activations are those of the hidden size.
    let width = match model.latent {
        Some(_) => f64::from(model.hidden),
        None => f64::from(model.heads) * f64::from(model.head_dim),
    };
    BF16_BYTES * ACTIVATION_TOKENS * width * factor
}

/// Tokens of KV cache that fit beside the published weights on `tp` GPUs, as [`kv_tokens_of`].
pub fn kv_tokens(model: &ModelShape, gpu: &'static Gpu, backend: Backend, tp: u32) -> Option<u64> {
    let layout = Layout::tensor(tp);
    kv_tokens_of(&Deployment { model, gpu, backend, precision: model.precision, layout })
}

/// Tokens of KV cache that fit in a deployment, all sequences together; `None` where not even the weights do.
///
/// TensorRT-LLM takes 90 % of what is free after weights, activations and its own needs; vLLM (90 %) and SGLang
/// (88 %) take a share of the whole memory and subtract those.
pub fn kv_tokens_of(deployment: &Deployment) -> Option<u64> {
    let Deployment { model, gpu, backend, precision, layout } = *deployment;
    let nccl_bytes = match layout.tp {
        1 => 0.0,
        2 => 358_612_992.0,
        _ => 411_041_792.0,
    };
    let taken =
        weight_bytes_in(model, precision, layout) + activation_bytes(model, layout.tp) + nccl_bytes + OTHER_BYTES;
    let memory = gpu.hbm_bytes as f64;
    let free = match backend {
        Backend::TrtLlm => 0.90 * (memory - taken),
        Backend::Vllm => 0.90 * memory - taken,
        Backend::SgLang => 0.88 * memory - taken,
    };
    let bytes = f64::from(precision.kv_bytes) * model.kv_numbers(layout.tp);
    let tokens = free / bytes * f64::from(layout.dp);
    (tokens >= 1.0).then_some(tokens as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::{gpu, model};

    #[test]
    fn kv_tokens_of_qwen3_32b_on_h200_are_aiconfigurators() {
        // aiconfigurator 0.12.0: TP 1, 2, 4, 8.
        let expected = [
            (Backend::TrtLlm, [276_856.0, 780_352.0, 1.79e6, 3.80e6]),
            (Backend::Vllm, [249_864.0, 751_550.0, 1.76e6, 3.76e6]),
            (Backend::SgLang, [232_835.0, 719_361.0, 1.69e6, 3.64e6]),
        ];
        let (shape, h200) = (model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
        for (backend, by_tp) in expected {
            for (tp, tokens) in [1, 2, 4, 8].into_iter().zip(by_tp) {
                let got = kv_tokens(shape, h200, backend, tp).unwrap() as f64;
                assert!((got / tokens - 1.0).abs() < 0.03, "{} TP{tp}: {got} for {tokens}", backend.as_str());
            }
        }
    }

    #[test]
    fn a_model_that_does_not_fit_has_no_capacity() {
        let llama_70b = model::lookup("Llama-3.1-70B").unwrap();
        let h100 = gpu::lookup("h100_sxm").unwrap();
        assert_eq!(kv_tokens(llama_70b, h100, Backend::Vllm, 1), None);
        assert!(kv_tokens(llama_70b, h100, Backend::Vllm, 4).is_some());
    }
}
