//! A report is made as a stream: from `N` to `4 N` requests its peak grows by no more than a stated number of bytes for each.
//!
//! Alone in its binary, since it counts what the whole process allocates.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

#[path = "support/peak.rs"]
mod peak;

use std::path::{Path, PathBuf};

use loadline::commands::report::{Extras, conclude};
use loadline::metrics::parse_goodput;
use loadline::outcome::{EventKind, Outcome, TokenSource};
use loadline::record::manifest::{Counts, Host, Manifest, PhaseWindow, RunState, SCHEMA_VERSION};
use loadline::record::ring::ring;
use loadline::record::row::{RequestRow, TokenStamp};
use loadline::record::writer::{Writer, WriterOptions};
use loadline::time::{Anchor, MILLISECOND_NS, SECOND_NS, SystemClock};
use peak::peak_of;

/// What a report may hold for each request at its peak: the row, its numbers (45 of which 25 have a value of their own), its time in flight.
/// A million requests are then within a gigabyte, with half of it to spare for what does not grow.
const BYTES_PER_REQUEST: usize = 480;

/// A run directory of its own that is gone with the value.
struct RunDir(PathBuf);

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn manifest(requests: u64) -> Manifest {
    let mut outcomes = loadline::outcome::OutcomeCounts::default();
    (0..requests).for_each(|_| outcomes.add(Outcome::Completed));
    Manifest {
        schema_version: SCHEMA_VERSION,
        loadline_version: "test".into(),
        run_id: "00000000000000aa".into(),
        command: vec!["loadline".into()],
        // The lines of single requests wait in a buffer of fixed size, which would fill within these few.
        config: serde_json::json!({"export_level": "summary"}),
        seed: 1,
        model: "m".into(),
        url: "http://127.0.0.1:1".into(),
        endpoint_type: "chat".into(),
        streaming: true,
        slo: parse_goodput("ttft:500 itl:50").unwrap(),
        host: Host::default(),
        anchor: Anchor { t0_unix_ns: 0, t0_monotonic_ns: 0 },
        state: RunState::Complete,
        counts: Counts::new(requests, &outcomes),
        warmup: None,
        profiling: Some(PhaseWindow { start_ns: 0, end_ns: requests as i64 * SECOND_NS / 60 + SECOND_NS }),
        workers: Vec::new(),
        steal_ns: 0,
        verdict: None,
    }
}

/// A number that looks random, below a bound.
fn scattered(n: u64, below: u64) -> i64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as i64 % below as i64
}

/// A request that is like no other in any time, and its events.
fn request(id: u64, events: u32) -> (RequestRow, Vec<TokenStamp>) {
    let scheduled = id as i64 * SECOND_NS / 60;
    let sent = scheduled + 2_000 + scattered(id, 50_000);
    let first = sent + 80 * MILLISECOND_NS + scattered(id + 1, 100_000_000);
    let gap = 9 * MILLISECOND_NS + scattered(id + 2, 2_000_000);
    let at = |n: u32| first + i64::from(n) * gap;
    let stamps = (0..events).map(|n| TokenStamp {
        t_ns: at(n) + 5_000 + scattered(id + u64::from(n), 9_000),
        kernel_ns: Some(at(n)),
        read: n,
        bytes: 200,
        tokens: None,
        kind: EventKind::Output,
    });
    let row = RequestRow {
        x_request_id: format!("00000000000000aa-{id:08x}"),
        sent_ns: Some(sent),
        written_ns: Some(sent + 3_000 + scattered(id + 3, 5_000)),
        head_ns: Some(first - 100_000),
        first_token_ns: Some(first),
        first_output_ns: Some(first),
        last_token_ns: Some(at(events - 1)),
        end_ns: Some(at(events - 1) + 20_000 + scattered(id + 4, 9_000)),
        outcome: Outcome::Completed,
        http_status: Some(200),
        finish_reason: Some("length".into()),
        input_tokens: 100 + scattered(id, 4_000) as u32,
        prompt_tokens: Some(110 + scattered(id, 4_000) as u32),
        cached_tokens: Some(scattered(id, 100) as u32),
        max_tokens: Some(events),
        output_tokens: Some(events),
        output_tokens_source: TokenSource::Usage,
        events,
        bytes_received: 200 * u64::from(events),
        bytes_sent: 4_000 + scattered(id, 16_000) as u64,
        writes: 1,
        reads: events,
        ..RequestRow::scheduled(id, scheduled)
    };
    (row, stamps.collect())
}

fn record(requests: u64, events: u32) -> RunDir {
    let dir = RunDir(std::env::temp_dir().join(format!("loadline-memory-{requests}-{events}-{}", std::process::id())));
    let _ = std::fs::remove_dir_all(&dir.0);
    std::fs::create_dir_all(&dir.0).unwrap();
    manifest(requests).write(&dir.0).unwrap();
    let (mut recorder, intake) = ring(1 << 16);
    // Groups as small for these few requests as the usual ones are for a million.
    let options =
        WriterOptions { rows_per_group_tokens: 8_192, rows_per_group_requests: 1_024, ..WriterOptions::default() };
    let writer = Writer::spawn(&dir.0, "00000000000000aa", vec![intake], options, SystemClock::starting_in(0)).unwrap();
    for id in 0..requests {
        let (row, stamps) = request(id, events);
        let mut chunk = recorder.chunk();
        chunk.request_id = id;
        chunk.first_seq = 0;
        chunk.stamps.extend(stamps);
        recorder.push_tokens(chunk);
        recorder.push_request(row);
    }
    recorder.close();
    let report = writer.finish().unwrap();
    assert_eq!((report.requests_written, report.tokens_lost), (requests, 0));
    dir
}

fn report(dir: &Path) -> usize {
    let into = dir.join("again");
    std::fs::create_dir_all(&into).unwrap();
    let peak = peak_of(|| {
        conclude(dir, &into, Extras::default(), None).unwrap();
    });
    assert!(into.join("report.html").exists());
    peak
}

#[test]
fn a_request_takes_a_bounded_amount_of_memory() {
    // The counter itself: a guard that counts nothing would pass everything.
    assert!(peak_of(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)))) >= 1 << 20);
    // Numbers of rows at which no vector has just doubled.
    const FEW: u64 = 4_000;
    const MANY: u64 = 4 * FEW;
    let [few, many] = [FEW, MANY].map(|requests| report(&record(requests, 2).0));
    let per_request = many.saturating_sub(few) / (MANY - FEW) as usize;
    assert!(per_request > 100, "{per_request} bytes a request: something is not counted");
    assert!(per_request < BYTES_PER_REQUEST, "{per_request} bytes a request: {few} of {FEW}, {many} of {MANY}");
}
