//! A trace is read as a stream: what a file of a million rows takes is that of its entries, whatever the rows hold beside.
//!
//! Alone in its binary, since it counts what the whole process allocates.

#[path = "support/peak.rs"]
mod peak;
#[expect(dead_code, reason = "another test uses the rest")]
mod trace_samples;

use std::io::BufReader;

use loadline::trace::{ReadOptions, parse};
use peak::peak_of;
use trace_samples::SAMPLES;

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
