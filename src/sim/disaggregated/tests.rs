//! Prefill, link and decode in simulated time.

use rand::RngExt as _;

use super::*;
use crate::profiler::backend::Backend;
use crate::profiler::cost::{CostModel, StepLoad};
use crate::profiler::{gpu, model};
use crate::rng::{Seed, Stream};
use crate::sim::batch::{Admission, BatchConfig};

const LINK: Link = Link { bytes_per_s: 1e9, bytes_per_token: 250_000.0, setup_s: 0.01, speedup: 1.0 };

fn cost() -> CostModel {
    let (shape, h200) = (model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
    CostModel::new(shape, h200, Backend::TrtLlm, 1).unwrap()
}

fn engines(n: u64) -> Vec<ContinuousBatch> {
    let config = |n| BatchConfig {
        max_sequences: 64,
        max_batched_tokens: 8192,
        kv_tokens: 100_000,
        prefix_caching: true,
        admission: Admission::Preempt,
        queue_limit: None,
        step_overhead_s: 0.0,
        sequence_overhead_s: 0.0,
        speedup: 1.0,
        step_noise: 0.0,
        seed: Seed(n),
    };
    (0..n).map(|n| ContinuousBatch::new(cost(), config(n)).unwrap()).collect()
}

fn run_to_idle(d: &mut Disaggregated) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some(t) = d.next_event_ns() {
        d.advance(t, &mut tokens);
    }
    tokens
}

fn ns(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

#[test]
fn a_lone_request_is_prefilled_handed_over_and_then_generated() {
    let mut d = Disaggregated::new(engines(1), engines(1), LINK).unwrap();
    d.submit(SequenceId(1), 0, Job::new(2048, 3)).unwrap();
    let at: Vec<i64> = run_to_idle(&mut d).iter().map(|t| t.at_ns).collect();
    let first = ns(cost().step_s(&StepLoad::prefill(1, 2048))) + ns(0.01 + 2048.0 * 250_000.0 / 1e9);
    let step = |context| ns(cost().step_s(&StepLoad::decode(1, context)));
    assert_eq!(at, [first, first + step(2049), first + step(2049) + step(2050)]);
}

#[test]
fn the_link_carries_one_prompt_at_a_time_so_that_it_bounds_the_throughput() {
    let mut d = Disaggregated::new(engines(2), engines(2), LINK).unwrap();
    for id in 0..20 {
        d.submit(SequenceId(id), 0, Job::new(2048, 2)).unwrap();
    }
    let tokens = run_to_idle(&mut d);
    let mut seen = std::collections::HashSet::new();
    let firsts: Vec<i64> = tokens.iter().filter(|t| seen.insert(t.sequence)).map(|t| t.at_ns).collect();
    assert!(firsts.windows(2).all(|w| w[1] - w[0] == ns(0.522)), "{firsts:?}");
}

#[test]
fn whatever_is_cancelled_when_the_rest_is_whole() {
    for seed in 0..300 {
        let mut rng = Seed(seed).stream(Stream::Mix);
        let link = Link { bytes_per_s: rng.random_range(1e8..1e12), ..LINK };
        let mut d = Disaggregated::new(engines(rng.random_range(1..4)), engines(rng.random_range(1..4)), link).unwrap();
        let (mut wanted, mut tokens, mut now_ns) = (HashMap::new(), Vec::new(), 0);
        for id in 0..rng.random_range(1..40) {
            now_ns += rng.random_range(0..200_000_000);
            d.advance(now_ns, &mut tokens);
            let output_tokens = rng.random_range(1..20);
            d.submit(SequenceId(id), now_ns, Job::new(rng.random_range(1..9000), output_tokens)).unwrap();
            wanted.insert(id, output_tokens as usize);
            if rng.random_bool(0.3) {
                let gone = rng.random_range(0..=id);
                d.cancel(SequenceId(gone));
                wanted.remove(&gone);
            }
        }
        tokens.extend(run_to_idle(&mut d));
        assert!(tokens.is_sorted_by_key(|t| t.at_ns), "seed {seed}: tokens go back in time");
        for (id, output_tokens) in wanted {
            let got: Vec<bool> = tokens.iter().filter(|t| t.sequence.0 == id).map(|t| t.last).collect();
            assert_eq!(got.len(), output_tokens, "seed {seed}: sequence {id}");
            assert!(got.iter().position(|last| *last) == Some(output_tokens - 1), "seed {seed}: sequence {id}");
        }
        let load = d.load();
        assert_eq!((load.running, load.waiting, load.kv_blocks_used), (0, 0, 0), "seed {seed}");
        assert!(d.jobs.is_empty() && d.transfers.is_empty(), "seed {seed}");
    }
}
