//! Rows → [`Summary`], in one pass.
//!
//! In: a recording, as [`Rows`]. Out: every metric of [`super::METRICS`] that has a value.
//! Invariants: only completed requests of the measurement are valid; the fold of two parts of a recording, merged, is
//! the fold of the whole; the same rows give the same bytes.
//! Not here: the formulas, which stand in the metrics' own files.

use super::errors::ErrorTable;
use super::goodput::{Origin, Slo};
use super::quantile::Distribution;
use super::registry::{Compute, METRICS, REGISTRY};
use super::request::Request;
use super::totals::Totals;
use super::{Summary, Value};
use crate::error::Result;
use crate::outcome::{OutcomeClass, OutcomeCounts, Phase};
use crate::record::manifest::Manifest;
use crate::record::reader::Rows;
use crate::record::row::{RequestRow, TokenRow};

/// All numbers of a recording, from one pass over its rows.
///
/// # Errors
/// As the source's; and [`crate::error::Error::Usage`] if the manifest's SLO bounds an unknown metric.
pub fn summarise(rows: &dyn Rows) -> Result<Summary> {
    let mut fold = Fold::new(rows.manifest())?;
    rows.for_each_request(&mut |row, tokens| fold.add(row, tokens))?;
    Ok(fold.finish())
}

/// A summary in the making. Mergeable, so that parts of a recording can be read apart.
#[derive(Clone, Debug)]
pub struct Fold {
    streaming: bool,
    slo: Slo,
    totals: Totals,
    warmup: OutcomeCounts,
    errors: ErrorTable,
    /// One for each metric of the registry; those of whole-run numbers stay empty.
    distributions: Vec<Distribution>,
}

impl Fold {
    /// An empty fold of the run that `manifest` describes.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] if its SLO bounds an unknown metric.
    pub fn new(manifest: &Manifest) -> Result<Fold> {
        let slo = Slo::new(&manifest.slo)?;
        let totals = Totals { phase: manifest.profiling, has_slo: !slo.is_empty(), ..Totals::default() };
        Ok(Fold {
            streaming: manifest.streaming,
            slo,
            totals,
            warmup: OutcomeCounts::default(),
            errors: ErrorTable::default(),
            distributions: vec![Distribution::default(); REGISTRY.len()],
        })
    }

    /// Adds one request and its stream events.
    pub fn add(&mut self, row: &RequestRow, tokens: &[TokenRow]) {
        if row.phase == Phase::Warmup {
            self.warmup.add(row.outcome);
            return;
        }
        let request = Request { row, tokens, streaming: self.streaming };
        self.totals.add(&request);
        for (metric, distribution) in REGISTRY.iter().zip(&mut self.distributions) {
            metric.observe(&request, |v| distribution.add(v));
        }
        match row.outcome.class() {
            OutcomeClass::Completed if self.totals.has_slo => {
                self.totals.good += u64::from(self.slo.is_met_by(&request, Origin::Sent));
                self.totals.scheduled_good += u64::from(self.slo.is_met_by(&request, Origin::Scheduled));
            }
            OutcomeClass::Completed => {}
            OutcomeClass::Failed | OutcomeClass::Cancelled | OutcomeClass::NotSent => self.errors.add(row),
        }
    }

    /// Adds the requests of another fold of the same run.
    pub fn merge(&mut self, other: Fold) {
        self.totals.merge(&other.totals);
        self.warmup.merge(&other.warmup);
        self.errors.merge(other.errors);
        for (mine, theirs) in self.distributions.iter_mut().zip(&other.distributions) {
            mine.merge(theirs);
        }
    }

    /// The numbers.
    pub fn finish(self) -> Summary {
        let totals = self.totals;
        let values = REGISTRY
            .iter()
            .zip(METRICS)
            .zip(self.distributions)
            .filter_map(|((metric, def), distribution)| {
                let value = match metric.compute {
                    Compute::Total(number) => Value::Scalar(number(&totals)?),
                    _ => Value::Distribution(distribution.finish()?),
                };
                Some((def, value))
            })
            .collect();
        Summary {
            values,
            window_s: totals.window_s().unwrap_or(0.0),
            outcomes: totals.outcomes,
            warmup: self.warmup,
            errors: self.errors.finish(),
        }
    }
}
