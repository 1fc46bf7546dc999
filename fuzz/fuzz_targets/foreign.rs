//! No Parquet table of others makes its reader panic, and a column that is read has a cell for each row.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::record::foreign::fuzz_foreign(data);
});
