//! Observations → a distribution in numbers, in bounded memory.
//!
//! In: values, one at a time, or another distribution to merge. Out: [`Stats`].
//! Up to [`EXACT_LIMIT`] observations everything is exact and independent of their order, and so it is of any number of them that
//! have at most [`DISTINCT_MAX`] different values; above, percentiles come from an HDR histogram within
//! [`SKETCH_RELATIVE_ERROR`], while n, min and max stay exact and mean, std and sum are running moments.
//! Invariants: values are finite and not negative; percentiles never leave [min, max].
//! Not here: which values are observed.

use hdrhistogram::Histogram;

use super::{PERCENTILES, Stats};

/// Observations up to which percentiles are exact (32 MiB for each distribution that reaches it).
pub const EXACT_LIMIT: usize = 1 << 22;
/// Different values up to which it is counted how often each was observed (16 bytes for each, instead of 8 for each observation):
/// lengths, counts and what is the same in every request of a run.
pub const DISTINCT_MAX: usize = 1024;
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
    Few(Counted),
    Exact(Vec<f64>),
    Sketch(Box<Sketch>),
}

/// Different values, rising, each with how often it was observed.
#[derive(Clone, Debug, Default)]
struct Counted(Vec<(f64, u64)>);

impl Counted {
    /// False if it would be one value more than there is room for.
    fn add(&mut self, value: f64, times: u64, most: usize) -> bool {
        match self.0.binary_search_by(|(known, _)| known.total_cmp(&value)) {
            Ok(i) => self.0[i].1 += times,
            Err(i) if self.0.len() < most => self.0.insert(i, (value, times)),
            Err(_) => return false,
        }
        true
    }

    fn n(&self) -> u64 {
        self.0.iter().map(|(_, times)| times).sum()
    }

    /// All observations, rising.
    fn values(&self) -> impl Iterator<Item = f64> + Clone {
        self.0.iter().flat_map(|&(value, times)| std::iter::repeat_n(value, times as usize))
    }

    fn at_rank(&self, rank: u64) -> f64 {
        let mut passed = 0;
        let found = self.0.iter().find(|(_, times)| {
            passed += times;
            passed > rank
        });
        found.or(self.0.last()).map_or(f64::NAN, |(value, _)| *value)
    }

    fn stats(&self) -> Option<Stats> {
        let ends = (self.0.first()?.0, self.0.last()?.0);
        Some(exact_stats(self.n(), ends, self.values(), |rank| self.at_rank(rank)))
    }
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
        Distribution { limit, repr: Repr::Few(Counted::default()) }
    }

    /// Adds one observation. One that is not finite is a broken promise of the metric and is left out.
    pub fn add(&mut self, value: f64) {
        debug_assert!(value.is_finite(), "a metric gave {value}");
        if !value.is_finite() {
            return;
        }
        self.add_times(value, 1);
    }

    fn add_times(&mut self, value: f64, times: u64) {
        match &mut self.repr {
            Repr::Few(few) => {
                if !few.add(value, times, DISTINCT_MAX.min(self.limit)) {
                    self.spread();
                    self.add_times(value, times);
                }
            }
            Repr::Exact(values) if values.len() + times as usize <= self.limit => {
                values.extend(std::iter::repeat_n(value, times as usize));
            }
            Repr::Exact(values) => {
                let mut sketch = Sketch::of(values.iter().map(|value| (*value, 1)));
                sketch.add(value, times);
                self.repr = Repr::Sketch(Box::new(sketch));
            }
            Repr::Sketch(sketch) => sketch.add(value, times),
        }
    }

    /// No longer counts how often each value was observed: there are too many different ones.
    fn spread(&mut self) {
        let Repr::Few(few) = &self.repr else { return };
        self.repr = if few.n() as usize <= self.limit {
            Repr::Exact(few.values().collect())
        } else {
            Repr::Sketch(Box::new(Sketch::of(few.0.iter().copied())))
        };
    }

    /// Adds another distribution's observations to these.
    pub fn merge(&mut self, other: &Distribution) {
        match (&mut self.repr, &other.repr) {
            (_, Repr::Few(few)) => few.0.iter().for_each(|&(value, times)| self.add_times(value, times)),
            (Repr::Few(few), _) => {
                let mine = std::mem::take(few);
                self.repr = other.repr.clone();
                mine.0.iter().for_each(|&(value, times)| self.add_times(value, times));
            }
            (_, Repr::Exact(theirs)) => theirs.iter().for_each(|value| self.add_times(*value, 1)),
            (Repr::Sketch(mine), Repr::Sketch(theirs)) => mine.merge(theirs),
            (Repr::Exact(mine), Repr::Sketch(theirs)) => {
                let mut sketch = Sketch::of(mine.iter().map(|value| (*value, 1)));
                sketch.merge(theirs);
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
            Repr::Few(few) => few.at_rank(rank),
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
            Repr::Few(few) => few.stats(),
            Repr::Exact(mut values) => stats_of(&mut values),
            Repr::Sketch(sketch) => Some(sketch.stats()),
        }
    }
}

impl Sketch {
    fn of(values: impl Iterator<Item = (f64, u64)>) -> Sketch {
        let mut sketch = Sketch {
            histogram: Histogram::new(SIGNIFICANT_DIGITS).expect("4 significant digits are within HDR's 0 to 5"),
            moments: Moments::default(),
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        };
        values.for_each(|(value, times)| sketch.add(value, times));
        sketch
    }

    fn add(&mut self, value: f64, times: u64) {
        // The cast saturates: below 0 at 0, above u64 at its maximum, which min and max then correct.
        let ticks = (value * TICKS_PER_UNIT).round() as u64;
        if self.histogram.record_n(ticks, times).is_err() {
            self.histogram.saturating_record_n(ticks, times);
        }
        self.moments.merge(Moments { n: times, mean: value, m2: 0.0 });
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

/// Sorts `values` and describes them.
fn stats_of(values: &mut [f64]) -> Option<Stats> {
    values.sort_unstable_by(f64::total_cmp);
    let ends = (*values.first()?, *values.last()?);
    Some(exact_stats(values.len() as u64, ends, values.iter().copied(), |rank| values[rank as usize]))
}

/// Describes `n` values that rise from the first of `ends` to the second; sums run in ascending order, so that the order of arrival does
/// not matter.
fn exact_stats(
    n: u64,
    (min, max): (f64, f64),
    values: impl Iterator<Item = f64> + Clone,
    at_rank: impl Fn(u64) -> f64,
) -> Stats {
    let sum = compensated_sum(values.clone());
    let mean = sum / n as f64;
    let variance = compensated_sum(values.map(|v| (v - mean) * (v - mean))) / n as f64;
    let percentiles = PERCENTILES.map(|p| {
        let (rank, fraction) = position(n, p);
        lerp(at_rank(rank), at_rank((rank + 1).min(n - 1)), fraction)
    });
    Stats { n, mean, min, max, std: variance.sqrt(), sum, percentiles, relative_error: 0.0 }
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
    fn few_different_values_are_exact_however_many_there_are() {
        let values: Vec<f64> = (0..3000).map(|i| f64::from(i * i % 700)).collect();
        let kept = stats_of(&mut values.clone()).unwrap();
        assert_eq!(observe(&values, 800).finish().unwrap(), kept, "the same bits, and above the limit");
        let mut parts = observe(&values[..1000], 800);
        parts.merge(&observe(&values[1000..], 800));
        assert!(matches!(&parts.repr, Repr::Few(few) if few.0.len() < 700 && few.n() == 3000));
        assert_eq!(parts.finish().unwrap(), kept);
        // Among many different ones they count as often as they were observed, whichever side is the larger.
        let (few, many) = (observe(&values, 10_000), observe(&latencies(2000), 10_000));
        let whole = observe(&[values, latencies(2000)].concat(), 10_000).finish();
        let merged = |mut a: Distribution, b: &Distribution| {
            a.merge(b);
            a.finish()
        };
        assert_eq!((merged(few.clone(), &many), merged(many, &few)), (whole.clone(), whole));
    }

    #[test]
    fn zeros_and_huge_values_survive_the_sketch() {
        let s = observe(&[0.0, 0.0, 1e12, 1e12], 2).finish().unwrap();
        assert_eq!((s.min, s.max, s.percentiles[0]), (0.0, 1e12, 0.0));
        assert!(s.percentiles.iter().all(|p| p.is_finite() && *p <= s.max));
    }
}
