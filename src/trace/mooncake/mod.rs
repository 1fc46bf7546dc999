//! Turns files of the Mooncake family into traces: one JSON object per line, with lengths, prefix hashes and a time.
//!
//! In: rows `{"timestamp": ms, "input_length": tokens, "output_length": tokens, "hash_ids": […]}` and their relatives:
//! `input_tokens`, `output_tokens` and `created_time` as other names, `text_input`, `messages` or `payload` for a literal
//! prompt, `session_id` with `delay` for later turns, times in any unit and as texts, ids as integers or texts. Unknown keys
//! are allowed. Out: a [`Trace`]. Invariants: as the trace's; every assumption made on the way stands in its notes.
//! Not here: tool definitions and several turns in one row, which are refused by name.
//!
//! The format is Mooncake's (kvcache-ai/Mooncake, FAST'25 traces) with aiperf's `mooncake_trace` additions.

mod row;
mod turns;

use std::io::BufRead;

use super::bad_rows::BadRows;
use super::chat_body::LeftOut;
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
        let (mut rows_with_extra, mut left) = (0_u64, LeftOut::default());
        draft.read_lines(input, &mut bad, |draft, line, number| {
            let parsed = row::parse(line, number, &mut left)?;
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
        left.note().into_iter().for_each(|note| draft.note(note));
        let mut trace = draft.finish(&mut bad, options)?;
        turns::settle(&mut trace).map_err(|(problem, remedy)| bad.file_error(problem, remedy))?;
        Ok(trace)
    }
}

#[cfg(test)]
mod tests;
