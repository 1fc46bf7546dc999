//! What a run is to be, before it is planned: a source of requests, and what releases them in each phase.

use rand::RngExt;
use rand_distr::{Distribution, Normal};

use super::conversation::History;
use super::dataset::Dataset;
use super::opening::OpeningSpec;
use super::order::Sampling;
use super::{Caps, Overload};
use crate::endpoint::RequestOptions;
use crate::outcome::Phase;
use crate::rng::{Rng, Seed};
use crate::trace::Trace;

/// What lengths (or other whole numbers, at least 1) are drawn by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LengthLaw {
    /// From a normal distribution, as aiperf does: rounded up, redrawn while negative, at least 1; a standard deviation of 0
    /// gives the mean, rounded.
    Normal {
        /// Its mean, in tokens.
        mean: f64,
        /// Its standard deviation, in tokens.
        stddev: f64,
    },
    /// Each length of a range as likely.
    Uniform {
        /// The shortest, in tokens.
        low: u32,
        /// The longest, in tokens.
        high: u32,
    },
}

impl LengthLaw {
    /// Lengths around a mean.
    pub fn normal(mean: f64, stddev: f64) -> LengthLaw {
        LengthLaw::Normal { mean, stddev }
    }

    /// One length.
    pub fn exactly(tokens: f64) -> LengthLaw {
        LengthLaw::normal(tokens, 0.0)
    }

    /// The mean: that of the normal distribution before it is rounded.
    pub fn mean(&self) -> f64 {
        match *self {
            LengthLaw::Normal { mean, .. } => mean,
            LengthLaw::Uniform { low, high } => (f64::from(low) + f64::from(high)) / 2.0,
        }
    }

    /// The standard deviation, likewise.
    pub fn stddev(&self) -> f64 {
        match *self {
            LengthLaw::Normal { stddev, .. } => stddev,
            LengthLaw::Uniform { low, high } => ((f64::from(high - low) + 1.0).powi(2) - 1.0).sqrt() / 12f64.sqrt(),
        }
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> u32 {
        let (mean, stddev) = match *self {
            LengthLaw::Uniform { low, high } => return rng.random_range(low..=high.max(low)).max(1),
            LengthLaw::Normal { mean, stddev } => (mean, stddev),
        };
        let Ok(normal) = Normal::new(mean, stddev) else { return 1 };
        if stddev <= 0.0 {
            return (mean.round() as u32).max(1);
        }
        loop {
            let x = normal.sample(rng);
            if x >= 0.0 {
                return (x.ceil() as u32).max(1);
            }
        }
    }
}

/// Where requests come from.
#[derive(Debug)]
pub enum Source {
    /// A trace's entries, from the start again when they run out.
    Trace(Trace),
    /// A drawn dataset, likewise.
    Synthetic(Dataset),
}

/// What releases a phase's requests.
#[derive(Clone, Debug)]
pub enum Load {
    /// The trace's own times.
    Recorded,
    /// These times since the phase's start, one for each request (for each group of them that wait for each other).
    Times(Vec<i64>),
    /// Closed loop: so many lanes, and so many requests, or as many as its duration allows.
    Lanes {
        /// Requests in flight at any time.
        lanes: u32,
        /// Requests in all.
        requests: Option<u64>,
    },
    /// So many users, each with one conversation after the other.
    Users(Users),
}

/// Users who ask at a steady pace: their seats in the schedule (see `users`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Users {
    /// How many there are at any time.
    pub seats: u32,
    /// Time between two turns of one of them.
    pub gap_ns: i64,
}

/// One phase as it is asked for.
#[derive(Clone, Debug)]
pub struct PhaseSpec {
    /// Which phase.
    pub phase: Phase,
    /// What releases its requests.
    pub load: Load,
    /// Most requests in all.
    pub requests_max: Option<u64>,
    /// Most conversations in all: single requests, and groups of those that wait for each other.
    pub conversations_max: Option<u64>,
    /// Most requests at once.
    pub caps: Caps,
    /// Nothing is released from here on.
    pub duration_ns: Option<i64>,
    /// Time to finish for what is in flight then.
    pub grace_ns: i64,
    /// What happens to a request that is due while the cap is reached.
    pub on_overload: Overload,
    /// Which share of its requests the client gives up, and how long after their write.
    pub cancellation: Option<Cancellation>,
}

impl PhaseSpec {
    /// A phase of that load and nothing else: without a bound, a cap or a grace period, and none of it given up.
    pub fn new(phase: Phase, load: Load) -> PhaseSpec {
        PhaseSpec {
            phase,
            load,
            requests_max: None,
            conversations_max: None,
            caps: Caps::default(),
            duration_ns: None,
            grace_ns: 0,
            on_overload: Overload::Queue,
            cancellation: None,
        }
    }

    /// Whether it goes on until its time is up.
    pub(super) fn is_endless(&self) -> bool {
        let counts = [self.requests_max, self.conversations_max];
        matches!(self.load, Load::Lanes { requests: None, .. }) && counts.iter().all(Option::is_none)
    }
}

/// Requests that the client gives up on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cancellation {
    /// Their share, 0 to 1.
    pub share: f64,
    /// Time from a request's last byte to its giving up.
    pub after_ns: i64,
}

/// A whole run as it is asked for.
#[derive(Debug)]
pub struct PlanSpec {
    /// The seed of every draw.
    pub seed: Seed,
    /// What all requests have in common.
    pub request: RequestOptions,
    /// Where requests come from.
    pub source: Source,
    /// In which order they are taken from there, unless by their own times.
    pub sampling: Sampling,
    /// Limit of output tokens where the source gives none.
    pub output: Option<LengthLaw>,
    /// What conversations open with.
    pub opening: OpeningSpec,
    /// The answers that later turns of a session are sent with.
    pub history: History,
    /// The phases, in order.
    pub phases: Vec<PhaseSpec>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn lengths_follow_aiperfs_rule() {
        let mut rng = Seed(1).stream(Stream::InputLength);
        assert_eq!(LengthLaw::exactly(549.5).draw(&mut rng), 550);
        let law = LengthLaw::normal(100.0, 30.0);
        let draws: Vec<u32> = (0..4000).map(|_| law.draw(&mut rng)).collect();
        let mean = draws.iter().sum::<u32>() as f64 / 4000.0;
        assert!((mean - 100.5).abs() < 2.0 && draws.iter().all(|d| *d >= 1), "mean {mean}");
        let range = LengthLaw::Uniform { low: 3, high: 6 };
        let draws: Vec<u32> = (0..4000).map(|_| range.draw(&mut rng)).collect();
        let shares = [2, 3, 4, 5, 6, 7].map(|n| draws.iter().filter(|d| **d == n).count() / 800);
        assert_eq!(shares, [0, 1, 1, 1, 1, 0]);
    }
}
