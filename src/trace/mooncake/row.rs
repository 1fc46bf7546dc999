//! Turns one line into one checked [`Row`].
//!
//! In: the bytes of a line. Out: a row whose numbers are in range, or what is wrong with which field. The values are first
//! found as raw text and then read field by field: that is what lets an error name its field, and a time keep every digit.
//! Not here: what only the whole file can tell (the unit of time, the block size, whether a first turn has a time).

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::time::MILLISECOND_NS;
use crate::trace::bad_rows::{RowProblem, shown};
use crate::trace::decimal::{self, NotDecimal, ONE};
use crate::trace::intern::BlockNames;

/// The longest prompt or answer that is believed, in tokens.
const MAX_TOKENS: i128 = 16 << 20;
/// The most prefix blocks of one prompt.
const MAX_BLOCKS_PER_ROW: usize = 1 << 20;
/// The longest pause between two turns that is believed: a year, in milliseconds.
const MAX_DELAY_MS: i128 = 366 * 86_400_000;

const WHOLE_OBJECT: &str = "each line must be one whole JSON object";

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

/// One row whose values are in range.
pub(super) struct Row<'a> {
    /// Its time in billionths of the file's unit.
    pub(super) time: Option<i128>,
    pub(super) delay_ns: Option<i64>,
    /// 0 where only a text is given.
    pub(super) input_tokens: u32,
    pub(super) output_tokens: Option<u32>,
    pub(super) text: Option<Box<str>>,
    pub(super) session: Option<Cow<'a, str>>,
    hash_ids: Option<&'a RawValue>,
    /// Whether it holds parameters for the request body, which a trace does not carry.
    pub(super) has_extra: bool,
}

impl<'a> Row<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Row<'a>, RowProblem> {
        // A derived reader would take an array's values for the keys in turn.
        if line.first().is_some_and(|first| b"[\"0123456789-tfn".contains(first)) {
            return Err(RowProblem::row("is not a JSON object", WHOLE_OBJECT));
        }
        let keys: Keys<'a> = serde_json::from_slice(line).map_err(|e| not_an_object(line, &e))?;
        refuse_other_kinds(&keys)?;
        let input = tokens([("input_length", keys.input_length), ("input_tokens", keys.input_tokens)])?;
        let text = keys.text_input.map(|raw| text("text_input", raw)).transpose()?;
        if text.as_deref() == Some("") {
            return Err(RowProblem::field("text_input", "is empty", "give the prompt's text, or its input_length"));
        }
        if input.is_none() && text.is_none() {
            let problem = "has neither input_length nor text_input";
            return Err(RowProblem::row(problem, "give the prompt's length in tokens, or its text"));
        }
        Ok(Row {
            time: present([("timestamp", keys.timestamp), ("created_time", keys.created_time)])
                .map(|(field, raw)| time(field, raw))
                .transpose()?,
            delay_ns: present([("delay", keys.delay), ("delay_ms", keys.delay_ms)])
                .map(|(field, raw)| delay(field, raw))
                .transpose()?,
            input_tokens: input.unwrap_or(0),
            output_tokens: tokens([("output_length", keys.output_length), ("output_tokens", keys.output_tokens)])?,
            text: text.map(|t| t.into_owned().into_boxed_str()),
            session: keys.session_id.map(session).transpose()?,
            hash_ids: keys.hash_ids,
            has_extra: keys.extra.is_some(),
        })
    }

    /// Appends the numbers of its prefix blocks.
    pub(super) fn blocks(&self, names: &mut BlockNames, out: &mut Vec<u32>) -> Result<(), RowProblem> {
        let Some(raw) = self.hash_ids else {
            return Ok(());
        };
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        BlockList { names, out }.deserialize(&mut reader).map_err(|e| {
            let remedy = "hash_ids is a list of integers from 0 or of texts, at most 1048576 of them";
            RowProblem::field("hash_ids", without_place(&e), remedy)
        })
    }
}

fn present<'a>(names: [(&'static str, Option<&'a RawValue>); 2]) -> Option<(&'static str, &'a RawValue)> {
    names.into_iter().find_map(|(field, raw)| Some((field, raw?)))
}

fn not_an_object(line: &[u8], e: &serde_json::Error) -> RowProblem {
    if std::str::from_utf8(line).is_err() {
        return RowProblem::row("is not UTF-8 text", "a trace is JSON lines; is this another kind of file?");
    }
    let not_numbers = [&b"NaN"[..], b"Infinity"];
    if e.is_syntax() && not_numbers.iter().any(|word| memchr::memmem::find(line, word).is_some()) {
        return RowProblem::row("holds NaN or Infinity, which are not JSON", "leave the field out, or write a number");
    }
    let reason = without_place(e);
    let problem = match e.classify() {
        serde_json::error::Category::Eof => format!("is cut off: {reason}"),
        serde_json::error::Category::Data => format!("cannot be used: {reason}"),
        _ => format!("is not JSON: {reason} at column {}", e.column()),
    };
    RowProblem::row(problem, WHOLE_OBJECT)
}

/// The reason alone: the line that serde_json counts is always 1 here.
fn without_place(e: &serde_json::Error) -> String {
    let text = e.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    shown_reason(reason.strip_prefix("invalid type: ").unwrap_or(reason))
}

/// serde_json quotes values of the file in its reasons.
fn shown_reason(reason: &str) -> String {
    reason.chars().take(160).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
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

/// A count of tokens: from 1, whole, and of a size that can be.
fn tokens(names: [(&'static str, Option<&RawValue>); 2]) -> Result<Option<u32>, RowProblem> {
    const REMEDY: &str = "use a whole number of tokens from 1 to 16777216";
    let Some((field, raw)) = present(names) else {
        return Ok(None);
    };
    let fault = |why: &str| RowProblem::field(field, format!("{} {why}", shown(raw.get())), REMEDY);
    match decimal::parse(raw.get()) {
        Err(NotDecimal::Syntax) => Err(fault("is not a number")),
        Ok(value) if value < 0 => Err(fault("is negative")),
        Ok(0) => Err(fault("is no length")),
        Ok(value) if value % ONE != 0 => Err(fault("is not whole")),
        Ok(value) if value / ONE <= MAX_TOKENS => Ok(Some((value / ONE) as u32)),
        Ok(_) | Err(NotDecimal::TooLarge) => Err(fault("is too large")),
    }
}

/// A time: a number, or the text of one (nanoseconds since 1970 are often written so, to keep their digits).
fn time(field: &'static str, raw: &RawValue) -> Result<i128, RowProblem> {
    const REMEDY: &str = "use a number from 0, in milliseconds unless --time-unit says otherwise";
    let fault = |why: &str| RowProblem::field(field, format!("{} {why}", shown(raw.get())), REMEDY);
    let quoted = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match decimal::parse(quoted.unwrap_or(raw.get()).trim()) {
        Ok(value) if value < 0 => Err(fault("is negative")),
        Ok(value) => Ok(value),
        Err(NotDecimal::TooLarge) => Err(fault("is no time")),
        Err(NotDecimal::Syntax) => Err(fault("is not a number")),
    }
}

fn delay(field: &'static str, raw: &RawValue) -> Result<i64, RowProblem> {
    let fault = |why: &str| {
        RowProblem::field(field, format!("{} {why}", shown(raw.get())), "use milliseconds from 0 to one year")
    };
    match decimal::parse(raw.get()) {
        Err(NotDecimal::Syntax) => Err(fault("is not a number")),
        Ok(value) if value < 0 => Err(fault("is negative")),
        Ok(value) if value <= MAX_DELAY_MS * ONE => Ok((value / (ONE / i128::from(MILLISECOND_NS))) as i64),
        Ok(_) | Err(NotDecimal::TooLarge) => Err(fault("is too long")),
    }
}

fn text<'a>(field: &'static str, raw: &'a RawValue) -> Result<Cow<'a, str>, RowProblem> {
    let fault = || RowProblem::field(field, format!("{} is not a text", shown(raw.get())), "write it in quotes");
    // A text without escapes is borrowed from the line.
    match raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str(raw.get()).map(Cow::Owned).map_err(|_| fault()),
        None => Err(fault()),
    }
}

/// A session's name: a text, or a number as it is written.
fn session(raw: &RawValue) -> Result<Cow<'_, str>, RowProblem> {
    match raw.get().as_bytes().first() {
        Some(b'"') => text("session_id", raw),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(raw.get())),
        _ => {
            let problem = format!("{} is neither a text nor a number", shown(raw.get()));
            Err(RowProblem::field("session_id", problem, "name the session by a text"))
        }
    }
}

/// Reads a list of ids straight into numbers.
struct BlockList<'a> {
    names: &'a mut BlockNames,
    out: &'a mut Vec<u32>,
}

impl<'de> DeserializeSeed<'de> for BlockList<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for BlockList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let BlockList { names, out } = self;
        for count in 0.. {
            let Some(number) = list.next_element_seed(BlockId { names })? else {
                break;
            };
            if count >= MAX_BLOCKS_PER_ROW {
                return Err(de::Error::custom("has too many ids"));
            }
            out.push(number);
        }
        Ok(())
    }
}

/// Reads one id.
struct BlockId<'a> {
    names: &'a mut BlockNames,
}

impl<'de> DeserializeSeed<'de> for BlockId<'_> {
    type Value = u32;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<u32, D::Error> {
        reader.deserialize_any(self)
    }
}

impl Visitor<'_> for BlockId<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer from 0 or a text")
    }

    fn visit_u64<E: de::Error>(self, id: u64) -> Result<u32, E> {
        Ok(self.names.integer(id))
    }

    fn visit_str<E: de::Error>(self, id: &str) -> Result<u32, E> {
        Ok(self.names.text(id))
    }
}
