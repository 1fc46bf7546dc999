//! A sweep → `sweep.json` and `sweep.csv`: everything that was predicted, each figure with its stage.
//!
//! The JSON's `schema` names its version. The CSV has one row for every operating point: of the static engine, and of the
//! topologies, SLA or not.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::forecast::Forecast;
use crate::profiler::frontier::{OperatingPoint, Topology};
use crate::profiler::recommend::Recommendation;
use crate::profiler::sweep::{Spec, Sweep};

/// Name and version of the JSON's shape.
const SCHEMA: &str = "loadline.sweep/1";

/// The whole sweep.
///
/// # Errors
/// [`Error::Internal`] where a figure is no number.
pub fn json(
    spec: &Spec,
    sweep: &Sweep,
    forecasts: &[Forecast],
    gpu_hour_price: Option<f64>,
    notes: &[String],
) -> Result<Value> {
    let points =
        |points: &[OperatingPoint]| -> Vec<Value> { points.iter().map(|p| point(p, spec, gpu_hour_price)).collect() };
    let recommendation = match &sweep.recommendation {
        Recommendation::Deploy { best, runner_up } => json!({
            "feasible": true,
            "best": point(best, spec, gpu_hour_price),
            "benchmark_of_best": benchmark(best, spec),
            "runner_up": runner_up.as_ref().map(|r| json!({
                "point": point(&r.point, spec, gpu_hour_price),
                "lower_by": r.lower_by,
                "distinguishable": r.distinguishable,
            })),
            "throughput_error": sweep.throughput_error,
        }),
        Recommendation::Infeasible { binding, nearest } => json!({
            "feasible": false,
            "binding": binding,
            "nearest": nearest.as_ref().map(|p| point(p, spec, gpu_hour_price)),
        }),
    };
    let internal = |e: serde_json::Error| Error::Internal(e.to_string());
    let static_engine = serde_json::to_value(&sweep.capacities).map_err(internal)?;
    let under_load = serde_json::to_value(forecasts).map_err(internal)?;
    Ok(json!({
        "schema": SCHEMA,
        "loadline_version": env!("CARGO_PKG_VERSION"),
        "model": spec.model.names[0],
        "gpu": spec.gpu.name,
        "backend": spec.backend.as_str(),
        "workload": spec.workload,
        "sla": spec.sla,
        "max_gpus": spec.max_gpus,
        "gpu_hour_price": gpu_hour_price,
        "handoff": {"bytes_per_s": spec.handoff.bytes_per_s, "constant_ms": spec.handoff.constant_ms, "ms": sweep.handoff_ms},
        "static_engine": static_engine,
        "topologies": points(&sweep.feasible),
        "pareto_front": points(&sweep.front),
        "pareto_front_any_ttft": points(&sweep.front_any_ttft),
        "recommendation": recommendation,
        "under_load": under_load,
        "notes": notes,
    }))
}

/// Every operating point, with a head line.
pub fn csv(spec: &Spec, sweep: &Sweep) -> String {
    let mut text = String::from(
        "stage,topology,gpus,batch,ttft_ms,itl_ms,requests_per_s,tokens_per_s_per_gpu,tokens_per_s_per_user,meets_sla\n",
    );
    for c in &sweep.capacities {
        for p in &c.curve {
            // One prompt is prefilled at a time: the TTFT of a prompt is that of a batch of one.
            let meets = c.alone.ttft_ms <= spec.sla.ttft_ms && p.itl_ms <= spec.sla.itl_ms;
            let _ = writeln!(
                text,
                "static,TP{},{},{},{:.3},{:.3},,{:.3},{:.3},{meets}",
                c.tp, c.tp, p.batch, p.ttft_ms, p.itl_ms, p.tokens_per_s_per_gpu, p.tokens_per_s_per_user
            );
        }
    }
    for p in &sweep.all {
        let _ = writeln!(
            text,
            "{},{},{},{},{:.3},{:.3},{:.4},{:.3},{:.3},{}",
            stage(p.topology),
            p.topology,
            p.topology.gpus(),
            p.batch,
            p.ttft_ms,
            p.itl_ms,
            p.requests_per_s,
            p.tokens_per_s_per_gpu,
            p.tokens_per_s_per_user,
            p.strain(spec.sla) <= 1.0
        );
    }
    text
}

fn stage(topology: Topology) -> &'static str {
    match topology {
        Topology::Aggregated { .. } => "aggregated",
        Topology::Disaggregated { .. } => "disaggregated",
    }
}

/// What a benchmark of an aggregated engine would measure at its batch; null for other topologies.
fn benchmark(p: &OperatingPoint, spec: &Spec) -> Value {
    let Topology::Aggregated { tp, .. } = p.topology else { return Value::Null };
    spec.benchmark(tp, p.batch).map_or(Value::Null, |b| {
        json!({
            "stage": b.stage.as_str(),
            "clients": p.batch,
            "ttft_ms": b.ttft_ms,
            "ttft_band_ms": b.ttft_band.around(b.ttft_ms),
            "tpot_ms": b.tpot_ms,
            "tpot_band_ms": b.tpot_band.around(b.tpot_ms),
        })
    })
}

/// One operating point.
pub fn point(p: &OperatingPoint, spec: &Spec, gpu_hour_price: Option<f64>) -> Value {
    let gpu_s = p.gpu_s_per_million_tokens();
    json!({
        "stage": stage(p.topology),
        "name": p.topology.to_string(),
        "topology": p.topology,
        "gpus": p.topology.gpus(),
        "batch": p.batch,
        "ttft_ms": p.ttft_ms,
        "itl_ms": p.itl_ms,
        "requests_per_s": p.requests_per_s,
        "tokens_per_s_per_gpu": p.tokens_per_s_per_gpu,
        "tokens_per_s_per_user": p.tokens_per_s_per_user,
        "gpu_s_per_million_tokens": gpu_s,
        "price_per_million_tokens": gpu_hour_price.map(|price| price * gpu_s / 3600.0),
        "meets_sla": p.strain(spec.sla) <= 1.0,
    })
}
