//! What a token row costs the recorder: time to encode and compress it, and bytes on disk beside their entropy.
//!
//! Isolates sorting chunks and encoding one row group of `tokens.parquet` into memory, on one thread: no ring, no disk.
//! The rows are those of a steady deployment: answers of 256 events whose steps are normal around 20 ms with a
//! deviation of 1 ms, stamped at the nanosecond; requests start at random (exponential, 20 ms apart); data lines of 8
//! lengths. `coalesced` delivers 4 events per read, and `kernel` adds the kernel's stamps, some 20 µs earlier.
//! The entropy is that of the steps and of the lengths, measured from the rows; of the steps' low 10 bits, which are
//! as good as uniform, it is 10 bits. With `--test` the rows are few.

#![allow(missing_docs, clippy::print_stdout, reason = "a benchmark is a program that prints, and has no interface")]

use std::collections::HashMap;
use std::hash::Hash;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use loadline::outcome::EventKind;
use loadline::record::encode::token_group;
use loadline::record::row::{CHUNK_STAMPS, TokenChunk, TokenStamp};
use loadline::record::schema::Table;
use loadline::record::token_rows::TokenRows;
use loadline::rng::{Seed, Stream};
use parquet::file::writer::SerializedFileWriter;
use rand::RngExt;
use rand_distr::{Distribution, Exp, Normal};

const EVENTS: u32 = 256;
const STEP_NS: f64 = 20e6;

struct Load {
    name: &'static str,
    events_per_read: u32,
    kernel_stamps: bool,
}

const LOADS: [Load; 3] = [
    Load { name: "steady", events_per_read: 1, kernel_stamps: false },
    Load { name: "coalesced", events_per_read: 4, kernel_stamps: false },
    Load { name: "kernel", events_per_read: 1, kernel_stamps: true },
];

/// The chunks of `requests` answers, in the order in which a run completes them.
fn chunks(load: &Load, requests: u64) -> Vec<TokenChunk> {
    let mut rng = Seed(1).stream(Stream::Simulation);
    let step = Normal::new(STEP_NS, STEP_NS / 20.0).expect("a deviation above 0");
    let apart = Exp::new(1.0 / STEP_NS).expect("a rate above 0");
    let mut start_ns = 0.0;
    let mut all = Vec::new();
    for request_id in 0..requests {
        start_ns += apart.sample(&mut rng);
        let mut t_ns = start_ns;
        let stamps = (0..EVENTS).map(|seq| {
            if seq % load.events_per_read == 0 {
                t_ns += step.sample(&mut rng);
            }
            TokenStamp {
                t_ns: t_ns as i64,
                kernel_ns: load.kernel_stamps.then(|| t_ns as i64 - rng.random_range(10_000..30_000)),
                read: seq / load.events_per_read,
                bytes: 240 + rng.random_range(0..8),
                tokens: None,
                kind: if seq == 0 { EventKind::Role } else { EventKind::Output },
            }
        });
        let stamps: Vec<_> = stamps.collect();
        for (first_seq, part) in (0..).step_by(CHUNK_STAMPS).zip(stamps.chunks(CHUNK_STAMPS)) {
            let mut chunk = *TokenChunk::empty();
            (chunk.request_id, chunk.first_seq) = (request_id, first_seq);
            chunk.stamps.extend_from_slice(part);
            all.push((stamps[(first_seq as usize + part.len()) - 1].t_ns, chunk));
        }
    }
    all.sort_by_key(|(full_ns, _)| *full_ns);
    all.into_iter().map(|(_, chunk)| chunk).collect()
}

/// What the writer does with a row group's chunks.
fn encode(chunks: &[TokenChunk], rows: &mut TokenRows) -> Vec<u8> {
    rows.clear();
    chunks.iter().for_each(|chunk| rows.push(chunk));
    rows.sort();
    let mut bytes = Vec::new();
    let (schema, properties) = (Table::Tokens.schema().root_schema_ptr(), Table::Tokens.writer_properties("bench"));
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties).expect("memory does not fail");
    token_group(&mut file, rows).expect("memory does not fail");
    file.finish().expect("memory does not fail");
    drop(file);
    bytes
}

/// Bits per value of the empirical distribution of `values`.
fn entropy_bits<T: Eq + Hash>(values: impl Iterator<Item = T>) -> f64 {
    let (mut counts, mut n) = (HashMap::new(), 0.0);
    for value in values {
        *counts.entry(value).or_insert(0.0) += 1.0;
        n += 1.0;
    }
    counts.values().map(|count: &f64| -count / n * (count / n).log2()).sum()
}

/// Bytes per row that no code of steps and lengths alone can go below.
fn entropy_bytes(chunks: &[TokenChunk]) -> f64 {
    const LOW_BITS: i64 = 10;
    let stamps = || chunks.iter().flat_map(|chunk| &chunk.stamps);
    let steps = || chunks.iter().flat_map(|chunk| chunk.stamps.windows(2)).map(|pair| pair[1].t_ns - pair[0].t_ns);
    let (moved, all) = (steps().filter(|step| *step != 0).count() as f64, steps().count() as f64);
    let step_bits = entropy_bits(steps().map(|step| step >> LOW_BITS)) + LOW_BITS as f64 * moved / all;
    (step_bits + entropy_bits(stamps().map(|stamp| stamp.bytes))) / 8.0
}

fn token_rows(c: &mut Criterion) {
    let requests = if std::env::args().any(|arg| arg == "--test") { 16 } else { 2048 };
    let mut group = c.benchmark_group("encode_token_rows");
    for load in &LOADS {
        let chunks = chunks(load, requests);
        let mut rows = TokenRows::default();
        let n = chunks.iter().map(|chunk| chunk.stamps.len()).sum::<usize>();
        let per_row = encode(&chunks, &mut rows).len() as f64 / n as f64;
        let entropy = entropy_bytes(&chunks);
        println!("{}: {per_row:.2} bytes per row, entropy of steps and lengths {entropy:.2}", load.name);
        group.throughput(Throughput::Elements(n as u64)).sample_size(10);
        group.bench_function(load.name, |b| b.iter(|| encode(&chunks, &mut rows)));
    }
    group.finish();
}

criterion_group!(benches, token_rows);
criterion_main!(benches);
