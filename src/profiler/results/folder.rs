//! The directory of a profiler's run → whatever of its files is there.
//!
//! `config_with_planner.yaml` (or `final_config.yaml`, `configmap_data.json`), `selected_*_interpolation/raw_data.npz`,
//! `profile_sla.log`. A file that is there and cannot be read is an error; one that is not there is not. The npz goes before
//! the ConfigMap's copy of the same table.

use std::path::Path;

use super::log::{self, ProfileLog};
use super::npz;
use super::planner::{self, PlannerConfig};
use super::tables::{DecodeTable, PrefillTable};
use crate::error::{Error, InputError, Result};

/// Bytes of one file, at most.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What a directory holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfilerRun {
    /// The deployment and its planner.
    pub config: Option<PlannerConfig>,
    /// The prefill table.
    pub prefill: Option<PrefillTable>,
    /// The decode table.
    pub decode: Option<DecodeTable>,
    /// The log.
    pub log: Option<ProfileLog>,
}

impl ProfilerRun {
    /// Reads a directory; `None` where nothing of a profiler's is in it.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that cannot be understood, [`Error::Io`] for one that cannot be read.
    pub fn read(dir: &Path) -> Result<Option<ProfilerRun>> {
        let mut run = ProfilerRun::default();
        for name in ["config_with_planner.yaml", "final_config.yaml", "configmap_data.json"] {
            if run.config.is_none()
                && let Some((path, bytes)) = open(&dir.join(name))?
            {
                let text = String::from_utf8_lossy(&bytes);
                run.config = Some(planner::parse(&text).map_err(|e| fault(&path, e))?);
            }
        }
        if let Some((path, bytes)) = open(&dir.join("selected_prefill_interpolation/raw_data.npz"))? {
            let table = npz::parse(&bytes).and_then(|arrays| PrefillTable::from_arrays(&arrays));
            run.prefill = Some(table.map_err(|e| fault(&path, e))?);
        }
        if let Some((path, bytes)) = open(&dir.join("selected_decode_interpolation/raw_data.npz"))? {
            let table = npz::parse(&bytes).and_then(|arrays| DecodeTable::from_arrays(&arrays));
            run.decode = Some(table.map_err(|e| fault(&path, e))?);
        }
        if let Some((_, bytes)) = open(&dir.join("profile_sla.log"))? {
            run.log = Some(log::parse(&String::from_utf8_lossy(&bytes)));
        }
        if let Some(config) = &run.config {
            run.prefill = run.prefill.or_else(|| config.prefill.clone());
            run.decode = run.decode.or_else(|| config.decode.clone());
        }
        Ok((run != ProfilerRun::default()).then_some(run))
    }
}

/// A file's name and bytes, where it is there.
fn open(path: &Path) -> Result<Option<(String, Vec<u8>)>> {
    let name = path.display().to_string();
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path)(e)),
    };
    if size > FILE_BYTES_MAX {
        return Err(fault(&name, format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(Some((name, std::fs::read(path).map_err(Error::io(path))?)))
}

fn fault(path: &str, problem: String) -> Error {
    InputError::of_file(path, problem, "give the directory that a profiler wrote, or remove the file from it").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_npz_goes_first_what_is_broken_is_named_and_an_empty_directory_is_none() {
        let dir = std::env::temp_dir().join(format!("loadline-folder-{}", std::process::id()));
        let below = dir.join("selected_prefill_interpolation");
        std::fs::create_dir_all(&below).unwrap();
        assert_eq!(ProfilerRun::read(&dir).unwrap(), None);
        let yaml = "kind: ConfigMap\ndata:\n  prefill_raw_data.json: '{\"prefill_isl\": [1], \"prefill_ttft\": [2]}'\n";
        std::fs::write(dir.join("config_with_planner.yaml"), yaml).unwrap();
        let ttft = |run: Option<ProfilerRun>| run.unwrap().prefill.unwrap().ttft_ms;
        assert_eq!(ttft(ProfilerRun::read(&dir).unwrap()), [2.0]);
        let npz = npz::encode(&[("prefill_isl", &[1.0]), ("prefill_ttft", &[3.0])]).unwrap();
        std::fs::write(below.join("raw_data.npz"), &npz).unwrap();
        assert_eq!(ttft(ProfilerRun::read(&dir).unwrap()), [3.0]);
        std::fs::write(below.join("raw_data.npz"), &npz[..40]).unwrap();
        let text = ProfilerRun::read(&dir).unwrap_err().to_string();
        assert!(text.contains("raw_data.npz: it is no zip archive"), "{text}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
