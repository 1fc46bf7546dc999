//! A sweep → text: what each tensor-parallel size can carry, which topologies meet the SLA, what to deploy.
//!
//! Invariants: lines keep to the style's width; every table names its stage. Not here: writing it.

use crate::profiler::capacity::Capacity;
use crate::profiler::disaggregate::Handoff;
use crate::profiler::frontier::{OperatingPoint, Topology};
use crate::profiler::recommend::{Recommendation, RunnerUp, THROUGHPUT_ERROR};
use crate::profiler::sweep::{Spec, Sweep};

use super::number::{count, number, percent};
use super::terminal::{BOLD, Style, labelled, paint};
use super::text::{columns, fit, plain, wrap};

/// Rows of the table of topologies, at most; files have them all.
const TOPOLOGIES_MAX: usize = 8;
const LABEL: usize = 11;

/// The text. Ends with a line feed.
pub fn render(spec: &Spec, sweep: &Sweep, gpu_hour_price: Option<f64>, notes: &[String], style: Style) -> String {
    let blocks = [header(spec, style), capacities(&sweep.capacities, style), topologies(sweep, gpu_hour_price, style)];
    let mut lines: Vec<String> = Vec::new();
    for block in blocks.into_iter().filter(|b| !b.is_empty()) {
        lines.extend(block);
        lines.push(String::new());
    }
    let notes = notes.iter().map(|note| ("Note", plain(note)));
    for (label, value) in answer(spec, sweep).into_iter().chain(notes) {
        let wrapped = wrap(&value, style.width.saturating_sub(LABEL).max(8));
        lines.extend(
            wrapped.iter().enumerate().map(|(i, l)| labelled(if i == 0 { label } else { "" }, LABEL, l, style)),
        );
    }
    lines.join("\n") + "\n"
}

fn header(spec: &Spec, style: Style) -> Vec<String> {
    let w = spec.workload;
    let title = format!("Sweep of {} on {}, {}", spec.model.names[0], spec.gpu.name, spec.backend.as_str());
    vec![
        paint(&fit(&title, style.width), BOLD, style),
        fit(
            &format!(
                "Prompts of {} and answers of {} tokens; mean TTFT {} ms and ITL {} ms at most; up to {} GPUs",
                count(w.isl_tokens.into()),
                count(w.osl_tokens.into()),
                number(spec.sla.ttft_ms),
                number(spec.sla.itl_ms),
                spec.max_gpus
            ),
            style.width,
        ),
    ]
}

fn capacities(capacities: &[Capacity], style: Style) -> Vec<String> {
    let gib = |bytes: f64| number((bytes / f64::from(1 << 30) * 10.0).round() / 10.0);
    let heads = [
        "TP",
        "weights",
        "activ.",
        "KV GiB",
        "KV tokens",
        "TTFT",
        "ITL",
        "max mem",
        "max ITL",
        "batch",
        "ITL",
        "tok/s/GPU",
        "/user",
    ];
    let mut rows = vec![heads.map(String::from)];
    for c in capacities {
        let at_max = |f: fn(&crate::profiler::capacity::BatchPoint) -> f64| {
            c.full.as_ref().map_or("–".into(), |p| number(f(p)))
        };
        rows.push([
            c.tp.to_string(),
            gib(c.memory.weights_bytes),
            gib(c.memory.activation_bytes),
            gib(c.memory.kv_bytes),
            count(c.kv_tokens),
            number(c.alone.ttft_ms),
            number(c.alone.itl_ms),
            count(c.max_batch_memory.into()),
            count(c.max_batch_itl.into()),
            count(c.max_batch.into()),
            at_max(|p| p.itl_ms),
            at_max(|p| p.tokens_per_s_per_gpu),
            at_max(|p| p.tokens_per_s_per_user),
        ]);
    }
    let title =
        "Static engine: one sequence alone, then the largest batch by memory, by ITL and of both (ms, GiB per GPU)";
    let mut lines = vec![fit(title, style.width)];
    lines.extend(columns(&rows).iter().map(|l| fit(l, style.width)));
    lines
}

fn topologies(sweep: &Sweep, gpu_hour_price: Option<f64>, style: Style) -> Vec<String> {
    if sweep.feasible.is_empty() {
        return Vec::new();
    }
    let cost = if gpu_hour_price.is_some() { "price/Mtok" } else { "GPU-s/Mtok" };
    let heads = ["Topology", "GPUs", "batch", "TTFT", "ITL", "req/s", "tok/s/GPU", "/user", cost];
    let mut rows = vec![heads.map(String::from)];
    for p in sweep.feasible.iter().take(TOPOLOGIES_MAX) {
        let gpu_s = p.gpu_s_per_million_tokens();
        rows.push([
            p.topology.to_string(),
            p.topology.gpus().to_string(),
            count(p.batch.into()),
            number(p.ttft_ms),
            number(p.itl_ms),
            number(p.requests_per_s),
            number(p.tokens_per_s_per_gpu),
            number(p.tokens_per_s_per_user),
            number(gpu_hour_price.map_or(gpu_s, |price| price * gpu_s / 3600.0)),
        ]);
    }
    let mut lines = vec![
        "Topologies at the highest load within the SLA (aggregated or disaggregated, mean field with queueing)".into(),
    ];
    lines.extend(columns(&rows));
    if let Some(more) = sweep.feasible.len().checked_sub(TOPOLOGIES_MAX).filter(|n| *n > 0) {
        lines.push(format!("and {more} more"));
    }
    lines.iter().map(|l| fit(l, style.width)).collect()
}

fn answer(spec: &Spec, sweep: &Sweep) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    match &sweep.recommendation {
        Recommendation::Deploy { best, runner_up } => {
            facts.push(("Deploy", at(best)));
            facts.push(("Runner-up", runner_up.as_ref().map_or("none of another kind".into(), second)));
        }
        Recommendation::Infeasible { binding, nearest } => {
            facts.push(("Infeasible", format!("no topology meets the SLA: {} binds", binding.as_str())));
            if let Some(p) = nearest {
                let bounds =
                    format!("TTFT {} ms and ITL {} ms asked for", number(spec.sla.ttft_ms), number(spec.sla.itl_ms));
                facts.push(("Nearest", format!("{}; {bounds}", at(p))));
            }
        }
    }
    facts.push((
        "Error",
        format!(
            "throughput is off by {} in the mean where the model was held against measurements; TTFT under load by more",
            percent(THROUGHPUT_ERROR)
        ),
    ));
    let disaggregated = matches!(sweep.recommendation.topology(), Some(Topology::Disaggregated { .. }));
    if disaggregated {
        facts.push((
            "Hand-off",
            format!(
                "{} MB of KV blocks a prompt in {} ms, assumed {} GB/s; over TCP it can take a second",
                number((Handoff::bytes(spec.model, spec.workload.isl_tokens) / 1e6).round()),
                number(sweep.handoff_ms),
                number(spec.handoff.bytes_per_s / 1e9)
            ),
        ));
    }
    facts
}

/// A point in words.
fn at(p: &OperatingPoint) -> String {
    let how = match p.topology {
        Topology::Aggregated { .. } => "aggregated",
        Topology::Disaggregated { .. } => "disaggregated",
    };
    format!(
        "{} ({how}), {} in flight on each: TTFT {} ms, ITL {} ms, {} req/s, {} tok/s/GPU",
        p.topology,
        count(p.batch.into()),
        number(p.ttft_ms),
        number(p.itl_ms),
        number(p.requests_per_s),
        number(p.tokens_per_s_per_gpu)
    )
}

fn second(r: &RunnerUp) -> String {
    let verdict = if r.distinguishable {
        "more than the model's error"
    } else {
        "not distinguishable by this model; measure both"
    };
    format!("{}; {} less per GPU, {verdict}", at(&r.point), percent(r.lower_by))
}
