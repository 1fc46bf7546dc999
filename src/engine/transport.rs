//! The seam between the engine and a network: requests go in, signals with their times come out.
//!
//! The engine is generic over [`Transport`] at compile time, so that a simulated network drives the very same worker.
//! Invariants: the signals of one flight come in order: at most one `Head`, then `Body`s, then one `End` or `Failed`;
//! nothing comes of a flight that was released.

use std::future::Future;

use crate::outcome::Outcome;
use crate::prompt::arena::Pieces;

/// A flight's place in its worker, and the generation that tells it from others that had the place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlightKey {
    /// The place.
    pub index: u32,
    /// How many flights had it before.
    pub generation: u32,
}

/// The stamp of one read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStamp {
    /// The clock when the read returned, before anything looked at its bytes.
    pub t_ns: i64,
    /// When the kernel had received the bytes, on the run's clock.
    pub kernel_ns: Option<i64>,
    /// Number of the read within the answer, from 0.
    pub read: u32,
}

impl ReadStamp {
    /// When the bytes arrived, as well as is known.
    pub fn seen_ns(&self) -> i64 {
        self.kernel_ns.unwrap_or(self.t_ns)
    }
}

/// What the transport itself saw of a flight, as far as it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It began to wait for a new connection.
    pub dialed_ns: Option<i64>,
    /// A new connection was ready.
    pub connected_ns: Option<i64>,
    /// The clock just before the first write.
    pub sent_ns: Option<i64>,
    /// The clock after the write that took the last byte so far.
    pub written_ns: Option<i64>,
    /// The read that delivered the first byte of the answer.
    pub head_ns: Option<i64>,
    /// Writes that took some of the request.
    pub writes: u32,
    /// Reads that delivered some of the answer.
    pub reads: u32,
}

/// A request on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The body.
    pub body: Pieces,
    /// The value of the `X-Request-Id` header.
    pub x_request_id: String,
    /// The value of the `X-Correlation-ID` header: the session, if any.
    pub session: Option<String>,
    /// Whether every byte of the answer is looked at: none may be told of as [`Signal::Alike`].
    pub verbatim: bool,
}

/// Something that happened to a flight.
#[derive(Debug)]
pub enum Signal<'a> {
    /// The answer's head.
    Head {
        /// The HTTP status.
        status: u16,
        /// Whether its content type is an event stream.
        event_stream: bool,
    },
    /// Some of the answer's body.
    Body {
        /// The bytes, in the transport's own buffer.
        bytes: &'a [u8],
        /// The read that delivered the last of them.
        stamp: ReadStamp,
    },
    /// Events of a stream, each in a read of its own, that differ from the one before in nothing but their text, of a
    /// transport that made them: none is parsed, since all would be read as that one.
    Alike(Alike<'a>),
    /// HTTP's own end of the answer.
    End,
    /// The flight cannot go on.
    Failed {
        /// As what it is counted; [`Outcome::NotSent`] where this machine had no descriptor or port for its connection.
        outcome: Outcome,
        /// Why.
        text: String,
    },
}

/// See [`Signal::Alike`].
#[derive(Clone, Copy, Debug)]
pub struct Alike<'a> {
    /// When each was read.
    pub t_ns: &'a [i64],
    /// Bytes of data of each, by turns: at least one number, and after the last the first again.
    pub data_bytes: &'a [u32],
    /// Bytes around the data of each.
    pub framing_bytes: u32,
    /// Number of the first one's read within the answer.
    pub first_read: u32,
}

/// A network as one worker sees it.
pub trait Transport {
    /// A request of which as much is done as can be done ahead of its time.
    type Prepared: std::fmt::Debug;

    /// Does that.
    fn prepare(&self, request: Outgoing) -> Self::Prepared;

    /// Starts a flight.
    fn start(&mut self, key: FlightKey, request: Self::Prepared);

    /// What was seen of a flight that was started and not yet released.
    fn marks(&self, key: FlightKey) -> Marks;

    /// Forgets a flight. If it has not ended, its connection is closed, or its stream where others share that.
    fn release(&mut self, key: FlightKey);

    /// The next signal that is already here. It borrows the transport, so that a body is read where it was received.
    fn poll_signal(&mut self) -> Option<(FlightKey, Signal<'_>)>;

    /// What came of a flight before `now_ns` and was not told yet, since nothing hung on it. Asked for before a flight is given up;
    /// of one that ends, it comes as a signal before its end.
    fn held_back(&mut self, _key: FlightKey, _now_ns: i64) -> Option<Alike<'_>> {
        None
    }

    /// Waits for `until_ns`, looking at nothing else, where that is nearer to `now_ns` than what the next signal takes. Tells
    /// whether it did.
    fn hold(&mut self, _now_ns: i64, _until_ns: i64) -> bool {
        false
    }

    /// Comes back once a signal is here or `until_ns` has come, whichever is first.
    fn wait(&mut self, until_ns: i64) -> impl Future<Output = ()>;

    /// Connections opened so far.
    fn connections(&self) -> u64;
}
