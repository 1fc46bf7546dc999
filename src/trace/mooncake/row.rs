//! Turns one line into one checked [`Row`], its prefix blocks still as the file wrote them.
//!
//! In: the bytes of a line. Out: a row whose numbers are in range, or what is wrong with which field.
//! Not here: what only the whole file can tell (the unit of time, the block size, whether a first turn has a time).

use serde_json::value::RawValue;

use crate::trace::bad_rows::RowProblem;
use crate::trace::chat_body::{self, Fields, LeftOut};
use crate::trace::row::Row;
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
    model: Option<&'a RawValue>,
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

/// Reads a line; parameters of whole bodies that a trace does not carry are counted in `left`.
pub(super) fn parse<'a>(line: &'a [u8], number: u64, left: &mut LeftOut) -> Result<Parsed<'a>, RowProblem> {
    let keys: Keys<'_> = json_row::object(line)?;
    refuse_other_kinds(&keys)?;
    let mut row = match keys.payload {
        Some(raw) => payload(raw, keys.session_id.is_some(), left)?,
        None => Row { content: content(&keys)?, ..Row::default() },
    };
    let input = tokens([("input_length", keys.input_length), ("input_tokens", keys.input_tokens)])?;
    if input.is_none() && row.content.is_none() {
        let problem = "has neither input_length nor text_input";
        return Err(RowProblem::row(problem, "give the prompt's length in tokens, or its text"));
    }
    row.line = number;
    row.time = present([("timestamp", keys.timestamp), ("created_time", keys.created_time)])
        .map(|(field, raw)| number::time(field, raw.get(), TimeUnit::Ms))
        .transpose()?;
    row.delay_ns = present([("delay", keys.delay), ("delay_ms", keys.delay_ms)])
        .map(|(field, raw)| number::delay_ns(field, raw.get(), TimeUnit::Ms))
        .transpose()?;
    row.input_tokens = input.unwrap_or(0);
    let output = tokens([("output_length", keys.output_length), ("output_tokens", keys.output_tokens)])?;
    row.output_tokens = output.or(row.output_tokens);
    row.session =
        keys.session_id.map(|raw| json_row::name("session_id", raw, "name the session by a text")).transpose()?;
    // Other tools write all kinds of things under this name.
    row.model = row.model.or_else(|| json_row::text("model", keys.model?).ok());
    Ok(Parsed { row, hash_ids: keys.hash_ids, has_extra: keys.extra.is_some() })
}

/// The literal prompt of a row that has one.
fn content(keys: &Keys<'_>) -> Result<Option<Content>, RowProblem> {
    let text = keys.text_input.map(|raw| json_row::text("text_input", raw)).transpose()?;
    if text.as_deref() == Some("") {
        return Err(RowProblem::field("text_input", "is empty", "give the prompt's text, or its input_length"));
    }
    match (text, keys.messages) {
        (Some(_), Some(_)) => {
            Err(RowProblem::field("messages", "stands beside text_input", "give the prompt as one of them"))
        }
        (Some(text), None) => Ok(Some(Content::Text(text.into()))),
        (None, Some(raw)) => chat_body::verbatim("messages", raw).map(Some),
        (None, None) => Ok(None),
    }
}

/// What a trace keeps of a whole request body.
fn payload<'a>(raw: &'a RawValue, in_session: bool, left: &mut LeftOut) -> Result<Row<'a>, RowProblem> {
    let fault = |problem: &str, remedy: &'static str| RowProblem::field("payload", problem, remedy);
    let body: Fields<'a> = match raw.get().as_bytes().first() {
        Some(b'{') => serde_json::from_str(raw.get()).map_err(|e| fault(&json_row::reason(&e), "give an object"))?,
        _ => return Err(fault("is no object", "give the body of a request")),
    };
    if let Some(tools) = ["tools", "functions"].into_iter().find(|name| body.get(name).is_some()) {
        let problem = format!("holds {tools}, which would be part of the prompt and are not sent");
        return Err(fault(&problem, "take them out, or give the prompt as messages"));
    }
    let content = match (body.get("messages"), body.get("prompt")) {
        (Some(messages), _) => chat_body::verbatim("payload", messages)?,
        (None, Some(_)) if in_session => {
            return Err(fault("holds a prompt where a session's turn needs messages", "give it messages"));
        }
        (None, Some(prompt)) => chat_body::text_prompt(prompt)?,
        (None, None) => return Err(fault("has neither messages nor prompt", "give the prompt as one of them")),
    };
    left.count(&body);
    Ok(Row {
        content: Some(content),
        output_tokens: body.output_limit()?,
        model: body.get("model").map(|raw| json_row::text("payload", raw)).transpose()?,
        ..Row::default()
    })
}

fn present<'a>(names: [(&'static str, Option<&'a RawValue>); 2]) -> Option<(&'static str, &'a RawValue)> {
    names.into_iter().find_map(|(field, raw)| Some((field, raw?)))
}

fn tokens(names: [(&'static str, Option<&RawValue>); 2]) -> Result<Option<u32>, RowProblem> {
    present(names).map(|(field, raw)| number::tokens(field, raw.get())).transpose()
}

fn refuse_other_kinds(keys: &Keys<'_>) -> Result<(), RowProblem> {
    const ROWS: &str = "give rows of input_length, text_input, messages or payload";
    let kinds = [
        ("tools", keys.tools, "tool definitions, which would be part of the prompt and are not sent", "take them out"),
        ("turns", keys.turns, "several turns in one row", "give each turn a row, all with the same session_id"),
        ("dependencies", keys.dependencies, "a graph of requests without its header", ROWS),
        ("schema", keys.schema, "the header of another format", ROWS),
    ];
    match kinds.into_iter().find(|(_, raw, ..)| raw.is_some()) {
        Some((field, _, what, remedy)) => Err(RowProblem::field(field, format!("holds {what}"), remedy)),
        None => Ok(()),
    }
}
