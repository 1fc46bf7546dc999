//! Rates of the whole run, and the time that they divide by.

use super::registry::{Compute, Metric};
use super::{Better, MetricDef, Unit};

pub(super) const REQUEST_THROUGHPUT: Metric = Metric::yielded(
    "request_throughput",
    "Request Throughput",
    Unit::RequestsPerSecond,
    "valid requests / window",
    |t| t.per_window_second(t.valid()),
);

pub(super) const OUTPUT_TOKEN_THROUGHPUT: Metric = Metric::yielded(
    "output_token_throughput",
    "Output Token Throughput",
    Unit::TokensPerSecond,
    "output tokens of valid requests / window",
    // Valid answers without a token are none of tokens, such as vectors.
    |t| t.per_window_second(t.output_tokens).filter(|_| t.output_tokens > 0 || t.valid() == 0),
);

pub(super) const INPUT_TOKEN_THROUGHPUT: Metric = Metric::yielded(
    "input_token_throughput",
    "Input Token Throughput",
    Unit::TokensPerSecond,
    "input tokens of valid requests / window",
    |t| t.per_window_second(t.input_tokens),
);

pub(super) const TOTAL_TOKEN_THROUGHPUT: Metric = Metric::yielded(
    "total_token_throughput",
    "Total Token Throughput",
    Unit::TokensPerSecond,
    "input and output tokens of valid requests / window",
    |t| t.per_window_second(t.input_tokens + t.output_tokens),
);

pub(super) const BENCHMARK_DURATION: Metric = Metric {
    def: MetricDef {
        name: "benchmark_duration",
        title: "Benchmark Duration",
        unit: Unit::Seconds,
        better: Better::Neither,
        formula: "latest whole answer − earliest sending, of valid requests",
    },
    compute: Compute::Total(|t| t.valid_span_ns.map(|(first, last)| last.saturating_sub(first) as f64 / 1e9)),
};
