//! A comparison → `comparison_results.json`: the keys of the original's file at their places, corrected, and more.
//!
//! What is not known is null, never 0. Errors are in per cent and signed, `(predicted − actual) / actual`; those of a level without
//! a name of a statistic are of its medians. `actual_goodput` is requests per second that met both targets; shares are from 0
//! to 1, `optimization_regret` among them; `ground_truth_*` are of the best that was measured.

use serde_json::{Value, json};

use crate::comparison::answers::{QUESTIONS, answers};
use crate::comparison::bootstrap::Interval;
use crate::comparison::closed_loop::{Law, slo_rate};
use crate::comparison::criteria::criteria;
use crate::comparison::judgement::{At, Comparison, Judged, P50};
use crate::comparison::method::{Figure, LEVELS, MEDIUM, Measured, Method, Predicted, Quantiles, Target};
use crate::comparison::prediction_error::PredictionError;
use crate::comparison::regret::Regret;

/// Version of the file.
pub const SCHEMA_VERSION: u32 = 1;
/// Its name.
pub const FILE_NAME: &str = "comparison_results.json";

/// The file's content. `timestamp` is when it is made.
pub fn json(c: &Comparison, timestamp: &str) -> Value {
    let q = &c.question;
    let name = |index: Option<usize>| index.map(|i| c.methods[i].method.name.as_str());
    let in_unit = |at: &At| if c.is_per_gpu { at.per_gpu } else { Some(at.rps) };
    json!({
        "timestamp": timestamp,
        "model": c.model(),
        "backend": c.backend(),
        "target_ttft": q.target.ttft_ms,
        "target_itl": q.target.itl_ms,
        "isl": q.target.isl,
        "osl": q.target.osl,
        "ground_truth_method": name(c.best.as_ref().map(|b| b.method)),
        "ground_truth_goodput": c.best.as_ref().map(|b| b.at.rps),
        "fastest_method": name(c.fastest),
        "lowest_cost_method": name(c.lowest_cost),
        "most_accurate_at_medium": name(c.most_accurate_at_medium),
        "best_optimization_method": name(c.best_optimization),
        "methods": c.methods.iter().map(|m| method(c, m)).collect::<Vec<_>>(),
        "schema_version": SCHEMA_VERSION,
        "loadline_version": env!("CARGO_PKG_VERSION"),
        "error_definition": "(predicted - actual) / actual",
        "regret_definition": "(best measured - own) / best measured",
        "goodput_unit": c.unit(),
        "goodput_compared_at": c.basis.as_str(),
        "retuned_by_goodput_search": c.is_by_search,
        "ground_truth_goodput_in_unit": c.best.as_ref().and_then(|b| in_unit(&b.at)),
        "reference_method": c.reference().map(|m| m.method.name.as_str()),
        "notes": c.notes,
        "confidence_level": q.resampling.level,
        "resamples": q.resampling.resamples,
        "random_seed": q.resampling.seed.0,
        "success_bounds": {"faster": q.bounds.faster, "accuracy": q.bounds.accuracy, "regret": q.bounds.regret},
        "answers": QUESTIONS.iter().zip(answers(c))
            .map(|(question, answer)| json!({"question": question, "answer": answer})).collect::<Vec<_>>(),
    })
}

fn method(c: &Comparison, judged: &Judged) -> Value {
    let m = &judged.method;
    let error_at = |level: usize| pct(judged.errors[level].ttft[P50]);
    let value = |f: &Option<Figure>| f.as_ref().map(|f| f.value);
    let ms = |p: &Option<Predicted>| p.as_ref().map(|p| p.ms);
    let d = &m.deployment;
    let strict = judged.strict.as_ref();
    let target = c.question.target;
    let mut value = json!({
        "method_name": m.name,
        "method_description": if m.is_reference { "the method that others are held against" } else { "a method" },
        "source_dir": m.source_dir,
        "total_duration_seconds": value(&m.cost.wall_s),
        "num_deployments_created": value(&m.cost.deployments),
        "gpu_hours_consumed": value(&m.cost.gpu_hours),
        "num_prefill_configs_tested": m.configs_tested.map(|n| n[0]),
        "num_decode_configs_tested": m.configs_tested.map(|n| n[1]),
        "recommended_prefill_gpus": d.prefill_gpus,
        "recommended_prefill_mapping": d.prefill_mapping,
        "recommended_decode_gpus": d.decode_gpus,
        "recommended_decode_mapping": d.decode_mapping,
        "predicted_ttft": ms(&m.ttft),
        "predicted_itl": ms(&m.itl),
        "predicted_prefill_thpt_per_gpu": m.prefill_tokens_per_s_per_gpu,
        "predicted_decode_thpt_per_gpu": m.decode_tokens_per_s_per_gpu,
        "validated": m.levels.iter().any(|l| l.measured.is_some()),
        "ttft_error_at_idle": error_at(0),
        "ttft_error_at_medium": error_at(MEDIUM),
        "ttft_error_at_saturation": error_at(2),
        "ttft_error_at_overload": error_at(3),
        "load_level_metrics": (0..LEVELS.len()).filter_map(|i| level(judged, i, target)).collect::<Vec<_>>(),
        "optimization_validated": m.optimization.is_some(),
        "actual_goodput": strict.map(|at| at.rps),
        "actual_sla_hit_rate": attainment(c, judged),
        "optimization_regret": judged.regret.value(),
    });
    if let (Value::Object(to), Value::Object(from)) = (&mut value, more(c, judged)) {
        to.extend(from);
    }
    value
}

/// The share of requests that met both targets, at the load that methods are compared at.
fn attainment(c: &Comparison, judged: &Judged) -> Option<f64> {
    let at = judged.method.measured().find(|(name, _)| *name == c.basis.as_str());
    at.and_then(|(_, m)| m.attainment)
}

/// What the original's file does not have.
fn more(c: &Comparison, judged: &Judged) -> Value {
    let m = &judged.method;
    let figure =
        |f: &Option<Figure>| f.as_ref().map(|f| json!({"value": f.value, "source": f.source.as_str(), "from": f.from}));
    let (validation_s, validation_gpu_hours) = m.validation_cost();
    let source = |p: &Option<Predicted>| p.as_ref().map(|p| p.from.clone());
    let at = |at: &Option<At>| at.as_ref().map(|a| json!({"load": a.load, "rps": a.rps, "rps_per_gpu": a.per_gpu}));
    let interval = |i: &Option<Interval>| {
        i.map(|i| json!({"estimate": i.estimate, "low": i.low, "high": i.high, "paired": i.is_paired}))
    };
    let retuned = judged.regret_retuned_ends.map(|(low, high)| json!({"low": low, "high": high}));
    json!({
        "is_reference": m.is_reference,
        "is_candidate": m.is_candidate,
        "model": m.model,
        "backend": m.backend,
        "gpus": m.deployment.gpus,
        "predicted_ttft_from": source(&m.ttft),
        "predicted_itl_from": source(&m.itl),
        "cost": {
            "wall_s": figure(&m.cost.wall_s),
            "gpu_hours": figure(&m.cost.gpu_hours),
            "deployments": figure(&m.cost.deployments),
            "validation_wall_s": validation_s,
            "validation_gpu_hours": validation_gpu_hours,
            "validation_from": m.validation_s.iter().map(|f| json!({"wall_s": f.value, "from": f.from})).collect::<Vec<_>>(),
        },
        "goodput": {"strict": at(&judged.strict), "retuned": at(&judged.retuned)},
        "goodput_unknown": m.measured()
            .filter_map(|(name, m)| m.goodput_unknown.as_ref().map(|reason| json!({"load": name, "reason": reason})))
            .collect::<Vec<_>>(),
        "regret": {
            "strict": regret(&judged.regret, interval(&judged.regret_interval).as_ref()),
            "retuned": regret(&judged.regret_retuned, retuned.as_ref()),
            "strict_absolute": regret(&judged.regret_absolute, None),
            "strict_chosen_on_one_half_scored_on_the_other": judged.regret_by_halves,
        },
        "course": judged.course.iter()
            .map(|(hours, lost)| json!({"gpu_hours": hours, "regret": lost}))
            .collect::<Vec<_>>(),
        "goodput_less_that_of_reference": interval(&judged.difference),
        "goodput_search": m.search.as_ref().map(|s| json!({"rate_rps": s.rate_rps, "low_rps": s.low_rps,
            "high_rps": s.high_rps, "attainment": s.attainment, "resolved": s.is_resolved, "source": s.source})),
        "rate_that_meets_the_target": rate(m, c.question.target),
        "optimization": m.optimization.as_ref().map(measured),
        "criteria": criteria(c, judged).iter()
            .map(|c| json!({"id": c.id, "criterion": c.name, "decision": c.decision.as_str(), "reason": c.reason}))
            .collect::<Vec<_>>(),
        "notes": m.notes,
    })
}

fn regret(regret: &Regret, interval: Option<&Value>) -> Value {
    json!({"value": regret.value(), "interval": interval, "undefined_because": regret.reason()})
}

fn rate(m: &Method, target: Target) -> Value {
    let rate = slo_rate(m, target);
    let law = Law::fit(m, target).map(|law| {
        json!({"idle_ttft_ms": law.idle_ttft_ms, "stage_ms": law.stage_ms, "decode_ms": law.decode_ms,
            "worst_error_pct": law.worst_error.map(|(e, _)| e * 100.0)})
    });
    json!({"verdict": rate.as_str(), "rps": rate.rps(), "reason": rate.reason(), "closed_loop_law": law})
}

fn pct(error: Option<PredictionError>) -> Option<f64> {
    error.map(|e| e.signed_pct())
}

fn measured(m: &Measured) -> Value {
    json!({
        "concurrency": m.concurrency,
        "concurrency_pct": m.concurrency_pct,
        "actual_ttft_p50": m.ttft.p50,
        "actual_ttft_p99": m.ttft.p99,
        "actual_itl_p50": m.itl.p50,
        "actual_itl_p99": m.itl.p99,
        "sla_hit_rate": m.attainment,
        "actual_ttft_mean": m.ttft.mean,
        "actual_ttft_p90": m.ttft.p90,
        "actual_itl_mean": m.itl.mean,
        "actual_itl_p90": m.itl.p90,
        "actual_itl_without_second_token": m.itl_without_second_token_ms,
        "request_throughput_rps": m.request_rps,
        "goodput_rps": m.goodput_rps,
        "requests": (m.requests > 0).then_some(m.requests),
        "duration_s": m.duration_s,
        "source": m.source,
    })
}

/// A level that was measured; null where it was not.
fn level(judged: &Judged, index: usize, target: Target) -> Option<Value> {
    let level = &judged.method.levels[index];
    let m = level.measured.as_ref()?;
    let errors = &judged.errors[index];
    let by_statistic = |errors: &[Option<PredictionError>; 4]| {
        let of = |i: usize| errors[i].map(|e| json!({"signed_pct": e.signed_pct(), "absolute_pct": e.absolute_pct()}));
        json!({"mean": of(0), "p50": of(1), "p90": of(2), "p99": of(3)})
    };
    let within = |q: Quantiles, bound: f64| Some(q.p50? <= bound);
    let mut value = json!({
        "load_level": LEVELS[index],
        "ttft_error_pct": pct(errors.ttft[P50]),
        "itl_error_pct": pct(errors.itl[P50]),
        "meets_sla": within(m.ttft, target.ttft_ms).zip(within(m.itl, target.itl_ms)).map(|(a, b)| a && b),
        "predicted_ttft": level.ttft.as_ref().map(|p| json!({"ms": p.ms, "from": p.from})),
        "predicted_itl": level.itl.as_ref().map(|p| json!({"ms": p.ms, "from": p.from})),
        "ttft_errors": by_statistic(&errors.ttft),
        "itl_errors": by_statistic(&errors.itl),
        "itl_without_second_token_error_pct": pct(errors.itl_without_second_token),
    });
    if let (Value::Object(to), Value::Object(from)) = (&mut value, measured(m)) {
        to.extend(from);
    }
    Some(value)
}
