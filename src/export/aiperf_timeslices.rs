//! A recording → `profile_export_aiperf_timeslices.json` and `.csv`, in the layout of aiperf 0.13.0, where slices are wanted.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::aiperf_config::input_config;
use super::aiperf_json::metrics;
use super::aiperf_words::heading;
use crate::error::{Error, Result};
use crate::metrics::slices::{Slice, sliced};
use crate::metrics::{OverTime, PERCENTILES, Summary, Value};
use crate::record::manifest::Manifest;
use crate::record::reader::Rows;
use crate::time::SECOND_NS;

pub(super) const JSON_NAME: &str = "profile_export_aiperf_timeslices.json";
pub(super) const CSV_NAME: &str = "profile_export_aiperf_timeslices.csv";

/// Whether the run was to be sliced.
pub(super) fn are_wanted(manifest: &Manifest) -> bool {
    slice_ns(manifest).is_some()
}

fn slice_ns(manifest: &Manifest) -> Option<i64> {
    let seconds = manifest.config["slice_duration_s"].as_f64()?;
    Some((seconds * SECOND_NS as f64).round() as i64).filter(|ns| *ns > 0)
}

fn slices(rows: &dyn Rows) -> Result<Vec<Slice>> {
    slice_ns(rows.manifest()).map_or_else(|| Ok(Vec::new()), |ns| sliced(rows, ns))
}

/// Writes the JSON file.
pub(super) fn write_json(rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    let manifest = rows.manifest();
    let slices = slices(rows)?.iter().map(|slice| Json::Object(slice_object(manifest, slice))).collect::<Vec<_>>();
    let document = json!({"timeslices": slices, "input_config": input_config(manifest, summary)});
    serde_json::to_writer_pretty(&mut *out, &document).map_err(|e| Error::io(JSON_NAME)(e.into()))?;
    out.write_all(b"\n").map_err(Error::io(JSON_NAME))
}

fn slice_object(manifest: &Manifest, slice: &Slice) -> Map<String, Json> {
    let mut object = Map::new();
    object.insert("start_ns".into(), json!(manifest.anchor.to_unix(slice.window.start_ns)));
    object.insert("end_ns".into(), json!(manifest.anchor.to_unix(slice.window.end_ns)));
    if !slice.is_complete {
        object.insert("is_complete".into(), json!(false));
    }
    object.extend(metrics(&slice.summary, |_| true));
    object
}

/// Writes the CSV file: a line for each number.
pub(super) fn write_csv(rows: &dyn Rows, _summary: &Summary, out: &mut dyn Write) -> Result<()> {
    let io = || Error::io(CSV_NAME);
    let anchor = rows.manifest().anchor;
    out.write_all(b"Timeslice,Start_NS,End_NS,Metric,Unit,Stat,Value\r\n").map_err(io())?;
    for (n, slice) in slices(rows)?.iter().enumerate() {
        let (start, end) = (anchor.to_unix(slice.window.start_ns), anchor.to_unix(slice.window.end_ns));
        let mut sorted: Vec<_> = slice.summary.values.iter().collect();
        sorted.sort_by_key(|(def, _)| def.name);
        for (def, value) in sorted {
            for (stat, number) in stats(value).into_iter().filter(|(_, number)| number.is_finite()) {
                let (title, unit) = (heading(def), def.unit.label());
                write!(out, "{n},{start},{end},{title},{unit},{stat},{number:.2}\r\n").map_err(io())?;
            }
        }
    }
    Ok(())
}

/// A metric's numbers by name, in the order of aiperf's columns.
fn stats(value: &Value) -> Vec<(String, f64)> {
    let named = |(name, number): (&str, f64)| (name.to_owned(), number);
    let ladder = |p: &[f64], v: &[f64]| p.iter().zip(v).map(|(p, v)| (format!("p{p}"), *v)).collect::<Vec<_>>();
    match value {
        Value::Scalar(number) => vec![named(("avg", *number))],
        Value::Distribution(s) => {
            let ends = [("avg", s.mean), ("min", s.min), ("max", s.max), ("sum", s.sum)].map(named);
            ends.into_iter().chain(ladder(&PERCENTILES, &s.percentiles)).chain([named(("std", s.std))]).collect()
        }
        Value::OverTime(s) => {
            let ends = [("avg", s.mean), ("min", s.min), ("max", s.max)].map(named);
            ends.into_iter()
                .chain(ladder(&OverTime::PERCENTILES, &s.percentiles))
                .chain([named(("std", s.std))])
                .collect()
        }
    }
}
