//! AI Configurator, where it is installed → what it would deploy for the same question.
//!
//! Runs `aiconfigurator cli default` (or `aisimulate`, its successor) into a directory of its own, which is removed again. Where
//! it cannot be asked, the reason is told; it is never put in silently, nor left out silently.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::profiler::results::aic::{self, AicTable};
use crate::profiler::sweep::Spec;

/// The names under which it is installed.
const PROGRAMS: [&str; 2] = ["aiconfigurator", "aisimulate"];
const RESULT: &str = "best_config_topn.csv";
/// How deep its results lie.
const DEPTH_MAX: u32 = 5;

/// Asks it.
///
/// # Errors
/// Why it was not used, in words.
pub(super) fn ask(spec: &Spec) -> Result<AicTable, String> {
    let dir = std::env::temp_dir().join(format!("loadline-aic-{}", std::process::id()));
    let answer = ask_into(spec, &dir);
    // What cannot be removed is in the system's own directory for such things.
    let _ = std::fs::remove_dir_all(&dir);
    answer
}

fn ask_into(spec: &Spec, dir: &Path) -> Result<AicTable, String> {
    let mut missing = Vec::new();
    for program in PROGRAMS {
        match command(program, spec, dir).output() {
            Ok(output) if output.status.success() => return results(spec, dir),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last: String = said.lines().last().unwrap_or("no reason").chars().take(200).collect();
                return Err(format!("{program} failed: {last}"));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => missing.push(program),
            Err(e) => return Err(format!("{program} cannot be run: {e}")),
        }
    }
    Err(format!("neither {} is on the PATH", missing.join(" nor ")))
}

fn command(program: &str, spec: &Spec, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["cli", "default", "--no-color"]);
    for (flag, value) in [
        ("--model-path", spec.model.names[0].to_owned()),
        ("--system", spec.gpu.name.to_owned()),
        ("--backend", spec.backend.as_str().to_owned()),
        ("--total-gpus", spec.max_gpus.to_string()),
        ("--isl", spec.workload.isl_tokens.to_string()),
        ("--osl", spec.workload.osl_tokens.to_string()),
        ("--ttft", spec.sla.ttft_ms.to_string()),
        ("--tpot", spec.sla.itl_ms.to_string()),
    ] {
        command.args([flag, &value]);
    }
    command.arg("--save-dir").arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The tables of both modes as one, best first.
fn results(spec: &Spec, dir: &Path) -> Result<AicTable, String> {
    let mut files = Vec::new();
    find(dir, DEPTH_MAX, &mut files);
    let mut all = AicTable::default();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|e| format!("its result cannot be read: {e}"))?;
        let table = aic::parse(&text, spec.workload, spec.max_gpus).map_err(|e| format!("its {RESULT}: {e}"))?;
        all.points.extend(table.points);
        all.left_out += table.left_out;
        all.version = all.version.or(table.version);
    }
    all.points.sort_by(|a, b| b.tokens_per_s_per_gpu.total_cmp(&a.tokens_per_s_per_gpu));
    if all.points.is_empty() {
        return Err("it found nothing that meets the SLA, or nothing by tensor parallelism alone".into());
    }
    Ok(all)
}

fn find(dir: &Path, depth: u32, files: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(dir).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())) {
        if path.file_name() == Some(OsStr::new(RESULT)) {
            files.push(path);
        } else if depth > 0 && path.is_dir() {
            find(&path, depth - 1, files);
        }
    }
    files.sort();
}
