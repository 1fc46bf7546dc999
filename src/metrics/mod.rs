//! Rows → numbers. One file per metric or family, one registry [`METRICS`]; pure and mergeable.
//!
//! In: a [`crate::record`]ing. Out: a [`Summary`], the only thing that `export` and `report` read.
//! Warm-up, failed and cancelled requests are in no latency metric; they are counted beside it.
//! Every definition stands in METHODOLOGY.md under a heading with the metric's name; a test checks that.
//!
//! Invariants: one pass over the rows, in their order, gives the same bytes every time; a fold of two parts, merged,
//! is the fold of the whole. Not here: what a number means for a decision (that is `analysis`), how it looks (`report`).

mod adjusted;
mod client_delay;
mod counts;
mod effective;
mod errors;
mod fold;
pub mod goodput;
mod http;
mod itl;
mod latency;
pub mod quantile;
mod registry;
mod replay;
mod request;
mod send_lag;
pub mod slices;
mod sweep_line;
mod throughput;
mod tokens;
mod totals;
mod ttft;
mod usage;
#[cfg(test)]
mod worked_example;

pub use fold::{Fold, summarise};
pub use goodput::{Origin, Slo, parse_goodput};
pub use registry::{METRICS, RequestValue, find, for_each_value};
pub use request::Request;

use crate::outcome::{Outcome, OutcomeCounts};

/// The unit that a metric is shown in. Nanoseconds stay inside `metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Tokens.
    Tokens,
    /// Requests.
    Requests,
    /// Requests per second.
    RequestsPerSecond,
    /// Tokens per second.
    TokensPerSecond,
    /// Tokens per second of one user.
    TokensPerSecondPerUser,
    /// A share, 0 to 1.
    Ratio,
    /// Per cent.
    Percent,
    /// 1024 bytes, under aiperf's name for them.
    Kilobytes,
    /// A number of things that have no unit of their own.
    Count,
}

impl Unit {
    /// The unit as aiperf's files spell it.
    pub fn label(self) -> &'static str {
        match self {
            Unit::Milliseconds => "ms",
            Unit::Seconds => "sec",
            Unit::Tokens => "tokens",
            Unit::Requests => "requests",
            Unit::RequestsPerSecond => "requests/sec",
            Unit::TokensPerSecond => "tokens/sec",
            Unit::TokensPerSecondPerUser => "tokens/sec/user",
            Unit::Ratio => "ratio",
            Unit::Percent => "%",
            Unit::Kilobytes => "KB",
            Unit::Count => "count",
        }
    }
}

/// Which direction of a metric is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// It describes the load, not the service.
    Neither,
}

/// What a metric is; one line of the registry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricDef {
    /// Its name in files and flags; aiperf's tag where the definition is aiperf's.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The unit of its values.
    pub unit: Unit,
    /// Which direction is good.
    pub better: Better,
    /// The formula in one line; METHODOLOGY.md has the edge cases.
    pub formula: &'static str,
}

/// Percentiles that are always computed.
pub const PERCENTILES: [f64; 9] = [1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0];

/// A distribution in numbers, in the metric's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Observations.
    pub n: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Population standard deviation (ddof 0), as aiperf.
    pub std: f64,
    /// Sum.
    pub sum: f64,
    /// Values at [`PERCENTILES`], linear interpolation between order statistics.
    pub percentiles: [f64; 9],
    /// Largest relative error of a percentile: 0 where they are exact.
    pub relative_error: f64,
}

/// A quantity that changes with time, in numbers that are weighted by time, in the metric's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverTime {
    /// Mean over the window.
    pub mean: f64,
    /// Least value that it had for any time.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Standard deviation.
    pub std: f64,
    /// At [`OverTime::PERCENTILES`]: the least value that holds, or is fallen below, for so much of the time.
    pub percentiles: [f64; 4],
}

impl OverTime {
    /// Percentiles that are always computed.
    pub const PERCENTILES: [f64; 4] = [50.0, 90.0, 95.0, 99.0];
}

/// The value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A distribution over requests (or over gaps).
    Distribution(Stats),
    /// One number.
    Scalar(f64),
    /// A course over time.
    OverTime(OverTime),
}

/// One kind of failure and how often it happened.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorCount {
    /// The outcome.
    pub outcome: Outcome,
    /// The HTTP status, where there was one.
    pub http_status: Option<u16>,
    /// The text of the first such failure.
    pub message: String,
    /// How many.
    pub count: u64,
}

/// All numbers of one run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Every metric that has a value for this run, in the order of [`METRICS`].
    pub values: Vec<(&'static MetricDef, Value)>,
    /// Outcomes of the measurement.
    pub outcomes: OutcomeCounts,
    /// Outcomes of the warm-up.
    pub warmup: OutcomeCounts,
    /// The warm-up's own numbers, if there was one; it has no warm-up itself.
    pub of_warmup: Option<Box<Summary>>,
    /// Failures by kind, most frequent first.
    pub errors: Vec<ErrorCount>,
    /// Length of the measurement, in seconds: what rates divide by.
    pub window_s: f64,
}

impl Summary {
    /// The value of the metric called `name`, if this run has one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(def, _)| def.name == name).map(|(_, value)| value)
    }
}
