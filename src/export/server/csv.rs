//! [`ServerMetrics`] → `server_metrics_export.csv`: comments, then a block for each kind of series.
//!
//! Out: a header and a row for each series; the labels of the block's series are columns. Four decimals, CRLF line ends.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;

use super::ServerFormat;
use super::json::numbers;
use crate::analysis::server::{SeriesStats, SeriesSummary, ServerMetrics};
use crate::error::{Error, Result};
use crate::export::aiperf_json::benchmark_id;
use crate::export::aiperf_words::AIPERF_VERSION;
use crate::metrics::PERCENTILES;
use crate::record::manifest::Manifest;
use crate::wire::exposition::FamilyKind;

pub(super) fn write(manifest: &Manifest, metrics: &ServerMetrics, out: &mut dyn Write) -> Result<()> {
    let text = render(benchmark_id(manifest), metrics);
    out.write_all(text.as_bytes()).map_err(Error::io(ServerFormat::Csv.file_name()))
}

fn render(benchmark_id: &str, metrics: &ServerMetrics) -> String {
    let mut text = format!(
        "# AIPerf Server Metrics Export (CSV)\n# aiperf_version: {AIPERF_VERSION}\n# schema_version: 1.0\n# benchmark_id: \
         {benchmark_id}\n# Note: Same benchmark_id and version appear in JSON and Parquet exports\n#\n"
    );
    let mut first = true;
    for kind in [FamilyKind::Gauge, FamilyKind::Counter, FamilyKind::Histogram, FamilyKind::Unknown] {
        let series: Vec<&SeriesSummary> = metrics.series.iter().filter(|s| s.kind == kind).collect();
        if series.is_empty() {
            continue;
        }
        if !std::mem::take(&mut first) {
            text.push_str("\r\n");
        }
        block(&mut text, kind, &series, metrics);
    }
    text
}

fn block(text: &mut String, kind: FamilyKind, series: &[&SeriesSummary], metrics: &ServerMetrics) {
    let names: Vec<String> = columns(kind);
    let labels: BTreeSet<&str> = series.iter().flat_map(|s| s.labels.iter().map(|(name, _)| name.as_str())).collect();
    let head = ["Endpoint", "Type", "Metric", "Unit"].into_iter().chain(names.iter().map(String::as_str));
    let head = head.chain(labels.iter().copied()).chain(["Description"]);
    line(text, head.chain((kind == FamilyKind::Histogram).then_some("buckets")).map(String::from));
    for s in series {
        let found = numbers(s);
        let number = |name: &String| {
            let x = found.iter().find(|(n, _)| n == name).and_then(|(_, x)| *x).filter(|x| x.is_finite());
            // Counts of observations are whole.
            x.map_or_else(String::new, |x| if name == "count" { format!("{x:.0}") } else { format!("{x:.4}") })
        };
        let label = |name: &&str| s.labels.iter().find(|(n, _)| n == name).map_or_else(String::new, |(_, v)| v.clone());
        let about = [authority(&metrics.endpoints[s.endpoint].url), kind.as_str(), &s.metric, s.unit.unwrap_or("")];
        let cells = about.into_iter().map(String::from).chain(names.iter().map(number)).chain(labels.iter().map(label));
        line(text, cells.chain([s.help.clone()]).chain(buckets(s)));
    }
}

fn columns(kind: FamilyKind) -> Vec<String> {
    let of = |list: &[&str], suffix: &str| {
        let percentiles = PERCENTILES.iter().map(|p| format!("p{p}{suffix}"));
        list.iter().map(|name| (*name).to_owned()).chain(percentiles).collect()
    };
    match kind {
        FamilyKind::Gauge | FamilyKind::Unknown => of(&["avg", "min", "max", "std"], ""),
        FamilyKind::Histogram => of(&["count", "count_rate", "sum", "sum_rate", "avg"], "_estimate"),
        FamilyKind::Counter => {
            ["total", "rate", "rate_avg", "rate_min", "rate_max", "rate_std"].map(String::from).to_vec()
        }
    }
}

fn buckets(series: &SeriesSummary) -> Option<String> {
    let SeriesStats::Histogram(histogram) = &series.stats else { return None };
    let each = histogram.buckets.iter().map(|(le, _, upto)| format!("{le}={upto:.0}"));
    Some(each.collect::<Vec<_>>().join(";"))
}

/// `host:port` of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().filter(|host| !host.is_empty()).unwrap_or(url)
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    for (at, cell) in cells.enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let quoted = cell.contains([',', '"', '\n', '\r']);
        // Writing to a String cannot fail.
        let _ = if quoted {
            write!(text, "{comma}\"{}\"", cell.replace('"', "\"\""))
        } else {
            write!(text, "{comma}{cell}")
        };
    }
    text.push_str("\r\n");
}
