//! Readings of a counter or of a histogram → by how much it grew within a window.
//!
//! A reading below the one before says that its server started anew: it has grown by what it shows since.

use super::HistogramStats;
use super::replay::{Buckets, Now};

/// What was read last, and the growth so far.
#[derive(Debug, Default)]
pub(super) struct Growth {
    last: Option<Now>,
    counter: f64,
    histogram: HistogramStats,
}

/// The growth of a series.
pub(super) enum Grown {
    Counter(f64),
    Histogram(HistogramStats),
}

impl Default for HistogramStats {
    fn default() -> Self {
        HistogramStats { count: 0.0, sum: 0.0, buckets: Vec::new() }
    }
}

impl Growth {
    /// Takes a reading. One that is not `counted` is only what the next one is compared with; a series that appears later is
    /// counted from 0.
    pub(super) fn take(&mut self, now: &Now, counted: bool) {
        match (&self.last, now) {
            (_, Now::Scalar(None)) => return,
            (last, Now::Scalar(Some(value))) => {
                let before = if let Some(Now::Scalar(Some(before))) = last { *before } else { 0.0 };
                if counted {
                    self.counter += grown(before, *value);
                }
            }
            (last, Now::Histogram(now)) => {
                let none = Buckets::default();
                let before = if let Some(Now::Histogram(before)) = last { before } else { &none };
                self.histogram.take(before, now, counted);
            }
        }
        self.last = Some(now.clone());
    }

    pub(super) fn finish(self) -> Option<Grown> {
        Some(match self.last? {
            Now::Scalar(_) => Grown::Counter(self.counter),
            Now::Histogram(_) => Grown::Histogram(self.histogram),
        })
    }
}

impl HistogramStats {
    fn take(&mut self, before: &Buckets, now: &Buckets, counted: bool) {
        // All of a histogram starts anew at once: its number tells, its sum may fall by itself.
        let anew = now.count < before.count;
        let since = |now: f64, before: f64| if anew { now } else { now - before };
        for (at, (bound, number, upto)) in now.upto.iter().enumerate() {
            if at == self.buckets.len() {
                self.buckets.push((bound.clone(), *number, 0.0));
            }
            if counted {
                self.buckets[at].2 += since(*upto, before.upto.get(at).map_or(0.0, |(_, _, upto)| *upto));
            }
        }
        if counted {
            self.count += since(now.count, before.count);
            self.sum += since(now.sum, before.sum);
        }
    }
}

fn grown(before: f64, now: f64) -> f64 {
    let grown = if now < before { now } else { now - before };
    if grown.is_finite() { grown } else { 0.0 }
}
