//! `loadline inspect` from end to end, and the fidelity that a run is told to have had.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use serde_json::{Value, json};
use support::{Scratch, run_expecting};

#[path = "support/plots.rs"]
mod plots;

fn trace() -> String {
    let row = |n: usize| {
        format!(
            "{{\"timestamp\": {}, \"input_length\": {}, \"output_length\": {}, \"hash_ids\": [0, {}], \"session_id\": \"s{}\"}}\n",
            n * 10,
            600 + n,
            4 + n % 7,
            n + 1,
            n % 10
        )
    };
    (0..40).map(row).collect()
}

fn json_of(scratch: &Scratch, line: &str) -> Value {
    serde_json::from_slice(&run_expecting(0, scratch, line).stdout).unwrap()
}

#[test]
fn a_run_of_a_trace_is_exact_and_says_so_again() {
    let scratch = Scratch::new("fidelity");
    scratch.file("t.jsonl", &trace());
    let run = run_expecting(0, &scratch, "profile --input-file t.jsonl --streaming --tp 8 --artifact-dir run");
    let again = run_expecting(0, &scratch, "report run --output-dir again");
    assert_eq!(run.stdout, again.stdout);
    let read = |dir: &str| std::fs::read_to_string(scratch.path(dir).join("fidelity.json")).unwrap();
    assert_eq!(read("run"), read("again"));
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.contains("Prompts   all 40 exact to the token by the server's count"), "{text}");
    assert!(text.contains("Sessions  10, 30 later turns, 0 sent before the previous one had ended"), "{text}");
    let fidelity: Value = serde_json::from_str(&read("run")).unwrap();
    let sent = |key: &str| fidelity["arrivals"][key].clone();
    assert_eq!((sent("planned"), sent("sent"), sent("moved")), (json!(40), json!(40), json!(0)));
    assert_eq!((&fidelity["input"]["n"], &fidelity["input"]["exact"]), (&json!(40), &json!(40)));
    let osl: usize = (0..40).map(|n| 4 + n % 7).sum();
    let expect = json!({"n": 40, "as_asked": 40, "shorter": 0, "longer": 0, "asked_tokens": osl, "given_tokens": osl, "mean_error_pct": 0.0});
    assert_eq!(fidelity["output"], expect);
    // Block 0 of 512 tokens, seen by all but the first; nothing else of a prompt is shared.
    assert_eq!(fidelity["prefixes"]["expected_tokens"], 39 * 512);
    assert_eq!(fidelity["prefixes"]["told"], 40);
    assert_eq!(fidelity["sessions"], json!({"sessions": 10, "turns": 30, "early": 0, "early_max_ms": null}));
    let page = std::fs::read_to_string(scratch.path("run/report.html")).unwrap();
    assert!(page.contains("Fidelity to the plan") && page.contains("Planned and sent requests over time"));
}

#[test]
fn a_trace_and_its_schedule_are_described_alike_and_a_recording_by_what_it_holds() {
    let scratch = Scratch::new("inspect");
    scratch.file("t.jsonl", &trace());
    let of_trace = json_of(&scratch, "inspect t.jsonl --format json");
    assert_eq!((&of_trace["requests"], &of_trace["sessions"]), (&json!(40), &json!(10)));
    assert_eq!(of_trace, json_of(&scratch, "inspect --input-file t.jsonl --request-count 40 --format json"));
    let rated = json_of(&scratch, "inspect t.jsonl --speed 2 --format json");
    assert_eq!(rated["duration_s"], 0.195, "transforms come first");
    let line = "--request-rate 50 --request-count 300 --isl 100 --osl 5 --random-seed 7";
    let drawn = json_of(&scratch, &format!("inspect {line} --format json --html s.html --plots p"));
    assert_eq!(
        (&drawn["requests"], &drawn["isl"]["p99"], &drawn["osl"]["mean"]),
        (&json!(300), &json!(100.0), &json!(5.0))
    );
    assert_eq!(drawn, json_of(&scratch, &format!("inspect {line} --format json")), "a seed is a schedule");
    let page = std::fs::read_to_string(scratch.path("s.html")).unwrap();
    plots::assert_plots(&scratch.path("p"), &page, "--html s.html --plots p");
    let lanes = json_of(&scratch, "inspect --concurrency 2 --request-count 7 --isl 100 --format json");
    assert_eq!(
        (&lanes["requests"], &lanes["duration_s"], &lanes["isl"]["mean"]),
        (&json!(7), &Value::Null, &json!(100.0))
    );
    run_expecting(
        0,
        &scratch,
        "profile --request-count 6 --warmup-request-count 2 --isl 20 --osl 3 --streaming --artifact-dir run",
    );
    let held = json_of(&scratch, "inspect run --format json");
    assert_eq!(
        (&held["request_rows"], &held["lost_request_rows"], &held["recovered"]),
        (&json!(8), &json!(0), &json!(false))
    );
    assert_eq!((&held["schema_version"], &held["state"]), (&json!(2), &json!("complete")));
    assert_eq!(held["phases"][0]["phase"], "warmup");
    assert_eq!(
        (&held["phases"][1]["phase"], &held["phases"][1]["outcomes"]),
        (&json!("profiling"), &json!({"completed": 6}))
    );
    assert!(held["files"].as_array().unwrap().iter().any(|f| f["name"] == "tokens.parquet"));
    // A run that was cut off before its first flush.
    for file in ["requests.parquet", "tokens.parquet"] {
        let path = scratch.path("run").join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    }
    run_expecting(2, &scratch, "inspect run");
}

#[test]
fn what_cannot_be_inspected_is_refused_with_a_remedy() {
    let scratch = Scratch::new("inspect-bad");
    std::fs::create_dir(scratch.path("empty")).unwrap();
    for (line, words) in [
        ("inspect", "give a trace's file"),
        ("inspect empty", "empty: holds no .json"),
        ("inspect missing.jsonl", "missing.jsonl"),
    ] {
        let output = run_expecting(2, &scratch, line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words) && output.stdout.is_empty(), "{line}: {said}");
    }
}
