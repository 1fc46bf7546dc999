//! Combinations of parameters → `profile_export_aiperf_sweep.json` and `.csv`, in the layout of aiperf 0.13.0.
//!
//! With one run of each combination a metric is an object of its statistics, with more each statistic has its own entry
//! under `METRIC_STAT`, as aiperf does. Unlike aiperf 0.13.0, whose search looks for the latter alone, the best configurations
//! and the Pareto-optimal ones are given in either case.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::aiperf_aggregate::{key, parameters};
use super::aiperf_json::metrics;
use super::write_whole;
use crate::comparison::combinations::{Best, Combination, Findings, Setting};
use crate::comparison::repeats::Spread;
use crate::error::{Error, Result};

/// The name of the JSON file.
pub const JSON_NAME: &str = "profile_export_aiperf_sweep.json";
/// The name of the CSV file.
pub const CSV_NAME: &str = "profile_export_aiperf_sweep.csv";

/// How the combinations were run.
#[derive(Clone, Copy, Debug)]
pub struct Sweep<'a> {
    /// The combinations.
    pub all: &'a [Combination],
    /// What they say.
    pub findings: &'a Findings,
    /// Runs of each that were asked for.
    pub repeats: u32,
    /// Runs that failed, by label, and why.
    pub failed: &'a [(String, String)],
    /// Confidence of the intervals.
    pub confidence: f64,
    /// `repeated` or `independent`.
    pub mode: &'a str,
}

/// Writes both files into `dir`.
///
/// # Errors
/// [`Error::Io`] with the file that could not be written.
pub fn write(dir: &Path, sweep: &Sweep<'_>) -> Result<[PathBuf; 2]> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let document = document(sweep);
    let json = write_whole(dir, JSON_NAME, |out| {
        serde_json::to_writer_pretty(&mut *out, &document).map_err(|e| Error::io(JSON_NAME)(e.into()))?;
        out.write_all(b"\n").map_err(Error::io(JSON_NAME))
    })?;
    let text = csv(sweep, &document);
    let csv = write_whole(dir, CSV_NAME, |out| out.write_all(text.as_bytes()).map_err(Error::io(CSV_NAME)))?;
    Ok([json, csv])
}

fn document(sweep: &Sweep<'_>) -> Json {
    let ended: usize = sweep.all.iter().map(|c| c.runs.len()).sum();
    let failed: Vec<Json> = sweep.failed.iter().map(|(label, error)| json!({"label": label, "error": error})).collect();
    let cells: Vec<Json> = sweep
        .all
        .iter()
        .map(|c| json!({"parameters": parameters(&c.parameters), "metrics": metrics_of(c, sweep.repeats)}))
        .collect();
    let mut best = Map::new();
    for (name, found) in
        [("best_throughput", sweep.findings.best_throughput), ("best_latency_p99", sweep.findings.best_latency_p99)]
    {
        if let Some(Best { index, def, value }) = found {
            let parameters = parameters(&sweep.all[index].parameters);
            best.insert(
                name.into(),
                json!({"parameters": parameters, "metric": value, "unit": def.unit.label(), "metric_name": def.name}),
            );
        }
    }
    let optimal: Vec<Json> =
        sweep.findings.pareto_optimal.iter().map(|i| Json::Object(parameters(&sweep.all[*i].parameters))).collect();
    json!({
        "aggregation_type": "sweep",
        "num_profile_runs": ended + sweep.failed.len(),
        "num_successful_runs": ended,
        "failed_runs": failed,
        "metadata": {
            "sweep_parameters": sweep_parameters(sweep.all),
            "num_combinations": sweep.all.len(),
            "sweep_mode": sweep.mode,
            "confidence_level": sweep.confidence,
            "num_trials_per_value": sweep.repeats,
            "aggregation_type": "sweep",
        },
        "per_combination_metrics": cells,
        "best_configurations": best,
        "pareto_optimal": optimal,
    })
}

/// Each parameter, with its values in the order in which they first come.
fn sweep_parameters(all: &[Combination]) -> Vec<Json> {
    let Some(first) = all.first() else { return Vec::new() };
    let values = |at: usize| {
        let mut values: Vec<Setting> = Vec::new();
        for combination in all {
            let value = combination.parameters[at].1;
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values.iter().map(|v| v.to_json()).collect::<Vec<_>>()
    };
    let named = |(at, (name, _)): (usize, &(&str, Setting))| json!({"name": name, "values": values(at)});
    first.parameters.iter().enumerate().map(named).collect()
}

fn metrics_of(combination: &Combination, repeats: u32) -> Map<String, Json> {
    if repeats > 1 {
        return combination.spreads.iter().map(|s| (key(s), Json::Object(stats(s)))).collect();
    }
    let Some(summary) = combination.runs.first() else { return Map::new() };
    let mut all = metrics(summary, |_| true);
    for value in all.values_mut() {
        let Json::Object(metric) = value else { continue };
        let avg = metric.get("avg").cloned().unwrap_or(json!(0.0));
        let or_avg = |key: &str| metric.get(key).cloned().unwrap_or_else(|| avg.clone());
        let mut stats = Map::new();
        let pairs = [
            ("mean", avg.clone()),
            ("avg", avg.clone()),
            ("std", json!(0.0)),
            ("min", or_avg("min")),
            ("max", or_avg("max")),
            ("cv", json!(0.0)),
            ("ci_low", avg.clone()),
            ("ci_high", avg.clone()),
        ];
        stats.extend(pairs.map(|(key, v)| (key.to_owned(), v)));
        stats.extend(metric.iter().filter(|(key, _)| *key == "unit").map(|(key, v)| (key.clone(), v.clone())));
        let rest = metric.iter().filter(|(key, _)| key.starts_with('p') || *key == "count" || *key == "sum");
        stats.extend(rest.map(|(key, v)| (key.clone(), v.clone())));
        *metric = stats;
    }
    all
}

fn stats(s: &Spread) -> Map<String, Json> {
    let numbers = [
        ("mean", Some(s.mean)),
        ("std", Some(s.std)),
        ("min", Some(s.min)),
        ("max", Some(s.max)),
        ("cv", s.cv),
        ("ci_low", Some(s.ci_low)),
        ("ci_high", Some(s.ci_high)),
    ];
    let mut entry: Map<String, Json> = numbers.into_iter().map(|(key, v)| (key.to_owned(), json!(v))).collect();
    entry.insert("unit".into(), json!(s.def.unit.label()));
    entry
}

fn csv(sweep: &Sweep<'_>, document: &Json) -> String {
    let empty = Vec::new();
    let cells = document["per_combination_metrics"].as_array().unwrap_or(&empty);
    let mut names: Vec<&String> =
        cells.iter().filter_map(|c| c["metrics"].as_object()).flat_map(|m| m.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let swept: Vec<&str> = sweep.all.first().map_or(&[][..], |c| &c.parameters).iter().map(|(name, _)| *name).collect();
    let mut text = swept.join(",");
    for name in &names {
        let _ = write!(text, ",{name}_mean,{name}_std,{name}_min,{name}_max,{name}_cv");
    }
    text.push_str("\r\n");
    for (combination, cell) in sweep.all.iter().zip(cells) {
        text.push_str(&settings(combination));
        for name in &names {
            for stat in ["mean", "std", "min", "max"] {
                text.push(',');
                text.push_str(&cell["metrics"][*name][stat].as_f64().map(|v| format!("{v:.2}")).unwrap_or_default());
            }
            text.push(',');
            text.push_str(&cell["metrics"][*name]["cv"].as_f64().map(|v| format!("{v:.4}")).unwrap_or_default());
        }
        text.push_str("\r\n");
    }
    text.push_str("\r\nBest Configurations\r\n");
    let found =
        [("Best Throughput", sweep.findings.best_throughput), ("Best Latency P99", sweep.findings.best_latency_p99)];
    if found.iter().any(|(_, best)| best.is_some()) {
        let _ = write!(text, "Configuration,{},Metric,Unit\r\n", swept.join(","));
    }
    for (name, best) in found {
        if let Some(Best { index, def, value }) = best {
            let settings = settings(&sweep.all[index]);
            let _ = write!(text, "{name},{settings},{value:.2},{}\r\n", def.unit.label());
        }
    }
    text.push_str("\r\nPareto Optimal Points\r\n");
    match sweep.findings.pareto_optimal.as_slice() {
        [] => text.push_str("None\r\n"),
        optimal => {
            text.push_str(&format!("{}\r\n", swept.join(",")));
            optimal.iter().for_each(|i| text.push_str(&format!("{}\r\n", settings(&sweep.all[*i]))));
        }
    }
    text.push_str("\r\nMetadata\r\nField,Value\r\nAggregation Type,sweep\r\n");
    let _ = write!(
        text,
        "Sweep Parameters,\"{}\"\r\nNumber of Combinations,{}\r\nNumber of Profile Runs,{}\r\nNumber of Successful Runs,{}\r\n",
        swept.join(", "),
        sweep.all.len(),
        document["num_profile_runs"],
        document["num_successful_runs"]
    );
    text
}

fn settings(combination: &Combination) -> String {
    combination.parameters.iter().map(|(_, v)| v.to_string()).collect::<Vec<_>>().join(",")
}
