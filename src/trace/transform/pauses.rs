//! Turns a trace into one whose pauses are not longer than a limit.
//!
//! In: the longest pause; 0 for none at all. Out: the same requests; pauses before later turns and after what is waited for
//! are cut to it. Times stay: a turn that has one of its own is not sent before it, at the trace's times.

use serde::Serialize;

use crate::trace::Trace;

/// The longest pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pauses {
    /// In nanoseconds.
    pub longest_ns: i64,
}

impl Pauses {
    pub(super) fn apply(&self, trace: &mut Trace) {
        let pauses = trace.entries.iter_mut().filter_map(|e| e.delay_ns.as_mut());
        let waits = trace.waits.iter_mut().map(|w| &mut w.delay_ns);
        let longer = pauses.chain(waits).filter(|pause| **pause > self.longest_ns);
        let cut = longer.map(|pause| *pause = self.longest_ns).count();
        let limit = if self.longest_ns == 0 { "none".into() } else { format!("{} s", super::seconds(self.longest_ns)) };
        trace.notes.push(format!("pauses, at most {limit}: {cut} are cut"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::transform::fixture::trace;
    use crate::trace::{Wait, WaitFor};

    #[test]
    fn longer_pauses_are_cut_and_counted() {
        for (longest_ns, delays, wait_ns, note) in [
            (400_000_000, [300_000_000, 400_000_000], 400_000_000, "pauses, at most 0.4 s: 2 are cut"),
            (0, [0, 0], 0, "pauses, at most none: 3 are cut"),
        ] {
            let mut cut = trace();
            cut.waits = vec![Wait { entry: 0, event: WaitFor::Dispatch, delay_ns: 900_000_000 }];
            cut.entries[5].waits_len = 1;
            let arrivals: Vec<_> = cut.arrivals_ns().collect();
            Pauses { longest_ns }.apply(&mut cut);
            cut.check().unwrap();
            assert_eq!(cut.entries.iter().filter_map(|e| e.delay_ns).collect::<Vec<_>>(), delays);
            assert_eq!((cut.waits[0].delay_ns, cut.arrivals_ns().collect::<Vec<_>>()), (wait_ns, arrivals));
            assert_eq!(cut.notes.last().unwrap(), note);
        }
    }
}
