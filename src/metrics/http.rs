//! What HTTP did to a request: the parts of its time, its bytes, its writes and reads. aiperf's names and meanings.

use super::Unit;
use super::registry::Metric;
use super::request::{Request, between_ms};

/// Waits that this client does not have: a request for which no connection is free opens one, and names are looked up before
/// the run. aiperf's readers find the numbers that it writes of such a client.
pub(super) const HTTP_REQ_BLOCKED: Metric = Metric::neutral(
    "http_req_blocked",
    "HTTP Blocked",
    Unit::Milliseconds,
    "0: no request waits for a connection of others to be free",
    |r| timed(r).map(|_| 0.0),
);

pub(super) const HTTP_REQ_DNS_LOOKUP: Metric = Metric::neutral(
    "http_req_dns_lookup",
    "HTTP DNS Lookup",
    Unit::Milliseconds,
    "0: the name is looked up before the run",
    |r| timed(r).map(|_| 0.0),
);

pub(super) const HTTP_REQ_CONNECTING: Metric = Metric::neutral(
    "http_req_connecting",
    "HTTP Connecting",
    Unit::Milliseconds,
    "connected − dialed: TCP's and TLS's handshakes; 0 on a connection that was there",
    connecting_ms,
);

pub(super) const HTTP_REQ_CONNECTION_OVERHEAD: Metric = Metric::neutral(
    "http_req_connection_overhead",
    "HTTP Connection Overhead",
    Unit::Milliseconds,
    "blocked + DNS lookup + connecting",
    connecting_ms,
);

pub(super) const HTTP_REQ_TOTAL: Metric = Metric::neutral(
    "http_req_total",
    "HTTP Total Time",
    Unit::Milliseconds,
    "blocked + DNS lookup + connecting + sending + waiting + receiving",
    |r| Some(connecting_ms(r)? + duration_ms(r)?),
);

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
    duration_ms,
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

pub(super) const HTTP_REQ_DATA_SENT: Metric = Metric::neutral(
    "http_req_data_sent",
    "HTTP Data Sent",
    Unit::Kilobytes,
    "bytes of the request's body / 1024",
    |r| counted(r).map(|_| r.row.bytes_sent as f64 / 1024.0),
);

pub(super) const HTTP_REQ_CHUNKS_SENT: Metric = Metric::neutral(
    "http_req_chunks_sent",
    "HTTP Chunks Sent",
    Unit::Count,
    "writes that took some of the request",
    |r| counted(r).map(|_| f64::from(r.row.writes)),
);

pub(super) const HTTP_REQ_CHUNKS_RECEIVED: Metric = Metric::neutral(
    "http_req_chunks_received",
    "HTTP Chunks Received",
    Unit::Count,
    "reads that delivered some of the answer",
    |r| counted(r).map(|_| f64::from(r.row.reads)),
);

fn connecting_ms(r: &Request<'_>) -> Option<f64> {
    match (timed(r)?, r.row.connected_ns) {
        (_, Some(connected_ns)) => Some(between_ms(r.row.dialed_ns?, connected_ns)),
        (_, None) => Some(0.0),
    }
}

fn duration_ms(r: &Request<'_>) -> Option<f64> {
    timed(r).and(Some(between_ms(r.row.sent_ns?, r.row.end_ns?)))
}

/// As [`timed`]; recordings before schema version 2 counted no writes, nor what goes with them.
fn counted(r: &Request<'_>) -> Option<i64> {
    timed(r).filter(|_| r.row.writes > 0)
}

/// When the request had been written; a transport that does not tell knows nothing of its parts either.
fn timed(r: &Request<'_>) -> Option<i64> {
    r.row.written_ns
}

#[cfg(test)]
mod tests {
    use super::super::registry::Compute;
    use super::*;
    use crate::record::row::RequestRow;

    fn of(metric: &Metric, row: &RequestRow) -> Option<f64> {
        let Compute::Valid(value) = metric.compute else { panic!("{} has no value of a request", metric.def.name) };
        value(&Request { row, tokens: &[], streaming: true, per_chunk_usage: false })
    }

    #[test]
    fn the_parts_of_a_request_add_up_and_a_connection_that_was_there_costs_nothing() {
        let ms = |n: i64| Some(n * 1_000_000);
        let mut row = RequestRow {
            dialed_ns: ms(10),
            connected_ns: ms(13),
            sent_ns: ms(14),
            written_ns: ms(15),
            head_ns: ms(35),
            end_ns: ms(75),
            bytes_sent: 512,
            bytes_received: 2048,
            writes: 1,
            reads: 7,
            ..RequestRow::scheduled(0, 0)
        };
        let parts = [&HTTP_REQ_BLOCKED, &HTTP_REQ_DNS_LOOKUP, &HTTP_REQ_CONNECTING];
        let parts = parts.into_iter().chain([&HTTP_REQ_SENDING, &HTTP_REQ_WAITING, &HTTP_REQ_RECEIVING]);
        let values: Vec<f64> = parts.map(|metric| of(metric, &row).unwrap()).collect();
        assert_eq!(values, [0.0, 0.0, 3.0, 1.0, 20.0, 40.0]);
        assert_eq!(of(&HTTP_REQ_TOTAL, &row), Some(64.0));
        assert_eq!((of(&HTTP_REQ_CONNECTION_OVERHEAD, &row), of(&HTTP_REQ_DURATION, &row)), (Some(3.0), Some(61.0)));
        assert_eq!((of(&HTTP_REQ_DATA_SENT, &row), of(&HTTP_REQ_DATA_RECEIVED, &row)), (Some(0.5), Some(2.0)));
        assert_eq!((of(&HTTP_REQ_CHUNKS_SENT, &row), of(&HTTP_REQ_CHUNKS_RECEIVED, &row)), (Some(1.0), Some(7.0)));
        row.dialed_ns = None;
        assert_eq!(of(&HTTP_REQ_CONNECTING, &row), None, "an older recording does not know");
        row.connected_ns = None;
        assert_eq!((of(&HTTP_REQ_CONNECTING, &row), of(&HTTP_REQ_TOTAL, &row)), (Some(0.0), Some(61.0)));
        row.writes = 0;
        assert_eq!((of(&HTTP_REQ_DATA_SENT, &row), of(&HTTP_REQ_CHUNKS_RECEIVED, &row)), (None, None));
    }
}
