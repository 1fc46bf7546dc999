//! Runs in memory, for the tests of `analysis` and `report`: a recording without files, and numbers without metrics.
//!
//! Not here: anything that ships.

use rand::RngExt as _;
use rand_distr::{Distribution as _, Exp, LogNormal};

use crate::error::Result;
use crate::metrics::{PERCENTILES, Stats, Summary, Value};
use crate::outcome::{Outcome, OutcomeCounts, TokenSource};
use crate::record::manifest::{Counts, Host, Manifest, PhaseWindow, RunState, SCHEMA_VERSION, SloBound, WorkerSummary};
use crate::record::reader::{Rows, Visit};
use crate::record::row::RequestRow;
use crate::rng::{Seed, Stream};
use crate::time::Anchor;

use super::fidelity::{self, Fidelity};
use super::measured::{Measured, Request};
use super::timeline::percentile_of_sorted;

/// A recording in memory, without stream events.
pub(crate) struct Memory {
    pub(crate) manifest: Manifest,
    pub(crate) rows: Vec<RequestRow>,
}

impl Memory {
    pub(crate) fn new(manifest: Manifest, rows: Vec<RequestRow>) -> Self {
        Memory { manifest, rows }
    }
}

impl Rows for Memory {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn for_each_request(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.rows.iter().for_each(|row| visit(row, &[]));
        Ok(())
    }
}

/// Bounds of an objective.
pub(crate) fn slo(bounds: &[(&str, f64)]) -> Vec<SloBound> {
    bounds.iter().map(|&(metric, bound)| SloBound { metric: metric.into(), bound }).collect()
}

/// The manifest of a run of 240 requests in a minute, of which 2 failed.
pub(crate) fn manifest() -> Manifest {
    let worker = |worker| WorkerSummary {
        worker,
        core: Some(worker),
        sent: 120,
        events: 30_600,
        in_flight_max: 21,
        connections: 21,
        stall_max_ns: 812_000,
        cpu_ns: 4_920_000_000,
        ..WorkerSummary::default()
    };
    Manifest {
        schema_version: SCHEMA_VERSION,
        loadline_version: "0.1.0".into(),
        run_id: "5eed0f10adbea575".into(),
        command: ["loadline", "profile", "--model", "Qwen/Qwen3-32B", "--request-rate", "4"].map(String::from).into(),
        config: serde_json::json!({
            "arrival": { "process": "poisson", "request_rate": 4.0 },
            "goodput": "time_to_first_token:500 inter_token_latency:50",
            "input_tokens": 2048,
            "output_tokens": 256,
            "headers": ["authorization: ***"],
        }),
        seed: 42,
        model: "Qwen/Qwen3-32B".into(),
        url: "http://127.0.0.1:8000".into(),
        endpoint_type: "chat".into(),
        streaming: true,
        slo: slo(&[("time_to_first_token", 500.0), ("inter_token_latency", 50.0)]),
        host: Host { kernel: "Linux 6.8.0".into(), cpu_model: "AMD EPYC 9654".into(), cpus: 2, memory_bytes: 8 << 30 },
        anchor: Anchor { t0_unix_ns: 1_767_225_600_000_000_000, t0_monotonic_ns: 1 },
        state: RunState::Complete,
        counts: Counts { scheduled: 240, completed: 238, failed: 2, tokens_recorded: 61_200, ..Counts::default() },
        warmup: None,
        profiling: Some(PhaseWindow { start_ns: 0, end_ns: 60_000_000_000 }),
        workers: vec![worker(0), worker(1)],
        steal_ns: 0,
        verdict: None,
    }
}

/// A whole answer of `tokens` tokens, `itl_ms` apart, whose end comes 1 ms after its last token.
pub(crate) fn answered(id: u64, due_ms: f64, lag_ms: f64, ttft_ms: f64, itl_ms: f64, tokens: u32) -> RequestRow {
    let ns = |ms: f64| Some((ms * 1e6).round() as i64);
    let first_ms = due_ms + lag_ms + ttft_ms;
    let last_ms = first_ms + itl_ms * f64::from(tokens - 1);
    let mut row = RequestRow::scheduled(id, (due_ms * 1e6).round() as i64);
    row.sent_ns = ns(due_ms + lag_ms);
    row.first_token_ns = ns(first_ms);
    row.last_token_ns = ns(last_ms);
    row.end_ns = ns(last_ms + 1.0);
    row.outcome = Outcome::Completed;
    row.output_tokens = Some(tokens);
    row.output_tokens_source = TokenSource::Usage;
    row
}

/// A run of `n` requests at 5 a second, whose middle third is overloaded; one in 40 fails, and the last is cancelled.
pub(crate) fn run_of(n: u64, seed: u64) -> Memory {
    let mut rng = Seed(seed).stream(Stream::Simulation);
    let gap_ms = Exp::new(5.0 / 1e3).unwrap();
    let mut due_ms = 0.0;
    let mut rows = Vec::new();
    for id in 0..n {
        due_ms += gap_ms.sample(&mut rng);
        let busy = if (n / 3..n * 2 / 3).contains(&id) { 1.0 } else { 0.0 };
        let ttft = LogNormal::new(5.1 + 0.9 * busy, 0.35 + 0.2 * busy).unwrap().sample(&mut rng);
        let itl = LogNormal::new(3.2 + 0.55 * busy, 0.18).unwrap().sample(&mut rng);
        let lag = LogNormal::new(-3.0_f64, 0.8).unwrap().sample(&mut rng);
        let mut row = answered(id, due_ms, lag, ttft, itl, rng.random_range(1..=256));
        if id % 40 == 17 {
            row.outcome = if id % 80 == 17 { Outcome::HttpError } else { Outcome::Timeout };
            row.end_ns = row.first_token_ns;
        } else if id + 1 == n {
            row.outcome = Outcome::Cancelled;
        }
        rows.push(row);
    }
    let mut counts = OutcomeCounts::default();
    rows.iter().for_each(|r| counts.add(r.outcome));
    let end_ns = rows.iter().filter_map(|r| r.end_ns).max().unwrap_or(0);
    let manifest = Manifest {
        counts: Counts { tokens_recorded: n * 128, ..Counts::new(n, &counts) },
        profiling: (n > 0).then_some(PhaseWindow { start_ns: 0, end_ns }),
        ..manifest()
    };
    Memory::new(manifest, rows)
}

/// A distribution whose values rise in equal steps from the first of `values` over each of the others, `n` in number.
pub(crate) fn distribution(n: u64, values: &[f64]) -> Value {
    Value::Distribution(stats(
        &(0..n)
            .map(|i| {
                let x = i as f64 / (n.max(2) - 1) as f64 * (values.len() - 1) as f64;
                let i = (x.floor() as usize).min(values.len() - 2);
                values[i] + (values[i + 1] - values[i]) * (x - i as f64)
            })
            .collect::<Vec<_>>(),
    ))
}

pub(crate) fn stats(values: &[f64]) -> Stats {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let sum: f64 = sorted.iter().sum();
    let variance = sorted.iter().map(|v| (v - sum / n).powi(2)).sum::<f64>() / n;
    Stats {
        n: sorted.len() as u64,
        mean: sum / n,
        min: sorted[0],
        max: sorted[sorted.len() - 1],
        std: variance.sqrt(),
        sum,
        percentiles: PERCENTILES.map(|p| percentile_of_sorted(&sorted, p)),
        relative_error: 0.0,
    }
}

/// The summary of a run in which nothing was measured.
pub(crate) fn no_numbers() -> Summary {
    Summary {
        values: vec![],
        outcomes: OutcomeCounts::default(),
        warmup: OutcomeCounts::default(),
        of_warmup: None,
        errors: vec![],
        window_s: 60.0,
    }
}

/// `summary` with these values added.
pub(crate) fn with(mut summary: Summary, values: &[(&'static str, Value)]) -> Summary {
    for (name, value) in values {
        let def = crate::metrics::find(name).unwrap();
        summary.values.push((def, value.clone()));
    }
    summary
}

/// The fidelity of a run.
pub(crate) fn fidelity_of(run: &Memory) -> Fidelity {
    let mut fold = fidelity::Fold::default();
    run.rows.iter().for_each(|row| fold.add(row));
    fold.finish(&run.manifest)
}

/// Numbers of a run, by this module's own arithmetic.
pub(crate) fn summary_of(run: &Memory) -> Summary {
    let measured = Measured::read(run).unwrap();
    let mut summary = no_numbers();
    run.rows.iter().for_each(|r| summary.outcomes.add(r.outcome));
    summary.window_s = run.manifest.profiling.map_or(0.0, |w| (w.end_ns - w.start_ns) as f64 / 1e9);
    let completed = measured.requests.iter().filter(|r| r.latency_ms.is_some()).count() as f64;
    let good = measured.requests.iter().filter(|r| r.good).count() as f64;
    let of = |f: fn(&Request) -> Option<f64>| {
        let values: Vec<f64> = measured.requests.iter().filter_map(f).collect();
        (!values.is_empty()).then(|| Value::Distribution(stats(&values)))
    };
    let tokens: f64 = run.rows.iter().filter_map(|r| r.output_tokens).map(f64::from).sum();
    let rate = |count: f64| (summary.window_s > 0.0).then(|| Value::Scalar(count / summary.window_s));
    let values: Vec<(&'static str, Option<Value>)> = vec![
        ("time_to_first_token", of(|r| r.ttft_ms)),
        ("scheduled_time_to_first_token", of(|r| r.from_scheduled(r.ttft_ms))),
        ("inter_token_latency", of(|r| r.itl_ms)),
        ("request_latency", of(|r| r.latency_ms)),
        ("scheduled_request_latency", of(|r| r.from_scheduled(r.latency_ms))),
        ("send_lag", of(Request::send_lag_ms)),
        ("output_token_throughput_per_user", of(|r| r.itl_ms.map(|itl| 1e3 / itl))),
        ("request_throughput", rate(completed)),
        ("output_token_throughput", rate(tokens)),
        ("goodput", rate(good)),
        ("scheduled_goodput", rate(good)),
        ("good_request_fraction", (completed > 0.0).then(|| Value::Scalar(good / completed))),
    ];
    let present: Vec<(&'static str, Value)> = values.into_iter().filter_map(|(n, v)| Some((n, v?))).collect();
    with(summary, &present)
}
