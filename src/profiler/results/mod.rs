//! The files of Dynamo's SLA profiler ↔ what they say; so that sweeps made here and there are read by the same programs.
//!
//! [`npy`] and [`npz`]: numpy's arrays. [`tables`]: latency by length and load, measured or predicted; [`timing`]: the same from any file that holds both. [`planner`]: the
//! deployment with its planner, `config_with_planner.yaml`. [`log`]: what `profile_sla.log` suggests. [`aic`]: what AI
//! Configurator recommends.
//! Invariants: parsers are pure and bounded, and never panic; what is written is read back the same.
//! Not here: opening files ([`folder`] aside, which knows their names).

pub mod aic;
pub mod folder;
pub mod log;
mod lookup;
pub mod npy;
pub mod npz;
pub mod planner;
pub mod suggest;
pub mod tables;
pub mod timing;

#[cfg(test)]
mod tests {
    use super::*;

    /// The files that the fuzz target begins with: the first byte chooses the parser, which must take the rest.
    #[test]
    fn the_fuzz_corpus_is_read() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/profiler_results");
        let mut files = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let (kind, rest) = bytes.split_first().unwrap();
            let text = String::from_utf8_lossy(rest);
            match kind {
                0 => assert!(!npy::parse(rest).unwrap().is_empty()),
                1 => {
                    let table = tables::DecodeTable::from_arrays(&npz::parse(rest).unwrap()).unwrap();
                    assert!(table.doubt(None).is_some());
                }
                2 => assert!(log::parse(&text).prefill.is_some()),
                _ => assert_eq!(planner::parse(&text).unwrap().decode_worker.unwrap().tp, Some(2)),
            }
            files += 1;
        }
        assert_eq!(files, 6);
    }
}
