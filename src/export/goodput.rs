//! A goodput search → `goodput.json`. What is not known is null.

use serde_json::{Value, json};

use crate::comparison::goodput_search::{Found, Question};

/// Version of the file.
pub const SCHEMA_VERSION: u32 = 1;
/// Its name.
pub const FILE_NAME: &str = "goodput.json";

/// What was searched, beside the question.
#[derive(Clone, Copy, Debug)]
pub struct Searched<'a> {
    /// The model.
    pub model: &'a str,
    /// The deployment.
    pub url: &'a str,
    /// Target of TTFT, in milliseconds.
    pub ttft_target_ms: f64,
    /// Target of ITL, in milliseconds.
    pub itl_target_ms: f64,
    /// Prompt tokens.
    pub isl: u32,
    /// Answer tokens.
    pub osl: u32,
    /// The seed of the first look.
    pub seed: u64,
    /// The question.
    pub question: &'a Question,
    /// The answer.
    pub found: &'a Found,
}

/// The file's content.
pub fn json(s: &Searched<'_>) -> Value {
    json!({
        "schema_version": SCHEMA_VERSION,
        "loadline_version": env!("CARGO_PKG_VERSION"),
        "model": s.model,
        "url": s.url,
        "ttft_target": s.ttft_target_ms,
        "itl_target": s.itl_target_ms,
        "isl": s.isl,
        "osl": s.osl,
        "seed": s.seed,
        "attainment": s.question.attainment,
        "confidence_level": s.question.confidence,
        "precision": s.question.precision,
        "requests": s.question.requests,
        "requests_max": s.question.requests_max,
        "goodput_rate_rps": s.found.rate_rps,
        "low_rps": s.found.low_rps,
        "high_rps": s.found.high_rps,
        "resolved": s.found.is_resolved,
        "attainment_curve": s.found.curve,
    })
}
