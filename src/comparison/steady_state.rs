//! A run's rows → the numbers of the part in which its load was what was asked for.
//!
//! In a closed loop of C clients that is from the C-th completion until the C-th last request is sent: before, all clients stand
//! in one queue that no deployment in use sees, and after, clients without a next request leave the others more room. In an open loop it
//! is what lies between the first tenth and the last tenth of the sends. A request belongs to the part if it was sent in it.

use super::levels::Load;
use crate::error::Result;
use crate::metrics::{Fold, Origin, Request, Slo, Stats, Summary, Value};
use crate::outcome::{OutcomeClass, Phase};
use crate::record::manifest::PhaseWindow;
use crate::record::reader::{Recording, Rows};
use crate::record::row::RequestRow;

/// Requests below which nothing is said of the steady state; the whole run stands in for it then.
pub const REQUESTS_MIN: u64 = 20;

/// What a run's steady part says; of the whole run where that part is too short.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Requests that were sent in the steady part.
    pub steady_requests: u64,
    /// Whether the numbers are those of the steady part.
    pub is_steady: bool,
    /// Requests that the numbers are of, whatever became of them.
    pub requests: u64,
    /// Seconds that rates divide by.
    pub window_s: f64,
    /// Time to first token, in milliseconds.
    pub ttft: Option<Stats>,
    /// Mean time between a request's tokens, in milliseconds.
    pub itl: Option<Stats>,
    /// Answers per second.
    pub request_rps: Option<f64>,
    /// Requests per second that met every bound.
    pub goodput_rps: Option<f64>,
    /// Share of [`Measured::requests`] that met every bound; failed ones did not.
    pub attainment: Option<f64>,
}

/// Reads off a recording what its load was meant to show.
///
/// # Errors
/// As the recording's.
pub fn measure(recording: &Recording, load: Load) -> Result<Measured> {
    let steady = window(recording.requests(), load);
    let inside = |row: &RequestRow, window: PhaseWindow| {
        row.sent_ns.is_some_and(|t| (window.start_ns..window.end_ns).contains(&t))
    };
    let count = steady.map_or(0, |w| profiled(recording.requests()).filter(|row| inside(row, w)).count() as u64);
    let steady = steady.filter(|_| count >= REQUESTS_MIN);
    let mut manifest = recording.manifest().clone();
    manifest.profiling = steady.or(manifest.profiling);
    let mut fold = Fold::new(&manifest)?;
    recording.for_each_request(&mut |row, tokens| {
        if row.phase == Phase::Profiling && steady.is_none_or(|w| inside(row, w)) {
            fold.add(row, tokens);
        }
    })?;
    Ok(Measured::of(&fold.finish(), count, steady.is_some()))
}

/// Of each request of the steady part, in the order of the schedule, whether it was answered and met every bound of the run, its
/// latencies counted from the scheduled time. Empty where there is no such part.
///
/// # Errors
/// As the recording's.
pub fn met(recording: &Recording, load: Load) -> Result<Vec<bool>> {
    let Some(part) = window(recording.requests(), load) else { return Ok(Vec::new()) };
    let manifest = recording.manifest();
    let slo = Slo::new(&manifest.slo)?;
    let mut met = Vec::new();
    recording.for_each_request(&mut |row, tokens| {
        // What was not sent would have been in it.
        if row.phase == Phase::Profiling
            && (part.start_ns..part.end_ns).contains(&row.sent_ns.unwrap_or(row.scheduled_ns))
        {
            let is_met = || slo.is_met_by(&Request::of(manifest, row, tokens), Origin::Scheduled);
            met.push(row.outcome.class() == OutcomeClass::Completed && is_met());
        }
    })?;
    Ok(met)
}

impl Measured {
    fn of(summary: &Summary, steady_requests: u64, is_steady: bool) -> Measured {
        let scalar = |name| match summary.get(name) {
            Some(Value::Scalar(x)) => Some(*x),
            _ => None,
        };
        let stats = |name| match summary.get(name) {
            Some(Value::Distribution(s)) => Some(s.clone()),
            _ => None,
        };
        let requests = summary.outcomes.total();
        Measured {
            steady_requests,
            is_steady,
            requests,
            window_s: summary.window_s,
            ttft: stats("time_to_first_token"),
            itl: stats("inter_token_latency"),
            request_rps: scalar("request_throughput"),
            goodput_rps: scalar("goodput"),
            attainment: scalar("good_request_count").filter(|_| requests > 0).map(|good| good / requests as f64),
        }
    }
}

fn profiled(rows: impl Iterator<Item = RequestRow>) -> impl Iterator<Item = RequestRow> {
    rows.filter(|row| row.phase == Phase::Profiling)
}

/// The steady part: its end is not in it. `None` where there is none.
pub fn window(rows: impl Iterator<Item = RequestRow>, load: Load) -> Option<PhaseWindow> {
    let times = profiled(rows).filter_map(|row| Some((row.sent_ns?, row.end_ns)));
    let (mut sent, ended): (Vec<i64>, Vec<Option<i64>>) = times.unzip();
    sent.sort_unstable();
    let (start_ns, end_ns) = match load {
        Load::Clients(clients) => {
            let clients = clients.max(1) as usize;
            let mut ended: Vec<i64> = ended.into_iter().flatten().collect();
            ended.sort_unstable();
            (*ended.get(clients - 1)?, sent[sent.len().checked_sub(clients)?])
        }
        Load::Rate(_) => {
            let tenth = sent.len().div_ceil(10);
            (*sent.get(tenth)?, sent[sent.len().checked_sub(tenth)?])
        }
    };
    (end_ns > start_ns).then_some(PhaseWindow { start_ns, end_ns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    /// Requests of `clients` clients who ask again at once, each answered in 10 ns.
    fn closed_loop(clients: i64, requests: i64) -> Vec<RequestRow> {
        (0..requests)
            .map(|n| {
                let sent = 10 * (n / clients);
                let mut row = RequestRow::scheduled(n as u64, sent);
                (row.sent_ns, row.end_ns, row.outcome) = (Some(sent), Some(sent + 10), Outcome::Completed);
                row
            })
            .collect()
    }

    #[test]
    fn the_way_in_and_the_way_out_of_a_closed_loop_are_no_part_of_it() {
        // Sends of four clients: 0, 10, …, 90. The fourth completion is at 10, the fourth last send at 90.
        let rows = closed_loop(4, 40);
        assert_eq!(window(rows.iter().cloned(), Load::Clients(4)), Some(PhaseWindow { start_ns: 10, end_ns: 90 }));
        assert_eq!(window(closed_loop(4, 8).into_iter(), Load::Clients(4)), None, "the way in is the way out");
        assert_eq!(window(closed_loop(4, 3).into_iter(), Load::Clients(4)), None);
        assert_eq!(window(std::iter::empty(), Load::Clients(1)), None);
        let mut rows = closed_loop(4, 40);
        rows[0].phase = Phase::Warmup;
        assert_eq!(profiled(rows.iter().cloned()).count(), 39);
    }

    #[test]
    fn an_open_loop_loses_a_tenth_at_each_end() {
        let rows = closed_loop(1, 40);
        assert_eq!(window(rows.iter().cloned(), Load::Rate(1.0)), Some(PhaseWindow { start_ns: 40, end_ns: 360 }));
        assert_eq!(window(closed_loop(1, 2).into_iter(), Load::Rate(1.0)), None);
        assert_eq!(window(std::iter::empty(), Load::Rate(1.0)), None);
    }
}
