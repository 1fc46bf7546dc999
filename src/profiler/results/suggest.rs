//! A sweep → the folder that Dynamo's profiler would leave: the suggested TP of each half, tables, planner's configuration.
//!
//! As the original does, each half is chosen for itself on the static engine: prefill by the highest throughput per GPU within the
//! TTFT, decode by the highest within the ITL. What a sweep recommends weighs both together with queueing and hand-off, and may
//! differ. Where nothing is within a bound, the fastest is suggested, as the original's thorough search does.

use super::log::{self, Mapping};
use super::planner::{self, Suggestion};
use super::{npz, tables};
use crate::error::{Error, Result};
use crate::profiler::capacity::Capacity;
use crate::profiler::sweep::{Spec, Sweep};

/// Files of a folder: path below it, bytes.
pub type Files = Vec<(&'static str, Vec<u8>)>;

/// The files. `at` is the time that the log's lines bear, `YYYY-mm-dd HH:MM:SS`. None where the model fits on no size.
///
/// # Errors
/// [`Error::Internal`] where an archive cannot be written.
pub fn files(spec: &Spec, sweep: &Sweep, at: &str) -> Result<Files> {
    let (Some(p), Some(d)) = (prefill(spec, sweep), decode(sweep)) else { return Ok(Files::new()) };
    let isl = f64::from(spec.workload.isl_tokens);
    let mapping = |c: &Capacity, latency_ms, tokens_per_s_per_gpu| Mapping {
        label: format!("TP{}", c.tp),
        gpus: Some(c.tp),
        latency_ms,
        tokens_per_s_per_gpu,
    };
    let full = d.full.unwrap_or(d.alone);
    let log = log::write(
        &mapping(p, p.alone.ttft_ms, isl / p.alone.ttft_ms * 1e3 / f64::from(p.tp)),
        &mapping(d, full.itl_ms, full.tokens_per_s_per_gpu),
        at,
    );
    let (prefill, decode) = tables::predicted(p.engine(), d.engine());
    let suggestion = Suggestion {
        model: spec.model.names[0],
        backend: spec.backend,
        prefill_tp: p.tp,
        decode_tp: d.tp,
        ttft_ms: spec.sla.ttft_ms,
        itl_ms: spec.sla.itl_ms,
        max_gpus: spec.max_gpus,
        prefill: &prefill,
        decode: &decode,
    };
    folder(log, &suggestion)
}

/// The files of a suggestion, predicted or measured, with its log.
///
/// # Errors
/// [`Error::Internal`] where an archive cannot be written.
pub fn folder(log: String, suggestion: &Suggestion<'_>) -> Result<Files> {
    let pack = |arrays: &[(&str, &[f64])]| npz::encode(arrays).map_err(Error::Internal);
    let (prefill, decode) = (suggestion.prefill, suggestion.decode);
    Ok(vec![
        ("profile_sla.log", log.into_bytes()),
        ("config_with_planner.yaml", planner::write(suggestion).into_bytes()),
        ("selected_prefill_interpolation/raw_data.npz", pack(&prefill.arrays())?),
        ("selected_decode_interpolation/raw_data.npz", pack(&decode.arrays(&[decode.max_kv_tokens]))?),
    ])
}

fn fitting(sweep: &Sweep) -> impl Iterator<Item = &Capacity> {
    sweep.capacities.iter().filter(|c| c.max_batch_memory > 0)
}

fn prefill<'a>(spec: &Spec, sweep: &'a Sweep) -> Option<&'a Capacity> {
    let per_gpu = |c: &Capacity| 1.0 / c.alone.ttft_ms / f64::from(c.tp);
    let within = fitting(sweep).filter(|c| c.alone.ttft_ms <= spec.sla.ttft_ms);
    within
        .max_by(|a, b| per_gpu(a).total_cmp(&per_gpu(b)))
        .or_else(|| fitting(sweep).min_by(|a, b| a.alone.ttft_ms.total_cmp(&b.alone.ttft_ms)))
}

fn decode(sweep: &Sweep) -> Option<&Capacity> {
    let per_gpu = |c: &Capacity| c.full.map_or(0.0, |p| p.tokens_per_s_per_gpu);
    let within = fitting(sweep).filter(|c| c.full.is_some());
    within
        .max_by(|a, b| per_gpu(a).total_cmp(&per_gpu(b)))
        .or_else(|| fitting(sweep).min_by(|a, b| a.alone.itl_ms.total_cmp(&b.alone.itl_ms)))
}
