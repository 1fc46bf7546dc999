//! Planned and achieved arrivals: rates, lag, burstiness, and how many requests changed their second.
//!
//! Planned is `scheduled_ns`: of a request that a completion released, when it was released. What nothing ever released was
//! not due and is left out.

use serde::Serialize;

use crate::arrival::index_of_dispersion;
use crate::metrics::quantile::percentile_of_sorted;
use crate::record::row::RequestRow;
use crate::time::SECOND_NS;

/// A request that is less late than this is not said to have moved, though a second may have begun meanwhile.
pub const MOVED_LAG_MS_MIN: f64 = 10.0;

/// Planned against achieved arrivals.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arrivals {
    /// Requests that were due.
    pub planned: u64,
    /// Of those, how many were sent.
    pub sent: u64,
    /// Requests per second, from the first that was due to the last; null where they are one instant.
    pub planned_rps: Option<f64>,
    /// The same of the times at which they were sent.
    pub sent_rps: Option<f64>,
    /// Sent − planned, percentile 50, in milliseconds.
    pub lag_p50_ms: Option<f64>,
    /// Percentile 99.
    pub lag_p99_ms: Option<f64>,
    /// The longest.
    pub lag_max_ms: Option<f64>,
    /// Requests that were sent in another second than planned and more than [`MOVED_LAG_MS_MIN`] late, or not at all.
    pub moved: u64,
    /// Index of dispersion of the counts per second as planned; null below two seconds.
    pub planned_idc_1s: Option<f64>,
    /// The same of the times at which they were sent, in the same seconds.
    pub sent_idc_1s: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct Fold {
    planned_ns: Vec<i64>,
    /// (planned, sent).
    sent_ns: Vec<(i64, i64)>,
    /// Planned times that nobody released and nobody sent: due by the clock, or, in a closed loop, never.
    unreleased_ns: Vec<i64>,
    is_closed: bool,
}

impl Fold {
    pub(super) fn add(&mut self, row: &RequestRow) {
        self.is_closed |= row.turn == 0 && row.released_ns.is_some();
        match row.sent_ns {
            Some(sent_ns) => self.sent_ns.push((row.scheduled_ns, sent_ns)),
            None if row.released_ns.is_none() => {
                if row.turn == 0 {
                    self.unreleased_ns.push(row.scheduled_ns);
                }
                return;
            }
            None => {}
        }
        self.planned_ns.push(row.scheduled_ns);
    }

    pub(super) fn finish(self) -> Option<Arrivals> {
        let Fold { mut planned_ns, sent_ns, unreleased_ns, is_closed } = self;
        if !is_closed {
            planned_ns.extend(unreleased_ns);
        }
        planned_ns.sort_unstable();
        let start_ns = *planned_ns.first()?;
        let second = |t_ns: i64| t_ns.saturating_sub(start_ns) / SECOND_NS;
        let lag_ms = |(planned, sent): &(i64, i64)| sent.saturating_sub(*planned) as f64 / 1e6;
        let stayed = |pair: &&(i64, i64)| second(pair.0) == second(pair.1) || lag_ms(pair) <= MOVED_LAG_MS_MIN;
        let stayed = sent_ns.iter().filter(stayed).count();
        let mut lags_ms: Vec<f64> = sent_ns.iter().map(lag_ms).collect();
        lags_ms.sort_unstable_by(f64::total_cmp);
        let lag = |percent| (!lags_ms.is_empty()).then(|| percentile_of_sorted(&lags_ms, percent));
        let mut sent_ns: Vec<i64> = sent_ns.into_iter().map(|(_, sent)| sent).collect();
        sent_ns.sort_unstable();
        let duration_ns = planned_ns.last().map_or(0, |last| last.saturating_sub(start_ns));
        Some(Arrivals {
            planned: planned_ns.len() as u64,
            sent: sent_ns.len() as u64,
            planned_rps: rate(&planned_ns),
            sent_rps: rate(&sent_ns),
            lag_p50_ms: lag(50.0),
            lag_p99_ms: lag(99.0),
            lag_max_ms: lag(100.0),
            moved: (planned_ns.len() - stayed) as u64,
            planned_idc_1s: idc_1s(&planned_ns, start_ns, duration_ns),
            sent_idc_1s: idc_1s(&sent_ns, start_ns, duration_ns),
        })
    }
}

fn rate(rising_ns: &[i64]) -> Option<f64> {
    let span_ns = rising_ns.last()?.saturating_sub(*rising_ns.first()?);
    (span_ns > 0).then(|| rising_ns.len() as f64 * SECOND_NS as f64 / span_ns as f64)
}

fn idc_1s(rising_ns: &[i64], start_ns: i64, duration_ns: i64) -> Option<f64> {
    let since_start: Vec<i64> = rising_ns.iter().map(|t| t.saturating_sub(start_ns)).collect();
    index_of_dispersion(&since_start, SECOND_NS, duration_ns)
}
