//! The pace of a stream: per request (ITL, its inverse) and per gap (ICL).

use super::registry::{Compute, Metric};
use super::request::{Request, between_ms, ms};
use super::{Better, MetricDef, Unit};

pub(super) const INTER_TOKEN_LATENCY: Metric = Metric {
    def: MetricDef {
        name: "inter_token_latency",
        title: "Inter Token Latency",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "(last token − first token) / (output tokens − tokens of the first event)",
    },
    compute: Compute::Valid(itl_ms),
};

pub(super) const INTER_CHUNK_LATENCY: Metric = Metric {
    def: MetricDef {
        name: "inter_chunk_latency",
        title: "Inter Chunk Latency",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "gaps between consecutive content events, of all requests together",
    },
    compute: Compute::Pooled(|r, observe| r.content_gaps_ns().for_each(|gap_ns| observe(ms(gap_ns)))),
};

pub(super) const OUTPUT_TOKEN_THROUGHPUT_PER_USER: Metric = Metric {
    def: MetricDef {
        name: "output_token_throughput_per_user",
        title: "Output Token Throughput Per User",
        unit: Unit::TokensPerSecondPerUser,
        better: Better::Higher,
        formula: "1 / inter token latency",
    },
    compute: Compute::Valid(|r| itl_ms(r).filter(|&itl| itl > 0.0).map(|itl| 1e3 / itl)),
};

fn itl_ms(r: &Request<'_>) -> Option<f64> {
    let gaps = r.row.output_tokens.filter(|&n| n >= 2)? - r.first_event_tokens();
    Some(between_ms(r.first_token_ns()?, r.row.last_token_ns?) / f64::from(gaps))
}
