//! A directory of one load → what was measured: a recording, or an aiperf artifact; and its repeats below it.

use std::path::Path;

use super::{aiperf, recording};
use crate::comparison::method::{Measured, Quantiles, Target};
use crate::error::{Error, Result};
use crate::record::manifest;

/// Repeats of a run that are read, at most.
const REPEATS_MAX: usize = 100;

/// A run.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub(super) measured: Measured,
    /// The model that was asked.
    pub(super) model: Option<String>,
    /// GPUs, of a simulated deployment.
    pub(super) gpus: Option<u32>,
    /// How long it and its repeats had the deployment, the warm-up included where that is known, s.
    pub(super) occupied_s: f64,
}

/// Reads a run and its repeats; `None` where there is none. Of a level (`is_level`) the steady part counts.
pub(super) fn read(dir: &Path, target: Target, is_level: bool) -> Result<Option<Run>> {
    let Some(mut run) = one(dir, target, is_level)? else { return Ok(None) };
    let repeats = dir.join("repeats");
    if !repeats.is_dir() {
        return Ok(Some(run));
    }
    let mut dirs = Vec::new();
    for entry in std::fs::read_dir(&repeats).map_err(Error::io(&repeats))? {
        dirs.push(entry.map_err(Error::io(&repeats))?.path());
    }
    dirs.sort();
    let mut all = vec![run.measured];
    for dir in dirs.iter().take(REPEATS_MAX - 1) {
        let Some(repeat) = one(dir, target, is_level)? else { continue };
        run.occupied_s += repeat.occupied_s;
        all.push(repeat.measured);
    }
    run.measured = joined(all);
    Ok(Some(run))
}

fn one(dir: &Path, target: Target, is_level: bool) -> Result<Option<Run>> {
    if dir.join(manifest::FILE_NAME).is_file() && dir.join("requests.parquet").is_file() {
        return recording::read(dir, target, is_level).map(Some);
    }
    aiperf::read(dir, target)
}

/// Runs of one load as one measurement: means over the runs, all of their time.
fn joined(runs: Vec<Measured>) -> Measured {
    let mean = |of: &dyn Fn(&Measured) -> Option<f64>| {
        let known: Option<Vec<f64>> = runs.iter().map(of).collect();
        known.map(|known| known.iter().sum::<f64>() / known.len() as f64)
    };
    let quantiles = |of: fn(&Measured) -> Quantiles| Quantiles {
        mean: mean(&|m| of(m).mean),
        p50: mean(&|m| of(m).p50),
        p90: mean(&|m| of(m).p90),
        p99: mean(&|m| of(m).p99),
    };
    Measured {
        concurrency: runs.first().and_then(|m| m.concurrency),
        concurrency_pct: None,
        ttft: quantiles(|m| m.ttft),
        itl: quantiles(|m| m.itl),
        itl_without_second_token_ms: mean(&|m| m.itl_without_second_token_ms),
        request_rps: mean(&|m| m.request_rps),
        goodput_rps: mean(&|m| m.goodput_rps),
        goodput_unknown: runs.iter().find_map(|m| m.goodput_unknown.clone()),
        attainment: mean(&|m| m.attainment),
        requests: runs.iter().map(|m| m.requests).sum(),
        duration_s: mean(&|m| m.duration_s).map(|s| s * runs.len() as f64),
        source: runs.first().map_or_else(String::new, |m| format!("{} and {} repeats", m.source, runs.len() - 1)),
        series: runs.into_iter().flat_map(|m| m.series).collect(),
    }
}
