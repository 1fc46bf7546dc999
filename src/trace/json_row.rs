//! Turns one line of JSON into fields, each still as the file wrote it, and those into texts, names and block ids.
//!
//! In: the bytes of a line. Out: whatever object of raw values a format asks for, or what is wrong with the line. Values are
//! first found as raw text and then read field by field: that is what lets an error name its field, and a time keep every
//! digit.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::bad_rows::{RowProblem, shown};
use super::intern::{BlockId, BlockNames};

/// The most prefix blocks of one prompt.
const MAX_BLOCKS_PER_ROW: usize = 1 << 20;

const WHOLE_OBJECT: &str = "each line must be one whole JSON object";

/// The keys of one object per line.
pub(super) fn object<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, RowProblem> {
    // A derived reader would take an array's values for the keys in turn.
    if line.first().is_some_and(|first| b"[\"0123456789-tfn".contains(first)) {
        return Err(RowProblem::row("is not a JSON object", WHOLE_OBJECT));
    }
    serde_json::from_slice(line).map_err(|e| not_an_object(line, &e))
}

/// Whether the first line of a file is an object in which this key, or this text, stands.
pub(super) fn first_object_has(head: &[u8], word: &str) -> bool {
    let line = head.split(|&b| b == b'\n').next().unwrap_or(head);
    line.first() == Some(&b'{') && memchr::memmem::find(line, format!("\"{word}\"").as_bytes()).is_some()
}

/// The fault of a field that a row cannot do without.
pub(super) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, RowProblem> {
    value.ok_or_else(|| RowProblem::field(field, "is missing", "every row needs it"))
}

fn not_an_object(line: &[u8], e: &serde_json::Error) -> RowProblem {
    if std::str::from_utf8(line).is_err() {
        return RowProblem::row("is not UTF-8 text", "a trace is JSON lines; is this another kind of file?");
    }
    let not_numbers = [&b"NaN"[..], b"Infinity"];
    if e.is_syntax() && not_numbers.iter().any(|word| memchr::memmem::find(line, word).is_some()) {
        return RowProblem::row("holds NaN or Infinity, which are not JSON", "leave the field out, or write a number");
    }
    let reason = reason(e);
    let problem = match e.classify() {
        serde_json::error::Category::Eof => format!("is cut off: {reason}"),
        serde_json::error::Category::Data => format!("cannot be used: {reason}"),
        _ => format!("is not JSON: {reason} at column {}", e.column()),
    };
    RowProblem::row(problem, WHOLE_OBJECT)
}

/// The reason alone: the line that serde_json counts is always 1 here. It quotes values of the file, so it is cut and escaped.
pub(super) fn reason(e: &serde_json::Error) -> String {
    let text = e.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    let reason = reason.strip_prefix("invalid type: ").unwrap_or(reason);
    reason.chars().take(160).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A text, borrowed from the line where it has no escapes.
pub(super) fn text<'a>(field: &'static str, raw: &'a RawValue) -> Result<Cow<'a, str>, RowProblem> {
    let fault = || RowProblem::field(field, format!("{} is not a text", shown(raw.get())), "write it in quotes");
    match raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str(raw.get()).map(Cow::Owned).map_err(|_| fault()),
        None => Err(fault()),
    }
}

/// A name: a text, or a number as it is written.
pub(super) fn name<'a>(
    field: &'static str,
    raw: &'a RawValue,
    remedy: &'static str,
) -> Result<Cow<'a, str>, RowProblem> {
    match raw.get().as_bytes().first() {
        Some(b'"') => text(field, raw),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(raw.get())),
        _ => {
            let problem = format!("{} is neither a text nor a number", shown(raw.get()));
            Err(RowProblem::field(field, problem, remedy))
        }
    }
}

/// Reads a list of block ids straight into numbers, which are appended to `out`.
pub(super) fn blocks(
    field: &'static str,
    raw: &RawValue,
    names: &mut BlockNames,
    out: &mut Vec<u32>,
) -> Result<(), RowProblem> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    BlockList { names, out }.deserialize(&mut reader).map_err(|e| {
        let remedy = format!("{field} is a list of integers from 0 or of texts, at most {MAX_BLOCKS_PER_ROW} of them");
        RowProblem::field(field, reason(&e), remedy)
    })
}

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
            let Some(number) = list.next_element_seed(OneBlock { names })? else {
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
struct OneBlock<'a> {
    names: &'a mut BlockNames,
}

impl<'de> DeserializeSeed<'de> for OneBlock<'_> {
    type Value = u32;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<u32, D::Error> {
        reader.deserialize_any(self)
    }
}

impl Visitor<'_> for OneBlock<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer from 0 or a text")
    }

    fn visit_u64<E: de::Error>(self, id: u64) -> Result<u32, E> {
        Ok(self.names.number(&BlockId::Integer(id)))
    }

    fn visit_str<E: de::Error>(self, id: &str) -> Result<u32, E> {
        Ok(self.names.number(&BlockId::Text(id)))
    }
}
