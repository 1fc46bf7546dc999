//! [`ServerMetrics`] → `server_metrics_export.json` (schema 1.1).
//!
//! Invariant: every number is finite; what is not known is left out, as aiperf does. Percentiles of histograms are estimates
//! and are called so. Beside aiperf's keys stands `failed_fetches`.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::ServerFormat;
use crate::analysis::server::{EndpointInfo, SeriesStats, SeriesSummary, ServerMetrics};
use crate::error::{Error, Result};
use crate::export::aiperf_json::{benchmark_id, utc_iso};
use crate::export::aiperf_words::AIPERF_VERSION;
use crate::metrics::PERCENTILES;
use crate::metrics::quantile::percentile_of_sorted;
use crate::record::manifest::{Manifest, PhaseWindow};

pub(super) fn write(
    manifest: &Manifest,
    metrics: &ServerMetrics,
    warmup: Option<&ServerMetrics>,
    out: &mut dyn Write,
) -> Result<()> {
    let name = ServerFormat::Json.file_name();
    let mut document = document(manifest, metrics);
    if let (Some(warmup), Some(document)) = (warmup, document.as_object_mut()) {
        document.insert("warmup_metrics".into(), Json::Object(families(warmup, None)));
    }
    serde_json::to_writer_pretty(&mut *out, &document).map_err(|e| Error::io(name)(e.into()))?;
    out.write_all(b"\n").map_err(Error::io(name))
}

/// The series by metric; of one endpoint, where one is given, without its name.
pub(super) fn families(metrics: &ServerMetrics, of: Option<usize>) -> Map<String, Json> {
    let mut families: Map<String, Json> = Map::new();
    for series in metrics.series.iter().filter(|series| of.is_none_or(|endpoint| series.endpoint == endpoint)) {
        let family = families.entry(&*series.metric).or_insert_with(|| {
            let mut family = Map::new();
            family.insert("type".into(), series.kind.as_str().into());
            family.insert("description".into(), series.help.as_str().into());
            if let Some(unit) = series.unit {
                family.insert("unit".into(), unit.into());
            }
            family.insert("series".into(), Json::Array(Vec::new()));
            Json::Object(family)
        });
        if let Some(list) = family["series"].as_array_mut() {
            list.push(series_json(series, of.is_none().then(|| &*metrics.endpoints[series.endpoint].url)));
        }
    }
    families
}

fn document(manifest: &Manifest, metrics: &ServerMetrics) -> Json {
    json!({
        "schema_version": "1.1",
        "aiperf_version": AIPERF_VERSION,
        "benchmark_id": benchmark_id(manifest),
        "summary": summary(manifest, metrics),
        "metrics_phase": "profiling",
        "metrics": families(metrics, None),
    })
}

fn summary(manifest: &Manifest, metrics: &ServerMetrics) -> Json {
    let unix = |t_ns| manifest.anchor.to_unix(t_ns);
    let mut summary = Map::new();
    summary.insert("endpoints_configured".into(), urls(metrics, |_| true));
    summary.insert("endpoints_successful".into(), urls(metrics, |e| e.fetches > 0));
    if let Some(window) = manifest.profiling {
        summary.insert("start_time".into(), utc_iso(unix(window.start_ns)).into());
        summary.insert("end_time".into(), utc_iso(unix(window.end_ns)).into());
    }
    let about = metrics.endpoints.iter().map(|e| (e.url.to_string(), endpoint_json(manifest, e)));
    summary.insert("endpoint_info".into(), Json::Object(about.collect()));
    let windows = [("profiling", manifest.profiling), ("warmup", manifest.warmup)];
    let range = |window: PhaseWindow| json!({"start_ns": unix(window.start_ns), "end_ns": unix(window.end_ns)});
    let ranges: Map<String, Json> =
        windows.into_iter().filter_map(|(name, window)| Some((name.to_owned(), range(window?)))).collect();
    if !ranges.is_empty() {
        summary.insert("phase_time_ranges".into(), Json::Object(ranges));
    }
    Json::Object(summary)
}

/// The URLs of those endpoints that are `wanted`.
pub(super) fn urls(metrics: &ServerMetrics, wanted: impl Fn(&EndpointInfo) -> bool) -> Json {
    Json::from_iter(metrics.endpoints.iter().filter(|e| wanted(e)).map(|e| e.url.to_string()))
}

/// An endpoint and its scrapes.
pub(super) fn endpoint_json(manifest: &Manifest, endpoint: &EndpointInfo) -> Json {
    let unix = |t_ns| manifest.anchor.to_unix(t_ns);
    let mut about = Map::new();
    about.insert("total_fetches".into(), endpoint.fetches.into());
    about.insert("failed_fetches".into(), endpoint.failures.into());
    if let Some((first_ns, last_ns)) = endpoint.fetched_ns {
        about.insert("first_fetch_ns".into(), unix(first_ns).into());
        about.insert("last_fetch_ns".into(), unix(last_ns).into());
    }
    about.insert("avg_fetch_latency_ms".into(), endpoint.latency_mean_ms.into());
    let updates = &endpoint.updates_ns;
    about.insert("unique_updates".into(), updates.len().into());
    if let (Some(first_ns), Some(last_ns)) = (updates.first(), updates.last()) {
        about.insert("first_update_ns".into(), unix(*first_ns).into());
        about.insert("last_update_ns".into(), unix(*last_ns).into());
        about.insert("duration_seconds".into(), (last_ns.saturating_sub(*first_ns) as f64 / 1e9).into());
    }
    let mut gaps: Vec<f64> = updates.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 / 1e6).collect();
    gaps.sort_unstable_by(f64::total_cmp);
    if !updates.is_empty() {
        about.insert("avg_update_interval_ms".into(), (gaps.iter().sum::<f64>() / gaps.len().max(1) as f64).into());
    }
    if !gaps.is_empty() {
        about.insert("median_update_interval_ms".into(), percentile_of_sorted(&gaps, 50.0).into());
    }
    Json::Object(about)
}

fn series_json(series: &SeriesSummary, url: Option<&str>) -> Json {
    let mut object = Map::new();
    if let Some(url) = url {
        object.insert("endpoint_url".into(), url.into());
    }
    if !series.labels.is_empty() {
        let labels = series.labels.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str())));
        object.insert("labels".into(), Json::Object(labels.collect()));
    }
    let numbers = numbers(series).into_iter();
    let stats = numbers.filter_map(|(name, x)| Some((name, Json::Number(serde_json::Number::from_f64(x?)?))));
    let mut stats: Map<String, Json> = stats.collect();
    if let SeriesStats::Histogram(histogram) = &series.stats {
        stats.insert("count".into(), (histogram.count as u64).into());
        object.insert("stats".into(), Json::Object(stats));
        let buckets = histogram.buckets.iter().map(|(le, _, upto)| (le.clone(), Json::from(*upto as u64)));
        object.insert("buckets".into(), Json::Object(buckets.collect()));
    } else {
        object.insert("stats".into(), Json::Object(stats));
    }
    Json::Object(object)
}

/// The numbers of a series under aiperf's names, in aiperf's order. Rates are per second of the time that the series was
/// watched. The standard deviation of a gauge is that of a sample (ddof 1), as aiperf's is.
pub(super) fn numbers(series: &SeriesSummary) -> Vec<(String, Option<f64>)> {
    let rate = |grown: f64| (series.duration_s > 0.0).then(|| grown / series.duration_s);
    let named = |name: &str, x: Option<f64>| (name.to_owned(), x);
    match &series.stats {
        SeriesStats::Counter(total) => vec![named("total", Some(*total)), named("rate", rate(*total))],
        SeriesStats::Gauge(stats) => {
            let n = stats.n as f64;
            let std = if stats.n > 1 { stats.std * (n / (n - 1.0)).sqrt() } else { 0.0 };
            let four = [("avg", stats.mean), ("min", stats.min), ("max", stats.max), ("std", std)];
            let four = four.into_iter().map(|(name, x)| named(name, Some(x)));
            let percentiles = PERCENTILES.iter().zip(stats.percentiles);
            four.chain(percentiles.map(|(p, x)| (format!("p{p}"), Some(x)))).collect()
        }
        SeriesStats::Histogram(stats) => {
            let mean = (stats.count > 0.0).then(|| stats.sum / stats.count);
            let five = [
                named("count", Some(stats.count)),
                named("sum", Some(stats.sum)),
                named("avg", mean),
                named("count_rate", rate(stats.count)),
                named("sum_rate", rate(stats.sum)),
            ];
            let percentiles = PERCENTILES.iter().map(|p| (format!("p{p}_estimate"), stats.percentile(*p)));
            five.into_iter().chain(percentiles).collect()
        }
    }
}
