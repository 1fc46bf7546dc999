//! Several runs from one command line: where they go, what differs between them, and what is said of them together.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;
#[path = "support/shared.rs"]
mod shared;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use loadline::sim::config::{ServeConfig, Timing};
use loadline::sim::server;
use serde_json::Value as Json;
use shared::shared;
use support::{Scratch, chunked, loadline, run_expecting};

const TINY: &str = "--streaming --isl 20 --osl 4 --request-count 6 --no-server-metrics";

fn read(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn keys(value: &Json) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_list_of_concurrencies_is_for_files_without_times() {
    let scratch = Scratch::new("list-of-file");
    scratch.file("texts.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
    scratch.file("timed.jsonl", "{\"timestamp\": 0, \"input_length\": 9, \"output_length\": 2}\n");
    let line = |file: &str| format!("profile --simulate --streaming --input-file {file} --osl 2 --concurrency 1,2");
    run_expecting(0, &scratch, &format!("{} --artifact-dir out", line("texts.jsonl")));
    for cell in ["concurrency_1", "concurrency_2"] {
        let config = read(&scratch.path(&format!("out/{cell}/run.json")))["config"]["load"].clone();
        assert_eq!(config, serde_json::json!({"concurrency": cell["concurrency_".len()..].parse::<u32>().unwrap()}));
    }
    let refused = run_expecting(2, &scratch, &line("timed.jsonl"));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("not for a trace's own times"));
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

    let config = read(&run(2).join("run_config.json"));
    assert_eq!((&config["trial"], &config["label"]), (&1.into(), &"run_0002".into()));
    assert_eq!((&config["cfg"], &config["variation"]["label"]), (&second["input_config"], &"base".into()));

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

/// A server of chats whose prefix cache cannot be reset the second time.
fn forgetful_but_once() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let resets = Arc::new(AtomicU32::new(0));
    let token = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}"#;
    let chat = String::from_utf8(chunked("text/event-stream", &[&format!("data: {token}\n\n"), "data: [DONE]\n\n"]));
    let chat = chat.unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (resets, chat, mut out) = (resets.clone(), chat.clone(), stream.unwrap());
            std::thread::spawn(move || {
                let mut input = BufReader::new(out.try_clone().unwrap());
                while let Some((path, _)) = next_request(&mut input) {
                    let answer = match path.as_str() {
                        "/reset_prefix_cache" if resets.fetch_add(1, Ordering::Relaxed) == 1 => {
                            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
                        }
                        "/reset_prefix_cache" => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                        _ => &chat,
                    };
                    if out.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// Path and body of a connection's next request.
fn next_request(input: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut path, mut length, mut line) = (None, 0, String::new());
    while line != "\r\n" {
        line.clear();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        path = path.or_else(|| line.split(' ').nth(1).map(str::to_owned));
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some((path?, body))
}

#[test]
fn a_run_that_the_endpoint_fails_is_told_and_the_series_goes_on() {
    let scratch = Scratch::new("one-fails");
    let line = format!(
        "profile {TINY} --url {} --model m --reset-kv-cache --num-profile-runs 3 --artifact-dir out",
        forgetful_but_once()
    );
    let output = run_expecting(0, &scratch, &line);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Run 3 of 3") && said.contains("error: --reset-kv-cache"), "{said}");
    let metadata = read(&scratch.path("out/aggregate/profile_export_aiperf_aggregate.json"))["metadata"].clone();
    assert_eq!(metadata["run_labels"], serde_json::json!(["run_0001", "run_0003"]));
    assert_eq!((&metadata["num_profile_runs"], &metadata["num_successful_runs"]), (&3.into(), &2.into()));
    let failed = metadata["failed_runs"].as_array().unwrap();
    assert_eq!((failed.len(), &failed[0]["label"]), (1, &"run_0002".into()));
    assert!(failed[0]["error"].as_str().unwrap().contains("--reset-kv-cache"), "{}", failed[0]);
}

/// Interrupts a series when it has said `at`, and gives what its files say together.
fn interrupted(scratch: &Scratch, line: &str, at: &str) -> Json {
    let mut child = loadline(scratch, line).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut second = false;
    let found = said.any(|line| {
        let line = line.unwrap();
        second |= line.contains("Run 2 of 3") || !at.contains("requests to");
        second && line.contains(at)
    });
    assert!(found, "it never said {at:?}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let rest = std::thread::spawn(move || said.map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let rest = rest.join().unwrap();
    assert!(!rest.iter().any(|line| line.contains("Run 3 of 3")), "{rest:?}");
    read(&scratch.path("out/aggregate/profile_export_aiperf_aggregate.json"))["metadata"].clone()
}

#[test]
fn an_interrupt_ends_a_series_and_keeps_the_runs_that_ended() {
    let scratch = Scratch::new("interrupted-run");
    // Each run takes seconds: four requests of 500 tokens, one at a time.
    let server = server::spawn(&ServeConfig {
        timing: Timing::Constant { ttft_ns: 1_000_000, itl_ns: 1_000_000 },
        ..ServeConfig::default()
    });
    let url = server.as_ref().unwrap().url();
    let line = format!(
        "profile --url {url} --model Qwen/Qwen3-32B --streaming --isl 20 --osl 500 --request-count 4 --no-server-metrics --ui none \
         --num-profile-runs 3 --artifact-dir out"
    );
    let metadata = interrupted(&scratch, &line, "4 requests to");
    assert_eq!(metadata["run_labels"], serde_json::json!(["run_0001"]));
    assert_eq!(metadata["failed_runs"], serde_json::json!([{"label": "run_0002", "error": "interrupted"}]));
    assert!(scratch.path("out/profile_runs/run_0002/requests.parquet").is_file(), "what was seen of it is kept");
}

#[test]
fn an_interrupt_between_two_runs_ends_the_pause() {
    let scratch = Scratch::new("interrupted-pause");
    let line = format!("profile {TINY} --num-profile-runs 3 --profile-run-cooldown-seconds 3600 --artifact-dir out");
    let metadata = interrupted(&scratch, &line, "The next run begins in 3600 s");
    assert_eq!((&metadata["run_labels"], &metadata["num_profile_runs"]), (&serde_json::json!(["run_0001"]), &1.into()));
    assert!(!scratch.path("out/profile_runs/run_0002").exists());
}
