//! One request as a format's reader found it: what [`super::draft`] makes a trace of.
//!
//! In: whatever the format's fields say, in range. Out: nothing; a row is only carried. What only the whole file can tell is
//! not in it: the unit of its time, the size of its blocks, whether what it waits for is there.

use std::borrow::Cow;

use super::{Content, WaitFor};

/// One request as a format's reader found it: its values are in range.
#[derive(Default)]
pub(super) struct Row<'a> {
    /// 1-based line of the file.
    pub(super) line: u64,
    /// Its time in billionths of the file's unit, or of a nanosecond since 1970 where the dialect has dates.
    pub(super) time: Option<i128>,
    /// Pause after the previous turn's end.
    pub(super) delay_ns: Option<i64>,
    /// 0 where only a literal prompt is given.
    pub(super) input_tokens: u32,
    pub(super) output_tokens: Option<u32>,
    pub(super) content: Option<Content>,
    pub(super) session: Option<Cow<'a, str>>,
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,
    /// The name under which others wait for it.
    pub(super) request: Option<Cow<'a, str>>,
    /// What it waits for, its session's previous turn aside.
    pub(super) waits: Vec<Cause<'a>>,
}

/// Something that a row waits for. It may stand later in the file.
pub(super) struct Cause<'a> {
    /// The other row's [`Row::request`].
    pub(super) request: Cow<'a, str>,
    /// Which moment of it.
    pub(super) event: WaitFor,
    /// Pause after that moment.
    pub(super) delay_ns: i64,
}
