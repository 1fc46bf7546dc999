//! Measures how late this machine wakes a thread that waits for an absolute time: by a plain sleep, by the alarm, and by
//! the engine's pacing.
//!
//! The three take turns in short blocks, so that what the machine does meanwhile falls on all of them alike. Each keeps an
//! absolute schedule: a wait that came late does not move the next one. Lateness is the clock after the wait minus
//! the time that was waited for.

use std::net::Ipv4Addr;
use std::num::NonZeroU64;

use rustix::thread::{ClockId, clock_nanosleep_absolute};
use serde::{Deserialize, Serialize};

use super::bench::target;
use super::spread::Spread;
use crate::engine::affinity;
use crate::engine::lane::Lane;
use crate::engine::pace::Pacing;
use crate::engine::target::Target;
use crate::engine::transport::Transport;
use crate::error::{Error, Result};
use crate::time::alarm::Alarm;
use crate::time::{Clock, SECOND_NS, SystemClock};

/// Blocks of each kind of wait.
const BLOCKS: u32 = 4;

/// Lateness on one schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerStep {
    /// Waits per second.
    pub rate_per_s: u32,
    /// `clock_nanosleep`, with a timer slack of 1 ns.
    pub nanosleep: Spread,
    /// The timerfd alone.
    pub alarm: Spread,
    /// What the engine waits with: a timerfd until a little before the time, then a spin.
    pub pacing: Spread,
}

/// Waits at `rate_per_s` for about `seconds` with each kind, on a thread pinned to `core` where that is allowed.
///
/// # Errors
/// [`Error::Internal`] where the system refuses a thread or a timer.
pub(super) fn measure(rate_per_s: u32, seconds: f64, core: u32) -> Result<TimerStep> {
    let internal = |e: std::io::Error| Error::Internal(format!("cannot measure timers: {e}"));
    // Nothing is sent to it: a lane without connections waits just as one with idle connections does.
    let nowhere = target((Ipv4Addr::LOCALHOST, 0).into())?;
    let run = move || {
        affinity::pin_to(core);
        // Without it the sleep would be up to 50 µs later than the machine can do. What is refused shows as that.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        lateness(rate_per_s, seconds, &nowhere)
    };
    let thread = std::thread::Builder::new().name("timers".into()).spawn(run).map_err(internal)?;
    thread.join().map_err(|_| Error::Internal("the thread that measures timers panicked".into()))?.map_err(internal)
}

fn lateness(rate_per_s: u32, seconds: f64, target: &Target) -> std::io::Result<TimerStep> {
    let gap_ns = SECOND_NS / i64::from(rate_per_s.max(1));
    let waits = ((f64::from(rate_per_s) * seconds / f64::from(BLOCKS)) as usize).max(1);
    let [mut sleeps, mut alarms, mut paces] = [const { Vec::new() }; 3];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    for _ in 0..BLOCKS {
        let clock = SystemClock::starting_in(gap_ns);
        for due_ns in schedule(gap_ns, waits) {
            sleep_until(clock.anchor().t0_monotonic_ns + due_ns)?;
            sleeps.push(clock.now_ns() - due_ns);
        }
        runtime.block_on(async {
            let clock = SystemClock::starting_in(gap_ns);
            let alarm = Alarm::new(clock.anchor())?;
            for due_ns in schedule(gap_ns, waits) {
                alarm.wait_until(due_ns).await?;
                alarms.push(clock.now_ns() - due_ns);
            }
            let clock = SystemClock::starting_in(gap_ns);
            let mut idle = Lane::new(target, clock, Pacing::default())?;
            for due_ns in schedule(gap_ns, waits) {
                idle.wait(due_ns).await;
                paces.push(clock.now_ns() - due_ns);
            }
            std::io::Result::Ok(())
        })?;
    }
    let spread = |values| Spread::of(values).ok_or_else(|| std::io::Error::other("nothing was waited for"));
    Ok(TimerStep { rate_per_s, nanosleep: spread(sleeps)?, alarm: spread(alarms)?, pacing: spread(paces)? })
}

fn schedule(gap_ns: i64, waits: usize) -> impl Iterator<Item = i64> {
    (0..waits as i64).map(move |n| n * gap_ns)
}

fn sleep_until(monotonic_ns: i64) -> std::io::Result<()> {
    let at = rustix::time::Timespec { tv_sec: monotonic_ns / SECOND_NS, tv_nsec: monotonic_ns % SECOND_NS };
    loop {
        match clock_nanosleep_absolute(ClockId::Monotonic, &at) {
            Err(rustix::io::Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_is_early_and_none_is_left_out() {
        let step = measure(1_000, 0.02, affinity::allowed_cores()[0]).unwrap();
        for spread in [step.nanosleep, step.alarm, step.pacing] {
            assert_eq!(spread.n, 20);
            assert!(spread.min_ns >= 0 && spread.p50_ns <= spread.p99_ns && spread.p99_ns <= spread.max_ns, "{step:?}");
        }
    }
}
