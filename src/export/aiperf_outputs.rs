//! Rows and exchanges → `outputs.json`: what the server said, in the layout of aiperf 0.13.0.
//!
//! Out: an entry for each request of the measurement that was sent, in the order in which they were planned, with the text of its
//! answer, reasoning included, and the metrics that aiperf puts beside it. Nothing is read of a text but where it stands.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};

use super::aiperf_jsonl::metadata;
use crate::error::{Error, Result};
use crate::metrics::{Request, RequestValue, Summary, Unit, for_each_value};
use crate::outcome::Phase;
use crate::record::exchange::Answer;
use crate::record::manifest::Manifest;
use crate::record::reader::Rows;
use crate::record::row::{RequestRow, TokenRow};
use crate::wire::delta::Delta;

pub(super) const FILE_NAME: &str = "outputs.json";
/// The metrics that aiperf puts into the file.
const METRICS: [&str; 6] = [
    "input_sequence_length",
    "output_token_count",
    "output_sequence_length",
    "request_latency",
    "time_to_first_token",
    "inter_token_latency",
];

/// Whether the user wants the file.
pub(super) fn is_wanted(manifest: &Manifest) -> bool {
    manifest.config["export_outputs_json"] == true
}

/// Writes the file.
pub(super) fn write(rows: &dyn Rows, _summary: &Summary, out: &mut dyn Write) -> Result<()> {
    let manifest = rows.manifest();
    out.write_all(b"{\n  \"schema_version\": \"1.0\",\n  \"data\": [").map_err(Error::io(FILE_NAME))?;
    let (mut failure, mut separator) = (None, "");
    rows.for_each_request(&mut |row, tokens| {
        let Some(sent_ns) = row.sent_ns.filter(|_| failure.is_none() && row.phase == Phase::Profiling) else { return };
        let written = rows.exchanges().map(|all| all.of(row.request_id)).transpose().and_then(|exchange| {
            let text = exchange.flatten().and_then(|exchange| text(&exchange.answer));
            entry(manifest, (row, tokens, sent_ns), text, separator, out).map_err(Error::io(FILE_NAME))
        });
        separator = ",";
        failure = written.err();
    })?;
    match failure {
        Some(error) => Err(error),
        None => out.write_all(b"\n  ]\n}\n").map_err(Error::io(FILE_NAME)),
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    session_num: u64,
    conversation_id: &'a str,
    turn_index: u32,
    x_request_id: &'a str,
    request_start_ns: i64,
    request_end_ns: i64,
    metrics: Map<String, Value>,
    response_text: Option<String>,
}

fn entry(
    manifest: &Manifest,
    (row, tokens, sent_ns): (&RequestRow, &[TokenRow], i64),
    response_text: Option<String>,
    separator: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let about = metadata(manifest, row, sent_ns);
    let mut metrics = Map::new();
    for_each_value(&Request::of(manifest, row, tokens), &mut |def, value| {
        if let (RequestValue::One(v), true) = (value, METRICS.contains(&def.name)) {
            let value = if def.unit == Unit::Tokens { Value::from(v as u64) } else { Value::from(v) };
            metrics.insert(def.name.into(), value);
        }
    });
    let entry = Entry {
        session_num: about.session_num,
        conversation_id: &about.conversation_id,
        turn_index: about.turn_index,
        x_request_id: about.x_request_id,
        request_start_ns: about.request_start_ns,
        request_end_ns: about.request_end_ns.unwrap_or(about.request_start_ns),
        metrics,
        response_text,
    };
    write!(out, "{separator}\n    ")?;
    serde_json::to_writer(&mut *out, &entry).map_err(io::Error::from)
}

/// The text of an answer; `None` where it has none.
fn text(answer: &Answer) -> Option<String> {
    let mut escaped = Vec::new();
    let mut add = |data: &[u8]| {
        let content = Delta::read(data).ok().filter(|delta| delta.kind.is_content());
        escaped.extend_from_slice(content.and_then(|delta| delta.text).unwrap_or_default());
    };
    match answer.events {
        Some(_) => answer.events().for_each(|(_, _, data)| add(data)),
        None => add(&answer.text),
    }
    // Pieces may part a character of two escapes, so they are read as one string.
    let quoted = [&b"\""[..], &escaped, b"\""].concat();
    serde_json::from_slice(&quoted).ok().filter(|text: &String| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(events: &[&str]) -> Option<String> {
        let mut answer = Answer::default();
        events.iter().for_each(|data| assert!(answer.push(b"", data.as_bytes(), 0)));
        text(&answer)
    }

    #[test]
    fn the_text_is_that_of_all_events_and_of_a_document() {
        let delta = |text: &str| format!("{{\"choices\":[{{\"index\":0,\"delta\":{{{text}}}}}]}}");
        let (role, first) = (delta("\"role\":\"assistant\",\"content\":\"\""), delta("\"reasoning\":\"hm \\ud83d\""));
        let (second, empty) = (delta("\"content\":\"\\ude00\\n\""), delta(""));
        assert_eq!(said(&[&role, &first, &second, &empty, "[DONE]"]).as_deref(), Some("hm \u{1f600}\n"));
        assert_eq!(said(&[&role, "not JSON"]), None);
        let document = b"{\"choices\":[{\"message\":{\"content\":\"a\"}}]}".to_vec();
        assert_eq!(text(&Answer { events: None, text: document }).as_deref(), Some("a"));
    }
}
