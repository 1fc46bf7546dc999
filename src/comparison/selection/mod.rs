//! Candidates, and a way to measure them → the one to deploy, what was measured for that, and what it cost.
//!
//! A method is one file with one function and one line in [`METHODS`]. It sees a [`Session`] only: what is predicted of each candidate,
//! and values as they are measured, each with an effort between 0 and 1 (the share of a full measurement). The session keeps the budget and the
//! log, so that no method can overspend or forget a step. What a measurement is (a run on a deployment, a simulated one, a line of a
//! table) is the [`Bench`]'s.
//! Invariants: equal seeds and values give equal choices; a value that was not measured is never made up. Not here: running
//! anything (`commands`), regret ([`super::regret`]).

mod bayesian;
pub mod cases;
mod gaussian;
mod halving;
mod hybrid;
mod measure_all;
mod predict_all;
mod random;
mod session;
mod stack_rank;

pub use session::Session;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::rng::Rng;

/// A deployment that could be chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// What it is called, in steps and tables.
    pub name: String,
    /// GPUs of one tensor-parallel group.
    pub tp: u32,
    /// Sequences at once.
    pub batch: u32,
    /// GPUs of the whole deployment.
    pub gpus: u32,
    /// What a prediction expects to be measured of it, in the unit of [`Measurement::value`]; where it expects the targets to be missed
    /// 0, or below 0 and the less the farther it is from them. Null where there is no prediction.
    pub predicted: Option<f64>,
}

/// What one measurement said and cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// The more the better, 0 where the targets are missed: goodput or throughput per GPU. Null where the deployment did not come up or
    /// the run could not be used: that costs too.
    pub value: Option<f64>,
    /// Wall-clock seconds, start and stop of the deployment included.
    pub wall_s: f64,
    /// GPUs times seconds.
    pub gpu_s: f64,
}

/// Where candidates are measured.
pub trait Bench {
    /// All of them, in an order that stays.
    fn candidates(&self) -> &[Candidate];

    /// Measures one with that share, in (0, 1], of a full measurement. `None` where it was interrupted, which ends the search.
    ///
    /// # Errors
    /// What keeps every further measurement from being made. A candidate that fails alone is a measurement without a value.
    fn measure(&mut self, candidate: usize, effort: f64) -> Result<Option<Measurement>>;
}

/// How much may be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Full measurements, the sum of all efforts; infinite for as many as the method wants.
    pub measurements: f64,
    /// GPU seconds after which no step begins (a step that has begun is not cut); infinite for no bound.
    pub gpu_s: f64,
}

impl Budget {
    /// No bound.
    pub const NONE: Budget = Budget { measurements: f64::INFINITY, gpu_s: f64::INFINITY };

    /// So many full measurements.
    pub fn measurements(count: u32) -> Budget {
        Budget { measurements: f64::from(count), ..Budget::NONE }
    }
}

/// One measurement, as it was made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Index among the candidates.
    pub candidate: usize,
    /// Its name.
    pub name: String,
    /// Share of a full measurement.
    pub effort: f64,
    /// What was measured; null where it failed.
    pub value: Option<f64>,
    /// Wall-clock seconds.
    pub wall_s: f64,
    /// GPU seconds.
    pub gpu_s: f64,
    /// The candidate that the method would deploy if it ended here: the best of what was measured with most effort.
    pub incumbent: Option<usize>,
}

/// What a method chose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The method's name.
    pub method: &'static str,
    /// Index of the candidate to deploy; null where there is none to recommend, and a note says why.
    pub chosen: Option<usize>,
    /// Every measurement in its order.
    pub steps: Vec<Step>,
    /// What a reader of the result has to know.
    pub notes: Vec<String>,
}

impl Choice {
    /// The sum of efforts: what was measured, in full measurements.
    pub fn measurements(&self) -> f64 {
        self.steps.iter().map(|s| s.effort).sum()
    }

    /// GPU seconds of all steps.
    pub fn gpu_s(&self) -> f64 {
        self.steps.iter().map(|s| s.gpu_s).sum()
    }

    /// Wall-clock seconds of all steps, one after the other.
    pub fn wall_s(&self) -> f64 {
        self.steps.iter().map(|s| s.wall_s).sum()
    }

    /// The cost-regret curve: GPU seconds spent after each step, and the regret of ending there, given every candidate's true value.
    /// Null where the best value is 0 or nothing was chosen yet.
    pub fn curve(&self, truth: &[f64]) -> Vec<(f64, Option<f64>)> {
        let best = truth.iter().copied().fold(0.0, f64::max);
        let mut spent = 0.0;
        self.steps
            .iter()
            .map(|step| {
                spent += step.gpu_s;
                let own = step.incumbent.map(|c| truth[c]);
                (spent, super::regret::regret(Some(best), own).value())
            })
            .collect()
    }
}

/// A way to choose.
#[derive(Debug)]
pub struct Method {
    /// Its name on the command line and in files.
    pub name: &'static str,
    /// Other names of it.
    pub aliases: &'static [&'static str],
    /// One line for help and tables.
    pub about: &'static str,
    /// The candidate to deploy, of what the session measured.
    run: fn(&mut Session, &mut Rng) -> Result<Option<usize>>,
}

impl Method {
    /// Chooses within the budget.
    ///
    /// # Errors
    /// Those of the bench.
    pub fn choose(&self, bench: &mut dyn Bench, budget: &Budget, rng: &mut Rng) -> Result<Choice> {
        let mut session = Session::new(bench, *budget);
        let chosen = if session.candidates().is_empty() {
            session.note("there is no candidate");
            None
        } else {
            (self.run)(&mut session, rng)?
        };
        let (steps, mut notes) = session.into_log();
        if let Some(chosen) = chosen
            && steps.iter().any(|s| s.candidate == chosen)
            && steps.iter().all(|s| s.value.is_none_or(|v| v <= 0.0))
        {
            notes.push("nothing that was measured meets the targets".into());
        }
        Ok(Choice { method: self.name, chosen, steps, notes })
    }
}

/// Every method.
pub static METHODS: &[Method] = &[
    Method {
        name: "predict-all",
        aliases: &["aic-all", "predict"],
        about: "take the best prediction; nothing is measured",
        run: predict_all::choose,
    },
    Method {
        name: "measure-all",
        aliases: &["online-all", "profile-all"],
        about: "measure every candidate and take the best; the prediction is not used",
        run: measure_all::choose,
    },
    Method {
        name: "stack-rank",
        aliases: &["top-n"],
        about: "measure the first candidates of the prediction's order, take the best measured",
        run: stack_rank::choose,
    },
    Method {
        name: "hybrid",
        aliases: &["calibrated"],
        about: "as stack-rank, but the prediction is corrected by each measurement and the rest ordered anew; ends where no better one is expected",
        run: hybrid::choose,
    },
    Method {
        name: "bayesian",
        aliases: &["bo"],
        about: "search tensor parallelism and batch with a Gaussian process and expected improvement; the prediction is not used",
        run: bayesian::choose,
    },
    Method {
        name: "halving",
        aliases: &["successive-halving"],
        about: "measure all candidates briefly, the better half for twice as long, and so on",
        run: halving::choose,
    },
    Method {
        name: "random",
        aliases: &[],
        about: "measure candidates drawn at random and take the best; without a budget for one, take any",
        run: random::choose,
    },
];

/// The method of that name, however it is spelled: case, `_` and `-` do not matter.
///
/// # Errors
/// A usage error that lists all names.
pub fn method(name: &str) -> Result<&'static Method> {
    let plain = name.trim().to_lowercase().replace('_', "-");
    METHODS.iter().find(|m| m.name == plain || m.aliases.contains(&plain.as_str())).ok_or_else(|| {
        let known: Vec<_> = METHODS.iter().map(|m| m.name).collect();
        Error::Usage(format!("no method is named {name:?}; use one of {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests;
