//! Makes the client busier, step by step, and measures what that does to its token times.
//!
//! The worker spins after each read, for as long as brings its core to the utilisation that is aimed at: with tokens that
//! come at a known rate, their interval times that share, less what a token costs anyway, which a first step measures.
//! Not here: the errors themselves, see [`super::streams`].

use serde::{Deserialize, Serialize};

use super::StepResult;
use super::bench::Bench;
use super::spread::ratio;
use super::streams::{ITL_NS, StreamStep, measure};
use crate::error::Result;

/// Streams of each step.
pub const STREAMS: u32 = 100;
/// Utilisations that are aimed at, in percent of a core; 0 is that without a spin.
pub(super) const AIMS: [u32; 6] = [0, 10, 50, 80, 90, 95];

/// One utilisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnStep {
    /// Share of its core that the client was to use while all streams are open; 0 for the step without a spin.
    pub aimed: f64,
    /// Time that was spun away after each read. 0 where the client is as busy as that without it.
    pub burn_ns: i64,
    /// What came of it.
    pub step: StreamStep,
}

/// Measures at `aim` percent. `before` are the steps so far, the one without a spin the first.
///
/// # Errors
/// Those of [`measure`].
pub(super) fn at(bench: &Bench, aim: u32, output_tokens: u32, before: &[BurnStep]) -> Result<BurnStep> {
    let aimed = ratio(aim.into(), 100.0);
    let own_ns = before.first().map_or(0, own_ns);
    let burn_ns = if aim == 0 { 0 } else { burn_ns(aimed, own_ns) };
    Ok(BurnStep { aimed, burn_ns, step: measure(bench, STREAMS, output_tokens, burn_ns)? })
}

fn burn_ns(aimed: f64, own_ns: i64) -> i64 {
    let interval_ns = ITL_NS / i64::from(STREAMS);
    ((interval_ns as f64 * aimed).round() as i64 - own_ns).max(0)
}

/// The worker's CPU time for each token of a step, all else that it does included.
fn own_ns(step: &BurnStep) -> i64 {
    match &step.step.result {
        StepResult::Measured(m) => (m.client_cpu_ns as f64 / m.token.read.n.max(1) as f64).round() as i64,
        StepResult::Skipped(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_costs_anyway_is_not_spun_away() {
        // A hundred streams with a token each 10 ms are one each 100 µs.
        assert_eq!([burn_ns(0.9, 8_000), burn_ns(0.05, 8_000)], [82_000, 0]);
    }
}
