//! A recording → the files of its phases, in the layout of aiperf 0.13.0: `phase_manifest.json` and what it names, where there
//! was a warm-up; and `.aiperf_results_ready.json`, which tells who waits for them that the files are there.

use std::io::Write;

use serde_json::{Value as Json, json};

use super::aiperf_csv::render;
use super::aiperf_json::{error_summary, of_phase};
use crate::error::{Error, Result};
use crate::metrics::Summary;
use crate::outcome::{OutcomeClass, Phase};
use crate::record::manifest::{Manifest, PhaseWindow, RunState};
use crate::record::reader::Rows;

pub(super) const MANIFEST_NAME: &str = "phase_manifest.json";
pub(super) const READY_NAME: &str = ".aiperf_results_ready.json";
pub(super) const WARMUP_JSON: &str = "phases/warmup/profile_export_aiperf.json";
pub(super) const WARMUP_CSV: &str = "phases/warmup/profile_export_aiperf.csv";
pub(super) const PROFILING_JSON: &str = "phases/profiling/profile_export_aiperf.json";
pub(super) const PROFILING_CSV: &str = "phases/profiling/profile_export_aiperf.csv";

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
        (Phase::Warmup, manifest.warmup, Json::Null, (WARMUP_JSON, WARMUP_CSV)),
        (Phase::Profiling, manifest.profiling, json!(0), (PROFILING_JSON, PROFILING_CSV)),
    ];
    let entries = (0..)
        .zip(phases)
        .filter_map(|(index, (phase, window, profiling_index, files))| {
            let (own, window) = (summary_of(summary, phase)?, window?);
            Some(entry(manifest, (index, phase, profiling_index), own, window, files))
        })
        .collect::<Result<Vec<_>>>()?;
    to_writer(&json!({"schema_version": 1, "phases": entries}), MANIFEST_NAME, out)
}

fn entry(
    manifest: &Manifest,
    (index, phase, profiling_index): (u32, Phase, Json),
    summary: &Summary,
    window: PhaseWindow,
    (metrics_json, metrics_csv): (&str, &str),
) -> Result<Json> {
    let of = |class| summary.outcomes.of_class(class);
    let (valid, failed) = (of(OutcomeClass::Completed), of(OutcomeClass::Failed));
    Ok(json!({
        "phase_name": phase.as_str(),
        "phase_kind": phase.as_str(),
        "phase_index": index,
        "profiling_index": profiling_index,
        "start_ns": manifest.anchor.to_unix(window.start_ns),
        "end_ns": manifest.anchor.to_unix(window.end_ns),
        "total_request_count": valid + failed,
        "successful_request_count": valid,
        "error_request_count": failed,
        "cancelled_request_count": of(OutcomeClass::Cancelled),
        "not_sent_request_count": of(OutcomeClass::NotSent),
        "error_summary": error_summary(summary)?,
        "was_cancelled": manifest.state == RunState::Interrupted,
        "metrics_json": metrics_json,
        "metrics_csv": metrics_csv,
    }))
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
