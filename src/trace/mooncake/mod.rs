//! Turns files of the Mooncake family into traces: one JSON object per line, with lengths, prefix hashes and a time.
//!
//! In: rows `{"timestamp": ms, "input_length": tokens, "output_length": tokens, "hash_ids": […]}` and their relatives:
//! `input_tokens`, `output_tokens` and `created_time` as other names, `text_input` for a literal prompt, `session_id` with
//! `delay` for later turns, times in any unit and as texts, ids as integers or texts. Unknown keys are allowed.
//! Out: a [`Trace`]. Invariants: as the trace's; every assumption made on the way stands in its notes.
//! Not here: rows of chat messages or whole request bodies, which are refused by name.
//!
//! The format is Mooncake's (kvcache-ai/Mooncake, FAST'25 traces) with aiperf's `mooncake_trace` additions.

mod blocks;
mod draft;
mod row;

use std::io::BufRead;

use self::draft::Draft;
use super::bad_rows::{BadRows, RowProblem};
use super::lines::{Lines, MAX_LINE_BYTES};
use super::{ReadOptions, Trace, TraceFormat};
use crate::error::{Error, Result};

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
        let mut lines = Lines::new(input);
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::default();
        while let Some(line) = lines.next().map_err(Error::io(file))? {
            let added = match line.bytes {
                Some(bytes) => draft.add(bytes, line.number),
                None => Err(RowProblem::row(
                    format!("is longer than {} MiB", MAX_LINE_BYTES >> 20),
                    "write one request per line",
                )),
            };
            if let Err(problem) = added {
                bad.report(line.number, problem)?;
            }
            draft.check_size().map_err(|(problem, remedy)| bad.file_error(problem, remedy))?;
        }
        draft.finish(&mut bad, options)
    }
}

#[cfg(test)]
mod tests;
