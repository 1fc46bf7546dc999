//! Observations → a distribution in numbers, in bounded memory.
//!
//! In: values, one at a time, or another distribution to merge. Out: [`Stats`].
//! Up to [`EXACT_LIMIT`] observations everything is exact and independent of their order; above, percentiles come from
//! an HDR histogram within [`SKETCH_RELATIVE_ERROR`], while n, min and max stay exact and mean, std and sum are
//! running moments.
//! Invariants: values are finite and not negative; percentiles never leave [min, max].
//! Not here: which values are observed.

use hdrhistogram::Histogram;

use super::{PERCENTILES, Stats};

/// Observations up to which percentiles are exact (32 MiB for each distribution that reaches it).
pub const EXACT_LIMIT: usize = 1 << 22;
/// Largest relative error of a percentile above [`EXACT_LIMIT`], for values from 0.00001 units up.
///
/// An HDR histogram of 4 significant digits has buckets narrower than 1/16384 of their value, and the bucket's middle
/// is reported: at most 1/32768, and the rounding to ticks comes on top.
pub const SKETCH_RELATIVE_ERROR: f64 = 1e-4;

/// Histogram ticks in one unit: a nanosecond is 1000 ticks of a metric in milliseconds.
const TICKS_PER_UNIT: f64 = 1e9;
const SIGNIFICANT_DIGITS: u8 = 4;

/// A mergeable collection of observations.
#[derive(Clone, Debug)]
pub struct Distribution {
    limit: usize,
    repr: Repr,
}

#[derive(Clone, Debug)]
enum Repr {
    Exact(Vec<f64>),
    Sketch(Box<Sketch>),
}

#[derive(Clone, Debug)]
struct Sketch {
    histogram: Histogram<u64>,
    moments: Moments,
    min: f64,
    max: f64,
}

/// Count, mean and sum of squared distances from the mean, updated and merged as in Chan, Golub and LeVeque, "Updating
/// formulae and a pairwise algorithm for computing sample variances" (1979).
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    n: u64,
    mean: f64,
    m2: f64,
}

impl Moments {
    fn merge(&mut self, other: Moments) {
        if other.n == 0 {
            return;
        }
        let n = self.n + other.n;
        let delta = other.mean - self.mean;
        let share = other.n as f64 / n as f64;
        self.m2 += other.m2 + delta * delta * self.n as f64 * share;
        self.mean += delta * share;
        self.n = n;
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Distribution::with_exact_limit(EXACT_LIMIT)
    }
}

impl Distribution {
    /// An empty distribution that is exact up to `limit` observations.
    pub fn with_exact_limit(limit: usize) -> Self {
        Distribution { limit, repr: Repr::Exact(Vec::new()) }
    }

    /// Adds one observation. One that is not finite is a broken promise of the metric and is left out.
    pub fn add(&mut self, value: f64) {
        debug_assert!(value.is_finite(), "a metric gave {value}");
        if !value.is_finite() {
            return;
        }
        match &mut self.repr {
            Repr::Exact(values) if values.len() < self.limit => values.push(value),
            Repr::Exact(values) => {
                let mut sketch = Sketch::of(values);
                sketch.add(value);
                self.repr = Repr::Sketch(Box::new(sketch));
            }
            Repr::Sketch(sketch) => sketch.add(value),
        }
    }

    /// Adds another distribution's observations to these.
    pub fn merge(&mut self, other: &Distribution) {
        match (&mut self.repr, &other.repr) {
            (Repr::Exact(mine), Repr::Exact(theirs)) if mine.len() + theirs.len() <= self.limit => {
                mine.extend_from_slice(theirs);
            }
            (Repr::Sketch(mine), Repr::Exact(theirs)) => mine.merge(&Sketch::of(theirs)),
            (Repr::Sketch(mine), Repr::Sketch(theirs)) => mine.merge(theirs),
            (Repr::Exact(mine), theirs) => {
                let mut sketch = Sketch::of(mine);
                match theirs {
                    Repr::Exact(values) => sketch.merge(&Sketch::of(values)),
                    Repr::Sketch(theirs) => sketch.merge(theirs),
                }
                self.repr = Repr::Sketch(Box::new(sketch));
            }
        }
    }

    /// The distribution with so many infinite values beside its own; null if it has none of its own.
    ///
    /// Percentiles are those of the nearest rank (a tie goes to the even one, as in numpy's `nearest`), so that none lies
    /// between a finite value and an infinite one. Mean and sum are infinite, the standard deviation has no meaning.
    pub(super) fn with_infinite(&self, infinite: u64) -> Option<Stats> {
        let own = self.clone().finish()?;
        let n = own.n + infinite;
        let mut ranked = self.clone();
        let percentiles = PERCENTILES.map(|p| {
            let rank = ((n - 1) as f64 * (p / 100.0)).round_ties_even() as u64;
            if rank < own.n { ranked.at_rank(rank) } else { f64::INFINITY }
        });
        let infinity = if infinite > 0 { f64::INFINITY } else { own.max };
        Some(Stats { n, mean: infinity, max: infinity, sum: infinity, std: f64::NAN, percentiles, ..own })
    }

    /// The value at a rank that is below the number of values.
    fn at_rank(&mut self, rank: u64) -> f64 {
        match &mut self.repr {
            Repr::Exact(values) => {
                values.sort_unstable_by(f64::total_cmp);
                values[rank as usize]
            }
            Repr::Sketch(sketch) => {
                let quantile = (rank + 1) as f64 / sketch.moments.n as f64;
                let ticks = sketch.histogram.median_equivalent(sketch.histogram.value_at_quantile(quantile));
                (ticks as f64 / TICKS_PER_UNIT).clamp(sketch.min, sketch.max)
            }
        }
    }

    /// The distribution in numbers; null if nothing was observed.
    pub fn finish(self) -> Option<Stats> {
        match self.repr {
            Repr::Exact(mut values) => exact_stats(&mut values),
            Repr::Sketch(sketch) => Some(sketch.stats()),
        }
    }
}

impl Sketch {
    fn of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch {
            histogram: Histogram::new(SIGNIFICANT_DIGITS).expect("4 significant digits are within HDR's 0 to 5"),
            moments: Moments::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        };
        values.iter().for_each(|&v| sketch.add(v));
        sketch
    }

    fn add(&mut self, value: f64) {
        // The cast saturates: below 0 at 0, above u64 at its maximum, which min and max then correct.
        let ticks = (value * TICKS_PER_UNIT).round() as u64;
        if self.histogram.record(ticks).is_err() {
            self.histogram.saturating_record(ticks);
        }
        self.moments.merge(Moments { n: 1, mean: value, m2: 0.0 });
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn merge(&mut self, other: &Sketch) {
        self.histogram.add(&other.histogram).expect("a histogram that may grow takes every other one");
        self.moments.merge(other.moments);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn stats(&self) -> Stats {
        let n = self.moments.n;
        let mut buckets = self.histogram.iter_recorded();
        let mut value = 0.0;
        let mut passed = 0;
        // Ranks are asked for in ascending order, so one walk over the buckets serves them all.
        let mut at_rank = |rank: u64| {
            while passed <= rank {
                let Some(bucket) = buckets.next() else { break };
                passed += bucket.count_since_last_iteration();
                value = self.histogram.median_equivalent(bucket.value_iterated_to()) as f64 / TICKS_PER_UNIT;
            }
            value
        };
        let percentiles = PERCENTILES.map(|p| {
            let (rank, fraction) = position(n, p);
            let low = at_rank(rank);
            let high = if fraction > 0.0 { at_rank(rank + 1) } else { low };
            lerp(low, high, fraction).clamp(self.min, self.max)
        });
        Stats {
            n,
            mean: self.moments.mean,
            min: self.min,
            max: self.max,
            std: (self.moments.m2 / n as f64).max(0.0).sqrt(),
            sum: self.moments.mean * n as f64,
            percentiles,
            relative_error: SKETCH_RELATIVE_ERROR,
        }
    }
}

/// Sorts `values` and describes them; sums run in ascending order, so that the order of arrival does not matter.
fn exact_stats(values: &mut [f64]) -> Option<Stats> {
    values.sort_unstable_by(f64::total_cmp);
    let (&min, &max) = (values.first()?, values.last()?);
    let n = values.len() as f64;
    let sum = compensated_sum(values.iter().copied());
    let mean = sum / n;
    let variance = compensated_sum(values.iter().map(|v| (v - mean) * (v - mean))) / n;
    Some(Stats {
        n: values.len() as u64,
        mean,
        min,
        max,
        std: variance.sqrt(),
        sum,
        percentiles: PERCENTILES.map(|p| percentile_of_sorted(values, p)),
        relative_error: 0.0,
    })
}

/// The `p`-th percentile (0 to 100) of sorted, non-empty `values`: linear interpolation between order statistics at
/// the position `(n − 1)·p/100`, the definition 7 of Hyndman and Fan (1996) and numpy's default.
pub fn percentile_of_sorted(values: &[f64], p: f64) -> f64 {
    let (rank, fraction) = position(values.len() as u64, p);
    let low = values[rank as usize];
    let high = values[(rank as usize + 1).min(values.len() - 1)];
    lerp(low, high, fraction)
}

/// Where the `p`-th percentile of `n` values lies: the rank below it, from 0, and how far beyond.
fn position(n: u64, p: f64) -> (u64, f64) {
    let at = (n - 1) as f64 * (p / 100.0);
    (at.floor() as u64, at.fract())
}

/// From `a` to `b`, computed from the nearer end, as numpy does.
fn lerp(a: f64, b: f64, fraction: f64) -> f64 {
    if fraction < 0.5 { a + (b - a) * fraction } else { b - (b - a) * (1.0 - fraction) }
}

/// A sum whose rounding error does not grow with its length (Neumaier, ZAMM 54, 1974).
fn compensated_sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for v in values {
        let next = sum + v;
        lost += if sum.abs() >= v.abs() { (sum - next) + v } else { (v - next) + sum };
        sum = next;
    }
    sum + lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Seed, Stream};
    use rand::RngExt as _;

    const SEED: Seed = Seed(11);

    /// Latency-like values over four decades, whole nanoseconds in milliseconds.
    fn latencies(n: usize) -> Vec<f64> {
        let mut rng = SEED.stream(Stream::Simulation);
        (0..n).map(|_| (10f64.powf(rng.random_range(3.0..9.0))).round() / 1e6).collect()
    }

    fn observe(values: &[f64], limit: usize) -> Distribution {
        let mut d = Distribution::with_exact_limit(limit);
        values.iter().for_each(|&v| d.add(v));
        d
    }

    #[test]
    fn exact_numbers_are_numpys() {
        // numpy.percentile([4, 1, 3, 2, 10], [1, 5, 10, 25, 50, 75, 90, 95, 99]); numpy.std: population.
        let s = observe(&[4.0, 1.0, 3.0, 2.0, 10.0], 100).finish().unwrap();
        let expected = [1.04, 1.2, 1.4, 2.0, 3.0, 4.0, 7.6, 8.8, 9.76];
        for (got, want) in s.percentiles.iter().zip(expected) {
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
        assert_eq!((s.n, s.mean, s.min, s.max, s.sum, s.std), (5, 4.0, 1.0, 10.0, 20.0, 10f64.sqrt()));
        assert_eq!(s.relative_error, 0.0);
    }

    #[test]
    fn one_observation_is_every_percentile_and_none_is_no_distribution() {
        let s = observe(&[7.5], 100).finish().unwrap();
        assert_eq!((s.percentiles, s.std), ([7.5; 9], 0.0));
        assert!(Distribution::default().finish().is_none());
    }

    #[test]
    fn the_sketch_keeps_its_promised_error() {
        let values = latencies(20_000);
        let exact = observe(&values, values.len()).finish().unwrap();
        let sketch = observe(&values, 1000).finish().unwrap();
        assert_eq!(sketch.relative_error, SKETCH_RELATIVE_ERROR);
        for ((got, want), p) in sketch.percentiles.iter().zip(exact.percentiles).zip(PERCENTILES) {
            assert!((got / want - 1.0).abs() <= SKETCH_RELATIVE_ERROR, "p{p}: {got} for {want}, {SEED:?}");
        }
        assert_eq!((sketch.n, sketch.min, sketch.max), (exact.n, exact.min, exact.max));
        for (got, want) in [(sketch.mean, exact.mean), (sketch.std, exact.std), (sketch.sum, exact.sum)] {
            assert!((got / want - 1.0).abs() < 1e-9, "{got} for {want}, {SEED:?}");
        }
    }

    #[test]
    fn merging_parts_is_observing_the_whole() {
        let values = latencies(3000);
        for (limit, cut) in [(10_000, 1000), (2000, 500), (2000, 2500), (1200, 1500)] {
            let whole = observe(&values, limit).finish().unwrap();
            let mut parts = observe(&values[cut..], limit);
            parts.merge(&observe(&values[..cut], limit));
            let parts = parts.finish().unwrap();
            if limit >= values.len() {
                assert_eq!(parts, whole, "exact parts merge to the same bits, {SEED:?}");
            }
            assert_eq!((parts.n, parts.percentiles), (whole.n, whole.percentiles), "limit {limit}, {SEED:?}");
            assert!((parts.std / whole.std - 1.0).abs() < 1e-9, "limit {limit}, {SEED:?}");
        }
    }

    #[test]
    fn zeros_and_huge_values_survive_the_sketch() {
        let s = observe(&[0.0, 0.0, 1e12, 1e12], 2).finish().unwrap();
        assert_eq!((s.min, s.max, s.percentiles[0]), (0.0, 1e12, 0.0));
        assert!(s.percentiles.iter().all(|p| p.is_finite() && *p <= s.max));
    }
}
