//! Rows → `profile_export.jsonl`: one line for each request that was sent, in the layout of aiperf 0.13.0.
//!
//! Out: compact JSON lines, warm-up included, in the order in which the requests ended.
//! Invariants: at most [`BUFFER_BYTES`] of lines wait to be put in order; a line that would have to go before one that
//! left the buffer already goes after it. Not here: requests that were never sent, of which aiperf has no record.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::aiperf_words::{ErrorDetails, is_of_the_run};
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
    let class = row.outcome.class();
    let record = Record {
        metadata: metadata(manifest, row, sent_ns),
        metrics: Metrics(Request::of(manifest, row, tokens)),
        error: (class != OutcomeClass::Completed)
            .then(|| ErrorDetails::new(row.outcome, row.http_status, row.error.as_deref())),
    };
    let mut line = serde_json::to_vec(&record)?;
    line.push(b'\n');
    Ok(line)
}

#[derive(serde::Serialize)]
struct Record<'a> {
    metadata: Metadata<'a>,
    metrics: Metrics<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetails<'a>>,
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

/// The request's metrics as `{tag: {value, unit}}`, written straight from the registry.
struct Metrics<'a>(Request<'a>);

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut result = Ok(());
        for_each_value(&self.0, &mut |def, value| {
            if result.is_ok() && !is_of_the_run(def) {
                result = map.serialize_entry(def.name, &Entry { value, def });
            }
        });
        result?;
        map.end()
    }
}

struct Entry<'a> {
    value: RequestValue<'a>,
    def: &'a MetricDef,
}

/// Whether a metric's values of single requests are whole numbers, which aiperf writes as such here.
fn is_whole(def: &MetricDef) -> bool {
    matches!(def.unit, Unit::Tokens | Unit::Count) || def.name == "http_req_connection_reused"
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        match self.value {
            RequestValue::One(v) if is_whole(self.def) => map.serialize_entry("value", &(v as u64))?,
            RequestValue::One(v) => map.serialize_entry("value", &v)?,
            RequestValue::Many(values) => map.serialize_entry("value", values)?,
        }
        map.serialize_entry("unit", self.def.unit.label())?;
        map.end()
    }
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
