//! A recording → the result file of `vllm bench serve --save-result`, for scripts that read it.
//!
//! In: the summary, the manifest, and for `--save-detailed` the rows. Out: one JSON object, its keys in vLLM's order.
//! Invariants: every number is finite or null; memory is bounded, as each list is a pass over the rows.
//! What differs from vLLM's: TPOT and ITL come from [`crate::metrics`] (a role chunk is no token; gaps next to lost events are left out),
//! a metric without values is null and not 0, the date is UTC, and answers' texts are not kept. `request_ids` is ours.

use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike, Timelike};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result};
use crate::metrics::{PERCENTILES, Request, Summary, Value};
use crate::outcome::{OutcomeClass, Phase};
use crate::record::manifest::Manifest;
use crate::record::reader::Rows;

/// The file's name in a run directory.
pub const FILE_NAME: &str = "vllm_result.json";

/// vLLM's names of latencies, and ours.
pub const LATENCIES: [(&str, &str); 4] = [
    ("ttft", "time_to_first_token"),
    ("tpot", "inter_token_latency"),
    ("itl", "inter_chunk_latency"),
    ("e2el", "request_latency"),
];

/// What the user asked of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Directory of the copy that is named as vLLM names it.
    pub dir: PathBuf,
    /// Name of that copy; by default vLLM's.
    pub file_name: Option<PathBuf>,
    /// Whether it has an entry for each request.
    pub detailed: bool,
    /// The beginning of its name.
    pub label: Option<String>,
    /// More keys with their values.
    pub metadata: Vec<(String, String)>,
    /// Latencies, in vLLM's names.
    pub latencies: Vec<String>,
    /// Percentiles of them, of those that are computed.
    pub percentiles: Vec<f64>,
}

impl Asked {
    /// What a run was asked for, if it was asked for the file.
    pub fn of(manifest: &Manifest) -> Option<Asked> {
        serde_json::from_value(manifest.config["vllm_result"].clone()).ok()
    }

    /// Where the copy goes.
    pub fn path(&self, manifest: &Manifest) -> PathBuf {
        let name = self.file_name.clone().unwrap_or_else(|| {
            let label = self.label.as_deref().unwrap_or(backend(manifest));
            let rate = match &load(manifest).0 {
                Json::String(endless) => endless.clone(),
                rate => rate.as_f64().map_or_else(|| "inf".into(), |rate| format!("{rate:?}")),
            };
            let cap = load(manifest).1.as_u64().map_or_else(String::new, |n| format!("-concurrency{n}"));
            let model = manifest.model.rsplit('/').next().unwrap_or_default();
            format!("{label}-{rate}qps{cap}-{model}-{}.json", date(manifest)).into()
        });
        self.dir.join(name)
    }
}

/// Writes the file into `dir` where the run was asked for it, whole or not at all, and gives its path.
///
/// # Errors
/// As the source's; and [`Error::Io`] under the file's name.
pub fn write(dir: &Path, rows: &dyn Rows, summary: &Summary) -> Result<Option<PathBuf>> {
    let Some(asked) = Asked::of(rows.manifest()) else {
        super::remove_stale(&dir.join(FILE_NAME))?;
        return Ok(None);
    };
    super::write_whole(dir, FILE_NAME, |out| write_to(out, rows, summary, &asked)).map(Some)
}

fn write_to(out: &mut dyn Write, rows: &dyn Rows, summary: &Summary, asked: &Asked) -> Result<()> {
    let io = Error::io(FILE_NAME);
    let document =
        serde_json::to_string_pretty(&document(rows.manifest(), summary, asked)).map_err(|e| io(e.into()))?;
    let io = Error::io(FILE_NAME);
    if !asked.detailed {
        return writeln!(out, "{document}").map_err(io);
    }
    // The lists go before the closing brace.
    write!(out, "{}", document.trim_end_matches(['}', '\n'])).map_err(io)?;
    for (key, entry) in LISTS {
        write_list(out, rows, key, *entry)?;
    }
    writeln!(out, "\n}}").map_err(Error::io(FILE_NAME))
}

/// Writes one list, in the recording's order.
fn write_list(out: &mut dyn Write, rows: &dyn Rows, key: &str, entry: Entry) -> Result<()> {
    write!(out, ",\n  \"{key}\": [").map_err(Error::io(FILE_NAME))?;
    let manifest = rows.manifest();
    let (mut between, mut failure) = ("", None);
    rows.for_each_request(&mut |row, tokens| {
        if row.phase == Phase::Profiling && failure.is_none() {
            failure = write!(out, "{between}{}", entry(&Request::of(manifest, row, tokens))).err();
            between = ", ";
        }
    })?;
    match failure {
        Some(error) => Err(error),
        None => write!(out, "]"),
    }
    .map_err(Error::io(FILE_NAME))
}

/// What a list has of one request.
type Entry = fn(&Request<'_>) -> Json;

/// The lists of `--save-detailed`; times in seconds, 0 where vLLM has 0.
const LISTS: &[(&str, Entry)] = &[
    ("request_ids", |r| json!(r.row.x_request_id)),
    ("input_lens", |r| json!(r.input_tokens().unwrap_or(0))),
    ("output_lens", |r| json!(r.row.output_tokens.unwrap_or(0))),
    ("ttfts", |r| json!(r.since_sent_ms(r.first_token_ns()).unwrap_or(0.0) / 1e3)),
    ("itls", |r| r.content_gaps_ns().map(|gap_ns| json!(gap_ns as f64 / 1e9)).collect()),
    ("start_times", |r| json!(r.row.sent_ns.unwrap_or(r.row.scheduled_ns) as f64 / 1e9)),
    ("errors", |r| match r.row.outcome.class() {
        OutcomeClass::Completed => json!(""),
        _ => json!(r.row.error.clone().unwrap_or_else(|| r.row.outcome.as_str().into())),
    }),
];

fn document(manifest: &Manifest, summary: &Summary, asked: &Asked) -> Map<String, Json> {
    let mut doc = Map::new();
    let scalar = |name: &str| match summary.get(name) {
        Some(Value::Scalar(number)) => json!(number),
        _ => Json::Null,
    };
    let whole = |name: &str| scalar(name).as_f64().map_or(json!(0), |number| json!(number as u64));
    let (rate, cap) = load(manifest);
    let completed = summary.outcomes.of_class(OutcomeClass::Completed);
    let shape = &manifest.config["load"]["arrival_smoothness"];
    let mut put = |key: &str, value: Json| doc.insert(key.into(), value);
    put("date", date(manifest).into());
    put("endpoint_type", backend(manifest).into());
    put("backend", backend(manifest).into());
    put("label", json!(asked.label));
    put("model_id", json!(manifest.model));
    put("tokenizer_id", manifest.config["prompt"]["tokenizer"].clone());
    put("num_prompts", summary.outcomes.total().into());
    for (key, value) in &asked.metadata {
        put(key, json!(value));
    }
    put("request_rate", rate);
    put("burstiness", shape.as_f64().unwrap_or(1.0).into());
    put("max_concurrency", cap);
    put("duration", json!(summary.window_s));
    put("completed", completed.into());
    put("failed", (summary.outcomes.total() - completed).into());
    put("total_input_tokens", whole("total_isl"));
    put("total_output_tokens", whole("total_osl"));
    put("request_throughput", scalar("request_throughput"));
    put("request_goodput", scalar("goodput"));
    put("output_throughput", scalar("output_token_throughput"));
    put("total_token_throughput", scalar("total_token_throughput"));
    for (theirs, ours) in LATENCIES.iter().filter(|(theirs, _)| asked.latencies.iter().any(|l| l == theirs)) {
        let stats = match summary.get(ours) {
            Some(Value::Distribution(stats)) => Some(stats),
            _ => None,
        };
        let at = |percentile: f64| {
            let index = PERCENTILES.iter().position(|p| (p - percentile).abs() < 1e-9)?;
            stats.map(|s| s.percentiles[index])
        };
        put(&format!("mean_{theirs}_ms"), json!(stats.map(|s| s.mean)));
        put(&format!("median_{theirs}_ms"), json!(at(50.0)));
        put(&format!("std_{theirs}_ms"), json!(stats.map(|s| s.std)));
        for percentile in &asked.percentiles {
            put(&format!("p{percentile}_{theirs}_ms"), json!(at(*percentile)));
        }
    }
    doc
}

/// vLLM's word for the API.
fn backend(manifest: &Manifest) -> &'static str {
    if manifest.endpoint_type == "chat" { "openai-chat" } else { "openai" }
}

/// The rate, `"inf"` where no clock sends, and the cap on requests in flight; lanes that hold all requests are none.
fn load(manifest: &Manifest) -> (Json, Json) {
    let load = &manifest.config["load"];
    match (&load["request_rate"], &load["concurrency"]) {
        (Json::Null, lanes) => {
            let all = lanes.as_u64() == manifest.config["request_count"].as_u64();
            (json!("inf"), if all { Json::Null } else { lanes.clone() })
        }
        (rate, _) => (rate.clone(), manifest.config["in_flight_max"].clone()),
    }
}

/// When the run began, as vLLM writes it, in UTC.
fn date(manifest: &Manifest) -> String {
    let time = DateTime::from_timestamp_nanos(manifest.anchor.t0_unix_ns);
    let (day, clock) = (time.date_naive(), time.time());
    format!(
        "{:04}{:02}{:02}-{:02}{:02}{:02}",
        day.year(),
        day.month(),
        day.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}
