//! Turns two bounds and a period into a sinusoidal rate, and the rate into its expected count.
//!
//! In: a [`SineRate`]. Out: numbers, or a [`Curve`]. Not here: arrivals (`rescaled`), nor the older generator's bucketed counts,
//! which `synth sin --compat-bucketed` reproduces (`bucketed`).

use std::f64::consts::TAU;

use super::MAX_RATE_RPS;
use super::curve::Curve;
use crate::error::{Error, Result};

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

    /// The same rate as a curve, whose arrivals are exact.
    pub fn curve(&self) -> Curve {
        Curve::cosine(self.mean_rps(), -self.amplitude_rps(), self.period_s, self.phase_rad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_curve_is_the_same_rate() {
        let rate = SineRate { min_rps: 1.0, max_rps: 9.0, period_s: 7.0, phase_rad: 1.3 };
        for t_s in [0.0, 1.0, 30.3, 1e5] {
            assert!((rate.curve().value(t_s) - rate.rate_rps(t_s)).abs() < 1e-8, "at {t_s}");
            assert!((rate.curve().integral(t_s) - rate.expected_count(t_s)).abs() < 1e-8, "to {t_s}");
        }
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
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
