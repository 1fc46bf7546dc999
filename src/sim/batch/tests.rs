//! The batch in simulated time.

use std::collections::HashMap;

use rand::RngExt as _;

use super::*;
use crate::profiler::backend::Backend;
use crate::profiler::{gpu, model};

fn cost(tp: u32) -> CostModel {
    let (shape, h200) = (model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
    CostModel::new(shape, h200, Backend::Vllm, tp).unwrap()
}

const CONFIG: BatchConfig = BatchConfig {
    max_sequences: 256,
    max_batched_tokens: 8192,
    kv_tokens: 1_000_000,
    speedup: 1.0,
    step_noise: 0.0,
    seed: Seed(1),
};

fn engine(config: BatchConfig) -> ContinuousBatch {
    ContinuousBatch::new(cost(4), config).unwrap()
}

fn job(prompt_tokens: u32, output_tokens: u32) -> Job {
    Job { prompt_tokens, output_tokens }
}

fn submit(e: &mut ContinuousBatch, id: u64, arrival_ns: i64, j: Job) {
    e.submit(SequenceId(id), arrival_ns, j);
}

fn run_to_idle(e: &mut ContinuousBatch) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some(t) = e.next_event_ns() {
        e.advance(t, &mut tokens);
    }
    tokens
}

fn ns(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

#[test]
fn a_lone_request_takes_its_prefill_and_then_a_decode_step_per_token() {
    let mut e = engine(CONFIG);
    submit(&mut e, 1, 500, job(2048, 4));
    let at: Vec<i64> = run_to_idle(&mut e).iter().map(|t| t.at_ns).collect();
    let mut expected = vec![500 + ns(cost(4).step_s(&StepLoad::prefill(1, 2048)))];
    for context in [2049, 2050, 2051] {
        expected.push(expected.last().unwrap() + ns(cost(4).step_s(&StepLoad::decode(1, context))));
    }
    assert_eq!(at, expected);
}

#[test]
fn a_late_driver_changes_no_time() {
    let run = |wake_ns: i64| {
        let mut e = engine(CONFIG);
        let mut tokens = Vec::new();
        for id in 0..20 {
            submit(&mut e, id, id as i64 * 3_000_000, job(700, 30));
            if wake_ns == 0 {
                e.advance(id as i64 * 3_000_000, &mut tokens);
            }
        }
        while let Some(t) = e.next_event_ns() {
            e.advance(t + wake_ns, &mut tokens);
        }
        tokens
    };
    assert_eq!(run(0), run(40_000_000));
}

#[test]
fn a_prompt_above_the_token_budget_is_prefilled_in_chunks_while_others_decode() {
    let mut e = engine(CONFIG);
    submit(&mut e, 1, 0, job(100, 50));
    submit(&mut e, 2, 0, job(20_000, 1));
    let tokens = run_to_idle(&mut e);
    let before = tokens.iter().position(|t| t.sequence == SequenceId(2)).unwrap();
    // 8092 in the first iteration beside the other's 100, 8191 in the second, the rest in the third.
    assert_eq!(tokens[..before].iter().filter(|t| t.sequence == SequenceId(1)).count(), 3);
}

#[test]
fn requests_are_admitted_in_order_and_the_batch_stays_within_its_limits() {
    let mut e = engine(BatchConfig { max_sequences: 4, kv_tokens: 3000, ..CONFIG });
    for id in 0..40 {
        submit(&mut e, id, id as i64 * 1000, job(if id % 5 == 0 { 2900 } else { 300 }, 10));
    }
    let (mut tokens, mut firsts) = (Vec::new(), Vec::new());
    while let Some(t) = e.next_event_ns() {
        let seen = tokens.len();
        e.advance(t, &mut tokens);
        assert!(e.running.len() <= 4, "{} run at once", e.running.len());
        assert!(e.reserved_tokens <= 3000, "{} tokens are reserved", e.reserved_tokens);
        firsts.extend(
            tokens[seen..].iter().map(|t: &Token| t.sequence.0).filter(|id| !firsts.contains(id)).collect::<Vec<_>>(),
        );
    }
    assert_eq!(firsts, (0..40).collect::<Vec<u64>>());
    assert_eq!(e.reserved_tokens, 0);
}

#[test]
fn a_sequence_larger_than_the_cache_runs_alone() {
    let mut e = engine(BatchConfig { kv_tokens: 1000, ..CONFIG });
    submit(&mut e, 1, 0, job(5000, 5));
    submit(&mut e, 2, 0, job(10, 5));
    let order: Vec<u64> = run_to_idle(&mut e).iter().map(|t| t.sequence.0).collect();
    assert_eq!(order, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
}

#[test]
fn cancelling_frees_the_place_and_silences_the_sequence() {
    let mut e = engine(BatchConfig { max_sequences: 1, ..CONFIG });
    submit(&mut e, 1, 0, job(100, 1_000_000));
    submit(&mut e, 2, 0, job(100, 2));
    submit(&mut e, 3, 0, job(100, 2));
    let mut tokens = Vec::new();
    e.advance(ns(1.0), &mut tokens);
    assert!(tokens.iter().all(|t| t.sequence == SequenceId(1)));
    e.cancel(SequenceId(1));
    e.cancel(SequenceId(3));
    e.cancel(SequenceId(99));
    let rest: Vec<u64> = run_to_idle(&mut e).iter().map(|t| t.sequence.0).collect();
    assert_eq!(rest, [2, 2]);
    assert_eq!(e.reserved_tokens, 0);
}

#[test]
fn speedup_divides_every_time() {
    let end = |speedup| {
        let mut e = engine(BatchConfig { speedup, ..CONFIG });
        submit(&mut e, 1, 0, job(4000, 100));
        run_to_idle(&mut e).last().unwrap().at_ns
    };
    let ratio = end(1.0) as f64 / end(50.0) as f64;
    assert!((ratio - 50.0).abs() < 0.01, "{ratio}");
}

#[test]
fn noise_is_reproducible_and_keeps_the_mean() {
    let end = |seed, step_noise| {
        let mut e = engine(BatchConfig { step_noise, seed: Seed(seed), ..CONFIG });
        submit(&mut e, 1, 0, job(10, 5000));
        run_to_idle(&mut e).last().unwrap().at_ns
    };
    assert_eq!(end(7, 0.3), end(7, 0.3));
    assert_ne!(end(7, 0.3), end(8, 0.3));
    // Seed 7; five thousand draws of sigma 0.3 leave the mean within 0.5 % (one standard error).
    let ratio = end(7, 0.3) as f64 / end(7, 0.0) as f64;
    assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
}

#[test]
fn tokens_are_conserved_over_random_workloads() {
    for seed in 0..200 {
        let mut rng = Seed(seed).stream(Stream::Mix);
        let config = BatchConfig {
            max_sequences: rng.random_range(1..20),
            max_batched_tokens: rng.random_range(20..600),
            kv_tokens: rng.random_range(100..5000),
            ..CONFIG
        };
        let mut e = engine(config);
        let (mut wanted, mut tokens, mut now_ns) = (HashMap::new(), Vec::new(), 0);
        for id in 0..rng.random_range(1..60) {
            now_ns += rng.random_range(0..20_000_000);
            let j = job(rng.random_range(1..1500), rng.random_range(1..40));
            e.advance(now_ns, &mut tokens);
            submit(&mut e, id, now_ns, j);
            wanted.insert(id, (now_ns, j.output_tokens));
        }
        tokens.extend(run_to_idle(&mut e));
        assert!(tokens.is_sorted_by_key(|t| t.at_ns), "seed {seed}: tokens go back in time");
        let mut got = HashMap::new();
        for t in &tokens {
            let (arrival_ns, output_tokens) = wanted[&t.sequence.0];
            let n = got.entry(t.sequence.0).or_insert(0);
            *n += 1;
            assert!(t.at_ns > arrival_ns, "seed {seed}: {t:?} before its arrival at {arrival_ns}");
            assert_eq!(t.last, *n == output_tokens, "seed {seed}: {t:?} is number {n} of {output_tokens}");
        }
        let counts: HashMap<u64, u32> = wanted.iter().map(|(id, (_, n))| (*id, *n)).collect();
        assert_eq!(got, counts, "seed {seed}");
        assert_eq!((e.reserved_tokens, e.running.len()), (0, 0), "seed {seed}");
    }
}

#[test]
fn settings_that_cannot_be_are_refused_by_the_name_of_their_flag() {
    let refused = |config: BatchConfig| config.check().unwrap_err().to_string();
    assert!(refused(BatchConfig { max_sequences: 0, ..CONFIG }).contains("--max-num-seqs"));
    assert!(refused(BatchConfig { max_batched_tokens: 8, ..CONFIG }).contains("--max-num-batched-tokens 8"));
    assert!(refused(BatchConfig { speedup: f64::NAN, ..CONFIG }).contains("--speedup"));
    assert!(refused(BatchConfig { step_noise: 2.0, ..CONFIG }).contains("--step-noise"));
}
