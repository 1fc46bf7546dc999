//! No table of points makes its reader panic; every row comes back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::profiler::points::fuzz_points(data);
});
