//! The goodput search from the outside, on a simulated deployment whose answer is known.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::path::Path;

use serde_json::Value as Json;
use support::{Scratch, run_expecting};

#[path = "support/plots.rs"]
mod plots;

/// One request at a time: a queue with a single server.
const ONE: &str = "--simulate --max-num-seqs 1 --isl 32 --osl 2 --random-seed 5 --itl-target 1000";

fn read(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn metric(run: &Json, name: &str) -> f64 {
    run[name]["avg"].as_f64().unwrap()
}

#[test]
fn the_answer_covers_the_rate_at_which_half_of_the_requests_find_a_single_server_idle() {
    let scratch = Scratch::new("goodput");
    let profile = "profile --simulate --streaming --max-num-seqs 1 --isl 32 --osl 2 --random-seed 5 --request-count 9";
    run_expecting(0, &scratch, &format!("{profile} --artifact-dir alone"));
    let alone = read(&scratch.path("alone/profile_export_aiperf.json"));
    // Whoever finds it idle has its first token after this time; whoever waits, later. Poisson arrivals see time averages: a share
    // of 1 - rate * service time finds it idle.
    let (ttft_ms, service_s) = (metric(&alone, "time_to_first_token"), metric(&alone, "request_latency") / 1e3);
    let expect = 0.5 / service_s;
    let line = format!(
        "goodput {ONE} --ttft-target {} --attainment 0.5 --start-rate {} --requests 100 --requests-max 400 --precision 0.3 \
         --output-dir out --plots p",
        ttft_ms * 1.001,
        expect / 3.0
    );
    let output = run_expecting(0, &scratch, &line);
    let found = read(&scratch.path("out/goodput.json"));
    let [low, rate, high] = ["low_rps", "goodput_rate_rps", "high_rps"].map(|key| found[key].as_f64().unwrap());
    assert!(low <= expect && expect <= high, "{low} to {high} for {expect}");
    assert!(low <= rate && rate <= high && high < 3.0 * expect, "{low} {rate} {high} for {expect}");
    let curve = found["attainment_curve"].as_array().unwrap();
    assert!(
        curve.len() >= 3 && curve.iter().all(|p| p["attainment"]["low"].as_f64() <= p["attainment"]["share"].as_f64())
    );
    for p in curve {
        assert!(p["attainment"]["requests"].as_u64().unwrap() >= 80, "a tenth is left out at each end: {p}");
    }
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Goodput: ") && text.lines().all(|l| l.chars().count() <= 100), "{text}");
    assert!(scratch.path("out/goodput/look_001/requests.parquet").is_file());
    let page = std::fs::read_to_string(scratch.path("out/goodput.html")).unwrap();
    assert!(page.contains("Goodput: ") && page.contains("class=\"verdict"));
    plots::assert_plots(&scratch.path("p"), &page, &line);
    let dots = page.matches("<circle").count();
    assert_eq!(dots, curve.len(), "a dot for each rate");
    assert_eq!(page.matches("<th scope=\"row\">").count(), curve.len(), "and a row");
}

#[test]
fn targets_that_no_rate_meets_are_said_to_be_unresolved() {
    let scratch = Scratch::new("goodput-none");
    let line = format!(
        "goodput {ONE} --ttft-target 0.001 --requests 20 --requests-max 20 --warmup-requests 0 --output-dir out"
    );
    let output = run_expecting(1, &scratch, &format!("{line} --fail-unresolved"));
    let found = read(&scratch.path("out/goodput.json"));
    assert_eq!((&found["goodput_rate_rps"], &found["resolved"]), (&Json::Null, &false.into()));
    assert!(String::from_utf8(output.stdout).unwrap().contains("At no rate"));
    let refused = run_expecting(2, &scratch, &format!("goodput {ONE} --ttft-target 5 --attainment 1"));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--attainment"));
}
