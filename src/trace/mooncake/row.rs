//! Turns one line into one checked [`Row`], its prefix blocks still as the file wrote them.
//!
//! In: the bytes of a line. Out: a row whose numbers are in range, or what is wrong with which field.
//! Not here: what only the whole file can tell (the unit of time, the block size, whether a first turn has a time).

use serde_json::value::RawValue;

use crate::trace::bad_rows::RowProblem;
use crate::trace::draft::Row;
use crate::trace::time_axis::TimeUnit;
use crate::trace::{Content, json_row, number};

/// The keys that mean something. Everything else is passed over.
#[derive(serde::Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    created_time: Option<&'a RawValue>,
    input_length: Option<&'a RawValue>,
    input_tokens: Option<&'a RawValue>,
    text_input: Option<&'a RawValue>,
    output_length: Option<&'a RawValue>,
    output_tokens: Option<&'a RawValue>,
    hash_ids: Option<&'a RawValue>,
    session_id: Option<&'a RawValue>,
    delay: Option<&'a RawValue>,
    delay_ms: Option<&'a RawValue>,
    extra: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    tools: Option<&'a RawValue>,
    turns: Option<&'a RawValue>,
    dependencies: Option<&'a RawValue>,
    schema: Option<&'a RawValue>,
}

/// What one line says.
pub(super) struct Parsed<'a> {
    pub(super) row: Row<'a>,
    pub(super) hash_ids: Option<&'a RawValue>,
    /// Whether it holds parameters for the request body, which a trace does not carry.
    pub(super) has_extra: bool,
}

pub(super) fn parse(line: &[u8], number: u64) -> Result<Parsed<'_>, RowProblem> {
    let keys: Keys<'_> = json_row::object(line)?;
    refuse_other_kinds(&keys)?;
    let input = tokens([("input_length", keys.input_length), ("input_tokens", keys.input_tokens)])?;
    let text = keys.text_input.map(|raw| json_row::text("text_input", raw)).transpose()?;
    if text.as_deref() == Some("") {
        return Err(RowProblem::field("text_input", "is empty", "give the prompt's text, or its input_length"));
    }
    if input.is_none() && text.is_none() {
        let problem = "has neither input_length nor text_input";
        return Err(RowProblem::row(problem, "give the prompt's length in tokens, or its text"));
    }
    let row = Row {
        line: number,
        time: present([("timestamp", keys.timestamp), ("created_time", keys.created_time)])
            .map(|(field, raw)| number::time(field, raw.get(), TimeUnit::Ms))
            .transpose()?,
        delay_ns: present([("delay", keys.delay), ("delay_ms", keys.delay_ms)])
            .map(|(field, raw)| number::delay_ns(field, raw.get(), TimeUnit::Ms))
            .transpose()?,
        input_tokens: input.unwrap_or(0),
        output_tokens: tokens([("output_length", keys.output_length), ("output_tokens", keys.output_tokens)])?,
        content: text.map(|t| Content::Text(t.into())),
        session: keys
            .session_id
            .map(|raw| json_row::name("session_id", raw, "name the session by a text"))
            .transpose()?,
        ..Row::default()
    };
    Ok(Parsed { row, hash_ids: keys.hash_ids, has_extra: keys.extra.is_some() })
}

fn present<'a>(names: [(&'static str, Option<&'a RawValue>); 2]) -> Option<(&'static str, &'a RawValue)> {
    names.into_iter().find_map(|(field, raw)| Some((field, raw?)))
}

fn tokens(names: [(&'static str, Option<&RawValue>); 2]) -> Result<Option<u32>, RowProblem> {
    present(names).map(|(field, raw)| number::tokens(field, raw.get())).transpose()
}

fn refuse_other_kinds(keys: &Keys<'_>) -> Result<(), RowProblem> {
    let kinds = [
        ("messages", keys.messages, "chat messages"),
        ("payload", keys.payload, "a whole request body"),
        ("tools", keys.tools, "tool definitions"),
        ("turns", keys.turns, "several turns in one row"),
        ("dependencies", keys.dependencies, "a graph of requests"),
        ("schema", keys.schema, "the header of another format"),
    ];
    match kinds.into_iter().find(|(_, raw, _)| raw.is_some()) {
        Some((field, _, what)) => {
            let problem = format!("holds {what}; this kind of row is not supported yet");
            Err(RowProblem::field(field, problem, "give rows of input_length or text_input"))
        }
        None => Ok(()),
    }
}
