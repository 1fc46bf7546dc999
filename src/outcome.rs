//! How a scheduled request ended, and what a stream event was: the closed sets that every count adds up over.
//!
//! Invariant (the law of conservation): every scheduled request has exactly one [`Outcome`], so
//! `scheduled = completed + failed + cancelled + not sent`.

/// How one scheduled request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Outcome {
    /// A whole answer, with a 2xx status and some output.
    Completed,
    /// A status other than 2xx.
    HttpError,
    /// The request's time limit ran out.
    Timeout,
    /// No connection could be made.
    ConnectError,
    /// The peer broke the connection before the answer's head, or before HTTP's own end of the answer.
    Reset,
    /// HTTP ended the answer, but the stream never said that it was whole.
    Truncated,
    /// The answer cannot be read: bad HTTP, bad event stream, bad JSON, or no output at all.
    ProtocolError,
    /// An error event inside a 200 stream.
    StreamError,
    /// The client gave it up: on request, or at the end of the run.
    Cancelled,
    /// It was due, or never came due, and was not sent.
    NotSent,
}

/// Begins the reason of a [`Outcome::NotSent`] that found no room and was left out, as asked.
pub const DROPPED: &str = "dropped: ";
/// Begins the reason of a [`Outcome::NotSent`] at which, or behind which, an overload aborted the run.
pub const ABORTED: &str = "aborted: ";
/// The reason of a [`Outcome::NotSent`] that waits for another one.
pub const LOST: &str = "what it waits for was not sent";
/// Begins the reason of a [`Outcome::Cancelled`] that was asked for.
pub const ON_REQUEST: &str = "cancelled by the client, as asked, ";

/// The four classes of the law of conservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeClass {
    /// [`Outcome::Completed`].
    Completed,
    /// Sent, and ended by an error.
    Failed,
    /// [`Outcome::Cancelled`].
    Cancelled,
    /// [`Outcome::NotSent`].
    NotSent,
}

impl Outcome {
    /// Every outcome, in the order in which reports list them.
    pub const ALL: [Outcome; 10] = [
        Outcome::Completed,
        Outcome::HttpError,
        Outcome::Timeout,
        Outcome::ConnectError,
        Outcome::Reset,
        Outcome::Truncated,
        Outcome::ProtocolError,
        Outcome::StreamError,
        Outcome::Cancelled,
        Outcome::NotSent,
    ];

    /// The name in recordings and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::HttpError => "http_error",
            Outcome::Timeout => "timeout",
            Outcome::ConnectError => "connect_error",
            Outcome::Reset => "reset",
            Outcome::Truncated => "truncated",
            Outcome::ProtocolError => "protocol_error",
            Outcome::StreamError => "stream_error",
            Outcome::Cancelled => "cancelled",
            Outcome::NotSent => "not_sent",
        }
    }

    /// The outcome of that name.
    pub fn parse(name: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|o| o.as_str() == name)
    }

    /// The class that the law of conservation counts it under.
    pub fn class(self) -> OutcomeClass {
        match self {
            Outcome::Completed => OutcomeClass::Completed,
            Outcome::Cancelled => OutcomeClass::Cancelled,
            Outcome::NotSent => OutcomeClass::NotSent,
            _ => OutcomeClass::Failed,
        }
    }
}

/// What one event of a stream carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// A first delta with a role and no text.
    Role,
    /// Output text.
    Output,
    /// Reasoning text.
    Reasoning,
    /// A tool call's name or arguments.
    ToolCall,
    /// Token counts and nothing else.
    Usage,
    /// `[DONE]`.
    Done,
    /// An error object.
    Error,
    /// Anything else: a finish reason alone, an empty delta, an unknown object.
    Other,
}

impl EventKind {
    /// Every kind, in the order of its stored code.
    pub const ALL: [EventKind; 8] = [
        EventKind::Role,
        EventKind::Output,
        EventKind::Reasoning,
        EventKind::ToolCall,
        EventKind::Usage,
        EventKind::Done,
        EventKind::Error,
        EventKind::Other,
    ];

    /// The name in recordings.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Role => "role",
            EventKind::Output => "output",
            EventKind::Reasoning => "reasoning",
            EventKind::ToolCall => "tool_call",
            EventKind::Usage => "usage",
            EventKind::Done => "done",
            EventKind::Error => "error",
            EventKind::Other => "other",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|k| k.as_str() == name)
    }

    /// Whether it carries tokens of the model's answer (aiperf's "content": output, reasoning and tool-call text).
    pub fn is_content(self) -> bool {
        matches!(self, EventKind::Output | EventKind::Reasoning | EventKind::ToolCall)
    }
}

/// Where a count of output tokens comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TokenSource {
    /// The server's `usage`.
    Usage,
    /// The client's tokenizer.
    Tokenizer,
    /// One token per content event, for want of anything better.
    Events,
}

impl TokenSource {
    /// Every source, in the order of its stored code.
    pub const ALL: [TokenSource; 3] = [TokenSource::Usage, TokenSource::Tokenizer, TokenSource::Events];

    /// The name in recordings.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenSource::Usage => "usage",
            TokenSource::Tokenizer => "tokenizer",
            TokenSource::Events => "events",
        }
    }

    /// The source of that name.
    pub fn parse(name: &str) -> Option<TokenSource> {
        TokenSource::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// Which part of a run a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Phase {
    /// Before the measurement; in no metric, always counted beside it.
    Warmup,
    /// The measurement.
    #[default]
    Profiling,
}

impl Phase {
    /// The name in recordings.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Warmup => "warmup",
            Phase::Profiling => "profiling",
        }
    }

    /// The phase of that name.
    pub fn parse(name: &str) -> Option<Phase> {
        [Phase::Warmup, Phase::Profiling].into_iter().find(|p| p.as_str() == name)
    }
}

/// Counts of outcomes, by class and in full. Mergeable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    counts: [u64; Outcome::ALL.len()],
}

impl OutcomeCounts {
    /// Counts one request.
    pub fn add(&mut self, outcome: Outcome) {
        self.counts[outcome as usize] += 1;
    }

    /// Adds another's counts to these.
    pub fn merge(&mut self, other: &OutcomeCounts) {
        for (a, b) in self.counts.iter_mut().zip(other.counts) {
            *a += b;
        }
    }

    /// Requests with this outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize]
    }

    /// Requests of this class.
    pub fn of_class(&self, class: OutcomeClass) -> u64 {
        Outcome::ALL.into_iter().filter(|o| o.class() == class).map(|o| self.of(o)).sum()
    }

    /// All requests: what `scheduled` must equal.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        assert!(Outcome::ALL.into_iter().all(|o| Outcome::parse(o.as_str()) == Some(o)));
        assert!(EventKind::ALL.into_iter().all(|k| EventKind::parse(k.as_str()) == Some(k)));
        assert!(TokenSource::ALL.into_iter().all(|s| TokenSource::parse(s.as_str()) == Some(s)));
        assert_eq!(Outcome::parse("gone"), None);
    }

    #[test]
    fn the_classes_add_up_to_the_total() {
        let mut c = OutcomeCounts::default();
        Outcome::ALL.into_iter().for_each(|o| c.add(o));
        c.add(Outcome::Completed);
        let classes = [OutcomeClass::Completed, OutcomeClass::Failed, OutcomeClass::Cancelled, OutcomeClass::NotSent];
        assert_eq!(classes.map(|k| c.of_class(k)), [2, 7, 1, 1]);
        assert_eq!(c.total(), 11);
    }
}
