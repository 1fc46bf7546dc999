//! Directories of measurements → [`Observation`]s.
//!
//! Known are what profilers leave ([`ProfilerRun`]), and runs: `profile_export_aiperf.json`, aiperf's or loadline's, in the
//! directory itself, in its subdirectories, or in those of `validation/`. A profiler's table is taken as measured unless the log
//! beside it says that AI Configurator made it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Observation;
use crate::error::{Error, InputError, Result};
use crate::profiler::results::folder::ProfilerRun;
use crate::profiler::results::planner::Worker;

const RUN_FILE: &str = "profile_export_aiperf.json";
/// Bytes of a run's file, at most.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Directories below one that is given, at most.
const FOLDERS_MAX: usize = 1_000;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The measurements.
    pub observations: Vec<Observation>,
    /// Tensor-parallel size of the engine that prefilled, where it is told.
    pub prefill_tp: Option<u32>,
    /// Of the engine that decoded.
    pub decode_tp: Option<u32>,
    /// What there is to say of them.
    pub notes: Vec<String>,
}

/// Reads the directories.
///
/// # Errors
/// [`Error::Input`] where a directory holds nothing known, or a file cannot be understood.
pub fn read(dirs: &[PathBuf]) -> Result<Observed> {
    let mut observed = Observed::default();
    for dir in dirs {
        let before = observed.observations.len();
        if let Some(run) = ProfilerRun::read(dir)? {
            tables(dir, &run, &mut observed);
        }
        for path in run_files(dir)? {
            let text = open(&path)?;
            let observation = run(&text).map_err(|problem| fault(&path, problem))?;
            observed.observations.push(observation);
        }
        if observed.observations.len() == before {
            return Err(fault(dir, "nothing in it was measured that is known here".into()));
        }
    }
    Ok(observed)
}

fn tables(dir: &Path, run: &ProfilerRun, observed: &mut Observed) {
    if run.log.as_ref().is_some_and(|log| log.used_aiconfigurator) {
        observed
            .notes
            .push(format!("{}: its tables are AI Configurator's predictions and are not fitted on.", dir.display()));
        return;
    }
    if run.prefill.is_some() || run.decode.is_some() {
        observed
            .notes
            .push(format!("{}: its tables are taken as measured; no log says how they were made.", dir.display()));
    }
    if let Some(config) = &run.config {
        let tp = |worker: &Option<Worker>| worker.as_ref().and_then(|w| w.tp);
        observed.prefill_tp = observed.prefill_tp.or(tp(&config.prefill_worker));
        observed.decode_tp = observed.decode_tp.or(tp(&config.decode_worker));
    }
    observed.observations.extend(run.prefill.iter().flat_map(Observation::of_prefill));
    observed.observations.extend(run.decode.iter().flat_map(Observation::of_decode));
    if let Some(doubt) = run.decode.as_ref().and_then(|table| table.doubt(None)) {
        observed.notes.push(format!("{}: {doubt}.", dir.display()));
    }
}

/// The files of runs below a directory, in the order of their names.
fn run_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![dir.to_owned()];
    for parent in [dir.to_owned(), dir.join("validation")] {
        let entries = match std::fs::read_dir(&parent) {
            Ok(entries) => entries,
            Err(_) if parent != *dir => continue,
            Err(e) => return Err(Error::io(&parent)(e)),
        };
        let below = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir());
        folders.extend(below.take(FOLDERS_MAX));
    }
    folders.sort();
    folders.dedup();
    Ok(folders.into_iter().map(|f| f.join(RUN_FILE)).filter(|f| f.is_file()).collect())
}

fn open(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fault(path, format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    std::fs::read_to_string(path).map_err(Error::io(path))
}

/// A closed-loop run.
///
/// # Errors
/// What is wrong, in words.
pub fn run(text: &str) -> std::result::Result<Observation, String> {
    let json: Value = serde_json::from_str(text).map_err(|e| format!("it is no JSON: {e}"))?;
    let mean = |metric: &str| {
        let value = json[metric]["avg"].as_f64().filter(|v| v.is_finite() && *v >= 0.0);
        value.ok_or_else(|| format!("field `{metric}.avg` is no number"))
    };
    let requests_per_s = mean("request_throughput")?;
    // Where the file does not tell how many clients there were, Little's law does.
    let asked = clients(&json["input_config"], 0);
    let in_flight = requests_per_s * mean("request_latency").unwrap_or(0.0) / 1e3;
    let clients = asked.unwrap_or_else(|| in_flight.round().clamp(1.0, 1e6) as u32);
    Ok(Observation::Clients {
        clients,
        isl: mean("input_sequence_length")?,
        osl: mean("output_sequence_length")?,
        ttft_ms: mean("time_to_first_token")?,
        itl_ms: mean("inter_token_latency")?,
        requests_per_s,
    })
}

/// The first `concurrency` in a configuration.
fn clients(config: &Value, depth: u32) -> Option<u32> {
    let own = config["concurrency"].as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    if own.is_some() || depth == 4 {
        return own;
    }
    match config {
        Value::Object(fields) => fields.values().find_map(|v| clients(v, depth + 1)),
        Value::Array(items) => items.iter().find_map(|v| clients(v, depth + 1)),
        _ => None,
    }
}

fn fault(path: &Path, problem: String) -> Error {
    let remedy = format!("give directories with {RUN_FILE}, or those of a profiler's run");
    InputError::of_file(path.display().to_string(), problem, remedy).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(config: &str) -> String {
        let metrics = ["request_throughput", "request_latency", "input_sequence_length", "output_sequence_length"];
        let values = [0.5, 8000.0, 2048.0, 256.0];
        let fields: Vec<String> =
            metrics.iter().zip(values).map(|(m, v)| format!("\"{m}\": {{\"avg\": {v}}}")).collect();
        format!(
            "{{{}, \"time_to_first_token\": {{\"avg\": 900}}, \"inter_token_latency\": {{\"avg\": 12}}, \"input_config\": {config}}}",
            fields.join(", ")
        )
    }

    #[test]
    fn clients_are_read_or_follow_from_littles_law() {
        let of = |config: &str| match run(&json(config)).unwrap() {
            Observation::Clients { clients, .. } => clients,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (of("{\"loadgen\": {\"concurrency\": 7}}"), of("{\"phases\": [{\"concurrency\": 3}]}"), of("null")),
            (7, 3, 4)
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(run("{").unwrap_err().contains("no JSON"));
        assert!(run("{}").unwrap_err().contains("`request_throughput.avg`"));
        let e = read(&[std::env::temp_dir().join("loadline-nothing-here")]).unwrap_err().to_string();
        assert!(e.contains("loadline-nothing-here"), "{e}");
    }

    #[test]
    fn the_published_deployments_law_holds_on_the_levels_between() {
        let Some(dir) = crate::published::shared("data/h200/aic_all/validation") else { return };
        let observed = read(&[dir]).unwrap();
        assert_eq!(observed.observations.len(), 4);
        let (stage, ttft, rate) = super::super::fit_deployment(&observed.observations).unwrap();
        // 2048 tokens of KV in 1.39 s are 0.39 GB/s.
        assert!((stage.serial_ms - 1386.0).abs() < 1.0 && (stage.idle_ttft_ms - 1134.3).abs() < 0.1, "{stage:?}");
        let (ttft, rate) = (ttft.unwrap(), rate.unwrap());
        assert!(ttft.points == 2 && ttft.error_pct < 4.0 && rate.error_pct < 2.0, "{ttft:?} {rate:?}");
    }
}
