//! Arrival times → their rate over time, their peaks, and how bursty they are.
//!
//! Invariants: windows are aligned to the first arrival; peaks are over all of them, dispersion over the whole ones alone
//! (an unfinished last window would pass for a lull). Not here: whether they were kept to (`analysis::fidelity`).

use crate::analysis::timeline::round_interval_ns;
use crate::arrival::index_of_dispersion;
use crate::time::SECOND_NS;
use crate::trace::bucketing::Bucketing;

/// Most intervals of the rate curve.
pub const CURVE_BINS_MAX: usize = 120;

/// When requests arrive.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrivals {
    /// Requests that have a time.
    pub timed: u64,
    /// From the first arrival to the last.
    pub duration_ns: i64,
    /// Most requests in one second.
    pub peak_1s: u64,
    /// Most requests in one minute, per second.
    pub peak_60s_rps: f64,
    /// Index of dispersion of the counts per second; null below two seconds.
    pub idc_1s: Option<f64>,
    /// The same per ten seconds.
    pub idc_10s: Option<f64>,
    /// The same per minute.
    pub idc_60s: Option<f64>,
    /// Whether the recorder rounded the times into buckets.
    pub bucketing: Bucketing,
    /// The rate over time.
    pub curve: RateCurve,
}

/// Requests in equal intervals from the first arrival on.
#[derive(Clone, Debug, PartialEq)]
pub struct RateCurve {
    /// Length of an interval.
    pub interval_ns: i64,
    /// Requests in each; the last one may be cut short by the end.
    pub counts: Vec<u64>,
}

impl RateCurve {
    /// Length of an interval in seconds.
    pub fn interval_s(&self) -> f64 {
        self.interval_ns as f64 / SECOND_NS as f64
    }

    /// Requests per second of each interval.
    pub fn rates_rps(&self) -> impl Iterator<Item = f64> {
        self.counts.iter().map(|n| *n as f64 / self.interval_s())
    }
}

impl Arrivals {
    /// Describes arrivals, in any order. Null where there is none.
    pub fn of(mut times_ns: Vec<i64>) -> Option<Arrivals> {
        times_ns.sort_unstable();
        let first_ns = *times_ns.first()?;
        times_ns.iter_mut().for_each(|t| *t = t.saturating_sub(first_ns));
        let duration_ns = *times_ns.last()?;
        let idc = |width_ns| index_of_dispersion(&times_ns, width_ns, duration_ns);
        Some(Arrivals {
            timed: times_ns.len() as u64,
            duration_ns,
            peak_1s: peak(&times_ns, SECOND_NS),
            peak_60s_rps: peak(&times_ns, 60 * SECOND_NS) as f64 / 60.0,
            idc_1s: idc(SECOND_NS),
            idc_10s: idc(10 * SECOND_NS),
            idc_60s: idc(60 * SECOND_NS),
            bucketing: Bucketing::of(times_ns.iter().copied()),
            curve: curve(&times_ns, duration_ns),
        })
    }

    /// Requests per second from the first arrival to the last; null where they are one instant.
    pub fn mean_rps(&self) -> Option<f64> {
        (self.duration_ns > 0).then(|| self.timed as f64 * SECOND_NS as f64 / self.duration_ns as f64)
    }
}

fn peak(times_ns: &[i64], width_ns: i64) -> u64 {
    times_ns.chunk_by(|a, b| a / width_ns == b / width_ns).map(<[i64]>::len).max().unwrap_or(0) as u64
}

fn curve(times_ns: &[i64], duration_ns: i64) -> RateCurve {
    let interval_ns = round_interval_ns(duration_ns, CURVE_BINS_MAX);
    let mut counts = vec![0; (duration_ns / interval_ns) as usize + 1];
    times_ns.iter().for_each(|t| counts[(t / interval_ns) as usize] += 1);
    RateCurve { interval_ns, counts }
}
