//! What a full JSON parser accepts, the delta walk reads; what is recognised, the walk reads alike.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::wire::delta::fuzz_against_serde(data);
    loadline::wire::learned::fuzz_alike(data);
});
