//! Our numbers and files against those that aiperf 0.13.0 wrote of the same requests, and small files byte for byte.
//!
//! The golden runs lie outside the repository (`../shared/golden`, or `$LOADLINE_SHARED/golden`); their tests are
//! skipped, loudly, where they are absent.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test's helpers may do what its tests may")]

mod golden;

use std::collections::{BTreeMap, BTreeSet};

use golden::{CASES, Case, Memory, memory_manifest};
use loadline::export::{EXPORTERS, ExportLevel, write_all, write_rows};
use loadline::metrics::{METRICS, OverTime, PERCENTILES, Stats, Unit, Value, parse_goodput, summarise};
use loadline::outcome::{EventKind, Outcome, Phase};
use loadline::record::manifest::PhaseWindow;
use loadline::record::reader::Rows;
use loadline::record::row::{RequestRow, TokenRow};
use serde_json::Value as Json;

/// Metrics that aiperf does not have.
const OURS: [&str; 10] = [
    "scheduled_time_to_first_token",
    "scheduled_request_latency",
    "send_lag",
    "client_delay",
    "coalesced_event_ratio",
    "isl_mismatch_diff_pct",
    "scheduled_goodput",
    "scheduled_good_request_fraction",
    "cancelled_request_count",
    "not_sent_request_count",
];

/// Metrics whose parts aiperf takes from its HTTP client's events, of which a record holds no more than some.
const OF_OTHER_CLOCKS: [&str; 4] = ["http_req_sending", "http_req_receiving", "http_req_duration", "http_req_total"];

/// Metrics that aiperf computes from times of the wall clock, which it keeps in steps of 256 ns.
const OF_THE_WALL_CLOCK: [&str; 2] = ["credit_to_start_latency", "effective_latency"];

/// What aiperf's readers look for in every streamed run.
const CORE: [&str; 15] = [
    "request_throughput",
    "request_latency",
    "request_count",
    "time_to_first_token",
    "time_to_second_token",
    "inter_token_latency",
    "output_token_throughput",
    "output_token_throughput_per_user",
    "output_sequence_length",
    "input_sequence_length",
    "output_token_count",
    "inter_chunk_latency",
    "benchmark_duration",
    "total_isl",
    "total_osl",
];

fn export(rows: &dyn Rows, file_name: &str) -> String {
    let exporter = EXPORTERS.iter().find(|e| e.file_name == file_name).unwrap();
    let mut out = Vec::new();
    exporter.write(rows, &summarise(rows).unwrap(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn assert_close(got: f64, want: f64, tolerance: f64, what: &str) {
    let scale = want.abs().max(1e-3);
    assert!((got - want).abs() <= tolerance * scale, "{what}: {got} for aiperf's {want}");
}

fn compare_stats(got: &Stats, want: &Json, tolerance: f64, what: &str) {
    let single = [("avg", got.mean), ("min", got.min), ("max", got.max), ("std", got.std), ("sum", got.sum)];
    let percentiles = PERCENTILES.iter().zip(got.percentiles).map(|(p, v)| (format!("p{p}"), v));
    for (key, value) in single.into_iter().map(|(k, v)| (k.to_owned(), v)).chain(percentiles) {
        match want[&key].as_f64() {
            Some(want) => assert_close(value, want, tolerance, &format!("{what} {key}")),
            None => assert!(!value.is_finite(), "{what} {key} is {value}"),
        }
    }
    assert_eq!(got.n, want["count"].as_u64().unwrap(), "{what} count");
}

fn compare_course(got: &OverTime, want: &Json, what: &str) {
    let single = [("avg", got.mean), ("min", got.min), ("max", got.max), ("std", got.std)];
    let percentiles = OverTime::PERCENTILES.iter().zip(got.percentiles).map(|(p, v)| (format!("p{p}"), v));
    for (key, value) in single.into_iter().map(|(k, v)| (k.to_owned(), v)).chain(percentiles) {
        let what = format!("{what} {key}");
        match key.as_str() {
            // Pieces of its 256 ns steps lie between two requests, where one hands over to the other.
            "min" => assert!(value >= want[&key].as_f64().unwrap() * (1.0 - 1e-4), "{what}: {value}"),
            "max" => assert_close(value, want[&key].as_f64().unwrap(), 0.1, &what),
            "std" => assert_close(value, want[&key].as_f64().unwrap(), 1e-3, &what),
            _ => assert_close(value, want[&key].as_f64().unwrap(), 1e-4, &what),
        }
    }
}

#[test]
fn our_numbers_are_aiperfs() {
    for case in CASES {
        let Some(case) = Case::load(case) else { return };
        let summary = summarise(&case.rows).unwrap();
        let mut compared = 0;
        for (def, value) in &summary.values {
            let want = &case.summary[def.name];
            let what = format!("{} {}", case.name, def.name);
            match value {
                _ if OURS.contains(&def.name) || OF_OTHER_CLOCKS.contains(&def.name) => continue,
                // aiperf mixes failed requests in, which take no time in its books.
                _ if def.name == "effective_latency" && case.summary["error_request_count"].is_object() => continue,
                // Its starts and ends are those of the wall clock, in steps of 256 ns; its window is not in its files.
                Value::OverTime(got) => compare_course(got, want, &what),
                Value::Distribution(stats) => {
                    let tolerance = if OF_THE_WALL_CLOCK.contains(&def.name) { 1e-3 } else { 1e-6 };
                    compare_stats(stats, want, tolerance, &what);
                }
                // aiperf leaves a count of no errors out.
                Value::Scalar(0.0) if want.is_null() => continue,
                Value::Scalar(got) => assert_close(*got, want["avg"].as_f64().unwrap(), 1e-6, &what),
            }
            compared += 1;
        }
        for name in CORE {
            assert!(summary.get(name).is_some(), "{} has no {name}", case.name);
        }
        assert!(compared >= 24, "{}: only {compared} metrics were compared", case.name);
    }
}

#[test]
fn every_metric_that_aiperf_knows_has_its_unit_and_heading() {
    let mut units = BTreeMap::new();
    let mut headings = Vec::new();
    for case in CASES {
        let Some(case) = Case::load(case) else { return };
        for (key, value) in case.summary.as_object().unwrap() {
            units.insert(key.clone(), value["unit"].as_str().map(str::to_owned));
        }
        headings.extend(case.csv.lines().map(|line| line.split(',').next().unwrap().to_owned()));
    }
    for def in METRICS.iter().filter(|def| !OURS.contains(&def.name)) {
        assert_eq!(units.get(def.name), Some(&Some(def.unit.label().to_owned())), "{}", def.name);
        let title = if def.name == "good_request_fraction" { "GoodRequestFraction" } else { def.title };
        let heading = match def.unit {
            Unit::Requests | Unit::Count => title.to_owned(),
            unit => format!("{title} ({})", unit.label()),
        };
        assert!(headings.contains(&heading), "{heading}");
    }
}

#[test]
fn our_json_has_aiperfs_keys_in_aiperfs_order() {
    for case in CASES {
        let Some(case) = Case::load(case) else { return };
        let ours: Json = serde_json::from_str(&export(&case.rows, "profile_export_aiperf.json")).unwrap();
        let keys: Vec<&str> = ours.as_object().unwrap().keys().map(String::as_str).collect();
        let theirs: Vec<&str> = case.summary.as_object().unwrap().keys().map(String::as_str).collect();
        // Up to `end_time` the order is fixed; behind it, aiperf's own order varies from run to run.
        let head = |keys: &[&str]| -> Vec<String> {
            let end = keys.iter().position(|k| *k == "end_time").unwrap();
            keys[..=end].iter().filter(|k| theirs.contains(k)).map(|k| (*k).to_owned()).collect()
        };
        assert_eq!(head(&keys), head(&theirs), "{}", case.name);
        for (key, value) in ours.as_object().unwrap() {
            let (Some(unit), true) = (value.get("unit"), theirs.contains(&key.as_str())) else { continue };
            assert_eq!(Some(unit), case.summary[key].get("unit"), "{} {key}", case.name);
            {
                let keys = |v: &Json| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                assert_eq!(keys(value), keys(&case.summary[key]), "{} {key}", case.name);
            }
        }
        let fields = |v: &Json| v["input_config"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert!(fields(&ours).is_subset(&fields(&case.summary)), "aiperf's model takes no field that it does not know");
        for key in ["start_time", "end_time"] {
            assert_eq!(ours[key].as_str().unwrap().len(), case.summary[key].as_str().unwrap().len());
        }
    }
}

#[test]
fn our_csv_rows_are_aiperfs() {
    for case in CASES {
        let Some(case) = Case::load(case) else { return };
        let ours = export(&case.rows, "profile_export_aiperf.csv");
        assert_eq!(ours.lines().next(), case.csv.lines().next(), "{}", case.name);
        assert!(ours.contains("\r\n\r\nMetric,Value\r\n") && case.csv.contains("\r\n\r\nMetric,Value\r\n"));
        for heading in
            ["Request Latency (ms)", "Inter Chunk Latency (ms)", "Output Sequence Length (tokens)", "Request Count"]
        {
            let row = |text: &str| text.lines().find(|l| l.starts_with(heading)).map(str::to_owned);
            assert_eq!(row(&ours), row(&case.csv), "{}", case.name);
            assert!(row(&ours).is_some());
        }
    }
}

#[test]
fn our_records_are_aiperfs() {
    for case in CASES {
        let Some(case) = Case::load(case) else { return };
        let theirs: BTreeMap<&str, &Json> =
            case.records.iter().map(|r| (r["metadata"]["x_request_id"].as_str().unwrap(), r)).collect();
        let ours = export(&case.rows, "profile_export.jsonl");
        assert_eq!(ours.lines().count(), theirs.len(), "{}", case.name);
        let mut last_end = 0;
        for line in ours.lines() {
            let record: Json = serde_json::from_str(line).unwrap();
            let want = theirs[record["metadata"]["x_request_id"].as_str().unwrap()];
            let keys = |v: &Json| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&record["metadata"]), keys(&want["metadata"]), "{}", case.name);
            for key in ["request_start_ns", "request_end_ns", "credit_issued_ns", "benchmark_phase", "phase_index"] {
                assert_eq!(record["metadata"][key], want["metadata"][key], "{} {key}", case.name);
            }
            let end = record["metadata"]["request_end_ns"].as_i64().unwrap();
            assert!(end >= last_end, "{}: in the order of their ends", case.name);
            last_end = end;
            assert_eq!(record.get("error").is_some(), want.get("error").is_some());
            if let Some(error) = want.get("error").filter(|e| e["type"] != "X") {
                assert_eq!((&record["error"]["code"], &record["error"]["type"]), (&error["code"], &error["type"]));
            }
            compare_record(&record["metrics"], &want["metrics"], &case.name);
        }
    }
}

fn compare_record(ours: &Json, theirs: &Json, case: &str) {
    let compared = |tag: &str| !OURS.contains(&tag) && !OF_OTHER_CLOCKS.contains(&tag);
    for (tag, got) in ours.as_object().unwrap().iter().filter(|(tag, _)| compared(tag)) {
        let want = &theirs[tag];
        assert_eq!(got["unit"], want["unit"], "{case} {tag}");
        match (&got["value"], &want["value"]) {
            (Json::Array(got), Json::Array(want)) => {
                assert_eq!(got.len(), want.len(), "{case} {tag}");
                for (g, w) in got.iter().zip(want) {
                    assert_close(g.as_f64().unwrap(), w.as_f64().unwrap(), 1e-6, tag);
                }
            }
            (got, want) => {
                assert_eq!(got.is_u64(), want.is_u64(), "{case} {tag}: {got} for {want}");
                assert_close(got.as_f64().unwrap(), want.as_f64().unwrap(), 1e-6, tag);
            }
        }
    }
}

/// One good answer, one refusal, one that was given up, one warm-up request and one that was never sent.
fn small_run() -> Memory {
    let ms = |n: i64| Some(n * 1_000_000);
    let base = |id: u64, x: &str| RequestRow { x_request_id: x.into(), ..RequestRow::scheduled(id, 1_000_000) };
    let good = RequestRow {
        session_id: Some("s\"1".into()),
        sent_ns: ms(2),
        head_ns: ms(11),
        first_token_ns: ms(12),
        first_output_ns: ms(12),
        last_token_ns: ms(22),
        end_ns: ms(24),
        outcome: Outcome::Completed,
        http_status: Some(200),
        input_tokens: 8,
        output_tokens: Some(3),
        ..base(1, "x1")
    };
    let refused = RequestRow {
        outcome: Outcome::HttpError,
        http_status: Some(429),
        error: Some("busy\n".into()),
        sent_ns: ms(2),
        end_ns: ms(3),
        input_tokens: 8,
        ..base(2, "x2")
    };
    let cancelled = RequestRow { outcome: Outcome::Cancelled, sent_ns: ms(4), end_ns: ms(9), ..base(3, "x3") };
    let warm = RequestRow { phase: Phase::Warmup, scheduled_ns: -9_000_000, sent_ns: ms(-9), ..good.clone() };
    let event = |seq, t_ns| TokenRow {
        request_id: 1,
        seq,
        t_ns,
        kernel_ns: None,
        read: seq,
        kind: EventKind::Output,
        bytes: 1,
        tokens: None,
    };
    let mut manifest = memory_manifest();
    manifest.slo = parse_goodput("ttft:10").unwrap();
    manifest.config = serde_json::json!({
        "source": {"input_tokens_mean": 8.0, "input_tokens_stddev": 0.0},
        "load": {"request_rate": 40.0, "arrival_pattern": "poisson"},
        "warmup": {"request_count": 1, "load": {"request_rate": 40.0, "arrival_pattern": "poisson"}, "caps": {}},
    });
    manifest.command = ["loadline", "profile", "--goodput", "ttft:10 "].map(String::from).to_vec();
    manifest.warmup = Some(PhaseWindow { start_ns: -10_000_000, end_ns: 0 });
    manifest.profiling = Some(PhaseWindow { start_ns: 0, end_ns: 25_000_000 });
    let requests = vec![
        (
            RequestRow {
                request_id: 0,
                x_request_id: "x0".into(),
                end_ns: ms(-1),
                last_token_ns: ms(-2),
                first_token_ns: ms(-4),
                ..warm
            },
            vec![],
        ),
        (good, vec![event(0, 12_000_000), event(1, 22_000_000)]),
        (refused, vec![]),
        (cancelled, vec![]),
        (base(4, ""), vec![]),
    ];
    Memory { manifest, requests }
}

#[test]
fn the_files_of_a_small_run_byte_for_byte() {
    let rows = small_run();
    let csv = export(&rows, "profile_export_aiperf.csv");
    assert!(csv.contains("Time to First Token (ms),10.00,10.00,10.00,10.00,10.00,"), "{csv}");
    assert!(csv.contains("\r\nGoodput (requests/sec),40.00\r\n"), "{csv}");

    let json = export(&rows, "profile_export_aiperf.json");
    let doc: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(doc["schema_version"], "1.4");
    assert_eq!(doc["benchmark_id"], "0123456789ab");
    assert_eq!(doc["start_time"], "2026-11-24T02:21:17.000000");
    assert_eq!(doc["run_info"]["cli_command"], "loadline profile --goodput 'ttft:10 '");
    let phases = serde_json::json!([
        {"name": "warmup", "kind": "warmup", "type": "poisson", "rate": 40.0, "exclude_from_results": true, "requests": 1},
        {"name": "profiling", "kind": "profiling", "type": "poisson", "rate": 40.0, "requests": 4}
    ]);
    assert_eq!(doc["input_config"]["phases"], phases);
    assert_eq!(doc["input_config"]["datasets"][0]["prompts"]["isl"]["mean"], 8.0);
    assert_eq!(doc["loadline_config"], rows.manifest.config);
    let error =
        serde_json::json!([{"error_details": {"code": 429, "type": "HttpError", "message": "busy\n"}, "count": 1}]);
    assert_eq!(doc["error_summary"], error);
    assert_eq!(doc["send_lag"]["count"], 3);
    assert!(json.contains("\"goodput\": {\n    \"unit\": \"requests/sec\",\n    \"avg\": 40.0\n  }"), "{json}");
    assert!(!json.contains("null,\n    \"avg\"") && !json.contains("NaN"));
    assert_eq!(json, export(&rows, "profile_export_aiperf.json"), "the same bytes every time");

    let jsonl = export(&rows, "profile_export.jsonl");
    let lines: Vec<&str> = jsonl.lines().collect();
    assert_eq!(lines.len(), 4, "the one that was never sent has no record");
    let t0 = 1_795_486_877_000_000_000i64;
    let refused = format!(
        "{{\"metadata\":{{\"session_num\":2,\"x_request_id\":\"x2\",\"x_correlation_id\":\"x2\",\
         \"conversation_id\":\"session_000002\",\"turn_index\":0,\"credit_issued_ns\":{},\"request_start_ns\":{},\
         \"request_end_ns\":{},\"worker_id\":\"worker_0\",\"record_processor_id\":\"record_processor_0\",\
         \"benchmark_phase\":\"profiling\",\"phase_index\":1,\"profiling_index\":0,\"phase_name\":\"profiling\",\
         \"phase_kind\":\"profiling\",\"was_cancelled\":false,\"context_overflow_skip\":false,\"agent_depth\":0,\
         \"root_correlation_id\":\"x2\"}},\"metrics\":{{\"send_lag\":{{\"value\":1.0,\"unit\":\"ms\"}},\
         \"error_isl\":{{\"value\":8,\"unit\":\"tokens\"}}}},\
         \"error\":{{\"code\":429,\"type\":\"HttpError\",\"message\":\"busy\\n\"}}}}",
        t0 + 1_000_000,
        t0 + 2_000_000,
        t0 + 3_000_000
    );
    assert_eq!(lines[1], refused);
    let ids = |line: &&str| serde_json::from_str::<Json>(line).unwrap()["metadata"]["x_request_id"].clone();
    assert_eq!(lines.iter().map(ids).collect::<Vec<_>>(), ["x0", "x2", "x3", "x1"]);
    let cancelled: Json = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(cancelled["error"]["code"], 499);
    assert_eq!(cancelled["metadata"]["was_cancelled"], true);
    let good: Json = serde_json::from_str(lines[3]).unwrap();
    assert_eq!(good["metrics"]["inter_chunk_latency"]["value"], serde_json::json!([10.0]));
    assert_eq!(good["metadata"]["conversation_id"], "s\"1");
    assert!(serde_json::from_str::<Json>(lines[0]).unwrap()["metadata"].get("profiling_index").is_none());
}

#[test]
fn all_files_are_written_whole_beside_the_recording() {
    let dir = std::env::temp_dir().join(format!("loadline-export-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let rows = small_run();
    let write = |level| {
        write_rows(&dir, &rows, level).unwrap();
        write_all(&dir, &rows, &summarise(&rows).unwrap(), level).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let names = write(ExportLevel::Records);
    let text = std::fs::read_to_string(dir.join("profile_export.jsonl")).unwrap();
    let of_the_run = write(ExportLevel::Summary);
    std::fs::remove_dir_all(&dir).unwrap();
    let of_the_level = [
        ".aiperf_results_ready.json",
        "phase_manifest.json",
        "phases",
        "profile_export_aiperf.csv",
        "profile_export_aiperf.json",
    ];
    assert_eq!(of_the_run, of_the_level, "the file of records would be stale");
    assert_eq!(
        names.iter().filter(|n| !of_the_level.contains(&n.as_str())).collect::<Vec<_>>(),
        ["profile_export.jsonl"]
    );
    assert_eq!(text, export(&rows, "profile_export.jsonl"));
}

#[test]
fn a_run_with_a_warm_up_has_the_files_of_its_phases() {
    let rows = small_run();
    let list: Json = serde_json::from_str(&export(&rows, "phase_manifest.json")).unwrap();
    let counts = |n: usize| {
        let phase = &list["phases"][n];
        [
            "phase_name",
            "total_request_count",
            "successful_request_count",
            "error_request_count",
            "cancelled_request_count",
        ]
        .map(|key| phase[key].clone())
    };
    assert_eq!(serde_json::json!(counts(0)), serde_json::json!(["warmup", 1, 1, 0, 0]));
    assert_eq!(serde_json::json!(counts(1)), serde_json::json!(["profiling", 2, 1, 1, 1]));
    let read = |name: &str| serde_json::from_str::<Json>(&export(&rows, name)).unwrap();
    let (warm, whole) = (read("phases/warmup/profile_export_aiperf.json"), read("profile_export_aiperf.json"));
    assert_eq!(warm["time_to_first_token"]["avg"], 5.0, "−9 to −4 ms");
    assert_eq!(warm["time_to_first_token"], whole["warmup_metrics"]["time_to_first_token"]);
    assert!(warm.get("warmup_metrics").is_none() && warm["start_time"].as_str() < whole["start_time"].as_str());
    assert!(export(&rows, "phases/warmup/profile_export_aiperf.csv").contains("\r\nRequest Count,1.00\r\n"));
    assert_eq!(read("phases/profiling/profile_export_aiperf.json")["request_latency"], whole["request_latency"]);
    let ready = read(".aiperf_results_ready.json");
    assert_eq!(ready, serde_json::json!({"ready": true, "was_cancelled": false, "partial": false}));
    let mut alone = small_run();
    alone.manifest.warmup = None;
    let wanted: Vec<_> = EXPORTERS.iter().filter(|e| (e.is_wanted)(&alone.manifest)).map(|e| e.file_name).collect();
    assert!(!wanted.iter().any(|name| name.contains("phase")), "{wanted:?}");
}

#[test]
fn a_prefix_names_the_files_that_have_names_of_their_own() {
    let mut rows = small_run();
    rows.manifest.config["profile_export_prefix"] = "foo".into();
    let names: Vec<_> = EXPORTERS.iter().map(|e| e.name(&rows.manifest)).collect();
    for name in ["foo.json", "foo.csv", "foo.jsonl", "foo_timeslices.json", "phase_manifest.json"] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
}

#[test]
fn our_slices_are_aiperfs() {
    let Some(mut case) = Case::load("c06_rate_warmup_timeslice") else { return };
    case.rows.manifest.config = serde_json::json!({"slice_duration_s": 1.0});
    let ours: Json = serde_json::from_str(&export(&case.rows, "profile_export_aiperf_timeslices.json")).unwrap();
    let theirs: Json = serde_json::from_str(&case.timeslices).unwrap();
    let slices = |v: &Json| v["timeslices"].as_array().unwrap().clone();
    assert_eq!(slices(&ours).len(), slices(&theirs).len());
    let mut compared = 0;
    for (got, want) in slices(&ours).iter().zip(&slices(&theirs)) {
        assert_eq!(got.get("is_complete"), want.get("is_complete"));
        for key in ["start_ns", "end_ns"] {
            let apart = got[key].as_i64().unwrap().abs_diff(want[key].as_i64().unwrap());
            assert!(apart <= 256, "{key} is {apart} ns from aiperf's, whose clock has steps of 256");
        }
        for (tag, metric) in got.as_object().unwrap().iter().filter(|(tag, v)| v.is_object() && want.get(tag).is_some())
        {
            if OF_OTHER_CLOCKS.contains(&tag.as_str()) {
                continue;
            }
            assert_close(metric["avg"].as_f64().unwrap(), want[tag]["avg"].as_f64().unwrap(), 1e-4, tag);
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} numbers were compared");
    let csv = export(&case.rows, "profile_export_aiperf_timeslices.csv");
    for line in case.timeslices_csv.lines().filter(|l| l.contains(",Inter Chunk Latency,ms,")) {
        let ours = csv.lines().find(|l| {
            l.split_once(",Inter").is_some_and(|(head, _)| line.starts_with(&head[..2]))
                && l.ends_with(line.split_once(",Inter").unwrap().1)
        });
        assert!(ours.is_some(), "{line}");
    }
}

#[test]
fn too_many_slices_are_refused() {
    let error = loadline::metrics::slices::sliced(&small_run(), 1).unwrap_err().to_string();
    assert!(error.contains("--slice-duration") && error.contains("10000"), "{error}");
    let slices = loadline::metrics::slices::sliced(&small_run(), 2_000_000).unwrap();
    assert_eq!(slices.iter().map(|s| s.summary.outcomes.total()).collect::<Vec<_>>(), [2, 1]);
}
