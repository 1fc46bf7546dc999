//! Rows of `server_metrics.parquet` → each scrape with all series of its endpoint as they were then.
//!
//! In: rows, in order. Out: a call for each scrape, with the endpoint's series, those that changed marked. The samples of a
//! histogram are one series.
//! Invariant: memory is one value for each sample, however many scrapes there were.
//! Not here: what became of a value over time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::record::server::{ServerRow, ServerSample};
use crate::wire::exposition::{self, FamilyKind, unescape};

/// Values of a series at one moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Now {
    /// A single value; `None` while there is none.
    Scalar(Option<f64>),
    /// A histogram's.
    Histogram(Buckets),
}

/// Cumulative counts of a histogram, as its server says them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Upper bound as written, its number, and the observations up to it; in the server's order.
    pub upto: Vec<(String, f64, f64)>,
    /// Sum of all observations.
    pub sum: f64,
    /// Number of all observations.
    pub count: f64,
}

/// A series: a family with one set of labels.
#[derive(Clone, Debug)]
pub struct Series {
    /// The family; of one that is no histogram and no counter, the sample.
    pub metric: Arc<str>,
    /// What it is.
    pub kind: FamilyKind,
    /// Its help, escapes undone.
    pub help: String,
    /// Its labels, values with their escapes undone; those of a histogram without `le`.
    pub labels: Vec<(String, String)>,
    /// Its values.
    pub now: Now,
    /// Whether a value changed in this scrape.
    pub changed: bool,
}

/// One scrape.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// Position of its endpoint, in order of first scrapes.
    pub endpoint: usize,
    /// The endpoint's URL.
    pub url: Arc<str>,
    /// When it was asked, when the answer began, and when it was whole.
    pub times_ns: [i64; 3],
    /// Whether it brought nothing, because it failed.
    pub failed: bool,
}

/// Where a sample's value goes.
#[derive(Clone, Copy, Debug)]
struct Place {
    series: usize,
    slot: Slot,
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Value,
    Bucket(usize),
    Sum,
    Count,
}

/// A family and its labels.
type SeriesKey = (Arc<str>, Vec<(String, String)>);

#[derive(Debug, Default)]
struct Endpoint {
    url: Arc<str>,
    series: Vec<Series>,
    /// By sample name and labels.
    places: HashMap<(Arc<str>, Arc<str>), Place>,
    /// Histograms by family and labels.
    histograms: HashMap<SeriesKey, usize>,
}

/// Called with each scrape and its endpoint's series. A series keeps its position; new ones come last.
pub type OnScrape<'a> = dyn FnMut(&Scrape, &[Series]) + 'a;

/// The walk through the rows.
#[derive(Debug, Default)]
pub struct Replay {
    endpoints: Vec<Endpoint>,
    /// The scrape whose rows come now, and its number.
    open: Option<(u32, Scrape)>,
}

impl Replay {
    /// Takes the next row.
    pub fn push(&mut self, row: &ServerRow, on_scrape: &mut OnScrape<'_>) {
        if self.open.as_ref().is_none_or(|(number, _)| *number != row.scrape) {
            self.finish(on_scrape);
            let known = self.endpoints.iter().position(|e| e.url == row.endpoint);
            let endpoint = known.unwrap_or_else(|| {
                self.endpoints.push(Endpoint { url: row.endpoint.clone(), ..Endpoint::default() });
                self.endpoints.len() - 1
            });
            let times_ns = [row.sent_ns, row.first_byte_ns, row.end_ns];
            let scrape = Scrape { endpoint, url: row.endpoint.clone(), times_ns, failed: row.error.is_some() };
            self.open = Some((row.scrape, scrape));
        }
        if let (Some((_, scrape)), Some(sample)) = (&self.open, &row.sample) {
            self.endpoints[scrape.endpoint].take(sample);
        }
    }

    /// Hands out the scrape whose rows came last. To be called at the end.
    pub fn finish(&mut self, on_scrape: &mut OnScrape<'_>) {
        if let Some((_, scrape)) = self.open.take() {
            let series = &mut self.endpoints[scrape.endpoint].series;
            on_scrape(&scrape, series);
            series.iter_mut().for_each(|series| series.changed = false);
        }
    }
}

impl Endpoint {
    fn take(&mut self, sample: &ServerSample) {
        let key = (sample.name.clone(), sample.labels.clone());
        let place = self.places.get(&key).copied().unwrap_or_else(|| self.place(key, sample));
        let series = &mut self.series[place.series];
        series.changed = true;
        match (&mut series.now, place.slot) {
            (Now::Histogram(buckets), slot) => {
                let value = sample.value.unwrap_or(0.0);
                match slot {
                    Slot::Bucket(at) => buckets.upto[at].2 = value,
                    Slot::Sum => buckets.sum = value,
                    Slot::Count | Slot::Value => buckets.count = value,
                }
            }
            (Now::Scalar(now), _) => *now = sample.value,
        }
    }

    /// Makes a place for a sample that was not met before.
    fn place(&mut self, key: (Arc<str>, Arc<str>), sample: &ServerSample) -> Place {
        let labels: Vec<(String, String)> =
            exposition::labels(&sample.labels).flatten().map(|(k, v)| (k.to_owned(), unescape(v))).collect();
        let kind = FamilyKind::parse(&sample.metric_type);
        let place = match kind {
            FamilyKind::Histogram => self.place_in_histogram(sample, labels),
            _ => Place { series: self.add(sample, kind, labels, Now::Scalar(None)), slot: Slot::Value },
        };
        self.places.insert(key, place);
        place
    }

    fn place_in_histogram(&mut self, sample: &ServerSample, mut labels: Vec<(String, String)>) -> Place {
        let le = labels.iter().position(|(name, _)| name == "le").map(|at| labels.remove(at).1);
        let key = (sample.metric.clone(), labels.clone());
        let series = match self.histograms.get(&key) {
            Some(series) => *series,
            None => {
                let empty = Now::Histogram(Buckets::default());
                let series = self.add(sample, FamilyKind::Histogram, labels, empty);
                self.histograms.insert(key, series);
                series
            }
        };
        let slot = match (&mut self.series[series].now, le) {
            (Now::Histogram(buckets), Some(le)) => {
                let bound = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap_or(f64::NAN) };
                buckets.upto.push((le, bound, 0.0));
                Slot::Bucket(buckets.upto.len() - 1)
            }
            _ if sample.name.ends_with("_sum") => Slot::Sum,
            _ => Slot::Count,
        };
        Place { series, slot }
    }

    fn add(&mut self, sample: &ServerSample, kind: FamilyKind, labels: Vec<(String, String)>, now: Now) -> usize {
        // A counter's family is its name; a sample of a family without a declaration is one of its own.
        self.series.push(Series {
            metric: sample.metric.clone(),
            kind,
            help: unescape(&sample.help),
            labels,
            now,
            changed: true,
        });
        self.series.len() - 1
    }
}
