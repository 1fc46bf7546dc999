//! [`Summary`] → `profile_export_aiperf.json`, in the layout of aiperf 0.13.0 (schema 1.4).
//!
//! In: the summary and the manifest. Out: one indented JSON object, its keys in aiperf's order.
//! Invariants: every number is finite; statistics are `{unit, avg, p1 … p99, min, max, std, count, sum}`, single
//! numbers `{unit, avg}`; whole numbers are written as floats, but for `count`.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::aiperf_config::input_config;
use super::aiperf_words::{AIPERF_VERSION, ErrorDetails, is_ours};
use crate::error::{Error, Result};
use crate::metrics::{MetricDef, OverTime, PERCENTILES, Stats, Summary, Value};
use crate::outcome::{OutcomeClass, Phase};
use crate::record::manifest::{Manifest, RunState};
use crate::record::reader::Rows;
use crate::time::SECOND_NS;

pub(super) const FILE_NAME: &str = "profile_export_aiperf.json";
const SCHEMA_VERSION: &str = "1.4";

/// The metrics that aiperf puts before the run's description, in its order.
const CORE: [&str; 23] = [
    "request_throughput",
    "request_latency",
    "request_count",
    "time_to_first_token",
    "time_to_second_token",
    "inter_token_latency",
    "output_token_throughput",
    "output_token_throughput_per_user",
    "output_sequence_length",
    "input_sequence_length",
    "goodput",
    "good_request_count",
    "output_token_count",
    "reasoning_token_count",
    "inter_chunk_latency",
    "total_output_tokens",
    "total_reasoning_tokens",
    "benchmark_duration",
    "total_isl",
    "total_osl",
    "error_request_count",
    "error_isl",
    "total_error_isl",
];

/// Writes the file.
pub(super) fn write(rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    let document = document(rows.manifest(), summary)?;
    serde_json::to_writer_pretty(&mut *out, &document).map_err(|e| Error::io(FILE_NAME)(e.into()))?;
    out.write_all(b"\n").map_err(Error::io(FILE_NAME))
}

fn document(manifest: &Manifest, summary: &Summary) -> Result<Json> {
    let mut doc = head(manifest, summary, summary, Phase::Profiling)?;
    if let Some(warmup) = &summary.of_warmup {
        doc.insert("warmup_metrics".into(), Json::Object(metrics(warmup, |_| true)));
    }
    append_rest(&mut doc, summary);
    Ok(Json::Object(doc))
}

/// The same document of one phase, `own` being its summary and `summary` that of the run.
pub(super) fn of_phase(manifest: &Manifest, summary: &Summary, own: &Summary, phase: Phase) -> Result<Json> {
    let mut doc = head(manifest, summary, own, phase)?;
    append_rest(&mut doc, own);
    Ok(Json::Object(doc))
}

/// What stands up to the run's times.
fn head(manifest: &Manifest, summary: &Summary, own: &Summary, phase: Phase) -> Result<Map<String, Json>> {
    let mut doc = Map::new();
    doc.insert("schema_version".into(), json!(SCHEMA_VERSION));
    doc.insert("aiperf_version".into(), json!(AIPERF_VERSION));
    doc.insert("loadline_version".into(), json!(manifest.loadline_version));
    doc.insert("benchmark_id".into(), json!(benchmark_id(manifest)));
    for name in CORE {
        if let Some((def, value)) = own.values.iter().find(|(def, _)| def.name == name) {
            insert_metric(&mut doc, def, value);
        }
    }
    doc.insert("input_config".into(), input_config(manifest, summary));
    describe_run(&mut doc, manifest, own, phase)?;
    Ok(doc)
}

/// The metrics behind the run's times, ours last.
fn append_rest(doc: &mut Map<String, Json>, summary: &Summary) {
    for ours in [false, true] {
        doc.extend(metrics(summary, |def| !CORE.contains(&def.name) && is_ours(def) == ours));
    }
}

fn describe_run(doc: &mut Map<String, Json>, manifest: &Manifest, summary: &Summary, phase: Phase) -> Result<()> {
    doc.insert("loadline_config".into(), manifest.config.clone());
    doc.insert("run_info".into(), Json::Object(run_info(manifest)));
    doc.insert("was_cancelled".into(), json!(manifest.state == RunState::Interrupted));
    doc.insert("is_complete".into(), json!(manifest.state == RunState::Complete));
    doc.insert("error_summary".into(), Json::Array(error_summary(summary)?));
    let window = match phase {
        Phase::Warmup => manifest.warmup,
        Phase::Profiling => manifest.profiling,
    };
    if let Some(window) = window {
        for (key, t_ns) in [("start_time", window.start_ns), ("end_time", window.end_ns)] {
            doc.insert(key.into(), json!(utc_iso(manifest.anchor.to_unix(t_ns))));
        }
    }
    Ok(())
}

/// Which run it was; of several, its place among them.
fn run_info(manifest: &Manifest) -> Map<String, Json> {
    let mut info = Map::new();
    info.insert("benchmark_id".into(), json!(benchmark_id(manifest)));
    info.insert("random_seed".into(), json!(manifest.seed));
    info.insert("trial".into(), json!(0));
    if let Some(place) = manifest.config["series"].as_object() {
        info.extend(place.clone());
    }
    info.insert("cli_command".into(), json!(cli_command(manifest)));
    info
}

/// Failures by kind; what the client gave up on purpose is none.
pub(super) fn error_summary(summary: &Summary) -> Result<Vec<Json>> {
    summary
        .errors
        .iter()
        .filter(|e| e.outcome.class() == OutcomeClass::Failed)
        .map(|e| {
            let details = ErrorDetails::new(e.outcome, e.http_status, Some(e.message.as_str()));
            let details = serde_json::to_value(details).map_err(|e| Error::Internal(e.to_string()))?;
            Ok(json!({"error_details": details, "count": e.count}))
        })
        .collect()
}

/// The metrics that are `wanted`, as one object.
pub(super) fn metrics(summary: &Summary, wanted: impl Fn(&MetricDef) -> bool) -> Map<String, Json> {
    let mut object = Map::new();
    let values = summary.values.iter().filter(|(def, _)| wanted(def));
    values.for_each(|(def, value)| insert_metric(&mut object, def, value));
    object
}

fn insert_metric(doc: &mut Map<String, Json>, def: &MetricDef, value: &Value) {
    let mut object = Map::new();
    object.insert("unit".into(), json!(def.unit.label()));
    match value {
        Value::Scalar(number) => insert_number(&mut object, "avg", *number),
        Value::Distribution(stats) => insert_stats(&mut object, stats),
        Value::OverTime(course) => insert_over_time(&mut object, course),
    }
    if object.len() > 1 {
        doc.insert(def.name.into(), Json::Object(object));
    }
}

fn insert_stats(object: &mut Map<String, Json>, stats: &Stats) {
    insert_number(object, "avg", stats.mean);
    for (p, value) in PERCENTILES.iter().zip(stats.percentiles) {
        insert_number(object, &format!("p{p}"), value);
    }
    insert_number(object, "min", stats.min);
    insert_number(object, "max", stats.max);
    insert_number(object, "std", stats.std);
    object.insert("count".into(), json!(stats.n));
    insert_number(object, "sum", stats.sum);
}

fn insert_over_time(object: &mut Map<String, Json>, course: &OverTime) {
    insert_number(object, "avg", course.mean);
    for (p, value) in OverTime::PERCENTILES.iter().zip(course.percentiles) {
        insert_number(object, &format!("p{p}"), value);
    }
    insert_number(object, "min", course.min);
    insert_number(object, "max", course.max);
    insert_number(object, "std", course.std);
}

/// Leaves out what is not finite, as aiperf does.
fn insert_number(object: &mut Map<String, Json>, key: &str, number: f64) {
    if let Some(number) = serde_json::Number::from_f64(number) {
        object.insert(key.into(), Json::Number(number));
    }
}

/// aiperf's ids have 12 digits: ours, cut.
pub(super) fn benchmark_id(manifest: &Manifest) -> &str {
    manifest.run_id.get(..12).unwrap_or(&manifest.run_id)
}

/// The command line of a run, for a shell.
pub(super) fn cli_command(manifest: &Manifest) -> String {
    shell_words(&manifest.command)
}

/// A command line that a POSIX shell splits into `words` again.
fn shell_words(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let quoted: Vec<String> =
        words
            .iter()
            .map(|w| {
                if !w.is_empty() && w.chars().all(plain) {
                    w.clone()
                } else {
                    format!("'{}'", w.replace('\'', r"'\''"))
                }
            })
            .collect();
    quoted.join(" ")
}

/// A wall-clock time as `YYYY-MM-DDTHH:MM:SS.ffffff`, in UTC.
pub(super) fn utc_iso(unix_ns: i64) -> String {
    let (seconds, ns) = (unix_ns.div_euclid(SECOND_NS), unix_ns.rem_euclid(SECOND_NS));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    let (h, m, s, us) = (second / 3600, second / 60 % 60, second % 60, ns / 1000);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{us:06}")
}

/// The Gregorian date of a number of days since 1970-01-01: Hinnant, "chrono-compatible low-level date algorithms"
/// (2014), `civil_from_days`, which counts years from March so that the leap day comes last.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468; // Days since 0000-03-01.
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // 0 is March.
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    #[test]
    fn civil_times_are_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000"),
            (951_782_400, "2000-02-29T00:00:00.000000"),
            (1_709_251_199, "2024-02-29T23:59:59.000000"),
            (1_795_486_877, "2026-11-24T02:21:17.000000"),
            (4_107_542_400, "2100-03-01T00:00:00.000000"),
            (-1, "1969-12-31T23:59:59.000000"),
        ];
        for (unix_s, expected) in cases {
            assert_eq!(utc_iso(unix_s * SECOND_NS), expected);
        }
        assert_eq!(utc_iso(1_286_429_999), "1970-01-01T00:00:01.286429", "cut to microseconds, not rounded");
    }

    #[test]
    fn a_command_survives_the_shell() {
        let words = ["loadline", "--goodput", "ttft:5 itl:9", "", "it's"].map(String::from);
        assert_eq!(shell_words(&words), r"loadline --goodput 'ttft:5 itl:9' '' 'it'\''s'");
    }

    #[test]
    fn what_is_not_finite_is_left_out_and_whole_numbers_are_floats() {
        let def = metrics::find("request_count").unwrap();
        let mut doc = Map::new();
        insert_metric(&mut doc, def, &Value::Scalar(f64::INFINITY));
        assert!(doc.is_empty());
        insert_metric(&mut doc, def, &Value::Scalar(20.0));
        assert_eq!(serde_json::to_string(&doc).unwrap(), r#"{"request_count":{"unit":"requests","avg":20.0}}"#);
    }

    #[test]
    fn every_core_metric_exists() {
        CORE.iter().for_each(|name| assert!(metrics::find(name).is_some(), "{name}"));
        assert_eq!(metrics::METRICS.iter().filter(|def| is_ours(def)).count(), 10);
    }
}
