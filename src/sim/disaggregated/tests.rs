//! Prefill, link and decode in simulated time.

use rand::RngExt as _;

use super::*;
use crate::profiler::backend::Backend;
use crate::profiler::cost::{CostModel, StepLoad};
use crate::profiler::{gpu, model};
use crate::rng::{Seed, Stream};
use crate::sim::batch::{Admission, BatchConfig};

const LINK: Link = Link {
    bytes_per_s: 1e9,
    bytes_per_token: 250_000.0,
    setup_s: 0.01,
    speedup: 1.0,
    first_token: FirstToken::After,
    shares: 2,
};

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

/// Times of the tokens of two requests of which the second comes while the first is generated.
fn times_of_two(first_token: FirstToken) -> [Vec<i64>; 2] {
    let mut d = Disaggregated::new(engines(1), engines(1), Link { first_token, ..LINK }).unwrap();
    d.submit(SequenceId(0), 0, Job::new(2048, 200)).unwrap();
    d.submit(SequenceId(1), ns(0.6), Job::new(2048, 3)).unwrap();
    let tokens = run_to_idle(&mut d);
    [0, 1].map(|id| tokens.iter().filter(|t| t.sequence.0 == id).map(|t| t.at_ns).collect())
}

#[test]
fn a_first_token_gets_out_with_its_prefill_its_first_share_or_its_cache_and_the_others_do_not_move() {
    let [after, busy_after] = times_of_two(FirstToken::After);
    let [before, busy_before] = times_of_two(FirstToken::Before);
    let [share, busy_share] = times_of_two(FirstToken::FirstShare);
    let prefilled = ns(cost().step_s(&StepLoad::prefill(1, 2048)));
    let half = ns(2048.0 * 250_000.0 / 1e9 / 2.0);
    assert_eq!((before[0], share[0], after[0]), (prefilled, prefilled + ns(0.01) + half, prefilled + ns(0.522)));
    assert_eq!((&before[1..], &share[1..]), (&after[1..], &after[1..]));
    // While the engine generates for another, it answers with the whole cache.
    assert_eq!((busy_before[0], busy_share[0]), (ns(0.6) + prefilled, busy_after[0]));
    assert_eq!((&busy_before[1..], &busy_share[1..]), (&busy_after[1..], &busy_after[1..]));
}

#[test]
fn an_answer_of_one_token_that_is_out_with_the_prefill_crosses_no_link() {
    for (first_token, seconds) in
        [(FirstToken::Before, 0.0), (FirstToken::FirstShare, 0.266), (FirstToken::After, 0.522)]
    {
        let mut d = Disaggregated::new(engines(1), engines(1), Link { first_token, ..LINK }).unwrap();
        d.submit(SequenceId(0), 0, Job::new(2048, 1)).unwrap();
        let tokens: Vec<(i64, bool)> = run_to_idle(&mut d).iter().map(|t| (t.at_ns, t.last)).collect();
        assert_eq!(tokens, [(ns(cost().step_s(&StepLoad::prefill(1, 2048))) + ns(seconds), true)], "{first_token:?}");
    }
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
        let first_token = [FirstToken::After, FirstToken::Before, FirstToken::FirstShare][seed as usize % 3];
        let link = Link { bytes_per_s: rng.random_range(1e8..1e12), first_token, ..LINK };
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
