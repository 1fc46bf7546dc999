//! `validate` from the outside: its levels, their directories, the file it writes, and when it fails.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::path::Path;

use serde_json::Value as Json;
use support::{Scratch, loadline, run_expecting};

#[path = "support/plots.rs"]
mod plots;

const TARGETS: &str = "validate --simulate --ttft-target 500 --itl-target 50 --isl 64 --osl 4 --random-seed 1";

fn read(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn four_levels_are_measured_in_their_steady_state_and_held_against_the_prediction() {
    let scratch = Scratch::new("validate");
    let line =
        format!("{TARGETS} --max-batch-size 8 --predicted-ttft 40 --requests-per-level 60 --output-dir out --plots p");
    let output = run_expecting(0, &scratch, &line);
    let validation = read(&scratch.path("out/validation.json"));
    for key in ["timestamp", "model", "url", "ttft_target", "itl_target", "max_batch_size", "isl", "osl"] {
        assert!(!validation[key].is_null(), "{key} in {validation}");
    }
    assert_eq!((&validation["predicted_ttft"], &validation["predicted_itl"]), (&40.0.into(), &Json::Null));
    let levels = validation["load_level_results"].as_array().unwrap();
    let names: Vec<&str> = levels.iter().map(|l| l["load_level"].as_str().unwrap()).collect();
    assert_eq!(names, ["idle", "medium", "saturation", "overload"]);
    for (level, clients) in levels.iter().zip([1_u64, 4, 7, 9]) {
        assert_eq!(level["concurrency"], clients);
        let dir = scratch.path(&format!("out/validation/{}", level["load_level"].as_str().unwrap()));
        let whole = read(&dir.join("profile_export_aiperf.json"));
        assert_eq!(whole["request_count"]["avg"], 60.0);
        assert!(whole["warmup_metrics"].is_object(), "each level warms up");
        let steady = level["runs"][0]["steady_state_requests"].as_u64().unwrap();
        assert_eq!(level["runs"][0]["numbers_are_of"], "steady_state");
        assert!(steady <= 60 - 2 * clients && steady >= 60 - 3 * clients, "{steady} of {clients} clients");
        assert_eq!(level["runs"][0]["requests"], steady);
        let p50 = level["ttft_p50"].as_f64().unwrap();
        let error = 100.0 * (40.0 - p50) / p50;
        assert!((level["ttft_error_pct"].as_f64().unwrap() - error).abs() < 1e-9, "{level}");
        assert!((level["ttft"]["p50"]["absolute_error_pct"].as_f64().unwrap() - error.abs()).abs() < 1e-9);
        assert!(level["itl_error_pct"].is_null() && level["itl_p99"].as_f64().unwrap() > 0.0);
        assert_eq!(level["sla_hit_rate"], 1.0);
        let rates = [&level["goodput_rps"], &level["request_throughput_rps"]["mean"]].map(|r| r.as_f64().unwrap());
        assert!((rates[0] / rates[1] - 1.0).abs() < 1e-9, "all of them are good: {rates:?}");
    }
    let idle = levels[0]["ttft_p50"].as_f64().unwrap();
    let measured = read(&scratch.path("out/validation/idle/profile_export_aiperf.json"));
    assert!(
        (idle / measured["time_to_first_token"]["p50"].as_f64().unwrap() - 1.0).abs() < 0.05,
        "idle is steady throughout"
    );
    let page = std::fs::read_to_string(scratch.path("out/validation.html")).unwrap();
    plots::assert_plots(&scratch.path("p"), &page, &line);
    assert_eq!(page.matches("<circle").count(), 4 * 3 * 2, "three percentiles of both latencies at four levels");
    assert!(page.contains("predicted 40 ms") && page.matches("<rect class=\"bar").count() >= 4);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("validation at 4 levels") && text.lines().all(|l| l.chars().count() <= 100), "{text}");
}

#[test]
fn clients_begin_one_after_the_other_unless_they_are_to_ask_in_step() {
    let scratch = Scratch::new("validate-ramp");
    let line = "validate --simulate --tp 2 --ttft-target 500 --itl-target 50 --isl 2048 --osl 24 --random-seed 1 --max-batch-size 8 \
                --requests-per-level 60 --output-dir";
    let medium = |dir: &str, more: &str| {
        let output = run_expecting(0, &scratch, &format!("{line} {dir} {more}"));
        let levels = read(&scratch.path(&format!("{dir}/validation.json")))["load_level_results"].clone();
        assert_eq!((&levels[0]["ramp_s"], levels[1]["concurrency"].as_u64()), (&Json::Null, Some(4)));
        let ms = |level: &Json, key: &str| level[key].as_f64().unwrap();
        let [ttft_s, itl_s] = ["ttft", "itl"].map(|key| ms(&levels[0][key]["mean"]["actual"], "mean") / 1e3);
        let begun = ms(&levels[1], "ramp_s") / (4.0 * ttft_s + 23.0 * itl_s);
        (begun, ms(&levels[1], "ttft_p50") / ms(&levels[0], "ttft_p50"), String::from_utf8(output.stdout).unwrap())
    };
    let level_ramp =
        |dir: &str| read(&scratch.path(&format!("{dir}/validation.json")))["load_level_results"][1]["ramp_s"].clone();
    let (begun, waits, text) = medium("spread", "");
    assert!((begun - 0.75).abs() < 1e-6, "three quarters of a round of four prompts and one answer: {begun}");
    assert!(text.contains("one after the other") && text.contains("s at overload"), "{text}");
    let run = read(&scratch.path("spread/validation/medium/run.json"));
    assert_eq!(run["config"]["caps"]["ramp_s"], level_ramp("spread"), "the run's own ramp is the one that is told");
    let (begun, in_step, text) = medium("at_once", "--concurrency-ramp-duration 0");
    assert!(begun == 0.0 && text.contains("all at once"), "{text}");
    assert!(waits < 1.5 && in_step > 2.0, "TTFT of idle's: {waits} spread, {in_step} in step");
    // Idle comes before the capacity of an open loop, and tells how long a request takes.
    run_expecting(0, &scratch, &format!("{line} open --open-loop"));
    let run = read(&scratch.path("open/validation/capacity/run.json"));
    assert!(run["config"]["caps"]["ramp_s"].as_f64().unwrap() > level_ramp("spread").as_f64().unwrap(), "{run}");
}

#[test]
fn an_error_beyond_the_bound_fails_and_too_few_requests_are_suspect() {
    let scratch = Scratch::new("validate-bound");
    let line = "--max-batch-size 16 --requests-per-level 24 --predicted-itl 900";
    let output =
        run_expecting(1, &scratch, &format!("{TARGETS} {line} --repeats 2 --fail-on-error-pct 50 --output-dir out"));
    let validation = read(&scratch.path("out/validation.json"));
    let overload = &validation["load_level_results"][3];
    assert_eq!((&overload["concurrency"], &overload["runs"][1]["numbers_are_of"]), (&18.into(), &"whole_run".into()));
    assert_eq!((&overload["verdict"]["judgement"], &overload["runs"][0]["requests"]), (&"suspect".into(), &24.into()));
    let p50 = &overload["itl"]["p50"]["actual"];
    let [low, mean, high] = ["low", "mean", "high"].map(|key| p50[key].as_f64().unwrap());
    assert!(low <= mean && mean <= high && p50["runs"] == 2, "{p50}");
    assert!(scratch.path("out/validation/overload/repeats/run_0002/requests.parquet").is_file());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("overload is suspect") && text.contains("interval over 2 runs"), "{text}");
    run_expecting(0, &scratch, &format!("{TARGETS} {line} --fail-on-error-pct 1e9 --output-dir b"));
}

#[test]
fn an_open_loop_offers_shares_of_the_capacity_that_was_measured() {
    let scratch = Scratch::new("validate-open");
    run_expecting(
        0,
        &scratch,
        &format!("{TARGETS} --max-batch-size 4 --requests-per-level 80 --open-loop --output-dir out"),
    );
    let validation = read(&scratch.path("out/validation.json"));
    let capacity = validation["capacity_rps"].as_f64().unwrap();
    assert_eq!(validation["capacity_is_measured"], true);
    for (at, share) in [(1, 0.5), (2, 0.9), (3, 1.1)] {
        let level = &validation["load_level_results"][at];
        assert!(level["concurrency"].is_null());
        let rate = level["request_rate_rps"].as_f64().unwrap();
        assert!((rate / capacity - share).abs() < 1e-9, "{rate} of {capacity}");
        assert_eq!(level["runs"][0]["steady_state_requests"], 64, "a tenth is left out at each end");
    }
    assert_eq!(validation["load_level_results"][0]["concurrency"], 1);
    assert!(scratch.path("out/validation/capacity/profile_export_aiperf.json").is_file());
}

#[test]
fn the_environment_may_name_the_deployment_and_an_interrupted_level_is_told() {
    let scratch = Scratch::new("validate-interrupted");
    let nowhere = "validate --model m --ttft-target 5 --itl-target 5 --max-batch-size 2 --output-dir nowhere";
    let output = loadline(&scratch, nowhere).env("LOADLINE_URL", "http://127.0.0.1:9").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(talk.contains("note: the load goes to http://127.0.0.1:9 (LOADLINE_URL)"), "{talk}");

    // Over sockets, to a simulated deployment.
    let line = "validate --ttft-target 500 --itl-target 50 --isl 16 --osl 2 --max-batch-size 4 --warmup-requests 0 \
                --requests-per-level 20000 --random-seed 1 --output-dir out";
    let mut child = loadline(&scratch, line).stdout(std::process::Stdio::piped()).spawn().unwrap();
    while !scratch.path("out/validation/idle/requests.parquet").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "what was measured is the answer: {output:?}");
    let validation = read(&scratch.path("out/validation.json"));
    assert_eq!(validation["load_level_results"].as_array().unwrap().len(), 1);
    assert_eq!(validation["notes"][0], "The validation was interrupted at idle.");
    let run = read(&scratch.path("out/validation/idle/run.json"));
    assert_eq!(run["state"], "interrupted");
}
