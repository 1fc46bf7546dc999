//! Rows → `profile_export.jsonl`: one line for each request that was sent, in the layout of aiperf 0.13.0.
//!
//! Out: compact JSON lines, warm-up included, in the order in which the requests ended.
//! Invariants: at most [`BUFFER_BYTES`] of lines wait to be put in order; a line that would have to go before one that
//! left the buffer already goes after it. Not here: requests that were never sent, of which aiperf has no record.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use super::aiperf_words::{ErrorDetails, is_of_the_run};
use super::decimal::put_number;
use crate::error::{Error, Result};
use crate::metrics::{MetricDef, Request, RequestValue, Unit, for_each_value};
use crate::outcome::{Outcome, OutcomeClass, Phase};
use crate::record::manifest::Manifest;
use crate::record::reader::Rows;
use crate::record::row::{RequestRow, TokenRow};

pub(super) const FILE_NAME: &str = "profile_export.jsonl";
/// Lines that wait to be put in order.
const BUFFER_BYTES: usize = 64 << 20;

/// Writes the file.
pub(super) fn write(rows: &dyn Rows, out: &mut dyn Write) -> Result<()> {
    let manifest = rows.manifest();
    write_lines(rows, out, FILE_NAME, &mut |row, tokens, sent_ns| {
        render(manifest, row, tokens, sent_ns).map_err(Error::io(FILE_NAME))
    })
}

/// Makes a line of a request that was sent at a time.
pub(super) type Render<'a> = dyn FnMut(&RequestRow, &[TokenRow], i64) -> Result<Vec<u8>> + 'a;

/// Writes one line for each request that was sent, in the order in which they ended.
pub(super) fn write_lines(
    rows: &dyn Rows,
    out: &mut dyn Write,
    file_name: &str,
    render: &mut Render<'_>,
) -> Result<()> {
    let mut lines = EndOrder::new(out, BUFFER_BYTES);
    let mut failure = None;
    rows.for_each_request(&mut |row, tokens| {
        if let Some(sent_ns) = row.sent_ns.filter(|_| failure.is_none()) {
            let written = render(row, tokens, sent_ns).and_then(|line| {
                lines.push(row.end_ns.unwrap_or(sent_ns), row.request_id, line).map_err(Error::io(file_name))
            });
            failure = written.err();
        }
    })?;
    match failure {
        Some(error) => Err(error),
        None => lines.finish().map_err(Error::io(file_name)),
    }
}

fn render(manifest: &Manifest, row: &RequestRow, tokens: &[TokenRow], sent_ns: i64) -> io::Result<Vec<u8>> {
    // Most of a line are the gaps between its tokens, and its names and units are ours: nothing of it needs escaping.
    let mut line = Vec::with_capacity(LINE_BYTES + GAP_BYTES * tokens.len());
    line.extend_from_slice(b"{\"metadata\":");
    serde_json::to_writer(&mut line, &metadata(manifest, row, sent_ns))?;
    line.extend_from_slice(b",\"metrics\":{");
    let mut written = Ok(());
    let mut first = true;
    for_each_value(&Request::of(manifest, row, tokens), &mut |def, value| {
        if written.is_ok() && !is_of_the_run(def) {
            if !std::mem::take(&mut first) {
                line.push(b',');
            }
            written = put_metric(&mut line, def, value);
        }
    });
    written?;
    line.push(b'}');
    if row.outcome.class() != OutcomeClass::Completed {
        line.extend_from_slice(b",\"error\":");
        let error = ErrorDetails::new(row.outcome, row.http_status, row.error.as_deref());
        serde_json::to_writer(&mut line, &error)?;
    }
    line.extend_from_slice(b"}\n");
    Ok(line)
}

/// Room that is made for a line beside its gaps, and for a gap.
const LINE_BYTES: usize = 5 << 10;
const GAP_BYTES: usize = 12;

/// `"tag":{"value":…,"unit":"…"}`
fn put_metric(line: &mut Vec<u8>, def: &MetricDef, value: RequestValue<'_>) -> io::Result<()> {
    write!(line, "\"{}\":{{\"value\":", def.name)?;
    match value {
        RequestValue::One(v) if is_whole(def) => write!(line, "{}", v as u64)?,
        RequestValue::One(v) => put_number(line, v)?,
        RequestValue::Many(values) => {
            for (i, v) in values.iter().enumerate() {
                line.push(if i == 0 { b'[' } else { b',' });
                put_number(line, *v)?;
            }
            line.push(b']');
        }
    }
    write!(line, ",\"unit\":\"{}\"}}", def.unit.label())
}

/// What aiperf tells of a request beside its metrics. Times are nanoseconds since 1970.
#[derive(serde::Serialize)]
pub(super) struct Metadata<'a> {
    pub(super) session_num: u64,
    pub(super) x_request_id: &'a str,
    x_correlation_id: &'a str,
    pub(super) conversation_id: String,
    pub(super) turn_index: u32,
    credit_issued_ns: i64,
    pub(super) request_start_ns: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_ack_ns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_end_ns: Option<i64>,
    worker_id: String,
    record_processor_id: &'static str,
    benchmark_phase: &'static str,
    phase_index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiling_index: Option<u32>,
    phase_name: &'static str,
    phase_kind: &'static str,
    was_cancelled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellation_time_ns: Option<i64>,
    context_overflow_skip: bool,
    agent_depth: u32,
    root_correlation_id: &'a str,
}

pub(super) fn metadata<'a>(manifest: &Manifest, row: &'a RequestRow, sent_ns: i64) -> Metadata<'a> {
    let unix = |t_ns: i64| manifest.anchor.to_unix(t_ns);
    let session = row.session_id.as_deref();
    let correlation = session.unwrap_or(&row.x_request_id);
    let phase = row.phase.as_str();
    let cancelled = row.outcome == Outcome::Cancelled;
    Metadata {
        session_num: row.request_id,
        x_request_id: &row.x_request_id,
        x_correlation_id: correlation,
        conversation_id: session.map_or_else(|| format!("session_{:06}", row.request_id), str::to_owned),
        turn_index: row.turn,
        credit_issued_ns: unix(row.scheduled_ns),
        request_start_ns: unix(sent_ns),
        request_ack_ns: row.head_ns.map(unix),
        request_end_ns: row.end_ns.map(unix),
        worker_id: format!("worker_{}", row.worker),
        record_processor_id: "record_processor_0",
        benchmark_phase: phase,
        phase_index: u32::from(row.phase == Phase::Profiling && manifest.warmup.is_some()),
        profiling_index: (row.phase == Phase::Profiling).then_some(0),
        phase_name: phase,
        phase_kind: phase,
        was_cancelled: cancelled,
        cancellation_time_ns: row.end_ns.filter(|_| cancelled).map(unix),
        context_overflow_skip: false,
        agent_depth: 0,
        root_correlation_id: correlation,
    }
}

/// Whether a metric's values of single requests are whole numbers, which aiperf writes as such here.
fn is_whole(def: &MetricDef) -> bool {
    matches!(def.unit, Unit::Tokens | Unit::Count) || def.name == "http_req_connection_reused"
}

/// Puts lines in the order in which their requests ended, as far as a bounded buffer can.
struct EndOrder<'a> {
    out: &'a mut dyn Write,
    waiting: BinaryHeap<Reverse<(i64, u64, Vec<u8>)>>,
    waiting_bytes: usize,
    limit_bytes: usize,
}

impl<'a> EndOrder<'a> {
    fn new(out: &'a mut dyn Write, limit_bytes: usize) -> Self {
        EndOrder { out, waiting: BinaryHeap::new(), waiting_bytes: 0, limit_bytes }
    }

    fn push(&mut self, end_ns: i64, request_id: u64, line: Vec<u8>) -> io::Result<()> {
        self.waiting_bytes += line.len();
        self.waiting.push(Reverse((end_ns, request_id, line)));
        while self.waiting_bytes > self.limit_bytes {
            self.pop()?;
        }
        Ok(())
    }

    fn pop(&mut self) -> io::Result<()> {
        if let Some(Reverse((_, _, line))) = self.waiting.pop() {
            self.waiting_bytes -= line.len();
            self.out.write_all(&line)?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            self.pop()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(limit_bytes: usize) -> String {
        let mut out = Vec::new();
        let mut lines = EndOrder::new(&mut out, limit_bytes);
        for (id, end_ns) in [(0, 30), (1, 10), (2, 20), (3, 10)] {
            lines.push(end_ns, id, id.to_string().into_bytes()).unwrap();
            assert!(lines.waiting_bytes <= limit_bytes);
        }
        lines.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_leave_in_the_order_of_their_ends_and_the_buffer_stays_bounded() {
        assert_eq!(ordered(100), "1320");
        assert_eq!(ordered(1), "1230", "3 came when 2 had left");
    }
}
