//! Turns RAGPulse's trace into a trace whose prefix blocks are chains of its pieces of content.
//!
//! In: rows `{"timestamp": "s", "input_length", "output_length", "hash_ids": {"sys_prompt": […], "passages_ids": […],
//! "history": […], "web_search": […], "user_input": […]}, "session_id"}`: ids name a piece of content wherever it stands.
//! Out: a [`Trace`] whose prompts are the pieces in the order in which the row names them. Invariants: a piece after different
//! beginnings is a different block, since no prefix cache knows it again there; a piece counts as one block of
//! 512 tokens, the size at which long system prompts are cut, until the prompt's length is used up.
//! Not here: the side files with the length of every piece. To count other pieces as 512 tokens is an approximation, which
//! is noted: it is exact while what prompts share are whole 512-token pieces at their start.

use std::fmt;
use std::io::BufRead;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bad_rows::{BadRows, RowProblem};
use super::dialect::Dialect;
use super::draft::Draft;
use super::intern::PrefixTree;
use super::row::Row;
use super::time_axis::{TimeUnit, UnitRule};
use super::{ReadOptions, Trace, TraceFormat, TurnPrompt, json_row, number};
use crate::error::Result;

/// The trace of flashserve/RAGPulse.
pub struct RagPulse;

/// Tokens that a piece of content counts as.
const PIECE_TOKENS: u32 = 512;
/// The most pieces of one prompt.
const MAX_PIECES: usize = 1 << 16;

const DIALECT: Dialect = Dialect {
    unit: UnitRule::Always(TimeUnit::S),
    block_tokens: PIECE_TOKENS,
    turn_prompt: TurnPrompt::Whole,
    ..Dialect::plain("timestamp", "input_length")
};

#[derive(serde::Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    input_length: Option<&'a RawValue>,
    output_length: Option<&'a RawValue>,
    hash_ids: Option<&'a RawValue>,
    session_id: Option<&'a RawValue>,
    token_length: Option<&'a RawValue>,
}

impl TraceFormat for RagPulse {
    fn name(&self) -> &'static str {
        "ragpulse_trace"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["ragpulse"]
    }

    fn summary(&self) -> &'static str {
        "JSON lines whose hash_ids is an object of lists of content ids (RAGPulse)"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        json_row::first_object_has(head, "hash_ids")
            && ["sys_prompt", "passages_ids"].iter().any(|key| json_row::first_object_has(head, key))
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let mut tree = PrefixTree::default();
        let piece = options.block_size.unwrap_or(PIECE_TOKENS).max(1);
        let mut lengths = 0_u64;
        draft.read_lines(input, &mut bad, |draft, line, number| {
            let keys: Keys<'_> = json_row::object(line)?;
            if keys.token_length.is_some() {
                lengths += 1;
                return Ok(());
            }
            add(draft, &mut tree, piece, &keys, number)
        })?;
        if lengths > 0 {
            draft.note(format!("{lengths} rows of side files, with the lengths of pieces, are not used"));
        }
        if draft.state_block_size(PIECE_TOKENS).is_ok() {
            let note = "every piece of content counts as a block of 512 tokens, which is an approximation; --block-size says otherwise";
            draft.note(note.into());
        }
        draft.note_silent();
        draft.finish(&mut bad, options)
    }
}

fn add(
    draft: &mut Draft,
    tree: &mut PrefixTree,
    piece_tokens: u32,
    keys: &Keys<'_>,
    number: u64,
) -> std::result::Result<(), RowProblem> {
    let time = json_row::required("timestamp", keys.timestamp)?;
    let input = json_row::required("input_length", keys.input_length)?;
    let input_tokens = number::tokens("input_length", input.get())?;
    let mut pieces = Vec::new();
    if let Some(raw) = keys.hash_ids {
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        Pieces { out: &mut pieces }.deserialize(&mut reader).map_err(|e| {
            let remedy = "hash_ids is an object of lists of integers from 0, at most 65536 in all";
            RowProblem::field("hash_ids", json_row::reason(&e), remedy)
        })?;
    }
    let row = Row {
        line: number,
        time: Some(number::time("timestamp", time.get(), TimeUnit::S)?),
        input_tokens,
        output_tokens: number::known_tokens("output_length", keys.output_length.map(RawValue::get))?,
        session: keys
            .session_id
            .map(|raw| json_row::name("session_id", raw, "name the session by a text"))
            .transpose()?,
        ..Row::default()
    };
    draft.add(row, |_, out| {
        let mut parent = None;
        let fit = input_tokens.div_ceil(piece_tokens) as usize;
        out.extend(pieces.iter().take(fit).map(|&piece| {
            let block = tree.child(parent, piece);
            parent = Some(block);
            block
        }));
        Ok(())
    })
}

/// Reads an object of lists of ids, one list after the other.
struct Pieces<'a> {
    out: &'a mut Vec<u64>,
}

impl<'de> DeserializeSeed<'de> for Pieces<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> std::result::Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pieces<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of lists of ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut lists: A) -> std::result::Result<(), A::Error> {
        while let Some((_, ids)) = lists.next_entry::<de::IgnoredAny, Vec<u64>>()? {
            self.out.extend(ids);
            if self.out.len() > MAX_PIECES {
                return Err(de::Error::custom("has too many ids"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::trace::{ReadOptions, Trace, TurnPrompt, parse};

    fn parsed(rows: &str) -> Result<Trace> {
        parse(&mut rows.as_bytes(), "r.jsonl", &ReadOptions::default())
    }

    fn row(at_s: u32, tokens: u32, system: &str, passages: &str) -> String {
        format!(
            "{{\"timestamp\": \"{at_s}\", \"input_length\": {tokens}, \"output_length\": 9, \"hash_ids\": {{\"sys_prompt\": [{system}], \"passages_ids\": [{passages}], \"history\": [], \"web_search\": [], \"user_input\": [99]}}, \"session_id\": \"s{at_s}\"}}\n"
        )
    }

    #[test]
    fn pieces_are_shared_only_behind_the_same_beginning() {
        let rows = [
            row(82, 3000, "1, 2, 7", "50, 51"),
            row(93, 3000, "1, 2, 8", "50, 51"),
            row(90, 1100, "1, 2, 7", "51, 50"),
        ];
        let trace = parsed(&rows.concat()).unwrap();
        trace.check().unwrap();
        assert_eq!(trace.entries.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 3, 2], "one time goes back");
        let blocks: Vec<_> = trace.entries.iter().map(|e| trace.blocks(e)).collect();
        assert_eq!(blocks, [&[0, 1, 2, 3, 4, 5][..], &[0, 1, 2], &[0, 1, 6, 7, 8, 9]]);
        assert_eq!((trace.block_size, trace.turn_prompt), (512, TurnPrompt::Whole));
        assert_eq!(trace.entries[1].arrival_ns, Some(8_000_000_000), "times are texts of seconds");
        assert_eq!(trace.sessions, ["s82", "s90", "s93"]);
        let with_lengths =
            parsed(&format!("{}{{\"sys_prompt_id\": 1, \"token_length\": 512}}\n", rows.concat())).unwrap();
        assert_eq!((with_lengths.entries.len(), with_lengths.skipped_rows), (3, 0));
    }

    #[test]
    fn every_refusal_names_line_field_problem_and_remedy() {
        let good = row(1, 600, "1", "2");
        for (row, message) in [
            (
                good.replace("s1\"}", ""),
                "is cut off: EOF while parsing a string (each line must be one whole JSON object)",
            ),
            (
                good.replace("\"1\"", "\"noon\""),
                "field `timestamp`: \"noon\" is not a number (use a number from 0, in seconds unless --time-unit says otherwise)",
            ),
            (
                good.replace("\"1\"", "\"NaN\""),
                "field `timestamp`: \"NaN\" is not a number (use a number from 0, in seconds unless --time-unit says otherwise)",
            ),
            (
                good.replace("600", "-600"),
                "field `input_length`: -600 is negative (use a whole number of tokens from 1 to 16777216)",
            ),
            (good.replace("\"input_length\": 600,", ""), "field `input_length`: is missing (every row needs it)"),
            (
                good.replace("[2]", "[\"x\"]"),
                "field `hash_ids`: string \"x\", expected u64 (hash_ids is an object of lists of integers from 0, at most 65536 in all)",
            ),
            (
                good.replace("[2]", "7"),
                "field `hash_ids`: integer `7`, expected a sequence (hash_ids is an object of lists of integers from 0, at most 65536 in all)",
            ),
        ] {
            let error = parsed(&format!("{good}{row}\n")).unwrap_err();
            assert_eq!(error.to_string(), format!("r.jsonl:2: {message}"), "{row}");
        }
    }
}
