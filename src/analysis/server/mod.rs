//! What the server said of itself over a run → numbers of its series, and of the scrapes.
//!
//! In: the rows of `server_metrics.parquet`, and the measurement's window. Out: [`ServerMetrics`].
//! A counter and a histogram are told by how much they grew from the last scrape before the window to the last of all; a gauge
//! by its values at the scrapes within. A counter that fell was started anew, and has grown by what it shows.
//! Invariants: the order of endpoints and series does not depend on the order of a hash; nothing is made up for a series that
//! was not seen in the window.
//! Not here: how the numbers are written (`export`).

mod growth;
pub mod over_time;
pub mod replay;
mod unit;

use std::sync::Arc;

use growth::{Grown, Growth};
use replay::{Now, Replay, Scrape, Series};

use crate::error::Result;
use crate::metrics::Stats;
use crate::metrics::quantile::Distribution;
use crate::outcome::Phase;
use crate::record::manifest::Manifest;
use crate::record::server::ServerRecording;
use crate::wire::exposition::FamilyKind;

/// An endpoint and its scrapes.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointInfo {
    /// Its URL.
    pub url: Arc<str>,
    /// Scrapes, failed ones aside.
    pub fetches: u64,
    /// Scrapes that failed.
    pub failures: u64,
    /// Time of the first and of the last scrape.
    pub fetched_ns: Option<(i64, i64)>,
    /// Mean time from asking to the whole answer, in milliseconds.
    pub latency_mean_ms: f64,
    /// Times of the scrapes that brought something new.
    pub updates_ns: Vec<i64>,
}

/// A histogram's growth.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramStats {
    /// Observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Upper bound as written, its number, and the observations up to it.
    pub buckets: Vec<(String, f64, f64)>,
}

/// What became of a series in the window.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesStats {
    /// By how much a counter grew.
    Counter(f64),
    /// The values of a gauge, or of what is not declared.
    Gauge(Stats),
    /// By how much a histogram grew.
    Histogram(HistogramStats),
}

/// A series in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSummary {
    /// The family.
    pub metric: Arc<str>,
    /// What it is.
    pub kind: FamilyKind,
    /// Its help.
    pub help: String,
    /// Its unit, as far as its name tells.
    pub unit: Option<&'static str>,
    /// Position of its endpoint.
    pub endpoint: usize,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Seconds from the scrape that it is counted from to the last; 0 for a gauge.
    pub duration_s: f64,
    /// Its numbers.
    pub stats: SeriesStats,
}

/// What the server said of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerMetrics {
    /// The endpoints, in order of their first scrapes.
    pub endpoints: Vec<EndpointInfo>,
    /// The series, in order of metric, endpoint and labels.
    pub series: Vec<SeriesSummary>,
}

impl ServerMetrics {
    /// Reads a recording's scrapes of a phase; those of the warm-up end where the measurement begins. Without a window, as of a
    /// run that was killed, all scrapes count.
    ///
    /// # Errors
    /// Those of the file.
    pub fn of(recording: &ServerRecording, manifest: &Manifest, phase: Phase) -> Result<ServerMetrics> {
        let measured_ns = manifest.profiling.map(|window| window.start_ns);
        let (from_ns, until_ns) = match phase {
            Phase::Warmup => (manifest.warmup.map(|window| window.start_ns), measured_ns.unwrap_or(i64::MAX)),
            Phase::Profiling => (measured_ns, i64::MAX),
        };
        let mut fold = Fold::new(from_ns.unwrap_or(i64::MIN));
        let mut replay = Replay::default();
        let on_scrape = &mut |scrape: &Scrape, series: &[Series]| fold.take(scrape, series);
        recording.for_each(&mut |row| {
            if row.sent_ns < until_ns {
                replay.push(row, on_scrape);
            }
        })?;
        replay.finish(on_scrape);
        Ok(fold.finish())
    }
}

/// What is known of an endpoint so far.
struct Endpoint {
    info: EndpointInfo,
    latency_sum_ns: i64,
    /// Time of the last scrape before the window; else of the first.
    from_ns: Option<i64>,
    until_ns: i64,
    series: Vec<Followed>,
}

/// What is known of a series so far.
struct Followed {
    about: Series,
    values: Values,
}

enum Values {
    Grows(Growth),
    Changes(Distribution),
}

struct Fold {
    window_start_ns: i64,
    endpoints: Vec<Endpoint>,
}

impl Fold {
    fn new(window_start_ns: i64) -> Fold {
        Fold { window_start_ns, endpoints: Vec::new() }
    }

    fn take(&mut self, scrape: &Scrape, series: &[Series]) {
        if self.endpoints.len() == scrape.endpoint {
            let url = scrape.url.clone();
            let info = EndpointInfo {
                url,
                fetches: 0,
                failures: 0,
                fetched_ns: None,
                latency_mean_ms: 0.0,
                updates_ns: Vec::new(),
            };
            self.endpoints.push(Endpoint {
                info,
                latency_sum_ns: 0,
                from_ns: None,
                until_ns: i64::MIN,
                series: Vec::new(),
            });
        }
        let endpoint = &mut self.endpoints[scrape.endpoint];
        if scrape.failed {
            endpoint.info.failures += 1;
            return;
        }
        let [sent_ns, t_ns, end_ns] = scrape.times_ns;
        let first = endpoint.info.fetches == 0;
        let within = t_ns > self.window_start_ns;
        endpoint.info.fetches += 1;
        endpoint.latency_sum_ns += end_ns.saturating_sub(sent_ns);
        endpoint.info.fetched_ns = Some((endpoint.info.fetched_ns.map_or(t_ns, |(from, _)| from), t_ns));
        if first || !within {
            endpoint.from_ns = Some(t_ns);
        }
        endpoint.until_ns = t_ns;
        if series.iter().any(|s| s.changed) {
            endpoint.info.updates_ns.push(t_ns);
        }
        for (at, series) in series.iter().enumerate() {
            if at == endpoint.series.len() {
                let values = match series.kind {
                    FamilyKind::Counter | FamilyKind::Histogram => Values::Grows(Growth::default()),
                    FamilyKind::Gauge | FamilyKind::Unknown => Values::Changes(Distribution::default()),
                };
                endpoint.series.push(Followed { about: series.clone(), values });
            }
            match (&mut endpoint.series[at].values, &series.now) {
                (Values::Grows(growth), now) if series.changed => growth.take(now, within && !first),
                (Values::Changes(values), Now::Scalar(Some(value))) if within && value.is_finite() => {
                    values.add(*value);
                }
                _ => {}
            }
        }
    }

    fn finish(self) -> ServerMetrics {
        let mut result = ServerMetrics::default();
        for (at, endpoint) in self.endpoints.into_iter().enumerate() {
            let Endpoint { mut info, latency_sum_ns, from_ns, until_ns, series } = endpoint;
            info.latency_mean_ms = latency_sum_ns as f64 / 1e6 / info.fetches.max(1) as f64;
            result.endpoints.push(info);
            // Nothing was seen after the moment that everything is counted from.
            let Some(from_ns) = from_ns.filter(|from_ns| *from_ns < until_ns) else { continue };
            let duration_s = until_ns.saturating_sub(from_ns) as f64 / 1e9;
            result.series.extend(series.into_iter().filter_map(|followed| followed.summary(at, duration_s)));
        }
        result.series.sort_by(|a, b| (&a.metric, a.endpoint, &a.labels).cmp(&(&b.metric, b.endpoint, &b.labels)));
        result
    }
}

impl Followed {
    fn summary(self, endpoint: usize, duration_s: f64) -> Option<SeriesSummary> {
        let Series { metric, kind, help, labels, .. } = self.about;
        let (stats, duration_s) = match self.values {
            Values::Changes(values) => (SeriesStats::Gauge(values.finish()?), 0.0),
            Values::Grows(growth) => match growth.finish()? {
                Grown::Counter(total) => (SeriesStats::Counter(total), duration_s),
                Grown::Histogram(stats) => (SeriesStats::Histogram(stats), duration_s),
            },
        };
        let unit = unit::of(&metric, kind, &help);
        Some(SeriesSummary { metric, kind, help, unit, endpoint, labels, duration_s, stats })
    }
}

impl HistogramStats {
    /// An estimate of the `p`-th percentile (0 to 100): linear within the bucket that holds it, as Prometheus'
    /// `histogram_quantile`; of the last, unbounded bucket its lower bound. `None` without observations.
    pub fn percentile(&self, p: f64) -> Option<f64> {
        let rank = self.count * p / 100.0;
        let (mut below, mut low) = (0.0, 0.0);
        for (_, bound, upto) in &self.buckets {
            if *upto >= rank && *upto > below {
                return Some(if bound.is_finite() {
                    low + (bound - low) * (rank - below) / (upto - below)
                } else {
                    low
                });
            }
            (below, low) = (*upto, *bound);
        }
        None
    }
}

#[cfg(test)]
mod tests;
