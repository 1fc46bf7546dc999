//! The seam between a simulated engine and whoever drives it: requests go in, tokens come out at their times.
//!
//! All times are simulated nanoseconds on one axis; an engine never reads a clock. A driver may come late: what is due is
//! computed for when it was due, not for when it was asked for.

/// A sequence's name, given by the driver and unique in an engine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u64);

/// The work of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Tokens of the prompt, at least 1.
    pub prompt_tokens: u32,
    /// Tokens of the answer, exactly: a simulated model never stops early. At least 1.
    pub output_tokens: u32,
}

/// One token of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose token it is.
    pub sequence: SequenceId,
    /// When it was there.
    pub at_ns: i64,
    /// Whether it is the sequence's last; the engine has forgotten the sequence then.
    pub last: bool,
}

/// A simulated engine.
pub trait Deployment {
    /// Queues a request that arrived at `arrival_ns`. Arrivals must not go back in time.
    fn submit(&mut self, sequence: SequenceId, arrival_ns: i64, job: Job);

    /// Forgets a sequence and frees what it holds; none of its tokens comes out any more. An unknown one is ignored.
    fn cancel(&mut self, sequence: SequenceId);

    /// When the engine has something to do next; `None` while it is idle. May lie in the past.
    fn next_event_ns(&self) -> Option<i64>;

    /// Does everything that is due at `now_ns` or before, and appends the tokens that came out, in order of time.
    fn advance(&mut self, now_ns: i64, tokens: &mut Vec<Token>);
}
