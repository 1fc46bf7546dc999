//! Counters that a worker keeps and a viewer may read while it runs. One writer each, so relaxed stores are enough.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::outcome::{Outcome, OutcomeClass};

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct LiveCounters {
    sent: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    in_flight: AtomicU64,
    events: AtomicU64,
    dispatch_lag_max_ns: AtomicI64,
}

/// The counters of all workers at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveSnapshot {
    /// Requests handed to the transport.
    pub sent: u64,
    /// Whole answers.
    pub completed: u64,
    /// Ended by an error.
    pub failed: u64,
    /// Given up by the client.
    pub cancelled: u64,
    /// Sent and not ended.
    pub in_flight: u64,
    /// Stream events received.
    pub events: u64,
    /// The largest distance so far between a slot's time and its dispatch.
    pub dispatch_lag_max_ns: i64,
}

impl LiveCounters {
    pub(super) fn on_start(&self, lag_ns: i64) {
        self.sent.store(self.sent.load(Relaxed) + 1, Relaxed);
        self.in_flight.store(self.in_flight.load(Relaxed) + 1, Relaxed);
        if lag_ns > self.dispatch_lag_max_ns.load(Relaxed) {
            self.dispatch_lag_max_ns.store(lag_ns, Relaxed);
        }
    }

    pub(super) fn on_events(&self, n: u32) {
        self.events.store(self.events.load(Relaxed) + u64::from(n), Relaxed);
    }

    pub(super) fn on_end(&self, outcome: Outcome) {
        self.in_flight.store(self.in_flight.load(Relaxed) - 1, Relaxed);
        let counter = match outcome.class() {
            OutcomeClass::Completed => &self.completed,
            OutcomeClass::Failed => &self.failed,
            OutcomeClass::Cancelled | OutcomeClass::NotSent => &self.cancelled,
        };
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }

    /// The counters now.
    pub fn snapshot(&self) -> LiveSnapshot {
        LiveSnapshot {
            sent: self.sent.load(Relaxed),
            completed: self.completed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            events: self.events.load(Relaxed),
            dispatch_lag_max_ns: self.dispatch_lag_max_ns.load(Relaxed),
        }
    }
}

impl LiveSnapshot {
    /// The sum of two workers' counters.
    pub fn merge(self, other: LiveSnapshot) -> LiveSnapshot {
        LiveSnapshot {
            sent: self.sent + other.sent,
            completed: self.completed + other.completed,
            failed: self.failed + other.failed,
            cancelled: self.cancelled + other.cancelled,
            in_flight: self.in_flight + other.in_flight,
            events: self.events + other.events,
            dispatch_lag_max_ns: self.dispatch_lag_max_ns.max(other.dispatch_lag_max_ns),
        }
    }
}
