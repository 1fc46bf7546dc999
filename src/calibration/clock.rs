//! Turns repeated readings of the clock into what one costs, and how fine it is.

use serde::{Deserialize, Serialize};

use super::spread::ratio;
use crate::time::monotonic_ns;

const BATCHES: usize = 200;
const READINGS: usize = 1_000;

/// What the clock that all stamps are taken with costs on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockCost {
    /// Nanoseconds of one reading, in the fastest batch.
    pub reading_min_ns: f64,
    /// The same, in the median batch.
    pub reading_median_ns: f64,
    /// Smallest step seen between two readings, in nanoseconds.
    pub resolution_ns: i64,
}

/// Reads the clock some 200,000 times, in about 10 ms.
pub(super) fn measure() -> ClockCost {
    let mut steps = i64::MAX;
    let mut batches_ns: Vec<i64> = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let start_ns = monotonic_ns();
        let mut last_ns = start_ns;
        for _ in 0..READINGS {
            let now_ns = monotonic_ns();
            if now_ns > last_ns {
                steps = steps.min(now_ns - last_ns);
            }
            last_ns = now_ns;
        }
        batches_ns.push(last_ns - start_ns);
    }
    batches_ns.sort_unstable();
    let reading_ns = |batch_ns: i64| ratio(batch_ns as f64, READINGS as f64);
    ClockCost {
        reading_min_ns: reading_ns(batches_ns[0]),
        reading_median_ns: reading_ns(batches_ns[BATCHES / 2]),
        resolution_ns: steps,
    }
}
