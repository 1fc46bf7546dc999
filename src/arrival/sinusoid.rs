//! Turns a sinusoidal rate curve into an exact nonhomogeneous Poisson process, by inverting the cumulative rate.
//!
//! In: a [`SineRate`]. Out: [`Sinusoid`], an [`ArrivalProcess`]. Invariant: the times are those at which the cumulative rate
//! passes the arrivals of a unit-rate Poisson process (the time-rescaling theorem), so there is no step, no grid and no
//! frozen rate. Not here: the older generator's bucketed counts, which `synth sin --compat-bucketed` reproduces.

use std::f64::consts::TAU;

use rand_distr::{Distribution, Exp1};

use super::{ArrivalParams, ArrivalProcess, MAX_RATE_RPS};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::time::SECOND_NS;

/// A rate that swings between two bounds: `rate(t) = m - a cos(2 pi t / P + phase)` with `m = (min + max) / 2` and
/// `a = (max - min) / 2`. With phase 0 it starts at the minimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SineRate {
    /// Lowest rate, requests per second; may be 0.
    pub min_rps: f64,
    /// Highest rate, requests per second.
    pub max_rps: f64,
    /// Length of one swing, in seconds.
    pub period_s: f64,
    /// Where in the swing it starts, in radians: 0 at the minimum, pi at the maximum.
    pub phase_rad: f64,
}

impl SineRate {
    /// Checks that the curve is a rate.
    ///
    /// # Errors
    /// A usage error that says which bound is wrong.
    pub fn validate(&self) -> Result<()> {
        let refused = |what: String| Err(Error::Usage(what));
        let rates = 0.0..=MAX_RATE_RPS;
        if !rates.contains(&self.min_rps) || !rates.contains(&self.max_rps) || self.max_rps == 0.0 {
            return refused(format!(
                "a rate between {} and {} requests per second cannot be kept; the minimum must be 0 or more, the maximum above 0 and at most {MAX_RATE_RPS:e}",
                self.min_rps, self.max_rps
            ));
        }
        if self.min_rps > self.max_rps {
            return refused(format!("the minimum rate {} is above the maximum {}", self.min_rps, self.max_rps));
        }
        if !(self.period_s > 0.0 && self.period_s.is_finite()) {
            return refused(format!("a period of {} s is no period; use a number above 0", self.period_s));
        }
        if !self.phase_rad.is_finite() {
            return refused(format!("a phase of {} radians is no angle", self.phase_rad));
        }
        Ok(())
    }

    fn mean_rps(&self) -> f64 {
        self.min_rps.midpoint(self.max_rps)
    }

    fn amplitude_rps(&self) -> f64 {
        (self.max_rps - self.min_rps) / 2.0
    }

    fn angle(&self, t_s: f64) -> f64 {
        TAU * t_s / self.period_s + self.phase_rad
    }

    /// The rate at `t_s`, in requests per second.
    pub fn rate_rps(&self, t_s: f64) -> f64 {
        self.mean_rps() - self.amplitude_rps() * self.angle(t_s).cos()
    }

    /// Requests expected in `[0, t_s)`: the integral of the rate,
    /// `m t - (a P / 2 pi) (sin(2 pi t / P + phase) - sin(phase))`.
    pub fn expected_count(&self, t_s: f64) -> f64 {
        let swing = self.amplitude_rps() * self.period_s / TAU;
        self.mean_rps() * t_s - swing * (self.angle(t_s).sin() - self.phase_rad.sin())
    }

    /// The time at which `count` requests are expected: the inverse of [`Self::expected_count`], in seconds.
    fn time_of_count(&self, count: f64) -> f64 {
        // Whole periods are taken off first: they are exact, and the rest is then solved with full precision.
        let per_period = self.mean_rps() * self.period_s;
        let periods = (count / per_period).floor();
        let rest = (count - periods * per_period).clamp(0.0, per_period);
        let (mut low, mut high) = (0.0, self.period_s);
        let resolution_s = 1e-11 * self.period_s.min(1.0);
        let mut t_s = rest / self.mean_rps();
        for _ in 0..100 {
            let excess = self.expected_count(t_s) - rest;
            if excess > 0.0 {
                high = t_s;
            } else {
                low = t_s;
            }
            // Newton where it stays inside the bracket; bisection where the rate is too small for it.
            let newton = t_s - excess / self.rate_rps(t_s);
            if (newton - t_s).abs() < resolution_s {
                break;
            }
            t_s = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
            if high - low < resolution_s {
                break;
            }
        }
        periods * self.period_s + t_s
    }
}

/// A Poisson process whose rate is a [`SineRate`].
#[derive(Clone, Debug)]
pub struct Sinusoid {
    rate: SineRate,
    expected: f64,
    at_ns: i64,
}

impl Sinusoid {
    /// The process of that rate.
    ///
    /// # Errors
    /// A usage error where the curve is no rate.
    pub fn new(rate: SineRate) -> Result<Sinusoid> {
        rate.validate()?;
        Ok(Sinusoid { rate, expected: 0.0, at_ns: 0 })
    }

    pub(super) fn boxed(params: &ArrivalParams) -> Result<Box<dyn ArrivalProcess>> {
        let missing = || Error::Usage("sinusoid needs a minimum rate, a maximum rate and a period".into());
        Ok(Box::new(Sinusoid::new(params.sine.ok_or_else(missing)?)?))
    }
}

impl ArrivalProcess for Sinusoid {
    fn next_ns(&mut self, rng: &mut Rng) -> i64 {
        let increment: f64 = Exp1.sample(rng);
        self.expected += increment;
        // The inversion's last bits must not make time go back where two arrivals coincide.
        let t_ns = (self.rate.time_of_count(self.expected) * SECOND_NS as f64).round() as i64;
        self.at_ns = self.at_ns.max(t_ns);
        self.at_ns
    }
}

#[cfg(test)]
mod tests {
    use super::super::{before, first};
    use super::*;
    use crate::rng::{Seed, Stream};

    fn sine(min_rps: f64, max_rps: f64, period_s: f64) -> SineRate {
        SineRate { min_rps, max_rps, period_s, phase_rad: 0.0 }
    }

    #[test]
    fn expected_counts_are_the_closed_form() {
        for (rate, t_s, count) in [
            (sine(5.0, 20.0, 150.0), 600.0, 7500.0),
            (sine(5.0, 10.0, 10.0), 1800.0, 13500.0),
            (sine(5.0, 10.0, 600.0), 1800.0, 13500.0),
            (sine(5.0, 20.0, 150.0), 1800.0, 22500.0),
            (sine(5.0, 20.0, 150.0), 1825.0, 22657.44),
        ] {
            assert!((rate.expected_count(t_s) - count).abs() < 0.005, "{rate:?}: {}", rate.expected_count(t_s));
        }
    }

    #[test]
    fn the_expected_count_is_the_integral_of_the_rate() {
        let rate = SineRate { min_rps: 1.0, max_rps: 9.0, period_s: 7.0, phase_rad: 1.3 };
        let steps = 100_000;
        let midpoints: f64 = (0..steps).map(|i| rate.rate_rps((f64::from(i) + 0.5) * 11.0 / f64::from(steps))).sum();
        assert!((midpoints * 11.0 / f64::from(steps) - rate.expected_count(11.0)).abs() < 1e-6);
        assert!((sine(2.0, 8.0, 5.0).rate_rps(0.0) - 2.0).abs() < 1e-12, "phase 0 starts at the minimum");
    }

    #[test]
    fn inversion_is_exact_even_where_the_rate_touches_zero_and_late_in_a_run() {
        for rate in [sine(0.0, 20.0, 30.0), sine(5.0, 5.0, 10.0), SineRate { phase_rad: 2.0, ..sine(0.1, 50.0, 3.0) }] {
            for i in 0..2000 {
                let count = f64::from(i) * 61.7;
                let t_s = rate.time_of_count(count);
                assert!((rate.expected_count(t_s) - count).abs() < 1e-6, "{rate:?} at {count}: {t_s}");
            }
        }
    }

    #[test]
    fn mean_count_over_200_seeds_is_the_expected_count() {
        let rate = sine(5.0, 20.0, 15.0);
        let expected = rate.expected_count(40.0);
        let counts = (0..200).map(|seed| {
            let mut rng = Seed(seed).stream(Stream::Arrival);
            before(40 * SECOND_NS, &mut Sinusoid::new(rate).unwrap(), &mut rng).len() as f64
        });
        let mean = counts.sum::<f64>() / 200.0;
        assert!((mean - expected).abs() < 3.0 * (expected / 200.0).sqrt(), "seeds 0..200: {mean} against {expected}");
    }

    #[test]
    fn rescaled_gaps_are_exponential() {
        // Kolmogorov-Smirnov at 1 %: D sqrt(n) < 1.628. The same data against a constant rate must fail.
        let rate = sine(1.0, 30.0, 20.0);
        let n = 4000;
        let times = first(n, &mut Sinusoid::new(rate).unwrap(), &mut Seed(5).stream(Stream::Arrival));
        let distance = |expected: &dyn Fn(f64) -> f64| {
            let counts: Vec<f64> = times.iter().map(|&t| expected(t as f64 / SECOND_NS as f64)).collect();
            let mut gaps: Vec<f64> =
                std::iter::once(0.0).chain(counts.iter().copied()).zip(&counts).map(|(a, b)| b - a).collect();
            gaps.sort_by(f64::total_cmp);
            let d = gaps.iter().enumerate().map(|(i, g)| {
                let cdf = 1.0 - (-g).exp();
                (cdf - i as f64 / n as f64).abs().max(((i + 1) as f64 / n as f64 - cdf).abs())
            });
            d.fold(0.0, f64::max) * (n as f64).sqrt()
        };
        assert!(distance(&|t_s| rate.expected_count(t_s)) < 1.628, "seed 5");
        assert!(distance(&|t_s| rate.mean_rps() * t_s) > 3.0, "the test must be able to tell");
    }

    #[test]
    fn curves_that_are_no_rate_are_refused() {
        for bad in [
            sine(5.0, 4.0, 10.0),
            sine(-1.0, 4.0, 10.0),
            sine(0.0, 0.0, 10.0),
            sine(1.0, f64::INFINITY, 10.0),
            sine(1.0, 2.0, 0.0),
            sine(1.0, 2.0, f64::NAN),
            SineRate { phase_rad: f64::NAN, ..sine(1.0, 2.0, 3.0) },
        ] {
            assert!(Sinusoid::new(bad).is_err(), "{bad:?}");
        }
    }
}
