//! A sweep → text: what each tensor-parallel size can carry, which topologies meet the SLA, what to deploy.
//!
//! Invariants: lines keep to the style's width; every table names its stage. Not here: writing it.

use crate::forecast::Forecast;
use crate::forecast::under_load::Offered;
use crate::profiler::calibrate::Held;
use crate::profiler::calibrate::file::ProfileFile;
use crate::profiler::capacity::Capacity;
use crate::profiler::disaggregate::Handoff;
use crate::profiler::frontier::{OperatingPoint, Topology};
use crate::profiler::recommend::{Recommendation, RunnerUp};
use crate::profiler::results::aic::AicTable;
use crate::profiler::sweep::{Spec, Sweep};

use super::number::{count, number, percent, utc};
use super::terminal::{BOLD, Style, labelled, paint};
use super::text::{columns, fit, plain, wrap};

/// Rows of the table of topologies, at most; files have them all.
const TOPOLOGIES_MAX: usize = 8;
const LABEL: usize = 11;
const OURS: &str = "Topologies at the highest load within the SLA (aggregated, disaggregated; mean field, with queues)";
const AIC: &str = "AI Configurator's topologies for the same question (its own queue and transfer factors)";

/// Everything that a sweep answers, for people.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What was asked.
    pub spec: &'a Spec,
    /// What is predicted.
    pub sweep: &'a Sweep,
    /// What was played through.
    pub forecasts: &'a [Forecast],
    /// What was measured of the deployment.
    pub profile: Option<&'a ProfileFile>,
    /// What AI Configurator recommends.
    pub aic: Option<&'a AicTable>,
    /// Price of a GPU for an hour.
    pub gpu_hour_price: Option<f64>,
    /// What else there is to say.
    pub notes: &'a [String],
}

/// The text. Ends with a line feed.
pub fn render(answer: &Answer<'_>, style: Style) -> String {
    let Answer { spec, sweep, .. } = *answer;
    let mut blocks = vec![
        header(spec, style),
        capacities(&sweep.capacities, style),
        topologies(&sweep.feasible, OURS, answer.gpu_hour_price, style),
        answer.aic.map_or_else(Vec::new, |aic| topologies(&aic.points, AIC, answer.gpu_hour_price, style)),
    ];
    blocks.extend(answer.forecasts.iter().map(|f| under_load(f, style)));
    let mut lines: Vec<String> = Vec::new();
    for block in blocks.into_iter().filter(|b| !b.is_empty()) {
        lines.extend(block);
        lines.push(String::new());
    }
    for (label, value) in facts(answer) {
        let wrapped = wrap(&value, style.width.saturating_sub(LABEL).max(8));
        lines.extend(
            wrapped.iter().enumerate().map(|(i, l)| labelled(if i == 0 { label } else { "" }, LABEL, l, style)),
        );
    }
    lines.join("\n") + "\n"
}

/// A time as a profiler's log has it.
pub fn log_time(unix_ns: i64) -> String {
    let text = utc(unix_ns);
    text.get(..19).unwrap_or_default().to_owned()
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
    let title = "Static engine: one sequence alone, then the largest batch by memory, by ITL, of both (ms, GiB a GPU)";
    let mut lines = vec![fit(title, style.width)];
    lines.extend(columns(&rows).iter().map(|l| fit(l, style.width)));
    lines
}

fn topologies(points: &[OperatingPoint], title: &str, gpu_hour_price: Option<f64>, style: Style) -> Vec<String> {
    if points.is_empty() {
        return Vec::new();
    }
    let cost = if gpu_hour_price.is_some() { "price/Mtok" } else { "GPU-s/Mtok" };
    let heads = ["Topology", "GPUs", "batch", "TTFT", "ITL", "req/s", "tok/s/GPU", "/user", cost];
    let mut rows = vec![heads.map(String::from)];
    for p in points.iter().take(TOPOLOGIES_MAX) {
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
    let mut lines = vec![title.to_owned()];
    lines.extend(columns(&rows));
    if let Some(more) = points.len().checked_sub(TOPOLOGIES_MAX).filter(|n| *n > 0) {
        lines.push(format!("and {more} more"));
    }
    lines.iter().map(|l| fit(l, style.width)).collect()
}

/// What to do, and how sure that is.
pub(super) fn facts(answer: &Answer<'_>) -> Vec<(&'static str, String)> {
    let Answer { spec, sweep, .. } = *answer;
    let mut facts = Vec::new();
    match &sweep.recommendation {
        Recommendation::Deploy { best, runner_up } => {
            facts.push(("Deploy", at(best)));
            facts.extend(benchmark(best, spec).map(|text| ("Benchmark", text)));
            facts.push((
                "Runner-up",
                runner_up.as_ref().map_or("none of another kind".into(), |r| second(r, sweep.throughput_error)),
            ));
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
    for f in answer.forecasts {
        let text = format!(
            "{} holds {} of its requests within the SLA up to {} req/s, Poisson arrivals ({} in the mean field)",
            f.point.topology,
            percent(f.attainment),
            number(f.capacity_rps),
            number(f.point.requests_per_s)
        );
        facts.push(("Capacity", text));
    }
    facts.extend(answer.profile.map(calibrated).unwrap_or_default());
    facts.extend(answer.notes.iter().map(|note| ("Note", plain(note))));
    facts
}

/// What was fitted, and what it is worth.
fn calibrated(file: &ProfileFile) -> Vec<(&'static str, String)> {
    let error = |held: Option<Held>| match held {
        Some(Held { points, error_pct, uncalibrated_pct: Some(before) }) => {
            format!("held-out error {} % ({} % without) on {points} points", number(error_pct), number(before))
        }
        Some(Held { points, error_pct, .. }) => format!("held-out error {} % on {points} points", number(error_pct)),
        None => "no points left to tell its error".into(),
    };
    let mut facts = Vec::new();
    let c = &file.calibration;
    if let Some(p) = c.prefill {
        let (request, factor) = (number(p.request_ms), number(p.factor));
        let text = format!(
            "prefill, fitted at TP{}: {request} ms + {factor} x the pass; {}",
            file.prefill_tp,
            error(file.held_out.prefill)
        );
        facts.push(("Calibrated", text));
    }
    if let Some(d) = c.decode {
        let (step, sequence) = (number(d.step_ms), number(d.sequence_ms * 1e3));
        let text = format!(
            "decode, fitted at TP{}: {step} ms a step and {sequence} us a sequence more; {}",
            file.decode_tp,
            error(file.held_out.decode)
        );
        facts.push(("Calibrated", text));
    }
    if let Some(s) = c.deployment {
        let text = format!(
            "deployment: {} ms to a lone client's first token, and one request at a time through a stage of {} ms, so {} req/s at most; \
             TTFT: {}; rate: {}",
            number(s.idle_ttft_ms),
            number(s.serial_ms),
            number(1e3 / s.serial_ms),
            error(file.held_out.deployment_ttft),
            error(file.held_out.deployment_rate)
        );
        facts.push(("Calibrated", text));
        let levels: Vec<String> = [1, 2, 4, 8, 16]
            .map(|n| {
                let (ttft_ms, rate) = s.at(n);
                format!("{n}: TTFT {} ms, {} req/s", number(ttft_ms), number(rate))
            })
            .into();
        facts.push(("Deployed", format!("by that law, for clients {}", levels.join("; "))));
    }
    facts
}

fn under_load(f: &Forecast, style: Style) -> Vec<String> {
    let heads = ["Load", "TTFT p50", "p90", "p99", "ITL p50", "p90", "p99", "req/s", "within SLA", "goodput/s"];
    let mut rows = vec![heads.map(String::from)];
    for l in f.open_loop.iter().chain(&f.closed_loop).chain(&f.trace) {
        rows.push([
            offered(l.offered),
            number(l.ttft_ms.p50),
            number(l.ttft_ms.p90),
            number(l.ttft_ms.p99),
            number(l.itl_ms.p50),
            number(l.itl_ms.p90),
            number(l.itl_ms.p99),
            number(l.requests_per_s),
            percent(l.attainment),
            number(l.goodput_rps),
        ]);
    }
    let title =
        format!("Under load, {}, {} sequences each (simulated, ms)", f.point.topology, count(f.point.batch.into()));
    std::iter::once(title).chain(columns(&rows)).map(|l| fit(&l, style.width)).collect()
}

/// A level of load in words.
pub(super) fn offered(offered: Offered) -> String {
    match offered {
        Offered::RateRps(rate) => format!("{} req/s", number(rate)),
        Offered::Clients(1) => "1 client".into(),
        Offered::Clients(n) => format!("{} clients", count(n.into())),
        Offered::TraceRps(rate) => format!("trace, {} req/s", number(rate)),
    }
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

/// What a benchmark would see of an aggregated engine at its batch.
fn benchmark(p: &OperatingPoint, spec: &Spec) -> Option<String> {
    let Topology::Aggregated { tp, .. } = p.topology else { return None };
    let b = spec.benchmark(tp, p.batch)?;
    let within = |[low, high]: [f64; 2]| format!("{} to {}", number(low), number(high));
    Some(format!(
        "{} clients that begin at once on one engine would see TTFT {} ms ({}) and ITL {} ms ({}); 8 of 10 measured engines lay within",
        count(p.batch.into()),
        number(b.ttft_ms),
        within(b.ttft_band.around(b.ttft_ms)),
        number(b.tpot_ms),
        within(b.tpot_band.around(b.tpot_ms))
    ))
}

fn second(r: &RunnerUp, error: f64) -> String {
    let than = percent(error);
    let verdict = if r.distinguishable {
        format!("more than the model's error of {than}")
    } else {
        format!("not distinguishable within the model's error of {than}; measure both")
    };
    format!("{}; {} less per GPU, {verdict}", at(&r.point), percent(r.lower_by))
}
