//! The seam between a simulated engine and whoever drives it: requests go in, tokens come out at their times.
//!
//! All times are simulated nanoseconds on one axis; an engine never reads a clock. A driver may come late: what is due is
//! computed for when it was due, not for when it was asked for.

use super::content::Content;

/// A sequence's name, given by the driver and unique in an engine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// The work of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Tokens of the prompt, at least 1.
    pub prompt_tokens: u32,
    /// Tokens of the answer, exactly: a simulated model never stops early. At least 1.
    pub output_tokens: u32,
    /// What the prompt holds; without it, nothing of it is found in a cache.
    pub content: Content,
    /// Whether it is enough to be told of the first token and of the last one, when those come.
    pub quiet: bool,
}

impl Job {
    /// A job that shares nothing with any other.
    pub fn new(prompt_tokens: u32, output_tokens: u32) -> Job {
        Job { prompt_tokens, output_tokens, content: Content::default(), quiet: false }
    }

    /// Tokens of the whole sequence.
    pub fn tokens(&self) -> u64 {
        u64::from(self.prompt_tokens) + u64::from(self.output_tokens)
    }
}

/// One token of one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose token it is.
    pub sequence: SequenceId,
    /// When it was there.
    pub at_ns: i64,
    /// Whether it is the sequence's last; the engine has forgotten the sequence then.
    pub last: bool,
    /// Tokens of the sequence's prompt that were found in the cache when it was first let in.
    pub cached_tokens: u32,
    /// When the tokens before it were there that were not told of yet: none, unless the job is quiet.
    pub before_ns: Vec<i64>,
}

/// Why an engine does not take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// As many wait as may wait.
    QueueFull,
    /// The sequence is longer than the whole cache, which holds this many tokens.
    TooLong {
        /// Tokens of the cache.
        kv_tokens: u64,
    },
}

/// Whether an engine took a job.
pub type Taken = Result<(), Refusal>;

/// How an engine is doing. The totals only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Sequences in the batch.
    pub running: u64,
    /// Sequences that wait to be let in.
    pub waiting: u64,
    /// KV blocks there are.
    pub kv_blocks: u64,
    /// Of them, those that sequences refer to.
    pub kv_blocks_used: u64,
    /// Tokens of the prompts that were let in, each time they were.
    pub prompt_tokens_total: u64,
    /// Of them, those that were found in the cache.
    pub cached_tokens_total: u64,
    /// Tokens that were generated.
    pub output_tokens_total: u64,
    /// Sequences that were thrown out to make room, to be computed again.
    pub preemptions_total: u64,
    /// Forward passes that were begun.
    pub steps_total: u64,
}

impl std::ops::Add for Load {
    type Output = Load;

    fn add(self, other: Load) -> Load {
        Load {
            running: self.running + other.running,
            waiting: self.waiting + other.waiting,
            kv_blocks: self.kv_blocks + other.kv_blocks,
            kv_blocks_used: self.kv_blocks_used + other.kv_blocks_used,
            prompt_tokens_total: self.prompt_tokens_total + other.prompt_tokens_total,
            cached_tokens_total: self.cached_tokens_total + other.cached_tokens_total,
            output_tokens_total: self.output_tokens_total + other.output_tokens_total,
            preemptions_total: self.preemptions_total + other.preemptions_total,
            steps_total: self.steps_total + other.steps_total,
        }
    }
}

/// A simulated engine.
pub trait Deployment: std::fmt::Debug {
    /// Queues a request that arrived at `arrival_ns`. Arrivals must not go back in time.
    ///
    /// # Errors
    /// [`Refusal`], and nothing of the job is kept.
    fn submit(&mut self, sequence: SequenceId, arrival_ns: i64, job: Job) -> Taken;

    /// Forgets a sequence and frees what it holds; none of its tokens comes out any more. An unknown one is ignored.
    /// Gives the times of those tokens of a quiet one that were there and not told of.
    fn cancel(&mut self, sequence: SequenceId) -> Vec<i64>;

    /// When the engine has something to do next; `None` while it is idle. May lie in the past.
    fn next_event_ns(&self) -> Option<i64>;

    /// Does everything that is due at `now_ns` or before, and appends the tokens that came out, in order of time. Of a quiet job
    /// some, or all, of the tokens between the first and the last are told of with a later one.
    fn advance(&mut self, now_ns: i64, tokens: &mut Vec<Token>);

    /// How it is doing.
    fn load(&self) -> Load;
}
