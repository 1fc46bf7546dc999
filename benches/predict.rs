//! What predictions cost: one forward pass, a sweep of batches, and a grid of deployments.
//!
//! Isolates the profiler: no file, no printing; tables are read once, outside of the timed part. `pass` is what the simulated engine asks
//! once per iteration; `sweep` is 4 tensor-parallel sizes × 64 batches, passes and closed loop; `grid` is 10 models × 6 GPUs × 3
//! backends, each with the 4 sizes × 8 batches that fit.

#![allow(missing_docs, reason = "a benchmark has no interface")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use loadline::profiler::aggregated::{Aggregated, AggregatedLoad, Lengths};
use loadline::profiler::backend::Backend;
use loadline::profiler::cost::{CostModel, StepLoad, TP_SIZES};
use loadline::profiler::deployment::{Deployment, Layout};
use loadline::profiler::model::ModelShape;
use loadline::profiler::{gpu, model};

const MODELS: [&str; 10] = [
    "Qwen3-32B",
    "Qwen3-32B-FP8",
    "Qwen3-8B",
    "Llama-3.1-8B",
    "Llama-3.1-70B",
    "Qwen3-30B-A3B",
    "Qwen3-235B-A22B-FP8",
    "DeepSeek-R1",
    "gpt-oss-120b",
    "MiniMax-M2.5",
];
const GPUS: [&str; 6] = ["a100_sxm", "h100_sxm", "h200_sxm", "b200_sxm", "gb200", "l40s"];

/// The closed loop of every size that can be predicted, at `batches`; how many points there were.
fn closed_loops(model: &ModelShape, gpu: &str, backend: Backend, batches: &[u32]) -> u32 {
    let gpu = gpu::lookup(gpu).expect("a known GPU");
    let mut points = 0;
    for tp in TP_SIZES {
        let deployment = Deployment { model, gpu, backend, precision: model.precision, layout: Layout::tensor(tp) };
        let Ok(engine) = Aggregated::new(&deployment) else { continue };
        for &concurrency in batches {
            black_box(engine.predict(AggregatedLoad { isl: 2048, osl: 256, concurrency, lengths: Lengths::Any }));
            points += 1;
        }
    }
    points
}

fn predict(c: &mut Criterion) {
    let shape = model::lookup("Qwen3-32B").expect("a known model");
    let h200 = gpu::lookup("h200_sxm").expect("a known GPU");
    let cost = CostModel::new(shape, h200, Backend::Vllm, 4).expect("it can be predicted");
    let load = StepLoad::decode(64, 2176);
    let many: Vec<u32> = (1..=64).collect();
    c.bench_function("pass", |b| b.iter(|| cost.step_s(black_box(&load))));
    c.bench_function("sweep", |b| b.iter(|| closed_loops(shape, "h200_sxm", Backend::TrtLlm, &many)));
    c.bench_function("grid", |b| {
        b.iter(|| {
            let mut points = 0;
            for (name, gpu) in MODELS.iter().flat_map(|m| GPUS.map(|g| (m, g))) {
                let model = model::lookup(name).expect("a known model");
                points += Backend::ALL
                    .map(|b| closed_loops(model, gpu, b, &[1, 2, 4, 8, 16, 32, 64, 128]))
                    .iter()
                    .sum::<u32>();
            }
            assert!(points > 1000, "{points} points could be predicted");
        });
    });
}

criterion_group!(benches, predict);
criterion_main!(benches);
