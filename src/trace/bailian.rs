//! Turns Alibaba's Bailian traces into traces of sessions whose prompts hold the whole conversation.
//!
//! In: rows `{"chat_id", "parent_chat_id", "timestamp": s, "input_length", "output_length", "type", "turn", "hash_ids"}`.
//! Out: a [`Trace`]: a chat and the chats that continue it are a session, named by its first chat; `type` is the kind.
//! Invariants: `input_length` counts the whole context, so nothing is put in front of it; a chat that continues one that was
//! already continued begins a session of its own, since a session is a chain.
//!
//! The format is that of alibaba-edu/qwen-bailian-usagetraces-anon: blocks of 16 tokens, seconds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::BufRead;

use serde_json::value::RawValue;

use super::bad_rows::{BadRows, RowProblem};
use super::dialect::Dialect;
use super::draft::Draft;
use super::row::Row;
use super::time_axis::{TimeUnit, UnitRule};
use super::{ReadOptions, Trace, TraceFormat, TurnPrompt, json_row, number};
use crate::error::Result;

/// Alibaba's Bailian traces.
pub struct Bailian;

const DIALECT: Dialect = Dialect {
    unit: UnitRule::Always(TimeUnit::S),
    block_tokens: 16,
    session: "chat_id",
    turn_prompt: TurnPrompt::Whole,
    ..Dialect::plain("timestamp", "input_length")
};

#[derive(serde::Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    chat_id: Option<&'a RawValue>,
    parent_chat_id: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    input_length: Option<&'a RawValue>,
    output_length: Option<&'a RawValue>,
    r#type: Option<&'a RawValue>,
    hash_ids: Option<&'a RawValue>,
}

impl TraceFormat for Bailian {
    fn name(&self) -> &'static str {
        "bailian_trace"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["bailian"]
    }

    fn summary(&self) -> &'static str {
        "JSON lines with chat_id, parent_chat_id and blocks of 16 tokens (Alibaba)"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        json_row::first_object_has(head, "parent_chat_id")
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let mut chats = Chats::default();
        draft.read_lines(input, &mut bad, |draft, line, number| add(draft, &mut chats, line, number))?;
        draft.note_silent();
        draft.finish(&mut bad, options)
    }
}

fn add(draft: &mut Draft, chats: &mut Chats, line: &[u8], number: u64) -> std::result::Result<(), RowProblem> {
    const NAME_IT: &str = "name the chat by a number or a text";
    let keys: Keys<'_> = json_row::object(line)?;
    let chat = json_row::name("chat_id", json_row::required("chat_id", keys.chat_id)?, NAME_IT)?;
    let parent = keys.parent_chat_id.map(|raw| json_row::name("parent_chat_id", raw, NAME_IT)).transpose()?;
    let time = json_row::required("timestamp", keys.timestamp)?;
    let input = json_row::required("input_length", keys.input_length)?;
    let row = Row {
        line: number,
        time: Some(number::time("timestamp", time.get(), TimeUnit::S)?),
        input_tokens: number::tokens("input_length", input.get())?,
        output_tokens: number::known_tokens("output_length", keys.output_length.map(RawValue::get))?,
        kind: keys.r#type.map(|raw| json_row::text("type", raw)).transpose()?,
        session: Some(Cow::Owned(chats.session(&chat, parent.as_deref()).into())),
        ..Row::default()
    };
    draft.add(row, |names, out| match keys.hash_ids {
        Some(raw) => json_row::blocks("hash_ids", raw, names, out),
        None => Ok(()),
    })?;
    chats.continues(&chat, parent.as_deref());
    Ok(())
}

/// The session of each chat that nothing has continued yet.
#[derive(Default)]
struct Chats {
    open: HashMap<Box<str>, Box<str>>,
}

impl Chats {
    /// The session of a chat: its parent's, or a new one.
    fn session<'a>(&'a self, chat: &'a str, parent: Option<&str>) -> &'a str {
        parent.and_then(|p| self.open.get(p)).map_or(chat, |session| session)
    }

    /// Takes note that a chat was read.
    fn continues(&mut self, chat: &str, parent: Option<&str>) {
        let session = parent.and_then(|p| self.open.remove(p)).unwrap_or_else(|| chat.into());
        self.open.insert(chat.into(), session);
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::trace::{ReadOptions, TimeUnit, Trace, TurnPrompt, parse};

    fn parsed(rows: &str, options: &ReadOptions) -> Result<Trace> {
        parse(&mut rows.as_bytes(), "b.jsonl", options)
    }

    const ROWS: &str = "\
        {\"chat_id\": 159, \"parent_chat_id\": -1, \"timestamp\": 61.114, \"input_length\": 40, \"output_length\": 132, \"type\": \"text\", \"turn\": 1, \"hash_ids\": [1089, 1090, 1091]}\n\
        {\"chat_id\": 160, \"parent_chat_id\": 159, \"timestamp\": 62.5, \"input_length\": 70, \"output_length\": 80, \"type\": \"search\", \"turn\": 2, \"hash_ids\": [1089, 1090, 7, 8, 9]}\n\
        {\"chat_id\": 161, \"parent_chat_id\": 159, \"timestamp\": 63, \"input_length\": 41, \"output_length\": 8, \"type\": \"text\", \"turn\": 2, \"hash_ids\": [1089, 1090, 5]}\n\
        {\"chat_id\": 162, \"parent_chat_id\": 160, \"timestamp\": 64, \"input_length\": 90, \"output_length\": 8, \"type\": \"text\", \"turn\": 3}\n\
        {\"chat_id\": 163, \"parent_chat_id\": 12, \"timestamp\": 65, \"input_length\": 9, \"output_length\": 8, \"type\": \"text\", \"turn\": 5}\n";

    #[test]
    fn chats_that_continue_one_another_are_a_session_of_whole_prompts() {
        let trace = parsed(ROWS, &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        let sessions: Vec<_> = trace.entries.iter().map(|e| &*trace.sessions[e.session.unwrap() as usize]).collect();
        assert_eq!(sessions, ["159", "159", "161", "159", "163"], "a second answer to 159 is a session of its own");
        assert_eq!((trace.turn_prompt, trace.block_size), (TurnPrompt::Whole, 16));
        assert_eq!(trace.blocks(&trace.entries[1]), [0, 1, 3, 4, 5]);
        assert_eq!(trace.kinds, ["text", "search"]);
        assert_eq!(trace.entries[1].arrival_ns, Some(1_386_000_000), "seconds, from the first row on");
        assert!(trace.notes[0].starts_with("times are read as seconds (the format's unit"), "{:?}", trace.notes);
    }

    #[test]
    fn the_unit_can_be_forced() {
        let options = ReadOptions { time_unit: TimeUnit::Ms, ..ReadOptions::default() };
        assert_eq!(parsed(ROWS, &options).unwrap().entries[1].arrival_ns, Some(1_386_000));
    }

    #[test]
    fn every_refusal_names_line_field_problem_and_remedy() {
        for (row, message) in [
            (
                "{\"chat_id\": 1, \"parent_chat_id\": -1, \"timest",
                "is cut off: EOF while parsing a string (each line must be one whole JSON object)",
            ),
            ("{\"parent_chat_id\": -1}", "field `chat_id`: is missing (every row needs it)"),
            ("{\"chat_id\": 1, \"input_length\": 5}", "field `timestamp`: is missing (every row needs it)"),
            ("{\"chat_id\": 1, \"timestamp\": 1}", "field `input_length`: is missing (every row needs it)"),
            (
                "{\"chat_id\": 1, \"timestamp\": -1, \"input_length\": 5}",
                "field `timestamp`: -1 is negative (use a number from 0, in seconds unless --time-unit says otherwise)",
            ),
            (
                "{\"chat_id\": 1, \"timestamp\": 1, \"input_length\": -5}",
                "field `input_length`: -5 is negative (use a whole number of tokens from 1 to 16777216)",
            ),
            (
                "{\"chat_id\": 1, \"timestamp\": NaN, \"input_length\": 5}",
                "holds NaN or Infinity, which are not JSON (leave the field out, or write a number)",
            ),
            (
                "{\"chat_id\": [1], \"timestamp\": 1, \"input_length\": 5}",
                "field `chat_id`: [1] is neither a text nor a number (name the chat by a number or a text)",
            ),
            (
                "{\"chat_id\": 1, \"timestamp\": 1, \"input_length\": 5, \"type\": 3}",
                "field `type`: 3 is not a text (write it in quotes)",
            ),
        ] {
            let error = parsed(&format!("{ROWS}{row}\n"), &ReadOptions::default()).unwrap_err();
            assert_eq!(error.to_string(), format!("b.jsonl:6: {message}"), "{row}");
        }
    }
}
