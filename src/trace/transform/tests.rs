//! Transforms together: random ones on random traces, their order, and what they do to published traces.

use rand::RngExt;

use super::fixture::{random_trace, trace};
use super::*;
use crate::published::shared;
use crate::rng::Rng;
use crate::trace::{ReadOptions, read};

fn lines(trace: &Trace) -> Vec<u64> {
    trace.entries.iter().map(|e| e.line).collect()
}

/// The shares of prompt tokens, and of requests, of which a prefix cache that forgets nothing would hold something.
fn hit_ratio(trace: &Trace) -> (f64, f64) {
    let mut seen = vec![false; trace.unique_blocks as usize];
    let (mut hit, mut all, mut requests) = (0, 0, 0_u64);
    for entry in &trace.entries {
        let known = trace.blocks(entry).iter().take_while(|b| seen[**b as usize]).count() as u64;
        hit += (known * u64::from(trace.block_size)).min(u64::from(entry.input_tokens));
        all += u64::from(entry.input_tokens);
        requests += u64::from(known > 0);
        trace.blocks(entry).iter().for_each(|b| seen[*b as usize] = true);
    }
    (hit as f64 / all as f64, requests as f64 / trace.entries.len() as f64)
}

/// Some of the transforms, each with some value.
fn random_transforms(rng: &mut Rng) -> Transforms {
    let name = |word: &str, rng: &mut Rng| vec![format!("{word}{}", rng.random_range(0..3))];
    let mut of = Transforms::default();
    if rng.random_bool(0.3) {
        let (models, kinds) = (name("model", rng), name("kind", rng));
        of.filter = Some(if rng.random_bool(0.5) {
            Filter { models, kinds: Vec::new() }
        } else {
            Filter { models: Vec::new(), kinds }
        });
    }
    if rng.random_bool(0.4) {
        let from_ns = rng.random_range(0..40) * SECOND_NS;
        let to_ns = rng.random_bool(0.7).then(|| from_ns + rng.random_range(1..90) * SECOND_NS);
        of.window = Some(Window { from_ns, to_ns, first_is_zero: rng.random_bool(0.3) });
    }
    if rng.random_bool(0.4) {
        let most = |rng: &mut Rng| rng.random_bool(0.7).then(|| rng.random_range(100..400));
        of.limit = Some(Limit { input_tokens_max: most(rng), output_tokens_max: most(rng) });
    }
    if rng.random_bool(0.4) {
        let factors = [0.0625, 0.5, 0.75, 1.0, 1.4, 3.0];
        let factor = |rng: &mut Rng| factors[rng.random_range(0..factors.len())];
        of.scale = Some(Scale { input: factor(rng), output: factor(rng) });
    }
    of.synthesis = rng.random_bool(0.3).then(|| Synthesis {
        shared: rng.random_range(0.2..3.0),
        own: rng.random_range(0.2..3.0),
        families: rng.random_range(1..4),
    });
    of.spread_buckets = rng.random_bool(0.5);
    of.speed = rng.random_bool(0.3).then(|| rng.random_range(0.1..9.0));
    if rng.random_bool(0.4) {
        let by = if rng.random_bool(0.5) { RateBy::Speed } else { RateBy::Sampling };
        of.target_rate = Some(TargetRate { rate_rps: rng.random_range(0.05..4.0), by });
    }
    of.pauses = rng.random_bool(0.3).then(|| Pauses { longest_ns: rng.random_range(0..5_000_000) });
    if rng.random_bool(0.4) {
        let prefixes = if rng.random_bool(0.5) { Prefixes::Fresh } else { Prefixes::Kept };
        let until = match rng.random_bool(0.5) {
            true => RepeatUntil::Passes(rng.random_range(1..5)),
            false => RepeatUntil::DurationNs(rng.random_range(1..400) * SECOND_NS),
        };
        of.repeat = Some(Repeat { until, prefixes });
    }
    of
}

/// Follows the counts of the notes, "K of N requests" and what a loop makes: each change starts from what the one before left.
fn check_counts(notes: &[String], mut count: usize) -> usize {
    for note in notes {
        let words: Vec<&str> = note.split([' ', ';', ',']).collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        if let Some(at) =
            words.windows(4).position(|w| w[1] == "of" && w[3] == "requests" && w[2].parse::<u32>().is_ok())
        {
            if words[0] == "loop:" {
                assert_eq!(number(4), count, "{note}");
                let cut = note.split("; ").find_map(|part| part.split_once(" requests from "));
                count = number(1) * number(4) - cut.map_or(0, |(n, _)| n.parse().unwrap());
            } else {
                assert_eq!(number(at + 2), count, "{note}");
                count = number(at);
            }
        }
    }
    count
}

#[test]
fn whatever_is_asked_traces_stay_sound_in_order_and_counted() {
    let (mut done, mut refused) = (0, 0);
    for seed in 0..1000 {
        let mut rng = Seed(seed).stream(Stream::Bootstrap);
        let (before, transforms) = (random_trace(seed), random_transforms(&mut rng));
        let mut after = before.clone();
        match transforms.apply(&mut after, Seed(seed)) {
            Ok(()) => done += 1,
            Err(Error::Usage(_)) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("seed {seed}: {other}"),
        }
        assert_eq!(after.check(), Ok(()), "seed {seed}: {transforms:?}");
        assert_eq!(
            check_counts(&after.notes, before.entries.len()),
            after.entries.len(),
            "seed {seed}: {:?}",
            after.notes
        );
        let passes = lines(&after).chunk_by(|a, b| a < b).count();
        assert!(passes == 1 || transforms.repeat.is_some(), "seed {seed}: the order changed");
        let mut again = before.clone();
        transforms.apply(&mut again, Seed(seed)).unwrap();
        assert_eq!((again.entries, again.block_ids, again.waits), (after.entries, after.block_ids, after.waits));
    }
    assert!(done > 600 && refused > 20, "{done} done, {refused} refused: the draw tests too little");
}

#[test]
fn changes_are_made_in_their_order_and_noted() {
    let transforms = Transforms {
        window: Some(Window { from_ns: 0, to_ns: Some(4 * SECOND_NS), first_is_zero: false }),
        limit: Some(Limit { input_tokens_max: Some(600), output_tokens_max: Some(9) }),
        scale: Some(Scale { input: 2.0, output: 1.0 }),
        synthesis: None,
        spread_buckets: true,
        speed: Some(2.0),
        target_rate: Some(TargetRate { rate_rps: 4.0, by: RateBy::Speed }),
        pauses: None,
        repeat: Some(Repeat { until: RepeatUntil::Passes(2), prefixes: Prefixes::Kept }),
        filter: None,
    };
    let mut changed = trace();
    changed.notes.clear();
    transforms.apply(&mut changed, Seed(1)).unwrap();
    changed.check().unwrap();
    let expected = [
        "window from 0 s to 4 s: 5 of 6 requests, 1.250 requests/s",
        "max-isl 600: 5 of 5 requests; 0 are longer",
        "max-osl 9: 0 longer answers are cut to it",
        "scale-isl 2: blocks of 512 tokens are now of 1024; 1880 prompt tokens are now 3760",
        "spread-buckets: arrivals are not bucketed: 4 requests stand at 4 instants; times are left as they are",
        "speed 2: 5 requests over 1.250 s, 4.000 requests/s",
        "speed 1: 5 requests over 1.250 s, 4.000 requests/s",
        "loop: 2 passes of 5 requests, 1.875 s each; prefixes are kept; 10 requests",
    ];
    assert_eq!(changed.notes, expected);
}

#[test]
fn spreading_changes_times_alone() {
    for seed in 0..100 {
        let before = random_trace(seed);
        let mut spread = before.clone();
        Transforms { spread_buckets: true, ..Transforms::default() }.apply(&mut spread, Seed(seed)).unwrap();
        assert_eq!((&spread.block_ids, lines(&spread)), (&before.block_ids, lines(&before)), "seed {seed}");
        assert_eq!(hit_ratio(&spread), hit_ratio(&before), "seed {seed}");
        let later: Vec<i64> = before.arrivals_ns().zip(spread.arrivals_ns()).map(|(a, b)| b - a).collect();
        assert!(later.iter().all(|ns| (0..2 * SECOND_NS).contains(ns)), "seed {seed}");
        assert!(later.iter().any(|ns| *ns > 0), "seed {seed}: nothing was spread");
    }
}

#[test]
fn scaling_keeps_what_prompts_share() {
    for seed in 0..100 {
        let before = random_trace(seed);
        let mut after = before.clone();
        after.entries.iter_mut().for_each(|e| e.content = None);
        Transforms { scale: Some(Scale { input: 2.0, output: 1.0 }), ..Transforms::default() }
            .apply(&mut after, Seed(seed))
            .unwrap();
        assert_eq!((&after.block_ids, hit_ratio(&after)), (&before.block_ids, hit_ratio(&before)), "seed {seed}");
    }
}

#[test]
fn the_manifest_shows_what_is_asked_in_order() {
    let transforms = Transforms {
        filter: Some(Filter { models: vec!["m".into()], kinds: Vec::new() }),
        speed: Some(2.0),
        target_rate: Some(TargetRate { rate_rps: 4.0, by: RateBy::Sampling }),
        repeat: Some(Repeat { until: RepeatUntil::DurationNs(5), prefixes: Prefixes::Fresh }),
        ..Transforms::default()
    };
    let expected = r#"{"filter":{"models":["m"],"kinds":[]},"window":null,"limit":null,"scale":null,"synthesis":null,"spread_buckets":false,"speed":2.0,"target_rate":{"rate_rps":4.0,"by":"sampling"},"pauses":null,"repeat":{"until":{"duration_ns":5},"prefixes":"fresh"}}"#;
    assert_eq!(serde_json::to_string(&transforms).unwrap(), expected);
}

#[test]
fn mooncakes_conversations_are_bucketed_and_poisson_once_spread() {
    let Some(path) = shared("traces/mooncake-fast25/conversation_trace.jsonl") else { return };
    let recorded = read(&path, &ReadOptions::default()).unwrap();
    let found = Bucketing::of(recorded.arrivals_ns());
    assert_eq!((found.period_ns, found.instants, found.most_at_once), (Some(3 * SECOND_NS), 1180, 28));
    // Index of dispersion of the counts per second.
    let idc = |trace: &Trace| {
        let mut counts = vec![0.0; 3540];
        trace.arrivals_ns().for_each(|at_ns| counts[(at_ns / SECOND_NS) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        counts.iter().map(|c: &f64| (c - mean).powi(2)).sum::<f64>() / counts.len() as f64 / mean
    };
    assert!((idc(&recorded) - 7.9).abs() < 0.05, "{}", idc(&recorded));
    for seed in 0..5 {
        let mut spread = recorded.clone();
        Transforms { spread_buckets: true, ..Transforms::default() }.apply(&mut spread, Seed(seed)).unwrap();
        assert!((idc(&spread) - 1.02).abs() < 0.08, "seed {seed}: {}", idc(&spread));
        assert_eq!(hit_ratio(&spread), hit_ratio(&recorded));
        eprintln!("seed {seed}: IDC 1 s {:.3}, hit ratio {:.4}", idc(&spread), hit_ratio(&spread).0);
    }
}

#[test]
fn mooncakes_synthetic_trace_is_not_bucketed() {
    let Some(path) = shared("traces/mooncake-fast25/synthetic_trace.jsonl") else { return };
    let trace = read(&path, &ReadOptions::default()).unwrap();
    assert!(!Bucketing::of(trace.arrivals_ns()).detected);
}
