//! From a request to its whole answer, and the rates that a single user sees.

use super::registry::{Compute, Metric};
use super::request::{Request, between_ms};
use super::{Better, MetricDef, Unit};

pub(super) const REQUEST_LATENCY: Metric = Metric {
    def: MetricDef {
        name: "request_latency",
        title: "Request Latency",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "last token − sent (not streamed: end − sent)",
    },
    compute: Compute::Valid(latency_ms),
};

pub(super) const SCHEDULED_REQUEST_LATENCY: Metric = Metric {
    def: MetricDef {
        name: "scheduled_request_latency",
        title: "Scheduled Request Latency",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "last token − scheduled (not streamed: end − scheduled)",
    },
    compute: Compute::Valid(|r| r.since_scheduled_ms(r.answered_ns())),
};

pub(super) const DECODE_DURATION: Metric = Metric {
    def: MetricDef {
        name: "decode_duration",
        title: "Decode Duration",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "last token − first token",
    },
    compute: Compute::Valid(|r| Some(between_ms(r.first_token_ns()?, r.row.last_token_ns?))),
};

pub(super) const CREDIT_TO_START_LATENCY: Metric = Metric {
    def: MetricDef {
        name: "credit_to_start_latency",
        title: "Credit-to-Start Latency",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "sent − scheduled, as send_lag; aiperf's name",
    },
    compute: Compute::Sent(|r| r.since_scheduled_ms(r.row.sent_ns)),
};

pub(super) const EFFECTIVE_LATENCY: Metric = Metric {
    def: MetricDef {
        name: "effective_latency",
        title: "Effective Latency (CO-aware)",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "end − scheduled",
    },
    compute: Compute::Valid(|r| r.since_scheduled_ms(r.row.end_ns)),
};

pub(super) const E2E_OUTPUT_TOKEN_THROUGHPUT: Metric = Metric {
    def: MetricDef {
        name: "e2e_output_token_throughput",
        title: "E2E Output Token Throughput",
        unit: Unit::TokensPerSecondPerUser,
        better: Better::Higher,
        formula: "output tokens / request latency",
    },
    compute: Compute::Valid(|r| per_second(r.row.output_tokens, latency_ms(r))),
};

pub(super) const PREFILL_THROUGHPUT_PER_USER: Metric = Metric {
    def: MetricDef {
        name: "prefill_throughput_per_user",
        title: "Prefill Throughput Per User",
        unit: Unit::TokensPerSecondPerUser,
        better: Better::Higher,
        formula: "input tokens / time to first token",
    },
    compute: Compute::Valid(|r| per_second(r.input_tokens(), r.since_sent_ms(r.first_token_ns()))),
};

fn latency_ms(r: &Request<'_>) -> Option<f64> {
    r.since_sent_ms(r.answered_ns())
}

fn per_second(tokens: Option<u32>, duration_ms: Option<f64>) -> Option<f64> {
    let duration_ms = duration_ms.filter(|&d| d > 0.0)?;
    Some(f64::from(tokens?) / (duration_ms / 1e3))
}
