//! Turns a trace into a part of it or a faster one.
//!
//! In: a [`Trace`] with times. Out: the same trace, changed, with a note that tells the rate it now has. Invariants: those of
//! every trace hold afterwards; block ids keep their meaning (equal is equal), but are numbered anew.

use super::Trace;
use crate::error::{Error, Result};
use crate::time::SECOND_NS;

/// A part `[from_ns, to_ns)` of a trace's own time axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First instant that is kept; it becomes 0.
    pub from_ns: i64,
    /// First instant that is not kept.
    pub to_ns: i64,
}

/// Keeps the requests that arrive inside the window. A turn without a time is kept with the turn before it.
///
/// # Errors
/// A usage error where the window is empty, nothing arrives in it, or the trace has no times.
pub fn window(mut trace: Trace, window: Window) -> Result<Trace> {
    require_times(&trace, "a window")?;
    let Window { from_ns, to_ns } = window;
    let (from_s, to_s) = (seconds(from_ns), seconds(to_ns));
    if from_ns >= to_ns {
        return Err(Error::Usage(format!(
            "the window from {from_s} s to {to_s} s is empty; its end must be after its start"
        )));
    }
    let before = trace.entries.len();
    let mut last_turn_kept = vec![false; trace.sessions.len()];
    trace.retain(|e| {
        let keep = match &mut e.arrival_ns {
            Some(at_ns) => {
                let inside = (from_ns..to_ns).contains(at_ns);
                *at_ns = at_ns.saturating_sub(from_ns);
                inside
            }
            None => e.session.is_some_and(|s| last_turn_kept[s as usize]),
        };
        if let Some(s) = e.session {
            last_turn_kept[s as usize] = keep;
        }
        keep
    });
    if trace.entries.is_empty() {
        return Err(Error::Usage(format!(
            "no request of the trace arrives from {from_s} s to {to_s} s; widen the window"
        )));
    }
    let kept = trace.entries.len();
    let rate = kept as f64 / (to_s - from_s);
    trace.notes.push(format!("window {from_s} s to {to_s} s: {kept} of {before} requests, {rate:.3} requests/s"));
    Ok(trace)
}

/// Makes the trace `factor` times as fast: arrival times are divided, and so are the delays between turns, because a
/// user who thinks as long as before would make a faster trace's sessions overlap it.
///
/// # Errors
/// A usage error where the factor is not a number above 0, or would make the trace longer than a clock can count.
pub fn speed(mut trace: Trace, factor: f64) -> Result<Trace> {
    if !(1e-6..=1e6).contains(&factor) {
        return Err(Error::Usage(format!(
            "--speed {factor} cannot be; use a number from 1e-6 to 1e6 (2 is twice as fast)"
        )));
    }
    require_times(&trace, "a speed")?;
    let divide = |t_ns: &mut i64| -> Result<()> {
        let slower = *t_ns as f64 / factor;
        if slower > i64::MAX as f64 / 2.0 {
            return Err(Error::Usage(format!(
                "--speed {factor} makes the trace last more than a century; use a larger number"
            )));
        }
        *t_ns = if factor == 1.0 { *t_ns } else { slower.round() as i64 };
        Ok(())
    };
    for entry in &mut trace.entries {
        entry.arrival_ns.as_mut().map_or(Ok(()), divide)?;
        entry.delay_ns.as_mut().map_or(Ok(()), divide)?;
    }
    let times = || trace.entries.iter().filter_map(|e| e.arrival_ns);
    let span_s = seconds(times().max().unwrap_or(0) - times().min().unwrap_or(0));
    let count = trace.entries.len();
    let rate = if span_s > 0.0 { format!(", {:.3} requests/s", count as f64 / span_s) } else { String::new() };
    trace.notes.push(format!("speed {factor}: {count} requests over {span_s:.3} s{rate}"));
    Ok(trace)
}

fn require_times(trace: &Trace, what: &str) -> Result<()> {
    if trace.entries.iter().any(|e| e.arrival_ns.is_some()) {
        return Ok(());
    }
    Err(Error::Usage(format!("the trace has no times, so {what} means nothing; send it at a rate instead")))
}

fn seconds(t_ns: i64) -> f64 {
    t_ns as f64 / SECOND_NS as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{ReadOptions, parse};

    const ROWS: &str = r#"{"timestamp": 0, "input_length": 600, "hash_ids": [8, 9]}
{"timestamp": 1000, "input_length": 600, "hash_ids": [5, 8], "session_id": "a"}
{"delay": 300, "input_length": 40, "session_id": "a"}
{"timestamp": 2500, "input_length": 600, "hash_ids": [5, 6], "session_id": "b"}
{"delay": 500, "input_length": 40, "session_id": "b"}
{"timestamp": 4000, "input_length": 10}
"#;

    fn trace() -> Trace {
        parse(&mut ROWS.as_bytes(), "t", &ReadOptions::default()).unwrap()
    }

    fn part(from_ms: i64, to_ms: i64) -> Result<Trace> {
        window(trace(), Window { from_ns: from_ms * 1_000_000, to_ns: to_ms * 1_000_000 })
    }

    #[test]
    fn a_window_keeps_its_requests_with_their_turns_and_starts_at_zero() {
        let cut = part(2000, 4000).unwrap();
        cut.check().unwrap();
        assert_eq!(cut.entries.iter().map(|e| e.line).collect::<Vec<_>>(), [4, 5], "from is inside, to is not");
        assert_eq!(cut.entries[0].arrival_ns, Some(500_000_000));
        assert_eq!((&cut.block_ids[..], cut.unique_blocks, &cut.sessions[..]), (&[0, 1][..], 2, &["b".to_owned()][..]));
        assert_eq!(cut.notes.last().unwrap(), "window 2 s to 4 s: 2 of 6 requests, 1.000 requests/s");
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
        assert!(part(i64::MIN / 1_000_000, 1).is_ok());
    }

    #[test]
    fn speed_divides_times_and_delays_and_tells_the_rate() {
        let fast = speed(trace(), 2.0).unwrap();
        fast.check().unwrap();
        assert_eq!(fast.entries[5].arrival_ns, Some(2_000_000_000));
        assert_eq!(fast.entries[2].delay_ns, Some(150_000_000));
        assert_eq!(fast.notes.last().unwrap(), "speed 2: 6 requests over 2.000 s, 3.000 requests/s");
        assert_eq!(speed(trace(), 1.0).unwrap().entries, trace().entries);
    }

    #[test]
    fn speeds_that_cannot_be_are_refused() {
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert!(speed(trace(), factor).is_err(), "{factor}");
        }
        let timeless = parse(&mut &b"{\"input_length\": 5}"[..], "t", &ReadOptions::default()).unwrap();
        assert!(speed(timeless, 2.0).unwrap_err().to_string().contains("no times"));
    }
}
