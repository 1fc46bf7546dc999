//! The engine's accuracy, end to end: what the recording says against what the server's oracle log says, request by request
//! and token by token, on one clock.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use loadline::outcome::{EventKind, Outcome};
use loadline::record::manifest::{Manifest, TransmitStamps};
use loadline::sim::config::{ServeConfig, Timing};
use loadline::sim::server::spawn;
use loadline::time::MILLISECOND_NS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Scratch, rows, run_expecting};

/// A median error beyond this is no longer a busy machine's doing.
const MEDIAN_ERROR_MAX_NS: i64 = 5 * MILLISECOND_NS;
/// Kernel stamps are carried over from another clock, by an offset that is measured.
const CLOCKS_APART_MAX_NS: i64 = MILLISECOND_NS;

/// Runs `profile` with these arguments against a server of these times, and holds its recording to the oracle: every request
/// once on both sides, every event, every effect behind its cause. Gives the manifest and the number of connections
/// that requests opened.
#[track_caller]
fn proven(timing: Timing, requests: usize, tokens: u32, args: &str) -> (Manifest, usize) {
    let scratch = Scratch::new("oracle");
    let server = spawn(&ServeConfig { timing, oracle: true, ..ServeConfig::default() }).unwrap();
    let line = format!(
        "profile --url {} --model Qwen/Qwen3-32B --streaming --random-seed 5 --isl 12 --osl {tokens} \
         --request-count {requests} --workers 1 --artifact-dir run {args}",
        server.url()
    );
    run_expecting(0, &scratch, &line);
    let run_dir = scratch.path("run");
    let manifest = Manifest::read(&run_dir).unwrap();
    let oracle = server.finish().unwrap();
    let mut truth = oracle.by_id();
    assert_eq!((oracle.requests.len(), truth.len(), oracle.lost), (requests, requests, 0), "one id, one request");
    let (mut errors_ns, mut ttft_errors_ns) = (Vec::new(), Vec::new());
    let (mut connected, mut stamped) = (0, 0);
    for (row, tokens) in rows(&run_dir) {
        let seen = truth.remove(row.x_request_id.as_str()).expect("the server saw it, and no row had it before");
        assert_eq!(row.outcome, Outcome::Completed, "{row:?}");
        assert_eq!((row.prompt_tokens, row.output_tokens), (Some(seen.prompt_tokens), Some(seen.output_tokens)));
        assert_eq!((tokens.len(), row.events as usize), (seen.events_ns.len(), seen.events_ns.len()));
        let sent_ns = row.sent_ns.unwrap();
        assert!(row.scheduled_ns <= sent_ns, "sent before its time: {row:?}");
        assert!(sent_ns <= manifest.anchor.from_monotonic(seen.received_ns), "received before it was sent: {row:?}");
        if let Some(arrived_ns) = seen.arrived_ns {
            stamped += 1;
            assert!(arrived_ns <= seen.received_ns, "read before it had arrived: {seen:?}");
            let arrived_ns = manifest.anchor.from_monotonic(arrived_ns);
            assert!(sent_ns <= arrived_ns + CLOCKS_APART_MAX_NS, "arrived before it was sent: {row:?}, {arrived_ns}");
        }
        connected += usize::from(row.connected_ns.is_some());
        for (token, written_ns) in tokens.iter().zip(&seen.events_ns) {
            let written_ns = manifest.anchor.from_monotonic(*written_ns);
            assert!(token.t_ns >= written_ns, "read before it was written: {token:?}, {written_ns}");
            if let Some(kernel_ns) = token.kernel_ns {
                assert!(kernel_ns + CLOCKS_APART_MAX_NS >= written_ns, "{token:?}, {written_ns}");
                assert!(kernel_ns - CLOCKS_APART_MAX_NS <= token.t_ns, "{token:?}");
            }
            errors_ns.push(token.t_ns - written_ns);
        }
        let first = tokens.iter().position(|t| t.kind == EventKind::Output).unwrap();
        let true_ttft_ns = seen.events_ns[first] - seen.start_ns();
        ttft_errors_ns.push(row.first_token_ns.unwrap() - sent_ns - true_ttft_ns);
        let content: Vec<_> = tokens.iter().filter(|t| t.kind == EventKind::Output).collect();
        assert_eq!(content.len(), seen.output_tokens as usize);
        let reported = [content.first(), content.last()].map(|t| t.map(|t| t.kernel_ns.unwrap_or(t.t_ns)));
        assert_eq!([row.first_token_ns, row.last_token_ns], reported, "TTFT and ITL are those of the tokens");
    }
    assert!(truth.is_empty(), "{} requests are in no row", truth.len());
    // What several streams share tells neither when one of them had come nor when it left.
    if args.contains("--http-version 2") {
        assert_eq!((stamped, manifest.workers[0].transmit), (0, None));
    } else {
        assert!(stamped > requests / 2, "the kernel stamped the arrival of {stamped} requests of {requests}");
        is_sample(manifest.workers[0].transmit.unwrap(), requests);
    }
    let median_ns = median(errors_ns);
    assert!(median_ns < MEDIAN_ERROR_MAX_NS, "tokens are stamped {median_ns} ns late in the median");
    let median_ns = median(ttft_errors_ns);
    let sound = -CLOCKS_APART_MAX_NS..MEDIAN_ERROR_MAX_NS;
    assert!(sound.contains(&median_ns), "TTFT is {median_ns} ns too long in the median");
    (manifest, connected)
}

/// All requests here are small and in plain, so that each may be one of the sample.
#[track_caller]
fn is_sample(transmit: TransmitStamps, requests: usize) {
    let expected = (64, requests.div_ceil(64) as u64);
    assert_eq!((transmit.one_in, transmit.count), expected, "a stamp of the sample is missing");
    assert!(transmit.p50_ns < MEDIAN_ERROR_MAX_NS, "requests leave {} ns after they are sent", transmit.p50_ns);
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn constant(ttft_ms: i64, itl_ms: i64) -> Timing {
    Timing::Constant { ttft_ns: ttft_ms * MILLISECOND_NS, itl_ns: itl_ms * MILLISECOND_NS }
}

#[test]
fn open_loop_on_pooled_connections_is_the_oracles() {
    let (_, connected) = proven(constant(20, 5), 400, 8, "--request-rate 300 --arrival-pattern poisson");
    assert!(connected < 300, "{connected} of 400 requests opened a connection");
}

#[test]
fn open_loop_with_a_connection_for_each_request_is_the_oracles() {
    let args = "--request-rate 200 --arrival-pattern poisson --connection-reuse-strategy never \
                --endpoint-type completions";
    let (manifest, connected) = proven(constant(20, 5), 300, 8, args);
    assert_eq!((connected, manifest.workers[0].connections), (300, 300));
}

#[test]
fn streams_that_share_connections_are_the_oracles() {
    let args = "--http-version 2 --streams-per-connection 50 --request-rate 300 --arrival-pattern poisson";
    let (manifest, _) = proven(constant(200, 5), 400, 8, args);
    assert!((2..10).contains(&manifest.workers[0].connections), "{:?}", manifest.workers);
}

#[test]
fn a_thousand_streams_at_once_are_the_oracles() {
    // Both this process and the one that it starts, which inherits the limit, hold a thousand connections.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    // All are sent within a second, and none has its first token before two have passed.
    let (manifest, _) = proven(constant(2_000, 200), 1_000, 6, "--request-rate 1000 --arrival-pattern constant");
    assert!(manifest.workers[0].in_flight_max > 900, "{:?}", manifest.workers);
}

#[test]
fn a_burst_that_one_read_delivers_whole_is_the_oracles() {
    let (_, _) = proven(constant(0, 0), 200, 64, "--request-rate 200 --arrival-pattern constant");
}
