//! A measured sweep → `online.json` and `online.csv`, in the words of `sweep.json` where they mean the same.
//!
//! Every figure is measured; a cost says on which clock. What is not known is null, never 0.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::aiperf_json::utc_iso;
use crate::comparison::measured_sweep::{Bounds, MeasuredPoint, MeasuredPrefill, Recommendation};
use crate::comparison::profiled::{MeasuredSweep, Profiled, State, Task};
use crate::comparison::selection::{Budget, Candidate, Choice, Method};
use crate::rng::Seed;

/// Name and version of the other JSON's shape.
const SELECTION_SCHEMA: &str = "loadline.selection/1";
/// The file with what a method chose.
pub const SELECTION_NAME: &str = "selection.json";
/// Name and version of the JSON's shape.
const SCHEMA: &str = "loadline.online/1";
/// Names of the files.
pub const JSON_NAME: &str = "online.json";
/// The same as rows.
pub const CSV_NAME: &str = "online.csv";

/// The file's content.
pub fn json(o: &MeasuredSweep<'_>) -> Value {
    let recommendation = match o.recommendation {
        Some(Recommendation::Deploy { best, runner_up }) => json!({
            "feasible": true,
            "best": point(best, o.bounds),
            "engines_in_max_gpus": o.max_gpus / best.gpus.max(1),
            "runner_up": runner_up.as_ref().map(|second| json!({
                "point": point(second, o.bounds),
                "lower_by": 1.0 - second.tokens_per_s_per_gpu() / best.tokens_per_s_per_gpu(),
            })),
        }),
        Some(Recommendation::Infeasible { binding, nearest }) => {
            json!({"feasible": false, "binding": binding, "nearest": point(nearest, o.bounds)})
        }
        None => Value::Null,
    };
    let missing: Vec<Value> = o
        .candidates
        .iter()
        .filter(|c| c.state != State::Measured)
        .map(|c| json!({"tp": c.tp, "state": c.state, "reason": c.reason}))
        .collect();
    json!({
        "schema": SCHEMA,
        "loadline_version": env!("CARGO_PKG_VERSION"),
        "source": "measured",
        "model": o.model,
        "gpu": o.gpu,
        "backend": o.backend,
        "workload": {"isl_tokens": o.isl, "osl_tokens": o.osl},
        "sla": o.bounds,
        "max_gpus": o.max_gpus,
        "candidates": o.candidates.iter().map(|c| candidate(c, o.bounds)).collect::<Vec<_>>(),
        "missing": missing,
        "cost": {
            "source": "measured",
            "clock": o.clock(),
            "deployments": o.candidates.iter().filter(|c| c.ready_at_ns.is_some()).count(),
            "deployed_s": o.deployed_s(),
            "gpu_s": o.gpu_s(),
            "gpu_hours": o.gpu_s() / 3600.0,
            "wall_s": o.wall_s,
        },
        "recommendation": recommendation,
        "notes": o.notes,
    })
}

/// What a method chose, among what, and what each of its measurements said and cost. `clock` is that of the costs.
pub fn selection(
    candidates: &[Candidate],
    choice: &Choice,
    (method, budget, seed): (&Method, &Budget, Seed),
    clock: &str,
) -> Value {
    let bound = |x: f64| Some(x).filter(|x| x.is_finite());
    json!({
        "schema": SELECTION_SCHEMA,
        "loadline_version": env!("CARGO_PKG_VERSION"),
        "method": choice.method,
        "about": method.about,
        "seed": seed.0,
        "value": "tokens_per_s_per_gpu where the SLA is met, else 0",
        "budget": {"measurements": bound(budget.measurements), "gpu_s": bound(budget.gpu_s)},
        "candidates": candidates,
        "chosen": choice.chosen,
        "chosen_candidate": choice.chosen.map(|c| &candidates[c]),
        "steps": choice.steps,
        "cost": {
            "source": "measured",
            "clock": clock,
            "measurements": choice.measurements(),
            "wall_s": choice.wall_s(),
            "gpu_s": choice.gpu_s(),
        },
        "notes": choice.notes,
    })
}

fn candidate(c: &Profiled, bounds: Bounds) -> Value {
    let utc = |ns: Option<i64>| ns.filter(|ns| *ns > 0).map(utc_iso);
    json!({
        "name": format!("TP{}", c.tp),
        "tp": c.tp,
        "gpus": c.spent.gpus,
        "deployment": c.deployment,
        "state": c.state,
        "reason": c.reason,
        "url": c.url,
        "log": c.log,
        "started_at": utc(Some(c.started_ns)),
        "ready_at": utc(c.ready_at_ns),
        "ended_at": utc(Some(c.ended_ns)),
        "cost": {
            "source": "measured",
            "clock": c.clock(),
            "ready_s": c.spent.ready_s,
            "measure_s": c.spent.measure_s,
            "gpu_s": c.spent.gpu_s(),
        },
        "prefill": c.prefill.iter().map(prefill).collect::<Vec<_>>(),
        "points": c.points.iter().map(|p| point(p, bounds)).collect::<Vec<_>>(),
        "search_ended_by": c.end,
        "max_batch": c.points.iter().filter(|p| p.strain(bounds) <= 1.0).map(|p| p.batch).max(),
        "capacity": {"batch": Some(c.capacity).filter(|n| *n > 0), "saturated": c.is_saturated},
    })
}

fn prefill(p: &MeasuredPrefill) -> Value {
    json!({
        "isl_tokens": p.isl_tokens,
        "ttft_ms": p.ttft_ms,
        "tokens_per_s_per_gpu": p.tokens_per_s_per_gpu(),
        "requests": p.requests,
        "run_dir": Task::Prefill { isl: p.isl_tokens }.dir(p.tp),
    })
}

/// One operating point: of one engine, which prefills and decodes.
fn point(p: &MeasuredPoint, bounds: Bounds) -> Value {
    json!({
        "stage": "aggregated",
        "name": format!("1 x TP{}", p.tp),
        "topology": {"mode": "aggregated", "tp": p.tp, "replicas": 1},
        "gpus": p.gpus,
        "batch": p.batch,
        "ttft_ms": p.ttft_ms,
        "itl_ms": p.itl_ms,
        "requests_per_s": p.requests_per_s,
        "tokens_per_s_per_gpu": p.tokens_per_s_per_gpu(),
        "tokens_per_s_per_user": p.itl_ms.map(|ms| 1e3 / ms),
        "meets_sla": p.strain(bounds) <= 1.0,
        "requests": p.requests,
        "numbers_are_of": if p.is_steady { "steady_state" } else { "whole_run" },
        "run_dir": Task::Decode { clients: p.batch }.dir(p.tp),
    })
}

/// Every run, with a head line: prefill runs have a prompt length of their own, and no ITL.
pub fn csv(o: &MeasuredSweep<'_>) -> String {
    let mut text = String::from(
        "stage,topology,gpus,batch,isl_tokens,ttft_ms,itl_ms,requests_per_s,tokens_per_s_per_gpu,tokens_per_s_per_user,meets_sla,\
         requests,run_dir\n",
    );
    let shown = |x: Option<f64>| x.map_or_else(String::new, |x| format!("{x:.3}"));
    for c in o.candidates {
        for p in &c.prefill {
            let _ = writeln!(
                text,
                "prefill,TP{},{},1,{},{:.3},,,{:.3},,{},{},{}",
                p.tp,
                p.gpus,
                p.isl_tokens,
                p.ttft_ms,
                p.tokens_per_s_per_gpu(),
                p.ttft_ms <= o.bounds.ttft_ms,
                p.requests,
                Task::Prefill { isl: p.isl_tokens }.dir(p.tp)
            );
        }
        for p in &c.points {
            let _ = writeln!(
                text,
                "aggregated,1 x TP{},{},{},{},{},{},{:.4},{:.3},{},{},{},{}",
                p.tp,
                p.gpus,
                p.batch,
                o.isl,
                shown(p.ttft_ms),
                shown(p.itl_ms),
                p.requests_per_s,
                p.tokens_per_s_per_gpu(),
                shown(p.itl_ms.map(|ms| 1e3 / ms)),
                p.strain(o.bounds) <= 1.0,
                p.requests,
                Task::Decode { clients: p.batch }.dir(p.tp)
            );
        }
    }
    text
}
