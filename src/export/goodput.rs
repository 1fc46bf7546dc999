//! A goodput search → `goodput.json`. What is not known is null.

use serde_json::{Value, json};

use super::asked::Asked;
use crate::comparison::goodput_search::{Found, Question};

/// Version of the file.
pub const SCHEMA_VERSION: u32 = 1;
/// Its name.
pub const FILE_NAME: &str = "goodput.json";

/// What was searched, beside the question.
#[derive(Clone, Copy, Debug)]
pub struct Searched<'a> {
    /// What was asked of which deployment.
    pub asked: Asked<'a>,
    /// The seed of the first look.
    pub seed: u64,
    /// The question.
    pub question: &'a Question,
    /// The answer.
    pub found: &'a Found,
}

/// The file's content.
pub fn json(s: &Searched<'_>) -> Value {
    s.asked.with(json!({
        "schema_version": SCHEMA_VERSION,
        "loadline_version": env!("CARGO_PKG_VERSION"),
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
    }))
}
