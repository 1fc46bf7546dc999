//! The texts of one endpoint's scrapes → the samples that changed from each to the next.
//!
//! Invariants: of a sample that is named twice in a text, the last counts; at most [`SERIES_MAX`] are followed, and what is
//! beyond is counted; a text that is refused changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::record::server::ServerSample;
use crate::wire::exposition::{self, Sample};

/// Samples of one endpoint that are followed, those included that have gone.
const SERIES_MAX: usize = 100_000;

/// What is known of a sample.
#[derive(Debug)]
struct Series {
    sample: ServerSample,
    /// Number of the text that named it last.
    seen: u64,
}

/// The samples of one endpoint as of its last text.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    /// By name, then by labels.
    series: HashMap<Arc<str>, HashMap<Arc<str>, Series>>,
    followed: usize,
    texts: u64,
}

/// What a text brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    /// Samples that are new, that have another value, or that are gone; in the order of the text, the gone ones last.
    pub(super) changed: Vec<ServerSample>,
    /// Samples that are not followed, for want of room.
    pub(super) left_out: u64,
    /// Lines that could not be read.
    pub(super) bad_lines: u64,
}

impl SeriesTable {
    /// Takes a text.
    ///
    /// # Errors
    /// One without a single sample.
    pub(super) fn take(&mut self, text: &str) -> Result<Change, String> {
        self.texts += 1;
        let mut change = Change::default();
        let counts = exposition::read(text, |sample| self.see(&sample, &mut change));
        if counts.samples == 0 {
            return Err("the answer holds no metrics".into());
        }
        let gone = self.series.values_mut().flat_map(HashMap::values_mut);
        for series in gone.filter(|s| s.seen != self.texts && s.sample.value.is_some()) {
            series.sample.value = None;
            change.changed.push(series.sample.clone());
        }
        change.left_out += counts.left_out;
        change.bad_lines = counts.bad_lines;
        Ok(change)
    }

    fn see(&mut self, sample: &Sample<'_>, change: &mut Change) {
        if let Some(series) = self.series.get_mut(sample.name).and_then(|by_labels| by_labels.get_mut(sample.labels)) {
            series.seen = self.texts;
            // Bits, so that NaN is equal to itself.
            if series.sample.value.map(f64::to_bits) != Some(sample.value.to_bits()) {
                series.sample.value = Some(sample.value);
                change.changed.push(series.sample.clone());
            }
            return;
        }
        if self.followed == SERIES_MAX {
            change.left_out += 1;
            return;
        }
        self.followed += 1;
        let followed = ServerSample {
            metric: sample.family.into(),
            metric_type: sample.kind.as_str().into(),
            help: sample.help.into(),
            name: sample.name.into(),
            labels: sample.labels.into(),
            value: Some(sample.value),
        };
        change.changed.push(followed.clone());
        let by_labels = self.series.entry(followed.name.clone()).or_default();
        by_labels.insert(followed.labels.clone(), Series { sample: followed, seen: self.texts });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told_and_what_is_gone_once() {
        let mut table = SeriesTable::default();
        let mut take = |text: &str| -> Vec<String> {
            let change = table.take(text).unwrap();
            change.changed.iter().map(|s| format!("{}{{{}}} {:?}", s.name, s.labels, s.value)).collect()
        };
        assert_eq!(take("x{a=\"1\"} 1\nx{a=\"2\"} NaN\n"), ["x{a=\"1\"} Some(1.0)", "x{a=\"2\"} Some(NaN)"]);
        assert_eq!(take("x{a=\"1\"} 1\nx{a=\"2\"} NaN\n"), [""; 0]);
        assert_eq!(take("x{a=\"2\"} 3\n"), ["x{a=\"2\"} Some(3.0)", "x{a=\"1\"} None"]);
        assert_eq!(take("x{a=\"2\"} 3\n"), [""; 0]);
        assert_eq!(take("x{a=\"2\"} 3\nx{a=\"1\"} 0\n"), ["x{a=\"1\"} Some(0.0)"], "and back again");
    }

    #[test]
    fn a_page_that_is_no_metrics_is_refused() {
        assert!(SeriesTable::default().take("<html>\n").unwrap_err().contains("no metrics"));
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted() {
        let mut table = SeriesTable::default();
        let text = |from: usize| (from..from + 50_000).map(|n| format!("x{n} 1\n")).collect::<String>();
        assert_eq!(table.take(&text(0)).unwrap().left_out, 0);
        assert_eq!(table.take(&text(50_000)).unwrap().left_out, 0);
        assert_eq!(table.take(&text(99_990)).unwrap().left_out, 49_990);
    }
}
