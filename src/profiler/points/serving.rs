//! Points of aggregated serving: `isl`, `osl`, concurrency (`batch_size`) → `predicted_ttft_ms`, `predicted_tpot_ms`.

use super::{Kind, Predicted, Quantity, Row};
use crate::profiler::aggregated::{Aggregated, AggregatedLoad};
use crate::profiler::backend::Backend;
use crate::profiler::deployment::{Deployment, Layout};
use crate::profiler::model::ModelShape;
use crate::profiler::precision::{Format, Precision};
use crate::profiler::{gpu, model};

/// The columns that may say what TTFT and TPOT were measured.
pub(super) const MEASURED: [&[&str]; 2] =
    [&["measured_ttft_ms", "silicon_ttft_ms", "ttft_ms"], &["measured_tpot_ms", "silicon_tpot_ms", "tpot_ms"]];

pub(super) const KIND: Kind = Kind {
    name: "aggregated serving",
    required: &["model_path", "system", "backend", "isl", "osl", "batch_size", "tp_size"],
    quantities: &[
        Quantity { name: "TTFT", predicted: "predicted_ttft_ms", measured: MEASURED[0] },
        Quantity { name: "TPOT", predicted: "predicted_tpot_ms", measured: MEASURED[1] },
    ],
    predict,
};

pub(super) fn predict(row: &Row) -> Result<Predicted, String> {
    match row.text("mode") {
        None | Some("agg" | "aggregated") => {}
        Some("disagg" | "disaggregated") => return Err("disaggregated serving is not predicted point by point".into()),
        Some(other) => return Err(format!("`mode` is {other:?}; known is agg")),
    }
    let model = &model::named(row.required("model_path")?).map_err(|e| e.to_string())?;
    let gpu = gpu::lookup(row.required("system")?).map_err(|e| e.to_string())?;
    let backend = Backend::parse(row.required("backend")?).map_err(|e| e.to_string())?;
    let (layout, read_as) = layout(row, model)?;
    let deployment = Deployment { model, gpu, backend, precision: precision(row, model)?, layout };
    let engine = Aggregated::new(&deployment).map_err(|e| e.to_string())?;
    let load = AggregatedLoad { isl: row.count("isl")?, osl: row.count("osl")?, concurrency: row.count("batch_size")? };
    let p = engine.predict(load);
    let notes: Vec<String> = [read_as, gpu.note()].into_iter().flatten().collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(Predicted { stage: p.stage, values: vec![(p.ttft_ms, p.ttft_band), (p.tpot_ms, p.tpot_band)], note })
}

/// The number formats: of GEMMs and experts where they are named, else of the row as a whole, else of the published weights.
fn precision(row: &Row, model: &ModelShape) -> Result<Precision, String> {
    let parse = |column: &str| row.text(column).map(Format::parse).transpose().map_err(|e| e.to_string());
    let native = model.precision;
    let Some(dense) = parse("gemm_quant_mode")?.or(parse("precision")?) else { return Ok(native) };
    let quantised = Precision::quantised(dense, native);
    match parse("moe_quant_mode")? {
        Some(experts) if native.experts != Format::Mxfp4 => Ok(Precision { experts, ..quantised }),
        _ => Ok(quantised),
    }
}

/// How the GPUs share the model, and what to say where the row's sizes had to be read in another way than they stand.
fn layout(row: &Row, model: &ModelShape) -> Result<(Layout, Option<String>), String> {
    let (tp, dp, pp) = (row.gpus("tp_size")?, row.gpus("attention_dp_size")?, row.gpus("pp_size")?);
    if model.experts.is_none() {
        return Ok((Layout { pp, ..Layout::tensor(tp) }, None));
    }
    let (moe_tp, moe_ep) = (row.gpus("moe_tp_size")?, row.gpus("moe_ep_size")?);
    let gpus = tp * dp;
    let stands = Layout { tp, dp, pp, moe_tp, moe_ep };
    let note = |l: Layout| {
        (l != stands).then(|| format!("read as tp {} dp {} moe_tp {} moe_ep {}", l.tp, l.dp, l.moe_tp, l.moe_ep))
    };
    let read = if moe_tp == moe_ep && moe_tp > 1 && gpus == moe_tp * moe_ep && (tp == 1 || dp == 1) {
        // Tables that give the number of experts' GPUs twice: a product stands where one of them is meant.
        let one = moe_ep;
        if dp == 1 { Layout::expert(one) } else { Layout { tp: 1, dp: one, pp, moe_tp: 1, moe_ep: one } }
    } else if tp == dp && tp > 1 && moe_ep == gpus {
        // Data-parallel attention on the very GPUs that `tp_size` counts.
        Layout { tp: 1, dp, pp, moe_tp: 1, moe_ep: dp }
    } else if moe_tp * moe_ep == gpus {
        stands
    } else if gpus.is_multiple_of(moe_ep) {
        Layout { moe_tp: gpus / moe_ep, ..stands }
    } else {
        return Err(format!("experts on {} GPUs and attention on {gpus}", moe_tp * moe_ep));
    };
    Ok((Layout { pp, ..read }, note(read)))
}
