//! Prefix hits that the plan implies against those that the server told of.
//!
//! The plan's are those of a cache that forgets nothing and holds nothing of earlier runs, counted before the first byte was
//! sent (`expected_cached_tokens` in `run.json`): a real cache of limited size stays below, one that knew the prompts before
//! is above.

use serde::Serialize;

use crate::outcome::Outcome;
use crate::record::manifest::Manifest;
use crate::record::row::RequestRow;

/// Expected and observed prefix hits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrefixHits {
    /// Prompt tokens of the plan that a cache which forgets nothing holds when they are sent; null where the plan cannot
    /// tell (literal prompts, load that only time bounds).
    pub expected_tokens: Option<u64>,
    /// The same as a share of the plan's prompt tokens.
    pub expected_share: Option<f64>,
    /// Answers that told how much of their prompt was cached.
    pub told: u64,
    /// Prompt tokens that they told were cached; null where none told.
    pub observed_tokens: Option<u64>,
    /// The same as a share of their prompts' tokens.
    pub observed_share: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct Fold {
    planned_tokens: u64,
    told: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
}

impl Fold {
    pub(super) fn add(&mut self, row: &RequestRow) {
        self.planned_tokens += u64::from(row.input_tokens);
        let (Outcome::Completed, Some(cached)) = (row.outcome, row.cached_tokens) else { return };
        self.told += 1;
        self.cached_tokens += u64::from(cached);
        self.prompt_tokens += u64::from(row.prompt_tokens.unwrap_or(row.input_tokens));
    }

    pub(super) fn finish(self, manifest: &Manifest) -> Option<PrefixHits> {
        let expected_tokens = manifest.config.get("expected_cached_tokens").and_then(serde_json::Value::as_u64);
        let told = self.told;
        if expected_tokens.is_none() && told == 0 {
            return None;
        }
        let share = |tokens: u64, of: u64| tokens as f64 / of.max(1) as f64;
        Some(PrefixHits {
            expected_tokens,
            expected_share: expected_tokens.map(|tokens| share(tokens, self.planned_tokens)),
            told,
            observed_tokens: (told > 0).then_some(self.cached_tokens),
            observed_share: (told > 0).then(|| share(self.cached_tokens, self.prompt_tokens)),
        })
    }
}
