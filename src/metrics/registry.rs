//! The registry: every metric, in the order in which summaries list them.
//!
//! A metric is a constant in its family's file, a line in [`REGISTRY`] and a heading in METHODOLOGY.md. Invariant:
//! names are unique, and a name that aiperf uses has aiperf's definition and unit.

use super::request::Request;
use super::sweep_line::Curve;
use super::totals::Totals;
use super::{
    Better, MetricDef, Stats, Unit, adjusted, client_delay, counts, effective, goodput, http, itl, latency, replay,
    send_lag, throughput, tokens, ttft, usage,
};
use crate::outcome::OutcomeClass;

/// What a metric is, and how it is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub(super) def: MetricDef,
    pub(super) compute: Compute,
}

/// Over which requests a metric is computed, and how; in its display unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Compute {
    /// At most one value of each valid request.
    Valid(fn(&Request<'_>) -> Option<f64>),
    /// Any number of values of each valid request, pooled.
    Pooled(fn(&Request<'_>, &mut dyn FnMut(f64))),
    /// At most one value of each request that was sent, however it ended.
    Sent(fn(&Request<'_>) -> Option<f64>),
    /// At most one value of each request that failed.
    Failed(fn(&Request<'_>) -> Option<f64>),
    /// One number of the whole run.
    Total(fn(&Totals) -> Option<f64>),
    /// A course over time, over the whole window or only while it is active.
    OverTime(Curve, bool),
    /// The distribution of that name, with an infinite value for each failed request.
    Adjusted(&'static str),
    /// One number of how a replay at the trace's times lagged, from the distribution of send lags.
    Replayed(fn(&Stats) -> f64),
}

impl Metric {
    /// A value of each valid request, of which neither more nor less is better.
    pub(super) const fn neutral(
        name: &'static str,
        title: &'static str,
        unit: Unit,
        formula: &'static str,
        compute: fn(&Request<'_>) -> Option<f64>,
    ) -> Metric {
        let def = MetricDef { name, title, unit, better: Better::Neither, formula };
        Metric { def, compute: Compute::Valid(compute) }
    }

    /// A number of the whole run, of which more is better.
    pub(super) const fn yielded(
        name: &'static str,
        title: &'static str,
        unit: Unit,
        formula: &'static str,
        compute: fn(&Totals) -> Option<f64>,
    ) -> Metric {
        let def = MetricDef { name, title, unit, better: Better::Higher, formula };
        Metric { def, compute: Compute::Total(compute) }
    }

    /// Whether an SLO can bound it: one value for each request, and a direction that is good.
    pub(super) fn can_be_bounded(&self) -> bool {
        matches!(self.compute, Compute::Valid(_)) && self.def.better != Better::Neither
    }

    /// Hands every value that the request has to `observe`. The caller sees to it that the request is of the
    /// measurement.
    pub(super) fn observe(&self, request: &Request<'_>, mut observe: impl FnMut(f64)) {
        let class = request.row.outcome.class();
        match self.compute {
            Compute::Valid(value) if class == OutcomeClass::Completed => value(request).into_iter().for_each(observe),
            Compute::Pooled(values) if class == OutcomeClass::Completed => values(request, &mut observe),
            Compute::Failed(value) if class == OutcomeClass::Failed => value(request).into_iter().for_each(observe),
            Compute::Sent(value) => value(request).into_iter().for_each(observe),
            // Nothing of this request, or no value of a single one.
            _ => {}
        }
    }
}

/// Every metric. The one place that a new one is added to.
pub(super) const REGISTRY: &[Metric] = &[
    ttft::TIME_TO_FIRST_TOKEN,
    ttft::SCHEDULED_TIME_TO_FIRST_TOKEN,
    ttft::TIME_TO_FIRST_OUTPUT_TOKEN,
    ttft::TIME_TO_SECOND_TOKEN,
    itl::INTER_TOKEN_LATENCY,
    itl::INTER_CHUNK_LATENCY,
    latency::REQUEST_LATENCY,
    latency::SCHEDULED_REQUEST_LATENCY,
    latency::DECODE_DURATION,
    send_lag::SEND_LAG,
    client_delay::CLIENT_DELAY,
    client_delay::COALESCED_EVENT_RATIO,
    itl::OUTPUT_TOKEN_THROUGHPUT_PER_USER,
    latency::E2E_OUTPUT_TOKEN_THROUGHPUT,
    latency::PREFILL_THROUGHPUT_PER_USER,
    tokens::INPUT_SEQUENCE_LENGTH,
    tokens::OUTPUT_SEQUENCE_LENGTH,
    tokens::OUTPUT_TOKEN_COUNT,
    tokens::REASONING_TOKEN_COUNT,
    usage::USAGE_PROMPT_TOKENS,
    usage::USAGE_COMPLETION_TOKENS,
    usage::USAGE_TOTAL_TOKENS,
    usage::USAGE_REASONING_TOKENS,
    usage::USAGE_PROMPT_CACHE_READ_TOKENS,
    usage::OVERALL_USAGE_PROMPT_CACHE_READ_PCT,
    usage::USAGE_PROMPT_TOKENS_DIFF_PCT,
    usage::USAGE_COMPLETION_TOKENS_DIFF_PCT,
    usage::USAGE_REASONING_TOKENS_DIFF_PCT,
    usage::USAGE_DISCREPANCY_COUNT,
    usage::TOTAL_USAGE_PROMPT_TOKENS,
    usage::TOTAL_USAGE_COMPLETION_TOKENS,
    usage::TOTAL_USAGE_TOTAL_TOKENS,
    usage::TOTAL_USAGE_REASONING_TOKENS,
    usage::TOTAL_USAGE_PROMPT_CACHE_READ_TOKENS,
    throughput::REQUEST_THROUGHPUT,
    throughput::OUTPUT_TOKEN_THROUGHPUT,
    throughput::INPUT_TOKEN_THROUGHPUT,
    throughput::TOTAL_TOKEN_THROUGHPUT,
    goodput::GOODPUT,
    goodput::SCHEDULED_GOODPUT,
    goodput::GOOD_REQUEST_COUNT,
    goodput::GOOD_REQUEST_FRACTION,
    goodput::SCHEDULED_GOOD_REQUEST_FRACTION,
    counts::REQUEST_COUNT,
    counts::ERROR_REQUEST_COUNT,
    counts::COMPLETED_REQUEST_COUNT,
    counts::CANCELLED_REQUEST_COUNT,
    counts::NOT_SENT_REQUEST_COUNT,
    counts::REQUEST_ERROR_RATE,
    tokens::ISL_MISMATCH_DIFF_PCT,
    tokens::OSL_MISMATCH_DIFF_PCT,
    tokens::OSL_MISMATCH_COUNT,
    tokens::TOTAL_ISL,
    tokens::TOTAL_OSL,
    tokens::TOTAL_OUTPUT_TOKENS,
    tokens::TOTAL_REASONING_TOKENS,
    tokens::ERROR_ISL,
    tokens::TOTAL_ERROR_ISL,
    throughput::BENCHMARK_DURATION,
    effective::EFFECTIVE_CONCURRENCY,
    effective::EFFECTIVE_PREFILL_CONCURRENCY,
    effective::EFFECTIVE_DECODE_CONCURRENCY,
    effective::EFFECTIVE_PREFILL_THROUGHPUT,
    effective::EFFECTIVE_DECODE_THROUGHPUT,
    effective::EFFECTIVE_TOTAL_THROUGHPUT,
    effective::EFFECTIVE_PREFILL_THROUGHPUT_PER_USER,
    effective::EFFECTIVE_DECODE_THROUGHPUT_PER_USER,
    effective::TOKENS_IN_FLIGHT,
    effective::ACTIVE_PREFILL_THROUGHPUT,
    effective::ACTIVE_DECODE_THROUGHPUT,
    effective::ACTIVE_TOTAL_THROUGHPUT,
    effective::ACTIVE_PREFILL_THROUGHPUT_PER_USER,
    effective::ACTIVE_DECODE_THROUGHPUT_PER_USER,
    adjusted::ADJ_TIME_TO_FIRST_TOKEN,
    adjusted::ADJ_REQUEST_LATENCY,
    adjusted::ADJ_INTER_TOKEN_LATENCY,
    adjusted::ADJ_DECODE_DURATION,
    replay::REPLAY_SCHED_LAG_P50,
    replay::REPLAY_SCHED_LAG_P90,
    replay::REPLAY_SCHED_LAG_P99,
    replay::REPLAY_SCHED_DEGRADED,
    http::HTTP_REQ_BLOCKED,
    http::HTTP_REQ_DNS_LOOKUP,
    http::HTTP_REQ_CONNECTING,
    http::HTTP_REQ_CONNECTION_OVERHEAD,
    http::HTTP_REQ_SENDING,
    http::HTTP_REQ_WAITING,
    http::HTTP_REQ_RECEIVING,
    http::HTTP_REQ_DURATION,
    http::HTTP_REQ_TOTAL,
    http::HTTP_REQ_CONNECTION_REUSED,
    http::HTTP_REQ_DATA_SENT,
    http::HTTP_REQ_CHUNKS_SENT,
    http::HTTP_REQ_DATA_RECEIVED,
    http::HTTP_REQ_CHUNKS_RECEIVED,
    latency::CREDIT_TO_START_LATENCY,
    latency::EFFECTIVE_LATENCY,
];

/// What every metric is, in the order of summaries.
pub static METRICS: &[MetricDef] = &{
    let mut defs = [REGISTRY[0].def; REGISTRY.len()];
    let mut i = 0;
    while i < defs.len() {
        defs[i] = REGISTRY[i].def;
        i += 1;
    }
    defs
};

/// Other tools' names for some metrics (vLLM's bench, and what people say).
const ALIASES: [(&str, &str); 6] = [
    ("ttft", "time_to_first_token"),
    ("ttfo", "time_to_first_output_token"),
    ("ttst", "time_to_second_token"),
    ("itl", "inter_token_latency"),
    ("tpot", "inter_token_latency"),
    ("e2el", "request_latency"),
];

/// The metric of that name or alias (`ttft`, `ttfo`, `ttst`, `itl`, `tpot`, `e2el`).
pub fn find(name: &str) -> Option<&'static MetricDef> {
    let name = canonical(name);
    METRICS.iter().find(|def| def.name == name)
}

pub(super) fn find_metric(name: &str) -> Option<&'static Metric> {
    let name = canonical(name);
    REGISTRY.iter().find(|m| m.def.name == name)
}

fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

/// What one request has of one metric, in the metric's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RequestValue<'a> {
    /// Its one value.
    One(f64),
    /// All its values of a metric that pools several of each request.
    Many(&'a [f64]),
}

/// Visits every metric that has a value for this one request, in the order of [`METRICS`]: the latencies and lengths of
/// a completed request, the input length of a failed one, the send lag of any that was sent.
pub fn for_each_value(request: &Request<'_>, visit: &mut dyn FnMut(&'static MetricDef, RequestValue<'_>)) {
    let mut values = Vec::new();
    for (metric, def) in REGISTRY.iter().zip(METRICS) {
        values.clear();
        metric.observe(request, |v| values.push(v));
        match (metric.compute, values.as_slice()) {
            (_, []) => {}
            (Compute::Pooled(_), many) => visit(def, RequestValue::Many(many)),
            (_, many) => visit(def, RequestValue::One(many[0])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_aliases_lead_to_metrics() {
        let names: BTreeSet<_> = METRICS.iter().map(|def| def.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for (alias, name) in ALIASES {
            assert_eq!(find(alias).map(|def| def.name), Some(name));
            assert!(!names.contains(alias), "`{alias}` is a metric itself");
        }
        assert!(find("nonsense").is_none());
    }

    #[test]
    fn every_metric_has_its_heading_in_the_methodology() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/METHODOLOGY.md");
        let text = std::fs::read_to_string(path).unwrap();
        let metrics = text.split_once("\n## Metrics\n").expect("METHODOLOGY.md has a part `## Metrics`").1;
        let headings: BTreeSet<_> = metrics.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        for def in METRICS {
            assert!(headings.contains(def.name), "METHODOLOGY.md has no heading `### {}`", def.name);
        }
        let known: BTreeSet<_> = METRICS.iter().map(|def| def.name).collect();
        let gone: Vec<_> = headings.difference(&known).collect();
        assert!(gone.is_empty(), "METHODOLOGY.md explains metrics that do not exist: {gone:?}");
    }
}
