//! What is deployed: a model, in a precision, on GPUs that share it in some layout, under a serving engine.

use super::backend::Backend;
use super::gpu::Gpu;
use super::model::ModelShape;
use super::precision::Precision;

/// How the GPUs of one replica share a model.
///
/// `tp · dp · pp` GPUs. Attention is split over `tp` GPUs and repeated `dp` times on different requests; experts are split
/// over the same GPUs: `moe_tp · moe_ep = tp · dp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Tensor-parallel size of attention and dense layers.
    pub tp: u32,
    /// Data-parallel size of attention.
    pub dp: u32,
    /// Pipeline stages.
    pub pp: u32,
    /// Tensor-parallel size of experts.
    pub moe_tp: u32,
    /// Expert-parallel size.
    pub moe_ep: u32,
}

impl Layout {
    /// Tensor parallelism alone, experts included.
    pub fn tensor(tp: u32) -> Layout {
        Layout { tp, dp: 1, pp: 1, moe_tp: tp, moe_ep: 1 }
    }

    /// Attention by tensor, experts whole on one GPU each.
    pub fn expert(tp: u32) -> Layout {
        Layout { moe_tp: 1, moe_ep: tp, ..Layout::tensor(tp) }
    }

    /// GPUs of one replica.
    pub fn gpus(self) -> u32 {
        self.tp * self.dp * self.pp
    }
}

/// One replica of a model, ready to be predicted.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a> {
    /// The model.
    pub model: &'a ModelShape,
    /// The GPU, as many as `layout` says.
    pub gpu: &'static Gpu,
    /// The serving engine.
    pub backend: Backend,
    /// Number formats.
    pub precision: Precision,
    /// How the GPUs share it.
    pub layout: Layout,
}
