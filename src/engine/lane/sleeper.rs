//! Waiting for sockets and for the next send at once: epoll with a timerfd to a little before the send, then a spin
//! that keeps polling sockets, then, for the last microseconds, the clock alone.
//!
//! How long before the send the sleep ends adapts to how late this core wakes up. `epoll_wait` alone would do on new
//! kernels, but its old form counts in milliseconds.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::engine::pace::Pacing;
use crate::time::{Anchor, Clock, SECOND_NS, SystemClock};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// What an event of the timer bears in place of a connection.
const TIMER: u64 = u64::MAX;
/// Bounds of the lead: a wake-up costs at least this, and more than that is not worth the spin.
const LEAD_NS: std::ops::RangeInclusive<i64> = 15_000..=200_000;
/// From here on, only the clock is looked at: a turn of the spin takes no longer than this.
const LAST_STRETCH_NS: i64 = 2_000;
/// A request that is due within this time goes before the next read: about what that takes, with all that follows.
const HOLD_NS: i64 = 8_000;
/// How long before its time the path of a request is warmed.
const WARM_NS: i64 = 8_000;

/// An epoll instance with its timer.
pub(super) struct Sleeper {
    clock: SystemClock,
    anchor: Anchor,
    pacing: Pacing,
    epoll: OwnedFd,
    timer: OwnedFd,
    armed_ns: Option<i64>,
    events: Vec<epoll::Event>,
    next_event: usize,
    lead_ns: i64,
    /// Time that was spun away.
    spun_ns: i64,
}

impl std::fmt::Debug for Sleeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleeper").field("pacing", &self.pacing).field("lead_ns", &self.lead_ns).finish_non_exhaustive()
    }
}

impl Sleeper {
    pub(super) fn new(clock: SystemClock, pacing: Pacing) -> io::Result<Sleeper> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // Told of once for each time that it rings, it needs neither be read nor set off.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), flags)?;
        Ok(Sleeper {
            clock,
            anchor: clock.anchor(),
            pacing,
            epoll,
            timer,
            armed_ns: None,
            events: Vec::with_capacity(EVENTS),
            next_event: 0,
            lead_ns: *LEAD_NS.start() * 4,
            spun_ns: 0,
        })
    }

    /// Watches a socket; its events bear `token`.
    pub(super) fn add(&self, socket: &impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), interest(writable))?)
    }

    /// Changes what a socket is watched for.
    pub(super) fn watch(&self, socket: &impl AsFd, token: u64, writable: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(token), interest(writable))?)
    }

    /// The next socket that is ready: its token, and whether it can be read and written.
    #[inline]
    pub(super) fn next_ready(&mut self) -> Option<(u64, bool, bool)> {
        let event = self.events.get(self.next_event)?;
        self.next_event += 1;
        let (data, flags) = (event.data, event.flags);
        let ended = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        let readable = flags.contains(epoll::EventFlags::IN) || ended;
        Some((data.u64(), readable, flags.contains(epoll::EventFlags::OUT) || ended))
    }

    /// Spins to `until_ns`, if that is nearer to `now_ns` than what a read takes. Tells whether it did.
    #[inline]
    pub(super) fn hold(&mut self, now_ns: i64, until_ns: i64) -> bool {
        let left_ns = until_ns - now_ns;
        if left_ns > HOLD_NS || self.pacing == Pacing::Sleep {
            return false;
        }
        self.spun_ns += left_ns.max(0);
        self.spin(until_ns);
        true
    }

    fn spin(&self, until_ns: i64) {
        while self.clock.now_ns() < until_ns {
            std::hint::spin_loop();
        }
    }

    /// Comes back when a socket is ready or at `until_ns`. `warm` is called in the turns of the spin that come last.
    pub(super) fn wait(&mut self, until_ns: i64, warm: impl Fn()) {
        let mut now_ns = self.clock.now_ns();
        loop {
            let left_ns = until_ns - now_ns;
            let lead_ns = match self.pacing {
                Pacing::Sleep => 0,
                Pacing::Auto => self.lead_ns,
                Pacing::Spin => i64::MAX,
            };
            if left_ns > lead_ns {
                let wake_ns = until_ns - lead_ns;
                self.sleep_until(wake_ns);
                if self.next_event < self.events.len() {
                    return;
                }
                now_ns = self.clock.now_ns();
                // It may have been set for an earlier time.
                if now_ns >= wake_ns {
                    self.learn(now_ns - wake_ns);
                }
            } else if left_ns > LAST_STRETCH_NS {
                if self.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                    return;
                }
                if left_ns <= WARM_NS {
                    warm();
                }
                let later_ns = self.clock.now_ns();
                self.spun_ns += later_ns - now_ns;
                now_ns = later_ns;
            } else {
                self.spin(until_ns);
                if left_ns <= 0 {
                    self.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
                }
                return;
            }
        }
    }

    /// Nanoseconds spent spinning.
    pub(super) fn spun_ns(&self) -> i64 {
        self.spun_ns
    }

    /// Sleeps until a socket is ready or the timer rings: at `wake_ns` or, where it was set before for an earlier time, then. Most
    /// waits end by a socket; a call for each would cost more than a timer that rings in vain now and then.
    fn sleep_until(&mut self, wake_ns: i64) {
        if self.armed_ns.is_none_or(|armed_ns| armed_ns > wake_ns) {
            // A zero time would disarm the timer; one nanosecond is in the past just as well.
            let at = (self.anchor.t0_monotonic_ns + wake_ns).max(1);
            let spec = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec { tv_sec: at / SECOND_NS, tv_nsec: at % SECOND_NS },
            };
            // A timer that cannot be set leaves a wait that never ends; a poll makes it a spin instead.
            if timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec).is_err() {
                self.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
                return;
            }
            self.armed_ns = Some(wake_ns);
        }
        self.poll(None);
    }

    /// Takes events from the kernel; tells whether a socket is among them.
    fn poll(&mut self, timeout: Option<&Timespec>) -> bool {
        self.events.clear();
        self.next_event = 0;
        // An interrupted wait is a wait that found nothing.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout);
        let rang = self.events.iter().position(|e| e.data.u64() == TIMER);
        if let Some(at) = rang {
            self.events.swap_remove(at);
            self.armed_ns = None;
        }
        !self.events.is_empty()
    }

    /// Learns how late a sleep ended: up at once, down slowly, so that the lead follows the tail and not the middle.
    fn learn(&mut self, late_ns: i64) {
        let wanted = (late_ns + late_ns / 4).clamp(*LEAD_NS.start(), *LEAD_NS.end());
        self.lead_ns = wanted.max(self.lead_ns - self.lead_ns / 64);
    }
}

fn interest(writable: bool) -> epoll::EventFlags {
    let read = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
    if writable { read | epoll::EventFlags::OUT } else { read }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn it_never_comes_back_early_without_a_reason() {
        for pacing in [Pacing::Auto, Pacing::Sleep, Pacing::Spin] {
            let clock = SystemClock::starting_in(0);
            let mut sleeper = Sleeper::new(clock, pacing).unwrap();
            for wait_ns in [0, 1_000, 50_000, 3_000_000] {
                let until_ns = clock.now_ns() + wait_ns;
                sleeper.wait(until_ns, || ());
                assert!(clock.now_ns() >= until_ns);
                assert_eq!(sleeper.next_ready(), None);
            }
        }
    }

    #[test]
    fn a_timer_that_was_set_for_an_earlier_time_neither_ends_nor_delays_a_wait() {
        let clock = SystemClock::starting_in(0);
        let mut sleeper = Sleeper::new(clock, Pacing::Sleep).unwrap();
        let (mut out, input) = UnixStream::pair().unwrap();
        sleeper.add(&input, 7, false).unwrap();
        for _ in 0..3 {
            // A socket ends the first wait; the timer stays set for it.
            out.write_all(b"x").unwrap();
            let first_ns = clock.now_ns() + 2_000_000;
            sleeper.wait(first_ns, || ());
            assert_eq!(sleeper.next_ready(), Some((7, true, false)));
            assert_eq!(sleeper.armed_ns, Some(first_ns));
            recv_all(&input);
            for until_ns in [first_ns + 1_000_000, first_ns + 1_500_000] {
                sleeper.wait(until_ns, || ());
                assert!(clock.now_ns() >= until_ns && sleeper.next_ready().is_none());
                assert_eq!(sleeper.armed_ns, None, "it rang");
            }
        }
    }

    fn recv_all(mut socket: &UnixStream) {
        std::io::Read::read(&mut socket, &mut [0; 8]).unwrap();
    }

    #[test]
    fn what_is_due_within_a_read_is_held_for_and_nothing_else() {
        let clock = SystemClock::starting_in(0);
        for (pacing, holds) in [(Pacing::Auto, true), (Pacing::Spin, true), (Pacing::Sleep, false)] {
            let mut sleeper = Sleeper::new(clock, pacing).unwrap();
            let now_ns = clock.now_ns();
            assert!(!sleeper.hold(now_ns, now_ns + HOLD_NS + 1));
            assert_eq!(sleeper.hold(now_ns, now_ns + HOLD_NS), holds);
            assert!(!holds || clock.now_ns() >= now_ns + HOLD_NS);
            assert_eq!(sleeper.spun_ns(), if holds { HOLD_NS } else { 0 });
        }
    }

    #[test]
    fn a_ready_socket_ends_the_wait_and_is_named() {
        let clock = SystemClock::starting_in(0);
        let mut sleeper = Sleeper::new(clock, Pacing::Auto).unwrap();
        let (mut out, input) = UnixStream::pair().unwrap();
        sleeper.add(&input, 7, false).unwrap();
        out.write_all(b"x").unwrap();
        sleeper.wait(clock.now_ns() + 3600 * SECOND_NS, || ());
        assert_eq!(sleeper.next_ready(), Some((7, true, false)));
        assert_eq!(sleeper.next_ready(), None);
    }
}
