//! What was in flight and how fast tokens flowed, averaged over time instead of over requests.
//!
//! Each is a curve of [`super::sweep_line`]; `effective` metrics average it over the whole window, `active` ones over those
//! parts of it in which requests of that kind were in flight.

use super::registry::{Compute, Metric};
use super::sweep_line::Curve;
use super::{Better, MetricDef, Unit};

const fn over(
    name: &'static str,
    title: &'static str,
    unit: Unit,
    formula: &'static str,
    (curve, active): (Curve, bool),
) -> Metric {
    let better = match unit {
        Unit::TokensPerSecond | Unit::TokensPerSecondPerUser => Better::Higher,
        _ => Better::Neither,
    };
    Metric { def: MetricDef { name, title, unit, better, formula }, compute: Compute::OverTime(curve, active) }
}

pub(super) const EFFECTIVE_CONCURRENCY: Metric = over(
    "effective_concurrency",
    "Effective Concurrency",
    Unit::Requests,
    "requests in flight, averaged over the window",
    (Curve::Concurrency, false),
);

pub(super) const EFFECTIVE_PREFILL_CONCURRENCY: Metric = over(
    "effective_prefill_concurrency",
    "Effective Prefill Concurrency",
    Unit::Requests,
    "completed requests between sending and first token, averaged over the window",
    (Curve::PrefillConcurrency, false),
);

pub(super) const EFFECTIVE_DECODE_CONCURRENCY: Metric = over(
    "effective_decode_concurrency",
    "Effective Decode Concurrency",
    Unit::Requests,
    "completed requests between first token and end, averaged over the window",
    (Curve::DecodeConcurrency, false),
);

pub(super) const EFFECTIVE_PREFILL_THROUGHPUT: Metric = over(
    "effective_prefill_throughput",
    "Effective Prefill Throughput",
    Unit::TokensPerSecond,
    "prompt tokens, each request's spread over its TTFT, averaged over the window",
    (Curve::PrefillThroughput, false),
);

pub(super) const EFFECTIVE_DECODE_THROUGHPUT: Metric = over(
    "effective_decode_throughput",
    "Effective Decode Throughput",
    Unit::TokensPerSecond,
    "output tokens after the first, spread over their gaps, averaged over the window",
    (Curve::DecodeThroughput, false),
);

pub(super) const EFFECTIVE_TOTAL_THROUGHPUT: Metric = over(
    "effective_total_throughput",
    "Effective Total Throughput",
    Unit::TokensPerSecond,
    "prompt and output tokens, spread over prefill and decoding, averaged over the window",
    (Curve::TotalThroughput, false),
);

pub(super) const EFFECTIVE_PREFILL_THROUGHPUT_PER_USER: Metric = over(
    "effective_prefill_throughput_per_user",
    "Effective Prefill Throughput Per User",
    Unit::TokensPerSecondPerUser,
    "prefill throughput / requests being prefilled, averaged over the window",
    (Curve::PrefillThroughputPerUser, false),
);

pub(super) const EFFECTIVE_DECODE_THROUGHPUT_PER_USER: Metric = over(
    "effective_decode_throughput_per_user",
    "Effective Decode Throughput Per User",
    Unit::TokensPerSecondPerUser,
    "decode throughput / requests being decoded, averaged over the window",
    (Curve::DecodeThroughputPerUser, false),
);

pub(super) const TOKENS_IN_FLIGHT: Metric = over(
    "tokens_in_flight",
    "Tokens In Flight",
    Unit::Tokens,
    "tokens of prompts and of answers so far of requests in flight, averaged over the window",
    (Curve::TokensInFlight, false),
);

pub(super) const ACTIVE_PREFILL_THROUGHPUT: Metric = over(
    "active_prefill_throughput",
    "Active Prefill Throughput",
    Unit::TokensPerSecond,
    "prefill throughput, averaged over the time in which a request is being prefilled",
    (Curve::PrefillThroughput, true),
);

pub(super) const ACTIVE_DECODE_THROUGHPUT: Metric = over(
    "active_decode_throughput",
    "Active Decode Throughput",
    Unit::TokensPerSecond,
    "decode throughput, averaged over the time in which a request is being decoded",
    (Curve::DecodeThroughput, true),
);

pub(super) const ACTIVE_TOTAL_THROUGHPUT: Metric = over(
    "active_total_throughput",
    "Active Total Throughput",
    Unit::TokensPerSecond,
    "total throughput, averaged over the time in which a request is in flight",
    (Curve::TotalThroughput, true),
);

pub(super) const ACTIVE_PREFILL_THROUGHPUT_PER_USER: Metric = over(
    "active_prefill_throughput_per_user",
    "Active Prefill Throughput Per User",
    Unit::TokensPerSecondPerUser,
    "prefill throughput per user, averaged over the time in which a request is being prefilled",
    (Curve::PrefillThroughputPerUser, true),
);

pub(super) const ACTIVE_DECODE_THROUGHPUT_PER_USER: Metric = over(
    "active_decode_throughput_per_user",
    "Active Decode Throughput Per User",
    Unit::TokensPerSecondPerUser,
    "decode throughput per user, averaged over the time in which a request is being decoded",
    (Curve::DecodeThroughputPerUser, true),
);
