//! Turns a trace into a faster or slower one.
//!
//! In: a trace with times, and a factor. Out: arrival times divided by it, and so are the pauses before later turns and after what
//! is waited for: a user who thinks as long as before would make a faster trace's sessions overlap it.

use super::{require_times, seconds, span_ns};
use crate::error::{Error, Result};
use crate::trace::Trace;

/// Makes the trace `factor` times as fast.
pub(super) fn speed(trace: &mut Trace, factor: f64) -> Result<()> {
    if !(1e-6..=1e6).contains(&factor) {
        return Err(Error::Usage(format!(
            "a speed of {factor} cannot be; use a number from 1e-6 to 1e6 (2 is twice as fast)"
        )));
    }
    require_times(trace, "a speed")?;
    let arrivals = trace.entries.iter_mut().flat_map(|e| [&mut e.arrival_ns, &mut e.delay_ns]).flatten();
    for t_ns in arrivals.chain(trace.waits.iter_mut().map(|w| &mut w.delay_ns)) {
        let slower = *t_ns as f64 / factor;
        if slower > i64::MAX as f64 / 2.0 {
            return Err(Error::Usage(format!(
                "a speed of {factor} makes the trace last more than a century; use a larger number"
            )));
        }
        *t_ns = slower.round() as i64;
    }
    let (count, span_s) = (trace.entries.len(), seconds(span_ns(trace)));
    let rate = if span_s > 0.0 { format!(", {:.3} requests/s", count as f64 / span_s) } else { String::new() };
    trace.notes.push(format!("speed {factor}: {count} requests over {span_s:.3} s{rate}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::transform::fixture::{timeless, trace};
    use crate::trace::{Wait, WaitFor};

    #[test]
    fn speed_divides_times_and_pauses_and_tells_the_rate() {
        let mut fast = trace();
        fast.waits = vec![Wait { entry: 0, event: WaitFor::Dispatch, delay_ns: 900 }];
        fast.entries[5].waits_len = 1;
        speed(&mut fast, 2.0).unwrap();
        fast.check().unwrap();
        assert_eq!(fast.entries[5].arrival_ns, Some(2_000_000_000));
        assert_eq!((fast.entries[2].delay_ns, fast.waits[0].delay_ns), (Some(150_000_000), 450));
        assert_eq!(fast.notes.last().unwrap(), "speed 2: 6 requests over 2.000 s, 3.000 requests/s");
    }

    #[test]
    fn speeds_that_cannot_be_are_refused() {
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert!(speed(&mut trace(), factor).is_err(), "{factor}");
        }
        assert!(speed(&mut timeless(), 2.0).unwrap_err().to_string().contains("no times"));
    }
}
