//! What a worker keeps for a viewer, who may read it while the worker runs. One writer each, so relaxed stores are enough.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::spread::{LiveSpread, Spread};
use crate::outcome::{Outcome, OutcomeClass};
use crate::record::row::RequestRow;

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct LiveCounters {
    sent: AtomicU64,
    in_flight: AtomicU64,
    events: AtomicU64,
    dispatch_lag_max_ns: AtomicI64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    ttft: LiveSpread,
    itl: LiveSpread,
    latency: LiveSpread,
    lag: LiveSpread,
}

/// The counters of all workers at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveSnapshot {
    /// Requests handed to the transport.
    pub sent: u64,
    /// Sent and not ended.
    pub in_flight: u64,
    /// Stream events received.
    pub events: u64,
    /// The largest distance so far between a slot's time and its dispatch.
    pub dispatch_lag_max_ns: i64,
    /// Requests that ended, by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
}

/// Durations of all workers so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveSpreads {
    /// From sending to the first token.
    pub ttft: Spread,
    /// Mean time between the tokens of a request that completed.
    pub itl: Spread,
    /// From sending to the last token of a request that completed; to its end where it was not streamed.
    pub latency: Spread,
    /// From a slot's time to its dispatch.
    pub lag: Spread,
}

impl LiveCounters {
    pub(super) fn on_start(&self, lag_ns: i64) {
        add(&self.sent, 1);
        add(&self.in_flight, 1);
        self.lag.record(lag_ns);
        if lag_ns > self.dispatch_lag_max_ns.load(Relaxed) {
            self.dispatch_lag_max_ns.store(lag_ns, Relaxed);
        }
    }

    #[inline]
    pub(super) fn on_events(&self, n: u32) {
        add(&self.events, u64::from(n));
    }

    pub(super) fn on_first_token(&self, since_sent_ns: i64) {
        self.ttft.record(since_sent_ns);
    }

    /// A request that was sent is over.
    pub(super) fn on_end(&self, row: &RequestRow) {
        self.in_flight.store(self.in_flight.load(Relaxed) - 1, Relaxed);
        if row.outcome != Outcome::Completed {
            return;
        }
        if let (Some(sent_ns), Some(end_ns)) = (row.sent_ns, row.last_token_ns.or(row.end_ns)) {
            self.latency.record(end_ns - sent_ns);
        }
        if let (Some(first_ns), Some(last_ns), Some(tokens @ 2..)) =
            (row.first_token_ns, row.last_token_ns, row.output_tokens)
        {
            self.itl.record((last_ns - first_ns) / i64::from(tokens - 1));
        }
    }

    /// A request has its outcome, sent or not.
    pub(super) fn on_outcome(&self, outcome: Outcome) {
        add(&self.outcomes[outcome as usize], 1);
    }

    /// The counters now.
    pub fn snapshot(&self) -> LiveSnapshot {
        LiveSnapshot {
            sent: self.sent.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            events: self.events.load(Relaxed),
            dispatch_lag_max_ns: self.dispatch_lag_max_ns.load(Relaxed),
            outcomes: std::array::from_fn(|at| self.outcomes[at].load(Relaxed)),
        }
    }

    /// Adds the durations so far to `sum`.
    pub(super) fn add_spreads_to(&self, sum: &mut LiveSpreads) {
        self.ttft.add_to(&mut sum.ttft);
        self.itl.add_to(&mut sum.itl);
        self.latency.add_to(&mut sum.latency);
        self.lag.add_to(&mut sum.lag);
    }
}

/// The only writer adds.
#[inline]
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed) + n, Relaxed);
}

impl LiveSnapshot {
    /// The sum of two workers' counters.
    pub fn merge(self, other: LiveSnapshot) -> LiveSnapshot {
        LiveSnapshot {
            sent: self.sent + other.sent,
            in_flight: self.in_flight + other.in_flight,
            events: self.events + other.events,
            dispatch_lag_max_ns: self.dispatch_lag_max_ns.max(other.dispatch_lag_max_ns),
            outcomes: std::array::from_fn(|at| self.outcomes[at] + other.outcomes[at]),
        }
    }

    /// Requests that ended in this class of outcomes.
    pub(super) fn of_class(&self, class: OutcomeClass) -> u64 {
        Outcome::ALL.into_iter().filter(|outcome| outcome.class() == class).map(|outcome| self.of(outcome)).sum()
    }

    /// Requests that ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }
}
