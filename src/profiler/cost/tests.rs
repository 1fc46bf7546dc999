//! The cost model against aiconfigurator's published answers and, where it is at hand, its whole grid.

use super::*;
use crate::profiler::{gpu, model};

fn qwen3_32b_on_h200(backend: Backend, tp: u32) -> CostModel {
    CostModel::new(model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap(), backend, tp).unwrap()
}

#[test]
fn qwen3_32b_on_h200_at_2048_256_is_close_to_aiconfigurator() {
    // aiconfigurator 0.12.0, ms: per TP the TTFT at batch 1, and the ITL at batches 1, 32 and 128 in mid-answer.
    let expected = [
        (
            Backend::TrtLlm,
            [[194.0, 18.7, 24.3, 37.0], [110.0, 10.8, 14.5, 21.7], [71.0, 7.0, 9.3, 14.2], [49.0, 5.2, 6.9, 11.7]],
        ),
        (
            Backend::Vllm,
            [[184.0, 18.4, 24.5, 37.9], [103.0, 10.7, 13.6, 21.4], [65.0, 7.1, 8.9, 13.3], [43.0, 5.1, 6.2, 9.1]],
        ),
        (
            Backend::SgLang,
            [[197.0, 18.4, 23.1, 38.5], [106.0, 10.3, 12.9, 20.8], [68.0, 6.8, 8.3, 13.1], [47.0, 4.9, 5.9, 8.7]],
        ),
    ];
    for (backend, by_tp) in expected {
        let mut errors = Vec::new();
        for (tp, ms) in TP_SIZES.into_iter().zip(by_tp) {
            let cost = qwen3_32b_on_h200(backend, tp);
            let loads = [StepLoad::prefill(1, 2048)].into_iter().chain([1, 32, 128].map(|b| StepLoad::decode(b, 2176)));
            errors.extend(loads.zip(ms).map(|(load, ms)| (cost.step_s(&load) * 1e3 / ms - 1.0).abs()));
        }
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        let worst = errors.into_iter().fold(0.0, f64::max);
        assert!(mean < 0.06 && worst < 0.20, "{}: mean {mean:.3}, worst {worst:.3}", backend.as_str());
    }
}

#[test]
fn the_chunks_of_a_prompt_cost_its_attention_once() {
    let cost = qwen3_32b_on_h200(Backend::Vllm, 4);
    let chunk = |past, new| {
        let mut load = StepLoad::default();
        load.add_prefill(past, new);
        cost.context_attention_s(&load)
    };
    // Two chunks each, so that both pay two launches.
    let (whole, parts) = (chunk(0, 2000) + chunk(2000, 8000), chunk(0, 4096) + chunk(4096, 5904));
    assert!((whole / parts - 1.0).abs() < 1e-9, "{whole} {parts}");
}

#[test]
fn a_shared_pass_costs_more_than_either_part_and_less_than_both() {
    let cost = qwen3_32b_on_h200(Backend::TrtLlm, 2);
    let mut both = StepLoad::prefill(1, 2048);
    (0..32).for_each(|_| both.add_decode(1000));
    let (prefill, decode) = (cost.step_s(&StepLoad::prefill(1, 2048)), cost.step_s(&StepLoad::decode(32, 1000)));
    let shared = cost.step_s(&both);
    assert!(shared > prefill.max(decode) && shared < prefill + decode, "{shared} {prefill} {decode}");
    assert!(cost.step_s(&StepLoad::default()).abs() < f64::EPSILON);
}

#[test]
fn a_tp_that_was_never_fitted_is_refused() {
    let (shape, h200) = (model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
    for tp in [0, 3, 16] {
        let e = CostModel::new(shape, h200, Backend::Vllm, tp).unwrap_err().to_string();
        assert!(e.contains("use 1, 2, 4 or 8"), "{e}");
    }
}

#[test]
fn the_whole_grid_of_aiconfigurator_is_met() {
    let shared = option_env!("LOADLINE_SHARED").unwrap_or("../shared");
    let path = std::path::Path::new(shared).join("data/aic/predictions.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: {} is not there", path.display());
        return;
    };
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let [model, quant, system, backend, tp] = ["model", "quant", "system", "backend", "tp"].map(column);
    let [kind, batch, seq_len, latency] = ["kind", "batch", "seq_len", "latency_ms"].map(column);
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        if (cells[model], cells[quant], cells[system]) != ("Qwen3-32B", "bfloat16", "h200_sxm") {
            continue;
        }
        let number = |i: usize| cells[i].parse::<f64>().unwrap();
        let cost = qwen3_32b_on_h200(Backend::parse(cells[backend]).unwrap(), number(tp) as u32);
        let (batch, seq_len) = (number(batch) as u32, number(seq_len) as u32);
        let error = |load| (cost.step_s(&load) * 1e3 / number(latency) - 1.0).abs();
        match cells[kind] {
            "prefill" => prefill.push(error(StepLoad::prefill(batch, seq_len))),
            _ => decode.push(error(StepLoad::decode(batch, seq_len))),
        }
    }
    let mape = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
    eprintln!(
        "{} prefill points, MAPE {:.4}; {} decode points, MAPE {:.4}",
        prefill.len(),
        mape(&prefill),
        decode.len(),
        mape(&decode)
    );
    assert!(prefill.len() > 100 && decode.len() > 400, "{} and {} points", prefill.len(), decode.len());
    assert!(mape(&prefill) < 0.08 && mape(&decode) < 0.09, "{} {}", mape(&prefill), mape(&decode));
}
