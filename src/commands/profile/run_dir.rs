//! The directory of a run: its name, what an earlier run left in it, and `inputs.json`.

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::cli::config::{ProfileConfig, SourceConfig};
use crate::error::{Error, Result};
use crate::export::{ExportLevel, inputs, remove_stale, vllm_json};
use crate::outcome::Phase;
use crate::record::manifest;
use crate::report::out;
use crate::schedule::{PhasePlan, Plan, Prompt};

/// Where runs go unless the user says otherwise; aiperf's default.
const ROOT: &str = "artifacts";

/// Makes the directory. A directory that the user named is used as it is, and files of an earlier run in it are
/// replaced; a directory that we name is always a new one.
pub(super) fn create(config: &ProfileConfig) -> Result<PathBuf> {
    if let Some(dir) = &config.artifact_dir {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        return Ok(dir.clone());
    }
    free_dir(config, |dir| !dir.join(manifest::FILE_NAME).exists())
}

/// Makes the directory of several runs, by the same rules; it is named after the first of them.
pub(super) fn create_series(config: &ProfileConfig) -> Result<PathBuf> {
    if let Some(dir) = &config.artifact_dir {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        return Ok(dir.clone());
    }
    free_dir(config, |dir| !dir.exists())
}

/// Makes a directory below [`ROOT`] that is named after model and load, and is free.
fn free_dir(config: &ProfileConfig, is_free: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let model = config.request.model.replace(|c: char| c == '/' || c.is_control(), "_");
    let name = format!("{model}-openai-{}-{}", config.request.endpoint.as_str(), config.stimulus());
    for n in 1..=10_000 {
        let dir = Path::new(ROOT).join(if n == 1 { name.clone() } else { format!("{name}-{n}") });
        if !is_free(&dir) {
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
    let hashed = |p: &Prompt| !matches!(p, Prompt::Literal(_) | Prompt::Messages(_));
    let from_trace = matches!(config.source, SourceConfig::Trace { .. });
    let Some(phase) = plan.phases.iter().find(|p| p.phase == Phase::Profiling) else { return Ok(()) };
    let unwanted = config.export_level < ExportLevel::Records;
    if unwanted || from_trace && phase.slots.iter().any(|s| hashed(&s.prompt)) {
        return remove_stale(&path);
    }
    let body = |ordinal: &u32| {
        let body = plan.body(phase, u64::from(*ordinal), None).to_vec();
        RawValue::from_string(String::from_utf8_lossy(&body).into_owned()).ok()
    };
    let sessions = turns_by_session(phase).into_iter().map(|turns| {
        let name = match phase.slots[turns[0] as usize].session {
            Some(session) => plan.sessions[session as usize].clone(),
            None => format!("session_{:06}", phase.first_request_id + u64::from(turns[0])),
        };
        (name, turns.iter().filter_map(body).collect())
    });
    let file = std::fs::File::create(&path).map_err(Error::io(&path))?;
    let mut out = std::io::BufWriter::new(file);
    inputs::write(&mut out, sessions).and_then(|()| std::io::Write::flush(&mut out)).map_err(Error::io(&path))
}

/// Copies vLLM's result file to where the user wants it.
pub(super) fn copy_result(dir: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    std::fs::copy(dir.join(vllm_json::FILE_NAME), to).map_err(Error::io(to))?;
    out::stderr(&format!("       {}\n", to.display()))
}

/// The slots of a phase, those of one conversation together.
fn turns_by_session(phase: &PhasePlan) -> Vec<Vec<u32>> {
    let mut sessions: Vec<Vec<u32>> = Vec::new();
    let mut session_of = Vec::with_capacity(phase.slots.len());
    for (index, slot) in (0u32..).zip(&phase.slots) {
        let session = slot.previous_turn.map_or(sessions.len(), |turn| session_of[turn as usize]);
        session_of.push(session);
        match sessions.get_mut(session) {
            Some(turns) => turns.push(index),
            None => sessions.push(vec![index]),
        }
    }
    sessions
}
