//! An aiperf artifact directory → what was measured.
//!
//! `profile_export_aiperf.json` has the distributions, and goodput by the objective that its run was given, which is taken only
//! where that is the comparison's. `profile_export.jsonl`, where it is there, has the requests: goodput is counted from them for any
//! target, with a series for intervals. Both layouts of `input_config` are read, that of 0.3 to 0.10 and that of 0.13.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;

use super::json::{number, read as read_json, text, whole};
use super::run::Run;
use crate::comparison::bootstrap::Series;
use crate::comparison::method::{Measured, Quantiles, Target, without_second_token};
use crate::error::{Error, InputError, Result};

const SUMMARY: &str = "profile_export_aiperf.json";
const RECORDS: &str = "profile_export.jsonl";
/// Bytes of a line, and lines of a file, at most.
const LINE_BYTES_MAX: u64 = 1 << 20;
const LINES_MAX: usize = 1 << 24;

/// Reads a directory; `None` where there is no summary in it.
///
/// # Errors
/// [`Error::Input`] for a file that cannot be understood, [`Error::Io`] for one that cannot be read.
pub(super) fn read(dir: &Path, target: Target) -> Result<Option<Run>> {
    let path = dir.join(SUMMARY);
    if !path.is_file() {
        return Ok(None);
    }
    let json = read_json(&path)?;
    let at = |metric: &str, stat: &str| number(&json, &format!("/{metric}/{stat}"));
    let quantiles = |metric: &str| Quantiles {
        mean: at(metric, "avg"),
        p50: at(metric, "p50"),
        p90: at(metric, "p90"),
        p99: at(metric, "p99"),
    };
    let equal = |metric: &str| at(metric, "avg").filter(|_| at(metric, "min") == at(metric, "max"));
    let requests = at("request_count", "avg").unwrap_or(0.0) + at("error_request_count", "avg").unwrap_or(0.0);
    let mut measured = Measured {
        concurrency: concurrency(&json),
        ttft: quantiles("time_to_first_token"),
        itl: quantiles("inter_token_latency"),
        itl_without_second_token_ms: without_second_token(
            at("inter_token_latency", "avg"),
            at("time_to_second_token", "avg"),
            equal("output_sequence_length"),
        ),
        request_rps: at("request_throughput", "avg"),
        requests: requests as u64,
        duration_s: at("benchmark_duration", "avg"),
        source: path.display().to_string(),
        ..Measured::default()
    };
    let objective = objective(&json);
    if objective == Some((target.ttft_ms, target.itl_ms)) {
        measured.goodput_rps = at("goodput", "avg");
        measured.attainment = at("good_request_count", "avg").filter(|_| requests > 0.0).map(|good| good / requests);
        measured.goodput_unknown = measured.goodput_rps.is_none().then(|| format!("{SUMMARY} has no goodput"));
    } else {
        measured.goodput_unknown = Some(match objective {
            Some((ttft, itl)) => format!(
                "its run was judged by TTFT {ttft} ms and ITL {itl} ms, not by the {} and {} ms of this comparison",
                target.ttft_ms, target.itl_ms
            ),
            None => "its run had no objective of TTFT and ITL".into(),
        });
    }
    let records = dir.join(RECORDS);
    if records.is_file()
        && let Some(duration_s) = measured.duration_s.filter(|s| *s > 0.0)
    {
        let requests = requests_of(&records, target)?;
        if !requests.is_empty() {
            let good = requests.iter().filter(|r| r.1).count() as f64;
            measured.goodput_rps = Some(good / duration_s);
            measured.attainment = Some(good / requests.len() as f64);
            measured.goodput_unknown = None;
            measured.requests = requests.len() as u64;
            measured.series = Series::new(&requests, duration_s, None).into_iter().collect();
            measured.source = format!("{}, {RECORDS}", measured.source);
        }
    }
    let model = text(&json, "/input_config/endpoint/model_names/0")
        .or_else(|| text(&json, "/input_config/models/items/0/name"));
    // What its warm-up took is not told.
    let occupied_s = measured.duration_s.unwrap_or(0.0);
    Ok(Some(Run { measured, model, gpus: None, occupied_s }))
}

fn phase(json: &Value) -> Option<&Value> {
    let phases = json.pointer("/input_config/phases")?.as_array()?;
    phases.iter().find(|p| p["kind"] == "profiling" || p["name"] == "profiling")
}

fn concurrency(json: &Value) -> Option<u32> {
    let in_phase = || whole(phase(json)?, "/concurrency");
    whole(json, "/input_config/loadgen/concurrency").or_else(in_phase)
}

/// The bounds that the run was judged by, if these are TTFT and ITL and nothing else.
fn objective(json: &Value) -> Option<(f64, f64)> {
    let bounds = ["/input_config/input/goodput", "/input_config/slos"];
    let bounds = bounds.into_iter().find_map(|at| json.pointer(at)?.as_object().filter(|o| !o.is_empty()))?;
    let bound = |name: &str| bounds.get(name)?.as_f64();
    bound("time_to_first_token").zip(bound("inter_token_latency")).filter(|_| bounds.len() == 2)
}

/// When each request of the measurement was sent, and whether it met the target.
fn requests_of(path: &Path, target: Target) -> Result<Vec<(i64, bool)>> {
    let fault = |line: usize, problem: String| -> Error {
        let remedy = format!("give {RECORDS} as aiperf wrote it, or remove it");
        Error::Input(InputError {
            line: line as u64,
            ..InputError::of_file(path.display().to_string(), problem, remedy)
        })
    };
    let mut input = BufReader::new(std::fs::File::open(path).map_err(Error::io(path))?);
    let (mut requests, mut line) = (Vec::new(), Vec::new());
    for n in 1..=LINES_MAX {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(Error::io(path))?;
        if read == 0 {
            return Ok(requests);
        }
        if read as u64 == LINE_BYTES_MAX {
            return Err(fault(n, format!("it is longer than {} MiB", LINE_BYTES_MAX >> 20)));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record: Value = serde_json::from_slice(&line).map_err(|e| fault(n, format!("it is no JSON: {e}")))?;
        if record["metadata"]["benchmark_phase"] == "warmup" {
            continue;
        }
        let sent = record.pointer("/metadata/request_start_ns").and_then(Value::as_i64);
        let sent = sent.ok_or_else(|| fault(n, "it has no request_start_ns".into()))?;
        let ms = |metric: &str| number(&record, &format!("/metrics/{metric}/value"));
        let is_met = |metric: &str, bound: f64| ms(metric).is_some_and(|x| x <= bound);
        let is_good = record.get("error").is_none_or(Value::is_null)
            && record["metadata"]["was_cancelled"] != true
            && is_met("time_to_first_token", target.ttft_ms)
            && is_met("inter_token_latency", target.itl_ms);
        requests.push((sent, is_good));
    }
    Err(fault(LINES_MAX, format!("it has more than {LINES_MAX} lines")))
}
