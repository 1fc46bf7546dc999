//! Predicts TTFT and TPOT of an engine that prefills and decodes in the same passes, in a closed loop.
//!
//! In: a [`CostModel`] and an [`AggregatedLoad`]. Out: a [`Prediction`] of stage [`Stage::Aggregated`].
//! Not here: HTTP, router and network of a deployment.

use super::cost::{CostModel, StepLoad};
use super::prediction::{Band, Prediction, Stage};

/// A closed loop: `concurrency` clients that each send the next request when the last one is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregatedLoad {
    /// Prompt tokens.
    pub isl: u32,
    /// Answer tokens.
    pub osl: u32,
    /// Requests under way at any time, on one replica.
    pub concurrency: u32,
}

/// Prefill passes that one answer's tokens wait for, as a share of those of the other requests.
const PREFILL_SHARE: f64 = 0.70;
/// TTFT in steps of prefill and decode.
const QUEUE_FACTOR: f64 = 3.7;

/// Mean TTFT and TPOT of a closed loop.
pub fn predict(cost: &CostModel, load: AggregatedLoad) -> Prediction {
    let prefill_ms = cost.step_s(&StepLoad::prefill(1, load.isl)) * 1e3;
    let decode_ms = cost.step_s(&StepLoad::decode(load.concurrency, load.isl + load.osl / 2)) * 1e3;
    let share = PREFILL_SHARE * f64::from(load.concurrency) / f64::from(load.osl.max(1));
    let band = Band { low: 0.7, high: 1.5 };
    Prediction {
        stage: Stage::Aggregated,
        ttft_ms: QUEUE_FACTOR * (prefill_ms + decode_ms),
        tpot_ms: decode_ms + share * prefill_ms,
        ttft_band: band,
        tpot_band: band,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::backend::Backend;
    use crate::profiler::{gpu, model};

    #[test]
    fn more_clients_wait_longer_and_get_more_done() {
        let (shape, h200) = (model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
        let cost = CostModel::new(shape, h200, Backend::Vllm, 2).unwrap();
        let at = |concurrency| predict(&cost, AggregatedLoad { isl: 2048, osl: 256, concurrency });
        let (few, many) = (at(4), at(64));
        assert!(few.ttft_ms < many.ttft_ms && few.tpot_ms < many.tpot_ms, "{few:?} {many:?}");
        assert!(few.requests_per_s(4, 256) < many.requests_per_s(64, 256), "{few:?} {many:?}");
    }
}
