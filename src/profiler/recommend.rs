//! Operating points → which topology to deploy, how sure that is, and what binds.
//!
//! In: the feasible points of [`super::frontier`], best first, and the SLA. Out: a [`Recommendation`]: the best, the best of
//! another kind, and whether their difference is larger than what the model is known to be off by; or, where nothing meets
//! the SLA, the bound that cannot be met and the point that comes nearest.

use super::capacity::{Capacity, Sla};
use super::frontier::{OperatingPoint, Topology};
use super::prediction::Band;

/// Error of predicted throughput where nothing was measured for the engine and GPU, as a share: the mean absolute error of TPOT
/// of a roofline with fitted efficiencies against 889 published measurements of dense models (aiconfigurator repository,
/// Apache-2.0).
const UNMEASURED_ERROR: f64 = 0.17;

/// Error of predicted throughput at a given concurrency, as a share: half the width of the band in which 8 of 10 measured
/// values lay, where throughput is the inverse of TPOT.
pub fn throughput_error(tpot: Option<Band>) -> f64 {
    tpot.map_or(UNMEASURED_ERROR, |band| (1.0 / band.low - 1.0 / band.high) / 2.0)
}

/// Which bound cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// No request fits into the memory of any engine.
    Memory,
    /// No engine fits into the budget of GPUs.
    Gpus,
    /// The time to first token.
    Ttft,
    /// The time from token to token.
    Itl,
}

impl Binding {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Binding::Memory => "memory",
            Binding::Gpus => "the GPU budget",
            Binding::Ttft => "TTFT",
            Binding::Itl => "ITL",
        }
    }
}

/// The second choice.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct RunnerUp {
    /// The best point of another kind of topology.
    pub point: OperatingPoint,
    /// By how much its throughput per GPU is lower, as a share of the best's.
    pub lower_by: f64,
    /// Whether that is more than the error of predicted throughput.
    pub distinguishable: bool,
}

/// What to deploy.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recommendation {
    /// Something meets the SLA.
    Deploy {
        /// The highest throughput per GPU.
        best: OperatingPoint,
        /// The next of another kind, if there is one.
        runner_up: Option<RunnerUp>,
    },
    /// Nothing meets the SLA.
    Infeasible {
        /// What cannot be met.
        binding: Binding,
        /// The point that comes nearest to the SLA, where anything runs at all.
        nearest: Option<OperatingPoint>,
    },
}

/// Chooses. `all` are the points whether they meet the SLA or not, `error` is that of throughput, as a share.
pub fn recommend(
    capacities: &[Capacity],
    feasible: &[OperatingPoint],
    all: &[OperatingPoint],
    (sla, max_gpus): (Sla, u32),
    error: f64,
) -> Recommendation {
    let Some(best) = feasible.first() else {
        return infeasible(capacities, all, sla, max_gpus);
    };
    let runner_up = feasible.iter().find(|p| !p.topology.is_like(best.topology)).map(|p| {
        let lower_by = 1.0 - p.tokens_per_s_per_gpu / best.tokens_per_s_per_gpu;
        RunnerUp { point: *p, lower_by, distinguishable: lower_by > error }
    });
    Recommendation::Deploy { best: *best, runner_up }
}

fn infeasible(capacities: &[Capacity], all: &[OperatingPoint], sla: Sla, max_gpus: u32) -> Recommendation {
    let nearest = all.iter().min_by(|a, b| a.strain(sla).total_cmp(&b.strain(sla))).copied();
    let binding = match nearest {
        Some(p) if p.ttft_ms / sla.ttft_ms >= p.itl_ms / sla.itl_ms => Binding::Ttft,
        Some(_) => Binding::Itl,
        None if capacities.iter().any(|c| c.max_batch_memory > 0 && c.tp > max_gpus) => Binding::Gpus,
        None => Binding::Memory,
    };
    Recommendation::Infeasible { binding, nearest }
}

impl Recommendation {
    /// The topology to deploy: the best, or what comes nearest.
    pub fn topology(&self) -> Option<Topology> {
        self.point().map(|p| p.topology)
    }

    /// The best point, or what comes nearest.
    pub fn point(&self) -> Option<&OperatingPoint> {
        match self {
            Recommendation::Deploy { best, .. } => Some(best),
            Recommendation::Infeasible { nearest, .. } => nearest.as_ref(),
        }
    }
}
