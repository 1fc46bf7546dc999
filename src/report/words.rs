//! Manifest and summary → the phrases that the terminal and the page share.
//!
//! Invariant: text from outside passes [`plain`] here; the page escapes markup on top of that.

use crate::metrics::{self, Better, ErrorCount, OverTime, PERCENTILES, Stats, Summary, Value};
use crate::record::manifest::{Counts, Manifest, RunState, SloBound};

use super::number::{count, duration, number, percent, unit};
use super::text::plain;

/// The run's state in a word.
pub(super) fn state(manifest: &Manifest) -> &'static str {
    match manifest.state {
        RunState::Running => "did not end",
        RunState::Complete => "complete",
        RunState::Interrupted => "interrupted",
    }
}

/// The law of conservation, in one line. Rows that a run which did not end never flushed are named as missing.
pub(super) fn conservation(counts: &Counts) -> String {
    let accounted = counts.accounted();
    let missing = match counts.scheduled.saturating_sub(accounted) {
        0 => String::new(),
        n => format!(" + missing {}", count(n)),
    };
    format!(
        "scheduled {} {} completed {} + failed {} + cancelled {} + not sent {}{missing}",
        count(counts.scheduled),
        if accounted <= counts.scheduled { "=" } else { "≠" },
        count(counts.completed),
        count(counts.failed),
        count(counts.cancelled),
        count(counts.not_sent)
    )
}

/// Rows of `tokens.parquet`, and how many are missing.
pub(super) fn token_rows(counts: &Counts) -> String {
    format!("token rows {} recorded, {} lost", count(counts.tokens_recorded), count(counts.tokens_lost))
}

/// What kind of failure, without its text.
pub(super) fn error_kind(error: &ErrorCount) -> String {
    let status = error.http_status.map(|s| format!(" {s}")).unwrap_or_default();
    format!("{}{status}", error.outcome.as_str())
}

/// Whose clock token times are.
pub(super) fn token_times(manifest: &Manifest, summary: &Summary) -> String {
    let stamped = summary.get("client_delay").is_some();
    match (manifest.streaming, stamped) {
        (false, _) => "none: answers were not streamed".into(),
        (true, true) => "kernel receive times".into(),
        (true, false) => "the client's reads: late by as much as the client is".into(),
    }
}

/// The endpoint, and how it is spoken to.
pub(super) fn endpoint(manifest: &Manifest) -> String {
    let streaming = if manifest.streaming { "streaming" } else { "not streaming" };
    format!("{} ({}, {streaming})", plain(&manifest.url), plain(&manifest.endpoint_type))
}

/// The load of the measurement.
pub(super) fn load(summary: &Summary) -> String {
    let n = summary.outcomes.total();
    if summary.window_s > 0.0 {
        format!("{} requests, {} req/s offered on average", count(n), number(n as f64 / summary.window_s))
    } else {
        format!("{} requests", count(n))
    }
}

/// The time that the rates divide by, and the warm-up before it.
pub(super) fn window(manifest: &Manifest, summary: &Summary) -> String {
    let n = summary.warmup.total();
    let length = duration(summary.window_s);
    match manifest.warmup {
        Some(w) => {
            let warmup = duration(w.end_ns.saturating_sub(w.start_ns) as f64 / 1e9);
            format!("{length}, after a warm-up of {warmup} with {} requests", count(n))
        }
        None if n > 0 => format!("{length}, after a warm-up of {} requests", count(n)),
        None => length,
    }
}

/// How the client itself fared.
pub(super) fn client(manifest: &Manifest) -> String {
    let workers = &manifest.workers;
    let n = workers.len();
    let mut text = format!("{n} worker{}", if n == 1 { "" } else { "s" });
    let stall_ms = workers.iter().map(|w| w.stall_max_ns).max().map(|ns| ns as f64 / 1e6);
    if let (Some(window), Some(cpu_ns)) = (manifest.profiling, workers.iter().map(|w| w.cpu_ns).max()) {
        let start_ns = manifest.warmup.map_or(window.start_ns, |w| w.start_ns.min(window.start_ns));
        let wall_ns = window.end_ns.saturating_sub(start_ns);
        if wall_ns > 0 {
            text += &format!(", busiest {} of a core", percent(cpu_ns as f64 / wall_ns as f64));
        }
    }
    if let Some(stall_ms) = stall_ms {
        text += &format!(", longest stall {} ms", number((stall_ms * 1e3).round() / 1e3));
    }
    text
}

/// How soon after `sent_ns` requests left, by the kernel's transmit stamps; of several workers, the one that fared worst.
pub(super) fn transmit(manifest: &Manifest) -> Option<String> {
    let worst = manifest.workers.iter().filter_map(|w| w.transmit).max_by_key(|t| t.p99_ns)?;
    let us = |ns: i64| number(ns as f64 / 1e3);
    Some(format!(
        "left {} µs after sent_ns, p99 {} µs (kernel stamps of 1 in {} requests, n = {})",
        us(worst.p50_ns),
        us(worst.p99_ns),
        worst.one_in,
        count(worst.count)
    ))
}

/// The objective: `Time to First Token ≤ 500 ms`, for each bound.
pub(super) fn objective(slo: &[SloBound]) -> Vec<String> {
    slo.iter()
        .map(|s| {
            let def = metrics::find(&s.metric);
            let title = def.map_or_else(|| plain(&s.metric), |def| def.title.into());
            let relation = if def.is_some_and(|def| def.better == Better::Higher) { "≥" } else { "≤" };
            let unit = def.map(|def| unit(def.unit)).unwrap_or_default();
            format!("{title} {relation} {} {unit}", number(s.bound)).trim_end().into()
        })
        .collect()
}

/// The single number called `name`, or the mean of what changes with time.
pub(super) fn scalar(summary: &Summary, name: &str) -> Option<f64> {
    match summary.get(name)? {
        Value::Scalar(x) | Value::OverTime(OverTime { mean: x, .. }) => Some(*x),
        Value::Distribution(_) => None,
    }
}

/// The distribution called `name`.
pub(super) fn stats<'a>(summary: &'a Summary, name: &str) -> Option<&'a Stats> {
    match summary.get(name)? {
        Value::Distribution(stats) => Some(stats),
        Value::Scalar(_) | Value::OverTime(_) => None,
    }
}

/// One of the percentiles that are always computed.
pub(super) fn percentile(stats: &Stats, percent: f64) -> f64 {
    PERCENTILES.iter().position(|&p| p == percent).map_or(f64::NAN, |i| stats.percentiles[i])
}
