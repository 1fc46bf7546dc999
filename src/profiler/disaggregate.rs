//! Workers that only prefill, workers that only decode, and the hand-off between them → what a topology carries.
//!
//! In: two engines, how many of each, a workload, an SLA. Out: the [`Steady`] state at the highest rate that keeps to it.
//! Stage: disaggregated, mean field. Prefill workers are M/D/1 queues (Poisson arrivals, split evenly), the hand-off takes the
//! KV bytes of a prompt over a bandwidth and a constant, decode workers hold equal batches.
//! Not here: a hand-off that is itself a queue (measured deployments have one).

use super::calibrate::SerialStage;
use super::capacity::{Engine, Sla, Workload, largest};
use super::mean_field::Steady;
use super::memory;
use super::model::ModelShape;

/// A queue beyond this utilisation is not planned for, whatever its mean wait allows.
const UTILISATION_MAX: f64 = 0.95;

/// How KV blocks travel from a prefill to a decode worker.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Handoff {
    /// Bytes per second of one transfer.
    pub bytes_per_s: f64,
    /// What a transfer takes beside its bytes, ms.
    pub constant_ms: f64,
}

impl Default for Handoff {
    /// One 400 Gb/s network card. Assumed, not measured: the published H200 deployments behave as if they
    /// reached 0.4 GB/s.
    fn default() -> Handoff {
        Handoff { bytes_per_s: 50e9, constant_ms: 0.0 }
    }
}

impl Handoff {
    /// Bytes of KV cache of a prompt, all GPUs of a worker together.
    pub fn bytes(model: &ModelShape, isl_tokens: u32) -> f64 {
        memory::kv_bytes_per_token(model, 1) * f64::from(isl_tokens)
    }

    /// The hand-off of a deployment that was measured: the stage that requests pass one by one, whose time is that of the prompt's
    /// bytes.
    pub fn measured(model: &ModelShape, stage: &SerialStage) -> Handoff {
        let bytes = Handoff::bytes(model, stage.isl.round() as u32);
        Handoff { bytes_per_s: bytes / stage.serial_ms * 1e3, constant_ms: 0.0 }
    }

    /// Time of one prompt's transfer, ms.
    pub fn ms(&self, model: &ModelShape, isl_tokens: u32) -> f64 {
        self.constant_ms + Handoff::bytes(model, isl_tokens) / self.bytes_per_s * 1e3
    }
}

/// A pair of engines, one for each half of a request.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Prefills.
    pub prefill: &'a Engine,
    /// Decodes.
    pub decode: &'a Engine,
    /// Time from the end of a prefill until the decode worker has the cache, ms.
    pub handoff_ms: f64,
}

impl Pair<'_> {
    /// The highest utilisation of prefill workers at which the mean TTFT is within the bound; `None` where none is.
    ///
    /// The mean wait of M/D/1 is `ρ/(2(1−ρ))` services (Kleinrock, Queueing Systems I, 1975).
    pub fn utilisation_max(&self, workload: Workload, ttft_ms: f64) -> Option<f64> {
        let service_ms = self.prefill.prefill_ms(1, workload.isl_tokens);
        let wait = (ttft_ms - self.handoff_ms - service_ms) / service_ms;
        (wait >= 0.0).then(|| (2.0 * wait / (1.0 + 2.0 * wait)).min(UTILISATION_MAX))
    }

    /// Requests per second of one decode worker whose batch is `batch`.
    pub fn decode_rate(&self, workload: Workload, batch: u32) -> f64 {
        let itl_ms = self.decode.decode_ms(batch, workload.context_tokens());
        f64::from(batch) * 1e3 / (itl_ms * f64::from(workload.osl_tokens.max(2) - 1))
    }

    /// The state at `requests_per_s` over so many prefill workers, with decode batches of `batch`.
    pub fn steady(&self, workload: Workload, prefill_workers: u32, batch: u32, requests_per_s: f64) -> Steady {
        let service_ms = self.prefill.prefill_ms(1, workload.isl_tokens);
        let utilisation = requests_per_s * service_ms / 1e3 / f64::from(prefill_workers);
        let wait = utilisation / (2.0 * (1.0 - utilisation.min(0.999)));
        Steady {
            ttft_ms: service_ms * (1.0 + wait) + self.handoff_ms,
            itl_ms: self.decode.decode_ms(batch, workload.context_tokens()),
            requests_per_s,
        }
    }

    /// The largest decode batch that `prefill_workers` can feed, keeping to the SLA and to memory, with its state; `None`
    /// where no batch does.
    pub fn best(&self, workload: Workload, sla: Sla, workers: (u32, u32)) -> Option<(u32, Steady)> {
        let (prefill_workers, decode_workers) = workers;
        let service_ms = self.prefill.prefill_ms(1, workload.isl_tokens);
        let fed = self.utilisation_max(workload, sla.ttft_ms)? * 1e3 / service_ms * f64::from(prefill_workers);
        let rate = |batch| self.decode_rate(workload, batch) * f64::from(decode_workers);
        let context = workload.context_tokens();
        let batch = largest(self.decode.max_batch_by_memory(workload), |batch| {
            self.decode.decode_ms(batch, context) <= sla.itl_ms && rate(batch) <= fed
        });
        (batch > 0).then(|| (batch, self.steady(workload, prefill_workers, batch, rate(batch))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::backend::Backend;
    use crate::profiler::{gpu, model};

    const WORKLOAD: Workload = Workload { isl_tokens: 2048, osl_tokens: 256 };
    const PLAN: Sla = Sla { ttft_ms: 500.0, itl_ms: 50.0 };

    fn engine(tp: u32) -> Engine {
        let (shape, h200) = (model::lookup("Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
        Engine::new(shape, h200, Backend::TrtLlm, tp).unwrap()
    }

    #[test]
    fn the_kv_cache_of_a_prompt_is_537_mb_and_takes_its_time() {
        let shape = model::lookup("Qwen3-32B").unwrap();
        assert_eq!(Handoff::bytes(shape, 2048), 536_870_912.0);
        let over_tcp = Handoff { bytes_per_s: 0.4e9, constant_ms: 20.0 };
        assert!((over_tcp.ms(shape, 2048) - 1362.0).abs() < 1.0);
    }

    #[test]
    fn the_best_batch_keeps_to_the_sla_and_the_next_one_would_not() {
        let (prefill, decode) = (engine(1), engine(2));
        let pair = Pair { prefill: &prefill, decode: &decode, handoff_ms: 13.0 };
        for workers in [(1, 1), (3, 1), (6, 1)] {
            let (batch, s) = pair.best(WORKLOAD, PLAN, workers).unwrap();
            assert!(s.ttft_ms <= 500.0 + 1e-6 && s.itl_ms <= 50.0, "{workers:?}: {s:?}");
            let next = pair.steady(WORKLOAD, workers.0, batch + 1, pair.decode_rate(WORKLOAD, batch + 1));
            let full = batch == decode.max_batch_by_memory(WORKLOAD);
            assert!(full || next.ttft_ms > 500.0 || next.itl_ms > 50.0, "{workers:?}: {batch} {next:?}");
        }
        let slow = Pair { handoff_ms: 1350.0, ..pair };
        assert_eq!(slow.best(WORKLOAD, PLAN, (6, 1)), None, "the hand-off alone breaks the bound");
    }
}
