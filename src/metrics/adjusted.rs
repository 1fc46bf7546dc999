//! Latencies as users saw them who got no answer: each failed request counts as one that took forever.
//!
//! A distribution with as many infinite values as requests failed; only where some did. Its average is infinite and its
//! spread has no meaning, so files leave both out; percentiles are those of the nearest rank, which never mix a finite value
//! with an infinite one.

use super::registry::{Compute, Metric};
use super::{Better, MetricDef, Unit};

const fn adjusted(name: &'static str, title: &'static str, of: &'static str) -> Metric {
    let formula = "the metric, with an infinite value for each failed request";
    let def = MetricDef { name, title, unit: Unit::Milliseconds, better: Better::Lower, formula };
    Metric { def, compute: Compute::Adjusted(of) }
}

pub(super) const ADJ_TIME_TO_FIRST_TOKEN: Metric =
    adjusted("adj_time_to_first_token", "Time to First Token (error-adjusted)", "time_to_first_token");

pub(super) const ADJ_REQUEST_LATENCY: Metric =
    adjusted("adj_request_latency", "Request Latency (error-adjusted)", "request_latency");

pub(super) const ADJ_INTER_TOKEN_LATENCY: Metric =
    adjusted("adj_inter_token_latency", "Inter Token Latency (error-adjusted)", "inter_token_latency");

pub(super) const ADJ_DECODE_DURATION: Metric =
    adjusted("adj_decode_duration", "Decode Duration (error-adjusted)", "decode_duration");
