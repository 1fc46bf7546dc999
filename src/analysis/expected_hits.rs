//! What a manifest says of the prefix hits that its plan implies → the share of any request's prompt.
//!
//! In: `config.expected_cached_course` of `run.json`, as the schedule wrote it. Out: [`ExpectedHits`].
//! Not here: how it is counted (that is `schedule`), and what the server held ([`super::timeline`]).

use serde::Deserialize;

use crate::record::manifest::Manifest;

/// Expected prefix hits in the course of a plan: of equal numbers of consecutive requests, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExpectedHits {
    first_request_id: u64,
    requests_per_step: u64,
    prompt_tokens: Vec<u64>,
    cached_tokens: Vec<u64>,
}

impl ExpectedHits {
    /// Those of a run; null where its plan could not tell, or did not.
    pub fn of(manifest: &Manifest) -> Option<ExpectedHits> {
        ExpectedHits::deserialize(manifest.config.get("expected_cached_course")?).ok()
    }

    /// The share of a request's prompt that is expected to be cached: that of its step. Null outside the measurement.
    pub fn share(&self, request_id: u64) -> Option<f64> {
        let step = request_id.checked_sub(self.first_request_id)? / self.requests_per_step.max(1);
        let (prompt, cached) = (self.prompt_tokens.get(step as usize)?, self.cached_tokens.get(step as usize)?);
        Some(*cached as f64 / (*prompt).max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::manifest;

    #[test]
    fn a_request_has_the_share_of_its_step() {
        let course = serde_json::json!({
            "first_request_id": 10, "requests_per_step": 3, "prompt_tokens": [100, 50], "cached_tokens": [25, 50],
        });
        let run = |config| ExpectedHits::of(&Manifest { config, ..manifest() });
        let hits = run(serde_json::json!({"expected_cached_course": course})).unwrap();
        let shares = [9, 10, 12, 13, 15, 16].map(|id| hits.share(id));
        assert_eq!(shares, [None, Some(0.25), Some(0.25), Some(1.0), Some(1.0), None]);
        assert_eq!(run(serde_json::json!({"expected_cached_course": null})), None);
    }
}
