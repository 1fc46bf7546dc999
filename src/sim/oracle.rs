//! What the server did and when, by its own clock: the truth that a client's recording is compared with.
//!
//! In: stamps from the answers in flight. Out: an [`Oracle`], once the server has stopped.
//! Times are nanoseconds of CLOCK_MONOTONIC: of an event, before it is handed to the socket; of a request, when the kernel
//! had it and when the server had read it, between which it waits in the server's own queues.
//! Invariant: memory is bounded; events beyond the bound are counted, not kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::outcome::EventKind;

/// Event stamps that are kept at most, over all requests: half a GiB.
const MAX_STAMPS: u64 = 1 << 26;
/// Requests that are kept at most.
const MAX_REQUESTS: usize = 1 << 22;

/// One request as the server saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OracleRequest {
    /// The value of the `X-Request-Id` header; the answer's own id where there was none.
    pub x_request_id: String,
    /// When the kernel had received the last bytes of the request, whether or not the server had accepted its connection;
    /// `None` where the kernel did not stamp them.
    pub arrived_ns: Option<i64>,
    /// When the last byte of the request's body had been read.
    pub received_ns: i64,
    /// When each stream event was handed to the socket, `[DONE]` included; one stamp for an answer in one piece.
    pub events_ns: Vec<i64>,
    /// Tokens of the prompt, as the server counted them.
    pub prompt_tokens: u32,
    /// Tokens of the whole answer.
    pub output_tokens: u32,
    /// Tokens of the prompt that were found in the cache; 0 before the first token.
    pub cached_tokens: u32,
    /// Events of its stream before its first token.
    pub role_events: u32,
    /// Whether the whole answer was handed to the socket.
    pub completed: bool,
}

impl OracleRequest {
    /// When the request was there, as well as is known: the start of the true TTFT.
    pub fn start_ns(&self) -> i64 {
        self.arrived_ns.unwrap_or(self.received_ns)
    }

    /// What the event at `seq` was; an answer in one piece is all output.
    pub fn kind(&self, seq: u32) -> EventKind {
        let end = self.role_events + self.output_tokens;
        match seq {
            seq if seq < self.role_events => EventKind::Role,
            seq if seq < end => EventKind::Output,
            // The last event of a stream ends it; before it stands the usage, if at all.
            seq if seq as usize + 1 == self.events_ns.len() => EventKind::Done,
            _ => EventKind::Usage,
        }
    }
}

/// Every request that the engine was given, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oracle {
    /// Empty where the server ran without an oracle.
    pub requests: Vec<OracleRequest>,
    /// Stamps and requests that were not kept, for want of room.
    pub lost: u64,
    /// CPU time of the server's thread, from its start to its end, in nanoseconds.
    pub cpu_ns: i64,
}

impl Oracle {
    /// The requests by their `X-Request-Id`; of several with one id, the last.
    pub fn by_id(&self) -> HashMap<&str, &OracleRequest> {
        self.requests.iter().map(|r| (r.x_request_id.as_str(), r)).collect()
    }
}

/// The oracle while it is written. One thread.
#[derive(Debug)]
pub(super) struct OracleLog {
    oracle: RefCell<Oracle>,
    stamps: std::cell::Cell<u64>,
    on: bool,
}

impl OracleLog {
    pub(super) fn new(on: bool) -> OracleLog {
        OracleLog { oracle: RefCell::default(), stamps: std::cell::Cell::new(0), on }
    }

    /// Whether stamps are wanted; without it the clock need not be read.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Opens a request's entry; `None` where none is kept.
    pub(super) fn open(&self, request: OracleRequest) -> Option<usize> {
        if !self.on {
            return None;
        }
        let mut oracle = self.oracle.borrow_mut();
        if oracle.requests.len() == MAX_REQUESTS {
            oracle.lost += 1;
            return None;
        }
        oracle.requests.push(request);
        Some(oracle.requests.len() - 1)
    }

    /// Adds an event's stamp to an entry.
    pub(super) fn stamp(&self, entry: usize, t_ns: i64) {
        let mut oracle = self.oracle.borrow_mut();
        if self.stamps.get() == MAX_STAMPS {
            oracle.lost += 1;
            return;
        }
        self.stamps.set(self.stamps.get() + 1);
        oracle.requests[entry].events_ns.push(t_ns);
    }

    /// Ends an entry: its whole answer was handed over.
    pub(super) fn complete(&self, entry: usize, cached_tokens: u32) {
        let request = &mut self.oracle.borrow_mut().requests[entry];
        (request.completed, request.cached_tokens) = (true, cached_tokens);
    }

    pub(super) fn take(&self) -> Oracle {
        self.oracle.take()
    }
}

/// What a server did so far. Written by its thread, read by any.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) completions: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// A reading of a server's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Requests that the engine was given.
    pub requests: u64,
    /// Stream events that were handed to a socket, `[DONE]` included.
    pub events: u64,
    /// Requests whose whole answer was handed to a socket.
    pub completions: u64,
    /// Requests whose client went away, or that the server's end cut off.
    pub cancelled: u64,
    /// Requests for completions that were answered with an error.
    pub refused: u64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> ServerCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerCounts {
            requests: of(&self.requests),
            events: of(&self.events),
            completions: of(&self.completions),
            cancelled: of(&self.cancelled),
            refused: of(&self.refused),
        }
    }
}
