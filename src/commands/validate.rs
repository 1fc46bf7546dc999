//! `loadline validate`: runs the levels, holds the prediction against them, prints and writes what came of it.

use std::path::{Path, PathBuf};

use super::profile;
use crate::cli::validate::ValidateConfig;
use crate::comparison::levels::{self, Level, Load};
use crate::comparison::steady_state::{Measured, measure};
use crate::comparison::validation::LevelResult;
use crate::error::{Error, ExitCode, Result};
use crate::export::validation as export;
use crate::record::manifest::{Judgement, Manifest, RunState, Verdict};
use crate::record::reader::{Recording, Rows};
use crate::report::terminal::Style;
use crate::report::{html, out, sweep::log_time, validation as report};
use crate::time::realtime_ns;

/// Confidence of the intervals over repeats.
const CONFIDENCE: f64 = 0.95;

/// A level's run, and whether it came to its end.
struct Ran {
    measured: Measured,
    verdict: Verdict,
    is_interrupted: bool,
}

/// Validates. Exit code 1 where an error is beyond the bound that was asked for.
///
/// # Errors
/// Those of `profile`, and [`Error::Io`] for a file that cannot be written.
pub fn run(config: &ValidateConfig, command: &[String], style: Style) -> Result<ExitCode> {
    let timestamp = log_time(realtime_ns());
    let root = config.output_dir.join("validation");
    let mut notes = Vec::new();
    let capacity = match config.open_loop {
        None => None,
        Some(Some(rps)) => Some((rps, false)),
        Some(None) => Some((capacity(config, &root, command, style)?, true)),
    };
    let levels = capacity.map_or_else(|| levels::closed(config.batch_max), |(rps, _)| levels::open(rps));
    for (one, other) in levels::same(&levels) {
        notes.push(format!(
            "{one} and {other} have the same load: a largest batch of {} has no room between.",
            config.batch_max
        ));
    }
    if let Some((rps, true)) = capacity {
        notes
            .push(format!("Shares are of {rps:.3} requests per second, measured with {} in flight.", config.batch_max));
    }
    let mut results = Vec::new();
    for level in levels {
        let (runs, is_interrupted) = repeats(config, level, &root, command, style)?;
        if !runs.is_empty() {
            results.push(LevelResult::new(level, runs, config.predicted, CONFIDENCE));
        }
        if is_interrupted {
            notes.push(format!("The validation was interrupted at {}.", level.name));
            break;
        }
    }
    let url = config.base.destination.place();
    let model = &config.base.request.model;
    let validation = export::Validation {
        timestamp: &timestamp,
        asked: config.target.asked(model, &url),
        predicted: config.predicted,
        batch_max: config.batch_max,
        capacity,
        repeats: config.repeats,
        confidence: CONFIDENCE,
        notes: &notes,
        levels: &results,
    };
    let path = write(&config.output_dir, export::FILE_NAME, &export::json(&validation))?;
    let title = format!("{model} at {url}: validation at {} levels", results.len());
    let about = config.target.about(command);
    let page = config.output_dir.join("validation.html");
    let text = html::validation::render(&title, &about, config.predicted, &results, &notes);
    std::fs::write(&page, text).map_err(Error::io(&page))?;
    out::stdout(&report::render(&title, config.predicted, &results, &notes, style))?;
    out::stderr(&format!("Written to {} and {}\n", path.display(), page.display()))?;
    let Some(bound) = config.fail_on_error_pct else { return Ok(ExitCode::Ok) };
    // An error that is not known has not kept the bound.
    let is_kept = |r: &LevelResult| r.worst_error_pct(config.predicted).is_some_and(|worst| worst <= bound);
    Ok(if results.len() == levels.len() && results.iter().all(is_kept) {
        ExitCode::Ok
    } else {
        ExitCode::ThresholdFailed
    })
}

/// Requests per second that are answered while as many are in flight as the deployment holds.
fn capacity(config: &ValidateConfig, root: &Path, command: &[String], style: Style) -> Result<f64> {
    let (name, load) = ("capacity", Load::Clients(config.batch_max));
    out::stderr(&format!("capacity: {} in flight …\n", config.batch_max))?;
    let ran = one(config, load, name, 0, &root.join(name), (command, style))?;
    ran.measured.request_rps.filter(|rps| *rps > 0.0 && !ran.is_interrupted).ok_or_else(|| {
        Error::Endpoint("the capacity could not be measured: no request was answered; give --capacity-rps".into())
    })
}

/// The runs of a level. The first lies in the level's directory, as in the original's layout; the others below it.
fn repeats(
    config: &ValidateConfig,
    level: Level,
    root: &Path,
    command: &[String],
    style: Style,
) -> Result<(Vec<(Measured, Verdict)>, bool)> {
    let mut runs = Vec::new();
    for repeat in 0..config.repeats {
        let dir = root.join(level.name);
        let dir = if repeat == 0 { dir } else { dir.join(format!("repeats/run_{:04}", repeat + 1)) };
        let load = match level.load {
            Load::Clients(clients) => format!("{clients} in flight"),
            Load::Rate(rps) => format!("{rps:.3} requests per second"),
        };
        out::stderr(&format!("{}: {load}, run {} of {} …\n", level.name, repeat + 1, config.repeats))?;
        let ran = one(config, level.load, level.name, repeat, &dir, (command, style))?;
        runs.push((ran.measured, ran.verdict));
        if ran.is_interrupted {
            return Ok((runs, true));
        }
    }
    Ok((runs, false))
}

fn one(
    config: &ValidateConfig,
    load: Load,
    name: &str,
    repeat: u32,
    dir: &Path,
    (command, style): (&[String], Style),
) -> Result<Ran> {
    profile::run(&config.run(load, name, repeat, dir.to_owned()), command.to_vec(), style)?;
    let recording = Recording::open(dir)?;
    let Manifest { verdict, state, .. } = recording.manifest();
    let unjudged = || Verdict { judgement: Judgement::Suspect, reasons: vec!["the run has no verdict".into()] };
    Ok(Ran {
        verdict: verdict.clone().unwrap_or_else(unjudged),
        is_interrupted: *state == RunState::Interrupted,
        measured: measure(&recording, load)?,
    })
}

fn write(dir: &Path, name: &str, json: &serde_json::Value) -> Result<PathBuf> {
    let path = dir.join(name);
    let text = serde_json::to_string_pretty(json).map_err(|e| Error::Internal(e.to_string()))? + "\n";
    std::fs::write(&path, text).map_err(Error::io(&path))?;
    Ok(path)
}
