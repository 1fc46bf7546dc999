//! How far predictions are from published figures: tables of aiconfigurator's answers, and of measured deployments.
//!
//! The tables are not in the repository; without them these tests skip and say so. The thresholds are what was reached, with a little
//! room; METHODOLOGY.md has the figures.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

use std::collections::BTreeMap;

use loadline::profiler::points;

#[path = "support/shared.rs"]
mod shared;

/// The rows of a scored table, by name of column. No cell of the published tables is quoted.
fn scored(path: &str) -> Option<Vec<BTreeMap<String, String>>> {
    let path = shared::shared(path)?;
    let text = std::fs::read_to_string(&path).unwrap();
    let csv = points::score(&path.display().to_string(), &text).unwrap().csv;
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| header.iter().map(ToString::to_string).zip(line.split(',').map(String::from)).collect();
    Some(lines.map(row).collect())
}

type Cells = BTreeMap<String, String>;

fn number(row: &Cells, column: &str) -> f64 {
    row[column].parse().unwrap_or(f64::NAN)
}

/// Mean of |predicted / measured - 1| of the rows that have both.
fn mape<'r>(rows: impl Iterator<Item = &'r Cells>, predicted: &str, measured: &str) -> (usize, f64) {
    let errors: Vec<f64> =
        rows.map(|r| (number(r, predicted) / number(r, measured) - 1.0).abs()).filter(|e| e.is_finite()).collect();
    (errors.len(), errors.iter().sum::<f64>() / errors.len() as f64)
}

#[test]
fn forward_passes_are_those_of_aiconfigurator() {
    let Some(rows) = scored("data/aic/predictions.csv") else { return };
    assert!(rows.iter().all(|r| r["status"] == points::PREDICTED));
    for (experts, kind, most) in
        [(false, "prefill", 0.035), (false, "decode", 0.04), (true, "prefill", 0.10), (true, "decode", 0.08)]
    {
        for gpu in ["a100_sxm", "h100_sxm", "h200_sxm"] {
            let of = |r: &&Cells| {
                (r["model"].ends_with("A3B"), r["kind"].as_str(), r["system"].as_str()) == (experts, kind, gpu)
            };
            let (n, error) = mape(rows.iter().filter(of), "predicted_ms", "latency_ms");
            eprintln!("{gpu} {kind} {}: {n} points, MAPE {error:.4}", if experts { "experts" } else { "dense" });
            assert!(n > 180 && error < most, "{gpu} {kind}: {error} of {n}");
        }
    }
}

const DENSE: [&str; 4] = ["Qwen3-32B", "Qwen3-32B-NVFP4", "Llama-3.1-70B", "Llama-3.1-8B-Instruct"];

fn is_dense(row: &Cells) -> bool {
    DENSE.contains(&row["model_path"].rsplit('/').next().unwrap())
}

/// Aggregated serving, of a stated precision or (Llama-3.1-8B) BF16. One table of Qwen3-32B on GB200 is of a deployment of several
/// replicas behind a router, measured below saturation of none of them.
fn is_judged(row: &Cells) -> bool {
    row["mode"] == "agg" && !(row["system"] == "gb200" && row["precision"].is_empty())
}

#[test]
fn aggregated_serving_is_close_to_what_was_measured() {
    let Some(rows) = scored("data/silicon/measured.csv") else { return };
    let judged = || rows.iter().filter(|r| is_judged(r) && r["status"].starts_with(points::PREDICTED));
    assert!(rows.iter().filter(|r| r["mode"] == "disagg").all(|r| r["status"].contains("disaggregated")));
    // Rows whose layout or weights make no sense aside, everything is predicted.
    let (predicted, all) = (judged().count(), rows.iter().filter(|r| is_judged(r)).count());
    assert!(predicted * 100 > all * 97, "{predicted} of {all}");
    for (dense, tpot, ttft) in [(true, 0.11, 0.30), (false, 0.20, 0.55)] {
        let of = || judged().filter(|r| is_dense(r) == dense);
        let (n, tpot_error) = mape(of(), "predicted_tpot_ms", "silicon_tpot_ms");
        let (_, ttft_error) = mape(of(), "predicted_ttft_ms", "silicon_ttft_ms");
        let inside = |quantity: &str| {
            let within = |r: &&Cells| {
                let measured = number(r, &format!("silicon_{quantity}_ms"));
                let bound = |b: &str| number(r, &format!("predicted_{quantity}_ms_{b}"));
                (bound("low")..=bound("high")).contains(&measured)
            };
            of().filter(within).count() as f64 / n as f64
        };
        let (tpot_inside, ttft_inside) = (inside("tpot"), inside("ttft"));
        eprintln!(
            "{}: {n} points; TPOT MAPE {tpot_error:.4}, {tpot_inside:.2} in band; TTFT MAPE {ttft_error:.4}, {ttft_inside:.2} in band",
            if dense { "dense" } else { "experts" }
        );
        assert!(n > 500 && tpot_error < tpot && ttft_error < ttft, "{tpot_error} {ttft_error} of {n}");
        assert!(tpot_inside > 0.65 && ttft_inside > 0.65, "{tpot_inside} {ttft_inside}");
    }
}

/// Throughput per GPU of the best measured or predicted concurrency that keeps to an SLA, by Little's law; where none does, how far the
/// nearest is from it, below 0.
fn best(points: &[&Cells], gpus: f64, [ttft_most, tpot_most]: [f64; 2], [ttft, tpot]: [&str; 2]) -> f64 {
    let worth = |r: &&Cells| {
        let (ttft, tpot) = (number(r, ttft), number(r, tpot));
        let miss = (ttft / ttft_most).max(tpot / tpot_most);
        if miss > 1.0 {
            return -miss;
        }
        number(r, "batch_size") / (ttft + tpot * (number(r, "osl") - 1.0)) / gpus
    };
    points.iter().map(worth).fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn the_predicted_tensor_parallel_size_is_nearly_the_best_measured_one() {
    let Some(rows) = scored("data/silicon/measured.csv") else { return };
    // Scenarios with three sizes or more: model, GPU, backend, precision and lengths; no data or expert parallelism.
    let mut scenarios: BTreeMap<Vec<&str>, BTreeMap<u32, Vec<&Cells>>> = BTreeMap::new();
    for row in rows.iter().filter(|r| is_judged(r) && r["status"] == points::PREDICTED) {
        let plain = |column: &str| matches!(number(row, column) as u32, 0 | 1);
        if plain("attention_dp_size") && plain("moe_ep_size") {
            let key = ["model_path", "system", "backend", "precision", "isl", "osl"].map(|c| row[c].as_str());
            let sizes = scenarios.entry(key.to_vec()).or_default();
            sizes.entry(number(row, "tp_size") as u32).or_default().push(row);
        }
    }
    let (mut cases, mut first, mut second, mut smallest) = (0.0, 0.0, 0.0, 0.0);
    for sizes in scenarios.values().filter(|sizes| sizes.len() >= 3) {
        for sla in [500.0, 1000.0, 2000.0].into_iter().flat_map(|ttft| [30.0, 50.0].map(|tpot| [ttft, tpot])) {
            let value = |columns| {
                sizes.iter().map(|(tp, points)| best(points, f64::from(*tp), sla, columns)).collect::<Vec<f64>>()
            };
            let measured: Vec<f64> =
                value(["silicon_ttft_ms", "silicon_tpot_ms"]).into_iter().map(|v| v.max(0.0)).collect();
            let predicted = value(["predicted_ttft_ms", "predicted_tpot_ms"]);
            let optimum = measured.iter().copied().fold(0.0, f64::max);
            if optimum == 0.0 {
                continue;
            }
            let mut order: Vec<usize> = (0..predicted.len()).collect();
            order.sort_by(|a, b| predicted[*b].total_cmp(&predicted[*a]));
            let regret = |v: f64| (optimum - v) / optimum;
            cases += 1.0;
            first += regret(measured[order[0]]);
            second += regret(measured[order[0]].max(measured[order[1]]));
            smallest += regret(measured[0]);
        }
    }
    let [first, second, smallest] = [first, second, smallest].map(|sum| sum / cases);
    eprintln!("{cases} cases: regret {first:.4}, best of two measured {second:.4}, always the smallest {smallest:.4}");
    assert!(cases > 150.0 && first < 0.06 && second < 0.025 && first < smallest / 2.0, "{first} {second} {smallest}");
}
