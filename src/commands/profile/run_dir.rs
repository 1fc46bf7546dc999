//! The directory of a run: its name, what an earlier run left in it, and `inputs.json`.

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::cli::config::{ProfileConfig, SourceConfig};
use crate::error::{Error, Result};
use crate::export::{ExportLevel, inputs, remove_stale};
use crate::outcome::Phase;
use crate::record::manifest;
use crate::schedule::{Plan, Prompt};

/// Where runs go unless the user says otherwise; aiperf's default.
const ROOT: &str = "artifacts";

/// Makes the directory. A directory that the user named is used as it is, and files of an earlier run in it are
/// replaced; a directory that we name is always a new one.
pub(super) fn create(config: &ProfileConfig) -> Result<PathBuf> {
    if let Some(dir) = &config.artifact_dir {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        return Ok(dir.clone());
    }
    let model = config.request.model.replace(|c: char| c == '/' || c.is_control(), "_");
    let name = format!("{model}-openai-{}-{}", config.request.endpoint.as_str(), config.stimulus());
    for n in 1..=10_000 {
        let dir = Path::new(ROOT).join(if n == 1 { name.clone() } else { format!("{name}-{n}") });
        if dir.join(manifest::FILE_NAME).exists() {
            continue;
        }
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        return Ok(dir);
    }
    Err(Error::Usage(format!("{ROOT}/{name} and 10,000 more are taken; give --artifact-dir")))
}

/// Writes `inputs.json`, where the requests are not a trace's hashes and files with an entry for each are wanted.
pub(super) fn write_inputs(dir: &Path, plan: &Plan, config: &ProfileConfig) -> Result<()> {
    let path = dir.join("inputs.json");
    let hashed = |p: &Prompt| !matches!(p, Prompt::Literal(_));
    let from_trace = matches!(config.source, SourceConfig::Trace { .. });
    let Some(phase) = plan.phases.iter().find(|p| p.phase == Phase::Profiling) else { return Ok(()) };
    let unwanted = config.export_level < ExportLevel::Records;
    if unwanted || from_trace && phase.slots.iter().any(|s| hashed(&s.prompt)) {
        return remove_stale(&path);
    }
    let sessions = (phase.first_request_id..).zip(&phase.slots).map(|(request_id, slot)| {
        let name =
            slot.session.map_or_else(|| format!("session_{request_id:06}"), |s| plan.sessions[s as usize].clone());
        let body = String::from_utf8_lossy(&plan.body(slot, request_id).to_vec()).into_owned();
        (name, RawValue::from_string(body).into_iter().collect())
    });
    let file = std::fs::File::create(&path).map_err(Error::io(&path))?;
    let mut out = std::io::BufWriter::new(file);
    inputs::write(&mut out, sessions).and_then(|()| std::io::Write::flush(&mut out)).map_err(Error::io(&path))
}
