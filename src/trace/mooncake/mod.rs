//! Turns files of the Mooncake family into traces: one JSON object per line, with lengths, prefix hashes and a time.
//!
//! In: rows `{"timestamp": ms, "input_length": tokens, "output_length": tokens, "hash_ids": […]}` and their relatives:
//! `input_tokens`, `output_tokens` and `created_time` as other names, `text_input` for a literal prompt, `session_id` with
//! `delay` for later turns, times in any unit and as texts, ids as integers or texts. Unknown keys are allowed.
//! Out: a [`Trace`]. Invariants: as the trace's; every assumption made on the way stands in its notes.
//! Not here: rows of chat messages or whole request bodies, which are refused by name.
//!
//! The format is Mooncake's (kvcache-ai/Mooncake, FAST'25 traces) with aiperf's `mooncake_trace` additions.

mod row;

use std::io::BufRead;

use super::bad_rows::BadRows;
use super::dialect::Dialect;
use super::draft::Draft;
use super::{ReadOptions, Trace, TraceFormat, json_row};
use crate::error::Result;

const DIALECT: Dialect = Dialect::plain("timestamp", "input_length");

/// The Mooncake family.
pub struct Mooncake;

impl TraceFormat for Mooncake {
    fn name(&self) -> &'static str {
        "mooncake_trace"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["mooncake"]
    }

    fn summary(&self) -> &'static str {
        "JSON lines with timestamp, input_length, output_length and hash_ids"
    }

    /// Anything that begins as a JSON object: a broken first row then gets its own error instead of "unknown format".
    fn sniff(&self, head: &[u8]) -> bool {
        head.first() == Some(&b'{')
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let mut rows_with_extra = 0_u64;
        draft.read_lines(input, &mut bad, |draft, line, number| {
            let parsed = row::parse(line, number)?;
            draft.add(parsed.row, |names, out| match parsed.hash_ids {
                Some(raw) => json_row::blocks("hash_ids", raw, names, out),
                None => Ok(()),
            })?;
            rows_with_extra += u64::from(parsed.has_extra);
            Ok(())
        })?;
        if rows_with_extra > 0 {
            draft.note(format!("{rows_with_extra} rows have `extra` parameters, which are not used"));
        }
        draft.finish(&mut bad, options)
    }
}

#[cfg(test)]
mod tests;
