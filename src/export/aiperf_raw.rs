//! Rows and exchanges → `profile_export_raw.jsonl`: what was sent and received, in the layout of aiperf 0.13.0.
//!
//! Out: one compact JSON line for each request that was sent, warm-up included, in the order in which the requests ended: its body
//! as it was sent, and each event of its answer with the time at which it was seen. Times are the run's clock, as `start_perf_ns`.
//! Invariants: a header that bears a secret, or a session, has `<redacted>` as its value, as in aiperf's. A request of which no exchange was kept
//! has no payload.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::aiperf_jsonl::{Metadata, metadata, write_lines};
use super::aiperf_words::ErrorDetails;
use crate::error::{Error, Result};
use crate::metrics::Summary;
use crate::outcome::OutcomeClass;
use crate::record::exchange::{Answer, Exchange};
use crate::record::manifest::Manifest;
use crate::record::reader::Rows;
use crate::record::row::RequestRow;

pub(super) const FILE_NAME: &str = "profile_export_raw.jsonl";
/// What stands for a value that is nobody's business; aiperf's word.
const REDACTED: &str = "<redacted>";
/// Names of headers with one of these in them bear a secret or name a session; aiperf's rule.
const SENSITIVE: [&str; 10] =
    ["auth", "token", "secret", "passw", "credential", "cookie", "key", "session", "signature", "csrf"];

/// Writes the file.
pub(super) fn write(rows: &dyn Rows, _summary: &Summary, out: &mut dyn Write) -> Result<()> {
    let manifest = rows.manifest();
    write_lines(rows, out, FILE_NAME, &mut |row, _tokens, sent_ns| {
        let exchange = rows.exchanges().map(|all| all.of(row.request_id)).transpose()?.flatten();
        render(manifest, row, sent_ns, exchange.as_ref()).map_err(Error::io(FILE_NAME))
    })
}

fn render(manifest: &Manifest, row: &RequestRow, sent_ns: i64, exchange: Option<&Exchange>) -> io::Result<Vec<u8>> {
    let end_ns = row.end_ns.unwrap_or(sent_ns);
    let record = Record {
        metadata: metadata(manifest, row, sent_ns),
        start_perf_ns: sent_ns,
        payload: exchange.map(|exchange| serde_json::from_slice(&exchange.body)).transpose()?,
        request_headers: headers(manifest, row),
        status: row.http_status,
        responses: exchange.map_or_else(Vec::new, |exchange| responses(&exchange.answer, end_ns)),
        error: (row.outcome.class() != OutcomeClass::Completed)
            .then(|| ErrorDetails::new(row.outcome, row.http_status, row.error.as_deref())),
    };
    let mut line = serde_json::to_vec(&record)?;
    line.push(b'\n');
    Ok(line)
}

#[derive(Serialize)]
struct Record<'a> {
    metadata: Metadata<'a>,
    start_perf_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    request_headers: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    responses: Vec<Response<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetails<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Response<'a> {
    Event { perf_ns: i64, packets: Vec<Packet<'a>> },
    Document { perf_ns: i64, text: Cow<'a, str> },
}

/// One field of an event.
#[derive(Serialize)]
struct Packet<'a> {
    name: &'static str,
    value: Cow<'a, str>,
}

fn responses(answer: &Answer, end_ns: i64) -> Vec<Response<'_>> {
    if answer.events.is_none() {
        let document = Response::Document { perf_ns: end_ns, text: String::from_utf8_lossy(&answer.text) };
        return if answer.text.is_empty() { Vec::new() } else { vec![document] };
    }
    let packet = |name, value| Packet { name, value: String::from_utf8_lossy(value) };
    let event = |(perf_ns, name, data): (i64, _, _)| {
        let named = Some(name).filter(|name: &&[u8]| !name.is_empty()).map(|name| packet("event", name));
        Response::Event { perf_ns, packets: named.into_iter().chain([packet("data", data)]).collect() }
    };
    answer.events().map(event).collect()
}

/// The headers of a request, without those that every client of HTTP sends.
fn headers(manifest: &Manifest, row: &RequestRow) -> Map<String, Value> {
    let config = &manifest.config;
    let session = row.session_id.as_deref().unwrap_or(&row.x_request_id);
    let accept = if manifest.streaming { "text/event-stream" } else { "application/json" };
    let agent = format!("loadline/{}", manifest.loadline_version);
    let mut headers: Vec<(&str, &str)> = vec![
        ("User-Agent", &agent),
        ("Content-Type", "application/json"),
        ("Accept", accept),
        ("X-Request-ID", &row.x_request_id),
        (config["session_header"].as_str().unwrap_or("x-correlation-id"), session),
        ("X-Session-Affinity", session),
    ];
    if config["api_key"].is_string() {
        headers.push((if manifest.endpoint_type == "messages" { "x-api-key" } else { "Authorization" }, REDACTED));
    }
    let users = config["headers"].as_object();
    headers.extend(users.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
    let shown = |(name, value): (&str, &str)| {
        let lower = name.to_ascii_lowercase();
        let value = if SENSITIVE.iter().any(|part| lower.contains(part)) { REDACTED } else { value };
        (name.to_owned(), Value::from(value))
    };
    headers.into_iter().map(shown).collect()
}
