//! Turns Dynamo's request traces into traces: every request that ended is one entry.
//!
//! In: events `{"schema": "dynamo.request.trace.v1", "event_type", "event_time_unix_ms", "agent_context", "request"}`, bare or
//! wrapped as `{"timestamp", "event": {…}}`. Of `request_end` events: `request_received_ms` (or the event's time less
//! `total_time_ms`), `model`, `output_tokens`, and of `replay` the length, the block size and the sequence hashes.
//! Out: a [`Trace`] with absolute times; `agent_context.session_id` is the session, whose later turns follow the end of the
//! turn before after the recorded pause. Invariants: prompts are whole; other events are counted and left out.
//! Not here: which request of a parent session began a child session, which these events tell only in part.

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

/// Dynamo's request trace, version 1.
pub struct Dynamo;

const DIALECT: Dialect = Dialect {
    unit: UnitRule::Always(TimeUnit::Ms),
    blocks: "input_sequence_hashes",
    turn_prompt: TurnPrompt::Whole,
    ..Dialect::plain("request_received_ms", "input_length")
};

#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    event: Option<Event<'a>>,
}

#[derive(serde::Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    event_time_unix_ms: Option<&'a RawValue>,
    agent_context: Option<Context<'a>>,
    request: Option<Request<'a>>,
}

#[derive(serde::Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    session_id: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    input_tokens: Option<&'a RawValue>,
    output_tokens: Option<&'a RawValue>,
    request_received_ms: Option<&'a RawValue>,
    total_time_ms: Option<&'a RawValue>,
    replay: Option<Replay<'a>>,
}

#[derive(serde::Deserialize)]
struct Replay<'a> {
    #[serde(borrow)]
    trace_block_size: Option<&'a RawValue>,
    input_length: Option<&'a RawValue>,
    input_sequence_hashes: Option<&'a RawValue>,
}

impl TraceFormat for Dynamo {
    fn name(&self) -> &'static str {
        "dynamo_request_trace"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["dynamo", "dynamo_trace"]
    }

    fn summary(&self) -> &'static str {
        "JSON lines of dynamo.request.trace.v1 events, bare or wrapped"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        json_row::first_object_has(head, "dynamo.request.trace.v1") || json_row::first_object_has(head, "event_type")
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let (mut ended, mut others) = (HashMap::new(), 0_u64);
        draft.read_lines(input, &mut bad, |draft, line, number| {
            let wrapped: Line<'_> = json_row::object(line)?;
            let event = match wrapped.event {
                Some(event) => event,
                None => json_row::object(line)?,
            };
            let kind = json_row::text("event_type", json_row::required("event_type", event.event_type)?)?;
            if kind == "request_end" {
                return add(draft, &mut ended, &event, number);
            }
            others += 1;
            Ok(())
        })?;
        if others > 0 {
            draft.note(format!("{others} events other than request_end are not used"));
        }
        draft.note_silent();
        draft.finish(&mut bad, options)
    }
}

/// Takes one request in; `ended` holds the latest end of each session's requests.
fn add(
    draft: &mut Draft,
    ended: &mut HashMap<Box<str>, i128>,
    event: &Event<'_>,
    line: u64,
) -> std::result::Result<(), RowProblem> {
    let request = json_row::required("request", event.request.as_ref())?;
    let ms = |field, raw: Option<&RawValue>| raw.map(|r| number::time(field, r.get(), TimeUnit::Ms)).transpose();
    let received = ms("request_received_ms", request.request_received_ms)?;
    let end = ms("event_time_unix_ms", event.event_time_unix_ms)?;
    let lasted = ms("total_time_ms", request.total_time_ms)?;
    let time = received.or_else(|| Some(end? - lasted?));
    let end = time.and_then(|t| lasted.map(|l| t + l)).or(end);
    let replay = request.replay.as_ref();
    let (field, input) = match replay.and_then(|r| r.input_length) {
        Some(raw) => ("input_length", Some(raw)),
        None => ("input_tokens", request.input_tokens),
    };
    if let Some(raw) = replay.and_then(|r| r.trace_block_size) {
        let stated = draft.state_block_size(number::tokens("trace_block_size", raw.get())?);
        stated.map_err(|p| RowProblem::field("trace_block_size", p, "split the file, one block size in each"))?;
    }
    let session = event.agent_context.as_ref().and_then(|c| c.session_id);
    let session = session.map(|raw| json_row::name("session_id", raw, "name the session by a text")).transpose()?;
    let before = session.as_deref().and_then(|name| ended.get(name).copied());
    let row = Row {
        line,
        time: Some(json_row::required("request_received_ms", time)?),
        delay_ns: before.zip(time).map(|(before, time)| pause_ns(time - before)),
        input_tokens: number::tokens(field, json_row::required(field, input)?.get())?,
        output_tokens: number::known_tokens("output_tokens", request.output_tokens.map(RawValue::get))?,
        model: request.model.map(|raw| json_row::text("model", raw)).transpose()?,
        session: session.clone(),
        ..Row::default()
    };
    draft.add(row, |names, out| match replay.and_then(|r| r.input_sequence_hashes) {
        Some(raw) => json_row::blocks("input_sequence_hashes", raw, names, out),
        None => Ok(()),
    })?;
    if let Some((name, end)) = session.zip(end) {
        let latest = ended.entry(name.into()).or_insert(end);
        *latest = end.max(*latest);
    }
    Ok(())
}

/// Nanoseconds of a pause in billionths of a millisecond; none where the turns overlapped.
fn pause_ns(billionths: i128) -> i64 {
    i64::try_from(TimeUnit::Ms.to_ns(billionths.max(0))).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::trace::{ReadOptions, TimeOrigin, Trace, TurnPrompt, parse};

    fn parsed(rows: &str, options: &ReadOptions) -> Result<Trace> {
        parse(&mut rows.as_bytes(), "d.jsonl", options)
    }

    fn end(session: &str, received_ms: u64, hashes: &str) -> String {
        format!(
            "{{\"schema\":\"dynamo.request.trace.v1\",\"event_type\":\"request_end\",\"event_time_unix_ms\":{},\"agent_context\":{{\"session_id\":\"{session}\"}},\"request\":{{\"request_id\":\"r{received_ms}\",\"model\":\"m\",\"output_tokens\":2,\"request_received_ms\":{received_ms},\"total_time_ms\":10,\"replay\":{{\"trace_block_size\":4,\"input_length\":8,\"input_sequence_hashes\":[{hashes}]}}}}}}",
            received_ms + 10
        )
    }

    const EPOCH_MS: u64 = 1_760_000_000_000;

    #[test]
    fn requests_that_ended_are_entries_bare_or_wrapped() {
        let rows = format!(
            "{{\"event_type\":\"request_payload\",\"request_id\":\"x\"}}\n{}\n{{\"timestamp\":5,\"event\":{}}}\n{}\n",
            end("a", EPOCH_MS, "18446744073709551615,7"),
            end("a", EPOCH_MS + 25, "18446744073709551615,8"),
            "{\"event_type\":\"tool_end\",\"tool\":{}}",
        );
        let trace = parsed(&rows, &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        let [a, b] = &trace.entries[..] else { panic!("{:?}", trace.entries) };
        assert_eq!((a.arrival_ns, b.arrival_ns, b.delay_ns), (Some(0), Some(25_000_000), Some(15_000_000)));
        assert_eq!((a.input_tokens, a.output_tokens, trace.block_size), (8, Some(2), 4));
        assert_eq!((&trace.block_ids[..], &trace.sessions[..]), (&[0, 1, 0, 2][..], &["a".to_owned()][..]));
        assert_eq!(trace.turn_prompt, TurnPrompt::Whole);
        assert!(trace.notes.contains(&"2 events other than request_end are not used".to_owned()), "{:?}", trace.notes);
        let epoch = ReadOptions { time_origin: TimeOrigin::Epoch, ..ReadOptions::default() };
        assert_eq!(parsed(&rows, &epoch).unwrap().entries[0].arrival_ns, Some(EPOCH_MS as i64 * 1_000_000));
    }

    #[test]
    fn without_replay_data_the_server_s_counts_are_the_lengths() {
        let row = "{\"event_type\":\"request_end\",\"event_time_unix_ms\":1010,\"request\":{\"input_tokens\":30,\"output_tokens\":0,\"total_time_ms\":10}}";
        let trace = parsed(row, &ReadOptions::default()).unwrap();
        assert_eq!((trace.entries[0].input_tokens, trace.entries[0].output_tokens), (30, None));
    }

    #[test]
    fn every_refusal_names_line_field_problem_and_remedy() {
        let good = end("a", EPOCH_MS, "1,2");
        for (row, message) in [
            (
                "{\"schema\":\"dynamo.request.trace.v1\",\"event_ty".to_owned(),
                "is cut off: EOF while parsing a string (each line must be one whole JSON object)",
            ),
            ("{}".into(), "field `event_type`: is missing (every row needs it)"),
            ("{\"event_type\":\"request_end\"}".into(), "field `request`: is missing (every row needs it)"),
            (
                "{\"event_type\":\"request_end\",\"request\":{\"input_tokens\":5}}".into(),
                "field `request_received_ms`: is missing (every row needs it)",
            ),
            (
                "{\"event_type\":\"request_end\",\"request\":{\"request_received_ms\":5}}".into(),
                "field `input_tokens`: is missing (every row needs it)",
            ),
            (
                good.replace("\"input_length\":8", "\"input_length\":-8"),
                "field `input_length`: -8 is negative (use a whole number of tokens from 1 to 16777216)",
            ),
            (
                good.replace("[1,2]", "[1,\"x\",null]"),
                "field `input_sequence_hashes`: null, expected an integer from 0 or a text (input_sequence_hashes is a list of integers from 0 or of texts, at most 1048576 of them)",
            ),
            (
                good.replace("\"trace_block_size\":4", "\"trace_block_size\":8"),
                "field `trace_block_size`: is 8, where earlier rows have 4 (split the file, one block size in each)",
            ),
            (
                good.replace("\"output_tokens\":2", "\"output_tokens\":NaN"),
                "holds NaN or Infinity, which are not JSON (leave the field out, or write a number)",
            ),
        ] {
            let error = parsed(&format!("{good}\n{row}\n"), &ReadOptions::default()).unwrap_err();
            assert_eq!(error.to_string(), format!("d.jsonl:2: {message}"), "{row}");
        }
    }
}
