//! An engine that prefills and decodes in the same batch → what each of `batch` clients gets, in the mean.
//!
//! In: an engine, a workload, sequences in flight. Out: TTFT, ITL and rate of the steady state (closed loop, each client
//! asks again at once). Stage: aggregated, mean field. While a sequence gets its `osl` tokens, every other one ends once, so
//! `batch` prompts have to be prefilled in `osl` steps: a share of the steps carries prompts (mixed), the rest does not.
//! Not here: percentiles, bursts and open-loop arrivals, which need the simulation.

use super::capacity::{Engine, Workload};
use super::cost::StepLoad;

/// Tokens of one forward pass, prompts and answers together, at most: the engines' usual default.
pub const MAX_BATCHED_TOKENS: u32 = 8192;

/// The steady state of an aggregated engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steady {
    /// Mean TTFT, ms.
    pub ttft_ms: f64,
    /// Mean ITL, ms.
    pub itl_ms: f64,
    /// Requests per second.
    pub requests_per_s: f64,
}

/// The steady state with `batch` sequences in flight, at least 1.
///
/// With `C` sequences, `n = min(C·⌈isl/B⌉, osl)` of `osl` steps are mixed (more where the prompts of a round do not fit into
/// the step's token budget `B`), each with `C·isl/n` prompt tokens. A prompt that arrives waits for the rest of the current step
/// (`E[t²]/2E[t]`), and shares its own with the prompts that arrived in the same step (`λ·E[t²]/E[t]` of them in the mean).
pub fn steady(engine: &Engine, workload: Workload, batch: u32) -> Steady {
    let (isl, osl, clients) = (f64::from(workload.isl_tokens), f64::from(workload.osl_tokens), f64::from(batch));
    let context = workload.context_tokens();
    // A full batch leaves less of the budget for prompts.
    let budget = f64::from(MAX_BATCHED_TOKENS.saturating_sub(batch).max(1));
    let chunks = (isl / budget).ceil();
    let mixed_steps = (clients * chunks).min(osl).max(clients * isl / budget);
    let steps = mixed_steps.max(osl);
    let mixed_ms = mixed_ms(engine, workload, clients * isl / mixed_steps, clients - clients / steps);
    let decode_ms = engine.decode_ms(batch, context);
    let share = mixed_steps / steps;
    let (mean, square) = (
        share * mixed_ms + (1.0 - share) * decode_ms,
        share * mixed_ms * mixed_ms + (1.0 - share) * decode_ms * decode_ms,
    );
    let cycle_ms = steps * mean;
    let requests_per_s = clients / cycle_ms * 1e3;
    if batch == 1 {
        // Alone, there is nobody to wait for.
        let ttft_ms = engine.prefill_ms(1, workload.isl_tokens);
        let total_ms = ttft_ms + (osl - 1.0) * decode_ms;
        return Steady { ttft_ms, itl_ms: decode_ms, requests_per_s: 1e3 / total_ms };
    }
    let others = (clients - 1.0) / cycle_ms * square / mean;
    let own_ms = (0..chunks as u32).map(|_| mixed_ms_of_prompts(engine, workload, isl / chunks, 1.0 + others, clients));
    let ttft_ms = square / (2.0 * mean) + own_ms.sum::<f64>() + engine.host.request_ms;
    Steady { ttft_ms, itl_ms: (cycle_ms - ttft_ms).max(decode_ms * osl) / osl, requests_per_s }
}

/// A step of so many prompt tokens and decoding sequences.
fn mixed_ms(engine: &Engine, workload: Workload, prompt_tokens: f64, sequences: f64) -> f64 {
    let mut load = StepLoad::decode(sequences.round() as u32, workload.context_tokens());
    let mut left = prompt_tokens.round() as u32;
    while left > 0 {
        let tokens = left.min(workload.isl_tokens);
        load.add_prefill(0, tokens);
        left -= tokens;
    }
    engine.step_ms(&load, sequences)
}

/// A step with a chunk of each of `prompts` prompts.
fn mixed_ms_of_prompts(engine: &Engine, workload: Workload, chunk: f64, prompts: f64, sequences: f64) -> f64 {
    let most = f64::from(MAX_BATCHED_TOKENS);
    mixed_ms(engine, workload, (chunk * prompts).min(most.max(chunk)), (sequences - prompts).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::backend::Backend;
    use crate::profiler::{gpu, model};

    const WORKLOAD: Workload = Workload { isl_tokens: 2048, osl_tokens: 256 };

    fn engine(tp: u32) -> Engine {
        let (shape, h200) = (model::lookup("Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
        Engine::new(shape, h200, Backend::Vllm, tp).unwrap()
    }

    #[test]
    fn alone_it_is_the_static_engine_and_in_company_it_is_slower_than_that() {
        let e = engine(2);
        let alone = steady(&e, WORKLOAD, 1);
        assert_eq!((alone.ttft_ms, alone.itl_ms), (e.prefill_ms(1, 2048), e.decode_ms(1, 2176)));
        let mut before = alone;
        for batch in [2, 4, 16, 64, 256] {
            let s = steady(&e, WORKLOAD, batch);
            assert!(s.itl_ms > e.decode_ms(batch, 2176) && s.ttft_ms > e.prefill_ms(1, 2048), "{batch}: {s:?}");
            assert!(s.requests_per_s > before.requests_per_s && s.itl_ms > before.itl_ms, "{batch}: {s:?}");
            before = s;
        }
    }

    #[test]
    fn littles_law_holds() {
        for batch in [1, 8, 100] {
            let s = steady(&engine(1), WORKLOAD, batch);
            let in_flight = s.requests_per_s / 1e3 * (s.ttft_ms + 256.0 * s.itl_ms);
            assert!((in_flight / f64::from(batch) - 1.0).abs() < 0.02, "{batch}: {in_flight}");
        }
    }
}
