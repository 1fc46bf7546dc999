//! What a verb that makes several runs asked of a deployment → the keys by which the original's files tell it.

use serde_json::{Value, json};

/// What was asked of which deployment.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
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
}

impl Asked<'_> {
    /// What was asked, and behind it the keys of `answer`, an object.
    pub(super) fn with(&self, answer: Value) -> Value {
        let mut all = json!({
            "model": self.model,
            "url": self.url,
            "ttft_target": self.ttft_target_ms,
            "itl_target": self.itl_target_ms,
            "isl": self.isl,
            "osl": self.osl,
        });
        if let (Value::Object(all), Value::Object(answer)) = (&mut all, answer) {
            all.extend(answer);
        }
        all
    }
}
