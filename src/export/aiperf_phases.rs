//! A recording → the files of its phases, in the layout of aiperf 0.13.0: `phase_manifest.json` and what it names, where there
//! was a warm-up; and `.aiperf_results_ready.json`, which tells who waits for them that the files are there.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::aiperf_csv::render;
use super::aiperf_json::{error_summary, of_phase};
use super::server::{ServerFormat, is_asked};
use crate::error::{Error, Result};
use crate::metrics::Summary;
use crate::outcome::{OutcomeClass, Phase};
use crate::record::manifest::{Manifest, RunState};
use crate::record::reader::Rows;

pub(super) const MANIFEST_NAME: &str = "phase_manifest.json";
pub(super) const READY_NAME: &str = ".aiperf_results_ready.json";
pub(super) const WARMUP_JSON: &str = "phases/warmup/profile_export_aiperf.json";
pub(super) const WARMUP_CSV: &str = "phases/warmup/profile_export_aiperf.csv";
pub(super) const PROFILING_JSON: &str = "phases/profiling/profile_export_aiperf.json";
pub(super) const PROFILING_CSV: &str = "phases/profiling/profile_export_aiperf.csv";
pub(super) const WARMUP_SERVER: &str = "phases/warmup/server_metrics.json";
pub(super) const PROFILING_SERVER: &str = "phases/profiling/server_metrics.json";

/// Whether there is more than one phase.
pub(super) fn are_several(manifest: &Manifest) -> bool {
    manifest.warmup.is_some()
}

/// The summary of a phase; of a warm-up of which no row is left, that of the measurement stands in nowhere.
fn summary_of(summary: &Summary, phase: Phase) -> Option<&Summary> {
    match phase {
        Phase::Warmup => summary.of_warmup.as_deref(),
        Phase::Profiling => Some(summary),
    }
}

pub(super) fn write_warmup_json(rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    write_json(rows, summary, Phase::Warmup, WARMUP_JSON, out)
}

pub(super) fn write_profiling_json(rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    write_json(rows, summary, Phase::Profiling, PROFILING_JSON, out)
}

pub(super) fn write_warmup_csv(_rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    write_csv(summary, Phase::Warmup, WARMUP_CSV, out)
}

pub(super) fn write_profiling_csv(_rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    write_csv(summary, Phase::Profiling, PROFILING_CSV, out)
}

fn write_json(rows: &dyn Rows, summary: &Summary, phase: Phase, name: &str, out: &mut dyn Write) -> Result<()> {
    let document = summary_of(summary, phase).map(|own| of_phase(rows.manifest(), summary, own, phase)).transpose()?;
    to_writer(&document.unwrap_or(Json::Null), name, out)
}

fn write_csv(summary: &Summary, phase: Phase, name: &str, out: &mut dyn Write) -> Result<()> {
    let text = summary_of(summary, phase).map(render).unwrap_or_default();
    out.write_all(text.as_bytes()).map_err(Error::io(name))
}

/// Writes the list of the phases.
pub(super) fn write_manifest(rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    let manifest = rows.manifest();
    let phases = [
        (Phase::Warmup, [WARMUP_JSON, WARMUP_CSV, WARMUP_SERVER]),
        (Phase::Profiling, [PROFILING_JSON, PROFILING_CSV, PROFILING_SERVER]),
    ];
    let entries = phases
        .into_iter()
        .filter_map(|(phase, files)| {
            let (own, about) = (summary_of(summary, phase)?, about(manifest, phase)?);
            Some(entry(manifest, about, own, files))
        })
        .collect::<Result<Vec<_>>>()?;
    to_writer(&json!({"schema_version": 1, "phases": entries}), MANIFEST_NAME, out)
}

/// Which phase it was, and its window; of a run with a warm-up. None of a phase that has no window.
pub(super) fn about(manifest: &Manifest, phase: Phase) -> Option<Map<String, Json>> {
    let (window, index, profiling_index) = match phase {
        Phase::Warmup => (manifest.warmup?, 0, Json::Null),
        Phase::Profiling => (manifest.profiling?, 1, json!(0)),
    };
    Some(Map::from_iter([
        ("phase_name".to_owned(), json!(phase.as_str())),
        ("phase_kind".to_owned(), json!(phase.as_str())),
        ("phase_index".to_owned(), json!(index)),
        ("profiling_index".to_owned(), profiling_index),
        ("start_ns".to_owned(), json!(manifest.anchor.to_unix(window.start_ns))),
        ("end_ns".to_owned(), json!(manifest.anchor.to_unix(window.end_ns))),
    ]))
}

fn entry(
    manifest: &Manifest,
    mut entry: Map<String, Json>,
    summary: &Summary,
    [metrics_json, metrics_csv, server_metrics_json]: [&str; 3],
) -> Result<Json> {
    let of = |class| summary.outcomes.of_class(class);
    let (valid, failed) = (of(OutcomeClass::Completed), of(OutcomeClass::Failed));
    let is_scraped = manifest.config["server_metrics"]["scraped"].is_object();
    entry.extend(
        [
            ("total_request_count", json!(valid + failed)),
            ("successful_request_count", json!(valid)),
            ("error_request_count", json!(failed)),
            ("cancelled_request_count", json!(of(OutcomeClass::Cancelled))),
            ("not_sent_request_count", json!(of(OutcomeClass::NotSent))),
            ("error_summary", json!(error_summary(summary)?)),
            ("was_cancelled", json!(manifest.state == RunState::Interrupted)),
            ("metrics_json", json!(metrics_json)),
            ("metrics_csv", json!(metrics_csv)),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    if is_scraped && is_asked(manifest, ServerFormat::Json) {
        entry.insert("server_metrics_json".into(), json!(server_metrics_json));
    }
    Ok(Json::Object(entry))
}

/// Writes that the files are there, and whether the run was.
pub(super) fn write_ready(rows: &dyn Rows, _summary: &Summary, out: &mut dyn Write) -> Result<()> {
    let state = rows.manifest().state;
    let ready = json!({
        "ready": true,
        "was_cancelled": state == RunState::Interrupted,
        "partial": state != RunState::Complete,
    });
    out.write_all(ready.to_string().as_bytes()).map_err(Error::io(READY_NAME))
}

fn to_writer(document: &Json, name: &str, out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, document).map_err(|e| Error::io(name)(e.into()))?;
    out.write_all(b"\n").map_err(Error::io(name))
}
