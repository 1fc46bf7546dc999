//! One word that every worker reads each turn: go on, drain, or cut.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How far a run has been asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stop {
    /// Go on.
    No = 0,
    /// Release nothing more; let what is in flight finish.
    Drain = 1,
    /// Give up what is in flight.
    Cut = 2,
}

/// How many requests may fail before a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailedMax {
    /// Their share of those that have ended, 0 to 1.
    pub share: f64,
    /// Looked at from so many ended requests on.
    pub from_requests: u64,
}

impl FailedMax {
    /// Whether so many failures among those that ended are too many.
    pub fn is_exceeded(&self, failed: u64, completed: u64) -> bool {
        let ended = failed + completed;
        ended >= self.from_requests && failed as f64 > self.share * ended as f64
    }
}

/// The word. Only ever goes up.
#[derive(Debug, Default)]
pub struct StopSwitch {
    degree: AtomicU8,
    aborted: AtomicBool,
    failed: AtomicBool,
}

impl StopSwitch {
    /// Asks for a stop of at least this degree.
    pub fn ask(&self, stop: Stop) {
        self.degree.fetch_max(stop as u8, Ordering::Relaxed);
    }

    /// The next degree up from where it is: the first Ctrl-C drains, the second cuts.
    pub fn escalate(&self) {
        self.ask(if self.asked() == Stop::No { Stop::Drain } else { Stop::Cut });
    }

    /// Asks for a drain because of an overload.
    pub fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
        self.ask(Stop::Drain);
    }

    /// Whether an overload asked for the stop.
    pub fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }

    /// Asks for a cut because too many requests failed.
    pub fn give_up(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.ask(Stop::Cut);
    }

    /// Whether failures asked for the stop.
    pub fn is_given_up(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// What has been asked for.
    #[inline]
    pub fn asked(&self) -> Stop {
        match self.degree.load(Ordering::Relaxed) {
            0 => Stop::No,
            1 => Stop::Drain,
            _ => Stop::Cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_from_so_many_on_and_by_their_share() {
        let most = FailedMax { share: 0.25, from_requests: 8 };
        let exceeded = |failed, completed| most.is_exceeded(failed, completed);
        assert_eq!([(7, 0), (2, 6), (3, 5), (3, 9)].map(|(f, c)| exceeded(f, c)), [false, false, true, false]);
        assert!(FailedMax { share: 0.0, from_requests: 1 }.is_exceeded(1, 99));
        assert!(!FailedMax { share: 1.0, from_requests: 1 }.is_exceeded(9, 0));
    }

    #[test]
    fn a_stop_only_goes_up() {
        let switch = StopSwitch::default();
        switch.escalate();
        assert_eq!(switch.asked(), Stop::Drain);
        switch.escalate();
        switch.ask(Stop::Drain);
        assert_eq!(switch.asked(), Stop::Cut);
    }
}
