//! What a profiler left → cost, deployment, predictions: the log, the planner's tables, and our own `sweep.json` and `online.json`.
//!
//! Cost is measured where time stamps or counts of what happened tell it. What is known of it too little to tell is not told:
//! a log without the lines that begin each test gives no GPU hours.

use std::path::Path;

use super::json::{number, read as read_json, text, whole};
use crate::comparison::method::{Figure, LEVELS, Method, Predicted, Source, Target};
use crate::error::Result;
use crate::profiler::results::folder::ProfilerRun;
use crate::profiler::results::log::ProfileLog;

/// Reads what a profiler left in a directory; `false` where it left nothing.
///
/// # Errors
/// As [`ProfilerRun::read`].
pub(super) fn read(method: &mut Method, dir: &Path, target: Target) -> Result<bool> {
    let Some(run) = ProfilerRun::read(dir)? else { return Ok(false) };
    let predicted = |ms: f64, from: &str| Predicted { ms, from: from.to_owned() };
    if let Some(log) = &run.log {
        cost(method, log);
        let deployment = &mut method.deployment;
        if let Some(m) = &log.prefill {
            method.ttft.get_or_insert_with(|| predicted(m.latency_ms, "profile_sla.log"));
            method.prefill_tokens_per_s_per_gpu.get_or_insert(m.tokens_per_s_per_gpu);
            deployment.prefill_gpus = deployment.prefill_gpus.or(m.gpus);
            deployment.prefill_mapping.get_or_insert_with(|| m.label.clone());
        }
        if let Some(m) = &log.decode {
            method.itl.get_or_insert_with(|| predicted(m.latency_ms, "profile_sla.log"));
            method.decode_tokens_per_s_per_gpu.get_or_insert(m.tokens_per_s_per_gpu);
            deployment.decode_gpus = deployment.decode_gpus.or(m.gpus);
            deployment.decode_mapping.get_or_insert_with(|| m.label.clone());
        }
    }
    if let Some(config) = &run.config {
        let deployment = &mut method.deployment;
        let worker = |w: &Option<crate::profiler::results::planner::Worker>| {
            w.as_ref().map(|w| (w.gpus.or(w.tp).map(|n| n.saturating_mul(w.replicas)), w.tp.map(|n| format!("TP{n}"))))
        };
        if let Some((gpus, mapping)) = worker(&config.prefill_worker) {
            deployment.prefill_gpus = gpus.or(deployment.prefill_gpus);
            deployment.prefill_mapping = deployment.prefill_mapping.take().or(mapping);
        }
        if let Some((gpus, mapping)) = worker(&config.decode_worker) {
            deployment.decode_gpus = gpus.or(deployment.decode_gpus);
            deployment.decode_mapping = deployment.decode_mapping.take().or(mapping);
        }
        deployment.gpus = deployment.gpus.or(config.gpus());
        method.backend = method.backend.take().or(config.backend.map(|b| b.as_str().to_owned()));
        method.model = method.model.take().or_else(|| config.model.clone());
    } else if let (None, Some(p), Some(d)) =
        (method.deployment.gpus, method.deployment.prefill_gpus, method.deployment.decode_gpus)
    {
        method.deployment.gpus = p.checked_add(d);
    }
    if let Some(table) = &run.prefill
        && let Some(ms) = table.ttft_ms_at(target.isl.into())
    {
        method.ttft.get_or_insert_with(|| predicted(ms, "the prefill table, interpolated"));
    }
    if let Some(table) = &run.decode {
        method.notes.extend(table.doubt(None));
        let context = f64::from(target.isl) + f64::from(target.osl) / 2.0;
        for (name, level) in LEVELS.into_iter().zip(&mut method.levels) {
            let clients = level.measured.as_ref().and_then(|m| m.concurrency);
            if let Some(ms) = clients.and_then(|n| table.itl_ms_at(n.into(), context)) {
                let from = format!("the decode table at the {name} load, interpolated");
                level.itl.get_or_insert(Predicted { ms, from });
            }
        }
        if let Some(ms) = table.itl_ms_at(1.0, context) {
            method.itl.get_or_insert_with(|| predicted(ms, "the decode table, one sequence, interpolated"));
        }
    }
    Ok(true)
}

fn cost(method: &mut Method, log: &ProfileLog) {
    let cost = &mut method.cost;
    let figure = |value, source, from: &str| Figure { value, source, from: from.to_owned() };
    // Lines that all bear one time, as those of a written log do, tell no duration.
    if let Some(s) = log.duration_s.filter(|s| *s > 0.0) {
        let from = "first to last time in profile_sla.log, image pulls included";
        cost.wall_s.get_or_insert_with(|| figure(s, Source::Measured, from));
    }
    let tested: u64 = log.tested.iter().sum();
    if tested > 0 {
        let from = "tests that profile_sla.log tells of";
        cost.deployments.get_or_insert_with(|| figure(tested as f64, Source::Measured, from));
        method.configs_tested.get_or_insert(log.tested);
        if let Some(gpu_s) = log.gpu_s {
            let from = "GPUs times the time from each test in profile_sla.log to the next";
            cost.gpu_hours.get_or_insert_with(|| figure(gpu_s / 3600.0, Source::Measured, from));
        }
    } else if log.deployments > 0 {
        let from = "ready deployments in profile_sla.log, which tells of those of its prefill half alone: at least";
        cost.deployments.get_or_insert_with(|| figure(log.deployments as f64, Source::Estimated, from));
    } else if log.used_aiconfigurator {
        let from = "profile_sla.log predicts, and tells of no deployment";
        cost.deployments.get_or_insert_with(|| figure(0.0, Source::Measured, from));
        cost.gpu_hours.get_or_insert_with(|| figure(0.0, Source::Measured, from));
    }
}

/// The account of a plan's step, above the directory of its results.
const STEP: &str = "step.json";

/// How long the step of a plan took whose results lie in a directory, in seconds; `None` where no plan made them.
///
/// # Errors
/// As the account's.
pub(super) fn step_s(dir: &Path) -> Result<Option<Figure>> {
    let account = dir.join("..").join(STEP);
    if !account.is_file() {
        return Ok(None);
    }
    let figure = |value| Figure { value, source: Source::Measured, from: account.display().to_string() };
    Ok(number(&read_json(&account)?, "/wall_s").map(figure))
}

/// Reads what `sweep` wrote.
///
/// # Errors
/// As the file's.
pub(super) fn sweep(method: &mut Method, path: &Path) -> Result<()> {
    let json = read_json(path)?;
    let from = || format!("{} (recommendation)", path.display());
    let best = ["/recommendation/best", "/recommendation/nearest"]
        .into_iter()
        .find(|at| json.pointer(at).is_some_and(serde_json::Value::is_object));
    let Some(best) = best else {
        method.notes.push(format!("{} recommends nothing", path.display()));
        return Ok(());
    };
    let at = |name: &str| number(&json, &format!("{best}/{name}"));
    if let Some(ms) = at("ttft_ms") {
        method.ttft.get_or_insert_with(|| Predicted { ms, from: from() });
    }
    if let Some(ms) = at("itl_ms") {
        method.itl.get_or_insert_with(|| Predicted { ms, from: from() });
    }
    method.deployment.gpus = method.deployment.gpus.or(whole(&json, &format!("{best}/gpus")));
    method.backend = method.backend.take().or(text(&json, "/backend"));
    method.model = method.model.take().or(text(&json, "/model"));
    let figure = |value, source, from: String| Figure { value, source, from };
    let cost = &mut method.cost;
    let is_measured = json.pointer("/cost/source").is_some_and(|s| s == "measured");
    let source = if is_measured { Source::Measured } else { Source::Estimated };
    let clock = text(&json, "/cost/clock");
    // How long the simulating took says nothing of a deployment's time.
    let wall = if clock.as_deref() == Some("simulated") { "deployed_s" } else { "wall_s" };
    let clock = clock.map_or_else(String::new, |clock| format!(", {clock} clock"));
    for (of, name) in
        [(&mut cost.wall_s, wall), (&mut cost.gpu_hours, "gpu_hours"), (&mut cost.deployments, "deployments")]
    {
        if let Some(value) = number(&json, &format!("/cost/{name}")).filter(|_| of.is_none()) {
            *of = Some(figure(value, source, format!("{}{clock}", path.display())));
        }
    }
    if json.get("cost").is_none() {
        let from = || format!("{} predicts: nothing was deployed", path.display());
        cost.gpu_hours.get_or_insert_with(|| figure(0.0, Source::Measured, from()));
        cost.deployments.get_or_insert_with(|| figure(0.0, Source::Measured, from()));
        // It does not tell how long it took; where `plan` ran it, its account does.
        if let Some(step) = path.parent().map(step_s).transpose()?.flatten() {
            cost.wall_s.get_or_insert(step);
        }
    }
    Ok(())
}
