//! How far the time of a forward pass may be off: bands, by what kind of pass and deployment it is.
//!
//! Source: the 10 and 90 % quantiles of aiconfigurator 0.12.0 / predicted over its grids for Qwen3-8B, -32B (BF16 and FP8), Llama-3.1-8B
//! and Qwen3-30B-A3B on A100, H100 and H200 (12,000 decode and 3,000 prefill points), of which nothing was fitted. Where a GPU's own
//! kernels were not measured, the band is widened by what taking B200's for GB200 and B300 costs a GEMM.
//! Not here: bands under load; they are constants of [`super::aggregated`].

use super::deployment::Deployment;
use super::prediction::Band;

/// Quantiles of GEMMs measured on GB200 and B300 / those predicted from B200's.
const TRANSFERRED: Band = Band { low: 0.89, high: 1.2 };

/// The band of a pass that prefills.
pub fn prefill(deployment: &Deployment) -> Band {
    of(deployment, Band { low: 0.97, high: 1.03 }, Band { low: 0.86, high: 1.02 })
}

/// The band of a pass that decodes.
pub fn decode(deployment: &Deployment) -> Band {
    of(deployment, Band { low: 0.97, high: 1.05 }, Band { low: 0.90, high: 1.03 })
}

fn of(deployment: &Deployment, dense: Band, experts: Band) -> Band {
    let own = if deployment.model.experts.is_some() { experts } else { dense };
    if deployment.gpu.is_measured() {
        return own;
    }
    Band { low: own.low * TRANSFERRED.low, high: own.high * TRANSFERRED.high }
}
