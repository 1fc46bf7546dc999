//! `loadline calibrate`, whole: what it writes, what it says when a step cannot run, and that a run cites it.
//!
//! Which numbers come out is the machine's business; here they must be there, and must not contradict each other.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::process::{Command, Stdio};

use loadline::calibration::spread::Spread;
use loadline::calibration::streams::StreamErrors;
use loadline::calibration::{Calibration, StepResult};
use loadline::record::manifest::{Host, Manifest};
use support::{Scratch, loadline, run_expecting};

#[track_caller]
fn is_sound(spread: Spread) {
    assert!(spread.n > 0 && spread.min_ns <= spread.p50_ns && spread.p50_ns <= spread.p99_ns, "{spread:?}");
    assert!(spread.p99_ns <= spread.max_ns && (spread.min_ns..=spread.max_ns).contains(&spread.mean_ns), "{spread:?}");
}

fn measured<T>(result: &StepResult<T>) -> &T {
    match result {
        StepResult::Measured(measured) => measured,
        StepResult::Skipped(why) => panic!("skipped: {why}"),
    }
}

/// Kernel stamps are carried over from another clock, by an offset that is measured.
const CLOCKS_APART_MAX_NS: i64 = 1_000_000;

fn streams_are_sound(streams: &StreamErrors, requests: u64, tokens: u64) {
    assert_eq!((streams.compared, streams.failed, streams.unmatched), (requests, 0, 0));
    assert_eq!(streams.token.read.n, tokens);
    assert!(streams.token.read.min_ns >= 0, "a token was read before it was written");
    assert!(streams.request_path.min_ns >= -CLOCKS_APART_MAX_NS, "a request arrived before it was sent");
    assert!(streams.kernel_arrivals <= requests);
    assert_eq!(streams.server_queue.map_or(0, |s| s.n), streams.kernel_arrivals);
    if let Some(queue) = streams.server_queue {
        is_sound(queue);
        assert!(queue.min_ns >= 0, "a request was read before it had arrived");
    }
    assert!(streams.server_ttft.min_ns >= 50_000_000, "the server was early");
    for errors in [streams.token, streams.ttft, streams.itl.unwrap()] {
        is_sound(errors.read);
        errors.kernel.into_iter().for_each(is_sound);
    }
    assert!((0.0..=1.0).contains(&streams.shared_reads) && streams.tokens_per_s > 0.0);
    assert!(streams.client_utilisation > 0.0 && streams.server_utilisation > 0.0);
}

#[test]
fn a_quick_calibration_measures_everything_reads_back_the_same_and_is_cited() {
    let scratch = Scratch::new("calibrate");
    let line = "calibrate --quick --burn --floor";
    let output = loadline(&scratch, line).env("XDG_CACHE_HOME", scratch.path("cache")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = scratch.path("cache/loadline/calibration.json");
    // Where a number is not finite, JSON has null, and this fails.
    let calibration = Calibration::load(&path).unwrap();

    assert!(calibration.setup.quick && calibration.host == Host::detect());
    assert!(calibration.clock.reading_min_ns > 0.0 && calibration.clock.resolution_ns > 0);
    assert!(calibration.clock.reading_median_ns >= calibration.clock.reading_min_ns);
    assert_eq!(calibration.timers.iter().map(|t| t.rate_per_s).collect::<Vec<_>>(), [1_000, 10_000]);
    for spread in calibration.timers.iter().flat_map(|t| [t.nanosleep, t.alarm, t.pacing]) {
        is_sound(spread);
        assert!(spread.min_ns >= 0, "a wait was early");
    }
    assert_eq!(calibration.sends.iter().map(|s| s.rate_rps).collect::<Vec<_>>(), [500, 2_000, 10_000]);
    for step in &calibration.sends {
        let sent = measured(&step.result);
        is_sound(sent.lag);
        assert_eq!((sent.lag.n, sent.failed), (u64::from(step.rate_rps) * 3 / 10, 0));
        assert!(sent.lag.min_ns >= 0 && sent.achieved > 0.0, "{step:?}");
        assert!(sent.client_utilisation > 0.0 && sent.server_utilisation > 0.0, "{step:?}");
    }
    assert_eq!(calibration.streams.iter().map(|s| s.streams).collect::<Vec<_>>(), [1, 100, 1_000]);
    for (step, (requests, tokens)) in calibration.streams.iter().zip([(8, 5), (100, 20), (1_000, 30)]) {
        streams_are_sound(measured(&step.result), requests, requests * tokens);
    }
    let aims = calibration.burn.iter().map(|s| s.aimed).collect::<Vec<_>>();
    assert_eq!(aims, [0.0, 0.1, 0.5, 0.8, 0.9, 0.95]);
    for step in &calibration.burn {
        streams_are_sound(measured(&step.step.result), 100, 4_000);
    }
    let cpu_ns = |n: usize| measured(&calibration.burn[n].step.result).client_cpu_ns;
    assert!(cpu_ns(5) > cpu_ns(0), "the client was no busier");
    let floor = calibration.floor.as_ref().unwrap();
    for (step, n) in floor.arrivals.iter().zip([600, 6_000, 6_000]) {
        for spread in [step.engine, step.bare] {
            is_sound(spread);
            // The kernel begins to stamp some time after it is asked to, on a busy machine seconds after.
            assert!(spread.n <= n && spread.n > n / 20 && spread.min_ns >= -CLOCKS_APART_MAX_NS, "{step:?}");
        }
    }
    let tokens = floor.tokens.as_ref().unwrap();
    assert!(tokens.engine_ns > 0.0 && tokens.bare_ns > 0.0 && tokens.ratio > 0.0, "{tokens:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let parts =
        ["Timer lateness", "Send lag", "Error, µs", "busy client", "bare loop", "Limits of this host", "Token times: "];
    for part in parts {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");

    let copy = scratch.path("new/copy.json");
    calibration.write(&copy).unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&path).unwrap());
    assert_eq!(Calibration::load(&copy).unwrap(), calibration);

    let cited = |dir: &str| {
        let line = format!("profile --request-count 1 --isl 3 --osl 2 --tp 8 --artifact-dir {dir}");
        let output = loadline(&scratch, &line).env("XDG_CACHE_HOME", scratch.path("cache")).output().unwrap();
        assert!(output.status.success());
        let config = Manifest::read(&scratch.path(dir)).unwrap().config;
        (config["calibration"].clone(), String::from_utf8(output.stderr).unwrap())
    };
    let expected = serde_json::to_value(calibration.cite(&path, &calibration.host)).unwrap();
    assert_eq!(cited("with").0, expected);
    assert_eq!(expected["same_host"], true);
    std::fs::write(&path, "{\"schema_version\": 99}").unwrap();
    let (citation, said) = cited("refused");
    assert!(citation.is_null() && said.contains("schema version 99") && said.contains("loadline calibrate"), "{said}");
    std::fs::remove_file(&path).unwrap();
    let (citation, said) = cited("without");
    assert!(citation.is_null() && !said.contains("calibration"), "{said}");
}

#[test]
fn steps_that_descriptors_do_not_suffice_for_are_reported_and_the_others_run() {
    let scratch = Scratch::new("few-descriptors");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 400 && exec \"$0\" calibrate --quick --output few.json"]);
    let output = command
        .arg(env!("CARGO_BIN_EXE_loadline"))
        .current_dir(scratch.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calibration = Calibration::load(&scratch.path("few.json")).unwrap();
    assert_eq!(calibration.setup.descriptors, 400);
    let [one, hundred, thousand] = &calibration.streams[..] else { panic!("{:?}", calibration.streams) };
    measured(&one.result);
    streams_are_sound(measured(&hundred.result), 100, 2_000);
    let StepResult::Skipped(why) = &thousand.result else { panic!("{thousand:?}") };
    assert!(why.contains("1000 connections") && why.contains("400 descriptors") && why.contains("ulimit"), "{why}");
    assert!(calibration.limits.streams.is_none_or(|n| n <= 100), "a limit that was not measured");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("1,000 streams: not measured: "), "{text}");
}

#[test]
fn bad_use_names_its_remedy() {
    let scratch = Scratch::new("calibrate-use");
    for (line, said) in [("calibrate --bound-ms 0", "--bound-ms"), ("serve --constant-ttft-ms 5", "--constant-itl-ms")]
    {
        let output = run_expecting(2, &scratch, line);
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{line}");
    }
}
