//! Any split of an HTTP/1.1 answer gives the same head, body and end.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::engine::lane::decode::fuzz_split_invariance(data);
});
