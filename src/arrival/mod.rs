//! WHEN: an arrival process turns a random stream into the instants at which requests are due.
//!
//! In: an [`ArrivalParams`] and a [`Rng`]. Out: non-decreasing nanoseconds since the start of the phase, one by one, so
//! that the same process serves schedules bounded by a count ([`first`]) and by a duration ([`before`]).
//! Invariants: processes are pure (no clock, no hidden state); the first request comes one gap after the start, as in
//! aiperf, unless the rate changes with time; equal seeds give equal times. A new process is one file and one line in [`PROCESSES`].
//! Not here: recorded times (those are the trace's), and closed-loop load (that is the schedule's).

mod bucketed;
pub mod curve;
mod dispersion;
mod renewal;
mod rescaled;
mod sinusoid;

pub use bucketed::bucketed;
pub use dispersion::index_of_dispersion;
pub use renewal::{Constant, Gamma, Poisson};
pub use rescaled::{Rescaled, UnitGaps};
pub use sinusoid::SineRate;

use curve::Curve;

use crate::error::{Error, Result};
use crate::rng::Rng;

/// The highest rate that a process accepts, in requests per second: one per nanosecond.
const MAX_RATE_RPS: f64 = 1e9;

/// A source of arrival times.
pub trait ArrivalProcess {
    /// The next arrival, in nanoseconds since the start of the phase. Never less than the one before.
    fn next_ns(&mut self, rng: &mut Rng) -> i64;
}

/// What the processes are made from; each takes what it needs and ignores the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArrivalParams {
    /// Mean rate in requests per second; needed where there is no curve.
    pub rate_rps: Option<f64>,
    /// Shape of gamma's gaps: 1 is poisson, more is smoother, less is burstier. 1 where it is absent.
    pub smoothness: Option<f64>,
    /// A rate that changes with time, instead of `rate_rps`.
    pub curve: Option<Curve>,
}

/// A name on the command line and how its process is made.
pub struct Process {
    /// The name that users write.
    pub name: &'static str,
    /// One line for the help.
    pub summary: &'static str,
    build: fn(&ArrivalParams) -> Result<Box<dyn ArrivalProcess>>,
    /// Its gaps at a rate of 1, for rates that change.
    unit_gaps: fn(&ArrivalParams) -> Result<UnitGaps>,
}

/// Every arrival process.
pub static PROCESSES: &[Process] = &[
    Process {
        name: "constant",
        summary: "evenly spaced, exact to the nanosecond",
        build: Constant::boxed,
        unit_gaps: |_| Ok(UnitGaps::Constant),
    },
    Process {
        name: "poisson",
        summary: "exponential gaps: independent users",
        build: Poisson::boxed,
        unit_gaps: |_| Ok(UnitGaps::Exponential),
    },
    Process {
        name: "gamma",
        summary: "gamma gaps: smoother or burstier than poisson",
        build: Gamma::boxed,
        unit_gaps: |params| Ok(UnitGaps::Gamma { shape: smoothness(params)? }),
    },
];

/// The process of that name.
///
/// # Errors
/// A usage error where the name is unknown or a parameter is missing or out of range.
pub fn build(name: &str, params: &ArrivalParams) -> Result<Box<dyn ArrivalProcess>> {
    match (PROCESSES.iter().find(|p| p.name == name), &params.curve) {
        (Some(process), None) => (process.build)(params),
        (Some(process), Some(curve)) => Ok(Box::new(Rescaled::new(curve.clone(), (process.unit_gaps)(params)?))),
        (None, _) => {
            let known: Vec<_> = PROCESSES.iter().map(|p| p.name).collect();
            Err(Error::Usage(format!("no arrival process is named {name:?}; use one of {}", known.join(", "))))
        }
    }
}

/// The first `count` arrivals.
pub fn first(count: usize, process: &mut dyn ArrivalProcess, rng: &mut Rng) -> Vec<i64> {
    (0..count).map(|_| process.next_ns(rng)).collect()
}

/// The arrivals in `[0, end_ns)`.
pub fn before(end_ns: i64, process: &mut dyn ArrivalProcess, rng: &mut Rng) -> Vec<i64> {
    std::iter::repeat_with(|| process.next_ns(rng)).take_while(|&t_ns| t_ns < end_ns).collect()
}

/// The mean rate that a process needs, checked.
fn required_rate(params: &ArrivalParams) -> Result<f64> {
    match params.rate_rps {
        Some(rate_rps) if rate_rps > 0.0 && rate_rps <= MAX_RATE_RPS => Ok(rate_rps),
        Some(rate_rps) => Err(Error::Usage(format!(
            "a request rate of {rate_rps} cannot be kept; use a number of requests per second above 0 and at most {MAX_RATE_RPS:e}"
        ))),
        None => Err(Error::Usage("this arrival process needs a request rate in requests per second".into())),
    }
}

/// The shape of gamma's gaps, checked; 1 where it is absent.
fn smoothness(params: &ArrivalParams) -> Result<f64> {
    let smoothness = params.smoothness.unwrap_or(1.0);
    if (0.001..=1e6).contains(&smoothness) {
        return Ok(smoothness);
    }
    Err(Error::Usage(format!("a smoothness of {smoothness} gives no gaps; use a number from 0.001 to 1e6")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Seed, Stream};

    fn params() -> ArrivalParams {
        ArrivalParams { rate_rps: Some(10.0), smoothness: Some(2.0), curve: None }
    }

    #[test]
    fn every_process_never_goes_back_and_repeats_for_a_seed() {
        let curve = Curve::parse("5 + sin(amplitude=5, period=9s)").unwrap();
        let with_curve = ArrivalParams { curve: Some(curve), ..params() };
        for (process, params) in PROCESSES.iter().flat_map(|p| [(p, params()), (p, with_curve.clone())]) {
            let run = || first(2000, &mut *build(process.name, &params).unwrap(), &mut Seed(3).stream(Stream::Arrival));
            let times = run();
            assert!(times[0] > 0, "{}: the first comes one gap after the start", process.name);
            assert!(times.windows(2).all(|w| w[0] <= w[1]), "{}", process.name);
            assert_eq!(times, run(), "{}", process.name);
        }
    }

    #[test]
    fn a_duration_bound_cuts_the_same_sequence_that_a_count_bound_takes() {
        let mut rng = Seed(4).stream(Stream::Arrival);
        let cut = before(10_000_000_000, &mut *build("poisson", &params()).unwrap(), &mut rng);
        let mut rng = Seed(4).stream(Stream::Arrival);
        let taken = first(cut.len() + 1, &mut *build("poisson", &params()).unwrap(), &mut rng);
        assert_eq!(cut[..], taken[..cut.len()]);
        assert!(taken[cut.len()] >= 10_000_000_000);
    }

    #[test]
    fn bad_parameters_are_usage_errors() {
        let refused = |name: &str, p: ArrivalParams| build(name, &p).err().expect("refused").to_string();
        assert!(refused("burst", params()).contains("constant, poisson, gamma"));
        for rate_rps in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e10] {
            for name in ["constant", "poisson", "gamma"] {
                refused(name, ArrivalParams { rate_rps: Some(rate_rps), ..params() });
            }
        }
        refused("poisson", ArrivalParams { rate_rps: None, ..params() });
        for smoothness in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            refused("gamma", ArrivalParams { smoothness: Some(smoothness), ..params() });
        }
    }
}
