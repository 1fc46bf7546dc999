//! What bounds a run, and when its requests are let go: warm-ups, durations and grace, caps, ramps. Over real sockets, against
//! a simulated deployment of constant times.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use loadline::outcome::{Outcome, Phase};
use loadline::record::manifest::Manifest;
use loadline::record::row::RequestRow;
use loadline::sim::config::{ServeConfig, Timing};
use loadline::sim::server::{ServerHandle, spawn};
use support::{Scratch, Scripted, rows, run_expecting};

const MS: i64 = 1_000_000;

/// A deployment that answers each request after that time, whatever else it does.
fn server(ttft_ms: i64, itl_ms: i64) -> ServerHandle {
    let timing = Timing::Constant { ttft_ns: ttft_ms * MS, itl_ns: itl_ms * MS };
    spawn(&ServeConfig { timing, ..ServeConfig::default() }).unwrap()
}

/// Runs `profile` against the server, and gives the run's rows.
#[track_caller]
fn profile(scratch: &Scratch, server: &ServerHandle, flags: &str) -> Vec<RequestRow> {
    let line =
        format!("profile --url {} --model Qwen/Qwen3-32B --streaming --isl 8 --artifact-dir run {flags}", server.url());
    run_expecting(0, scratch, &line);
    rows(&scratch.path("run")).into_iter().map(|(row, _)| row).collect()
}

fn of(rows: &[RequestRow], phase: Phase) -> Vec<&RequestRow> {
    rows.iter().filter(|r| r.phase == phase).collect()
}

/// The most rows that are, at the send of one, between their send and what `until` gives.
fn most_at_once(rows: &[&RequestRow], until: impl Fn(&RequestRow) -> Option<i64>) -> usize {
    let at_once = |at: Option<i64>| rows.iter().filter(|r| r.sent_ns <= at && until(r) > at).count();
    rows.iter().map(|r| at_once(r.sent_ns)).max().unwrap_or(0)
}

#[test]
fn a_warm_up_by_time_has_its_own_rate_and_is_in_no_metric() {
    let scratch = Scratch::new("warm-rate");
    let server = server(5, 1);
    let flags = "--osl 2 --request-rate 100 --request-count 10 --warmup-duration 0.3 --warmup-request-rate 50 \
                 --warmup-arrival-pattern constant";
    let rows = profile(&scratch, &server, flags);
    let manifest = Manifest::read(&scratch.path("run")).unwrap();
    let start_ns = manifest.warmup.unwrap().start_ns;
    let (warm, measured) = (of(&rows, Phase::Warmup), of(&rows, Phase::Profiling));
    let times: Vec<i64> = warm.iter().map(|r| (r.scheduled_ns - start_ns) / MS).collect();
    assert_eq!(times, (1..15).map(|n| n * 20).collect::<Vec<_>>());
    assert_eq!(measured.len(), 10);
    let text = std::fs::read_to_string(scratch.path("run/profile_export_aiperf.json")).unwrap();
    let artifact: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&artifact["request_count"]["avg"], &artifact["time_to_first_token"]["count"]),
        (&10.0.into(), &10.into())
    );
    let phases =
        artifact["input_config"]["benchmark"]["phases"].as_array().or(artifact["input_config"]["phases"].as_array());
    let warmup = &phases.unwrap()[0];
    assert_eq!(
        (&warmup["duration"], &warmup["rate"], &warmup["type"]),
        (&0.3.into(), &50.0.into(), &"constant".into())
    );
}

#[test]
fn a_warm_up_of_sessions_sends_each_whole_and_waits_for_them() {
    let scratch = Scratch::new("warm-sessions");
    let server = server(20, 1);
    let turn =
        |session: &str| format!("{{\"session_id\": \"{session}\", \"input_length\": 9, \"output_length\": 2}}\n");
    // Turns of two sessions stand between each other; the third session is not for the warm-up.
    let file = scratch.file("t.jsonl", &["a", "b", "a", "c", "b", "a", "c"].map(turn).concat());
    let flags = format!(
        "--input-file {} --custom-dataset-type mooncake_trace --no-fixed-schedule --concurrency 3 --num-warmup-sessions 2 \
         --warmup-concurrency 1",
        file.display()
    );
    let rows = profile(&scratch, &server, &flags);
    let (warm, measured) = (of(&rows, Phase::Warmup), of(&rows, Phase::Profiling));
    let mut turns: Vec<(&str, u32)> = warm.iter().map(|r| (r.session_id.as_deref().unwrap(), r.turn)).collect();
    turns.sort_unstable();
    assert_eq!(turns, [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]);
    assert_eq!((most_at_once(&warm, |r| r.end_ns), measured.len()), (1, 7));
    let last_warm = warm.iter().filter_map(|r| r.end_ns).max();
    assert!(measured.iter().all(|r| r.sent_ns > last_warm), "the measurement began before the warm-up had ended");
}

#[test]
fn the_grace_period_ends_what_is_in_flight_and_every_request_keeps_its_row() {
    let scratch = Scratch::new("grace");
    let server = server(50, 100);
    // Answers take 50 ms + 9 x 100 ms: none is whole within 0.5 s.
    let line = "--osl 10 --concurrency 4 --request-count 50 --benchmark-duration 0.3 --benchmark-grace-period";
    let rows = profile(&scratch, &server, &format!("{line} 0.2"));
    assert_eq!(rows.len(), 4, "what no lane released was not scheduled");
    for row in &rows {
        assert_eq!(row.outcome, Outcome::Cancelled, "{row:?}");
        assert_eq!(row.error.as_deref(), Some("still in flight when the grace period ended"));
        assert!(row.first_token_ns.is_some() && row.end_ns.unwrap() - row.scheduled_ns >= 500 * MS);
    }
    let counts = Manifest::read(&scratch.path("run")).unwrap().counts;
    assert_eq!((counts.scheduled, counts.cancelled, counts.not_sent), (4, 4, 0));
    let rows = profile(&scratch, &server, &format!("{line} inf"));
    assert!(rows.len() == 4 && rows.iter().all(|r| r.outcome == Outcome::Completed), "{rows:?}");
}

#[test]
fn the_first_bound_that_is_reached_ends_a_run() {
    let scratch = Scratch::new("bounds");
    let server = server(5, 1);
    let lanes = "--osl 2 --concurrency 2";
    assert_eq!(profile(&scratch, &server, &format!("{lanes} --request-count 9 --benchmark-duration 60")).len(), 9);
    let rate = "--osl 2 --request-rate 100 --arrival-pattern constant";
    assert_eq!(profile(&scratch, &server, &format!("{rate} --request-count 9 --benchmark-duration 60")).len(), 9);
    assert_eq!(profile(&scratch, &server, &format!("{rate} --request-count 900 --benchmark-duration 0.2")).len(), 19);
    let burst =
        profile(&scratch, &server, "--osl 2 --arrival-pattern concurrency_burst --concurrency 3 --request-count 7");
    assert!(burst.len() == 7 && burst.iter().all(|r| r.released_ns == Some(r.scheduled_ns)), "{burst:?}");
}

#[test]
fn lanes_open_one_by_one_over_the_ramp() {
    let scratch = Scratch::new("ramp");
    let server = server(60, 1);
    let rows = profile(
        &scratch,
        &server,
        "--osl 2 --concurrency 5 --concurrency-ramp-duration 0.4 --request-count 40 --workers 1",
    );
    let start_ns = Manifest::read(&scratch.path("run")).unwrap().profiling.unwrap().start_ns;
    let rows = of(&rows, Phase::Profiling);
    for row in &rows {
        let open = 1 + ((row.sent_ns.unwrap() - start_ns) / (100 * MS)).min(4);
        let flying = rows.iter().filter(|r| r.sent_ns <= row.sent_ns && r.end_ns > row.sent_ns).count();
        assert!(flying as i64 <= open, "{flying} in flight with {open} lanes open");
    }
    let opened: Vec<i64> = (0..5).map(|k| start_ns + k * 100 * MS).collect();
    assert!(opened.iter().all(|t| rows.iter().any(|r| r.scheduled_ns == *t)), "a lane did not open at its time");
}

#[test]
fn a_rate_grows_from_nothing_over_its_ramp() {
    let scratch = Scratch::new("rate-ramp");
    let server = server(2, 1);
    let flags = "--osl 2 --request-rate 200 --arrival-pattern constant --request-rate-ramp-duration 0.4 --benchmark-duration 0.6";
    let rows = profile(&scratch, &server, flags);
    let start_ns = Manifest::read(&scratch.path("run")).unwrap().profiling.unwrap().start_ns;
    let within = |from_ms: i64, to_ms: i64| {
        rows.iter().filter(|r| (from_ms * MS..to_ms * MS).contains(&(r.scheduled_ns - start_ns))).count()
    };
    // The integral of 200 t / 0.4 is 10 over the first 0.2 s and 30 over the next; 40 follow.
    assert_eq!((within(0, 200), within(200, 400), within(400, 600)), (10, 30, 40));
}

#[test]
fn few_wait_for_their_first_token_at_once_and_more_are_in_flight() {
    let scratch = Scratch::new("prefill");
    let server = server(30, 10);
    for load in ["--concurrency 8", "--request-rate 400 --concurrency 8"] {
        let rows = profile(&scratch, &server, &format!("--osl 12 {load} --prefill-concurrency 2 --request-count 40"));
        let rows = of(&rows, Phase::Profiling);
        assert_eq!(rows.iter().filter(|r| r.outcome == Outcome::Completed).count(), 40);
        assert_eq!(most_at_once(&rows, |r| r.first_token_ns), 2, "{load}");
        let flying = most_at_once(&rows, |r| r.end_ns);
        assert!((3..=8).contains(&flying), "{flying} in flight under {load}");
    }
}

#[test]
fn users_keep_their_gap_and_never_overlap_themselves() {
    let scratch = Scratch::new("users");
    // The gap of 4 users at 40 per second is 100 ms; the first server answers within it, the second does not.
    let flags = "--user-centric-rate 40 --num-users 4 --conversation-turn-mean 3 --osl 3 --benchmark-duration 0.8";
    for (ttft_ms, prompt) in [(10, true), (150, false)] {
        let server = server(ttft_ms, 1);
        let rows = profile(&scratch, &server, flags);
        let start_ns = Manifest::read(&scratch.path("run")).unwrap().profiling.unwrap().start_ns;
        let times: Vec<i64> = rows.iter().map(|r| (r.scheduled_ns - start_ns) / MS).collect();
        if prompt {
            assert!(rows.len() == 32 && rows.iter().all(|r| r.outcome == Outcome::Completed), "{times:?}");
        }
        for row in rows.iter().filter(|r| r.sent_ns.is_some()) {
            let same = |r: &&RequestRow| {
                r.session_id == row.session_id && r.turn + 1 == row.turn && r.request_id < row.request_id
            };
            let Some(before) = rows.iter().filter(same).max_by_key(|r| r.request_id) else { continue };
            assert!(before.end_ns <= row.sent_ns, "{before:?} {row:?}");
            assert!(row.sent_ns.unwrap() - before.sent_ns.unwrap() >= 100 * MS, "{before:?} {row:?}");
            assert_eq!(row.input_tokens, before.input_tokens + 3 + 8, "the conversation is not in front of the turn");
        }
        assert!(rows.iter().any(|r| r.turn == 2 && r.scheduled_ns < start_ns + 100 * MS), "nobody began in the midst");
    }
    assert!(run_expecting(2, &scratch, "profile --user-centric-rate 4 --num-users 2").stderr.len() > 40);
}

#[test]
fn a_series_of_rates_is_followed() {
    let scratch = Scratch::new("series");
    let server = server(2, 1);
    let points = r#"{"points": [{"time_s": 0, "qps": 100}, {"time_s": 0.2, "qps": 100}, {"time_s": 0.4, "qps": 300}]}"#;
    let file = scratch.file("rates.json", points);
    let flags =
        format!("--osl 2 --arrival-pattern constant --benchmark-duration 0.6 --request-rate-series {}", file.display());
    let rows = profile(&scratch, &server, &flags);
    let start_ns = Manifest::read(&scratch.path("run")).unwrap().profiling.unwrap().start_ns;
    let within = |from_ms: i64| {
        rows.iter().filter(|r| (from_ms * MS..(from_ms + 200) * MS).contains(&(r.scheduled_ns - start_ns))).count()
    };
    assert_eq!([within(0), within(200), within(400)], [20, 40, 60]);
    let bad = scratch.file("bad.json", "{}");
    let said =
        run_expecting(2, &scratch, &format!("profile --request-count 3 --request-rate-series {}", bad.display()))
            .stderr;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("bad.json") && said.contains("points"), "{said}");
}

#[test]
fn a_run_of_failures_is_stopped_and_fails() {
    let scratch = Scratch::new("failures");
    let refusal = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy".to_vec();
    let server = Scripted::start(refusal, false);
    let profile = |code, flags: &str| {
        let line = format!("profile --url {} --model m --streaming --isl 3 --artifact-dir run {flags}", server.url());
        let said = String::from_utf8(run_expecting(code, &scratch, &line).stderr).unwrap();
        (said, Manifest::read(&scratch.path("run")).unwrap().counts)
    };
    let long = "--request-rate 100 --arrival-pattern constant --request-count 3000";
    let (said, counts) = profile(1, &format!("{long} --failed-request-threshold 0.5"));
    assert!(said.contains("the run was stopped: more than 0.5 of its requests failed"), "{said}");
    assert!(counts.failed >= 10 && counts.not_sent > 1000 && counts.accounted() == 3000, "{counts:?}");
    let page = std::fs::read_to_string(scratch.path("run/report.html")).unwrap();
    assert!(page.contains("too many requests had failed"), "the page does not say why");
    let (said, counts) = profile(1, "--request-count 12 --failed-request-threshold 0.5");
    assert!(said.contains("more than 0.5 of its requests failed") && counts.failed == 12, "{said}");
    // Nine are too few to tell.
    profile(0, "--request-count 9 --failed-request-threshold 0.5");
    profile(0, "--request-count 12 --failed-request-threshold 1");
}
