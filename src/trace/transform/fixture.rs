//! Traces that the tests of this folder transform.

use rand::RngExt;

use crate::rng::{Seed, Stream};
use crate::trace::{Content, Entry, ReadOptions, Trace, Wait, WaitFor, parse};

const ROWS: &str = r#"{"timestamp": 0, "input_length": 600, "hash_ids": [8, 9]}
{"timestamp": 1000, "input_length": 600, "hash_ids": [5, 8], "session_id": "a"}
{"delay": 300, "input_length": 40, "session_id": "a"}
{"timestamp": 2500, "input_length": 600, "hash_ids": [5, 6], "session_id": "b"}
{"delay": 500, "input_length": 40, "session_id": "b"}
{"timestamp": 4000, "input_length": 10}
"#;

/// Four arrivals over 4 s, two of which begin sessions of two turns.
pub(super) fn trace() -> Trace {
    parse(&mut ROWS.as_bytes(), "t", &ReadOptions::default()).unwrap()
}

/// One request without a time.
pub(super) fn timeless() -> Trace {
    parse(&mut &b"{\"input_length\": 5}"[..], "t", &ReadOptions::default()).unwrap()
}

/// A trace with everything that a trace can have, its times in buckets 2 s apart.
pub(super) fn random_trace(seed: u64) -> Trace {
    let mut rng = Seed(seed).stream(Stream::Mix);
    let names = |word: &str, n: usize| (0..n).map(|i| format!("{word}{i}")).collect();
    let mut trace = Trace {
        block_size: 16,
        sessions: names("session", 12),
        models: names("model", 3),
        kinds: names("kind", 3),
        ..Trace::default()
    };
    let mut begun = [false; 12];
    let mut at_ns = 0;
    for line in 1..=rng.random_range(80..200_u32) {
        at_ns += if rng.random_bool(0.4) { 2_000_000_000 } else { 0 };
        let input_tokens = rng.random_range(1..400);
        let blocks_len = if rng.random_bool(0.8) { rng.random_range(0..=u32::div_ceil(input_tokens, 16)) } else { 0 };
        let session = rng.random_bool(0.4).then(|| rng.random_range(0..12_u32));
        let (blocks_start, waits_start) = (trace.block_ids.len() as u32, trace.waits.len() as u32);
        // Chained ids: the first block is one of three, and each other one is known by what stands before it.
        let (root, fork) = (rng.random_range(0..3), rng.random_range(0..=blocks_len));
        trace.block_ids.extend((0..blocks_len).map(|b| if b < fork { root * 100 + b } else { 1000 * line + b }));
        if line > 1 && rng.random_bool(0.2) {
            trace.waits.extend((0..rng.random_range(1..3)).map(|_| Wait {
                entry: rng.random_range(0..line - 1),
                event: if rng.random_bool(0.5) { WaitFor::End } else { WaitFor::Dispatch },
                delay_ns: rng.random_range(0..1_000_000),
            }));
        }
        let waits_len = trace.waits.len() as u32 - waits_start;
        let follows = waits_len > 0 || session.is_some_and(|s| begun[s as usize]);
        if let Some(s) = session {
            begun[s as usize] = true;
        }
        trace.entries.push(Entry {
            arrival_ns: (!follows || rng.random_bool(0.5)).then_some(at_ns),
            input_tokens,
            output_tokens: rng.random_bool(0.9).then(|| rng.random_range(1..300)),
            blocks_start,
            blocks_len,
            session,
            delay_ns: rng.random_bool(0.3).then(|| rng.random_range(0..9_000_000)),
            content: rng.random_bool(0.05).then(|| Content::Text("say".into())),
            model: rng.random_bool(0.8).then(|| rng.random_range(0..3)),
            kind: rng.random_bool(0.8).then(|| rng.random_range(0..3)),
            waits_start,
            waits_len,
            line: u64::from(line),
        });
    }
    trace.renumber();
    trace.check().unwrap();
    trace
}
