//! Directories of results → what is known of the method that they are of.
//!
//! In: one or several directories of a method: result trees of the original, aiperf artifact directories, run directories, what
//! `sweep`, `validate` and `goodput` wrote, in any mixture. Out: a [`Method`]. A later directory fills in what earlier ones do not
//! tell. Invariants: what is not on disk is `None` and is named in the notes; a file that is there and cannot be understood is an
//! error, never passed over; of one run, recorded requests go before summaries of them. Not here: judging
//! ([`crate::comparison::judgement`]).

mod aiperf;
mod course;
mod json;
mod profiler;
mod recording;
mod run;
mod validation;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::comparison::method::{Figure, LEVELS, Level, Method, Predicted, Source, Target};
use crate::error::{InputError, Result};
use crate::record::manifest::{self, Manifest};
use run::Run;

/// What `validate` writes, and the original's validate_deployment.
const VALIDATION: &str = "validation.json";
/// What `goodput` writes.
const GOODPUT: &str = "goodput.json";
/// What `sweep` writes: measured, or predicted.
const SWEEPS: [&str; 2] = ["online.json", "sweep.json"];

/// Runs of a goodput search that are read, at most.
const LOOKS_MAX: usize = 999;

/// What to read of a method.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Its name.
    pub name: String,
    /// Whether others are held against it.
    pub is_reference: bool,
    /// Whether it is a deployment that was measured, and no method.
    pub is_candidate: bool,
    /// Directories, those that count first first.
    pub dirs: Vec<PathBuf>,
    /// Files of validations.
    pub validations: Vec<PathBuf>,
    /// GPUs of what it deploys, where the user says so.
    pub gpus: Option<u32>,
}

/// Reads a method.
///
/// # Errors
/// [`crate::error::Error::Input`] for a directory in which there is nothing, or a file that cannot be understood;
/// [`crate::error::Error::Io`] for one that cannot be read.
pub fn read(sources: &Sources, target: Target) -> Result<Method> {
    let places = sources.dirs.iter().chain(&sources.validations);
    let shown: Vec<String> = places.map(|p| p.display().to_string()).collect();
    let mut method = Method {
        name: sources.name.clone(),
        is_reference: sources.is_reference,
        is_candidate: sources.is_candidate,
        source_dir: shown.join(", "),
        ..Method::default()
    };
    method.deployment.gpus = sources.gpus;
    for dir in &sources.dirs {
        directory(&mut method, dir, target)?;
    }
    for file in &sources.validations {
        validation::read(&mut method, file)?;
    }
    let at_all_levels = [method.ttft.clone(), method.itl.clone()];
    for level in &mut method.levels {
        level.ttft = level.ttft.take().or_else(|| at_all_levels[0].clone());
        level.itl = level.itl.take().or_else(|| at_all_levels[1].clone());
    }
    if !method.is_candidate {
        missing(&mut method);
    }
    Ok(method)
}

fn directory(method: &mut Method, dir: &Path, target: Target) -> Result<()> {
    if !dir.is_dir() {
        return Err(nothing(dir, "is no directory"));
    }
    let mut found = false;
    let mut spent = Spent::default();
    for (name, level) in LEVELS.into_iter().zip(&mut method.levels) {
        for place in [dir.join("validation").join(name), dir.join(name)] {
            if let Some(run) = run::read(&place, target, true)?
                && level.measured.is_none()
            {
                found = true;
                spent.add(&run);
                level.measured = Some(run.measured);
                method.deployment.gpus = method.deployment.gpus.or(run.gpus);
                method.model = method.model.take().or(run.model);
            }
        }
    }
    for place in [dir.join("optimization"), dir.to_owned()] {
        if let Some(run) = run::read(&place, target, false)? {
            found = true;
            if method.optimization.is_none() {
                spent.add(&run);
            }
            let Run { measured, model, gpus, .. } = run;
            method.optimization = method.optimization.take().or(Some(measured));
            method.deployment.gpus = method.deployment.gpus.or(gpus);
            method.model = method.model.take().or(model);
        }
    }
    if let Some(path) = file(dir, VALIDATION) {
        validation::read(method, &path)?;
        found = true;
    }
    if let Some(path) = file(dir, GOODPUT) {
        if validation::search(method, &path, target)? {
            spent.add_looks(dir)?;
        }
        found = true;
    }
    if method.course.is_none() {
        let (course, note) = course::read(dir, target)?;
        method.course = course;
        method.notes.extend(note);
    }
    // Before the tables that the same sweep wrote: what it recommends need not be what these are of.
    for path in SWEEPS.iter().filter_map(|name| file(dir, name)) {
        profiler::sweep(method, &path)?;
        found = true;
    }
    found |= profiler::read(method, dir, target)?;
    method.validation_s.extend(spent.figure(dir)?);
    if found { Ok(()) } else { Err(nothing(dir, "holds no results that are known here")) }
}

/// How long the runs in a directory had the deployment.
#[derive(Default)]
struct Spent {
    own_s: f64,
    is_simulated: bool,
}

impl Spent {
    fn add(&mut self, run: &Run) {
        self.own_s += run.occupied_s;
        self.is_simulated |= run.gpus.is_some();
    }

    /// The runs of a goodput search.
    fn add_looks(&mut self, dir: &Path) -> Result<()> {
        let looks = (1..=LOOKS_MAX).map(|look| dir.join(format!("goodput/look_{look:03}")));
        for look in looks.take_while(|look| look.join(manifest::FILE_NAME).is_file()) {
            let manifest = Manifest::read(&look)?;
            self.own_s += recording::occupied_s(&manifest);
            self.is_simulated |= recording::gpus(&manifest.config).is_some();
        }
        Ok(())
    }

    /// What that was. Where a plan ran it, its account also has the time between the runs; but of a simulated deployment it has the time that
    /// simulating took, which says nothing.
    fn figure(&self, dir: &Path) -> Result<Option<Figure>> {
        if self.own_s <= 0.0 {
            return Ok(None);
        }
        let step = if self.is_simulated { None } else { profiler::step_s(dir)? };
        let clock = if self.is_simulated { ", in simulated time" } else { "" };
        let from = || format!("the runs in {}, warm-ups that are recorded included{clock}", dir.display());
        Ok(Some(step.unwrap_or_else(|| Figure { value: self.own_s, source: Source::Measured, from: from() })))
    }
}

fn file(dir: &Path, name: &str) -> Option<PathBuf> {
    Some(dir.join(name)).filter(|path| path.is_file())
}

fn nothing(dir: &Path, problem: &str) -> crate::error::Error {
    let remedy = "give a directory with profile_sla.log, config_with_planner.yaml, validation/LEVEL, optimization, \
                  profile_export_aiperf.json, run.json, validation.json, goodput.json, sweep.json or online.json";
    InputError::of_file(dir.display().to_string(), problem, remedy).into()
}

/// What is not there, in words.
fn missing(method: &mut Method) {
    let unmeasured: Vec<&str> = LEVELS
        .into_iter()
        .zip(&method.levels)
        .filter(|(_, level)| level.measured.is_none())
        .map(|(name, _)| name)
        .collect();
    if !unmeasured.is_empty() {
        method.notes.push(format!("no measurement on disk at {}", unmeasured.join(", ")));
    }
    let is_predicted = |of: fn(&Level) -> &Option<Predicted>| method.levels.iter().any(|l| of(l).is_some());
    let unpredicted: Vec<&str> = [("TTFT", is_predicted(|l| &l.ttft)), ("ITL", is_predicted(|l| &l.itl))]
        .into_iter()
        .filter(|(_, is)| !is)
        .map(|(name, _)| name)
        .collect();
    if !unpredicted.is_empty() {
        method.notes.push(format!("no prediction on disk of {}", unpredicted.join(" and ")));
    }
    let cost = &method.cost;
    let uncosted: Vec<&str> = [
        ("wall time", cost.wall_s.is_none()),
        ("GPU hours", cost.gpu_hours.is_none()),
        ("deployments", cost.deployments.is_none()),
    ]
    .into_iter()
    .filter(|(_, is)| *is)
    .map(|(name, _)| name)
    .collect();
    if !uncosted.is_empty() {
        method.notes.push(format!("{} not on disk: unknown, which is not 0", uncosted.join(", ")));
    }
    if method.deployment.gpus.is_none() {
        method.notes.push("the GPUs of its deployment are not on disk (--gpus NAME:N says them)".into());
    }
}
