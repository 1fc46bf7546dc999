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

/// The word. Only ever goes up.
#[derive(Debug, Default)]
pub struct StopSwitch {
    degree: AtomicU8,
    aborted: AtomicBool,
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
    fn a_stop_only_goes_up() {
        let switch = StopSwitch::default();
        switch.escalate();
        assert_eq!(switch.asked(), Stop::Drain);
        switch.escalate();
        switch.ask(Stop::Drain);
        assert_eq!(switch.asked(), Stop::Cut);
    }
}
