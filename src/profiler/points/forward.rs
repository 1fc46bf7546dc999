//! Points of one forward pass: `kind` prefill or decode, `batch`, `seq_len` → `predicted_ms`.

use super::{Kind, Predicted, Quantity, Row};
use crate::profiler::backend::Backend;
use crate::profiler::cost::{CostModel, StepLoad};
use crate::profiler::deployment::{Deployment, Layout};
use crate::profiler::precision::{Format, Precision};
use crate::profiler::prediction::Stage;
use crate::profiler::{band, gpu, model};

pub(super) const KIND: Kind = Kind {
    name: "forward passes",
    required: &["model", "system", "backend", "tp", "kind", "batch", "seq_len"],
    quantities: &[Quantity { name: "pass", predicted: "predicted_ms", measured: &["measured_ms", "latency_ms"] }],
    predict,
};

fn predict(row: &Row) -> Result<Predicted, String> {
    let model = &model::named(row.required("model")?).map_err(|e| e.to_string())?;
    let gpu = gpu::lookup(row.required("system")?).map_err(|e| e.to_string())?;
    let backend = Backend::parse(row.required("backend")?).map_err(|e| e.to_string())?;
    let precision = match row.text("quant") {
        None => model.precision,
        Some(name) => Precision::quantised(Format::parse(name).map_err(|e| e.to_string())?, model.precision),
    };
    let (tp, ep) = (row.gpus("tp")?, row.gpus("moe_ep")?);
    let layout = if model.experts.is_some() && tp.is_multiple_of(ep) {
        Layout { moe_tp: tp / ep, moe_ep: ep, ..Layout::tensor(tp) }
    } else {
        Layout::tensor(tp)
    };
    let deployment = Deployment { model, gpu, backend, precision, layout };
    let cost = CostModel::of(&deployment).map_err(|e| e.to_string())?;
    let (batch, tokens) = (row.count("batch")?, row.count("seq_len")?);
    let (load, band) = match row.required("kind")? {
        "prefill" => (StepLoad::prefill(batch, tokens), band::prefill(&deployment)),
        "decode" => (StepLoad::decode(batch, tokens), band::decode(&deployment)),
        other => return Err(format!("`kind` is {other:?}; known are prefill and decode")),
    };
    Ok(Predicted { stage: Stage::Static, values: vec![(cost.step_s(&load) * 1e3, band)], note: gpu.note() })
}
