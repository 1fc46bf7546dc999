//! Durations → counts in buckets that a viewer may read while their worker goes on.
//!
//! One writer, relaxed stores, no allocation: a duration costs a few instructions. Eight buckets to each doubling, from 8 µs to 9 min, so
//! a value is known within 6 %: enough to look at, and in no result.
//! Not here: what is measured (`worker`), and over which time (the viewer, by the difference of two readings).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The first bucket takes everything below 2^13 ns.
const LEAST_BITS: u32 = 13;
/// The last one everything from 2^39 ns on.
const MOST_BITS: u32 = 39;
/// Buckets of one doubling, as bits.
const SUB_BITS: u32 = 3;
/// Buckets.
const BUCKETS: usize = (((MOST_BITS - LEAST_BITS) << SUB_BITS) + 2) as usize;

/// Counts of one kind of duration of one worker.
#[derive(Debug)]
pub struct LiveSpread {
    counts: [AtomicU32; BUCKETS],
}

impl Default for LiveSpread {
    fn default() -> Self {
        LiveSpread { counts: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl LiveSpread {
    /// Counts a duration; one below 0 is one of 0.
    #[inline]
    pub(super) fn record(&self, duration_ns: i64) {
        let count = &self.counts[bucket(duration_ns)];
        count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Adds the counts as they are now to `sum`.
    pub(super) fn add_to(&self, sum: &mut Spread) {
        for (sum, count) in sum.counts.iter_mut().zip(&self.counts) {
            *sum = sum.wrapping_add(count.load(Relaxed));
        }
    }
}

/// Counts at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    counts: Box<[u32; BUCKETS]>,
}

impl Default for Spread {
    fn default() -> Self {
        Spread { counts: Box::new([0; BUCKETS]) }
    }
}

impl Spread {
    /// What was counted since an earlier reading.
    pub fn since(&self, earlier: &Spread) -> Spread {
        let mut since = self.clone();
        since.counts.iter_mut().zip(earlier.counts.iter()).for_each(|(now, before)| *now = now.wrapping_sub(*before));
        since
    }

    /// Durations counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|n| u64::from(*n)).sum()
    }

    /// The `p`-th percentile (0 to 100) in nanoseconds: the middle of the bucket that holds it. `None` without durations.
    pub fn percentile_ns(&self, p: f64) -> Option<f64> {
        let rank = (self.count().checked_sub(1)? as f64 * p / 100.0).round() as u64;
        let mut passed = 0;
        let at = self.counts.iter().position(|n| {
            passed += u64::from(*n);
            passed > rank
        })?;
        Some((lower_ns(at) + lower_ns(at + 1)) / 2.0)
    }
}

fn bucket(duration_ns: i64) -> usize {
    let ns = duration_ns.max(0).cast_unsigned();
    let bits = 63 - (ns | 1).leading_zeros();
    if bits < LEAST_BITS {
        return 0;
    }
    if bits >= MOST_BITS {
        return BUCKETS - 1;
    }
    let sub = (ns >> (bits - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    (((bits - LEAST_BITS) << SUB_BITS) as u64 + sub + 1) as usize
}

/// Where a bucket begins.
fn lower_ns(bucket: usize) -> f64 {
    let Some(at) = bucket.checked_sub(1) else { return 0.0 };
    let (doubling, sub) = (at >> SUB_BITS, at & ((1 << SUB_BITS) - 1));
    let start = 2f64.powi(LEAST_BITS as i32 + doubling as i32);
    start * (1.0 + sub as f64 / f64::from(1u32 << SUB_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket() {
        for ns in (0..2000u32).map(|n| 1.013f64.powi(n as i32)).filter(|ns| *ns < 5e11) {
            let at = bucket(ns as i64);
            let whole = (ns as i64) as f64;
            assert!(lower_ns(at) <= whole && whole < lower_ns(at + 1), "{ns} in bucket {at}");
            assert!(at == 0 || (lower_ns(at + 1) / lower_ns(at)) < 1.13, "bucket {at}");
        }
        assert_eq!((bucket(-5), bucket(0), bucket(i64::MAX)), (0, 0, BUCKETS - 1));
    }

    #[test]
    fn percentiles_are_of_what_came_since() {
        let live = LiveSpread::default();
        let read = |live: &LiveSpread| {
            let mut sum = Spread::default();
            live.add_to(&mut sum);
            sum
        };
        (0..1000).for_each(|_| live.record(1_000_000_000));
        let before = read(&live);
        assert_eq!(read(&live).since(&before).percentile_ns(50.0), None);
        (1..=100).for_each(|n| live.record(n * 1_000_000));
        let since = read(&live).since(&before);
        assert_eq!(since.count(), 100);
        for (p, ms) in [(0.0, 1.0), (50.0, 50.5), (90.0, 90.0), (100.0, 100.0)] {
            let found = since.percentile_ns(p).unwrap() / 1e6;
            assert!((found / ms - 1.0).abs() < 0.08, "p{p}: {found} for {ms}");
        }
    }
}
