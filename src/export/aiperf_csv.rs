//! [`Summary`] → `profile_export_aiperf.csv`, in the layout of aiperf 0.13.0.
//!
//! Out: a block of distributions, an empty line, a block of single numbers; each sorted by the metric's tag, with two
//! decimals and CRLF line ends. Invariant: no field needs quoting, since headings are our own.

use std::fmt::Write as _;
use std::io::Write;

use super::aiperf_words::heading;
use crate::error::{Error, Result};
use crate::metrics::{MetricDef, OverTime, Stats, Summary, Unit, Value};
use crate::record::reader::Rows;

pub(super) const FILE_NAME: &str = "profile_export_aiperf.csv";

/// Writes the file.
pub(super) fn write(_rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    out.write_all(render(summary).as_bytes()).map_err(Error::io(FILE_NAME))
}

pub(super) fn render(summary: &Summary) -> String {
    let mut sorted: Vec<_> = summary.values.iter().collect();
    sorted.sort_by_key(|(def, _)| def.name);
    let mut text = String::from("Metric,avg,min,max,sum,p1,p5,p10,p25,p50,p75,p90,p95,p99,std\r\n");
    for (def, value) in &sorted {
        let numbers = match value {
            Value::Distribution(stats) => columns(stats),
            Value::OverTime(course) => columns_over_time(course),
            Value::Scalar(_) => continue,
        };
        text.push_str(&named(def));
        numbers.into_iter().for_each(|number| push_number(&mut text, number));
        text.push_str("\r\n");
    }
    text.push_str("\r\nMetric,Value\r\n");
    for (def, value) in &sorted {
        if let Value::Scalar(number) = value {
            text.push_str(&named(def));
            push_number(&mut text, *number);
            text.push_str("\r\n");
        }
    }
    text
}

/// The numbers of a row, in the order of the header.
fn columns(s: &Stats) -> Vec<f64> {
    [s.mean, s.min, s.max, s.sum].into_iter().chain(s.percentiles).chain([s.std]).collect()
}

/// The same of what changes with time, which has no sum and no low percentiles.
fn columns_over_time(s: &OverTime) -> Vec<f64> {
    let [p50, p90, p95, p99] = s.percentiles;
    const NONE: f64 = f64::NAN;
    vec![s.mean, s.min, s.max, NONE, NONE, NONE, NONE, NONE, p50, NONE, p90, p95, p99, s.std]
}

fn push_number(text: &mut String, number: f64) {
    text.push(',');
    if number.is_finite() {
        write!(text, "{number:.2}").expect("a String takes all that is written to it");
    }
}

/// The heading with its unit; counts have none.
fn named(def: &MetricDef) -> String {
    match def.unit {
        Unit::Requests | Unit::Count => heading(def).to_owned(),
        unit => format!("{} ({})", heading(def), unit.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::METRICS;

    #[test]
    fn no_heading_needs_quoting() {
        for def in METRICS {
            assert!(!named(def).contains([',', '"', '\n', '\r']), "{}", def.name);
        }
    }
}
