//! The batch in simulated time.

use std::collections::HashMap;

use rand::RngExt as _;

use super::*;
use crate::profiler::{gpu, model};
use crate::sim::content::Content;
use crate::sim::kv::BlockId;
use crate::sim::reply::answer_token;

fn cost(tp: u32) -> CostModel {
    let (shape, h200) = (model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
    CostModel::new(shape, h200, Backend::Vllm, tp).unwrap()
}

const CONFIG: BatchConfig = BatchConfig {
    max_sequences: 256,
    max_batched_tokens: 8192,
    kv_tokens: 1_000_000,
    prefix_caching: true,
    admission: Admission::Preempt,
    queue_limit: None,
    step_overhead_s: 0.0,
    sequence_overhead_s: 0.0,
    speedup: 1.0,
    step_noise: 0.0,
    seed: Seed(1),
};

fn engine(config: BatchConfig) -> ContinuousBatch {
    ContinuousBatch::new(cost(4), config).unwrap()
}

fn job(prompt_tokens: u32, output_tokens: u32) -> Job {
    Job::new(prompt_tokens, output_tokens)
}

fn submit(e: &mut ContinuousBatch, id: u64, arrival_ns: i64, j: Job) {
    e.submit(SequenceId(id), arrival_ns, j).unwrap();
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

/// A prompt of these tokens, whose answer is number 0.
fn saying(tokens: &[u64], output_tokens: u32) -> Job {
    Job { prompt_tokens: tokens.len() as u32, output_tokens, content: Content::of(tokens), quiet: false }
}

#[test]
fn requests_are_let_in_in_order_and_the_batch_stays_within_its_limits() {
    for admission in [Admission::Preempt, Admission::Reserve] {
        let mut e = engine(BatchConfig { max_sequences: 4, kv_tokens: 3008, admission, ..CONFIG });
        for id in 0..40 {
            submit(&mut e, id, id as i64 * 1000, job(if id % 5 == 0 { 2900 } else { 300 }, 10));
        }
        let (mut tokens, mut firsts) = (Vec::new(), Vec::new());
        while let Some(t) = e.next_event_ns() {
            let seen = tokens.len();
            e.advance(t, &mut tokens);
            assert!(e.running.len() <= 4, "{} run at once", e.running.len());
            assert!(e.reserved_blocks <= 188, "{} blocks are reserved", e.reserved_blocks);
            let new = tokens[seen..].iter().map(|t: &Token| t.sequence.0).filter(|id| !firsts.contains(id));
            firsts.extend(new.collect::<Vec<_>>());
        }
        assert_eq!(firsts, (0..40).collect::<Vec<u64>>(), "{admission:?}");
        assert_eq!((e.reserved_blocks, e.pool.free()), (0, 188));
    }
}

#[test]
fn a_sequence_larger_than_the_cache_is_refused_and_so_is_one_that_finds_the_queue_full() {
    let mut e = engine(BatchConfig { kv_tokens: 1000, queue_limit: Some(2), ..CONFIG });
    assert_eq!(e.submit(SequenceId(1), 0, job(990, 5)), Err(Refusal::TooLong { kv_tokens: 992 }));
    submit(&mut e, 2, 0, job(990, 2));
    submit(&mut e, 3, 0, job(900, 2));
    assert_eq!(e.submit(SequenceId(4), 0, job(1, 1)), Err(Refusal::QueueFull));
    assert_eq!(run_to_idle(&mut e).len(), 4);
    let now_ns = e.ends.last_ns();
    submit(&mut e, 5, now_ns, job(1, 1));
}

#[test]
fn a_prompt_begins_behind_what_the_cache_knows_of_it_but_for_its_last_token() {
    let mut e = engine(CONFIG);
    let system: Vec<u64> = (0..2048).collect();
    let time = |e: &mut ContinuousBatch, id: u64, j: Job| {
        let start_ns = e.next_event_ns().unwrap_or(e.ends.last_ns().max(0));
        submit(e, id, start_ns, j);
        let first = run_to_idle(e).remove(0);
        (first.cached_tokens, first.at_ns - start_ns)
    };
    let (cold, cold_ns) = time(&mut e, 1, saying(&system, 1));
    let (warm, warm_ns) = time(&mut e, 2, saying(&system, 1));
    assert_eq!((cold, warm), (0, 2032), "the last block is computed again for its last token");
    let mut tail = StepLoad::default();
    tail.add_prefill(2032, 16);
    assert_eq!((cold_ns, warm_ns), (ns(cost(4).step_s(&StepLoad::prefill(1, 2048))), ns(cost(4).step_s(&tail))));
    let mut other = system.clone();
    other[100] = 7;
    assert_eq!(time(&mut e, 3, saying(&other, 1)).0, 96, "six blocks stand before the difference");
    // Without content, and in an engine that is told to forget, nothing is found.
    assert_eq!(time(&mut e, 4, job(2048, 1)).0, 0);
    assert_eq!(time(&mut e, 5, job(2048, 1)).0, 0);
    let mut forgetful = engine(BatchConfig { prefix_caching: false, ..CONFIG });
    assert_eq!(time(&mut forgetful, 1, saying(&system, 1)).0, 0);
    assert_eq!(time(&mut forgetful, 2, saying(&system, 1)).0, 0);
}

#[test]
fn the_next_turn_finds_what_was_said_before_it() {
    let mut e = engine(CONFIG);
    let mut said: Vec<u64> = (0..50).collect();
    submit(&mut e, 1, 0, saying(&said, 30));
    run_to_idle(&mut e);
    said.extend((0..30).map(|i| answer_token(0, i)));
    said.extend(500..520);
    let now_ns = e.ends.last_ns();
    submit(&mut e, 2, now_ns, saying(&said, 1));
    // The last token of the answer was never fed back: 79 were computed, four blocks of which are full.
    assert_eq!(run_to_idle(&mut e)[0].cached_tokens, 64);
}

#[test]
fn the_youngest_is_thrown_out_when_blocks_run_short_and_loses_no_token() {
    let config = BatchConfig { kv_tokens: 640, ..CONFIG };
    let mut e = engine(config);
    submit(&mut e, 1, 0, job(300, 200));
    submit(&mut e, 2, 0, job(250, 200));
    let tokens = run_to_idle(&mut e);
    assert!(e.load().preemptions_total >= 1);
    for id in [1, 2] {
        assert_eq!(tokens.iter().filter(|t| t.sequence == SequenceId(id)).count(), 200);
    }
    let last = |id| tokens.iter().rposition(|t| t.sequence == SequenceId(id)).unwrap();
    assert!(last(1) < last(2), "the older one goes on");
    assert_eq!(e.pool.free(), 40);
    // Letting in only what fits to its end throws nobody out.
    let mut e = engine(BatchConfig { admission: Admission::Reserve, ..config });
    submit(&mut e, 1, 0, job(300, 200));
    submit(&mut e, 2, 0, job(250, 200));
    let order: Vec<u64> = run_to_idle(&mut e).iter().map(|t| t.sequence.0).collect();
    assert_eq!((e.load().preemptions_total, order.is_sorted()), (0, true));
}

#[test]
fn a_handed_over_prompt_costs_room_and_no_time() {
    let mut e = engine(CONFIG);
    e.hand_over(SequenceId(1), 0, job(2000, 3), 0).unwrap();
    let at: Vec<i64> = run_to_idle(&mut e).iter().map(|t| t.at_ns).collect();
    let step = |context| ns(cost(4).step_s(&StepLoad::decode(1, context)));
    assert_eq!(at, [step(2001), step(2001) + step(2002)]);
    assert_eq!(e.pool.free(), e.pool.capacity());
}

#[test]
fn overheads_are_added_to_every_iteration() {
    let end = |step_overhead_s, sequence_overhead_s| {
        let mut e = engine(BatchConfig { step_overhead_s, sequence_overhead_s, ..CONFIG });
        submit(&mut e, 1, 0, job(10, 100));
        submit(&mut e, 2, 0, job(10, 100));
        run_to_idle(&mut e).last().unwrap().at_ns
    };
    assert_eq!(end(0.001, 0.0) - end(0.0, 0.0), 100 * 1_000_000);
    assert_eq!(end(0.0, 0.0001) - end(0.0, 0.0), 100 * 200_000);
}

#[test]
fn cancelling_frees_the_place_and_silences_the_sequence() {
    let mut e = engine(BatchConfig { max_sequences: 1, ..CONFIG });
    submit(&mut e, 1, 0, job(100, 900_000));
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
    assert_eq!(e.pool.free(), e.pool.capacity());
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
fn tokens_and_blocks_are_conserved_in_every_step_of_random_workloads() {
    for seed in 0..1000 {
        let mut rng = Seed(seed).stream(Stream::Mix);
        let config = BatchConfig {
            max_sequences: rng.random_range(1..20),
            max_batched_tokens: rng.random_range(20..600),
            kv_tokens: rng.random_range(1600..6000),
            prefix_caching: rng.random_bool(0.7),
            admission: [Admission::Preempt, Admission::Reserve][rng.random_range(0..2)],
            ..CONFIG
        };
        let mut e = engine(config);
        let (mut wanted, mut tokens, mut now_ns) = (HashMap::new(), Vec::new(), 0);
        for id in 0..rng.random_range(1..60) {
            now_ns += rng.random_range(0..20_000_000);
            let shared = rng.random_range(0..3) * 1000;
            let said: Vec<u64> = (0..rng.random_range(1..1500)).map(|i| shared + i).collect();
            let j = saying(&said, rng.random_range(1..40));
            step_to(&mut e, now_ns, &mut tokens, seed);
            if rng.random_bool(0.1) && id > 0 {
                let gone = rng.random_range(0..id);
                e.cancel(SequenceId(gone));
                wanted.remove(&gone);
                tokens.retain(|t| t.sequence.0 != gone);
            }
            wanted.insert(id, (now_ns, j.output_tokens));
            submit(&mut e, id, now_ns, j);
        }
        step_to(&mut e, i64::MAX, &mut tokens, seed);
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
        assert_eq!((e.reserved_blocks, e.pool.free()), (0, e.pool.capacity()), "seed {seed}");
    }
}

/// What an engine did with random jobs, some of which were cancelled: of each sequence the times of its tokens and of what was in the
/// cache, and its books.
fn played(seed: u64, quiet: bool) -> (HashMap<u64, Vec<i64>>, HashMap<u64, u32>, Load) {
    let mut rng = Seed(seed).stream(Stream::Mix);
    let config = BatchConfig {
        max_sequences: rng.random_range(1..20),
        max_batched_tokens: rng.random_range(20..600),
        kv_tokens: rng.random_range(1600..6000),
        prefix_caching: rng.random_bool(0.7),
        admission: [Admission::Preempt, Admission::Reserve][rng.random_range(0..2)],
        step_noise: 0.1,
        ..CONFIG
    };
    let mut e = engine(config);
    let (mut times, mut cached, mut tokens): (HashMap<u64, Vec<i64>>, _, _) = (HashMap::new(), HashMap::new(), vec![]);
    let (mut now_ns, jobs) = (0, rng.random_range(1..60));
    for id in 0..=jobs {
        now_ns = if id == jobs { i64::MAX } else { now_ns + rng.random_range(0..20_000_000) };
        step_to(&mut e, now_ns, &mut tokens, seed);
        for t in tokens.drain(..) {
            assert!(quiet || t.before_ns.is_empty(), "seed {seed}");
            times.entry(t.sequence.0).or_default().extend(t.before_ns.into_iter().chain([t.at_ns]));
            cached.insert(t.sequence.0, t.cached_tokens);
        }
        if id < jobs {
            let said: Vec<u64> = (0..rng.random_range(1..1500)).map(|i| id % 3 * 1000 + i).collect();
            let job = Job { quiet, ..saying(&said, rng.random_range(1..80)) };
            let job = if rng.random_bool(0.2) { Job::new(job.prompt_tokens, job.output_tokens) } else { job };
            submit(&mut e, id, now_ns, Job { quiet, ..job });
        }
        if rng.random_bool(0.1) && id < jobs {
            let gone = rng.random_range(0..=id);
            let untold_ns = e.cancel(SequenceId(gone));
            times.entry(gone).or_default().extend(untold_ns);
        }
    }
    (times, cached, e.load())
}

#[test]
fn of_a_quiet_job_the_same_is_told_later() {
    let (mut thrown_out, mut untold) = (0, 0);
    for seed in 0..1000 {
        let (loud, quiet) = (played(seed, false), played(seed, true));
        assert_eq!(loud, quiet, "seed {seed}");
        thrown_out += loud.2.preemptions_total;
        untold += usize::from(loud.0.values().any(|times| times.len() > 1));
    }
    assert!(
        thrown_out > 1000 && untold > 500,
        "{thrown_out} were thrown out, {untold} runs had more than first tokens"
    );
}

/// Advances an engine event by event, and looks at its books after each.
fn step_to(e: &mut ContinuousBatch, to_ns: i64, tokens: &mut Vec<Token>, seed: u64) {
    while let Some(t) = e.next_event_ns().filter(|t| *t <= to_ns) {
        e.advance(t, tokens);
        let mut held: Vec<BlockId> = e.running.iter().flat_map(|r| r.blocks.iter().copied()).collect();
        held.sort_unstable();
        held.dedup();
        assert_eq!(held.len() as u32, e.pool.capacity() - e.pool.free(), "seed {seed}: blocks are lost or held twice");
        for r in &e.running {
            let room = r.blocks.len() as u32 * BLOCK_TOKENS;
            let computed = r.computed_tokens + r.unsettled_tokens(&e.ends);
            let used = computed + r.chunk_tokens * u32::from(e.step_end_ns.is_some());
            assert!(used <= room && room < used + BLOCK_TOKENS, "seed {seed}: {room} tokens of room for {used}");
        }
        assert!(e.waiting.iter().all(|w| w.blocks.is_empty() && w.computed_tokens == 0), "seed {seed}");
    }
}

#[test]
fn settings_that_cannot_be_are_refused_by_the_name_of_their_flag() {
    let refused = |config: BatchConfig| config.check().unwrap_err().to_string();
    assert!(refused(BatchConfig { max_sequences: 0, ..CONFIG }).contains("--max-num-seqs"));
    assert!(refused(BatchConfig { max_batched_tokens: 8, ..CONFIG }).contains("--max-num-batched-tokens 8"));
    assert!(refused(BatchConfig { speedup: f64::NAN, ..CONFIG }).contains("--speedup"));
    assert!(refused(BatchConfig { queue_limit: Some(0), ..CONFIG }).contains("--queue-limit"));
    assert!(refused(BatchConfig { kv_tokens: 3, ..CONFIG }).contains("3 tokens"));
    assert!(refused(BatchConfig { step_noise: 2.0, ..CONFIG }).contains("--step-noise"));
}
