//! Time as a parameter: a clock that is passed in, real or simulated.
//!
//! All times in loadline are `i64` nanoseconds since the run's `t0`, named `…_ns`. [`SystemClock`] is the one place
//! that reads the machine's clocks; [`SimClock`] is moved by its test.
//! Invariant: a clock never goes back.

pub mod alarm;

use std::cell::Cell;
use std::rc::Rc;

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const MILLISECOND_NS: i64 = 1_000_000;

/// A source of the run's time.
pub trait Clock {
    /// Nanoseconds since `t0`; may be negative before the run starts.
    fn now_ns(&self) -> i64;
}

/// Where the run's time axis is tied to the world's: one instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Anchor {
    /// `t0` as nanoseconds of CLOCK_REALTIME since 1970.
    pub t0_unix_ns: i64,
    /// `t0` as nanoseconds of CLOCK_MONOTONIC.
    pub t0_monotonic_ns: i64,
}

impl Anchor {
    /// The run's time of an absolute CLOCK_MONOTONIC reading.
    pub fn from_monotonic(&self, monotonic_ns: i64) -> i64 {
        monotonic_ns - self.t0_monotonic_ns
    }

    /// Nanoseconds since 1970 of a time of this run.
    pub fn to_unix(&self, t_ns: i64) -> i64 {
        self.t0_unix_ns + t_ns
    }
}

/// CLOCK_MONOTONIC, counted from an [`Anchor`]. Cheap to copy, one per thread.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    anchor: Anchor,
}

impl SystemClock {
    /// A clock whose `t0` lies `lead_ns` ahead of now, so that every thread can be ready when it comes.
    pub fn starting_in(lead_ns: i64) -> Self {
        // The realtime reading is bracketed by two monotonic ones; the middle is its best partner.
        let before = monotonic_ns();
        let unix = realtime_ns();
        let after = monotonic_ns();
        let monotonic = before + (after - before) / 2;
        SystemClock { anchor: Anchor { t0_unix_ns: unix + lead_ns, t0_monotonic_ns: monotonic + lead_ns } }
    }

    /// A clock on an axis that another part of the program already set.
    pub fn at(anchor: Anchor) -> Self {
        SystemClock { anchor }
    }

    /// The run's anchor, for the manifest.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now_ns(&self) -> i64 {
        self.anchor.from_monotonic(monotonic_ns())
    }
}

/// Nanoseconds of CLOCK_MONOTONIC.
#[inline]
pub fn monotonic_ns() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    t.tv_sec * SECOND_NS + t.tv_nsec
}

/// Nanoseconds of CLOCK_REALTIME since 1970.
pub fn realtime_ns() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    t.tv_sec * SECOND_NS + t.tv_nsec
}

/// A clock that stands still until it is moved. Clones share one time.
#[derive(Clone, Debug, Default)]
pub struct SimClock {
    now_ns: Rc<Cell<i64>>,
}

impl SimClock {
    /// Moves time forward to `t_ns`; an earlier time leaves it where it is.
    pub fn advance_to(&self, t_ns: i64) {
        self.now_ns.set(self.now_ns.get().max(t_ns));
    }
}

impl Clock for SimClock {
    fn now_ns(&self) -> i64 {
        self.now_ns.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_never_goes_back() {
        let c = SimClock::default();
        let twin = c.clone();
        c.advance_to(5);
        c.advance_to(3);
        assert_eq!(twin.now_ns(), 5);
    }

    #[test]
    fn the_anchor_joins_both_axes() {
        let c = SystemClock::starting_in(SECOND_NS);
        assert!(c.now_ns() < 0, "t0 lies ahead");
        let a = c.anchor();
        let apart = (a.to_unix(c.now_ns()) - realtime_ns()).abs();
        assert!(apart < SECOND_NS, "the two readings of now lie {apart} ns apart");
    }
}
