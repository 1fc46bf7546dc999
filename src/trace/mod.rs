//! WHAT is asked: a trace is a list of entries, each with its lengths, prefix blocks and, where recorded, its time.
//!
//! One file per format, one line in [`FORMATS`]. Parsers are pure functions of bytes; files are opened in [`read`].
//! Invariants ([`Trace::check`]): entries stand in order of arrival; block ids are dense, `0..unique_blocks`, numbered in
//! order of first appearance; no prompt has more blocks than tokens for them; times are relative to the first entry unless
//! the reader was told otherwise.
//! Not here: when a request is really sent (that is `schedule`), nor its text (that is `prompt`).

pub mod agentic_mooncake;
pub mod azure;
mod bad_rows;
pub mod bailian;
mod blocks;
pub mod bucketing;
pub mod burstgpt;
mod chat_body;
pub mod chat_lines;
pub mod conversations;
mod csv_rows;
mod decimal;
mod dialect;
mod draft;
pub mod dynamo;
mod elements;
mod first_keys;
mod folder;
mod intern;
mod invariants;
mod json_row;
pub mod kv_cache_tester;
pub mod lengths;
mod lines;
pub mod mixture;
pub mod mooncake;
pub mod mooncake_shape;
pub mod multi_turn;
mod number;
pub mod openai_batch;
mod order;
pub mod ragpulse;
mod row;
pub mod sharegpt;
pub mod sharing;
pub mod single_turn;
mod source;
mod time_axis;
pub mod tracelab;
pub mod transform;
mod wall_clock;
pub mod writer;

pub use bad_rows::OnBadRow;
pub use invariants::fuzz_parse;
pub use source::{parse, read};
pub use time_axis::{TimeOrigin, TimeUnit};

use std::io::BufRead;

use crate::error::Result;

/// A way to write a trace down, and its reader.
pub trait TraceFormat: Sync {
    /// The name on the command line.
    fn name(&self) -> &'static str;
    /// Other names for it.
    fn aliases(&self) -> &'static [&'static str];
    /// One line for the help: what its files hold.
    fn summary(&self) -> &'static str;
    /// Whether a file that begins with `head` (its first kilobytes, uncompressed) is likely of this format.
    fn sniff(&self, head: &[u8]) -> bool;
    /// Reads a whole trace. `file` is its name in errors.
    ///
    /// # Errors
    /// The first row that cannot be used, unless such rows are to be skipped; a file without a usable row; a failed read.
    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace>;
}

/// Every trace format, the most particular first: the first whose `sniff` agrees reads the file.
pub static FORMATS: &[&dyn TraceFormat] = &[
    &agentic_mooncake::AgenticMooncake,
    &dynamo::Dynamo,
    &kv_cache_tester::KvCacheTester,
    &bailian::Bailian,
    &ragpulse::RagPulse,
    &azure::Azure,
    &burstgpt::BurstGpt,
    &tracelab::TraceLab,
    &openai_batch::OpenAiBatch,
    &sharegpt::ShareGpt,
    &chat_lines::ChatLines,
    &multi_turn::MultiTurn,
    &single_turn::SingleTurn,
    &mooncake::Mooncake,
];

/// How to read a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Name of a format; found out from the file where it is absent.
    pub format: Option<String>,
    /// What to do with a row that cannot be used.
    pub on_bad_row: OnBadRow,
    /// Unit of the file's times.
    pub time_unit: TimeUnit,
    /// Where the time axis begins.
    pub time_origin: TimeOrigin,
    /// Tokens in a full block; found out from the file where it is absent.
    pub block_size: Option<u32>,
}

/// One request of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Arrival, in nanoseconds since the trace's origin; null where the trace has no times.
    pub arrival_ns: Option<i64>,
    /// Tokens of prompt. 0 where `content` is given and its length is not known.
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
    /// The literal prompt, where the trace holds one.
    pub content: Option<Content>,
    /// Index into [`Trace::models`]: the model that the trace's request went to.
    pub model: Option<u32>,
    /// Index into [`Trace::kinds`]: what kind of request it was (the trace's own word: "search", "code").
    pub kind: Option<u32>,
    /// Where the entries that it waits for stand in [`Trace::waits`]: first index. Its session's previous turn, which every
    /// later turn waits for, is not among them.
    pub waits_start: u32,
    /// How many entries it waits for.
    pub waits_len: u32,
    /// 1-based line of the file it came from.
    pub line: u64,
}

/// A literal prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One text.
    Text(Box<str>),
    /// Chat messages: a JSON array of objects, as the trace wrote it.
    Messages(Box<str>),
}

/// Something that must have happened before an entry may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Index of the entry that is waited for; it stands earlier in the trace.
    pub entry: u32,
    /// Which moment of that entry.
    pub event: WaitFor,
    /// Pause after it, in nanoseconds.
    pub delay_ns: i64,
}

/// A moment of a request that another may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// It was sent.
    Dispatch,
    /// Its answer ended, well or not.
    End,
}

/// What the prompt of a session's later turn holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TurnPrompt {
    /// What the turn adds; the conversation so far goes in front of it.
    #[default]
    Added,
    /// The whole conversation so far.
    Whole,
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
    /// What later turns' prompts hold.
    pub turn_prompt: TurnPrompt,
    /// What entries wait for, one entry's after the other's.
    pub waits: Vec<Wait>,
    /// Names of the models.
    pub models: Vec<String>,
    /// Names of the kinds of request.
    pub kinds: Vec<String>,
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

    /// The arrival times that the trace has, in order.
    pub fn arrivals_ns(&self) -> impl Iterator<Item = i64> {
        self.entries.iter().filter_map(|e| e.arrival_ns)
    }

    /// What one entry waits for.
    pub fn waits(&self, entry: &Entry) -> &[Wait] {
        let start = entry.waits_start as usize;
        &self.waits[start..start + entry.waits_len as usize]
    }
}
