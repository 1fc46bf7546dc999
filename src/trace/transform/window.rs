//! Turns a trace into what arrives in a part of its time.
//!
//! In: a trace with times, and the part. Out: the entries that arrive inside, with the part's start as 0. An entry without a time
//! stays where all that it follows stays.

use serde::Serialize;

use super::select::select;
use super::{require_times, seconds, span_ns};
use crate::error::{Error, Result};
use crate::trace::Trace;

/// A part `[from_ns, to_ns)` of a trace's own time axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// First instant that is kept; it becomes 0.
    pub from_ns: i64,
    /// First instant that is not kept; none where the window is open.
    pub to_ns: Option<i64>,
    /// Whether the first request that is kept becomes 0 in place of the part's start.
    pub first_is_zero: bool,
}

impl Window {
    pub(super) fn apply(&self, trace: &mut Trace) -> Result<()> {
        require_times(trace, "a window")?;
        let Window { from_ns, to_ns, first_is_zero } = *self;
        let shown = match to_ns {
            Some(to_ns) => format!("from {} s to {} s", seconds(from_ns), seconds(to_ns)),
            None => format!("from {} s on", seconds(from_ns)),
        };
        if to_ns.is_some_and(|to_ns| to_ns <= from_ns) {
            return Err(Error::Usage(format!("the window {shown} is empty; its end must be after its start")));
        }
        let before = trace.entries.len();
        let gone = select(trace, |entry, before| match entry.arrival_ns {
            Some(at_ns) => at_ns >= from_ns && to_ns.is_none_or(|to_ns| at_ns < to_ns),
            None => before.all_stay,
        });
        if gone == before {
            return Err(Error::Usage(format!("no request of the trace arrives {shown}; widen the window")));
        }
        let first_ns = trace.arrivals_ns().next().filter(|_| first_is_zero);
        for at_ns in trace.entries.iter_mut().filter_map(|e| e.arrival_ns.as_mut()) {
            *at_ns -= first_ns.unwrap_or(from_ns);
        }
        let kept = before - gone;
        let length_s = seconds(to_ns.map_or_else(|| span_ns(trace), |to_ns| to_ns - from_ns));
        trace
            .notes
            .push(format!("window {shown}: {kept} of {before} requests, {:.3} requests/s", kept as f64 / length_s));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::transform::fixture::trace;

    fn part(from_ms: i64, to_ms: i64) -> Result<Trace> {
        let mut trace = trace();
        let window = Window { from_ns: from_ms * 1_000_000, to_ns: Some(to_ms * 1_000_000), first_is_zero: false };
        window.apply(&mut trace).map(|()| trace)
    }

    #[test]
    fn a_window_keeps_its_requests_with_their_turns_and_starts_at_zero() {
        let cut = part(2000, 4000).unwrap();
        cut.check().unwrap();
        assert_eq!(cut.entries.iter().map(|e| e.line).collect::<Vec<_>>(), [4, 5], "from is inside, to is not");
        assert_eq!(cut.entries[0].arrival_ns, Some(500_000_000));
        assert_eq!((&cut.block_ids[..], cut.unique_blocks, &cut.sessions[..]), (&[0, 1][..], 2, &["b".to_owned()][..]));
        assert_eq!(cut.notes.last().unwrap(), "window from 2 s to 4 s: 2 of 6 requests, 1.000 requests/s");
    }

    #[test]
    fn the_first_that_is_kept_can_be_zero() {
        let mut cut = trace();
        Window { from_ns: 2_000_000_000, to_ns: None, first_is_zero: true }.apply(&mut cut).unwrap();
        assert_eq!(cut.entries.iter().map(|e| e.arrival_ns).collect::<Vec<_>>(), [Some(0), None, Some(1_500_000_000)]);
        assert!(cut.notes.last().unwrap().starts_with("window from 2 s on: 3 of 6 requests"));
    }

    #[test]
    fn an_open_window_ends_with_the_trace() {
        let mut cut = trace();
        Window { from_ns: 2_000_000_000, to_ns: None, first_is_zero: false }.apply(&mut cut).unwrap();
        assert_eq!(cut.notes.last().unwrap(), "window from 2 s on: 3 of 6 requests, 2.000 requests/s");
    }

    #[test]
    fn sharing_survives_a_window() {
        let cut = part(1000, 3000).unwrap();
        cut.check().unwrap();
        assert_eq!(cut.block_ids, [0, 1, 0, 2], "5 is 5 in both rows");
    }

    #[test]
    fn windows_without_requests_are_refused() {
        assert!(part(4000, 4000).unwrap_err().to_string().contains("is empty"));
        assert!(part(5000, 9000).unwrap_err().to_string().contains("no request"));
        assert!(part(-5, 1).is_ok());
    }
}
