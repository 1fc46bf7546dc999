//! Several runs from one command line: where they go, what differs between them, and what is said of them together.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;
#[path = "support/shared.rs"]
mod shared;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;
use shared::shared;
use support::{Scratch, run_expecting};

const TINY: &str = "--streaming --isl 20 --osl 4 --request-count 6 --no-server-metrics";

fn read(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn keys(value: &Json) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn repeats_ask_the_same_and_are_taken_together() {
    let scratch = Scratch::new("repeats");
    let output = run_expecting(
        0,
        &scratch,
        &format!("profile {TINY} --concurrency 2 --warmup-request-count 3 --num-profile-runs 2 --artifact-dir out"),
    );
    let run = |n: u32| scratch.path(&format!("out/profile_runs/run_000{n}"));
    let [first, second] = [1, 2].map(|n| read(&run(n).join("profile_export_aiperf.json")));
    assert!(first["warmup_metrics"].is_object() && second.get("warmup_metrics").is_none(), "one warm-up");
    assert_eq!((&first["run_info"]["random_seed"], &second["run_info"]["random_seed"]), (&42.into(), &42.into()));
    assert_eq!((&second["run_info"]["trial"], &second["run_info"]["run_label"]), (&1.into(), &"run_0002".into()));

    let aggregate = read(&scratch.path("out/aggregate/profile_export_aiperf_aggregate.json"));
    let throughput = &aggregate["metrics"]["request_throughput_avg"];
    let values = [&first, &second].map(|run| run["request_throughput"]["avg"].as_f64().unwrap());
    assert!((throughput["mean"].as_f64().unwrap() - (values[0] + values[1]) / 2.0).abs() < 1e-9);
    assert!((throughput["t_critical"].as_f64().unwrap() - 12.706_204_736).abs() < 1e-6);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("2 runs. from, to: 95"), "{text}");
    if let Some(golden) = shared("golden/c15_multi_run/artifacts/mock-llm-openai-chat-concurrency2/aggregate") {
        let theirs = read(&golden.join("profile_export_aiperf_aggregate.json"));
        assert_eq!(keys(&aggregate["metadata"]), keys(&theirs["metadata"]));
        assert_eq!(keys(throughput), keys(&theirs["metrics"]["request_throughput_avg"]));
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap();
        let ours = lines(&scratch.path("out/aggregate/profile_export_aiperf_aggregate.csv"));
        let theirs = lines(&golden.join("profile_export_aiperf_aggregate.csv"));
        assert_eq!(ours.lines().next(), theirs.lines().next());
    }
}

#[test]
fn repeats_ask_for_the_same_lengths_in_other_texts() {
    let scratch = Scratch::new("alike");
    let line = "--isl-stddev 8 --osl-stddev 2 --concurrency 2 --num-profile-runs 2 --artifact-dir out";
    run_expecting(0, &scratch, &format!("profile {TINY} {line}"));
    let of = |n: u32, file: &str| read(&scratch.path(&format!("out/profile_runs/run_000{n}/{file}")));
    let [first, second] = [1, 2].map(|n| of(n, "profile_export_aiperf.json"));
    for tag in ["input_sequence_length", "output_sequence_length"] {
        assert_eq!(first[tag], second[tag], "{tag}");
    }
    let [first, second] = [1, 2].map(|n| of(n, "inputs.json")["data"][0]["payloads"][0].clone());
    assert_eq!(first["max_completion_tokens"], second["max_completion_tokens"]);
    assert_ne!(first["messages"], second["messages"], "a prefix cache would answer the second");
}

#[test]
fn lists_of_values_make_a_directory_for_each_combination() {
    let scratch = Scratch::new("sweep");
    let output =
        run_expecting(0, &scratch, &format!("profile {TINY} --concurrency 1,2 --random-seed 7 --artifact-dir out"));
    for n in [1, 2] {
        let run = read(&scratch.path(&format!("out/concurrency_{n}/profile_export_aiperf.json")));
        assert_eq!(run["run_info"]["variation_values"], serde_json::json!({"phases.profiling.concurrency": n}));
        assert_eq!(run["run_info"]["random_seed"], 6 + n, "each has a seed of its own");
        assert_eq!(run["input_config"]["phases"][0]["concurrency"], n);
        let aggregate =
            read(&scratch.path(&format!("out/aggregate/concurrency_{n}/profile_export_aiperf_aggregate.json")));
        assert_eq!(aggregate["metadata"]["single_run"], true);
        assert_eq!(aggregate["metrics"]["request_count_avg"]["mean"], 6.0);
    }
    let sweep = read(&scratch.path("out/sweep_aggregate/profile_export_aiperf_sweep.json"));
    let cells = sweep["per_combination_metrics"].as_array().unwrap();
    assert_eq!(cells.iter().map(|c| c["parameters"]["concurrency"].clone()).collect::<Vec<_>>(), [1, 2]);
    let best = &sweep["best_configurations"]["best_throughput"];
    let throughputs: Vec<f64> =
        cells.iter().map(|c| c["metrics"]["request_throughput"]["mean"].as_f64().unwrap()).collect();
    assert_eq!(best["metric"].as_f64().unwrap(), throughputs.iter().copied().fold(0.0, f64::max));
    assert!(sweep["pareto_optimal"].as_array().unwrap().contains(&best["parameters"]), "the fastest is one");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("concurrency  req/s") && text.contains("Most throughput: concurrency"), "{text}");
    if let Some(golden) = shared("golden/c16_sweep/artifacts/mock-llm-openai-chat-concurrency1") {
        let theirs = read(&golden.join("sweep_aggregate/profile_export_aiperf_sweep.json"));
        assert_eq!(keys(&sweep), keys(&theirs));
        assert_eq!(keys(&sweep["metadata"]), keys(&theirs["metadata"]));
        let metric = |v: &Json, name: &str| keys(&v["per_combination_metrics"][0]["metrics"][name]);
        for name in ["request_latency", "request_throughput", "effective_concurrency"] {
            assert_eq!(metric(&sweep, name), metric(&theirs, name), "{name}");
        }
        let meta = |dir: &Path| {
            read(&dir.join("aggregate/concurrency_2/profile_export_aiperf_aggregate.json"))["metadata"].clone()
        };
        assert_eq!(keys(&meta(&scratch.path("out"))), keys(&meta(&golden)));
    }
}

#[test]
fn repeats_of_combinations_go_where_their_order_says() {
    let scratch = Scratch::new("both");
    let line = |more: &str| format!("profile {TINY} --concurrency 1,2 --num-profile-runs 2 {more}");
    run_expecting(0, &scratch, &line("--artifact-dir a"));
    run_expecting(0, &scratch, &line("--parameter-sweep-mode independent --artifact-dir b"));
    for path in ["a/profile_runs/trial_0002/concurrency_1", "b/concurrency_1/profile_runs/trial_0002"] {
        assert!(scratch.path(path).join("run.json").is_file(), "{path}");
    }
    let sweep = read(&scratch.path("a/sweep_aggregate/profile_export_aiperf_sweep.json"));
    assert_eq!(sweep["metadata"]["num_trials_per_value"], 2);
    assert_eq!(sweep["num_successful_runs"], 4);
    assert!(sweep["per_combination_metrics"][0]["metrics"]["request_throughput_avg"]["ci_low"].is_number());
}

#[test]
fn series_that_make_no_sense_are_refused() {
    let scratch = Scratch::new("refused");
    for (line, why) in [
        ("--concurrency 1,two", "`two` is no number"),
        ("--concurrency 1,2 --request-rate 3,4,5 --sweep-type zip", "one length"),
        ("--concurrency 1,0", "at least 1"),
        ("--num-profile-runs 11", "11 is not in 1..=10"),
        ("--num-profile-runs 2 --confidence-level 1", "between 0 and 1"),
    ] {
        let output = run_expecting(2, &scratch, &format!("profile {line}"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(why), "{line}: {text}");
    }
}
