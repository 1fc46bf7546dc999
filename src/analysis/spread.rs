//! Measured requests → how each latency spreads: histogram on log-spaced bins, and empirical CDF.
//!
//! In: [`Measured`]. Out: [`Spread`], whose size does not depend on the number of requests.
//! Invariants: a CDF has at most [`CDF_POINTS_MAX`] points and ends at (max, 1); a histogram counts every value once.
//! Not here: the percentiles that are reported (`metrics`).

use super::measured::{Lengths, Measured, Request};

/// Most points of a CDF.
pub const CDF_POINTS_MAX: usize = 200;
/// Points that are spread evenly over the ranks; the rest goes to the last per cent, where tails are read.
const CDF_POINTS_EVEN: usize = 160;
/// Most bins of a histogram.
pub const HISTOGRAM_BINS_MAX: usize = 80;
/// Values below are counted in the lowest bin: a microsecond is finer than any of these latencies is known.
const LEAST_MS: f64 = 1e-3;
/// Bins per factor of ten that are tried, finest first.
const BINS_PER_DECADE: [f64; 8] = [1000.0, 500.0, 200.0, 100.0, 50.0, 20.0, 10.0, 5.0];
/// With fewer values than this per bin a histogram shows noise.
const VALUES_PER_BIN: usize = 4;

/// One bin of a histogram: values in `low_ms ..< high_ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramBin {
    /// Lower edge.
    pub low_ms: f64,
    /// Upper edge.
    pub high_ms: f64,
    /// Values in it.
    pub count: u64,
}

/// How one latency spreads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Values.
    pub n: u64,
    /// (value in milliseconds, or in tokens of a length; share of values that are at most this), both rising; empty without values.
    pub cdf: Vec<(f64, f64)>,
    /// Bins of equal width in the logarithm, without gaps; empty without values.
    pub histogram: Vec<HistogramBin>,
}

/// The spread of every latency that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// First token − sent.
    pub ttft: Distribution,
    /// First token − scheduled.
    pub scheduled_ttft: Distribution,
    /// Inter-token latency, one value per request.
    pub itl: Distribution,
    /// Whole answer − sent.
    pub latency: Distribution,
    /// Whole answer − scheduled.
    pub scheduled_latency: Distribution,
    /// Sent − scheduled, of every request that was sent.
    pub send_lag: Distribution,
    /// Planned length of the prompts of completed requests, in tokens, and the server's count of them.
    pub prompts: [Distribution; 2],
    /// Planned length of the answers of completed requests, in tokens, and what came.
    pub answers: [Distribution; 2],
}

/// The spread of a run's latencies.
pub fn build(measured: &Measured) -> Spread {
    let of = |value: fn(&Request) -> Option<f64>| distribution(measured.requests.iter().filter_map(value).collect());
    // Planned and served of the same requests, so that the two can be held against each other.
    let pair = |lengths: fn(&Lengths) -> (Option<u32>, Option<u32>)| {
        let both = || {
            measured.requests.iter().filter_map(|r| {
                let (planned, served) = lengths(&r.lengths);
                planned.zip(served)
            })
        };
        [distribution(both().map(|p| f64::from(p.0)).collect()), distribution(both().map(|p| f64::from(p.1)).collect())]
    };
    Spread {
        ttft: of(|r| r.ttft_ms),
        scheduled_ttft: of(|r| r.from_scheduled(r.ttft_ms)),
        itl: of(|r| r.itl_ms),
        latency: of(|r| r.latency_ms),
        scheduled_latency: of(|r| r.from_scheduled(r.latency_ms)),
        send_lag: of(Request::send_lag_ms),
        prompts: pair(|l| (Some(l.planned_prompt), l.served_prompt)),
        answers: pair(|l| (l.planned_output, l.served_output)),
    }
}

fn distribution(mut values_ms: Vec<f64>) -> Distribution {
    values_ms.sort_by(f64::total_cmp);
    Distribution { n: values_ms.len() as u64, cdf: cdf(&values_ms), histogram: histogram(&values_ms) }
}

/// The empirical CDF of rising values, in at most [`CDF_POINTS_MAX`] points.
pub fn cdf(sorted: &[f64]) -> Vec<(f64, f64)> {
    let n = sorted.len();
    let at = |rank: usize| (sorted[rank - 1], rank as f64 / n as f64);
    if n <= CDF_POINTS_MAX {
        return (1..=n).map(at).collect();
    }
    let even = (0..CDF_POINTS_EVEN).map(|i| 1 + i * (n - 1) / CDF_POINTS_EVEN);
    // The upper tail on a log scale: what lies above shrinks by a fifth from point to point, down to the largest value.
    let mut tail = Vec::with_capacity(CDF_POINTS_MAX - CDF_POINTS_EVEN);
    let mut above = n as f64 / 100.0;
    while tail.len() < CDF_POINTS_MAX - CDF_POINTS_EVEN - 1 && above >= 1.0 {
        tail.push(n - above as usize);
        above *= 0.8;
    }
    let mut ranks: Vec<usize> = even.chain(tail).chain([n]).collect();
    ranks.sort_unstable();
    ranks.dedup();
    ranks.into_iter().map(at).collect()
}

fn histogram(sorted: &[f64]) -> Vec<HistogramBin> {
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let (low, high) = (min.max(LEAST_MS).log10(), max.max(LEAST_MS).log10());
    let n_bins_max = (sorted.len() / VALUES_PER_BIN).clamp(10, HISTOGRAM_BINS_MAX) as f64;
    let fits = |per_decade: &f64| (high * per_decade).floor() - (low * per_decade).floor() < n_bins_max;
    // The coarsest bins cover 16 decades; only damaged times go beyond, and share the outermost bins.
    let per_decade = BINS_PER_DECADE.into_iter().find(fits).unwrap_or(5.0);
    let first = (low * per_decade).floor();
    let n_bins = ((high * per_decade).floor() - first + 1.0).min(n_bins_max) as usize;
    let edge = |i: usize| 10_f64.powf((first + i as f64) / per_decade);
    let mut bins: Vec<HistogramBin> =
        (0..n_bins).map(|i| HistogramBin { low_ms: edge(i), high_ms: edge(i + 1), count: 0 }).collect();
    for value in sorted {
        let i = (value.max(LEAST_MS).log10() * per_decade).floor() - first;
        bins[(i.max(0.0) as usize).min(n_bins - 1)].count += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::run_of;

    #[test]
    fn a_small_cdf_has_one_step_per_value() {
        let d = distribution(vec![30.0, 10.0, 20.0, 20.0]);
        assert_eq!(d.cdf, [(10.0, 0.25), (20.0, 0.5), (20.0, 0.75), (30.0, 1.0)]);
        assert_eq!(d.n, 4);
    }

    #[test]
    fn a_large_cdf_is_bounded_exact_at_its_points_and_reaches_the_tail() {
        let n = 100_000;
        let d = distribution((1..=n).map(f64::from).collect());
        assert!(d.cdf.len() <= CDF_POINTS_MAX && d.cdf.len() > 150, "{} points", d.cdf.len());
        assert!(d.cdf.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1));
        assert!(d.cdf.iter().all(|&(value, share)| (share - value / f64::from(n)).abs() < 1e-12));
        assert_eq!(d.cdf.last(), Some(&(f64::from(n), 1.0)));
        assert!(d.cdf.iter().filter(|p| p.1 > 0.999).count() >= 10, "the last 0.1 % is drawn");
    }

    #[test]
    fn a_histogram_counts_every_value_once_inside_its_bin() {
        for values in [
            vec![0.0, 1e-9, 0.5, 3.0, 3.0, 2_000.0],
            vec![7.0; 5],
            (0..1000).map(|i| 9.9 + f64::from(i) * 2e-4).collect(),
            vec![-5.0, 1e300],
        ] {
            let h = histogram(&{
                let mut v = values.clone();
                v.sort_by(f64::total_cmp);
                v
            });
            assert!(h.len() <= HISTOGRAM_BINS_MAX);
            assert_eq!(h.iter().map(|b| b.count).sum::<u64>(), values.len() as u64);
            // The outermost bins also hold what lies beyond them.
            for bin in h.iter().skip(1).take(h.len().saturating_sub(2)) {
                let inside = values.iter().filter(|&&v| v >= bin.low_ms && v < bin.high_ms).count() as i64;
                assert!((inside - bin.count as i64).abs() <= 1, "an edge value may round to either side: {bin:?}");
            }
        }
        assert!(histogram(&[]).is_empty());
    }

    #[test]
    fn latencies_from_the_schedule_are_never_below_those_from_the_sending() {
        let mut run = run_of(300, 9);
        run.rows.iter_mut().for_each(|row| row.prompt_tokens = Some(row.input_tokens + 1));
        let s = build(&Measured::read(&run).unwrap());
        let [planned, served] = &s.prompts;
        assert_eq!((planned.n, served.n), (s.latency.n, s.latency.n), "of the same requests");
        assert!(planned.cdf.iter().zip(&served.cdf).all(|(a, b)| a.0 + 1.0 == b.0));
        assert!(s.ttft.n > 250 && s.ttft.n == s.scheduled_ttft.n && s.send_lag.n >= s.ttft.n);
        assert!(s.ttft.cdf.iter().zip(&s.scheduled_ttft.cdf).all(|(a, b)| a.0 <= b.0));
        assert!(s.latency.cdf.iter().zip(&s.scheduled_latency.cdf).all(|(a, b)| a.0 <= b.0));
    }
}
