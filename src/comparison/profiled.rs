//! What was measured of one deployment, and what that cost; whether it came to its end or not.
//!
//! Not here: how it is measured (`commands::sweep`), what is deployed of several ([`super::measured_sweep`]).

use super::capacity_search::End;
use super::measured_sweep::{Bounds, MeasuredPoint, MeasuredPrefill, Recommendation};

/// What one run asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Prompts of one length, one at a time, an answer of one token each.
    Prefill {
        /// Tokens of a prompt.
        isl: u32,
    },
    /// So many requests in flight.
    Decode {
        /// The clients.
        clients: u32,
    },
}

impl Task {
    /// The directory of its run, below that of the results.
    pub fn dir(self, tp: u32) -> String {
        match self {
            Task::Prefill { isl } => format!("tp{tp}/prefill/isl_{isl}"),
            Task::Decode { clients } => format!("tp{tp}/decode/concurrency_{clients:04}"),
        }
    }
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To its end.
    Measured,
    /// Its deployment, or a run against it, failed; what was measured before is kept.
    Failed,
    /// The user stopped it; what was measured before is kept.
    Interrupted,
    /// It was not begun.
    NotMeasured,
}

/// What a deployment cost until its last number was there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// GPUs that it held.
    pub gpus: u32,
    /// From its start until it was ready, seconds; 0 for one that was there.
    pub ready_s: f64,
    /// From then on until its last run ended, seconds.
    pub measure_s: f64,
}

impl Spent {
    /// GPU seconds: gpus · (ready + measure).
    pub fn gpu_s(&self) -> f64 {
        f64::from(self.gpus) * (self.ready_s + self.measure_s)
    }
}

/// One deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Profiled {
    /// Tensor-parallel size.
    pub tp: u32,
    /// Where the deployment came from: simulated, endpoint, launched, kubernetes.
    pub deployment: &'static str,
    /// How far it came.
    pub state: State,
    /// Why no further.
    pub reason: Option<String>,
    /// Where it answered.
    pub url: Option<String>,
    /// The file with its words.
    pub log: Option<String>,
    /// When it was begun, ns since 1970.
    pub started_ns: i64,
    /// When it was ready, ns since 1970.
    pub ready_at_ns: Option<i64>,
    /// When it was over, its end included, ns since 1970.
    pub ended_ns: i64,
    /// What it cost.
    pub spent: Spent,
    /// TTFT by prompt length.
    pub prefill: Vec<MeasuredPrefill>,
    /// Load by load, by number of clients.
    pub points: Vec<MeasuredPoint>,
    /// Why no more clients were tried.
    pub end: Option<End>,
    /// The fewest clients with the highest throughput, within what counts as growth; 0 where none was measured.
    pub capacity: u32,
    /// Whether throughput had stopped to grow there; else the deployment holds more.
    pub is_saturated: bool,
}

impl Profiled {
    /// One that was not begun, of a size on so many GPUs.
    pub fn not_measured((tp, gpus): (u32, u32), deployment: &'static str, reason: &str) -> Profiled {
        Profiled {
            tp,
            deployment,
            state: State::NotMeasured,
            reason: Some(reason.into()),
            url: None,
            log: None,
            started_ns: 0,
            ready_at_ns: None,
            ended_ns: 0,
            spent: Spent { gpus, ..Spent::default() },
            prefill: Vec::new(),
            points: Vec::new(),
            end: None,
            capacity: 0,
            is_saturated: false,
        }
    }

    /// Whose seconds its cost is in.
    pub fn clock(&self) -> &'static str {
        clock(std::slice::from_ref(self))
    }

    /// Whether its seconds are simulated ones.
    pub fn is_simulated(&self) -> bool {
        self.deployment == "simulated"
    }
}

/// All that was measured, and what is deployed of it.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredSweep<'a> {
    /// The model.
    pub model: &'a str,
    /// The GPU.
    pub gpu: &'a str,
    /// The serving engine.
    pub backend: &'a str,
    /// Prompt tokens.
    pub isl: u32,
    /// Answer tokens.
    pub osl: u32,
    /// The SLA.
    pub bounds: Bounds,
    /// GPUs, at most.
    pub max_gpus: u32,
    /// The deployments, in the order in which they were measured.
    pub candidates: &'a [Profiled],
    /// What to deploy; none where nothing was answered.
    pub recommendation: Option<&'a Recommendation>,
    /// From the first to the last moment of the program's work, seconds.
    pub wall_s: f64,
    /// What is to be said.
    pub notes: &'a [String],
}

impl MeasuredSweep<'_> {
    /// Seconds for which something was deployed, one after the other.
    pub fn deployed_s(&self) -> f64 {
        self.candidates.iter().map(|c| c.spent.ready_s + c.spent.measure_s).sum()
    }

    /// GPU seconds of all deployments.
    pub fn gpu_s(&self) -> f64 {
        self.candidates.iter().map(|c| c.spent.gpu_s()).sum()
    }

    /// Whose seconds those are: `wall`, `simulated`, or `mixed` ones.
    pub fn clock(&self) -> &'static str {
        clock(self.candidates)
    }
}

/// Whose seconds a sum over candidates is of.
fn clock(candidates: &[Profiled]) -> &'static str {
    match candidates.iter().filter(|c| c.is_simulated()).count() {
        0 => "wall",
        n if n == candidates.len() => "simulated",
        _ => "mixed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpu_seconds_are_those_until_the_last_number_was_there() {
        assert_eq!(Spent { gpus: 4, ready_s: 100.0, measure_s: 50.0 }.gpu_s(), 600.0);
        let idle = Profiled::not_measured((4, 8), "launched", "no time");
        assert_eq!((idle.spent.gpu_s(), idle.spent.gpus, idle.is_simulated()), (0.0, 8, false));
    }

    #[test]
    fn every_run_has_a_directory_of_its_own() {
        assert_eq!(Task::Prefill { isl: 64 }.dir(2), "tp2/prefill/isl_64");
        assert_eq!(Task::Decode { clients: 8 }.dir(2), "tp2/decode/concurrency_0008");
    }
}
