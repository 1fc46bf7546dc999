//! A request in an engine: what of it is known and computed, and which blocks hold it.
//!
//! Between two blocks of an answer every iteration adds a token to a running sequence and changes nothing else, so that these are
//! only counted up when something hangs on them: when a block is full, at the last token, when the sequence is thrown out or cancelled.
//! Invariant: what is not settled yet are fewer tokens than a block has.

use crate::sim::content::{BLOCK_TOKENS, Chain};
use crate::sim::deployment::{Job, SequenceId, Token};
use crate::sim::kv::BlockId;
use crate::sim::reply::answer_token;

const KEPT: u64 = BLOCK_TOKENS as u64;

/// When the last iterations of an engine ended.
#[derive(Debug)]
pub(super) struct StepEnds {
    /// Iterations that have ended.
    count: u64,
    /// Of the last ones, by their numbers, which count from 1.
    recent_ns: [i64; KEPT as usize],
}

impl Default for StepEnds {
    fn default() -> StepEnds {
        StepEnds { count: 0, recent_ns: [i64::MIN; KEPT as usize] }
    }
}

impl StepEnds {
    pub(super) fn push(&mut self, end_ns: i64) {
        self.count += 1;
        self.recent_ns[(self.count % KEPT) as usize] = end_ns;
    }

    /// When the last one ended; long ago where none has.
    pub(super) fn last_ns(&self) -> i64 {
        self.recent_ns[(self.count % KEPT) as usize]
    }

    /// The number of the iteration that is under way, or will be next.
    pub(super) fn next_number(&self) -> u64 {
        self.count + 1
    }
}

/// A request, waiting or running.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: SequenceId,
    pub(super) arrival_ns: i64,
    pub(super) prompt_tokens: u32,
    pub(super) output_tokens: u32,
    /// The names of its full blocks, as far as its tokens are known.
    pub(super) names: Vec<u64>,
    /// Without content, nothing of it has a name.
    has_content: bool,
    /// Behind the last known token.
    chain: Chain,
    answer: u64,
    pub(super) blocks: Vec<BlockId>,
    /// Its first blocks that have been named in the pool.
    pub(super) named: u32,
    /// Tokens whose keys and values are in the cache.
    pub(super) computed_tokens: u32,
    /// Tokens that the current iteration adds to them.
    pub(super) chunk_tokens: u32,
    pub(super) produced_tokens: u32,
    /// The iteration with whose end all this is true, and the next one whose end has to be looked at.
    settled_step: u64,
    due_step: u64,
    /// What was found in the cache when it was first let in; `None` before.
    pub(super) cached_tokens: Option<u32>,
    /// Its prompt was computed by another engine, which hands its blocks over.
    pub(super) handed_over: bool,
    quiet: bool,
    /// When the tokens came that nobody was told of.
    pub(super) untold_ns: Vec<i64>,
}

impl Sequence {
    pub(super) fn new(id: SequenceId, arrival_ns: i64, job: Job) -> Sequence {
        Sequence {
            id,
            arrival_ns,
            prompt_tokens: job.prompt_tokens,
            output_tokens: job.output_tokens,
            has_content: !job.content.is_unknown(),
            names: job.content.blocks,
            chain: job.content.chain,
            answer: job.content.answer,
            blocks: Vec::new(),
            named: 0,
            computed_tokens: 0,
            chunk_tokens: 0,
            produced_tokens: 0,
            settled_step: 0,
            due_step: 0,
            cached_tokens: None,
            handed_over: false,
            quiet: job.quiet,
            untold_ns: Vec::new(),
        }
    }

    /// Tokens that are known: the prompt's, and those of the answer as far as it is settled.
    pub(super) fn known_tokens(&self) -> u32 {
        self.prompt_tokens + self.produced_tokens
    }

    /// Begins to run, with the iteration that comes next.
    pub(super) fn enter(&mut self, ends: &StepEnds) {
        (self.settled_step, self.due_step) = (ends.count, ends.next_number());
    }

    /// Whether all that has happened to it is counted.
    pub(super) fn is_settled(&self, ends: &StepEnds) -> bool {
        self.settled_step == ends.count
    }

    /// Tokens that it got since.
    pub(super) fn unsettled_tokens(&self, ends: &StepEnds) -> u32 {
        (ends.count - self.settled_step) as u32
    }

    /// The iteration with whose end more than a token comes to it.
    pub(super) fn due_step(&self) -> u64 {
        self.due_step
    }

    /// Counts the tokens that iterations which have ended gave it, and returns how many they are.
    pub(super) fn settle(&mut self, ends: &StepEnds) -> u32 {
        let count = self.unsettled_tokens(ends);
        for step in self.settled_step + 1..=ends.count {
            self.untold_ns.push(ends.recent_ns[(step % KEPT) as usize]);
            self.learn();
        }
        self.computed_tokens += count;
        self.settled_step = ends.count;
        count
    }

    /// All that the end of this iteration brought is counted; says for itself when it is to be looked at next.
    pub(super) fn settled_by(&mut self, step: u64) {
        let calm = self.quiet && self.computed_tokens + 1 == self.known_tokens();
        let until_full = BLOCK_TOKENS - self.computed_tokens % BLOCK_TOKENS;
        let until_last = self.output_tokens.saturating_sub(self.produced_tokens);
        self.settled_step = step;
        self.due_step = step + if calm { u64::from(until_full.min(until_last)) } else { 1 };
    }

    /// Takes its next token in, and gives it where it is to be told of.
    pub(super) fn produce(&mut self, at_ns: i64) -> Option<Token> {
        self.learn();
        let last = self.produced_tokens == self.output_tokens;
        if self.quiet && !last && self.produced_tokens > 1 {
            self.untold_ns.push(at_ns);
            return None;
        }
        let before_ns = std::mem::take(&mut self.untold_ns);
        if self.quiet && !last {
            self.untold_ns.reserve(self.output_tokens as usize);
        }
        Some(Token { sequence: self.id, at_ns, last, cached_tokens: self.cached_tokens.unwrap_or(0), before_ns })
    }

    fn learn(&mut self) {
        if self.has_content {
            self.names.extend(self.chain.push(answer_token(self.answer, self.produced_tokens)));
        }
        self.produced_tokens += 1;
    }
}
