//! Many streams at once, and more than the machine has descriptors for.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::process::Command;

use loadline::outcome::Outcome;
use loadline::record::manifest::Manifest;
use loadline::record::row::RequestRow;
use loadline::sim::config::{ServeConfig, Timing};
use loadline::sim::server::{ServerHandle, spawn};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Scratch, loadline, rows, run_expecting};

fn server(ttft_ms: i64) -> ServerHandle {
    // Both this process and the one that it starts, which inherits the limit, hold a connection for each stream.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let timing = Timing::Constant { ttft_ns: ttft_ms * 1_000_000, itl_ns: 1_000_000 };
    spawn(&ServeConfig { timing, ..ServeConfig::default() }).unwrap()
}

#[test]
fn two_thousand_streams_are_open_at_once_and_whole() {
    let scratch = Scratch::new("scale");
    let server = server(4_000);
    let line = format!(
        "profile --url {} --model Qwen/Qwen3-32B --streaming --concurrency 2000 --request-count 2000 --isl 10 --osl 3 \
         --extra-inputs ignore_eos:true --artifact-dir run",
        server.url()
    );
    run_expecting(0, &scratch, &line);
    let manifest = Manifest::read(&scratch.path("run")).unwrap();
    assert_eq!(manifest.counts.completed, 2000);
    assert_eq!(manifest.workers.iter().map(|w| w.in_flight_max).sum::<u64>(), 2000);
    let rows = rows(&scratch.path("run"));
    assert!(rows.iter().all(|(row, tokens)| row.output_tokens == Some(3) && row.events as usize == tokens.len()));
}

#[test]
fn what_finds_no_descriptor_ends_as_the_user_chose() {
    let scratch = Scratch::new("descriptors");
    let server = server(400);
    for (client, way) in [
        ("lane", "--http-client lane"),
        ("hyper", "--http-client hyper"),
        ("http2", "--http-version 2 --streams-per-connection 1"),
    ] {
        for (policy, code, outcome, begins) in [
            ("queue", 0, Outcome::ConnectError, "Too many open files"),
            ("drop", 0, Outcome::NotSent, "dropped: Too many open files"),
            ("abort", 3, Outcome::NotSent, "aborted: "),
        ] {
            let dir = format!("{client}-{policy}");
            let line = format!(
                "profile --url {} --model Qwen/Qwen3-32B --streaming --request-rate 500 --arrival-pattern constant --isl 10 \
                 --request-count 150 --osl 3 --workers 1 {way} --on-overload {policy} --artifact-dir {dir}",
                server.url()
            );
            let plain = loadline(&scratch, &line);
            let mut starved = Command::new("sh");
            starved.args(["-c", "ulimit -n 90 && exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
            starved.current_dir(scratch.path(""));
            let output = starved.output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{dir}\n{}", String::from_utf8_lossy(&output.stderr));
            let rows = rows(&scratch.path(&dir));
            assert_eq!(rows.len(), 150);
            let ended: Vec<_> = rows.iter().map(|(r, _)| r).filter(|r| r.outcome != Outcome::Completed).collect();
            assert!(ended.len() > 20, "{dir}: only {} found no descriptor", ended.len());
            let as_chosen = |r: &&RequestRow| {
                r.outcome == outcome && r.error.as_ref().is_some_and(|e| e.starts_with(begins)) && r.sent_ns.is_none()
            };
            assert!(ended.iter().all(as_chosen), "{dir}: {:?}", ended.iter().find(|r| !as_chosen(r)));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("Too many open files"), "the reason is not shown:\n{text}");
        }
    }
}
