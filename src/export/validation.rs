//! A validation → `validation.json`: the keys of the original's file, and more about each level.
//!
//! What is missing is null, never 0. Errors are in per cent and signed, `(predicted − actual) / actual`; `*_error_pct` of a level are
//! those of its medians.

use serde_json::{Value, json};

use super::asked::Asked;
use crate::comparison::levels::Load;
use crate::comparison::repeats::Interval;
use crate::comparison::steady_state::Measured;
use crate::comparison::validation::{Compared, LevelResult, Predicted};

/// Version of what this program adds to the file.
pub const SCHEMA_VERSION: u32 = 1;
/// Its name.
pub const FILE_NAME: &str = "validation.json";

/// All that the file tells of.
#[derive(Clone, Copy, Debug)]
pub struct Validation<'a> {
    /// When it began, in the form of the original's.
    pub timestamp: &'a str,
    /// What was asked of which deployment.
    pub asked: Asked<'a>,
    /// What was predicted.
    pub predicted: Predicted,
    /// What the levels are shares of.
    pub batch_max: u32,
    /// Whether they are arrivals.
    pub is_open: bool,
    /// In an open loop, the requests per second that they are shares of, and whether that was measured.
    pub capacity: Option<(f64, bool)>,
    /// Runs of each level.
    pub repeats: u32,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// What is to be said of the levels.
    pub notes: &'a [String],
    /// The levels that were run.
    pub levels: &'a [LevelResult],
}

/// The file's content.
pub fn json(v: &Validation<'_>) -> Value {
    v.asked.with(json!({
        "timestamp": v.timestamp,
        "predicted_ttft": v.predicted.ttft_ms,
        "predicted_itl": v.predicted.itl_ms,
        "max_batch_size": v.batch_max,
        "load_level_results": v.levels.iter().map(level).collect::<Vec<_>>(),
        "schema_version": SCHEMA_VERSION,
        "loadline_version": env!("CARGO_PKG_VERSION"),
        "error_definition": "(predicted - actual) / actual",
        "open_loop": v.is_open,
        "capacity_rps": v.capacity.map(|(rps, _)| rps),
        "capacity_is_measured": v.capacity.map(|(_, is_measured)| is_measured),
        "repeats": v.repeats,
        "confidence_level": v.confidence,
        "notes": v.notes,
    }))
}

fn level(r: &LevelResult) -> Value {
    let (concurrency, rate) = match r.level.load {
        Load::Clients(clients) => (Some(clients), None),
        Load::Rate(rps) => (None, Some(rps)),
    };
    let mean = |interval: Option<Interval>| interval.map(|i| i.mean);
    let at =
        |compared: &[Compared; 4], stat: &str| compared.iter().find(|c| c.stat == stat).and_then(|c| mean(c.actual));
    let error = |compared: &[Compared; 4]| {
        compared.iter().find(|c| c.stat == "p50").and_then(|c| c.error).map(|e| e.signed_pct())
    };
    json!({
        "load_level": r.level.name,
        "concurrency": concurrency,
        "concurrency_pct": r.level.percent,
        "ttft_p50": at(&r.ttft, "p50"),
        "ttft_p99": at(&r.ttft, "p99"),
        "itl_p50": at(&r.itl, "p50"),
        "itl_p99": at(&r.itl, "p99"),
        "goodput_rps": mean(r.goodput_rps),
        "sla_hit_rate": mean(r.attainment),
        "ttft_error_pct": error(&r.ttft),
        "itl_error_pct": error(&r.itl),
        "request_rate_rps": rate,
        "ramp_s": r.ramp_s,
        "request_throughput_rps": interval(r.request_rps),
        "goodput_rps_interval": interval(r.goodput_rps),
        "sla_hit_rate_interval": interval(r.attainment),
        "ttft": latency(&r.ttft),
        "itl": latency(&r.itl),
        "runs": r.runs.iter().map(run).collect::<Vec<_>>(),
        "verdict": {"judgement": r.verdict.judgement, "reasons": r.verdict.reasons},
    })
}

fn interval(interval: Option<Interval>) -> Value {
    interval.map_or(
        Value::Null,
        |i| json!({"mean": i.mean, "low": i.ends.map(|e| e.0), "high": i.ends.map(|e| e.1), "runs": i.n}),
    )
}

fn latency(compared: &[Compared; 4]) -> Value {
    let of = |c: &Compared| {
        let value = json!({
            "actual": interval(c.actual),
            "predicted": c.error.map(|e| e.predicted),
            "signed_error_pct": c.error.map(|e| e.signed_pct()),
            "absolute_error_pct": c.error.map(|e| e.absolute_pct()),
        });
        (c.stat.to_owned(), value)
    };
    Value::Object(compared.iter().map(of).collect())
}

fn run(m: &Measured) -> Value {
    json!({
        "steady_state_requests": m.steady_requests,
        "numbers_are_of": if m.is_steady { "steady_state" } else { "whole_run" },
        "requests": m.requests,
        "window_s": m.window_s,
    })
}
