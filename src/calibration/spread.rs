//! Turns signed nanoseconds into the few numbers that describe them.
//!
//! Invariant: exact, and independent of the order of the values. Not here: which values.

use serde::{Deserialize, Serialize};

use crate::metrics::quantile::percentile_of_sorted;

/// A distribution of times or of errors, in nanoseconds. An error below 0 is a report that was too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Number of values.
    pub n: u64,
    /// Mean.
    pub mean_ns: i64,
    /// Smallest.
    pub min_ns: i64,
    /// Median.
    pub p50_ns: i64,
    /// 99th percentile, interpolated as everywhere in loadline; near the largest where n is below several hundred.
    pub p99_ns: i64,
    /// Largest.
    pub max_ns: i64,
}

impl Spread {
    /// The numbers of these values; `None` where there is none.
    pub fn of(values: impl IntoIterator<Item = i64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().map(|ns| ns as f64).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (values.first()?, values.last()?);
        let n = values.len();
        Some(Spread {
            n: n as u64,
            mean_ns: (values.iter().sum::<f64>() / n as f64).round() as i64,
            min_ns: *min as i64,
            p50_ns: percentile_of_sorted(&values, 50.0).round() as i64,
            p99_ns: percentile_of_sorted(&values, 99.0).round() as i64,
            max_ns: *max as i64,
        })
    }
}

/// A ratio as files keep it: four decimals say all that one measurement can, and read back as the same number.
pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 1e4).round() / 1e4 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_may_be_negative_and_none_is_no_spread() {
        let spread = Spread::of([30, -10, 10, 20, 0]).unwrap();
        assert_eq!((spread.n, spread.mean_ns, spread.min_ns, spread.p50_ns, spread.max_ns), (5, 10, -10, 10, 30));
        assert_eq!(spread.p99_ns, 30, "29.6, rounded");
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_short_and_never_infinite() {
        assert_eq!((ratio(1.0, 3.0), ratio(1.0, 0.0)), (0.3333, 0.0));
    }
}
