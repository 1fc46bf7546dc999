//! Good requests over time, of several candidates → intervals of their goodput's difference and of regret.
//!
//! A circular block bootstrap (Politis and Romano, 1992): requests near each other in time share the state of the server, so blocks
//! of neighbours are drawn, not single requests. Candidates that had the same requests at the same times are drawn together.
//! Several runs of a candidate are clusters: runs are drawn first. The percentile interval is widened about the estimate by
//! √(n/(n−1))·t/z for n blocks (or runs), which a percentile interval of few is too narrow by (Hesterberg, 2015); blocks overlap, and
//! are worth more degrees of freedom than there are of them.
//! Invariant: pure; equal seeds give equal intervals.

use rand::Rng as _;

use super::student::two_sided;
use crate::rng::{Rng, Seed, Stream};

/// Slices of a run, at most; each has a few requests at least where there are that many.
const SLICES_MAX: usize = 4_096;
/// Fewest slices of which an interval is made.
const SLICES_MIN: usize = 16;
/// Degrees of freedom from which Student's t is the normal distribution's.
const NORMAL_FREEDOM: u32 = 10_000;

/// The good requests of one run over time, in slices of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Good requests per second in each slice; their mean is the run's goodput.
    pub per_s: Vec<f64>,
    /// What was asked when, as one number, of an open loop; runs with equal ones are paired.
    pub schedule: Option<u64>,
}

impl Series {
    /// Requests, each with its time and whether it was good, over a window of `window_s`. `None` without a request or a window.
    pub fn new(requests: &[(i64, bool)], window_s: f64, schedule: Option<u64>) -> Option<Series> {
        let from = requests.iter().map(|r| r.0).min()?;
        let to = requests.iter().map(|r| r.0).max()?;
        if !(window_s.is_finite() && window_s > 0.0) {
            return None;
        }
        let slices = requests.len().min(SLICES_MAX);
        let mut per_s = vec![0.0; slices];
        let span = to.saturating_sub(from).max(1) as f64;
        let one = slices as f64 / window_s;
        for (t, _) in requests.iter().filter(|r| r.1) {
            let at = (t.saturating_sub(from) as f64 / span * slices as f64) as usize;
            per_s[at.min(slices - 1)] += one;
        }
        Some(Series { per_s, schedule })
    }

    fn mean(&self) -> f64 {
        self.per_s.iter().sum::<f64>() / self.per_s.len() as f64
    }
}

/// How intervals are made.
#[derive(Clone, Copy, Debug)]
pub struct Resampling {
    /// Resamples.
    pub resamples: u32,
    /// Confidence, in (0, 1).
    pub level: f64,
    /// Seed of the draws.
    pub seed: Seed,
}

/// An interval around an estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The statistic of the data themselves.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Whether the candidates were drawn together.
    pub is_paired: bool,
}

/// The interval of a statistic of the candidates' goodputs, in their order. `None` where a candidate has no run, one is too short, or the
/// statistic is not defined.
pub fn interval(
    candidates: &[&[Series]],
    statistic: &dyn Fn(&[f64]) -> Option<f64>,
    how: Resampling,
) -> Option<Interval> {
    let runs_least = candidates.iter().map(|runs| runs.len()).min().filter(|n| *n > 0)?;
    let slices_least = candidates.iter().flat_map(|runs| runs.iter()).map(|s| s.per_s.len()).min()?;
    if slices_least < SLICES_MIN {
        return None;
    }
    let means: Vec<f64> =
        candidates.iter().map(|runs| runs.iter().map(Series::mean).sum::<f64>() / runs.len() as f64).collect();
    let estimate = statistic(&means)?;
    let is_paired = are_paired(candidates);
    let sums: Vec<Vec<Prefix>> =
        candidates.iter().map(|runs| runs.iter().map(|s| Prefix::new(&s.per_s)).collect()).collect();
    let mut rng = how.seed.stream(Stream::Bootstrap);
    let mut drawn: Vec<f64> = (0..how.resamples.max(1))
        .filter_map(|_| statistic(&resample(&sums, is_paired, &mut rng)))
        .filter(|x| x.is_finite())
        .collect();
    // A statistic that most resamples do not have has no interval.
    if drawn.len() * 2 < how.resamples as usize {
        return None;
    }
    drawn.sort_by(f64::total_cmp);
    let tail = (1.0 - how.level) / 2.0;
    let wider = if runs_least > 1 {
        widening(runs_least as u32, 1.0, how.level)
    } else {
        widening(slices_least.div_ceil(block(slices_least)) as u32, OVERLAP, how.level)
    };
    let end = |share: f64| estimate + wider * (quantile(&drawn, share) - estimate);
    Some(Interval { estimate, low: end(tail), high: end(1.0 - tail), is_paired })
}

/// The interval of the mean of values that come in clusters, values of one cluster being alike: clusters are drawn, whole. `clusters`: sum
/// and number of each one's values. `None` of fewer than two.
pub fn mean_of_clusters(clusters: &[(f64, usize)], how: Resampling) -> Option<Interval> {
    let mean = |of: &mut dyn Iterator<Item = (f64, usize)>| {
        let (sum, n) = of.fold((0.0, 0), |(sum, n), c| (sum + c.0, n + c.1));
        (n > 0).then(|| sum / n as f64)
    };
    let n = clusters.len();
    let estimate = mean(&mut clusters.iter().copied()).filter(|_| n > 1)?;
    let mut rng = how.seed.stream(Stream::Bootstrap);
    let mut drawn: Vec<f64> = (0..how.resamples.max(1))
        .filter_map(|_| mean(&mut (0..n).map(|_| clusters[((share(&mut rng) * n as f64) as usize).min(n - 1)])))
        .collect();
    drawn.sort_by(f64::total_cmp);
    let tail = (1.0 - how.level) / 2.0;
    let wider = widening(n as u32, 1.0, how.level);
    let end = |share: f64| estimate + wider * (quantile(&drawn, share) - estimate);
    Some(Interval { estimate, low: end(tail), high: end(1.0 - tail), is_paired: false })
}

/// Whether the candidates' runs had the same requests at the same times, one by one.
fn are_paired(candidates: &[&[Series]]) -> bool {
    let Some((first, others)) = candidates.split_first() else { return false };
    others.iter().all(|runs| {
        runs.len() == first.len()
            && runs
                .iter()
                .zip(*first)
                .all(|(a, b)| a.schedule.is_some() && a.schedule == b.schedule && a.per_s.len() == b.per_s.len())
    })
}

/// Slices of a block: a tenth of all. Near saturation a queue remembers for hundreds of requests, and blocks that are shorter than that make
/// intervals too narrow; ten blocks, with Student's t for ten, are what batch means need at least (Schmeiser, 1982).
fn block(slices: usize) -> usize {
    ((slices as f64 / 10.0).round() as usize).max(1)
}

/// Degrees of freedom of blocks that overlap, over those of blocks that do not (Meketon and Schmeiser, 1984).
const OVERLAP: f64 = 1.5;

fn widening(n: u32, overlap: f64, level: f64) -> f64 {
    let n = n.max(2);
    let t = two_sided(level, ((f64::from(n - 1) * overlap) as u32).min(NORMAL_FREEDOM));
    (f64::from(n) / f64::from(n - 1)).sqrt() * t / two_sided(level, NORMAL_FREEDOM)
}

/// Sums from the start, around the end and on for as long again, so that a block's sum is one subtraction.
struct Prefix {
    sums: Vec<f64>,
    len: usize,
}

impl Prefix {
    fn new(values: &[f64]) -> Prefix {
        let mut sum = 0.0;
        let around = values.iter().chain(values).map(|v| {
            sum += v;
            sum
        });
        Prefix { sums: std::iter::once(0.0).chain(around).collect(), len: values.len() }
    }

    /// Mean of the blocks that begin at the shares of the run.
    fn mean(&self, starts: &[f64]) -> f64 {
        let length = block(self.len);
        let sum: f64 = starts
            .iter()
            .map(|share| {
                let at = ((share * self.len as f64) as usize).min(self.len - 1);
                self.sums[at + length] - self.sums[at]
            })
            .sum();
        sum / (starts.len() * length) as f64
    }

    fn blocks(&self) -> usize {
        self.len.div_ceil(block(self.len))
    }
}

/// The candidates' mean goodputs of one resample.
fn resample(candidates: &[Vec<Prefix>], is_paired: bool, rng: &mut Rng) -> Vec<f64> {
    let mut means = vec![0.0; candidates.len()];
    let draw_run = |runs: usize, rng: &mut Rng| if runs > 1 { (share(rng) * runs as f64) as usize } else { 0 };
    if is_paired {
        let runs = candidates[0].len();
        for _ in 0..runs {
            let run = draw_run(runs, rng);
            let starts: Vec<f64> = (0..candidates[0][run].blocks()).map(|_| share(rng)).collect();
            for (mean, of) in means.iter_mut().zip(candidates) {
                *mean += of[run].mean(&starts) / runs as f64;
            }
        }
        return means;
    }
    for (mean, of) in means.iter_mut().zip(candidates) {
        for _ in 0..of.len() {
            let run = &of[draw_run(of.len(), rng)];
            let starts: Vec<f64> = (0..run.blocks()).map(|_| share(rng)).collect();
            *mean += run.mean(&starts) / of.len() as f64;
        }
    }
    means
}

/// Uniform in [0, 1).
fn share(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Linear between the sorted values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

/// The slices of every other block: the even ones select, the odd ones score. Alternating, so that a drift of the server is in
/// both.
pub fn halves(runs: &[Series]) -> [Vec<Series>; 2] {
    let half = |odd: usize| {
        let of = |s: &Series| {
            let kept = s.per_s.chunks(block(s.per_s.len())).skip(odd).step_by(2).flatten().copied().collect();
            Series { per_s: kept, schedule: s.schedule }
        };
        runs.iter().map(of).collect()
    };
    [half(0), half(1)]
}

/// The mean goodput of a candidate's runs.
pub fn goodput(runs: &[Series]) -> Option<f64> {
    let means: Vec<f64> = runs.iter().filter(|s| !s.per_s.is_empty()).map(Series::mean).collect();
    (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64)
}

#[cfg(test)]
mod tests;
