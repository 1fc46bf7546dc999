//! Distributions of a summary → the cells of the metric table, the same on the terminal and on the page.
//!
//! Invariant: a percentile that too few values stand behind is marked.

use crate::metrics::{Summary, Value};

use super::number::{count, number, unit};
use super::words::percentile;

/// Heads of the number columns.
pub(super) const COLUMNS: [&str; 8] = ["avg", "min", "p50", "p90", "p95", "p99", "max", "n"];
/// What the mark means.
pub(super) const THIN_NOTE: &str = "* too few values to rely on: p90 needs 10, p95 20, p99 100";

/// One number of the table.
pub(super) struct Cell {
    /// The number as text.
    pub(super) text: String,
    /// Whether too few values stand behind it.
    pub(super) thin: bool,
}

/// One metric of the table.
pub(super) struct MetricRow {
    /// Name for people.
    pub(super) title: &'static str,
    /// Short unit.
    pub(super) unit: &'static str,
    /// Formula in one line.
    pub(super) formula: &'static str,
    /// One cell for each of [`COLUMNS`].
    pub(super) cells: [Cell; 8],
}

/// Distributions that a first look is for; a terminal shows these, the page and the artifacts all.
pub(super) const FIRST_LOOK: &[&str] = &[
    "time_to_first_token",
    "scheduled_time_to_first_token",
    "time_to_second_token",
    "inter_token_latency",
    "inter_chunk_latency",
    "request_latency",
    "scheduled_request_latency",
    "send_lag",
    "client_delay",
    "output_token_throughput_per_user",
    "input_sequence_length",
    "output_sequence_length",
    "reasoning_token_count",
];

/// The distributions of the summary that are `wanted`, in its order.
pub(super) fn metric_rows(summary: &Summary, wanted: impl Fn(&str) -> bool) -> Vec<MetricRow> {
    let distributions = summary.values.iter().filter_map(|(def, value)| match value {
        Value::Distribution(stats) if wanted(def.name) => Some((def, stats)),
        _ => None,
    });
    distributions
        .map(|(def, s)| {
            let solid = |x| Cell { text: number(x), thin: false };
            let at = |p| Cell { text: number(percentile(s, p)), thin: !is_enough(p, s.n) };
            MetricRow {
                title: def.title,
                unit: unit(def.unit),
                formula: def.formula,
                cells: [
                    solid(s.mean),
                    solid(s.min),
                    at(50.0),
                    at(90.0),
                    at(95.0),
                    at(99.0),
                    solid(s.max),
                    Cell { text: if s.n < 10_000_000 { count(s.n) } else { number(s.n as f64) }, thin: false },
                ],
            }
        })
        .collect()
}

/// Whether `n` values are enough for an upper percentile: at least one of them must be expected above it.
pub(super) fn is_enough(percent: f64, n: u64) -> bool {
    n as f64 * (100.0 - percent) >= 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_needs_a_value_above_it() {
        for (percent, needed) in [(50.0, 2), (90.0, 10), (95.0, 20), (99.0, 100)] {
            assert!(is_enough(percent, needed) && !is_enough(percent, needed - 1), "p{percent} at {needed}");
        }
    }
}
