//! Waiting for the next send without tokio's timer: a timerfd to a little before it, then a spin that polls I/O.
//!
//! tokio's timer wheel rounds up to a millisecond; a timerfd wakes 30 to 50 µs late (the core's exit from idle); the
//! spin takes the rest away. While it spins, every turn lets tokio poll sockets and run what is ready, so that
//! answers are read while the next send draws near.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use crate::time::alarm::Alarm;
use crate::time::{Clock, SystemClock};

/// How long before its time a wait turns from sleep to spin: above the p99 of one wake-up on an idle core.
pub const SPIN_LEAD_NS: i64 = 60_000;

/// How the time before a send is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pacing {
    /// Sleep to a little before it, then spin.
    #[default]
    Auto,
    /// Sleep all of it: the cheapest, and late by one wake-up.
    Sleep,
    /// Spin all of it: a whole core, and no wake-up at all.
    Spin,
}

impl Pacing {
    /// The name in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Pacing::Auto => "auto",
            Pacing::Sleep => "sleep",
            Pacing::Spin => "spin",
        }
    }
}

/// Waits on one thread's runtime.
#[derive(Debug)]
pub struct Pacer {
    clock: SystemClock,
    alarm: Alarm,
}

impl Pacer {
    /// A pacer on the runtime that calls it.
    pub fn new(clock: SystemClock) -> std::io::Result<Pacer> {
        Ok(Pacer { clock, alarm: Alarm::new(clock.anchor())? })
    }

    /// Completes when `ready` does or when `until_ns` has come.
    pub async fn wait(&self, until_ns: i64, ready: impl Future<Output = ()>) {
        let mut ready = pin!(ready);
        if until_ns - self.clock.now_ns() > SPIN_LEAD_NS {
            tokio::select! {
                biased;
                () = &mut ready => return,
                // A timer that cannot be read leaves the spin, which needs none.
                _ = self.alarm.wait_until(until_ns - SPIN_LEAD_NS) => {}
            }
        }
        while self.clock.now_ns() < until_ns {
            let came = std::future::poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx).is_ready())).await;
            if came {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
