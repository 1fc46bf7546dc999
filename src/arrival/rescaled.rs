//! Turns a rate that changes with time into arrivals, by exact inversion of the cumulative rate.
//!
//! In: a [`Curve`] in requests per second, and the law of the gaps at a rate of 1. Out: an [`ArrivalProcess`]. Invariant: the times
//! are those at which the cumulative rate passes the arrivals of a renewal process of rate 1 (the time-rescaling theorem;
//! Daley and Vere-Jones 2003, theorem 7.4.I), so there is no step, no grid and no frozen rate; and the renewal process is
//! stationary, so the expected count is the cumulative rate, however bursty the gaps are.
//! Not here: whether the curve is a rate ([`Curve::require_within`]).

use rand::RngExt;
use rand_distr::{Distribution, Exp1, Gamma};

use super::ArrivalProcess;
use super::curve::Curve;
use crate::rng::Rng;
use crate::time::SECOND_NS;

/// The law of gaps of mean 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnitGaps {
    /// All 1.
    Constant,
    /// Exponential.
    Exponential,
    /// Gamma with this shape, above 0: a coefficient of variation of `1 / sqrt(shape)`.
    Gamma {
        /// The shape.
        shape: f64,
    },
}

impl UnitGaps {
    /// Variance of a gap: for long times, that of a count over its mean (Cox 1962, section 4.5).
    pub fn variance(self) -> f64 {
        match self {
            UnitGaps::Constant => 0.0,
            UnitGaps::Exponential => 1.0,
            UnitGaps::Gamma { shape } => 1.0 / shape,
        }
    }

    fn next(self, rng: &mut Rng) -> f64 {
        match self {
            UnitGaps::Constant => 1.0,
            UnitGaps::Exponential => Exp1.sample(rng),
            UnitGaps::Gamma { shape } => gamma(shape, 1.0 / shape, rng),
        }
    }

    /// The gap before the first arrival of the stationary process: a uniform part of a gap that is drawn with a weight of its
    /// length (Cox 1962, section 5.2), which of gamma gaps is gamma with the shape increased by 1. Evenly spaced arrivals begin
    /// half a gap from the start, so that their count is the cumulative rate, rounded.
    fn first(self, rng: &mut Rng) -> f64 {
        match self {
            UnitGaps::Constant => 0.5,
            UnitGaps::Exponential => Exp1.sample(rng),
            UnitGaps::Gamma { shape } => rng.random::<f64>() * gamma(shape + 1.0, 1.0 / shape, rng),
        }
    }
}

fn gamma(shape: f64, scale: f64, rng: &mut Rng) -> f64 {
    // A shape and a scale that no gamma law has were refused before.
    Gamma::new(shape, scale).map_or(1.0, |law| law.sample(rng))
}

/// Arrivals of a rate that changes with time.
#[derive(Clone, Debug)]
pub struct Rescaled {
    curve: Curve,
    gaps: UnitGaps,
    /// The cumulative rate at the last arrival; null before the first.
    area: Option<f64>,
    at_s: f64,
}

impl Rescaled {
    /// The process of that rate. The curve must not be negative.
    pub fn new(curve: Curve, gaps: UnitGaps) -> Rescaled {
        Rescaled { curve, gaps, area: None, at_s: 0.0 }
    }
}

impl ArrivalProcess for Rescaled {
    /// `i64::MAX` where the rate has ended.
    fn next_ns(&mut self, rng: &mut Rng) -> i64 {
        let area = match self.area {
            None => self.gaps.first(rng),
            Some(area) => area + self.gaps.next(rng),
        };
        self.area = Some(area);
        match self.curve.time_of_integral(area, self.at_s) {
            Some(at_s) => {
                self.at_s = at_s;
                (at_s * SECOND_NS as f64).round() as i64
            }
            None => i64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SineRate, before, first};
    use super::*;
    use crate::rng::{Seed, Stream};

    const PRODUCT: &str =
        "(6 + 4 * sin(period=7s)) * ramp(from=0.5, to=3, end=30s) + spike(at=20s, width=2s, height=80)";
    const GAPS: [UnitGaps; 3] = [UnitGaps::Exponential, UnitGaps::Gamma { shape: 4.0 }, UnitGaps::Gamma { shape: 0.5 }];

    fn curve(text: &str) -> Curve {
        Curve::parse(text).unwrap()
    }

    /// Mean and standard error of the counts over the seeds 0 to 199.
    fn counts(curve: &Curve, gaps: UnitGaps, duration_s: i64) -> (f64, f64) {
        let counts: Vec<f64> = (0..200)
            .map(|seed| {
                let mut rng = Seed(seed).stream(Stream::Arrival);
                before(duration_s * SECOND_NS, &mut Rescaled::new(curve.clone(), gaps), &mut rng).len() as f64
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / 200.0;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 199.0;
        (mean, (variance / 200.0).sqrt())
    }

    #[test]
    fn mean_count_over_200_seeds_is_the_closed_form_of_the_sinusoid() {
        let rate = SineRate { min_rps: 5.0, max_rps: 20.0, period_s: 15.0, phase_rad: 0.0 };
        let expected = rate.expected_count(40.0);
        let (mean, _) = counts(&rate.curve(), UnitGaps::Exponential, 40);
        assert!((mean - expected).abs() < 3.0 * (expected / 200.0).sqrt(), "{mean} against {expected}");
        let written = curve("12.5 + sin(amplitude=7.5, period=15s, phase=-0.25)");
        assert_eq!(counts(&written, UnitGaps::Exponential, 40).0, mean, "the same rate, written as an expression");
    }

    #[test]
    fn mean_count_over_200_seeds_is_the_integral_however_bursty() {
        // Without the stationary first gap, a shape of 0.1 would give (1 / 0.1 - 1) / 2 = 4.5 requests too many.
        for (text, duration_s) in [(PRODUCT, 40), ("20 * pulse(at=1s, width=1s)", 3)] {
            for gaps in GAPS.into_iter().chain([UnitGaps::Gamma { shape: 0.1 }]) {
                let expected = curve(text).integral(duration_s as f64);
                let (mean, error) = counts(&curve(text), gaps, duration_s);
                assert!((mean - expected).abs() < 3.0 * error, "{text} {gaps:?}: {mean} ± {error} against {expected}");
            }
        }
    }

    #[test]
    fn evenly_spaced_arrivals_are_as_many_as_the_integral_rounded() {
        for duration_s in 1..60 {
            let mut rng = Seed(1).stream(Stream::Arrival);
            let times =
                before(duration_s * SECOND_NS, &mut Rescaled::new(curve(PRODUCT), UnitGaps::Constant), &mut rng);
            assert_eq!(times.len() as f64, curve(PRODUCT).integral(duration_s as f64).round(), "{duration_s} s");
        }
    }

    /// The regularised lower incomplete gamma function, by its series (Abramowitz and Stegun 1964, 6.5.29).
    fn gamma_cdf(shape: f64, x: f64) -> f64 {
        let gamma_of_next = match shape {
            0.5 => std::f64::consts::PI.sqrt() / 2.0,
            1.0 => 1.0,
            4.0 => 24.0,
            other => panic!("no gamma function of {other} here"),
        };
        let (mut term, mut sum) = (x.powf(shape) * (-x).exp() / gamma_of_next, 0.0);
        for n in 1..500 {
            sum += term;
            term *= x / (shape + f64::from(n));
        }
        sum
    }

    /// Kolmogorov-Smirnov: the distance of the rescaled gaps from their law, times the square root of their number.
    fn distance(times_ns: &[i64], expected: &dyn Fn(f64) -> f64, shape: f64) -> f64 {
        let areas: Vec<f64> = times_ns.iter().map(|&t| expected(t as f64 / SECOND_NS as f64)).collect();
        // The first gap has a law of its own.
        let mut gaps: Vec<f64> = areas.windows(2).map(|w| w[1] - w[0]).collect();
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        let steps = gaps.iter().enumerate().map(|(i, gap)| {
            let cdf = gamma_cdf(shape, gap * shape);
            (cdf - i as f64 / n).abs().max(((i + 1) as f64 / n - cdf).abs())
        });
        steps.fold(0.0, f64::max) * n.sqrt()
    }

    #[test]
    fn rescaled_gaps_have_their_law() {
        // 60 tests at a level of 1 % in all, by Bonferroni: the limit of D sqrt(n) is sqrt(ln(2 * 60 / 0.01) / 2) = 2.167
        // (asymptotic law of Kolmogorov 1933; n is 3999). Against a constant rate the same data fail by far.
        let limit = (f64::ln(2.0 * 60.0 / 0.01) / 2.0).sqrt();
        let swing = "15 + sin(amplitude=14.5, period=20s, phase=-0.25)";
        for (rate, gaps) in [swing, PRODUCT].into_iter().flat_map(|text| GAPS.map(|gaps| (curve(text), gaps))) {
            for seed in 0..10 {
                let shape = 1.0 / gaps.variance();
                let mut rng = Seed(seed).stream(Stream::Arrival);
                let times = first(4000, &mut Rescaled::new(rate.clone(), gaps), &mut rng);
                let found = distance(&times, &|t_s| rate.integral(t_s), shape);
                assert!(found < limit, "{}, {gaps:?}, seed {seed}: {found}", rate.text());
                let mean_rps = 4000.0 * SECOND_NS as f64 / times[3999] as f64;
                let level = distance(&times, &|t_s| mean_rps * t_s, shape);
                assert!(level > limit, "{}, {gaps:?}, seed {seed}: the test must tell, {level}", rate.text());
            }
        }
    }

    #[test]
    fn a_rate_that_ends_has_no_further_arrivals() {
        let mut process = Rescaled::new(curve("20 * pulse(at=1s, width=1s)"), UnitGaps::Constant);
        let times = first(22, &mut process, &mut Seed(1).stream(Stream::Arrival));
        assert_eq!((times[0], times[19], times[20], times[21]), (1_025_000_000, 1_975_000_000, i64::MAX, i64::MAX));
    }
}
