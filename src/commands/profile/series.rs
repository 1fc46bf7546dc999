//! Several runs of `profile`, one after the other, and what their files say together.
//!
//! The layout is aiperf's. Repeats go into `profile_runs/run_0001` and so on, with `aggregate/` beside them; combinations
//! into `concurrency_1` and so on (with repeats, `profile_runs/trial_0001/concurrency_1`, or
//! `concurrency_1/profile_runs/trial_0001` where they are independent), with `aggregate/COMBINATION/` and `sweep_aggregate/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{run_dir, workload};
use crate::cli::config::{LoadConfig, ProfileConfig, Series};
use crate::cli::series::{Cell, SeriesConfig, SweepModeArg, path_of};
use crate::commands::interrupt::Interrupts;
use crate::comparison::combinations::{self, Combination, Parameters};
use crate::engine::stop::{Stop, StopSwitch};
use crate::error::{Error, ExitCode, Result};
use crate::export::{aiperf_aggregate, aiperf_sweep};
use crate::metrics::{Summary, summarise};
use crate::record::manifest::{Manifest, RunState};
use crate::record::reader::Recording;
use crate::report::terminal::{self, Style};
use crate::report::{out, series};
use crate::time::SECOND_NS;

/// How often a pause looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);
/// What is said of a run that was interrupted.
const INTERRUPTED: &str = "interrupted";

/// What has become of the runs so far.
#[derive(Default)]
struct Outcome {
    /// Of each combination, the labels and numbers of the runs that ended.
    ended: Vec<(Vec<String>, Vec<Summary>)>,
    /// Labels of those that failed or were interrupted, and why.
    failed: Vec<(String, String)>,
    /// The worst code of a run.
    code: Option<ExitCode>,
}

/// Runs all of it, and reports on it.
pub(in crate::commands) fn run(config: &SeriesConfig, command: &[String], style: Style) -> Result<ExitCode> {
    let (first, _) = workload::settled(&config.cells[0].config)?;
    if config.is_sweep && first.load == LoadConfig::Recorded {
        return Err(Error::Usage("lists of values are for loads of one number, not for a trace's own times".into()));
    }
    let root = run_dir::create_series(&first)?;
    let mut outcome = Outcome::default();
    outcome.ended.resize_with(config.cells.len(), Default::default);
    let order = order(config);
    // Each run heeds a signal itself; this is for the time between them.
    let stop = Arc::new(StopSwitch::default());
    let _interrupts = Interrupts::listen(stop.clone(), |_| {})?;
    for (n, (cell, repeat)) in order.iter().copied().enumerate() {
        if n > 0 {
            pause(if order[n - 1].0 == cell { config.repeat_pause_ns } else { config.cell_pause_ns }, &stop)?;
        }
        if stop.asked() != Stop::No {
            break;
        }
        tell(&order, n, config, cell, repeat)?;
        let (dir, run) = one(config, (cell, repeat), &root);
        if !record(super::run(&run, command.to_vec(), style), cell, (&dir, &label(repeat)), &mut outcome)? {
            break;
        }
    }
    if outcome.ended.iter().all(|(labels, _)| labels.is_empty()) {
        if stop.asked() != Stop::No {
            out::stderr("The series was interrupted before a run of it ended: there is nothing to take together.\n")?;
            return Ok(outcome.code.unwrap_or(ExitCode::Ok));
        }
        let why = outcome.failed.first().map_or_else(|| "nothing was run".to_owned(), |(_, why)| why.clone());
        return Err(Error::Endpoint(format!("no run of the series ended: {why}")));
    }
    let written = conclude(config, &root, &outcome, style)?;
    out::stderr(&terminal::files(&written, style))?;
    Ok(outcome.code.unwrap_or(ExitCode::Ok))
}

/// Combinations and repeats, in the order in which they are run.
fn order(config: &SeriesConfig) -> Vec<(usize, u32)> {
    let cells = 0..config.cells.len();
    match config.mode {
        SweepModeArg::Repeated => (0..config.repeats).flat_map(|r| cells.clone().map(move |c| (c, r))).collect(),
        SweepModeArg::Independent => cells.flat_map(|c| (0..config.repeats).map(move |r| (c, r))).collect(),
    }
}

/// A combination's directory: `concurrency_1__rate_5.0`.
fn dir_name(parameters: &Parameters) -> String {
    parameters.iter().map(|(name, value)| format!("{name}_{value}")).collect::<Vec<_>>().join("__")
}

/// Where a run goes, below the series' directory.
fn path(config: &SeriesConfig, cell: &Cell, repeat: u32) -> PathBuf {
    let (name, trial) = (dir_name(&cell.parameters), format!("trial_{:04}", repeat + 1));
    match (config.is_sweep, config.repeats > 1, config.mode) {
        (false, _, _) => Path::new("profile_runs").join(format!("run_{:04}", repeat + 1)),
        (true, false, _) => PathBuf::from(name),
        (true, true, SweepModeArg::Repeated) => Path::new("profile_runs").join(trial).join(name),
        (true, true, SweepModeArg::Independent) => Path::new(&name).join("profile_runs").join(trial),
    }
}

/// aiperf's label of a combination.
fn label_of(parameters: &Parameters) -> String {
    if parameters.is_empty() {
        return "base".into();
    }
    parameters.iter().map(|(name, value)| format!("{}={value}", path_of(name))).collect::<Vec<_>>().join(", ")
}

/// Parameters by aiperf's paths.
fn by_path(parameters: &Parameters) -> Parameters {
    parameters.iter().map(|(name, value)| (path_of(name), *value)).collect()
}

/// Waits, unless somebody interrupts it.
#[expect(clippy::disallowed_methods, reason = "a pause that was asked for")]
fn pause(ns: i64, stop: &StopSwitch) -> Result<()> {
    let (begun, whole) = (Instant::now(), Duration::from_nanos(ns.unsigned_abs()));
    if whole >= Duration::from_secs(1) {
        out::stderr(&format!("\nThe next run begins in {} s\n", whole.as_secs_f64()))?;
    }
    while begun.elapsed() < whole && stop.asked() == Stop::No {
        std::thread::sleep(LOOK.min(whole.saturating_sub(begun.elapsed())));
    }
    Ok(())
}

fn tell(order: &[(usize, u32)], n: usize, config: &SeriesConfig, cell: usize, repeat: u32) -> Result<()> {
    let parameters = &config.cells[cell].parameters;
    let what: Vec<String> = parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let repeat =
        if config.repeats > 1 { format!(" repeat {} of {}", repeat + 1, config.repeats) } else { String::new() };
    out::stderr(&format!("\nRun {} of {}: {}{repeat}\n", n + 1, order.len(), what.join(", ")))
}

/// A run's name among the repeats.
fn label(repeat: u32) -> String {
    format!("run_{:04}", repeat + 1)
}

/// One run, and where it goes.
fn one(config: &SeriesConfig, (cell, repeat): (usize, u32), root: &Path) -> (PathBuf, ProfileConfig) {
    let Cell { parameters, config: of_cell } = &config.cells[cell];
    let dir = root.join(path(config, &config.cells[cell], repeat));
    let mut run = of_cell.clone();
    if repeat > 0 && config.warm_up_once {
        run.warmup = None;
    }
    if config.texts_of_their_own && repeat > 0 {
        // Else the server's prefix cache would answer the repeats.
        run.prompt.cache_salt = run.prompt.cache_salt.map(|salt| format!("{salt}-{}", repeat + 1));
    }
    run.artifact_dir = Some(dir.clone());
    run.series = Some(Series {
        trial: repeat,
        run_label: label(repeat),
        variation_label: label_of(parameters),
        variation_index: cell as u32,
        variation_values: by_path(parameters),
    });
    (dir, run)
}

/// Takes in how a run ended. Tells whether the series goes on.
fn record(ended: Result<ExitCode>, cell: usize, (dir, label): (&Path, &str), outcome: &mut Outcome) -> Result<bool> {
    let interrupted = |m: Manifest| m.state == RunState::Interrupted;
    match ended {
        Ok(code) => outcome.code = outcome.code.into_iter().chain([code]).max_by_key(|code| *code as u8),
        // The server may be back for the next one.
        Err(Error::Endpoint(why)) => {
            out::stderr(&format!("error: {why}\n"))?;
            outcome.failed.push((label.to_owned(), why));
            return Ok(!Manifest::read(dir).is_ok_and(interrupted));
        }
        Err(error) => return Err(error),
    }
    if interrupted(Manifest::read(dir)?) {
        // A part of a run is no repeat of the others.
        outcome.failed.push((label.to_owned(), INTERRUPTED.to_owned()));
        return Ok(false);
    }
    let (labels, summaries) = &mut outcome.ended[cell];
    labels.push(label.to_owned());
    summaries.push(summarise(&Recording::open(dir)?)?);
    Ok(true)
}

/// Writes what the runs say together, and prints it.
fn conclude(config: &SeriesConfig, root: &Path, outcome: &Outcome, style: Style) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let mut all = Vec::new();
    for (cell, (labels, summaries)) in config.cells.iter().zip(&outcome.ended) {
        if labels.is_empty() {
            continue;
        }
        let combination = Combination::new(cell.parameters.clone(), summaries.clone(), config.confidence);
        let (label, values) = (label_of(&cell.parameters), by_path(&cell.parameters));
        let variation = aiperf_aggregate::Variation {
            label: &label,
            values: &values,
            mode: config.mode.as_str(),
            model: &cell.config.request.model,
        };
        let runs = aiperf_aggregate::Runs {
            labels,
            failed: if config.is_sweep { &[] } else { &outcome.failed },
            confidence: config.confidence,
            cooldown_s: config.repeat_pause_ns as f64 / SECOND_NS as f64,
            variation: config.is_sweep.then_some(variation),
        };
        let dir = root.join("aggregate").join(dir_name(&cell.parameters));
        written.extend(aiperf_aggregate::write(&dir, &runs, &combination.spreads)?);
        all.push(combination);
    }
    if !config.is_sweep {
        out::stdout(&format!("\n{}", series::repeats(all[0].runs.len(), config.confidence, &all[0].spreads, style)))?;
        return Ok(written);
    }
    let findings = combinations::findings(&all);
    let sweep = aiperf_sweep::Sweep {
        all: &all,
        findings: &findings,
        repeats: config.repeats,
        failed: &outcome.failed,
        confidence: config.confidence,
        mode: config.mode.as_str(),
    };
    written.extend(aiperf_sweep::write(&root.join("sweep_aggregate"), &sweep)?);
    out::stdout(&format!("\n{}", series::combinations(&all, &findings, style)))?;
    Ok(written)
}
