//! WHAT is asked: a trace is a list of entries, each with its lengths, prefix blocks and, where recorded, its time.
//!
//! One file per format, one line in [`FORMATS`]. Parsers are pure functions of bytes; files are opened in [`read`].
//! Invariants: entries stand in order of arrival; block ids are dense, `0..unique_blocks`; times are relative to
//! the first entry unless the reader was told otherwise.
//! Not here: when a request is really sent (that is `schedule`), nor its text (that is `prompt`).

/// One request of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Arrival, in nanoseconds since the trace's origin; null where the trace has no times.
    pub arrival_ns: Option<i64>,
    /// Tokens of prompt. 0 where `text` is given and its length is not known.
    pub input_tokens: u32,
    /// Tokens of answer that the trace recorded.
    pub output_tokens: Option<u32>,
    /// Where its prefix blocks stand in [`Trace::block_ids`]: first index.
    pub blocks_start: u32,
    /// How many blocks it has; 0 where its prompt shares nothing.
    pub blocks_len: u32,
    /// Index into [`Trace::sessions`].
    pub session: Option<u32>,
    /// Pause between the previous turn's end and this turn, in nanoseconds.
    pub delay_ns: Option<i64>,
    /// A literal prompt, where the trace holds one.
    pub text: Option<Box<str>>,
    /// 1-based line of the file it came from.
    pub line: u64,
}

/// A whole trace.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The requests, in order of arrival.
    pub entries: Vec<Entry>,
    /// Prefix blocks of all entries, one after the other. Equal ids are equal blocks.
    pub block_ids: Vec<u32>,
    /// Number of different ids in `block_ids`.
    pub unique_blocks: u32,
    /// Tokens in a full block.
    pub block_size: u32,
    /// Names of the sessions.
    pub sessions: Vec<String>,
    /// What the reader found out and did, for people and for the manifest.
    pub notes: Vec<String>,
    /// Rows that were skipped on request.
    pub skipped_rows: u64,
}

impl Trace {
    /// The prefix blocks of one entry.
    pub fn blocks(&self, entry: &Entry) -> &[u32] {
        let start = entry.blocks_start as usize;
        &self.block_ids[start..start + entry.blocks_len as usize]
    }
}
