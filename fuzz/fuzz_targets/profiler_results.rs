//! Any bytes as a file of Dynamo's profiler: parsed or refused, never a panic; what is parsed of an array is written and read
//! back the same. The first byte chooses the kind of file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline::profiler::results::tables::{DecodeTable, PrefillTable};
use loadline::profiler::results::{log, npy, npz, planner};

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 4 {
        0 => {
            if let Ok(values) = npy::parse(bytes) {
                let again = npy::parse(&npy::encode(&values)).expect("what is written is read");
                assert!(values.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()));
            }
        }
        1 => {
            if let Ok(arrays) = npz::parse(bytes) {
                let _ = PrefillTable::from_arrays(&arrays);
                if let Ok(table) = DecodeTable::from_arrays(&arrays) {
                    let _ = table.doubt(None);
                    for i in 0..table.kv_usage.len() {
                        let _ = table.batch(i);
                    }
                }
            }
        }
        2 => {
            let _ = log::parse(&String::from_utf8_lossy(bytes));
        }
        _ => {
            if let Ok(config) = planner::parse(&String::from_utf8_lossy(bytes)) {
                let _ = config.gpus();
            }
        }
    }
});
