//! WHAT × WHEN → slots: the whole run, before its first byte.
//!
//! A [`Slot`] is one request that will be made: its lengths, its prompt, and what releases it: the clock, the end of
//! its session's previous turn, or a lane of closed-loop load becoming free. [`build`] makes the slots of what [`spec`] asks for, [`shard`]
//! divides them among workers.
//! Invariants: slots that the clock releases stand in order of time; a session's turns are linked in order; request
//! ids are the slots' places, warm-up first.

pub mod build;
mod proof;
pub mod shard;
pub mod spec;

use std::sync::Arc;

use crate::endpoint::Shape;
use crate::outcome::Phase;
use crate::prompt::arena::{Arena, Pieces, Span};
use crate::prompt::corpus::Corpus;

/// What releases a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The clock, this long after the phase's start.
    At(i64),
    /// The end of the session's previous turn, plus think time, but not before a time since the phase's start.
    AfterPrevious {
        /// Pause after the previous turn's end.
        think_ns: i64,
        /// Earliest time since the phase's start.
        not_before_ns: i64,
    },
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
}

/// One request that will be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What releases it.
    pub release: Release,
    /// Its text.
    pub prompt: Prompt,
    /// Tokens of prompt.
    pub input_tokens: u32,
    /// Limit on output tokens.
    pub max_tokens: Option<u32>,
    /// Index into [`Plan::sessions`].
    pub session: Option<u32>,
    /// Turn within the session, from 0.
    pub turn: u32,
    /// The slot that its end releases, if any: the session's next turn.
    pub next_turn: Option<u32>,
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
    /// Request id of the first slot.
    pub first_request_id: u64,
    /// Lanes of closed-loop load; 0 for open loop.
    pub lanes: u32,
    /// Closed loop bounded by time alone: the slots are gone through again and again, with fresh request ids.
    pub repeat: bool,
    /// Most requests in flight at once; slots that are due wait, and their lag is recorded.
    pub in_flight_max: Option<u32>,
    /// Nothing is released from here on.
    pub duration_ns: Option<i64>,
    /// Requests in flight at the end of `duration_ns` get this long to finish.
    pub grace_ns: i64,
    /// What happens to a slot that is due while the cap is reached.
    pub on_overload: Overload,
    /// How long after its write a request that is to be cancelled is given up.
    pub cancel_after_ns: i64,
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

    /// Whether a phase goes on until its time is up, so that the number of requests is not known ahead.
    pub fn is_repeated(&self) -> bool {
        self.phases.iter().any(|p| p.repeat)
    }

    /// Whether nothing is scheduled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prompt tokens of the measurement that a prefix cache which forgets nothing would hold when they are sent: those of
    /// leading blocks that an earlier request had. `None` for literal texts, of whose prefixes nothing is known.
    pub fn expected_cached_tokens(&self) -> Option<u64> {
        let mut seen = vec![false; self.unique_blocks as usize];
        let mut cached = 0;
        let measured = self.phases.iter().filter(|p| p.phase == Phase::Profiling);
        for slot in measured.flat_map(|p| &p.slots) {
            let (start, len) = match slot.prompt {
                Prompt::Blocks { start, len } => (start as usize, len as usize),
                Prompt::Unique => continue,
                Prompt::Literal(_) => return None,
            };
            let blocks = &self.block_ids[start..start + len];
            let known = blocks.iter().take_while(|b| seen[**b as usize]).count() as u64;
            cached += (known * u64::from(self.block_size)).min(u64::from(self.text_tokens(slot)));
            blocks.iter().for_each(|b| seen[*b as usize] = true);
        }
        Some(cached)
    }

    /// The body of a request, assembled from spans.
    pub fn body(&self, slot: &Slot, request_id: u64) -> Pieces {
        let spans = self.shape.body(|out| self.prompt_spans(slot, request_id, out), slot.max_tokens);
        Pieces::new(self.arena.clone(), spans)
    }

    /// Tokens of a slot's text: at least one, where it has any.
    fn text_tokens(&self, slot: &Slot) -> u32 {
        slot.input_tokens.saturating_sub(self.around_tokens).max(slot.input_tokens.min(1))
    }

    fn prompt_spans(&self, slot: &Slot, request_id: u64, out: &mut Vec<Span>) {
        let first = out.len();
        let own_code = self.corpus.radix().opening_code(self.unique_blocks, request_id);
        match slot.prompt {
            Prompt::Literal(span) => return out.push(span),
            Prompt::Unique => self.corpus.spans(own_code, self.text_tokens(slot), out),
            Prompt::Blocks { start, len } => {
                let blocks = &self.block_ids[start as usize..(start + len) as usize];
                let mut left = self.text_tokens(slot);
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
        if let Some(first) = out.get_mut(first) {
            self.corpus.begin_prompt(first);
        }
    }
}
