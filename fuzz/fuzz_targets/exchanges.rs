//! No file of exchanges makes its reader panic, and one that is read is written as it was.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::record::exchange::fuzz_exchanges(data);
});
