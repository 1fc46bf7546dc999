//! A trace is read as a stream: what a file of a million rows takes is that of its entries, whatever the rows hold beside.
//!
//! Alone in its binary, since it counts what the whole process allocates.

#[expect(dead_code, reason = "another test uses the rest")]
mod trace_samples;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::BufReader;
use std::sync::atomic::{AtomicUsize, Ordering};

use loadline::trace::{ReadOptions, parse};
use trace_samples::SAMPLES;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call is handed to the system allocator unchanged.
#[expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be held while bytes are moved.
        grow(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What reading takes at its peak beyond what was held before, in bytes.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    work();
    PEAK.load(Ordering::Relaxed) - before
}

#[test]
fn a_row_takes_a_bounded_amount_of_memory() {
    // The counter itself: a guard that counts nothing would pass everything.
    assert!(peak_of(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)))) >= 1 << 20);
    for sample in SAMPLES {
        // Numbers of rows at which no vector has just doubled.
        let rows = if ["azure_trace", "mooncake_trace"].contains(&sample.format) { 1_000_000 } else { 30_000 };
        let options = ReadOptions { format: Some(sample.format.to_owned()), ..ReadOptions::default() };
        let mut input = BufReader::new(sample.endless(rows));
        let peak = peak_of(|| {
            let trace = parse(&mut input, "FILE", &options).expect("the sample is read");
            assert_eq!(trace.entries.len() as u64, rows, "{}", sample.format);
        });
        let per_row = peak / rows as usize;
        assert!(per_row < sample.bytes_per_row, "{}: {per_row} bytes a row", sample.format);
    }
}
