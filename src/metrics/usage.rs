//! What the server's `usage` said, where it said anything.

use super::registry::{Compute, Metric};
use super::request::Request;
use super::{Better, MetricDef, Unit};
use crate::outcome::TokenSource;

pub(super) const USAGE_PROMPT_TOKENS: Metric = Metric::neutral(
    "usage_prompt_tokens",
    "Usage Prompt Tokens",
    Unit::Tokens,
    "prompt tokens by the server's count",
    |r| r.row.prompt_tokens.map(f64::from),
);

pub(super) const USAGE_COMPLETION_TOKENS: Metric = Metric::neutral(
    "usage_completion_tokens",
    "Usage Completion Tokens",
    Unit::Tokens,
    "output tokens by the server's count",
    |r| completion(r).map(f64::from),
);

pub(super) const USAGE_TOTAL_TOKENS: Metric = Metric::neutral(
    "usage_total_tokens",
    "Usage Total Tokens",
    Unit::Tokens,
    "prompt and output tokens by the server's count",
    |r| Some(f64::from(r.row.prompt_tokens?) + f64::from(completion(r)?)),
);

pub(super) const USAGE_PROMPT_CACHE_READ_TOKENS: Metric = Metric::neutral(
    "usage_prompt_cache_read_tokens",
    "Usage Prompt Cache Read Tokens",
    Unit::Tokens,
    "prompt tokens that the server's prefix cache held",
    |r| r.row.cached_tokens.map(f64::from),
);

pub(super) const OVERALL_USAGE_PROMPT_CACHE_READ_PCT: Metric = Metric {
    def: MetricDef {
        name: "overall_usage_prompt_cache_read_pct",
        title: "Overall Usage Prompt Cache Read %",
        unit: Unit::Percent,
        better: Better::Higher,
        formula: "100 · sum of cached prompt tokens / sum of prompt tokens, both by the server's count",
    },
    compute: Compute::Total(|t| {
        let cached = t.cached_tokens?;
        (t.prompt_tokens > 0).then(|| 100.0 * cached as f64 / t.prompt_tokens as f64)
    }),
};

fn completion(r: &Request<'_>) -> Option<u32> {
    r.row.output_tokens.filter(|_| r.row.output_tokens_source == TokenSource::Usage)
}
