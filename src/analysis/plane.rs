//! Measured requests → how many of them would have met any pair of limits on TTFT and on the inter-token latency.
//!
//! In: [`Measured`], and the limits that must be on the plane (those of the run's objective). Out: [`Plane`].
//! `n(x, y)` = completed requests with TTFT ≤ x and ITL ≤ y, exact for every pair of its limits; goodput there is n / window,
//! attainment n / (completed + failed), as `goodput` and `good_request_fraction` are.
//! Invariants: limits rise; the last ones are above every value; the size does not depend on the number of requests.
//! Not here: bounds on anything else, and drawing.

use super::measured::Measured;
use crate::outcome::OutcomeClass;

/// Limits of one axis, those that are asked for aside.
pub const LIMITS: usize = 64;

/// Counts for every pair of limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Limits of TTFT in milliseconds, rising.
    pub ttft_ms: Vec<f64>,
    /// Limits of ITL in milliseconds, rising.
    pub itl_ms: Vec<f64>,
    /// Requests in each cell, which reaches from the limit before (exclusive) to its own (inclusive): rows of ITL, each from
    /// the least TTFT to the greatest.
    pub cells: Vec<u64>,
    /// Requests that ended, completed or failed: what attainment divides by.
    pub ended: u64,
}

impl Plane {
    /// Requests that meet each pair of limits, in the order of [`Plane::cells`].
    pub fn met(&self) -> Vec<u64> {
        let columns = self.ttft_ms.len();
        let mut met = self.cells.clone();
        for i in 0..met.len() {
            let (left, below) = (i % columns > 0, i >= columns);
            let n = |there: bool, back: usize| if there { met[i - back] } else { 0 };
            met[i] = met[i] + n(left, 1) + n(below, columns) - n(left && below, columns + 1);
        }
        met
    }
}

/// The plane of a run; `None` where no request has both latencies. `limits_ms` are put among the limits of TTFT and of ITL.
pub fn build(measured: &Measured, limits_ms: [Option<f64>; 2]) -> Option<Plane> {
    let pairs: Vec<[f64; 2]> = measured.requests.iter().filter_map(|r| Some([r.ttft_ms?, r.itl_ms?])).collect();
    let [ttft_ms, itl_ms] = [0, 1].map(|axis| limits(pairs.iter().map(|p| p[axis]), limits_ms[axis]));
    let (ttft_ms, itl_ms) = (ttft_ms?, itl_ms?);
    let mut cells = vec![0; ttft_ms.len() * itl_ms.len()];
    for [ttft, itl] in pairs {
        let [x, y] = [(&ttft_ms, ttft), (&itl_ms, itl)].map(|(limits, v)| limits.partition_point(|limit| *limit < v));
        cells[y * ttft_ms.len() + x] += 1;
    }
    let ended = |class| class == OutcomeClass::Completed || class == OutcomeClass::Failed;
    let ended = measured.requests.iter().filter(|r| ended(r.class)).count() as u64;
    Some(Plane { ttft_ms, itl_ms, cells, ended })
}

/// Limits evenly spread over the logarithm, of three significant digits so that they are what is written of them, the last one
/// not below any value.
fn limits(values: impl Iterator<Item = f64>, asked: Option<f64>) -> Option<Vec<f64>> {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let asked = asked.filter(|limit| limit.is_finite() && *limit > 0.0);
    if low > high {
        return None;
    }
    // A latency of nothing has no logarithm; a microsecond is finer than any of these is known.
    let (low, high) = (low.max(1e-3), high.max(1e-3));
    let step = (high / low).ln() / (LIMITS - 1) as f64;
    let mut limits: Vec<f64> = (0..LIMITS).map(|i| rounded_up(low * (step * i as f64).exp())).collect();
    limits.push(rounded_up(high));
    limits.extend(asked);
    limits.sort_by(f64::total_cmp);
    limits.dedup();
    Some(limits)
}

/// The least number of three significant digits that is not below `x`, which is above 0.
fn rounded_up(x: f64) -> f64 {
    // Decimal text is what makes 0.07 of 7 × 0.01.
    let text = format!("{x:.2e}");
    let near: f64 = text.parse().unwrap_or(x);
    if near >= x {
        return near;
    }
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let hundredths = digits.replace('.', "").parse::<u32>().unwrap_or(999) + 1;
    format!("{hundredths}e{}", power.parse::<i32>().unwrap_or(0) - 2).parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::run_of;

    #[test]
    fn every_pair_of_limits_has_the_count_of_a_scan() {
        let measured = Measured::read(&run_of(500, 7)).unwrap();
        let plane = build(&measured, [Some(500.0), Some(50.0)]).unwrap();
        let met = plane.met();
        let columns = plane.ttft_ms.len();
        assert!((64..=66).contains(&columns) && met.len() == columns * plane.itl_ms.len());
        for (y, itl) in plane.itl_ms.iter().enumerate().step_by(7) {
            for (x, ttft) in plane.ttft_ms.iter().enumerate().step_by(5) {
                let keeps = |v: Option<f64>, limit: &f64| v.is_some_and(|v| v <= *limit);
                let scan = measured.requests.iter().filter(|r| keeps(r.ttft_ms, ttft) && keeps(r.itl_ms, itl)).count();
                assert_eq!(met[y * columns + x], scan as u64, "{ttft} ms, {itl} ms");
            }
        }
        // At the run's own objective it is the run's own goodput.
        let at = |limits: &[f64], limit: f64| limits.iter().position(|l| *l == limit).unwrap();
        let good = measured.requests.iter().filter(|r| r.good).count() as u64;
        assert!(good > 100);
        assert_eq!(met[at(&plane.itl_ms, 50.0) * columns + at(&plane.ttft_ms, 500.0)], good);
        let both = measured.requests.iter().filter(|r| r.ttft_ms.is_some() && r.itl_ms.is_some()).count() as u64;
        assert_eq!(met.last(), Some(&both), "the last limits keep all");
        assert_eq!(plane.ended, 499, "all but the one that was cancelled");
    }

    #[test]
    fn limits_are_round_and_rise_whatever_the_values() {
        for (x, up) in [(1.0, 1.0), (1.001, 1.01), (9.991, 10.0), (0.001_234, 0.001_24), (123_456.0, 124_000.0)] {
            assert_eq!(rounded_up(x), up);
        }
        for values in [vec![0.0], vec![5.0, 5.0], vec![1e-9, 1e15], vec![3.333]] {
            let limits = limits(values.iter().copied(), Some(4.0)).unwrap();
            assert!(limits.windows(2).all(|w| w[0] < w[1]) && limits.len() <= LIMITS + 2, "{limits:?}");
            assert!(*limits.last().unwrap() >= values[values.len() - 1] && limits.contains(&4.0));
        }
        assert_eq!(limits([].into_iter(), Some(4.0)), None);
        assert_eq!(build(&Measured { requests: vec![], window: None, expected_hits: None }, [None, None]), None);
    }
}
