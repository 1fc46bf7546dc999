//! No text makes the reader of a server's metrics panic, and what it reads it reads alike when it is written out again.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::wire::exposition::fuzz_exposition(data);
});
