//! Time of a prediction: `whole` is four tensor-parallel sizes with 64 batches each, all topologies of eight GPUs, the Pareto
//! front and the recommendation; `sizes` is the sizes alone; `under_load` plays one topology through, 1,000 requests a level.

use criterion::{Criterion, criterion_group, criterion_main};
use loadline::forecast::Question;
use loadline::profiler::backend::Backend;
use loadline::profiler::calibrate::Calibration;
use loadline::profiler::capacity::{Capacity, Engine, Sla, Workload};
use loadline::profiler::disaggregate::Handoff;
use loadline::profiler::sweep::Spec;
use loadline::profiler::{gpu, model};
use loadline::rng::Seed;

fn spec() -> Spec {
    Spec {
        model: model::lookup("Qwen/Qwen3-32B").expect("the model is known"),
        gpu: gpu::lookup("h200_sxm").expect("the GPU is known"),
        backend: Backend::TrtLlm,
        tps: vec![1, 2, 4, 8],
        workload: Workload { isl_tokens: 2048, osl_tokens: 256 },
        sla: Sla { ttft_ms: 500.0, itl_ms: 50.0 },
        max_gpus: 8,
        handoff: Handoff::default(),
        calibration: Calibration::default(),
    }
}

fn sweep(c: &mut Criterion) {
    let mut group = c.benchmark_group("sweep");
    let spec = spec();
    group.bench_function("whole", |b| b.iter(|| spec.sweep().map(|s| s.all.len())));
    group.bench_function("sizes", |b| {
        b.iter(|| {
            let capacity = |&tp: &u32| {
                let engine = Engine::new(spec.model, spec.gpu, spec.backend, tp).expect("the size is known");
                Capacity::of(engine, spec.workload, spec.sla).curve.len()
            };
            spec.tps.iter().map(capacity).sum::<usize>()
        });
    });
    let point = spec.sweep().expect("the spec above is whole").feasible[0];
    group.sample_size(10);
    group.bench_function("under_load", |b| {
        let question = Question { spec: &spec, attainment: 0.9, seed: Seed(0), trace: None };
        b.iter(|| question.forecast(&point).map(|f| f.capacity_rps));
    });
    group.finish();
}

criterion_group!(benches, sweep);
criterion_main!(benches);
