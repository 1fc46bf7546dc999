//! Time to make a schedule from a trace in memory: slots, corpus and shape, without reading a file.
//!
//! `corpus` isolates the text that prompts are slices of, which is made once a run; `plan` is everything for 10,000
//! requests of 20 blocks each; `body` is what the send path does for one of them; `arrivals` inverts a rate that is a product
//! of a sum 10,000 times. `conversation` is the whole way of Mooncake's
//! conversation trace, from its file and, where `LOADLINE_TOKENIZERS` names a folder of tokenizers (see
//! `scripts/fetch_tokenizers`), from each tokenizer's own, to a schedule whose bodies can be sent.

use std::hint::black_box;
use std::path::Path;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use loadline::arrival::curve::Curve;
use loadline::arrival::{self, Rescaled, UnitGaps};
use loadline::endpoint::{EndpointType, RequestOptions};
use loadline::outcome::Phase;
use loadline::prompt::arena::Arena;
use loadline::prompt::corpus::Corpus;
use loadline::prompt::source::{Around, TextSource};
use loadline::prompt::tokenizer::Tokenizer;
use loadline::prompt::vocabulary::Vocabulary;
use loadline::rng::{Seed, Stream};
use loadline::schedule::Plan;
use loadline::schedule::conversation::History;
use loadline::schedule::opening::OpeningSpec;
use loadline::schedule::order::Sampling;
use loadline::schedule::spec::{Load, PhaseSpec, PlanSpec, Source};
use loadline::trace::{Entry, ReadOptions, Trace};

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
            legacy_max_tokens: false,
        },
        source: Source::Trace(trace()),
        sampling: Sampling::Sequential,
        output: None,
        opening: OpeningSpec::default(),
        history: History::Planned,
        phases: vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)],
    }
}

fn schedule(c: &mut Criterion) {
    let mut group = c.benchmark_group("schedule");
    group.sample_size(10);
    let words = Vocabulary::builtin();
    group.bench_function("corpus", |b| b.iter(|| Corpus::build(&mut Arena::default(), Seed(1), 200_000, &words)));
    group.bench_function("plan", |b| b.iter_batched(spec, |s| s.build().map(|p| p.len()), BatchSize::LargeInput));
    let plan = spec().build().expect("the spec above can be built");
    let rate = "(10 + sin(amplitude=5, period=60s)) * ramp(from=1, to=2, end=10m)";
    let rate = Curve::parse(rate).expect("the rate above can be read");
    group.bench_function("arrivals", |b| {
        b.iter(|| {
            let mut process = Rescaled::new(rate.clone(), UnitGaps::Exponential);
            arrival::first(REQUESTS as usize, &mut process, &mut Seed(1).stream(Stream::Arrival))
        });
    });
    group.bench_function("body", |b| b.iter(|| plan.body(black_box(&plan.phases[0]), 5, None)));
    conversation(&mut group);
    group.finish();
}

#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "the one way to hand a folder to a bench")]
fn conversation(group: &mut BenchmarkGroup<'_, WallTime>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces/mooncake-fast25/conversation_trace.jsonl");
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return;
    }
    let folder = std::env::var_os("LOADLINE_TOKENIZERS").and_then(|folder| std::fs::read_dir(folder).ok());
    let folders = folder.into_iter().flatten().flatten().map(|entry| entry.path().display().to_string());
    let names = ["builtin", "tiktoken:o200k_base"].map(String::from).into_iter().chain(folders);
    for name in names {
        let id = BenchmarkId::new("conversation", name.rsplit('/').next().unwrap_or(&name));
        group.bench_function(id, |b| b.iter(|| planned(&path, &name).len()));
    }
}

fn planned(path: &Path, tokenizer: &str) -> Plan {
    let trace = loadline::trace::read(path, &ReadOptions::default()).expect("the trace can be read");
    let tokenizer = Tokenizer::open(tokenizer).expect("the tokenizer can be read");
    let text = TextSource::new(tokenizer, Around::Uncounted, Seed(1)).expect("the tokenizer has words enough");
    PlanSpec { source: Source::Trace(trace), ..spec() }.build_with(&text).expect("the trace can be planned")
}

criterion_group!(benches, schedule);
criterion_main!(benches);
