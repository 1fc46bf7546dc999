//! Our words → aiperf's, where its files have another word for the same thing.
//!
//! In: metric definitions and failures. Out: tags, headings and error details as aiperf 0.13.0 spells them.

use serde::Serialize;

use crate::metrics::MetricDef;
use crate::outcome::Outcome;

/// The version of aiperf whose layout the files follow.
pub(super) const AIPERF_VERSION: &str = "0.13.0";

/// Metrics that aiperf does not have; they stand after its own.
const OURS: [&str; 10] = [
    "scheduled_time_to_first_token",
    "scheduled_request_latency",
    "send_lag",
    "client_delay",
    "coalesced_event_ratio",
    "isl_mismatch_diff_pct",
    "scheduled_goodput",
    "scheduled_good_request_fraction",
    "cancelled_request_count",
    "not_sent_request_count",
];

/// Whether aiperf has no metric of this name.
pub(super) fn is_ours(def: &MetricDef) -> bool {
    OURS.contains(&def.name)
}

/// Whether aiperf computes the metric for a run alone and keeps no value of it in a record.
pub(super) fn is_of_the_run(def: &MetricDef) -> bool {
    matches!(def.name, "credit_to_start_latency" | "effective_latency")
}

/// The metric's heading in aiperf's CSV, without its unit.
pub(super) fn heading(def: &MetricDef) -> &'static str {
    match def.name {
        "good_request_fraction" => "GoodRequestFraction",
        _ => def.title,
    }
}

/// What a record or a summary says about a failure.
#[derive(Serialize)]
pub(super) struct ErrorDetails<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    r#type: &'static str,
    message: &'a str,
}

impl<'a> ErrorDetails<'a> {
    /// A failure's details: aiperf's code is the HTTP status where that is an error, 499 for a request that the client
    /// gave up, 502 for an error within a stream.
    pub(super) fn new(outcome: Outcome, http_status: Option<u16>, message: Option<&'a str>) -> Self {
        let code = match outcome {
            Outcome::Cancelled => Some(499),
            Outcome::StreamError => Some(502),
            Outcome::HttpError => http_status,
            _ => None,
        };
        // Where aiperf has a name of its own, it is that; the rest are named after the outcome.
        let r#type = match outcome {
            Outcome::ProtocolError => "InvalidInferenceResultError",
            Outcome::Truncated => "ClientPayloadError",
            Outcome::StreamError => "SSEResponseError",
            Outcome::Cancelled => "RequestCancellationError",
            Outcome::HttpError => "HttpError",
            Outcome::Timeout => "TimeoutError",
            Outcome::ConnectError => "ConnectError",
            Outcome::Reset => "ConnectionResetError",
            Outcome::Completed | Outcome::NotSent => "Error",
        };
        ErrorDetails { code, r#type, message: message.unwrap_or(outcome.as_str()) }
    }
}
