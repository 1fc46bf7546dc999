//! WHAT × WHEN → slots: the whole run, before its first byte.
//!
//! A [`Slot`] is one request that will be made: its lengths, its prompt, and what releases it: the clock, what it waits
//! for ([`graph`]: its session's previous turn, or whatever the trace says), or a lane of closed-loop load becoming free.
//! [`build`] makes the slots of what [`spec`] asks for, [`shard`] divides them among workers, [`ramp`] the caps on them;
//! [`conversation`] makes the body of each, [`prefix_hits`] tells what of it a cache would hold.
//! Invariants: slots that the clock releases stand in order of time; a slot waits for earlier ones alone; request
//! ids are the slots' places, warm-up first.

pub mod build;
pub mod conversation;
pub mod dataset;
pub mod graph;
pub mod opening;
pub mod order;
mod place;
pub mod prefix_hits;
mod proof;
pub mod ramp;
pub mod shard;
pub mod spec;
pub mod texts;
mod users;

use std::sync::Arc;

use conversation::History;
use graph::Graph;
use opening::Opening;
use texts::Texts;

use crate::endpoint::Shape;
use crate::outcome::Phase;
use crate::prompt::arena::{Arena, Span};
use crate::prompt::corpus::Corpus;
pub use crate::trace::WaitFor;

/// What releases a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The clock, this long after the phase's start.
    At(i64),
    /// All that it waits for ([`PhasePlan::graph`]), each with its pause, but not before this long after the phase's start.
    After(i64),
    /// A lane of closed-loop load becoming free.
    Lane,
}

/// Which text a slot's prompt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// A text that no other request of the run shares.
    Unique,
    /// Prefix blocks: a range of [`Plan::block_ids`].
    Blocks {
        /// First index.
        start: u32,
        /// Number of blocks.
        len: u32,
    },
    /// A text that the trace gave, already escaped for JSON.
    Literal(Span),
    /// Chat messages that the trace gave: JSON objects with commas between them.
    Messages(Span),
    /// Several texts that no other request of the run shares, or of another that is the same again.
    Texts {
        /// The first, of all texts of the dataset.
        start: u32,
        /// How many.
        len: u32,
    },
}

/// One request that will be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What releases it.
    pub release: Release,
    /// Its text.
    pub prompt: Prompt,
    /// Tokens of prompt in all, the conversation in front of its own text included.
    pub input_tokens: u32,
    /// Limit on output tokens.
    pub max_tokens: Option<u32>,
    /// Index into [`Plan::sessions`].
    pub session: Option<u32>,
    /// Turn within the session, from 0.
    pub turn: u32,
    /// The session's previous turn.
    pub previous_turn: Option<u32>,
    /// Whether that turn, with its answer and all that was said before it, goes in front of this one's prompt.
    pub continues: bool,
    /// Whether the next turn's prompt holds this one and its answer.
    pub is_continued: bool,
    /// Whether the client gives it up on purpose.
    pub cancel: bool,
}

/// One phase of a run.
#[derive(Clone, Debug)]
pub struct PhasePlan {
    /// Which phase.
    pub phase: Phase,
    /// Its slots; `request_id = first_request_id + index`.
    pub slots: Vec<Slot>,
    /// Which of them wait for which.
    pub graph: Graph,
    /// Request id of the first slot.
    pub first_request_id: u64,
    /// Lanes of closed-loop load; 0 for open loop.
    pub lanes: u32,
    /// Closed loop bounded by time alone: the slots are gone through again and again, with fresh request ids.
    pub repeat: bool,
    /// Most requests at once; slots that are due wait, and their lag is recorded.
    pub caps: Caps,
    /// Nothing is released from here on.
    pub duration_ns: Option<i64>,
    /// Requests in flight at the end of `duration_ns` get this long to finish.
    pub grace_ns: i64,
    /// What happens to a slot that is due while the cap is reached.
    pub on_overload: Overload,
    /// How long after its write a request that is to be cancelled is given up.
    pub cancel_after_ns: i64,
}

/// Caps on requests at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Most requests in flight at once.
    pub in_flight_max: Option<u32>,
    /// Time over which that, or the number of lanes, grows from 1 to what it is.
    pub ramp_ns: i64,
    /// Most requests in flight that have no token yet.
    pub prefill_max: Option<u32>,
    /// Time over which that grows from 1.
    pub prefill_ramp_ns: i64,
}

impl PhasePlan {
    /// Closed loop that time bounds: what was not released when its time was up was not scheduled.
    pub fn ends_by_time(&self) -> bool {
        self.lanes > 0 && self.duration_ns.is_some()
    }
}

/// What happens to a slot that is due while as many requests are in flight as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overload {
    /// It waits, and is sent late.
    #[default]
    Queue,
    /// It is not sent, and counted so.
    Drop,
    /// The run stops.
    Abort,
}

impl Overload {
    /// The name in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Overload::Queue => "queue",
            Overload::Drop => "drop",
            Overload::Abort => "abort",
        }
    }
}

/// The schedule: phases, and the texts they are made of.
#[derive(Debug)]
pub struct Plan {
    /// Warm-up, if any, then the measurement.
    pub phases: Vec<PhasePlan>,
    /// Names of the sessions.
    pub sessions: Vec<String>,
    /// Codes of the prefix blocks of all slots.
    pub block_ids: Vec<u32>,
    /// Tokens in a full block.
    pub block_size: u32,
    /// Texts of blocks have codes below this, unique texts those from here on.
    pub unique_blocks: u32,
    /// The texts of requests of several.
    texts: Texts,
    /// What conversations open with.
    pub opening: Opening,
    /// The answers that later turns of a session are sent with.
    pub history: History,
    /// Tokens that the server adds to each prompt and that are counted in `input_tokens`: its text has so many less.
    pub around_tokens: u32,
    /// The text of prompts.
    pub corpus: Corpus,
    /// The body around prompts.
    pub shape: Shape,
    /// The bytes of both.
    pub arena: Arc<Arena>,
    /// What was inferred and done, for people and for the manifest.
    pub notes: Vec<String>,
}

impl Plan {
    /// Requests in the schedule, warm-up included.
    pub fn len(&self) -> u64 {
        self.phases.iter().map(|p| p.slots.len() as u64).sum()
    }

    /// Whether a phase may end before all of its slots were scheduled, or goes through them again: the number of requests is
    /// not known ahead.
    pub fn ends_by_time(&self) -> bool {
        self.phases.iter().any(PhasePlan::ends_by_time)
    }

    /// Whether nothing is scheduled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of a text whose request holds so many: at least one, where it has any.
    fn without_around(&self, tokens: u32) -> u32 {
        tokens.saturating_sub(self.around_tokens).max(tokens.min(1))
    }

    /// Appends the spans of a prompt's own text, of so many tokens.
    fn prompt_spans(&self, prompt: Prompt, tokens: u32, request_id: u64, out: &mut Vec<Span>) {
        let own_code = self.corpus.radix().opening_code(self.unique_blocks, request_id);
        match prompt {
            Prompt::Literal(span) | Prompt::Messages(span) => out.push(span),
            Prompt::Unique => self.corpus.spans(own_code, tokens, out),
            Prompt::Texts { start, len } => (0..len).for_each(|n| self.one_text((start, n), request_id, out)),
            Prompt::Blocks { start, len } => {
                let blocks = &self.block_ids[start as usize..(start + len) as usize];
                let mut left = tokens;
                for block in blocks {
                    let tokens = left.min(self.block_size);
                    self.corpus.spans(u64::from(*block), tokens, out);
                    left -= tokens;
                }
                if left > 0 {
                    // The trace hashed less than it asked for (floor tails): what is beyond is nobody else's.
                    self.corpus.spans(own_code, left, out);
                }
            }
        }
    }
}
