//! The rows of a recording: the contract between the engine, which writes them, and everything that reads them.
//!
//! All times are nanoseconds since the run's `t0` (see [`crate::time::Anchor`]).
//! Invariants: `scheduled ≤ sent ≤ written`, `sent ≤ head ≤ first token ≤ last token ≤ end` where present; the
//! tokens of a request are numbered from 0 without a gap, and their times never decrease.

use crate::outcome::{EventKind, Outcome, Phase, TokenSource};

/// One scheduled request. One row of `requests.parquet`.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRow {
    /// Index in the schedule, from 0.
    pub request_id: u64,
    /// The `X-Request-Id` header that was sent; unique in the run.
    pub x_request_id: String,
    /// The session it belongs to.
    pub session_id: Option<String>,
    /// Turn within the session, from 0.
    pub turn: u32,
    /// The phase it was scheduled in.
    pub phase: Phase,
    /// The part of the schedule (one per process of a distributed run).
    pub shard: u32,
    /// The worker thread that ran it.
    pub worker: u32,
    /// When it should have been sent. Of a slot that waits for others: when the last of that had happened, with its pause; if
    /// it never did, when the run stopped or that became known.
    pub scheduled_ns: i64,
    /// When the last of what a slot waits for happened; null of a slot that waits for the clock alone.
    pub released_ns: Option<i64>,
    /// The clock just before the first write of the request.
    pub sent_ns: Option<i64>,
    /// When the kernel had taken its last byte.
    pub written_ns: Option<i64>,
    /// When a new connection was ready; null on a reused connection.
    pub connected_ns: Option<i64>,
    /// The read that delivered the first byte of the answer.
    pub head_ns: Option<i64>,
    /// The first event with any output text, reasoning and tool calls included. This and the two below are the
    /// kernel's receive times where the transport has them, else the client's reads.
    pub first_token_ns: Option<i64>,
    /// The first event with output text that is not reasoning.
    pub first_output_ns: Option<i64>,
    /// The last event with any output text.
    pub last_token_ns: Option<i64>,
    /// When its outcome was known.
    pub end_ns: Option<i64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer's HTTP status.
    pub http_status: Option<u16>,
    /// What went wrong, in words; at most [`ERROR_TEXT_MAX`] bytes.
    pub error: Option<String>,
    /// The server's finish reason.
    pub finish_reason: Option<String>,
    /// Tokens of prompt that were asked for, the conversation in front of a turn included.
    pub input_tokens: u32,
    /// Tokens of prompt that the server counted.
    pub prompt_tokens: Option<u32>,
    /// Of those, how many its prefix cache held.
    pub cached_tokens: Option<u32>,
    /// The limit on output tokens that was sent.
    pub max_tokens: Option<u32>,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: Option<u32>,
    /// Where `output_tokens` comes from.
    pub output_tokens_source: TokenSource,
    /// Of those, how many were reasoning.
    pub reasoning_tokens: Option<u32>,
    /// Stream events received.
    pub events: u32,
    /// Bytes of body received.
    pub bytes_received: u64,
    /// When it began to wait for a new connection; null on a reused connection, and in recordings before schema version 2,
    /// which lack this and the three below.
    pub dialed_ns: Option<i64>,
    /// Bytes of the body that was sent.
    pub bytes_sent: u64,
    /// Writes that took some of the request.
    pub writes: u32,
    /// Reads that delivered some of the answer.
    pub reads: u32,
}

/// Longest error text that a row keeps.
pub const ERROR_TEXT_MAX: usize = 512;

impl RequestRow {
    /// Leaves of the token counts those that the server stated.
    pub fn keep_usage_alone(&mut self) {
        if self.output_tokens_source != TokenSource::Usage {
            self.output_tokens = None;
        }
        if self.prompt_tokens.is_none() {
            self.input_tokens = 0;
        }
    }

    /// A row of a request of which nothing is known yet but its place in the schedule.
    pub fn scheduled(request_id: u64, scheduled_ns: i64) -> Self {
        RequestRow {
            request_id,
            x_request_id: String::new(),
            session_id: None,
            turn: 0,
            phase: Phase::Profiling,
            shard: 0,
            worker: 0,
            scheduled_ns,
            released_ns: None,
            sent_ns: None,
            written_ns: None,
            connected_ns: None,
            head_ns: None,
            first_token_ns: None,
            first_output_ns: None,
            last_token_ns: None,
            end_ns: None,
            outcome: Outcome::NotSent,
            http_status: None,
            error: None,
            finish_reason: None,
            input_tokens: 0,
            prompt_tokens: None,
            cached_tokens: None,
            max_tokens: None,
            output_tokens: None,
            output_tokens_source: TokenSource::Events,
            reasoning_tokens: None,
            events: 0,
            bytes_received: 0,
            dialed_ns: None,
            bytes_sent: 0,
            writes: 0,
            reads: 0,
        }
    }
}

/// One stream event. One row of `tokens.parquet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// The request it answers.
    pub request_id: u64,
    /// Its number within the answer, from 0.
    pub seq: u32,
    /// User-space clock of the read that completed the event's data line.
    pub t_ns: i64,
    /// Kernel receive time of that read's bytes on the run's clock; null where the transport cannot tell.
    pub kernel_ns: Option<i64>,
    /// Number of that read within the answer: events that share one arrived together.
    pub read: u32,
    /// What it carried.
    pub kind: EventKind,
    /// Bytes of its data.
    pub bytes: u32,
    /// Tokens it carried, where the event says so.
    pub tokens: Option<u16>,
}

impl TokenRow {
    /// When the event arrived, as well as is known: the kernel's time, else that of the client's read.
    pub fn seen_ns(&self) -> i64 {
        self.kernel_ns.unwrap_or(self.t_ns)
    }
}

/// A [`TokenRow`] as the engine stamps it: without the two fields that its chunk holds once for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenStamp {
    /// See [`TokenRow::t_ns`].
    pub t_ns: i64,
    /// See [`TokenRow::kernel_ns`].
    pub kernel_ns: Option<i64>,
    /// See [`TokenRow::read`].
    pub read: u32,
    /// See [`TokenRow::bytes`].
    pub bytes: u32,
    /// See [`TokenRow::tokens`].
    pub tokens: Option<u16>,
    /// See [`TokenRow::kind`].
    pub kind: EventKind,
}

/// Stamps in one chunk. Few, since each open stream holds one: 32 stamps are 1.5 KiB.
pub const CHUNK_STAMPS: usize = 32;

/// Some consecutive events of one request, on their way from a worker to the writer. Recycled, never reallocated.
#[derive(Debug)]
pub struct TokenChunk {
    /// The request that the events answer.
    pub request_id: u64,
    /// `seq` of the first.
    pub first_seq: u32,
    /// The events; capacity [`CHUNK_STAMPS`].
    pub stamps: Vec<TokenStamp>,
}

impl TokenChunk {
    /// An empty chunk with its whole capacity.
    pub fn empty() -> Box<TokenChunk> {
        Box::new(TokenChunk { request_id: 0, first_seq: 0, stamps: Vec::with_capacity(CHUNK_STAMPS) })
    }

    /// Whether another stamp fits.
    pub fn is_full(&self) -> bool {
        self.stamps.len() >= CHUNK_STAMPS
    }

    /// The rows it stands for.
    pub fn rows(&self) -> impl Iterator<Item = TokenRow> + '_ {
        (self.first_seq..).zip(&self.stamps).map(|(seq, s)| TokenRow {
            request_id: self.request_id,
            seq,
            t_ns: s.t_ns,
            kernel_ns: s.kernel_ns,
            read: s.read,
            kind: s.kind,
            bytes: s.bytes,
            tokens: s.tokens,
        })
    }
}

/// Most events of one [`TokenRun`].
pub const RUN_EVENTS_MAX: usize = 1024;

/// Some consecutive events of one request that differ in time, and in size by turns: each in a read of its own, which no kernel
/// stamped, and with an untold number of tokens.
#[derive(Debug)]
pub struct TokenRun {
    /// The request that the events answer.
    pub request_id: u64,
    /// `seq` of the first.
    pub first_seq: u32,
    /// `read` of the first.
    pub first_read: u32,
    /// What all of them carried.
    pub kind: EventKind,
    /// See [`TokenRow::t_ns`]; one for each, [`RUN_EVENTS_MAX`] at most.
    pub t_ns: Vec<i64>,
    /// See [`TokenRow::bytes`]; of each by turns, at least one.
    pub bytes: Vec<u32>,
}
