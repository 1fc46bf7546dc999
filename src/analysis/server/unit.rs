//! A metric's name and help → its unit, by the naming rules of Prometheus.
//!
//! Not here: conversion; values stay as their server says them.

use crate::wire::exposition::FamilyKind;

/// Ends of names, and the unit that they stand for. The first that fits is taken.
const ENDS: [(&str, &str); 16] = [
    ("_milliseconds", "milliseconds"),
    ("_nanoseconds", "nanoseconds"),
    ("_seconds", "seconds"),
    ("_ms", "milliseconds"),
    ("_bytes", "bytes"),
    ("_tokens", "tokens"),
    ("_requests", "requests"),
    ("_reqs", "requests"),
    ("request_success", "requests"),
    ("_blocks", "blocks"),
    ("_errors", "errors"),
    ("_ratio", "ratio"),
    ("_percent", "percent"),
    ("_perc", "percent"),
    ("_celsius", "celsius"),
    ("_joules", "joules"),
];

/// The unit of a metric, as far as its name tells.
pub(super) fn of(metric: &str, kind: FamilyKind, help: &str) -> Option<&'static str> {
    let name = metric.strip_suffix("_total").unwrap_or(metric);
    let unit = ENDS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, unit)| *unit);
    match unit {
        // vLLM's shares are called per cent and are none; their help says so.
        Some("percent") if help.contains("1 means 100") || help.contains("0-1") => Some("ratio"),
        None if name.contains("num_requests_") => Some("requests"),
        None if kind == FamilyKind::Counter => Some("count"),
        unit => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_units() {
        let cases = [
            ("vllm:num_requests_running", FamilyKind::Gauge, "", Some("requests")),
            ("vllm:generation_tokens", FamilyKind::Counter, "", Some("tokens")),
            ("vllm:time_to_first_token_seconds", FamilyKind::Histogram, "", Some("seconds")),
            (
                "vllm:kv_cache_usage_perc",
                FamilyKind::Gauge,
                "KV-cache usage. 1 means 100 percent usage.",
                Some("ratio"),
            ),
            ("load_percent", FamilyKind::Gauge, "", Some("percent")),
            ("vllm:request_success", FamilyKind::Counter, "", Some("requests")),
            ("vllm:num_preemptions", FamilyKind::Counter, "", Some("count")),
            ("python_info", FamilyKind::Gauge, "", None),
        ];
        for (metric, kind, help, unit) in cases {
            assert_eq!(of(metric, kind, help), unit, "{metric}");
        }
    }
}
