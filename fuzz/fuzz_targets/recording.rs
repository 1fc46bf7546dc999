//! No Parquet file makes the reader panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::record::reader::fuzz_read(data);
});
