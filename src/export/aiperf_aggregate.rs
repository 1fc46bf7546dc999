//! Repeats of a run → `profile_export_aiperf_aggregate.json` and `.csv`, in the layout of aiperf 0.13.0 (schema 1.0).
//!
//! One entry for each statistic of each metric, under `METRIC_STAT`. Of one run the ends of the interval are the value, and
//! there is no t.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::aiperf_words::AIPERF_VERSION;
use super::write_whole;
use crate::comparison::combinations::Parameters;
use crate::comparison::repeats::Spread;
use crate::error::{Error, Result};

/// The name of the JSON file.
pub const JSON_NAME: &str = "profile_export_aiperf_aggregate.json";
/// The name of the CSV file.
pub const CSV_NAME: &str = "profile_export_aiperf_aggregate.csv";

/// What the files say of the runs, beside their numbers.
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    /// Labels of the runs that ended.
    pub labels: &'a [String],
    /// Labels of those that did not, and why.
    pub failed: &'a [(String, String)],
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Pause between runs.
    pub cooldown_s: f64,
    /// Of a combination: its label, its parameters by aiperf's paths, the order of runs, the model.
    pub variation: Option<Variation<'a>>,
}

/// One combination of parameters.
#[derive(Clone, Debug)]
pub struct Variation<'a> {
    /// aiperf's label.
    pub label: &'a str,
    /// The parameters, by path.
    pub values: &'a Parameters,
    /// `repeated` or `independent`.
    pub mode: &'a str,
    /// The model.
    pub model: &'a str,
}

/// Writes both files into `dir`.
///
/// # Errors
/// [`Error::Io`] with the file that could not be written.
pub fn write(dir: &Path, runs: &Runs<'_>, spreads: &[Spread]) -> Result<[PathBuf; 2]> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let document = document(runs, spreads);
    let json = write_whole(dir, JSON_NAME, |out| {
        serde_json::to_writer_pretty(&mut *out, &document).map_err(|e| Error::io(JSON_NAME)(e.into()))?;
        out.write_all(b"\n").map_err(Error::io(JSON_NAME))
    })?;
    let text = csv(&document["metadata"], runs, spreads);
    let csv = write_whole(dir, CSV_NAME, |out| out.write_all(text.as_bytes()).map_err(Error::io(CSV_NAME)))?;
    Ok([json, csv])
}

fn document(runs: &Runs<'_>, spreads: &[Spread]) -> Json {
    let metrics: Map<String, Json> = spreads.iter().map(|s| (key(s), Json::Object(entry(s)))).collect();
    json!({
        "schema_version": "1.0",
        "aiperf_version": AIPERF_VERSION,
        "loadline_version": env!("CARGO_PKG_VERSION"),
        "metadata": metadata(runs),
        "metrics": metrics,
    })
}

fn metadata(runs: &Runs<'_>) -> Map<String, Json> {
    let failed: Vec<Json> = runs.failed.iter().map(|(label, error)| json!({"label": label, "error": error})).collect();
    let mut meta = Map::new();
    meta.insert("aggregation_type".into(), json!("confidence"));
    meta.insert("num_profile_runs".into(), json!(runs.labels.len() + runs.failed.len()));
    meta.insert("num_successful_runs".into(), json!(runs.labels.len()));
    meta.insert("failed_runs".into(), Json::Array(failed));
    meta.insert("confidence_level".into(), json!(runs.confidence));
    meta.insert("run_labels".into(), json!(runs.labels));
    if runs.labels.len() == 1 {
        meta.insert("single_run".into(), json!(true));
    }
    meta.insert("cooldown_seconds".into(), json!(runs.cooldown_s));
    if let Some(variation) = &runs.variation {
        meta.insert("variation_label".into(), json!(variation.label));
        meta.insert("variation_values".into(), Json::Object(parameters(variation.values)));
        meta.insert("sweep_mode".into(), json!(variation.mode));
        meta.insert("model".into(), json!(variation.model));
    }
    meta
}

/// Parameters as an object.
pub(super) fn parameters(of: &Parameters) -> Map<String, Json> {
    of.iter().map(|(name, value)| ((*name).to_owned(), value.to_json())).collect()
}

/// The name of a statistic.
pub(super) fn key(s: &Spread) -> String {
    format!("{}_{}", s.def.name, s.stat)
}

fn entry(s: &Spread) -> Map<String, Json> {
    let mut entry = Map::new();
    let numbers = [("mean", s.mean), ("std", s.std), ("min", s.min), ("max", s.max)].map(|(name, v)| (name, Some(v)));
    let rest = [
        ("cv", s.cv),
        ("se", Some(s.se)),
        ("ci_low", Some(s.ci_low)),
        ("ci_high", Some(s.ci_high)),
        ("t_critical", s.t_critical),
    ];
    numbers.into_iter().chain(rest).for_each(|(name, v)| {
        entry.insert(name.into(), json!(v));
    });
    entry.insert("unit".into(), json!(s.def.unit.label()));
    entry
}

fn csv(metadata: &Json, runs: &Runs<'_>, spreads: &[Spread]) -> String {
    let mut text = String::from("metric,mean,std,min,max,cv,se,ci_low,ci_high,t_critical,unit\r\n");
    for s in spreads {
        let cv = s.cv.map_or_else(|| "inf".into(), |cv| format!("{cv:.4}"));
        let t = s.t_critical.map(|t| format!("{t:.4}")).unwrap_or_default();
        let (key, unit) = (key(s), s.def.unit.label());
        let _ = write!(
            text,
            "{key},{:.2},{:.2},{:.2},{:.2},{cv},{:.4},{:.2},{:.2},{t},{unit}\r\n",
            s.mean, s.std, s.min, s.max, s.se, s.ci_low, s.ci_high
        );
    }
    text.push_str("\r\n");
    let labels = runs.labels.join(" ");
    let mut line = |name: &str, value: String| text.push_str(&format!("{name},{value}\r\n"));
    line("Aggregation Type", "confidence".into());
    line("Total Runs", metadata["num_profile_runs"].to_string());
    line("Successful Runs", metadata["num_successful_runs"].to_string());
    line("Confidence Level", runs.confidence.to_string());
    line("Run Labels", labels);
    line("Cooldown Seconds", format!("{:?}", runs.cooldown_s));
    if let Some(variation) = &runs.variation {
        line("Variation Label", format!("\"{}\"", variation.label));
        line("Sweep Mode", variation.mode.into());
        line("Model", format!("\"{}\"", variation.model.replace('"', "\"\"")));
    }
    text
}
