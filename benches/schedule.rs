//! Time to make a schedule from a trace in memory: slots, corpus and shape, without reading a file.
//!
//! `corpus` isolates the text that prompts are slices of, which is made once a run; `plan` is everything for 10,000
//! requests of 20 blocks each; `body` is what the send path does for one of them.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use loadline::endpoint::{EndpointType, RequestOptions};
use loadline::outcome::Phase;
use loadline::prompt::arena::Arena;
use loadline::prompt::corpus::Corpus;
use loadline::prompt::vocabulary::Vocabulary;
use loadline::rng::Seed;
use loadline::schedule::Overload;
use loadline::schedule::spec::{Load, PhaseSpec, PlanSpec, Source};
use loadline::trace::{Entry, Trace};

const REQUESTS: u32 = 10_000;
const BLOCKS: u32 = 20;

fn trace() -> Trace {
    let entry = |n: u32| Entry {
        arrival_ns: Some(i64::from(n) * 1_000_000),
        input_tokens: BLOCKS * 512 - 7,
        output_tokens: Some(n % 300 + 1),
        blocks_start: n * BLOCKS,
        blocks_len: BLOCKS,
        ..Entry::default()
    };
    Trace {
        entries: (0..REQUESTS).map(entry).collect(),
        block_ids: (0..REQUESTS * BLOCKS).collect(),
        unique_blocks: REQUESTS * BLOCKS,
        block_size: 512,
        ..Trace::default()
    }
}

fn spec() -> PlanSpec {
    PlanSpec {
        seed: Seed(1),
        request: RequestOptions {
            endpoint: EndpointType::Chat,
            model: "m".into(),
            streaming: true,
            extra: serde_json::Map::new(),
            force_output: false,
        },
        source: Source::Trace(trace()),
        output: None,
        phases: vec![PhaseSpec {
            phase: Phase::Profiling,
            load: Load::Recorded,
            requests_max: None,
            in_flight_max: None,
            duration_ns: None,
            grace_ns: 0,
            on_overload: Overload::Queue,
            cancellation: None,
        }],
    }
}

fn schedule(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedule");
    group.sample_size(10);
    let words = Vocabulary::builtin();
    group.bench_function("corpus", |b| b.iter(|| Corpus::build(&mut Arena::default(), Seed(1), 200_000, &words)));
    group.bench_function("plan", |b| b.iter_batched(spec, |s| s.build().map(|p| p.len()), BatchSize::LargeInput));
    let plan = spec().build().expect("the spec above can be built");
    group.bench_function("body", |b| b.iter(|| plan.body(black_box(&plan.phases[0].slots[5]), 5)));
    group.finish();
}

criterion_group!(benches, schedule);
criterion_main!(benches);
