//! Any split of an event stream gives the same events.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::wire::sse::fuzz_split_invariance(data);
});
