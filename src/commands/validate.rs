//! `loadline validate`: runs the levels, holds the prediction against them, prints and writes what came of it.

use std::path::{Path, PathBuf};

use super::{plots, profile};
use crate::cli::validate::ValidateConfig;
use crate::comparison::levels::{self, Level, Load};
use crate::comparison::round::Round;
use crate::comparison::steady_state::{Measured, measure};
use crate::comparison::validation::LevelResult;
use crate::error::{Error, ExitCode, Result};
use crate::export::validation as export;
use crate::record::manifest::{Judgement, Manifest, RunState, Verdict};
use crate::record::reader::{Recording, Rows};
use crate::report::terminal::Style;
use crate::report::{html, out, sweep::log_time, validation as report};
use crate::time::{SECOND_NS, realtime_ns};

/// Confidence of the intervals over repeats.
const CONFIDENCE: f64 = 0.95;
/// How many levels there are.
const LEVELS: usize = 4;

/// Validates. Exit code 1 where an error is beyond the bound that was asked for.
///
/// # Errors
/// Those of `profile`, and [`Error::Io`] for a file that cannot be written.
pub fn run(config: &ValidateConfig, command: &[String], style: Style) -> Result<ExitCode> {
    let timestamp = log_time(realtime_ns());
    let mut loading = Loading::new(config, command, style);
    let capacity = loading.levels()?;
    let Loading { results, notes, .. } = loading;
    let url = config.base.destination.place();
    let model = &config.base.request.model;
    let validation = export::Validation {
        timestamp: &timestamp,
        asked: config.target.asked(model, &url),
        predicted: config.predicted,
        batch_max: config.batch_max,
        is_open: config.open_loop.is_some(),
        capacity,
        repeats: config.repeats,
        confidence: CONFIDENCE,
        notes: &notes,
        levels: &results,
    };
    let path = write(&config.output_dir, export::FILE_NAME, &export::json(&validation))?;
    let title = format!("{model} at {url}: validation at {} levels", results.len());
    let about = config.target.about(command);
    let page = html::validation::render(&title, &about, config.predicted, &results, &notes);
    let page_path = config.output_dir.join("validation.html");
    std::fs::write(&page_path, &page.text).map_err(Error::io(&page_path))?;
    out::stdout(&report::render(&title, config.predicted, &results, &notes, style))?;
    out::stderr(&format!("Written to {} and {}\n", path.display(), page_path.display()))?;
    if let Some(dir) = &config.plots {
        plots::write(&page, command, dir)?;
    }
    let Some(bound) = config.fail_on_error_pct else { return Ok(ExitCode::Ok) };
    // An error that is not known has not kept the bound.
    let is_kept = |r: &LevelResult| r.worst_error_pct(config.predicted).is_some_and(|worst| worst <= bound);
    Ok(if results.len() == LEVELS && results.iter().all(is_kept) { ExitCode::Ok } else { ExitCode::ThresholdFailed })
}

/// A level's run, and whether it came to its end.
struct Ran {
    measured: Measured,
    verdict: Verdict,
    is_interrupted: bool,
}

/// The levels that were run until now.
struct Loading<'a> {
    config: &'a ValidateConfig,
    command: &'a [String],
    style: Style,
    root: PathBuf,
    round: Round,
    results: Vec<LevelResult>,
    notes: Vec<String>,
}

impl<'a> Loading<'a> {
    fn new(config: &'a ValidateConfig, command: &'a [String], style: Style) -> Loading<'a> {
        let (root, round) = (config.output_dir.join("validation"), Round::new(config.target.osl));
        Loading { config, command, style, root, round, results: Vec::new(), notes: Vec::new() }
    }

    /// All levels, idle first: it tells how long a request takes, before several clients begin. Answers the capacity that those of an
    /// open loop are shares of, and whether it was measured.
    fn levels(&mut self) -> Result<Option<(f64, bool)>> {
        let batch_max = self.config.batch_max;
        let mut capacity = self.config.open_loop.flatten().map(|rps| (rps, false));
        let levels = |capacity: Option<(f64, bool)>| match self.config.open_loop {
            // That of an open loop is the same at any capacity.
            Some(_) => levels::open(capacity.map_or(f64::NAN, |(rps, _)| rps)),
            None => levels::closed(batch_max),
        };
        let idle = levels(capacity)[0];
        for (one, other) in levels::same(&levels(capacity)) {
            self.notes.push(format!(
                "{one} and {other} have the same load: a largest batch of {batch_max} has no room between."
            ));
        }
        if !self.level(idle)? {
            return Ok(capacity);
        }
        if self.config.open_loop.is_some() && capacity.is_none() {
            let rps = self.capacity()?;
            self.notes
                .push(format!("Shares are of {rps:.3} requests per second, measured with {batch_max} in flight."));
            capacity = Some((rps, true));
        }
        for level in &levels(capacity)[1..] {
            if !self.level(*level)? {
                break;
            }
        }
        Ok(capacity)
    }

    /// The runs of a level; false where the user stopped it. The first lies in the level's directory, as in the original's layout; the
    /// others below it.
    fn level(&mut self, level: Level) -> Result<bool> {
        let (config, mut is_interrupted) = (self.config, false);
        let ramp_ns = self.ramp_ns(level.load);
        let mut runs = Vec::new();
        for repeat in 0..config.repeats {
            let dir = self.root.join(level.name);
            let dir = if repeat == 0 { dir } else { dir.join(format!("repeats/run_{:04}", repeat + 1)) };
            let load = match level.load {
                Load::Clients(clients) => format!("{clients} in flight"),
                Load::Rate(rps) => format!("{rps:.3} requests per second"),
            };
            out::stderr(&format!("{}: {load}, run {} of {} …\n", level.name, repeat + 1, config.repeats))?;
            let ran = self.one(level.load, ramp_ns, (level.name, repeat), &dir)?;
            runs.push((ran.measured, ran.verdict));
            is_interrupted = ran.is_interrupted;
            if is_interrupted {
                self.notes.push(format!("The validation was interrupted at {}.", level.name));
                break;
            }
        }
        let mut result = LevelResult::new(level, runs, config.predicted, CONFIDENCE);
        if let Load::Clients(clients) = level.load {
            result.ramp_s = (clients > 1).then_some(ramp_ns as f64 / SECOND_NS as f64);
            if let Some(ttft) = result.ttft[0].actual {
                self.round.note(clients, ttft.mean, result.itl[0].actual.map(|itl| itl.mean));
            }
        }
        self.results.push(result);
        Ok(!is_interrupted)
    }

    /// Requests per second that are answered while as many are in flight as the deployment holds.
    fn capacity(&self) -> Result<f64> {
        let (name, load) = ("capacity", Load::Clients(self.config.batch_max));
        out::stderr(&format!("capacity: {} in flight …\n", self.config.batch_max))?;
        let ran = self.one(load, self.ramp_ns(load), (name, 0), &self.root.join(name))?;
        ran.measured.request_rps.filter(|rps| *rps > 0.0 && !ran.is_interrupted).ok_or_else(|| {
            Error::Endpoint("the capacity could not be measured: no request was answered; give --capacity-rps".into())
        })
    }

    fn ramp_ns(&self, load: Load) -> i64 {
        match load {
            Load::Clients(clients) if clients > 1 => self.config.ramp_ns.unwrap_or_else(|| self.round.ramp_ns(clients)),
            Load::Clients(_) | Load::Rate(_) => 0,
        }
    }

    fn one(&self, load: Load, ramp_ns: i64, of: (&str, u32), dir: &Path) -> Result<Ran> {
        profile::run(&self.config.run(load, ramp_ns, of, dir.to_owned()), self.command.to_vec(), self.style)?;
        let recording = Recording::open(dir)?;
        let Manifest { verdict, state, .. } = recording.manifest();
        let unjudged = || Verdict { judgement: Judgement::Suspect, reasons: vec!["the run has no verdict".into()] };
        Ok(Ran {
            verdict: verdict.clone().unwrap_or_else(unjudged),
            is_interrupted: *state == RunState::Interrupted,
            measured: measure(&recording, load)?,
        })
    }
}

fn write(dir: &Path, name: &str, json: &serde_json::Value) -> Result<PathBuf> {
    let path = dir.join(name);
    let text = serde_json::to_string_pretty(json).map_err(|e| Error::Internal(e.to_string()))? + "\n";
    std::fs::write(&path, text).map_err(Error::io(&path))?;
    Ok(path)
}
