//! Inspections worked out by hand, their keys, and the published figures of real traces.

use super::*;
use crate::published::shared;
use crate::trace::{self, ReadOptions};

fn parsed(rows: &str) -> Trace {
    trace::parse(&mut rows.as_bytes(), "t", &ReadOptions::default()).unwrap()
}

/// Six requests over 130 s: 3 in the first second, 1 in the second, 2 in the last minute.
const ROWS: &str = r#"{"timestamp": 0, "input_length": 600, "output_length": 10, "hash_ids": [0, 1]}
{"timestamp": 400, "input_length": 700, "output_length": 20, "hash_ids": [0, 2]}
{"timestamp": 999, "input_length": 1024, "output_length": 30, "hash_ids": [0, 1], "session_id": "a"}
{"timestamp": 1000, "input_length": 100, "session_id": "a"}
{"timestamp": 121000, "input_length": 1100, "output_length": 50, "hash_ids": [0, 1, 3]}
{"timestamp": 130000, "input_length": 300, "output_length": 90, "hash_ids": [4], "session_id": "b"}
"#;

#[test]
fn a_trace_worked_out_by_hand() {
    let json = Inspection::of_trace(&parsed(ROWS)).to_json();
    let close = |key: &str, expect: f64| {
        let found = json[key].as_f64().unwrap();
        assert!((found - expect).abs() < 1e-9, "{key}: {found} for {expect}");
    };
    close("requests", 6.0);
    close("duration_s", 130.0);
    close("mean_rps", 6.0 / 130.0);
    close("peak_1s", 3.0);
    close("peak_60s_rps", 4.0 / 60.0);
    // 130 whole seconds: 3, 1, and 1 at 121 s; the request at 130 s lies behind them. Mean 5/130, squares 11.
    let mean: f64 = 5.0 / 130.0;
    close("idc_1s", (11.0 - 130.0 * mean * mean) / 129.0 / mean);
    close("total_blocks", 10.0);
    close("unique_blocks", 5.0);
    // Leading blocks seen before: none, [0], [0 1], -, [0 1], none: 512 + 1024 + 1024 tokens of 3824.
    close("hit_rate_tokens", 2560.0 / 3824.0);
    close("hit_rate_requests", (0.5 + 1.0 + 2.0 / 3.0) / 6.0);
    close("sessions", 2.0);
    assert_eq!(json["isl"], json!({"mean": 3824.0 / 6.0, "p50": 650.0, "p90": 1062.0, "p99": 1096.2, "max": 1100.0}));
    assert_eq!(json["osl"]["p50"], 30.0, "one has none: {json}");
    assert_eq!(json["bucketing"], json!({"detected": false, "period_ms": null}));
    assert_eq!(json["lru"].as_array().unwrap().len(), 4);
    assert_eq!(json["lru"][0], json!({"blocks": 1000, "hit_rate_tokens": 2560.0 / 3824.0}));
}

#[test]
fn the_keys_are_these_whatever_is_known() {
    let keys = |json: &Json| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let all = Inspection::of_trace(&parsed(ROWS)).to_json();
    let little = Inspection::of_trace(&parsed("{\"input_length\": 5}\n")).to_json();
    let mut expect = [
        "requests",
        "duration_s",
        "mean_rps",
        "peak_1s",
        "peak_60s_rps",
        "idc_1s",
        "isl",
        "osl",
        "total_blocks",
        "unique_blocks",
        "hit_rate_tokens",
        "hit_rate_requests",
        "lru",
        "sessions",
        "bucketing",
    ];
    let mut found = keys(&all);
    expect.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expect);
    assert_eq!(keys(&little), keys(&all));
    for null in ["duration_s", "mean_rps", "peak_1s", "idc_1s", "osl", "hit_rate_tokens"] {
        assert!(little[null].is_null(), "{null}: {little}");
    }
    assert_eq!((&little["total_blocks"], &little["lru"]), (&json!(0), &json!([])));
}

#[test]
fn rounded_times_are_told_with_their_period() {
    let rows: String =
        (0..400).map(|i| format!("{{\"timestamp\": {}, \"input_length\": 5}}\n", i / 4 * 3000)).collect();
    let json = Inspection::of_trace(&parsed(&rows)).to_json();
    assert_eq!(json["bucketing"], json!({"detected": true, "period_ms": 3000.0}));
}

#[test]
fn published_traces_have_their_published_figures() {
    // duration, mean rate, peak 1 s, peak 60 s, IDC 1 s, hits by token and by request, LRU hits, bucket period.
    let conversation = (
        [3536.999, 3.4015, 28.0, 4.117, 7.9, 0.3736, 0.3843],
        [0.0454, 0.114, 0.2935, 0.3708],
        [12_035.1, 6909.0, 27_367.0, 85_400.4, 126_195.0],
        Some(3000.0),
    );
    let synthetic = (
        [1022.025, 3.9069, 13.0, 4.55, 1.09, 0.6512, 0.4232],
        [0.0857, 0.2845, 0.5822, 0.6512],
        [15_325.5, 11_587.0, 38_611.2, 66_456.2, 191_378.0],
        None,
    );
    for (name, (figures, lru, isl, period_ms)) in [("conversation", conversation), ("synthetic", synthetic)] {
        let Some(path) = shared(&format!("traces/mooncake-fast25/{name}_trace.jsonl")) else { continue };
        let trace = trace::read(&path, &ReadOptions::default()).unwrap();
        let json = Inspection::of_trace(&trace).to_json();
        let close = |found: &Json, expect: f64, within: f64| {
            let found = found.as_f64().unwrap();
            assert!((found - expect).abs() <= within, "{name}: {found} for {expect}");
        };
        let keys =
            ["duration_s", "mean_rps", "peak_1s", "peak_60s_rps", "idc_1s", "hit_rate_tokens", "hit_rate_requests"];
        for (key, (expect, within)) in
            keys.iter().zip(figures.into_iter().zip([5e-4, 5e-5, 0., 5e-4, 5e-3, 6e-5, 6e-5]))
        {
            close(&json[key], expect, within);
        }
        for (i, expect) in lru.into_iter().enumerate() {
            close(&json["lru"][i]["hit_rate_tokens"], expect, 6e-5);
        }
        for (key, expect) in ["mean", "p50", "p90", "p99", "max"].iter().zip(isl) {
            close(&json["isl"][key], expect, 0.05);
        }
        assert_eq!(json["bucketing"]["period_ms"].as_f64(), period_ms, "{name}");
    }
}
