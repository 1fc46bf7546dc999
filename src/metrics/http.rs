//! What HTTP did to a request, as far as our columns tell: the parts of its time, and the bytes of its answer.
//!
//! aiperf's names and meanings. Connecting has no column (only when it was done), so nothing here contains it.

use super::Unit;
use super::registry::Metric;
use super::request::{Request, between_ms};

pub(super) const HTTP_REQ_SENDING: Metric = Metric::neutral(
    "http_req_sending",
    "HTTP Sending",
    Unit::Milliseconds,
    "written − sent: the kernel takes the request",
    |r| Some(between_ms(r.row.sent_ns?, r.row.written_ns?)),
);

pub(super) const HTTP_REQ_WAITING: Metric = Metric::neutral(
    "http_req_waiting",
    "HTTP Waiting (TTFB)",
    Unit::Milliseconds,
    "head − written: until the answer's first byte",
    |r| Some(between_ms(r.row.written_ns?, r.row.head_ns?)),
);

pub(super) const HTTP_REQ_RECEIVING: Metric = Metric::neutral(
    "http_req_receiving",
    "HTTP Receiving",
    Unit::Milliseconds,
    "end − head: from the answer's first byte to its last",
    |r| timed(r).and(Some(between_ms(r.row.head_ns?, r.row.end_ns?))),
);

pub(super) const HTTP_REQ_DURATION: Metric = Metric::neutral(
    "http_req_duration",
    "HTTP Duration (excl. conn)",
    Unit::Milliseconds,
    "end − sent: sending, waiting and receiving",
    |r| timed(r).and(Some(between_ms(r.row.sent_ns?, r.row.end_ns?))),
);

pub(super) const HTTP_REQ_CONNECTION_REUSED: Metric = Metric::neutral(
    "http_req_connection_reused",
    "HTTP Connection Reused",
    Unit::Ratio,
    "1 if the request went over a connection that was there, else 0",
    |r| timed(r).map(|_| if r.row.connected_ns.is_none() { 1.0 } else { 0.0 }),
);

pub(super) const HTTP_REQ_DATA_RECEIVED: Metric = Metric::neutral(
    "http_req_data_received",
    "HTTP Data Received",
    Unit::Kilobytes,
    "bytes of the answer's body / 1024",
    |r| timed(r).map(|_| r.row.bytes_received as f64 / 1024.0),
);

/// When the request had been written; a transport that does not tell knows nothing of its parts either.
fn timed(r: &Request<'_>) -> Option<i64> {
    r.row.written_ns
}
