//! What is done to a trace, from the command line to the recording: the flags, the manifest, and the requests that were sent.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use loadline::record::manifest::Manifest;
use loadline::record::row::RequestRow;
use serde_json::json;
use support::{Scratch, rows, run_expecting};

/// 20 buckets 50 ms apart with three requests each, one of which is long; a turn without a time behind every tenth.
fn bucketed() -> String {
    let row = |n: u64| {
        let (at_ms, input) = (n / 3 * 50, if n.is_multiple_of(3) { 900 } else { 100 + n });
        let session = if n % 10 == 1 { format!(", \"session_id\": \"s{n}\"") } else { String::new() };
        let ids = if n.is_multiple_of(3) { format!("[0, {n}]") } else { "[0]".into() };
        let turn = if n % 10 == 1 {
            format!("{{\"delay\": 4, \"input_length\": 7, \"output_length\": 2{session}}}\n")
        } else {
            String::new()
        };
        format!(
            "{{\"timestamp\": {at_ms}, \"input_length\": {input}, \"output_length\": {}, \"hash_ids\": {ids}{session}}}\n{turn}",
            3 + n % 4
        )
    };
    (0..60).map(row).collect()
}

/// Runs it, and gives its manifest, its rows and what it said.
fn profile(scratch: &Scratch, dir: &str, flags: &str) -> (Manifest, Vec<RequestRow>, String) {
    let file = scratch.file("t.jsonl", &bucketed());
    let line = format!(
        "profile --tp 8 --random-seed 3 --time-unit ms --input-file {} --artifact-dir {dir} {flags}",
        file.display()
    );
    let output = run_expecting(0, scratch, &line);
    let dir = scratch.path(dir);
    let requests = rows(&dir).into_iter().map(|(row, _)| row).collect();
    (Manifest::read(&dir).unwrap(), requests, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Times of first turns since the measurement began; those of later turns depend on the answers.
fn scheduled(manifest: &Manifest, rows: &[RequestRow]) -> Vec<i64> {
    let start_ns = manifest.profiling.unwrap().start_ns;
    rows.iter().filter(|r| r.turn == 0).map(|r| r.scheduled_ns - start_ns).collect()
}

#[test]
fn bucketing_is_named_unless_it_is_spread_or_not_used() {
    let scratch = Scratch::new("buckets");
    let warning = "warning: arrivals are bucketed: 60 requests stand at 20 instants, 0.05 s apart, up to 3 at one";
    let (manifest, _, said) = profile(&scratch, "plain", "");
    assert!(said.contains(warning), "{said}");
    assert!(manifest.config["notes"].to_string().contains(warning), "{}", manifest.config["notes"]);
    let (_, _, said) = profile(&scratch, "rate", "--request-rate 500");
    assert!(!said.contains("bucketed"), "{said}");
    let (manifest, spread, said) = profile(&scratch, "spread", "--spread-buckets");
    assert!(!said.contains("warning"), "{said}");
    assert_eq!(manifest.config["source"]["transforms"]["spread_buckets"], true);
    let times = scheduled(&manifest, &spread);
    assert!(times.windows(2).filter(|w| w[0] == w[1]).count() < 3, "still together: {times:?}");
    let (manifest, again, _) = profile(&scratch, "again", "--spread-buckets");
    assert_eq!(times, scheduled(&manifest, &again), "equal seeds give equal times");
}

#[test]
fn transforms_are_applied_in_their_order_recorded_and_counted() {
    let scratch = Scratch::new("transforms");
    let flags = "--loop 2 --loop-prefixes kept --speed 2 --scale-osl 2 --scale-isl 0.5 --max-osl 4 --max-isl 899 --to 0.6 --from 0.1";
    let (manifest, rows, said) = profile(&scratch, "run", flags);
    let expected = json!({"filter": null, "window": {"from_ns": 100_000_000, "to_ns": 600_000_000, "first_is_zero": false},
        "limit": {"input_tokens_max": 899, "output_tokens_max": 4}, "scale": {"input": 0.5, "output": 2.0},
        "synthesis": null, "spread_buckets": false, "speed": 2.0, "target_rate": null, "pauses": null, "repeat": {"until": {"passes": 2}, "prefixes": "kept"}});
    assert_eq!(manifest.config["source"]["transforms"], expected);
    let notes: Vec<String> = serde_json::from_value(manifest.config["notes"].clone()).unwrap();
    let steps: Vec<&str> = notes.iter().filter_map(|n| n.split_once([' ', ':'])).map(|(step, _)| step).collect();
    assert!(steps.ends_with(&["window", "max-isl", "max-osl", "scale-isl", "scale-osl", "speed", "loop"]), "{steps:?}");
    assert!(notes.iter().all(|note| said.contains(note.as_str())), "{said}");
    // The window has buckets 2 to 11, requests 6 to 35: of them 11, 21 and 31 have a second turn. A third is too long, 21 among
    // them, whose second turn goes along.
    assert!(notes.iter().any(|n| n.starts_with("window from 0.1 s to 0.6 s: 33 of 66 requests")), "{notes:?}");
    assert!(
        notes
            .contains(&"max-isl 899: 22 of 33 requests; 10 are longer, and 1 that follow them go with them".to_owned()),
        "{notes:?}"
    );
    assert_eq!(manifest.counts.completed, 44, "two passes of what is left");
    assert!(rows.iter().all(|r| matches!(r.max_tokens, Some(4 | 6 | 8))), "{rows:?}");
    assert!(rows.iter().all(|r| r.turn == 1 || r.input_tokens <= 68), "{rows:?}");
    let turns: Vec<_> = rows.windows(2).filter(|pair| pair[1].turn == 1).collect();
    assert_eq!(turns.len(), 4);
    // What a turn adds is scaled; the conversation in front of it is the turn before and its answer.
    let holds_all =
        |pair: &&[RequestRow]| pair[1].input_tokens == pair[0].input_tokens + pair[0].max_tokens.unwrap() + 4;
    assert!(turns.iter().all(holds_all), "{turns:?}");
    let times = scheduled(&manifest, &rows);
    assert!(times.is_sorted() && *times.last().unwrap() < 500_000_000, "{times:?}");
    let sessions: std::collections::BTreeSet<_> = rows.iter().filter_map(|r| r.session_id.as_deref()).collect();
    assert_eq!(sessions.into_iter().collect::<Vec<_>>(), ["s11", "s11#2", "s31", "s31#2"]);
}

#[test]
fn a_rate_is_reached_by_speed_and_by_sampling() {
    let scratch = Scratch::new("target");
    // 66 requests over 0.95 s.
    let (manifest, rows, _) = profile(&scratch, "speed", "--target-rate 100");
    assert_eq!(rows.len(), 66);
    let notes = manifest.config["notes"].to_string();
    assert!(notes.contains("66 requests over 0.660 s, 100.000 requests/s"), "{notes}");
    let (manifest, rows, _) = profile(&scratch, "sampling", "--target-rate 40 --target-rate-by sampling");
    let notes = manifest.config["notes"].to_string();
    assert!(rows.len().abs_diff(38) <= 1 && notes.contains(" of 66 requests in whole conversations"), "{notes}");
    for row in rows.iter().filter(|r| r.turn == 1) {
        assert!(rows.iter().any(|r| r.turn == 0 && r.session_id == row.session_id), "a torn session");
    }
    let refused = |flags: &str, why: &str| {
        let line = format!("profile --input-file {} {flags}", scratch.path("t.jsonl").display());
        let said = run_expecting(2, &scratch, &line);
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains(why), "{said}");
    };
    refused("--target-rate 4000 --target-rate-by sampling", "sampling adds none");
    refused("--filter-model big", "the trace tells no model of its requests");
    refused("--filter-type search", "the trace tells no type of its requests");
    refused("--loop 900000000", "more than 50000000");
}
