//! The server's metrics: scraped in whole runs over sockets, written as aiperf writes them, and made again from the recording.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

mod support;
#[path = "support/shared.rs"]
mod published;

use std::path::Path;

use loadline::analysis::server::ServerMetrics;
use loadline::export;
use loadline::export::server::Scraped;
use loadline::outcome::Phase;
use loadline::record::manifest::{Manifest, PhaseWindow};
use loadline::record::server::{ServerRecording, ServerRow, ServerSample, ServerWriter};
use loadline::sim::config::ServeConfig;
use loadline::sim::server::spawn;
use serde_json::{Value, json};
use support::{Scratch, Scripted, chunked, rows, run_expecting};

const EXPORTS: [&str; 4] = [
    "server_metrics_export.json",
    "server_metrics_export.csv",
    "server_metrics_export.jsonl",
    "server_metrics_export.parquet",
];

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_the_server_counted_is_what_was_sent_and_report_makes_the_files_again() {
    let scratch = Scratch::new("server-metrics");
    let server = spawn(&ServeConfig { tp: 8, speedup: 20.0, oracle: true, ..ServeConfig::default() }).unwrap();
    let line = format!(
        "profile --url {}/v1 --model Qwen/Qwen3-32B --streaming --concurrency 4 --request-count 30 --warmup-request-count 5 --isl 60 --osl 8 --artifact-dir run --server-metrics-formats json,csv,jsonl,parquet",
        server.url()
    );
    run_expecting(0, &scratch, &line);
    let server_name = server.url().trim_start_matches("http://").to_owned();
    let truth = server.finish().unwrap();
    assert_eq!(rows(&scratch.path("run")).len(), truth.requests.len(), "a scrape is no request");
    let document = read_json(&scratch.path("run/server_metrics_export.json"));
    let stats = |name: &str| document["metrics"][name]["series"][0]["stats"].clone();
    // The warm-up is in what the server counted, but for its last request, which ends when the measurement starts: the last
    // scrape before that is what is counted from.
    let measured = truth.requests.len() as f64 - 5.0;
    let counted = stats("vllm:request_success")["total"].as_f64().unwrap();
    assert!((measured..=measured + 5.0).contains(&counted), "{counted} of {measured}");
    assert_eq!(stats("vllm:generation_tokens")["total"], counted * 8.0);
    assert_eq!(stats("vllm:time_to_first_token_seconds")["count"], counted);
    let buckets = &document["metrics"]["vllm:time_to_first_token_seconds"]["series"][0]["buckets"];
    assert_eq!(buckets["+Inf"], counted);
    assert!(stats("vllm:num_requests_running")["max"].as_f64().unwrap() <= 4.0);
    let info = document["summary"]["endpoint_info"].as_object().unwrap();
    let (url, info) = info.iter().next().unwrap();
    assert!(url.ends_with("/metrics") && !url.contains("/v1"), "{url}");
    assert!(info["total_fetches"].as_u64().unwrap() >= 2 && info["failed_fetches"] == 0, "{info}");
    let phases = read_json(&scratch.path("run/phase_manifest.json"))["phases"].clone();
    let of_phase =
        |at: usize| read_json(&scratch.path("run").join(phases[at]["server_metrics_json"].as_str().unwrap()));
    let (warmup, profiling) = (of_phase(0), of_phase(1));
    assert_eq!((&warmup["phase"]["phase_kind"], &profiling["data"]["phase"]), (&"warmup".into(), &"profiling".into()));
    let (name, endpoint) = profiling["data"]["endpoint_summaries"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(*name, server_name);
    assert_eq!(endpoint["metrics"]["vllm:request_success"]["series"][0]["stats"]["total"], counted);
    assert!(endpoint["metrics"]["vllm:request_success"]["series"][0].get("endpoint_url").is_none());
    let fetches = |of: &Value| of["data"]["endpoint_summaries"][name]["info"]["total_fetches"].as_u64();
    assert!(fetches(&warmup) < fetches(&profiling), "the warm-up's scrapes end where the measurement begins");
    let page = std::fs::read_to_string(scratch.path("run/report.html")).unwrap();
    for heading in [
        "Server: requests running and waiting",
        "Server: KV cache in use",
        "Server: tokens over time",
        "Prompt lengths, planned and served",
    ] {
        let figure =
            page.split_once(&format!("<h3>{heading}</h3>")).unwrap_or_else(|| panic!("{heading} is missing")).1;
        let drawing = figure.split_once("<svg class=\"chart\"").unwrap().1.split_once("</svg><figcaption>").unwrap().0;
        assert!(drawing.contains("<path class=\"line s1\" d=\"M"), "{heading} has no line");
    }
    run_expecting(0, &scratch, "report run --output-dir again");
    for name in EXPORTS.into_iter().chain(["phases/warmup/server_metrics.json", "phases/profiling/server_metrics.json"])
    {
        let read = |dir: &str| std::fs::read(scratch.path(dir).join(name)).unwrap();
        assert!(!read("run").is_empty() && read("run") == read("again"), "{name} differs");
    }
    let csv = std::fs::read_to_string(scratch.path("run/server_metrics_export.csv")).unwrap();
    assert!(csv.contains(",counter,vllm:generation_tokens,tokens,"), "{csv}");
    let parquet = std::fs::read(scratch.path("run/server_metrics_export.parquet")).unwrap();
    assert_eq!((&parquet[..4], &parquet[parquet.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
}

#[test]
fn a_server_without_metrics_and_one_that_is_left_alone_leave_no_file_and_no_complaint() {
    let scratch = Scratch::new("no-server-metrics");
    let stream = "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let plain = Scripted::start(chunked("text/event-stream", &[stream]), false);
    let simulated = spawn(&ServeConfig { tp: 8, speedup: 100.0, ..ServeConfig::default() }).unwrap();
    for (url, extra, why) in
        [(plain.url(), "", "without metrics"), (simulated.url(), "--no-server-metrics", "left alone")]
    {
        // Of an earlier run in the same directory.
        std::fs::create_dir_all(scratch.path("run")).unwrap();
        for name in EXPORTS.into_iter().chain(["server_metrics.parquet"]) {
            scratch.file(&format!("run/{name}"), "old");
        }
        let line = format!(
            "profile --url {url} --model Qwen/Qwen3-32B --endpoint-type completions --streaming --request-count 2 --isl 5 --osl 2 --artifact-dir run {extra}"
        );
        let told = run_expecting(0, &scratch, &line);
        let told = String::from_utf8(told.stderr).unwrap();
        assert!(!told.contains("scrape"), "{why}: {told}");
        for name in EXPORTS.into_iter().chain(["server_metrics.parquet", "server_metrics.parquet.footer"]) {
            assert!(!scratch.path("run").join(name).exists(), "{why}: {name}");
        }
    }
}

#[test]
fn an_endpoint_that_was_asked_for_and_does_not_answer_is_told_of() {
    let scratch = Scratch::new("dead-server-metrics");
    let line = "profile --tp 8 --concurrency 1 --request-count 2 --isl 5 --osl 2 --artifact-dir run --server-metrics 127.0.0.1:9";
    let told = run_expecting(0, &scratch, line);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("scrapes of metrics failed; the first: http://127.0.0.1:9/metrics"), "{told}");
    let scraped = &Manifest::read(&scratch.path("run")).unwrap().config["server_metrics"]["scraped"];
    assert!(scraped["failures"].as_u64().unwrap() >= 2 && scraped["scrapes"].as_u64().unwrap() >= 2, "{scraped}");
    let document = read_json(&scratch.path("run/server_metrics_export.json"));
    assert_eq!(document["summary"]["endpoints_successful"].as_array().unwrap().len(), 1);
    assert_eq!(document["summary"]["endpoints_configured"].as_array().unwrap().len(), 2);
}

/// The golden run's scrapes as rows: those that brought something new, from its JSONL; the others, of which only the number and
/// the ends of the span are known, without samples.
fn golden_rows(lines: &str, info: &Value) -> Vec<ServerRow> {
    let updates: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let url = updates[0]["endpoint_url"].as_str().unwrap();
    let kind = |name: &str| match name {
        "vllm:num_requests_running" => "gauge",
        "vllm:time_to_first_token_seconds" => "histogram",
        _ => "counter",
    };
    let mut scrapes: Vec<(i64, i64, Option<&Value>)> = updates
        .iter()
        .map(|u| (u["timestamp_ns"].as_i64().unwrap(), u["request_sent_ns"].as_i64().unwrap(), Some(u)))
        .collect();
    // One at the start of the phase (the counters' rates tell its time), and the rest on the grid of a third of a second up to the last.
    let last = info["last_fetch_ns"].as_i64().unwrap();
    let start = last - 3_150_896_000;
    let quiet = info["total_fetches"].as_i64().unwrap() - scrapes.len() as i64 - 1;
    scrapes.push((start, start, None));
    scrapes.extend((0..quiet).map(|n| (last - n * 250_000_000, last - n * 250_000_000, None)));
    scrapes.sort_by_key(|(t, ..)| *t);
    let mut rows = Vec::new();
    for (scrape, (t_ns, sent_ns, update)) in (0u32..).zip(scrapes) {
        let row = |sample| ServerRow {
            scrape,
            endpoint: url.into(),
            sent_ns,
            first_byte_ns: t_ns,
            end_ns: update.map_or(sent_ns, |u| sent_ns + u["endpoint_latency_ns"].as_i64().unwrap()),
            error: None,
            sample,
        };
        let mut samples = Vec::new();
        for (metric, list) in update.into_iter().flat_map(|u| u["metrics"].as_object().unwrap()) {
            let mut add = |name: &str, labels: &str, value: &Value| {
                samples.push(ServerSample {
                    metric: metric.as_str().into(),
                    metric_type: kind(metric).into(),
                    help: match metric.as_str() {
                        "vllm:num_requests_running" => "running",
                        "vllm:time_to_first_token_seconds" => "h",
                        "vllm:prompt_tokens" => "p",
                        _ => "g",
                    }
                    .into(),
                    name: name.into(),
                    labels: labels.into(),
                    value: value.as_f64(),
                });
            };
            let label = format!("model_name=\"{}\"", list[0]["labels"]["model_name"].as_str().unwrap());
            if let Some(buckets) = list[0]["buckets"].as_object() {
                for (le, upto) in buckets {
                    add(&format!("{metric}_bucket"), &format!("{label},le=\"{le}\""), upto);
                }
                add(&format!("{metric}_sum"), &label, &list[0]["sum"]);
                add(&format!("{metric}_count"), &label, &list[0]["count"]);
            } else {
                add(metric, &label, &list[0]["value"]);
            }
        }
        rows.extend(if samples.is_empty() {
            vec![row(None)]
        } else {
            samples.into_iter().map(|s| row(Some(s))).collect()
        });
    }
    rows
}

#[test]
fn aiperfs_own_run_gives_aiperfs_numbers_and_shapes() {
    let Some(dir) =
        published::shared("golden/c02_mooncake_fixed_schedule/artifacts/mock-llm-openai-chat-fixed_schedule")
    else {
        return;
    };
    let golden = read_json(&dir.join("server_metrics_export.json"));
    let info = golden["summary"]["endpoint_info"].as_object().unwrap().values().next().unwrap().clone();
    let jsonl = std::fs::read_to_string(dir.join("server_metrics_export.jsonl")).unwrap();
    let scratch = Scratch::new("golden-server-metrics");
    let run_dir = scratch.path("run");
    run_expecting(
        0,
        &scratch,
        "profile --tp 8 --request-count 1 --isl 5 --osl 2 --artifact-dir run --no-server-metrics",
    );
    let mut manifest = Manifest::read(&run_dir).unwrap();
    // The golden run's times are of 1970, and so is this axis.
    (manifest.anchor.t0_unix_ns, manifest.run_id) = (0, golden["benchmark_id"].as_str().unwrap().into());
    let range = &golden["summary"]["phase_time_ranges"]["profiling"];
    let ns = |key: &str| range[key].as_i64().unwrap();
    manifest.profiling = Some(PhaseWindow { start_ns: ns("start_ns"), end_ns: ns("end_ns") });
    manifest.config["server_metrics"]["formats"] = json!(["json", "csv", "jsonl"]);
    let mut writer = ServerWriter::create(&run_dir, "golden", 0).unwrap();
    writer.push(golden_rows(&jsonl, &info).into_iter(), 0).unwrap();
    writer.finish().unwrap();
    let recording = ServerRecording::open(&run_dir).unwrap().unwrap();
    let metrics = ServerMetrics::of(&recording, &manifest, Phase::Profiling).unwrap();
    let scraped = Scraped { recording: &recording, profiling: metrics, warmup: None };
    export::server::write(&run_dir, &manifest, Some(&scraped)).unwrap();
    let ours = read_json(&run_dir.join("server_metrics_export.json"));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ours["metrics"]), keys(&golden["metrics"]));
    for (name, theirs) in golden["metrics"].as_object().unwrap() {
        let ours = &ours["metrics"][name];
        assert_eq!(keys(ours), keys(theirs), "{name}");
        for key in ["type", "description", "unit"] {
            assert_eq!(ours[key], theirs[key], "{name}");
        }
        let (ours, theirs) = (&ours["series"][0], &theirs["series"][0]);
        assert_eq!(keys(ours), keys(theirs), "{name}");
        assert_eq!((&ours["labels"], &ours["buckets"]), (&theirs["labels"], &theirs["buckets"]), "{name}");
        let listed = |value: &Value| {
            let mut keys = keys(&value["stats"]);
            keys.sort();
            keys
        };
        assert_eq!(listed(ours), listed(theirs), "{name}");
        // Percentiles of histograms are estimates, and aiperf's estimator is another.
        for (stat, x) in theirs["stats"].as_object().unwrap().iter().filter(|(stat, _)| !stat.ends_with("_estimate")) {
            let (x, y) = (x.as_f64().unwrap(), ours["stats"][stat].as_f64().unwrap());
            assert!((x - y).abs() <= 1e-6 * x.abs(), "{name} {stat}: {y} is not {x}");
        }
    }
    for key in [
        "total_fetches",
        "first_fetch_ns",
        "last_fetch_ns",
        "unique_updates",
        "duration_seconds",
        "avg_update_interval_ms",
    ] {
        let of = |document: &Value| {
            document["summary"]["endpoint_info"].as_object().unwrap().values().next().unwrap()[key].clone()
        };
        assert_eq!(of(&ours), of(&golden), "{key}");
    }
    let written = std::fs::read_to_string(run_dir.join("server_metrics_export.jsonl")).unwrap();
    for (ours, theirs) in written.lines().zip(jsonl.lines()) {
        let (ours, theirs): (Value, Value) =
            (serde_json::from_str(ours).unwrap(), serde_json::from_str(theirs).unwrap());
        assert_eq!(ours, theirs);
        assert_eq!(keys(&ours), keys(&theirs));
    }
    assert_eq!(written.lines().count(), jsonl.lines().count());
    let heads = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().filter(|l| l.starts_with(['#', 'E']) || l.is_empty()).map(|l| l.trim_end().to_owned()).collect()
    };
    let csv = "server_metrics_export.csv";
    assert_eq!(heads(&run_dir.join(csv)), heads(&dir.join(csv)));
}
