//! An absolute-time wake-up on tokio that does not go through tokio's 1 ms timer wheel: a timerfd.
//!
//! Wakes tens of microseconds after its time (one idle exit of the core), where tokio's timer rounds up to the next
//! millisecond. Who needs better spins for the last stretch.

use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::{Anchor, SECOND_NS};

/// A reusable alarm of one task. Lives on the runtime that made it.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    anchor: Anchor,
}

impl Alarm {
    /// An alarm on the axis of `anchor`. Must be called on a tokio runtime with I/O enabled.
    pub fn new(anchor: Anchor) -> std::io::Result<Alarm> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: `timer` is an owned descriptor, used by nothing else, and neither `Alarm` nor `AsyncFd` closes or
        // replaces it before the registration is dropped.
        #[expect(unsafe_code, reason = "AsyncFd's only constructor that is not deprecated is unsafe")]
        let timer = unsafe { AsyncFd::register(timer)? };
        Ok(Alarm { timer, anchor })
    }

    /// Completes at `t_ns` on the run's clock, at once when that has passed. Cancel-safe: a dropped wait is
    /// replaced by the next one.
    pub async fn wait_until(&self, t_ns: i64) -> std::io::Result<()> {
        // A zero time would disarm the timer; one nanosecond is in the past just as well.
        let at = (self.anchor.t0_monotonic_ns + t_ns).max(1);
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: at / SECOND_NS, tv_nsec: at % SECOND_NS },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
        loop {
            let mut guard = self.timer.readable().await?;
            let mut expirations = [0u8; 8];
            match guard.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?)) {
                Ok(read) => return read.map(|_| ()),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Clock, SystemClock};

    #[test]
    fn it_never_rings_early_and_rings_at_once_for_the_past() {
        let rt = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        rt.block_on(async {
            let clock = SystemClock::starting_in(0);
            let alarm = Alarm::new(clock.anchor()).unwrap();
            alarm.wait_until(-5).await.unwrap();
            for due_ns in [200_000, 1_500_000, 1_500_001] {
                alarm.wait_until(due_ns).await.unwrap();
                assert!(clock.now_ns() >= due_ns);
            }
        });
    }
}
