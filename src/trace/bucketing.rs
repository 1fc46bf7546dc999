//! Turns arrival times into a finding: whether the recorder rounded them into buckets, and how long a bucket is.
//!
//! In: times that do not decrease. Out: a [`Bucketing`]. Buckets are found where many requests share their instant and the
//! instants stand a whole number of periods apart, each within some per cent, since recorders' timers wander. A replay of such
//! times sends each bucket as one burst that no user made.
//! Not here: what is done about it (`--spread-buckets`).

use std::fmt;

use crate::time::{MILLISECOND_NS, SECOND_NS};

/// With fewer distinct times the gaps tell nothing.
const INSTANTS_TO_JUDGE: usize = 10;
/// The share of requests that have company at their instant, from which on their times are worth a question. Poisson arrivals
/// reach it at a quarter of a request per period, so that most gaps are short multiples of it.
const SHARE_TOGETHER: f64 = 0.25;
/// The share of gaps that must be whole periods.
const SHARE_WHOLE: f64 = 0.95;
/// How far from whole a gap may be, in periods. Gaps of no pattern are that near by chance in a tenth of all cases.
const WANDERING: f64 = 0.05;
/// Shorter periods are the resolution of the file, and below what a server's step takes.
const SHORTEST_NS: i64 = 10 * MILLISECOND_NS;

/// Whether arrivals stand in buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Bucketing {
    /// Whether they do.
    pub detected: bool,
    /// The time from one bucket to the next, in nanoseconds, where they do.
    pub period_ns: Option<i64>,
    /// Requests that have a time.
    pub requests: u64,
    /// Their different times.
    pub instants: u64,
    /// The most requests at one time.
    pub most_at_once: u64,
}

impl Bucketing {
    /// Looks for buckets in times that must not decrease.
    pub fn of(times_ns: impl IntoIterator<Item = i64>) -> Bucketing {
        let mut found = Bucketing::default();
        let (mut gaps, mut alone, mut at_once) = (Vec::new(), 0, 0);
        let mut last_ns = None;
        for at_ns in times_ns {
            found.requests += 1;
            if last_ns == Some(at_ns) {
                at_once += 1;
            } else {
                alone += u64::from(at_once == 1);
                at_once = 1;
                found.instants += 1;
                gaps.extend(last_ns.map(|last_ns| at_ns - last_ns));
            }
            last_ns = Some(at_ns);
            found.most_at_once = found.most_at_once.max(at_once);
        }
        alone += u64::from(at_once == 1);
        let together = (found.requests - alone) as f64 / found.requests.max(1) as f64;
        if gaps.len() >= INSTANTS_TO_JUDGE && together >= SHARE_TOGETHER {
            found.period_ns = period(gaps);
            found.detected = found.period_ns.is_some();
        }
        found
    }
}

/// The period that nearly all gaps are whole numbers of.
fn period(mut gaps: Vec<i64>) -> Option<i64> {
    gaps.sort_unstable();
    // Where a quarter of the requests have company, a tenth of the gaps and more are single periods.
    let single_ns = gaps[gaps.len() / 10];
    let singles =
        &gaps[gaps.partition_point(|&g| 2 * g <= single_ns)..gaps.partition_point(|&g| 2 * g < 3 * single_ns)];
    let period_ns = singles[singles.len() / 2];
    let is_whole = |gap: i64| {
        let periods = gap as f64 / period_ns as f64;
        periods >= 0.5 && (periods - periods.round()).abs() <= WANDERING
    };
    let whole = gaps.iter().filter(|&&gap| is_whole(gap)).count();
    (period_ns >= SHORTEST_NS && whole as f64 >= SHARE_WHOLE * gaps.len() as f64).then_some(period_ns)
}

impl fmt::Display for Bucketing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bucketing { requests, instants, most_at_once, .. } = self;
        match self.period_ns {
            Some(period_ns) => write!(
                f,
                "arrivals are bucketed: {requests} requests stand at {instants} instants, {} s apart, up to {most_at_once} at one",
                period_ns as f64 / SECOND_NS as f64
            ),
            None => write!(f, "arrivals are not bucketed: {requests} requests stand at {instants} instants"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::rng::{Seed, Stream};

    const MS: i64 = MILLISECOND_NS;

    /// `count` uniform arrivals at `rate` per second, each moved back to the beginning of its period.
    fn rounded(seed: u64, count: usize, rate: f64, period_ns: i64, wander_ns: i64) -> Vec<i64> {
        let mut rng = Seed(seed).stream(Stream::Arrival);
        let end_ns = (count as f64 / rate * SECOND_NS as f64) as i64;
        let mut times: Vec<i64> = (0..count).map(|_| rng.random_range(0..end_ns) / period_ns * period_ns).collect();
        times.sort_unstable();
        let mut moved_ns = 0;
        let mut last_ns = 0;
        for at_ns in &mut times {
            if *at_ns != last_ns {
                last_ns = *at_ns;
                moved_ns = rng.random_range(-wander_ns..=wander_ns);
            }
            *at_ns += moved_ns;
        }
        times
    }

    #[test]
    fn buckets_are_found_with_their_period_whatever_the_rate() {
        for seed in 0..20 {
            for (rate, period_ns, wander_ns) in
                [(3.4, 3000 * MS, MS), (5.6, 3055 * MS, 2 * MS), (0.4, 1000 * MS, 0), (90.0, 100 * MS, 0)]
            {
                let found = Bucketing::of(rounded(seed, 2000, rate, period_ns, wander_ns));
                let wrong = (found.period_ns.unwrap_or(0) - period_ns).abs();
                assert!(found.detected && wrong <= 2 * wander_ns, "seed {seed}, rate {rate}: {found:?}");
            }
        }
    }

    #[test]
    fn what_is_no_bucket_is_not_called_one() {
        for seed in 0..20 {
            for (rate, resolution_ns) in [(5.0, 1), (5.0, MS), (900.0, MS), (0.05, SECOND_NS)] {
                assert!(
                    !Bucketing::of(rounded(seed, 2000, rate, resolution_ns, 0)).detected,
                    "seed {seed}, rate {rate}"
                );
            }
            // Pairs at random times have company, but no period.
            let pairs: Vec<i64> = rounded(seed, 2000, 3.0, 1, 0).into_iter().flat_map(|t| [t, t]).collect();
            assert!(!Bucketing::of(pairs).detected, "seed {seed}");
        }
        for times in [&[][..], &[0], &[5; 100], &[0, 0, 3, 3, 6, 6]] {
            assert!(!Bucketing::of(times.iter().copied()).detected, "{times:?}");
        }
    }

    #[test]
    fn a_finding_reads_well_and_counts_right() {
        let times: Vec<i64> = (0..40).flat_map(|bucket| vec![bucket * 3000 * MS; 1 + bucket as usize % 3]).collect();
        let found = Bucketing::of(times);
        let expected =
            Bucketing { detected: true, period_ns: Some(3000 * MS), requests: 79, instants: 40, most_at_once: 3 };
        assert_eq!(found, expected);
        assert_eq!(
            found.to_string(),
            "arrivals are bucketed: 79 requests stand at 40 instants, 3 s apart, up to 3 at one"
        );
    }
}
