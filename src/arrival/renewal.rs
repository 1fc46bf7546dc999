//! Turns a mean rate into arrivals whose gaps are alike: constant, exponential or gamma-distributed.
//!
//! In: a rate in requests per second (and gamma's shape). Out: [`ArrivalProcess`]es. Invariant: the mean rate is kept,
//! whatever the shape. Not here: rates that change with time (`rescaled`).

use rand_distr::{Distribution, Exp1};

use super::{ArrivalParams, ArrivalProcess, required_rate, smoothness};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::time::SECOND_NS;

/// Arrival `i` (from 1) at `i / rate`, rounded once, so that no error builds up.
#[derive(Clone, Debug)]
pub struct Constant {
    rate_rps: f64,
    arrivals: u64,
}

/// Independent exponential gaps of mean `1 / rate`.
#[derive(Clone, Debug)]
pub struct Poisson {
    mean_gap_ns: f64,
    at_ns: f64,
}

/// Independent gamma gaps of shape k and mean `1 / rate`: their coefficient of variation is `1 / sqrt(k)`.
#[derive(Clone, Debug)]
pub struct Gamma {
    gap_ns: rand_distr::Gamma<f64>,
    at_ns: f64,
}

impl Constant {
    pub(super) fn boxed(params: &ArrivalParams) -> Result<Box<dyn ArrivalProcess>> {
        Ok(Box::new(Constant { rate_rps: required_rate(params)?, arrivals: 0 }))
    }
}

impl ArrivalProcess for Constant {
    fn next_ns(&mut self, _: &mut Rng) -> i64 {
        self.arrivals += 1;
        (self.arrivals as f64 * SECOND_NS as f64 / self.rate_rps).round() as i64
    }
}

impl Poisson {
    pub(super) fn boxed(params: &ArrivalParams) -> Result<Box<dyn ArrivalProcess>> {
        Ok(Box::new(Poisson { mean_gap_ns: SECOND_NS as f64 / required_rate(params)?, at_ns: 0.0 }))
    }
}

impl ArrivalProcess for Poisson {
    fn next_ns(&mut self, rng: &mut Rng) -> i64 {
        let gap: f64 = Exp1.sample(rng);
        self.at_ns += gap * self.mean_gap_ns;
        self.at_ns.round() as i64
    }
}

impl Gamma {
    /// Shape and scale as aiperf's `gammavariate(smoothness, 1 / (rate * smoothness))`.
    pub(super) fn boxed(params: &ArrivalParams) -> Result<Box<dyn ArrivalProcess>> {
        let rate_rps = required_rate(params)?;
        let smoothness = smoothness(params)?;
        let scale_ns = SECOND_NS as f64 / (rate_rps * smoothness);
        let gap_ns = rand_distr::Gamma::new(smoothness, scale_ns)
            .map_err(|e| Error::Usage(format!("a smoothness of {smoothness} at {rate_rps} per second: {e}")))?;
        Ok(Box::new(Gamma { gap_ns, at_ns: 0.0 }))
    }
}

impl ArrivalProcess for Gamma {
    fn next_ns(&mut self, rng: &mut Rng) -> i64 {
        self.at_ns += self.gap_ns.sample(rng);
        self.at_ns.round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::super::{before, build, first};
    use super::*;
    use crate::rng::{Seed, Stream};

    fn times(name: &str, rate_rps: f64, smoothness: f64, count: usize, seed: u64) -> Vec<i64> {
        let params = ArrivalParams { rate_rps: Some(rate_rps), smoothness: Some(smoothness), curve: None };
        first(count, &mut *build(name, &params).unwrap(), &mut Seed(seed).stream(Stream::Arrival))
    }

    #[test]
    fn constant_does_not_drift() {
        let thirds = times("constant", 3.0, 1.0, 3_000_000, 0);
        assert_eq!(thirds[..4], [333_333_333, 666_666_667, 1_000_000_000, 1_333_333_333]);
        assert_eq!(thirds[2_999_999], 1_000_000 * SECOND_NS);
    }

    #[test]
    fn gaps_have_the_mean_and_variation_of_their_law() {
        // Standard error of the mean of n gaps is cv/sqrt(n); that of the variation is bounded by 3 % here.
        for (name, shape) in [("poisson", 1.0), ("gamma", 4.0), ("gamma", 0.5)] {
            let n = 40_000;
            let t = times(name, 8.0, shape, n, 11);
            let gaps: Vec<f64> =
                std::iter::once(&0).chain(&t).zip(&t).map(|(a, b)| (b - a) as f64 * 8.0 / SECOND_NS as f64).collect();
            let mean = gaps.iter().sum::<f64>() / n as f64;
            let cv = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n as f64).sqrt() / mean;
            let expected_cv = 1.0 / shape.sqrt();
            assert!((mean - 1.0).abs() < 4.0 * expected_cv / (n as f64).sqrt(), "{name} {shape}: mean {mean}");
            assert!((cv / expected_cv - 1.0).abs() < 0.03, "{name} {shape}: cv {cv}");
        }
    }

    #[test]
    fn mean_count_over_200_seeds_is_the_rate() {
        let counts: Vec<f64> = (0..200)
            .map(|seed| {
                let params = ArrivalParams { rate_rps: Some(25.0), ..Default::default() };
                let mut rng = Seed(seed).stream(Stream::Arrival);
                before(20 * SECOND_NS, &mut *build("poisson", &params).unwrap(), &mut rng).len() as f64
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / 200.0;
        let standard_error = (500.0f64 / 200.0).sqrt();
        assert!((mean - 500.0).abs() < 3.0 * standard_error, "seeds 0..200: mean {mean}");
    }
}
