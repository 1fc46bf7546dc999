//! Lengths in tokens → their distribution.
//!
//! Invariant: percentiles are those of `metrics`, so that a trace and the run that replays it can be compared.

use serde_json::{Value as Json, json};

use crate::analysis::spread;
use crate::metrics::quantile::Distribution;
use crate::metrics::{PERCENTILES, Stats};

/// How lengths are distributed.
#[derive(Clone, Debug, PartialEq)]
pub struct Lengths {
    /// The numbers, in tokens.
    pub stats: Stats,
    /// Points of the empirical CDF: length and the share of requests that are no longer.
    pub cdf: Vec<(f64, f64)>,
}

impl Lengths {
    /// Describes lengths; null where there is none.
    pub fn of(tokens: impl Iterator<Item = u32>) -> Option<Lengths> {
        let mut tokens: Vec<f64> = tokens.map(f64::from).collect();
        let mut distribution = Distribution::default();
        tokens.iter().for_each(|t| distribution.add(*t));
        tokens.sort_unstable_by(f64::total_cmp);
        Some(Lengths { stats: distribution.finish()?, cdf: spread::cdf(&tokens) })
    }

    /// The length that `percent` per cent are no longer than; one of [`PERCENTILES`].
    pub fn percentile(&self, percent: f64) -> f64 {
        PERCENTILES.iter().position(|p| *p == percent).map_or(f64::NAN, |i| self.stats.percentiles[i])
    }

    pub(super) fn to_json(&self) -> Json {
        let p = |percent| self.percentile(percent);
        json!({"mean": self.stats.mean, "p50": p(50.0), "p90": p(90.0), "p99": p(99.0), "max": self.stats.max})
    }
}
