//! AI Configurator's tables as the source of kernel times: small ones made here, and the real ones where they lie.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may panic, says what it skips, and is told where the real tables lie"
)]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline::profiler::aic::{KernelTables, Spoken};
use loadline::profiler::backend::Backend;
use loadline::profiler::cost::{CostModel, StepLoad};
use loadline::profiler::{gpu, model};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use support::{Scratch, run_expecting};

/// A column of a table.
enum Column {
    Names(Vec<&'static str>),
    Whole(Vec<i64>),
    Numbers(Vec<f64>),
}

/// Writes a table as the collectors do: every column optional, none empty.
fn table(path: &Path, columns: &[(&str, Column)]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let fields: String = columns
        .iter()
        .map(|(name, column)| match column {
            Column::Names(_) => format!("optional binary {name} (UTF8);"),
            Column::Whole(_) => format!("optional int64 {name};"),
            Column::Numbers(_) => format!("optional double {name};"),
        })
        .collect();
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {fields} }}")).unwrap());
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, column) in columns {
        let mut w = group.next_column().unwrap().unwrap();
        let full = |n: usize| vec![1; n];
        match column {
            Column::Names(v) => {
                let texts: Vec<_> = v.iter().map(|s| (*s).into()).collect();
                w.typed::<ByteArrayType>().write_batch(&texts, Some(&full(v.len())), None).unwrap()
            }
            Column::Whole(v) => w.typed::<Int64Type>().write_batch(v, Some(&full(v.len())), None).unwrap(),
            Column::Numbers(v) => w.typed::<DoubleType>().write_batch(v, Some(&full(v.len())), None).unwrap(),
        };
        w.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

/// Rows → columns of whole numbers.
fn whole<const N: usize>(rows: &[([i64; N], f64)], column: usize) -> Column {
    Column::Whole(rows.iter().map(|r| r.0[column]).collect())
}

/// A made-up GPU's package: every kernel of Qwen3-8B on TP1 and TP2 takes times that are easy to add up, in ms.
fn package(root: &Path, gemm_ms: f64) -> PathBuf {
    let systems = root.join("aiconfigurator_core/systems/data/h200_sxm");
    let at = |operator: &str, file: &str| systems.join(operator).join("vllm/0.24.0").join(file);
    let gemms: Vec<([i64; 3], f64)> =
        [64, 4096, 65536].into_iter().flat_map(|n| [64, 4096, 65536].map(|k| ([1, n, k], gemm_ms))).collect();
    let n = gemms.len();
    table(
        &at("gemm", "gemm_perf.parquet"),
        &[
            ("gemm_dtype", Column::Names(vec!["bfloat16"; n])),
            ("m", whole(&gemms, 0)),
            ("n", whole(&gemms, 1)),
            ("k", whole(&gemms, 2)),
            ("latency", Column::Numbers(gemms.iter().map(|g| g.1).collect())),
        ],
    );
    let attention = |file: &str, step: i64| {
        let rows: Vec<([i64; 4], f64)> = [(1, 1), (1, 1024), (4, 1), (4, 1024)]
            .into_iter()
            .flat_map(|(b, s)| [(32, 8), (16, 4)].map(|(q, kv)| ([b, s, q, kv], 0.01 * (b * s) as f64)))
            .collect();
        let n = rows.len();
        table(
            &at("attention", file),
            &[
                ("attn_dtype", Column::Names(vec!["bfloat16"; n])),
                ("kv_cache_dtype", Column::Names(vec!["bfloat16"; n])),
                ("batch_size", whole(&rows, 0)),
                ("isl", whole(&rows, 1)),
                ("step", Column::Whole(vec![step; n])),
                ("num_heads", whole(&rows, 2)),
                ("num_key_value_heads", whole(&rows, 3)),
                ("head_dim", Column::Whole(vec![128; n])),
                ("latency", Column::Numbers(rows.iter().map(|r| r.1).collect())),
            ],
        );
    };
    attention("context_attention_perf.parquet", 0);
    attention("generation_attention_perf.parquet", 1);
    let reduces = [([2, 1 << 10], 0.5), ([2, 1 << 20], 0.5)];
    let both: Vec<_> = reduces.iter().copied().chain(reduces.map(|(r, ms)| (r, ms / 100.0))).collect();
    table(
        &at("comm", "custom_allreduce_perf.parquet"),
        &[
            ("backend", Column::Names(vec!["vllm_graph", "vllm_graph", "vllm_eager", "vllm_eager"])),
            ("num_gpus", whole(&both, 0)),
            ("message_size", whole(&both, 1)),
            ("latency", Column::Numbers(both.iter().map(|r| r.1).collect())),
        ],
    );
    // An older version must not be taken.
    std::fs::create_dir_all(systems.join("gemm/vllm/0.9.0")).unwrap();
    std::fs::write(systems.join("gemm/vllm/0.9.0/gemm_perf.parquet"), "old").unwrap();
    root.to_path_buf()
}

fn cost(dir: &Path, tp: u32) -> CostModel {
    let h200 = gpu::lookup("h200_sxm").unwrap();
    let tabled = h200.tabled(KernelTables::read(dir, h200, Backend::Vllm).unwrap());
    CostModel::new(model::lookup("Qwen3-8B").unwrap(), tabled, Backend::Vllm, tp).unwrap()
}

#[test]
fn attention_and_all_reduces_are_what_the_tables_say() {
    let scratch = Scratch::new("aic-tables");
    let dir = package(&scratch.path("a"), 0.1);
    let step_ms = |tp: u32, load: &StepLoad| cost(&dir, tp).step_s(load) * 1e3;
    let decode = |batch, context| step_ms(1, &StepLoad::decode(batch, context));
    // 36 layers, 10 µs a token of the cache.
    assert!((decode(1, 1025) - decode(1, 514) - 36.0 * 0.01 * 511.0).abs() < 1e-6);
    // Twice half a prompt is as much for every other operator, but for a second row of logits.
    let prefill = |batch, tokens| step_ms(1, &StepLoad::prefill(batch, tokens));
    let half = (0.01f64.sqrt() + 511.0 / 1023.0 * (10.24f64.sqrt() - 0.01f64.sqrt())).powi(2);
    let saved = prefill(1, 1024) - prefill(2, 512);
    assert!((saved - 36.0 * (10.24 - 2.0 * half)).abs() < 0.5, "{saved}");
    let spoken = |tp: u32| {
        let mut spoken = Spoken::default();
        cost(&dir, tp).spoken_by(&mut spoken);
        spoken
    };
    assert!(spoken(1).constants.is_empty() && spoken(1).tables.len() == 3, "{:?}", spoken(1));
    assert!(spoken(2).tables.contains(&"all-reduces") && spoken(4).constants.len() == 3, "{:?}", spoken(4));
    // Two a layer and one of the embedding, in graphs 0.5 ms each; attention and products of half the heads are smaller.
    let reduces = step_ms(2, &StepLoad::decode(1, 2)) - step_ms(1, &StepLoad::decode(1, 2));
    assert!((reduces - 73.0 * 0.5).abs() < 2.0, "{reduces}");
}

#[test]
fn products_scale_with_the_tables_and_the_newest_is_read() {
    let scratch = Scratch::new("aic-tables-gemm");
    let (one, two) = (package(&scratch.path("one"), 0.1), package(&scratch.path("two"), 0.2));
    let load = StepLoad::decode(1, 2);
    let [one, two] = [one, two].map(|dir| cost(&dir, 1).step_s(&load) * 1e3);
    let attention_ms = 36.0 * 0.01;
    assert!(two > 1.8 * (one - attention_ms) && two < 2.0 * one, "{one} {two}");
}

#[test]
fn a_sweep_says_which_kernels_came_from_where() {
    let scratch = Scratch::new("aic-tables-sweep");
    package(&scratch.path("site"), 0.01);
    let site = scratch.path("site").display().to_string();
    let line = format!(
        "sweep --model Qwen/Qwen3-8B --backend vllm --tp 1,2 --ttft 60000 --itl 500 --aic-tables {site} --format json"
    );
    let json: Value = serde_json::from_slice(&run_expecting(0, &scratch, &line).stdout).unwrap();
    let operators = &json["kernels"]["operators"];
    assert_eq!(operators["tables"].as_array().unwrap().len(), 4, "{operators}");
    assert_eq!(json["kernels"]["files"][0]["version"], "0.24.0");
    assert!(json["notes"].to_string().contains("Kernel times from the tables below"), "{}", json["notes"]);
    let mut auto = support::loadline(
        &scratch,
        "sweep --model Qwen/Qwen3-8B --tp 1 --ttft 60000 --itl 500 --aic-tables auto --format json",
    );
    let found: Value = serde_json::from_slice(&auto.env("PYTHONPATH", &site).output().unwrap().stdout).unwrap();
    assert_eq!(found["kernels"]["files"], json["kernels"]["files"]);
    let plain = "sweep --model Qwen/Qwen3-8B --tp 1,2 --ttft 60000 --itl 500 --format json";
    let plain: Value = serde_json::from_slice(&run_expecting(0, &scratch, plain).stdout).unwrap();
    assert!(plain["kernels"].is_null() && plain["static_engine"] != json["static_engine"]);
    let refused = |line: &str, part: &str| {
        let text = String::from_utf8(run_expecting(2, &scratch, line).stderr).unwrap();
        assert!(text.contains(part), "{text}");
    };
    refused(&format!("sweep --backend trtllm --aic-tables {site}"), "no tables of trtllm");
    refused(&format!("sweep --aic-system l40s --aic-tables {site}"), "no tables of l40s");
    let broken =
        scratch.path("site/aiconfigurator_core/systems/data/h200_sxm/comm/vllm/0.24.0/custom_allreduce_perf.parquet");
    std::fs::write(broken, "PAR1PAR1").unwrap();
    refused(&format!("sweep --aic-tables {site}"), "custom_allreduce_perf.parquet");
}

/// The real package: `$LOADLINE_AIC_CORE`, the folder that `pip install --target` was given.
fn real() -> Option<PathBuf> {
    let dir =
        std::env::var_os("LOADLINE_AIC_CORE").map(PathBuf::from).filter(|d| d.join("aiconfigurator_core").is_dir());
    if dir.is_none() {
        eprintln!("SKIPPED: LOADLINE_AIC_CORE names no folder with aiconfigurator_core 0.12.0");
    }
    dir
}

#[path = "support/shared.rs"]
mod shared;

/// The dense models of the table of predictions.
const DENSE: [&str; 3] = ["Meta-Llama-3.1-8B", "Qwen3-8B", "Qwen3-32B"];

#[test]
fn with_its_own_tables_aiconfigurators_predictions_are_met() {
    let (Some(dir), Some(path)) = (real(), shared::shared("data/aic/predictions.csv")) else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows = lines.map(|l| header.iter().copied().zip(l.split(',')).collect::<BTreeMap<&str, &str>>());
    let mut costs: BTreeMap<String, Option<(CostModel, CostModel)>> = BTreeMap::new();
    let mut errors: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
    let mut tables: BTreeMap<String, &'static gpu::Gpu> = BTreeMap::new();
    for (_, row) in
        rows.enumerate().filter(|(i, r)| i % 11 == 0 && r["quant"] == "bfloat16" && DENSE.contains(&r["model"]))
    {
        let number = |c: &str| row[c].parse::<f64>().unwrap();
        let key = ["model", "system", "backend", "tp"].map(|c| row[c]).join(" ");
        let pair = costs.entry(key).or_insert_with(|| {
            let (backend, plain) = (Backend::parse(row["backend"]).unwrap(), gpu::lookup(row["system"]).unwrap());
            let tabled = *tables
                .entry(format!("{} {}", row["system"], row["backend"]))
                .or_insert_with(|| plain.tabled(KernelTables::read(&dir, plain, backend).unwrap()));
            let shape = model::lookup(row["model"]).ok()?;
            let of = |gpu| CostModel::new(shape, gpu, backend, number("tp") as u32).ok();
            Some((of(tabled)?, of(plain)?))
        });
        let Some((tabled, plain)) = pair else { continue };
        let (batch, tokens) = (number("batch") as u32, number("seq_len") as u32);
        let load =
            if row["kind"] == "prefill" { StepLoad::prefill(batch, tokens) } else { StepLoad::decode(batch, tokens) };
        let error = |cost: &CostModel| (cost.step_s(&load) * 1e3 / number("latency_ms") - 1.0).abs();
        errors.entry((row["system"].into(), row["kind"].into())).or_default().push((error(tabled), error(plain)));
    }
    assert!(errors.len() >= 6, "{:?}", errors.keys());
    for ((system, kind), e) in &errors {
        let mean = |of: fn(&(f64, f64)) -> f64| e.iter().map(of).sum::<f64>() / e.len() as f64;
        let (tabled, plain) = (mean(|e| e.0), mean(|e| e.1));
        eprintln!(
            "{system} {kind}: {} points, MAPE {tabled:.4} with the tables, {plain:.4} with the constants",
            e.len()
        );
        let most = if kind == "prefill" { 0.003 } else { 0.035 };
        assert!(e.len() > 50 && tabled < most, "{system} {kind}: {tabled}");
    }
}
