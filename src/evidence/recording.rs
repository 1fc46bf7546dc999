//! A run directory → what was measured, its SLO replaced by the comparison's, and its good requests over time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use serde_json::Value as Json;

use super::json::{number, text, whole};
use super::run::Run;
use crate::comparison::bootstrap::Series;
use crate::comparison::levels::Load;
use crate::comparison::method::{Measured, Quantiles, Target, without_second_token};
use crate::comparison::steady_state::{REQUESTS_MIN, window};
use crate::error::Result;
use crate::metrics::{Fold, Origin, PERCENTILES, Request, Slo, Stats, Summary, Value};
use crate::outcome::{OutcomeClass, Phase};
use crate::record::manifest::{Manifest, SloBound};
use crate::record::reader::{Recording, Rows as _};
use crate::record::row::RequestRow;
use crate::time::SECOND_NS;

/// Reads a recording.
///
/// # Errors
/// As the recording's.
pub(super) fn read(dir: &Path, target: Target, is_level: bool) -> Result<Run> {
    let recording = Recording::open(dir)?;
    let mut manifest = recording.manifest().clone();
    let occupied_s = occupied_s(&manifest);
    let bound = |metric: &str, bound| SloBound { metric: metric.into(), bound };
    manifest.slo = vec![bound("time_to_first_token", target.ttft_ms), bound("inter_token_latency", target.itl_ms)];
    let load = load(&manifest.config);
    let steady = load.filter(|_| is_level).and_then(|load| window(recording.requests(), load));
    let is_inside = |row: &RequestRow| {
        row.phase == Phase::Profiling
            && steady.is_none_or(|w| row.sent_ns.is_some_and(|t| (w.start_ns..w.end_ns).contains(&t)))
    };
    let inside = recording.requests().filter(|row| is_inside(row)).count() as u64;
    let is_steady = steady.is_some() && inside >= REQUESTS_MIN;
    let counts = |row: &RequestRow| if is_steady { is_inside(row) } else { row.phase == Phase::Profiling };
    manifest.profiling = steady.filter(|_| is_steady).or(manifest.profiling);

    // Candidates that had the same requests at the same times are drawn together; in a closed loop the answers set the times.
    let is_open = !matches!(load, Some(Load::Clients(_)));
    let slo = Slo::new(&manifest.slo)?;
    let mut fold = Fold::new(&manifest)?;
    let (mut requests, mut schedule, mut first) = (Vec::new(), DefaultHasher::new(), None);
    recording.for_each_request(&mut |row, tokens| {
        if !counts(row) {
            return;
        }
        fold.add(row, tokens);
        let is_good = row.outcome.class() == OutcomeClass::Completed
            && slo.is_met_by(&Request::of(&manifest, row, tokens), Origin::Sent);
        let scheduled = row.scheduled_ns.saturating_sub(*first.get_or_insert(row.scheduled_ns));
        (scheduled, row.input_tokens, row.max_tokens).hash(&mut schedule);
        requests.push((if is_open { row.scheduled_ns } else { row.sent_ns.unwrap_or(row.scheduled_ns) }, is_good));
    })?;
    let summary = fold.finish();
    let schedule = (is_open && !is_steady).then(|| schedule.finish());
    let series = Series::new(&requests, summary.window_s, schedule);
    let gpus = gpus(&manifest.config);
    let measured = measured(&summary, load, series, dir);
    Ok(Run { measured, gpus, model: Some(manifest.model), occupied_s })
}

/// Seconds from the first request, of the warm-up where there was one, to the end of the last.
pub(super) fn occupied_s(manifest: &Manifest) -> f64 {
    let windows = || manifest.warmup.iter().chain(&manifest.profiling);
    let ends = windows().map(|w| w.start_ns).min().zip(windows().map(|w| w.end_ns).max());
    ends.map_or(0.0, |(from, to)| to.saturating_sub(from).max(0) as f64 / SECOND_NS as f64)
}

fn measured(summary: &Summary, load: Option<Load>, series: Option<Series>, dir: &Path) -> Measured {
    let requests = summary.outcomes.total();
    let mean = |name| stats(summary, name).map(|s| s.mean);
    let tokens = stats(summary, "output_sequence_length").filter(|s| s.min == s.max).map(|s| s.mean);
    let share = |good: f64| good / requests as f64;
    Measured {
        concurrency: match load {
            Some(Load::Clients(n)) => Some(n),
            _ => None,
        },
        concurrency_pct: None,
        ttft: quantiles(stats(summary, "time_to_first_token")),
        itl: quantiles(stats(summary, "inter_token_latency")),
        itl_without_second_token_ms: without_second_token(
            mean("inter_token_latency"),
            mean("time_to_second_token"),
            tokens,
        ),
        request_rps: scalar(summary, "request_throughput"),
        goodput_rps: scalar(summary, "goodput"),
        goodput_unknown: scalar(summary, "goodput").is_none().then(|| "the recording has no request".into()),
        attainment: scalar(summary, "good_request_count").filter(|_| requests > 0).map(share),
        requests,
        duration_s: Some(summary.window_s),
        series: series.into_iter().collect(),
        source: dir.display().to_string(),
    }
}

fn scalar(summary: &Summary, name: &str) -> Option<f64> {
    match summary.get(name) {
        Some(Value::Scalar(x)) => Some(*x),
        _ => None,
    }
}

fn stats<'a>(summary: &'a Summary, name: &str) -> Option<&'a Stats> {
    match summary.get(name) {
        Some(Value::Distribution(s)) => Some(s),
        _ => None,
    }
}

fn quantiles(stats: Option<&Stats>) -> Quantiles {
    let at = |percent: f64| PERCENTILES.iter().position(|p| *p == percent).and_then(|i| Some(stats?.percentiles[i]));
    Quantiles { mean: stats.map(|s| s.mean), p50: at(50.0), p90: at(90.0), p99: at(99.0) }
}

/// What the run's load was, of those that have a steady part.
fn load(config: &Json) -> Option<Load> {
    let rate = || number(config, "/load/request_rate").filter(|_| text(config, "/load/rate_profile").is_none());
    whole(config, "/load/concurrency").map(Load::Clients).or_else(|| rate().map(Load::Rate))
}

/// GPUs of a simulated deployment.
pub(super) fn gpus(config: &Json) -> Option<u32> {
    let of = |name: &str| whole(config, &format!("/destination/simulated/{name}"));
    let prefill = of("prefill_tp").zip(of("prefill_replicas")).map_or(0, |(tp, n)| tp.saturating_mul(n));
    of("tp")?.saturating_mul(of("replicas").unwrap_or(1).max(1)).checked_add(prefill)
}
