//! Whole runs over real sockets: the binary against the simulated deployment, against its oracle, and against servers
//! that misbehave in every way that real ones do.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use loadline::outcome::{EventKind, Outcome, Phase};
use loadline::record::manifest::{Manifest, RunState};
use loadline::sim::config::{ServeConfig, Timing};
use loadline::sim::server::spawn;
use support::{Scratch, Scripted, chunked, loadline, rows, run_expecting, unended};

#[path = "support/plots.rs"]
mod plots;

const TOKEN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" tok\"},\"finish_reason\":null}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const STREAM: &str = "text/event-stream";

fn trace(rows: usize, gap_ms: u64) -> String {
    let row = |n: usize| {
        format!(
            "{{\"timestamp\": {}, \"input_length\": {}, \"output_length\": {}, \"hash_ids\": [0, {}]}}\n",
            n as u64 * gap_ms,
            600 + n,
            4 + n % 7,
            n + 1
        )
    };
    (0..rows).map(row).collect()
}

#[test]
fn every_request_and_every_token_is_the_oracles() {
    let scratch = Scratch::new("oracle");
    let server = spawn(&ServeConfig { tp: 8, speedup: 4.0, oracle: true, ..ServeConfig::default() }).unwrap();
    let file = scratch.file("t.jsonl", &trace(60, 10));
    let run_dir = scratch.path("run");
    run_expecting(
        0,
        &scratch,
        &format!(
            "profile --url {} --model Qwen/Qwen3-32B --streaming --input-file {} --artifact-dir {}",
            server.url(),
            file.display(),
            run_dir.display()
        ),
    );
    let anchor = Manifest::read(&run_dir).unwrap().anchor;
    let oracle = server.finish().unwrap();
    assert_eq!((oracle.requests.len(), oracle.lost), (60, 0), "none missing, none twice");
    let truth = oracle.by_id();
    for (row, tokens) in rows(&run_dir) {
        let seen = truth[row.x_request_id.as_str()];
        assert_eq!(row.outcome, Outcome::Completed, "{row:?}");
        assert_eq!((row.prompt_tokens, row.input_tokens), (Some(seen.prompt_tokens), seen.prompt_tokens));
        assert_eq!((row.output_tokens, row.max_tokens), (Some(seen.output_tokens), Some(seen.output_tokens)));
        assert!(row.scheduled_ns <= row.sent_ns.unwrap(), "sent before its time");
        assert!(row.sent_ns.unwrap() <= anchor.from_monotonic(seen.received_ns), "received before it was sent");
        assert_eq!(tokens.len(), seen.events_ns.len(), "an event is missing");
        for (token, written_ns) in tokens.iter().zip(&seen.events_ns) {
            assert!(token.t_ns >= anchor.from_monotonic(*written_ns), "read before it was written");
        }
        let content = tokens.iter().filter(|t| t.kind == EventKind::Output).count();
        assert_eq!(content as u32, seen.output_tokens);
    }
}

#[test]
fn report_gives_the_numbers_of_profile_byte_for_byte() {
    let scratch = Scratch::new("report");
    let file = scratch.file("t.jsonl", &trace(25, 8));
    let run = run_expecting(
        0,
        &scratch,
        &format!(
            "profile --input-file {} --custom-dataset-type mooncake_trace --streaming --goodput time_to_first_token:500 inter_token_latency:50 --artifact-dir run --tp 8",
            file.display()
        ),
    );
    let again = run_expecting(0, &scratch, "report run --output-dir again --plots plots");
    let text = String::from_utf8(run.stdout).unwrap();
    assert_eq!(text, String::from_utf8(again.stdout).unwrap());
    assert!(text.contains("scheduled 25 = completed 25 + failed 0 + cancelled 0 + not sent 0"), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    for name in ["profile_export_aiperf.json", "profile_export_aiperf.csv", "profile_export.jsonl", "report.html"] {
        let read = |dir: &str| std::fs::read(scratch.path(dir).join(name)).unwrap();
        assert!(read("run") == read("again"), "{name} differs");
    }
    assert!(!scratch.path("run/tokens.parquet.footer").exists(), "a clean end leaves no sidecar");
    let page = std::fs::read_to_string(scratch.path("again/report.html")).unwrap();
    let captions = plots::assert_plots(&scratch.path("plots"), &page, "--artifact-dir run --tp 8");
    assert!(captions.iter().all(|c| c.contains("profile --input-file")), "the run's own command: {captions:?}");

    let lines = std::fs::read_to_string(scratch.path("run/profile_export.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let (number, name) = (&first["metadata"]["session_num"], first["metadata"]["x_request_id"].as_str().unwrap());
    run_expecting(0, &scratch, &format!("report run --output-dir asked --request 24 {name}"));
    let page = std::fs::read_to_string(scratch.path("asked/report.html")).unwrap();
    assert!(page.contains(&format!("on top, as asked for, 24, {number}; ")), "{number}");
    assert!(page.contains(" data-lines=\"24 ") && page.contains(&format!(";{number} {name} ")));
    assert!(page.contains(" data-asked=\"2\""));
    let unknown = run_expecting(2, &scratch, "report run --output-dir asked --request 25");
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("has no request 25"));
}

#[test]
fn several_runs_are_laid_over_each_other_with_their_differences() {
    let scratch = Scratch::new("report-several");
    for (dir, tp) in [("a", 8), ("b", 8), ("c", 1)] {
        let seed = if dir == "b" { 2 } else { 1 };
        let line = format!(
            "profile --simulate --tp {tp} --isl 512 --osl 8 --request-rate 5 --request-count 60 --streaming --random-seed {seed} \
             --goodput time_to_first_token:500 --ui none --artifact-dir {dir}"
        );
        run_expecting(0, &scratch, &line);
    }
    let output = run_expecting(0, &scratch, "report a b c --output-dir over --plots p");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    let words = |letter: &str| -> Vec<&str> {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.find(|words| words[..].starts_with(&["TTFT", letter])).unwrap()
    };
    assert_eq!(words("A")[2], "60", "{text}");
    assert_eq!(words("C").last(), Some(&"higher"), "one GPU takes longer than eight: {text}");
    let page = std::fs::read_to_string(scratch.path("over/runs.html")).unwrap();
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 4);
    assert!(page.contains("higher") && page.contains("Answers over time"));
    assert!(!scratch.path("over/report.html").exists());
    let captions = plots::assert_plots(&scratch.path("p"), &page, "report a b c --output-dir over --plots p");
    assert!(captions.iter().any(|c| c.contains("n = 60, 60, 60")), "{captions:?}");
    run_expecting(0, &scratch, "report a b --plots alone");
    assert_eq!(std::fs::read_dir(scratch.path("alone")).unwrap().count(), 8, "without a page too");
    run_expecting(2, &scratch, "report a b --request 1");
}

#[test]
fn closed_loop_with_a_warm_up_without_streaming() {
    let scratch = Scratch::new("lanes");
    run_expecting(
        0,
        &scratch,
        "profile --concurrency 3 --request-count 20 --warmup-request-count 5 --isl 40 --isl-stddev 9 --osl 6 --endpoint-type completions --random-seed 7 --artifact-dir run --tp 8",
    );
    let rows = rows(&scratch.path("run"));
    let of = |phase| rows.iter().filter(|(r, _)| r.phase == phase).count();
    assert_eq!((of(Phase::Warmup), of(Phase::Profiling)), (5, 20));
    for (row, tokens) in &rows {
        assert_eq!((row.outcome, tokens.len()), (Outcome::Completed, 0));
        assert_eq!((row.prompt_tokens, row.output_tokens), (Some(row.input_tokens), Some(6)));
        assert_eq!(row.released_ns, Some(row.scheduled_ns));
    }
    let last_warm = rows.iter().filter(|(r, _)| r.phase == Phase::Warmup).filter_map(|(r, _)| r.end_ns).max();
    assert!(rows.iter().filter(|(r, _)| r.phase == Phase::Profiling).all(|(r, _)| r.sent_ns > last_warm));
    // No more than three at once: the number in flight at each send.
    for (row, _) in &rows {
        let at = row.sent_ns;
        let flying = rows.iter().filter(|(r, _)| r.sent_ns <= at && r.end_ns > at).count();
        assert!(flying <= 3, "{flying} in flight");
    }
    let inputs = std::fs::read_to_string(scratch.path("run/inputs.json")).unwrap();
    let inputs: serde_json::Value = serde_json::from_str(&inputs).unwrap();
    assert_eq!(inputs["data"].as_array().unwrap().len(), 20);
    let artifact = std::fs::read_to_string(scratch.path("run/profile_export_aiperf.json")).unwrap();
    let artifact: serde_json::Value = serde_json::from_str(&artifact).unwrap();
    assert!(artifact.get("time_to_first_token").is_none(), "no TTFT without streaming");
    assert_eq!(artifact["request_count"]["avg"], 20.0);
}

#[test]
fn a_rate_is_kept_whatever_the_seed_and_equal_seeds_give_equal_schedules() {
    let scratch = Scratch::new("rate");
    for (pattern, dir) in [
        ("constant", "c"),
        ("poisson", "p"),
        ("gamma --arrival-smoothness 3", "g"),
        ("gamma --arrival-smoothness 3", "g2"),
    ] {
        run_expecting(
            0,
            &scratch,
            &format!(
                "profile --request-rate 200 --arrival-pattern {pattern} --benchmark-duration 0.5 --isl 5 --osl 2 --streaming --random-seed 3 --artifact-dir {dir} --tp 8"
            ),
        );
    }
    let times = |dir: &str| -> Vec<i64> {
        let start = Manifest::read(&scratch.path(dir)).unwrap().profiling.unwrap().start_ns;
        rows(&scratch.path(dir)).iter().map(|(r, _)| r.scheduled_ns - start).collect()
    };
    let constant = times("c");
    assert_eq!(constant.len(), 99, "the first request comes one gap after the start, and none at the end");
    assert!(constant.iter().enumerate().all(|(n, t)| *t == (n as i64 + 1) * 5_000_000));
    assert_ne!(times("p"), times("g"));
    assert_eq!(times("g"), times("g2"));
}

/// Runs two requests against a scripted answer, and gives the first row.
#[track_caller]
fn outcome_of(answer: Vec<u8>, close: bool) -> (Outcome, String, Option<u16>) {
    let scratch = Scratch::new("scripted");
    let server = Scripted::start(answer, close);
    run_expecting(
        0,
        &scratch,
        &format!(
            "profile --url {} --model m --streaming --request-count 2 --isl 3 --artifact-dir run --request-timeout-seconds 1",
            server.url()
        ),
    );
    let rows = rows(&scratch.path("run"));
    assert_eq!(rows.len(), 2);
    let (first, second) = (&rows[0].0, &rows[1].0);
    assert_eq!(first.outcome, second.outcome, "{second:?}");
    (first.outcome, first.error.clone().unwrap_or_default(), first.http_status)
}

#[test]
fn what_servers_do_to_answers_is_told_apart() {
    let whole = || chunked(STREAM, &[TOKEN, TOKEN, FINISH, DONE]);
    assert_eq!(outcome_of(whole(), false).0, Outcome::Completed);
    // transformers never says [DONE]; Dynamo puts comments between events.
    assert_eq!(outcome_of(chunked(STREAM, &[TOKEN, ":\n\n", FINISH]), false).0, Outcome::Completed);
    assert_eq!(outcome_of(chunked("text/event-stream; charset=utf-8", &[TOKEN, DONE]), false).0, Outcome::Completed);
    assert_eq!(outcome_of(chunked(STREAM, &[TOKEN, TOKEN]), false).0, Outcome::Truncated);
    assert_eq!(outcome_of(unended(STREAM, &[TOKEN, TOKEN]), true).0, Outcome::Reset);
    assert_eq!(outcome_of(unended(STREAM, &[TOKEN, TOKEN]), false).0, Outcome::Timeout);
    assert_eq!(outcome_of(Vec::new(), true).0, Outcome::Reset);
    assert_eq!(outcome_of(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), true).0, Outcome::ProtocolError);
    assert_eq!(outcome_of(chunked(STREAM, &[FINISH, DONE]), false).0, Outcome::ProtocolError);
    let (outcome, text, _) = outcome_of(chunked(STREAM, &[TOKEN, "data: {\"choi\n\n", DONE]), false);
    assert_eq!((outcome, text.contains("not JSON")), (Outcome::ProtocolError, true), "{text}");
    let broken = [unended(STREAM, &[TOKEN]), b"zz\r\n".to_vec()].concat();
    assert_eq!(outcome_of(broken, true).0, Outcome::ProtocolError);
    let error = "data: {\"error\":{\"message\":\"boom\",\"code\":500}}\n\n";
    assert_eq!(
        outcome_of(chunked(STREAM, &[TOKEN, error, DONE]), false),
        (Outcome::StreamError, "boom".into(), Some(200))
    );
}

#[test]
fn a_server_that_closes_behind_every_stream_fails_no_request() {
    let scratch = Scratch::new("closes");
    let server = Scripted::start(chunked(STREAM, &[TOKEN, FINISH, DONE]), true);
    for lanes in [1, 8] {
        let line = format!(
            "profile --url {} --model m --streaming --request-count 200 --isl 3 --concurrency {lanes} --artifact-dir run",
            server.url()
        );
        run_expecting(0, &scratch, &line);
        let outcomes: Vec<Outcome> = rows(&scratch.path("run")).iter().map(|(r, _)| r.outcome).collect();
        assert_eq!(outcomes, vec![Outcome::Completed; 200]);
    }
}

#[test]
fn error_answers_keep_their_status_and_words() {
    let answer = |status: &str, kind: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    };
    let flat = answer("529 <none>", "application/json", "{\"message\":\"overloaded\",\"type\":\"x\",\"code\":529}");
    assert_eq!(outcome_of(flat, false), (Outcome::HttpError, "overloaded".into(), Some(529)));
    let nested =
        answer("404 Not Found", "application/json", "{\"error\":{\"message\":\"no such model\",\"code\":404}}");
    assert_eq!(outcome_of(nested, false), (Outcome::HttpError, "no such model".into(), Some(404)));
    let page = answer("503 Service Unavailable", "text/html", "<html>busy</html>");
    assert_eq!(outcome_of(page, false), (Outcome::HttpError, "<html>busy</html>".into(), Some(503)));
    assert_eq!(outcome_of(answer("500 Oops", "text/plain", ""), true).0, Outcome::HttpError);
}

#[test]
fn an_answer_that_was_not_asked_to_stream_may_stream_and_the_other_way_round() {
    let document = "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\
                    \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}";
    assert_eq!(outcome_of(chunked("application/json", &[document]), false).0, Outcome::Completed);
}

#[test]
fn bad_use_bad_input_and_a_dead_endpoint_have_their_exit_codes_and_name_the_remedy() {
    let scratch = Scratch::new("codes");
    let said = |code, args: &str| {
        let output = run_expecting(code, &scratch, args);
        assert!(output.stdout.is_empty(), "data on a failure");
        String::from_utf8(output.stderr).unwrap()
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = said(3, &format!("profile --url {closed} --model m"));
    assert!(text.contains("does not accept connections") && text.contains("leave out --url"), "{text}");
    let text = said(2, "profile --input-file nowhere.jsonl");
    assert!(text.contains("nowhere.jsonl"), "{text}");
    let bad = scratch
        .file("bad.jsonl", "{\"timestamp\": 0, \"input_length\": 5}\n{\"timestamp\": 1, \"input_length\": -5}\n");
    let text = said(2, &format!("profile --input-file {}", bad.display()));
    assert!(text.contains("bad.jsonl:2") && text.contains("input_length"), "{text}");
    said(2, "profile --no-such-flag");
    said(2, "report nowhere");
    said(2, "profile --url localhost:1");
    let text = said(2, "profile --tp 3");
    assert!(text.contains('3'), "{text}");
}

#[test]
fn bad_rows_are_skipped_and_counted_on_request() {
    let scratch = Scratch::new("skip");
    let text = format!("{}{{\"timestamp\": 30, \"input_length\": -5}}\nnot json\n", trace(4, 5));
    let file = scratch.file("t.jsonl", &text);
    let output = run_expecting(
        0,
        &scratch,
        &format!("profile --input-file {} --on-bad-row skip --artifact-dir run --tp 8 --streaming", file.display()),
    );
    assert_eq!(rows(&scratch.path("run")).len(), 4);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("2 "), "{said}");
}

#[test]
fn no_secret_reaches_a_file_or_the_terminal() {
    let scratch = Scratch::new("secret");
    let server = Scripted::start(chunked(STREAM, &[TOKEN, FINISH, DONE]), false);
    let mut command = loadline(
        &scratch,
        &format!(
            "profile --url {} --model m --streaming --request-count 1 --isl 3 --artifact-dir run -H X-Api-Key:s3cret-header",
            server.url()
        ),
    );
    let output = command.env("OPENAI_API_KEY", "s3cret-key").output().unwrap();
    assert!(output.status.success());
    let mut texts = vec![output.stdout, output.stderr];
    texts.extend(std::fs::read_dir(scratch.path("run")).unwrap().map(|f| std::fs::read(f.unwrap().path()).unwrap()));
    assert!(texts.len() > 7);
    for text in texts {
        assert!(!String::from_utf8_lossy(&text).contains("s3cret"));
    }
}

#[test]
fn a_first_interrupt_drains_and_everything_is_accounted_for() {
    let scratch = Scratch::new("interrupt");
    let file = scratch.file("t.jsonl", &trace(2000, 20));
    let line = format!("profile --input-file {} --streaming --artifact-dir run --tp 8", file.display());
    let mut child = loadline(&scratch, &line).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("2000 requests to")), "the run did not start");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert!(said.any(|line| line.unwrap().contains("Interrupted")), "the interrupt was not heeded");
    let rest = std::thread::spawn(move || said.count());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    rest.join().unwrap();
    let manifest = Manifest::read(&scratch.path("run")).unwrap();
    assert_eq!((manifest.state, manifest.counts.scheduled), (RunState::Interrupted, 2000));
    assert_eq!(manifest.counts.accounted(), 2000);
    let rows = rows(&scratch.path("run"));
    let ids: HashMap<u64, Outcome> = rows.iter().map(|(r, _)| (r.request_id, r.outcome)).collect();
    assert_eq!(ids.len(), 2000, "every slot has its row");
    assert!(ids.values().filter(|o| **o == Outcome::NotSent).count() > 1000, "sending went on");
}

#[test]
fn what_happens_at_the_cap_is_the_users_choice() {
    let scratch = Scratch::new("overload");
    let server = spawn(&ServeConfig {
        timing: Timing::Constant { ttft_ns: 40_000_000, itl_ns: 1_000_000 },
        ..ServeConfig::default()
    });
    let server = server.unwrap();
    let file = scratch.file("t.jsonl", &trace(40, 1));
    let profile = |policy: &str, code| {
        let line = format!(
            "profile --url {} --model Qwen/Qwen3-32B --streaming --input-file {} --max-in-flight 4 --workers 1 --on-overload {policy} \
             --artifact-dir {policy}",
            server.url(),
            file.display()
        );
        let said = String::from_utf8(run_expecting(code, &scratch, &line).stderr).unwrap();
        (Manifest::read(&scratch.path(policy)).unwrap().counts, rows(&scratch.path(policy)), said)
    };
    let (counts, queued, _) = profile("queue", 0);
    assert_eq!((counts.completed, counts.not_sent), (40, 0));
    assert!(queued.iter().any(|(r, _)| r.sent_ns.unwrap() - r.scheduled_ns > 30_000_000), "nothing waited");
    let (counts, dropped, _) = profile("drop", 0);
    assert_eq!((counts.completed + counts.not_sent, counts.failed), (40, 0));
    let left_out: Vec<_> = dropped.iter().filter(|(r, _)| r.outcome == Outcome::NotSent).collect();
    assert!(left_out.len() > 10, "only {} of 40 were left out", left_out.len());
    assert!(
        left_out.iter().all(|(r, _)| r.error.as_ref().unwrap().contains("4 requests of this worker were in flight"))
    );
    let page = |policy: &str| std::fs::read_to_string(scratch.path(policy).join("report.html")).unwrap();
    assert!(page("drop").contains("dropped: 4 requests"), "the page does not say why");
    let (counts, stopped, said) = profile("abort", 3);
    let reasons: Vec<_> = stopped.iter().filter_map(|(r, _)| r.error.clone()).collect();
    assert!(reasons.iter().all(|r| r.starts_with("aborted: ")), "{reasons:?}");
    assert!(reasons.contains(&"aborted: 4 requests of this worker were in flight".to_string()), "{reasons:?}");
    assert!(page("abort").contains("an overload ended the run"), "an aborted run must not pass for a whole one");
    assert!(counts.not_sent > 20 && counts.accounted() == 40, "{counts:?}");
    assert!(said.contains("--max-in-flight"), "{said}");
}

#[test]
fn requests_are_cancelled_as_asked_and_counted_apart() {
    let scratch = Scratch::new("cancel");
    let line = "profile --concurrency 8 --request-count 60 --warmup-request-count 4 --isl 20 --osl 100 --streaming --tp 8 \
                --random-seed 5 --request-cancellation-rate 30 --request-cancellation-delay 0.05 --artifact-dir";
    run_expecting(0, &scratch, &format!("{line} a"));
    run_expecting(0, &scratch, &format!("{line} b"));
    let cancelled = |dir: &str| -> Vec<u64> {
        let rows = rows(&scratch.path(dir));
        let of = rows.iter().map(|(r, _)| r).filter(|r| r.outcome == Outcome::Cancelled);
        of.inspect(|r| {
            assert_eq!(r.phase, Phase::Profiling);
            assert!(r.end_ns.unwrap() >= r.written_ns.unwrap() + 50_000_000, "{r:?}");
        })
        .map(|r| r.request_id)
        .collect()
    };
    assert!((8..30).contains(&cancelled("a").len()), "{:?}", cancelled("a"));
    assert_eq!(cancelled("a"), cancelled("b"), "equal seeds cancel equal requests");
    let records = std::fs::read_to_string(scratch.path("a/profile_export.jsonl")).unwrap();
    assert_eq!(records.lines().filter(|l| l.contains("\"was_cancelled\":true")).count(), cancelled("a").len());
}
