//! Cost of one stream event on the data plane, in memory: no socket, no clock, no ring.
//!
//! `scan` isolates finding the events in the bytes, `delta` reading one event's JSON, `event` both plus the flight's
//! bookkeeping and the hand-over to the ring. `memchr` is the floor that no scanner can beat; `serde_json::Value` must be
//! slower than `delta` by far, else the walk measures nothing.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use loadline::engine::flight::Flight;
use loadline::engine::transport::ReadStamp;
use loadline::record::ring::{Parcel, ring};
use loadline::wire::delta::Delta;
use loadline::wire::sse::Scanner;

const EVENT: &str = r#"{"id":"chatcmpl-b2e93dcd-0e30-4bc4-baf6-669c822cc21f","choices":[{"index":0,"delta":{"content":" log"},"finish_reason":null,"logprobs":null}],"created":1795491094,"model":"Qwen/Qwen3-32B","object":"chat.completion.chunk"}"#;
const EVENTS: usize = 1000;

fn stream() -> Vec<u8> {
    format!("data: {EVENT}\n\n").repeat(EVENTS).into_bytes()
}

fn scan(c: &mut Criterion) {
    let bytes = stream();
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("memchr", |b| b.iter(|| memchr::memchr_iter(b'\n', black_box(&bytes)).count()));
    for (name, piece) in [("whole", usize::MAX), ("one_event_a_read", bytes.len() / EVENTS), ("cut_100", 100)] {
        let mut scanner = Scanner::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                scanner.reset();
                let mut n = 0;
                for part in black_box(&bytes).chunks(piece.min(bytes.len())) {
                    scanner.push(part, (), |e| n += e.data.len());
                }
                n
            });
        });
    }
    group.finish();
}

fn delta(c: &mut Criterion) {
    let mut group = c.benchmark_group("delta");
    group.throughput(Throughput::Elements(1));
    group.bench_function("walk", |b| b.iter(|| Delta::read(black_box(EVENT.as_bytes())).is_ok()));
    group.bench_function("serde_json_value", |b| {
        b.iter(|| serde_json::from_str::<serde_json::Value>(black_box(EVENT)).is_ok());
    });
    group.finish();
}

fn event(c: &mut Criterion) {
    let bytes = stream();
    let (mut recorder, mut intake) = ring(1024);
    let mut flight = Flight::default();
    let mut group = c.benchmark_group("event");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("bytes_to_ring", |b| {
        b.iter(|| {
            flight.begin(0, 0, 0, None);
            flight.on_head(200, true);
            for (n, part) in (0u32..).zip(bytes.chunks(bytes.len() / EVENTS)) {
                flight.on_body(part, ReadStamp { t_ns: i64::from(n), kernel_ns: None, read: n }, &mut recorder);
            }
            while let Some(parcel) = intake.pop() {
                if let Parcel::Tokens(chunk) = parcel {
                    intake.recycle(chunk);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, scan, delta, event);
criterion_main!(benches);
