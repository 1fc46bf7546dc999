//! No expression makes its reader panic, and what it accepts as a rate can be inverted.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::arrival::curve::fuzz_curve(data);
});
