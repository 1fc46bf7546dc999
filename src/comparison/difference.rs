//! The values of two runs, in the order of sending → how far their means lie apart, and whether that is more than chance.
//!
//! Requests that follow each other share a queue, so that the mean of single values would look surer than it is: each run is cut
//! into ten blocks of neighbours, the blocks' means are taken as independent (batch means; Schmeiser 1982), and the difference of
//! the two runs' means has Welch's interval (1947) with Student's t. Invariant: pure.

use super::student::two_sided;

/// Blocks of a run.
const BLOCKS: usize = 10;
/// Fewest values of a block.
const BLOCK_MIN: usize = 2;

/// How far one mean lies from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The second mean minus the first, in the values' unit.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Difference {
    /// Whether the interval leaves out 0.
    pub fn is_distinguishable(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// The difference of the means of `second` and `first`. `None` where either has fewer than 20 values.
pub fn difference(first: &[f64], second: &[f64], confidence: f64) -> Option<Difference> {
    let (a, b) = (Blocks::of(first)?, Blocks::of(second)?);
    let estimate = b.mean - a.mean;
    let variance = a.variance + b.variance;
    let freedom = if variance > 0.0 {
        let part = |v: f64| v * v / (BLOCKS - 1) as f64;
        (variance * variance / (part(a.variance) + part(b.variance))).floor().max(1.0)
    } else {
        (BLOCKS - 1) as f64
    };
    let half = two_sided(confidence, freedom as u32) * variance.sqrt();
    Some(Difference { estimate, low: estimate - half, high: estimate + half })
}

/// Mean of a run, and the variance of that mean.
struct Blocks {
    mean: f64,
    variance: f64,
}

impl Blocks {
    fn of(values: &[f64]) -> Option<Blocks> {
        if values.len() < BLOCKS * BLOCK_MIN {
            return None;
        }
        let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let edge = |block: usize| block * values.len() / BLOCKS;
        let mean = mean_of(values);
        let squares: f64 =
            (0..BLOCKS).map(|block| (mean_of(&values[edge(block)..edge(block + 1)]) - mean).powi(2)).sum();
        Some(Blocks { mean, variance: squares / (BLOCKS * (BLOCKS - 1)) as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Seed, Stream};
    use rand::Rng as _;

    #[test]
    fn equal_runs_are_not_told_apart_and_shifted_ones_are() {
        let seed = Seed(11);
        let mut rng = seed.stream(Stream::Bootstrap);
        let mut draw = |n: usize, shift: f64| -> Vec<f64> {
            (0..n).map(|_| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 + shift).collect()
        };
        let mut wrong = 0;
        for _ in 0..400 {
            let found = difference(&draw(200, 0.0), &draw(200, 0.0), 0.95).unwrap();
            wrong += usize::from(found.is_distinguishable());
        }
        assert!((6..=34).contains(&wrong), "{wrong} of 400 at 5 %, seed {}", seed.0);
        let found = difference(&draw(200, 0.0), &draw(200, 0.5), 0.95).unwrap();
        assert!(found.is_distinguishable() && found.low < 0.5 && found.high > 0.5, "{found:?}");
        assert_eq!(difference(&draw(19, 0.0), &draw(200, 0.0), 0.95), None, "too few");
        let constant = difference(&[2.0; 20], &[2.0; 20], 0.95).unwrap();
        assert!(!constant.is_distinguishable());
        assert!(difference(&[2.0; 20], &[3.0; 20], 0.95).unwrap().is_distinguishable());
    }

    #[test]
    fn a_drift_within_the_runs_widens_the_interval() {
        let steady: Vec<f64> = (0..200).map(|i| f64::from(i % 2)).collect();
        let drifting: Vec<f64> = (0..200).map(|i| f64::from(i / 100)).collect();
        let width = |values: &[f64]| {
            let d = difference(values, values, 0.95).unwrap();
            d.high - d.low
        };
        assert!(width(&drifting) > 5.0 * (width(&steady) + 1e-9));
    }
}
