//! The simulated engine against published measurements of aggregated serving: dense models, closed loops, mean time per output
//! token.
//!
//! The table is not in the repository; without it this test skips and says so. Nothing of the engine was fitted to it but, in a second
//! pass, one overhead per step for all. Rows whose answers are too many for an unoptimised build are left out. The bounds are what was
//! reached, with a little room; docs/simulation.md has the table.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

use std::collections::{BTreeMap, HashMap};

use loadline::forecast::drive::{Load, drive};
use loadline::profiler::backend::Backend;
use loadline::profiler::cost::CostModel;
use loadline::profiler::deployment::{Deployment, Layout};
use loadline::profiler::precision::{Format, Precision};
use loadline::profiler::{gpu, memory, model};
use loadline::rng::Seed;
use loadline::sim::batch::{Admission, BatchConfig, ContinuousBatch};
use loadline::sim::deployment::Job;

#[path = "support/shared.rs"]
mod shared;

const DENSE: [&str; 4] = ["Qwen3-32B", "Qwen3-32B-NVFP4", "Llama-3.1-70B", "Llama-3.1-8B-Instruct"];
/// Tokens of answer that are under way at once in a row that is taken.
const TOKENS_MAX: u32 = 40_000;

/// A host's time per step, one number for all.
const STEP_OVERHEAD_S: f64 = 0.5e-3;

type Row<'t> = HashMap<&'t str, &'t str>;

fn count(row: &Row, column: &str) -> u32 {
    row[column].parse::<f64>().unwrap() as u32
}

/// Dense, aggregated, without the 15 rows of GB200 that are of several replicas behind a router.
fn is_judged(row: &Row) -> bool {
    DENSE.contains(&row["model_path"].rsplit('/').next().unwrap())
        && row["mode"] == "agg"
        && !(row["system"] == "gb200" && row["precision"].is_empty())
        && count(row, "batch_size") * count(row, "osl") <= TOKENS_MAX
}

/// Mean TPOT of a closed loop of a row's clients, three requests each, ms. The first round's is left out: it came all at once.
fn simulated_ms(row: &Row, step_overhead_s: f64) -> f64 {
    let shape = &model::named(row["model_path"]).unwrap();
    let format = [row["gemm_quant_mode"], row["precision"]].into_iter().find(|f| !f.is_empty());
    let precision =
        format.map_or(shape.precision, |f| Precision::quantised(Format::parse(f).unwrap(), shape.precision));
    let (gpu, backend) = (gpu::lookup(row["system"]).unwrap(), Backend::parse(row["backend"]).unwrap());
    let layout = Layout::tensor(count(row, "tp_size"));
    let deployment = Deployment { model: shape, gpu, backend, precision, layout };
    let config = BatchConfig {
        max_sequences: 1024,
        max_batched_tokens: 8192,
        kv_tokens: memory::kv_tokens_of(&deployment).unwrap(),
        prefix_caching: false,
        admission: Admission::of(backend),
        queue_limit: None,
        step_overhead_s,
        sequence_overhead_s: 0.0,
        speedup: 1.0,
        step_noise: 0.0,
        seed: Seed(0),
    };
    let mut engine = ContinuousBatch::new(CostModel::of(&deployment).unwrap(), config).unwrap();
    let (clients, isl, osl) = (count(row, "batch_size"), count(row, "isl"), count(row, "osl"));
    let served = drive(&mut engine, Load::Closed { clients, jobs: vec![Job::new(isl, osl); 3 * clients as usize] });
    let counted = &served[clients as usize..];
    let ns: i64 = counted.iter().map(|s| s.last_ns.unwrap() - s.first_ns.unwrap()).sum();
    ns as f64 / 1e6 / counted.len() as f64 / f64::from(osl - 1)
}

/// Median and mean of the sizes of errors, and their mean.
fn summary(errors: &[f64]) -> (f64, f64, f64) {
    let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let n = errors.len() as f64;
    (sizes[sizes.len() / 2], sizes.iter().sum::<f64>() / n, errors.iter().sum::<f64>() / n)
}

fn tell(of: &str, errors: &[f64]) {
    let (median, mean, bias) = summary(errors);
    let [median, mean, bias] = [median, mean, bias].map(|e| 1e2 * e);
    eprintln!("| {of} | {} | {median:.1} % | {mean:.1} % | {bias:+.1} % |", errors.len());
}

#[test]
fn the_time_per_token_of_dense_models_is_near_what_was_measured() {
    let Some(path) = shared::shared("data/silicon/measured.csv") else { return };
    // No cell of the table is quoted.
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut groups: BTreeMap<[&str; 4], Vec<Row>> = BTreeMap::new();
    for row in lines.map(|line| header.iter().copied().zip(line.split(',')).collect::<Row>()).filter(is_judged) {
        let key = ["model_path", "system", "backend", "precision"].map(|column| row[column]);
        groups.entry(key).or_default().push(row);
    }
    let medians = [0.0, STEP_OVERHEAD_S].map(|step_overhead_s| {
        let mut all = Vec::new();
        for ([model, gpu, backend, precision], rows) in &groups {
            let error =
                |row: &Row| simulated_ms(row, step_overhead_s) / row["silicon_tpot_ms"].parse::<f64>().unwrap() - 1.0;
            let errors: Vec<f64> = rows.iter().map(error).collect();
            tell(
                &format!("{model} | {gpu} | {backend} | {}", if precision.is_empty() { "bf16" } else { precision }),
                &errors,
            );
            all.extend(errors);
        }
        tell(&format!("all, {} ms per step | | | ", 1e3 * step_overhead_s), &all);
        assert!(all.len() >= 400, "{}", all.len());
        summary(&all).0
    });
    assert!(medians[0] < 0.17 && medians[1] < 0.12, "{medians:?}");
}
