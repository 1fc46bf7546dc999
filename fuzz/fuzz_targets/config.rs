//! No `config.json` makes its reader panic, and a shape that it gives has a cost, or a reason why not.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    loadline::profiler::config::fuzz_config(data);
});
