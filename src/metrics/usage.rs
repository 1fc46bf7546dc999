//! What the server's `usage` said, where it said anything.

use super::registry::{Compute, Metric};
use super::request::Request;
use super::tokens::difference_pct;
use super::totals::Totals;
use super::{Better, MetricDef, Unit};
use crate::outcome::{EventKind, TokenSource};

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

pub(super) const USAGE_REASONING_TOKENS: Metric = Metric::neutral(
    "usage_reasoning_tokens",
    "Usage Reasoning Tokens",
    Unit::Tokens,
    "reasoning tokens by the server's count",
    |r| r.row.reasoning_tokens.map(f64::from),
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
        let (cached, prompt) = (t.usage.cached?, t.usage.prompt?);
        (prompt > 0).then(|| 100.0 * cached as f64 / prompt as f64)
    }),
};

pub(super) const USAGE_PROMPT_TOKENS_DIFF_PCT: Metric = Metric::neutral(
    "usage_prompt_tokens_diff_pct",
    "Usage Prompt Diff %",
    Unit::Percent,
    "100 · |prompt tokens by the server's count − asked for| / asked for",
    |r| difference_pct(r.row.prompt_tokens?, r.row.input_tokens).map(f64::abs),
);

pub(super) const USAGE_COMPLETION_TOKENS_DIFF_PCT: Metric = Metric::neutral(
    "usage_completion_tokens_diff_pct",
    "Usage Completion Diff %",
    Unit::Percent,
    "100 · |output tokens by the server's count − content events| / content events",
    |r| difference_pct(completion(r)?, r.content_events(|_| true)?).map(f64::abs),
);

pub(super) const USAGE_REASONING_TOKENS_DIFF_PCT: Metric = Metric::neutral(
    "usage_reasoning_tokens_diff_pct",
    "Usage Reasoning Diff %",
    Unit::Percent,
    "100 · |reasoning tokens by the server's count − events of reasoning| / events of reasoning",
    |r| {
        let events = r.content_events(|kind| kind == EventKind::Reasoning)?;
        difference_pct(r.row.reasoning_tokens?, events).map(f64::abs)
    },
);

pub(super) const USAGE_DISCREPANCY_COUNT: Metric = Metric {
    def: MetricDef {
        name: "usage_discrepancy_count",
        title: "Usage Discrepancy Count",
        unit: Unit::Requests,
        better: Better::Lower,
        formula: "valid requests whose usage_prompt_tokens_diff_pct is above 10 %",
    },
    compute: Compute::Total(|t| t.usage.prompt.map(|_| t.usage_discrepancies as f64)),
};

/// Whether the server's count of a prompt is worth a look: off by more than 10 %.
pub(super) fn is_discrepancy(counted: u32, asked: u32) -> bool {
    difference_pct(counted, asked).is_some_and(|pct| pct.abs() > 10.0)
}

const fn total(
    name: &'static str,
    title: &'static str,
    formula: &'static str,
    compute: fn(&Totals) -> Option<f64>,
) -> Metric {
    let def = MetricDef { name, title, unit: Unit::Tokens, better: Better::Neither, formula };
    Metric { def, compute: Compute::Total(compute) }
}

pub(super) const TOTAL_USAGE_PROMPT_TOKENS: Metric =
    total("total_usage_prompt_tokens", "Total Usage Prompt Tokens", "sum of usage_prompt_tokens", |t| {
        t.usage.prompt.map(|n| n as f64)
    });

pub(super) const TOTAL_USAGE_COMPLETION_TOKENS: Metric =
    total("total_usage_completion_tokens", "Total Usage Completion Tokens", "sum of usage_completion_tokens", |t| {
        t.usage.completion.map(|n| n as f64)
    });

pub(super) const TOTAL_USAGE_TOTAL_TOKENS: Metric =
    total("total_usage_total_tokens", "Total Usage Total Tokens", "sum of usage_total_tokens", |t| {
        t.usage.total.map(|n| n as f64)
    });

pub(super) const TOTAL_USAGE_REASONING_TOKENS: Metric =
    total("total_usage_reasoning_tokens", "Total Usage Reasoning Tokens", "sum of usage_reasoning_tokens", |t| {
        t.usage.reasoning.map(|n| n as f64)
    });

pub(super) const TOTAL_USAGE_PROMPT_CACHE_READ_TOKENS: Metric = total(
    "total_usage_prompt_cache_read_tokens",
    "Total Usage Prompt Cache Read Tokens",
    "sum of usage_prompt_cache_read_tokens",
    |t| t.usage.cached.map(|n| n as f64),
);

/// Sums of what the servers' `usage` said; each null where no answer said it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UsageSums {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    reasoning: Option<u64>,
    cached: Option<u64>,
}

impl UsageSums {
    /// Adds a valid request's.
    pub(super) fn add(&mut self, r: &Request<'_>) {
        let total = r.row.prompt_tokens.zip(completion(r)).map(|(p, c)| u64::from(p) + u64::from(c));
        let one = |n: Option<u32>| n.map(u64::from);
        self.merge(&UsageSums {
            prompt: one(r.row.prompt_tokens),
            completion: one(completion(r)),
            total,
            reasoning: one(r.row.reasoning_tokens),
            cached: one(r.row.cached_tokens),
        });
    }

    /// Adds another's sums to these.
    pub(super) fn merge(&mut self, other: &UsageSums) {
        for (mine, theirs) in [
            (&mut self.prompt, other.prompt),
            (&mut self.completion, other.completion),
            (&mut self.total, other.total),
            (&mut self.reasoning, other.reasoning),
            (&mut self.cached, other.cached),
        ] {
            if let Some(n) = theirs {
                *mine.get_or_insert(0) += n;
            }
        }
    }
}

fn completion(r: &Request<'_>) -> Option<u32> {
    r.row.output_tokens.filter(|_| r.row.output_tokens_source == TokenSource::Usage)
}
