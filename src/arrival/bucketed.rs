//! Turns a sinusoidal rate into the arrivals of the older generator (sin_synth.py), for comparison with older results.
//!
//! In: a [`SineRate`], a duration, the interval for which the rate is frozen. Out: arrivals, and their expected number.
//! It is no [`super::ArrivalProcess`]: arrivals inside an interval depend on how many there will be.

use rand_distr::{Distribution, Poisson};

use super::SineRate;
use crate::rng::Rng;
use crate::time::SECOND_NS;

/// For each interval `[t, t + dt)` a Poisson count n of mean `rate(t) dt`, spread evenly at `t + dt k / n`; and the count
/// that is to be expected, the left Riemann sum of the rate. `interval_s` must be above 0.
pub fn bucketed(rate: &SineRate, duration_s: f64, interval_s: f64, rng: &mut Rng) -> (Vec<i64>, f64) {
    let (mut arrivals_ns, mut expected) = (Vec::new(), 0.0);
    for index in 0_u64.. {
        let start_s = index as f64 * interval_s;
        if start_s >= duration_s {
            break;
        }
        let length_s = interval_s.min(duration_s - start_s);
        let mean = rate.rate_rps(start_s) * length_s;
        expected += mean;
        // A mean of 0 (or less, by rounding) has no Poisson law, and no requests.
        let count = Poisson::new(mean).map_or(0.0, |law| law.sample(rng)) as u64;
        let at_s = |k: u64| start_s + length_s * k as f64 / count as f64;
        arrivals_ns.extend((0..count).map(|k| (at_s(k) * SECOND_NS as f64).round() as i64));
    }
    (arrivals_ns, expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Seed, Stream};

    #[test]
    fn a_last_interval_may_be_shorter_and_a_rate_of_zero_draws_nothing() {
        let rate = SineRate { min_rps: 0.0, max_rps: 40.0, period_s: 4.0, phase_rad: 0.0 };
        let (times, expected) = bucketed(&rate, 2.5, 1.0, &mut Seed(3).stream(Stream::Arrival));
        assert!((expected - (0.0 + 20.0 + 40.0 * 0.5)).abs() < 1e-9);
        assert!(times.iter().all(|t| (1_000_000_000..2_500_000_000).contains(t)), "seed 3: {times:?}");
    }
}
