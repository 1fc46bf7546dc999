//! No trace makes the reader panic, and what it accepts keeps the invariants of a trace.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::trace::fuzz_parse(data);
});
