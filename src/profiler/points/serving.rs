//! Points of aggregated serving: `isl`, `osl`, concurrency (`batch_size`) → `predicted_ttft_ms`, `predicted_tpot_ms`.

use super::{Kind, Predicted, Quantity, Row, Table};
use crate::profiler::aggregated::{Aggregated, AggregatedLoad, Generation, Law, Lengths};
use crate::profiler::backend::Backend;
use crate::profiler::deployment::{Deployment, Layout};
use crate::profiler::gpu::{self, Gpu};
use crate::profiler::model::{self, ModelShape};
use crate::profiler::precision::{Format, Precision};

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
    let point = Point::of(row)?;
    let p = point.engine.predict(point.load);
    let notes: Vec<String> = [point.read_as, point.gpu.note()].into_iter().flatten().collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(Predicted { stage: p.stage, values: vec![(p.ttft_ms, p.ttft_band), (p.tpot_ms, p.tpot_band)], note })
}

/// What a row is about.
struct Point {
    engine: Aggregated,
    load: AggregatedLoad,
    model: &'static str,
    gpu: &'static Gpu,
    backend: Backend,
    experts: bool,
    /// Where its sizes had to be read in another way than they stand.
    read_as: Option<String>,
}

impl Point {
    fn of(row: &Row) -> Result<Point, String> {
        let model = &model::named(row.required("model_path")?).map_err(|e| e.to_string())?;
        let gpu = gpu::lookup(row.required("system")?).map_err(|e| e.to_string())?;
        let backend = Backend::parse(row.required("backend")?).map_err(|e| e.to_string())?;
        let (layout, read_as) = layout(row, model)?;
        let deployment = Deployment { model, gpu, backend, precision: precision(row, model)?, layout };
        let engine = Aggregated::by(row.law, &deployment).map_err(|e| e.to_string())?;
        let (isl, osl, concurrency) = (row.count("isl")?, row.count("osl")?, row.count("batch_size")?);
        let load = AggregatedLoad { isl, osl, concurrency, lengths: lengths(row) };
        Ok(Point { engine, load, model: model.names[0], gpu, backend, experts: model.experts.is_some(), read_as })
    }
}

/// How lengths were drawn: by `random_range_ratio`, the shortest as a share of those stated, as vLLM's client called it; else by what
/// AI Configurator's collection says of a row's source: InferenceX's client draws them (0.8), and its dumps are named by date.
fn lengths(row: &Row) -> Lengths {
    match (row.number("random_range_ratio"), row.text("silicon_data_source")) {
        (Some(ratio), _) if ratio < 1.0 => Lengths::Drawn,
        (None, Some(source)) if source.starts_with("db-dump") || source.starts_with("source_file=20") => Lengths::Drawn,
        (None, None) => Lengths::Any,
        _ => Lengths::Alike,
    }
}

/// What the law is fitted on: the terms of every aggregated row that is measured and can be predicted, as CSV; times in ms.
///
/// # Errors
/// [`crate::error::Error::Input`] for a file that is no table.
pub fn terms(file: &str, text: &str) -> crate::error::Result<String> {
    let table = Table::parse(file, text)?;
    let mut csv =
        "model,system,backend,precision,generation,kind,lengths,clients,running,osl,decode_ms,prompt_ms,own_ms,\
                   ttft_ms,tpot_ms\n"
            .to_owned();
    csv.extend((0..table.rows()).filter_map(|index| terms_of(&Row { table: &table, index, law: Law::built_in() })));
    Ok(csv)
}

fn terms_of(row: &Row) -> Option<String> {
    let [ttft, tpot] = MEASURED.map(|columns| columns.iter().find_map(|c| row.number(c)));
    let (ttft_ms, tpot_ms) = (ttft?, tpot?);
    if matches!(row.text("mode"), Some("disagg" | "disaggregated")) {
        return None;
    }
    let Point { engine, load, model, gpu, backend, experts, .. } = Point::of(row).ok()?;
    let (system, precision) = (row.text("system")?, row.text("precision").unwrap_or(""));
    let kind = if experts { "experts" } else { "dense" };
    let (backend, generation, lengths) = (backend.as_str(), Generation::of(gpu).as_str(), load.lengths.as_str());
    let t = engine.terms(load);
    let numbers = [t.clients, t.running, t.osl, t.decode_s * 1e3, t.prompt_s * 1e3, t.own_s * 1e3, ttft_ms, tpot_ms];
    let numbers = numbers.map(|n| n.to_string()).join(",");
    Some(format!("{model},{system},{backend},{precision},{generation},{kind},{lengths},{numbers}\n"))
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
