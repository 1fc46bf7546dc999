//! `loadline inspect`: a trace, a schedule or a recording → its description, as text or JSON, and as a page.

use std::path::{Path, PathBuf};

use super::plots;
use super::profile::workload;
use crate::cli::config::{ProfileConfig, SourceConfig};
use crate::cli::inspect::{FormatArg, Inspect, Subject};
use crate::error::{Error, ExitCode, Result};
use crate::inspection::Inspection;
use crate::inspection::recording::Contents;
use crate::record::reader::Recording;
use crate::report::terminal::Style;
use crate::report::{html, inspection, out};

/// Describes what was asked for.
pub fn run(asked: &Inspect, command: &[String], style: Style) -> Result<ExitCode> {
    let (title, inspection) = match &asked.subject {
        Subject::Recording(dir) => return recording(dir, asked.format, style),
        Subject::Trace(config) => trace(config)?,
        Subject::Schedule(config) => schedule(config)?,
    };
    let page = html::inspection::render(&title, &inspection);
    if let Some(path) = &asked.html {
        std::fs::write(path, &page.text).map_err(Error::io(path))?;
    }
    if let Some(dir) = &asked.plots {
        plots::write(&page, command, dir)?;
    }
    let json = || inspection.to_json();
    print(asked.format, json, || inspection::render(&title, &inspection, style))
}

fn trace(config: &ProfileConfig) -> Result<(String, Inspection)> {
    let trace = workload::read_trace(config)?;
    let trace = trace.ok_or_else(|| Error::Internal("a trace without a file is inspected".into()))?;
    Ok((format!("Trace {}", source_name(config)), Inspection::of_trace(&trace)))
}

fn schedule(config: &ProfileConfig) -> Result<(String, Inspection)> {
    let (config, trace) = workload::settled(config)?;
    let plan = workload::plan_spec(&config, trace)?.build_with(&workload::text_source(&config)?)?;
    let title = format!("Schedule of {}, {}, seed {}", source_name(&config), config.stimulus(), config.seed.0);
    Ok((title, Inspection::of_plan(&plan)))
}

fn source_name(config: &ProfileConfig) -> String {
    match &config.source {
        SourceConfig::Trace { path, .. } => {
            path.file_name().map_or_else(PathBuf::new, PathBuf::from).display().to_string()
        }
        SourceConfig::Synthetic(_) => "drawn requests".into(),
    }
}

fn recording(dir: &Path, format: FormatArg, style: Style) -> Result<ExitCode> {
    let contents = Contents::of(dir, &Recording::open(dir)?)?;
    print(format, || contents.to_json(), || inspection::render_contents(&dir.display().to_string(), &contents, style))
}

fn print(
    format: FormatArg,
    json: impl FnOnce() -> serde_json::Value,
    text: impl FnOnce() -> String,
) -> Result<ExitCode> {
    out::stdout(&match format {
        FormatArg::Text => text(),
        FormatArg::Json => serde_json::to_string_pretty(&json()).map_err(|e| Error::Internal(e.to_string()))? + "\n",
    })?;
    Ok(ExitCode::Ok)
}
