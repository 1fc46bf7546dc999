//! What a prediction says about itself: which stage of serving it is about, and how far it may be off.

/// What of serving a time is about. Times of different stages must never be compared: the same prompt's time to its first token may
/// differ by a factor of ten between an engine alone and a deployment under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// One forward pass of an engine with nothing else to do.
    Static,
    /// Prefill and decode share an engine, with requests queueing for it.
    Aggregated,
    /// Prefill and decode on engines of their own.
    Disaggregated,
    /// As a client sees it: with router, network and hand-over.
    Deployed,
}

impl Stage {
    /// The name in tables and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Static => "static",
            Stage::Aggregated => "aggregated",
            Stage::Disaggregated => "disaggregated",
            Stage::Deployed => "deployed",
        }
    }
}

/// Between which multiples of a prediction the measured value lay in 8 of 10 cases of the data that its constants come from, each
/// group of that data left out in turn: the 10 and 90 % quantiles of measured / predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// 10 % of the measured values lay below this multiple.
    pub low: f64,
    /// 10 % of the measured values lay above this multiple.
    pub high: f64,
}

impl Band {
    /// The bounds around a predicted value, in its unit.
    pub fn around(self, predicted: f64) -> [f64; 2] {
        [self.low * predicted, self.high * predicted]
    }
}

/// Latencies of a deployment under a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// What of serving these are about.
    pub stage: Stage,
    /// Mean time to first token, ms.
    pub ttft_ms: f64,
    /// Mean time per output token after the first, ms.
    pub tpot_ms: f64,
    /// Error band of `ttft_ms`.
    pub ttft_band: Band,
    /// Error band of `tpot_ms`.
    pub tpot_band: Band,
}

impl Prediction {
    /// Requests per second that a closed loop of `concurrency` completes, where answers have `output_tokens`: Little's law.
    pub fn requests_per_s(&self, concurrency: u32, output_tokens: u32) -> f64 {
        let request_ms = self.ttft_ms + self.tpot_ms * f64::from(output_tokens.saturating_sub(1));
        f64::from(concurrency) * 1e3 / request_ms
    }
}
