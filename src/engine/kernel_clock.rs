//! The kernel's stamps, which are CLOCK_REALTIME → the run's clock, by an offset that is measured again and again.
//!
//! An offset is one reading of CLOCK_REALTIME between two of CLOCK_MONOTONIC; of several, the one with the narrowest
//! bracket counts. Between two measurements the clocks drift apart by what NTP slews, 0.5 ms a second at worst, in
//! practice a thousandth of that. A jump of the wall clock shows as a jump of the offset.

use crate::time::{Anchor, MILLISECOND_NS, SECOND_NS, monotonic_ns, realtime_ns};

/// How old an offset may become.
const AGE_NS: i64 = SECOND_NS;
/// Readings of which the best counts.
const TRIES: u32 = 5;
/// A change of the offset between two measurements that no slew explains.
const STEP_NS: i64 = MILLISECOND_NS;

/// The offset, and how it has moved.
#[derive(Clone, Debug)]
pub(super) struct KernelClock {
    anchor: Anchor,
    /// CLOCK_REALTIME − CLOCK_MONOTONIC.
    offset_ns: i64,
    measured_ns: i64,
    steps: u64,
}

impl KernelClock {
    /// Measures the first offset.
    pub(super) fn new(anchor: Anchor) -> Self {
        KernelClock { anchor, offset_ns: offset_ns(), measured_ns: monotonic_ns(), steps: 0 }
    }

    /// Measures again, if the offset has grown old by `now_ns` on the run's clock.
    pub(super) fn refresh(&mut self, now_ns: i64) {
        let monotonic = now_ns + self.anchor.t0_monotonic_ns;
        if monotonic - self.measured_ns < AGE_NS {
            return;
        }
        let before_ns = std::mem::replace(&mut self.offset_ns, offset_ns());
        self.measured_ns = monotonic;
        self.steps += u64::from((self.offset_ns - before_ns).abs() > STEP_NS);
    }

    /// The run's time of a kernel stamp. Later than the read that delivered it cannot be: then the offset is old by a
    /// hair, and the read's time is the better one.
    pub(super) fn to_run_ns(&self, stamp_ns: i64, read_ns: i64) -> i64 {
        self.anchor.from_monotonic(stamp_ns - self.offset_ns).min(read_ns)
    }

    /// How often the wall clock jumped.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}

fn offset_ns() -> i64 {
    let reading = |_| {
        let before = monotonic_ns();
        let real = realtime_ns();
        let after = monotonic_ns();
        (after - before, real - before - (after - before) / 2)
    };
    (0..TRIES).map(reading).min().map_or(0, |(_, offset)| offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Clock, SystemClock};

    #[test]
    fn a_stamp_taken_now_is_now_on_the_runs_clock() {
        let clock = SystemClock::starting_in(0);
        let mut kernel = KernelClock::new(clock.anchor());
        kernel.refresh(clock.now_ns() + 2 * SECOND_NS);
        let before = clock.now_ns();
        let stamp = realtime_ns();
        let seen = kernel.to_run_ns(stamp, i64::MAX);
        let after = clock.now_ns();
        let slack = MILLISECOND_NS;
        assert!(before - slack <= seen && seen <= after + slack, "{before} {seen} {after}");
        assert_eq!(kernel.to_run_ns(stamp, before), before.min(seen));
        assert_eq!(kernel.steps(), 0);
    }
}
