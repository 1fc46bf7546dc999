//! What a full JSON parser accepts, the delta walk reads.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::wire::delta::fuzz_against_serde(data);
});
