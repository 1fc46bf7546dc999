//! The compact model's constants: one row per (GPU, backend), for BF16 weights of dense models.
//!
//! Source: fitted by least squares (soft-L1 in log space) on the operator tables of aiconfigurator-core 0.12.0
//! (NVIDIA, Apache-2.0; kernels measured with TensorRT-LLM 1.3.0rc20, vLLM 0.24.0 and SGLang 0.5.14 on H100 and H200,
//! with older releases on A100). Only operators were fitted, never a whole model. Median error of the fits on H200:
//! GEMM 5-8 %, context attention 3-7 %, generation attention 7-20 %, all-reduce 7-9 %.
//! The formulas are in [`super::cost`].

use super::backend::Backend::{self, SgLang, TrtLlm, Vllm};
use super::gpu::Gpu;

/// What the formulas of [`super::cost`] need beyond the datasheet. Efficiencies are shares of the datasheet's peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    gpu: &'static str,
    backend: Backend,
    /// GEMM: compute efficiency.
    pub gemm_compute: f64,
    /// GEMM: memory efficiency.
    pub gemm_memory: f64,
    /// GEMM: exponent of the smooth maximum of the two.
    pub gemm_blend: f64,
    /// GEMM: launch, s.
    pub gemm_launch_s: f64,
    /// Context attention: compute efficiency of long sequences.
    pub context_compute: f64,
    /// Context attention: sequence length at which half of that is reached, tokens.
    pub context_half_tokens: f64,
    /// Context attention: launch, s.
    pub context_launch_s: f64,
    /// Generation attention: launch, s.
    pub generation_launch_s: f64,
    /// Generation attention: s per sequence and query head.
    pub generation_head_s: f64,
    /// Generation attention: memory efficiency.
    pub generation_memory: f64,
    /// All-reduce: launch, s.
    pub reduce_launch_s: f64,
    /// All-reduce: s per peer, for messages of `reduce_knee_bytes` and more.
    pub reduce_peer_s: f64,
    /// All-reduce: NVLink efficiency.
    pub reduce_link: f64,
    /// All-reduce: message size from which the cost per peer is whole, bytes.
    pub reduce_knee_bytes: f64,
}

/// Element-wise kernels: share of the memory bandwidth that they reach. Assumed by aiconfigurator, not measured.
pub const ELEMENTWISE_MEMORY: f64 = 0.8;
/// Element-wise kernels: launch, s. Assumed by aiconfigurator, not measured.
pub const ELEMENTWISE_LAUNCH_S: f64 = 3e-6;

/// A row as it stands in the table: times in µs, except the cost per head (`cb`), which is in ns.
const fn row(gpu: &'static str, backend: Backend, v: [f64; 14]) -> Constants {
    Constants {
        gpu,
        backend,
        gemm_compute: v[0],
        gemm_memory: v[1],
        gemm_blend: v[2],
        gemm_launch_s: v[3] * 1e-6,
        context_compute: v[4],
        context_half_tokens: v[5],
        context_launch_s: v[6] * 1e-6,
        generation_launch_s: v[7] * 1e-6,
        generation_head_s: v[8] * 1e-9,
        generation_memory: v[9],
        reduce_launch_s: v[10] * 1e-6,
        reduce_peer_s: v[11] * 1e-6,
        reduce_link: v[12],
        reduce_knee_bytes: v[13],
    }
}

// The columns are named as in the formulas of `cost`.
#[rustfmt::skip]
const ROWS: [Constants; 12] = [
    //                            ec       em        p      tg       ea       sh       ta       td       cb       ed     ar0     ar1       er        arn
    row("h200_sxm", TrtLlm, [0.78541, 0.82255, 2.64742, 4.0682, 0.55735, 1035.89, 17.1926, 13.2127, 3.78369, 0.73964, 2.8656, 2.3639, 0.71170,  934697.0]),
    row("h200_sxm", Vllm,   [0.80471, 0.83692, 2.98394, 4.1028, 0.66173,  974.95, 14.7278, 12.1770, 1.32844, 0.81108, 4.5739, 0.5352, 0.69404,  191396.0]),
    row("h200_sxm", SgLang, [0.73384, 0.85633, 2.56567, 4.4874, 0.61078,  608.26, 12.0104, 10.0841, 0.53805, 0.81609, 2.7080, 0.8957, 0.72905,  328509.0]),
    row("h100_sxm", TrtLlm, [0.77945, 0.82207, 2.63716, 3.6040, 0.55233, 1069.50, 17.2826, 12.7235, 3.54733, 0.83567, 2.9379, 3.6917, 0.71751, 1642770.0]),
    row("h100_sxm", Vllm,   [0.80887, 0.86413, 2.74950, 3.7481, 0.67110, 1021.25, 14.8609, 11.9235, 1.05834, 0.86216, 4.5414, 0.6919, 0.67027,  289250.0]),
    row("h100_sxm", SgLang, [0.75868, 0.84735, 2.83135, 4.1071, 0.63053,  679.50, 12.1097,  9.7378, 0.38619, 0.86549, 2.7461, 0.8000, 0.71095,  284744.0]),
    row("a100_sxm", TrtLlm, [0.82085, 0.79672, 1.60417, 5.9912, 0.47129,  511.57, 22.0585, 19.4369, 7.06338, 1.17441, 4.9764, 7.6436, 0.60733, 1576962.0]),
    row("a100_sxm", Vllm,   [0.83276, 0.76658, 1.61126, 5.8607, 0.57167,  462.81, 16.4085, 17.9385, 0.53244, 0.67412, 5.3708, 1.0237, 0.58666,  212492.0]),
    row("a100_sxm", SgLang, [0.76717, 0.77542, 1.51510, 6.7128, 0.63862,  261.96, 26.0726, 18.0924, 0.00000, 0.47580, 5.2607, 1.1312, 0.62585,  212131.0]),
    row("b200_sxm", TrtLlm, [0.68105, 0.75204, 2.39474, 3.2784, 0.53931, 1851.45, 20.9170, 11.8090, 1.34670, 1.01705, 5.0185, 3.3217, 0.59431, 3588135.0]),
    row("b200_sxm", Vllm,   [0.72108, 0.81809, 2.39302, 3.7281, 0.55840, 1014.10, 17.2745,  9.5389, 0.39587, 0.92989, 7.2632, 1.9002, 0.56045,  468490.0]),
    row("b200_sxm", SgLang, [0.67887, 0.81813, 2.07892, 4.0928, 0.53593,  772.28, 15.9946,  9.9043, 0.31827, 0.93491, 4.4166, 0.8618, 0.57460,  395260.0]),
];

/// The constants of a GPU with a backend, or of the GPU that speaks for it; `None` where no kernels were measured.
pub fn lookup(gpu: &Gpu, backend: Backend) -> Option<&'static Constants> {
    ROWS.iter().find(|c| c.gpu == gpu.measured_as && c.backend == backend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::gpu::GPUS;

    #[test]
    fn every_gpu_has_believable_constants_for_every_backend() {
        for gpu in &GPUS {
            for backend in Backend::ALL {
                let c = lookup(gpu, backend).unwrap_or_else(|| panic!("{} {}", gpu.name, backend.as_str()));
                let shares = [c.gemm_compute, c.gemm_memory, c.context_compute, c.reduce_link];
                assert!(shares.iter().all(|e| (0.3..1.0).contains(e)), "{} {}", gpu.name, backend.as_str());
                // Generation attention may beat the datasheet's bandwidth: part of a cache comes from L2.
                assert!((0.4..1.2).contains(&c.generation_memory), "{} {}", gpu.name, backend.as_str());
            }
        }
    }
}
