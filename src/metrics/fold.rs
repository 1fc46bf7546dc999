//! Requests → a [`Summary`], in one pass.
//!
//! In: rows in any order, each with its stream events. Out: the numbers.
//! Invariant: folding parts and merging them gives what folding the whole gives; exactly so below
//! [`super::quantile::EXACT_LIMIT`].

use super::errors::ErrorTable;
use super::goodput::{Origin, Slo};
use super::quantile::Distribution;
use super::registry::{Compute, METRICS, Metric, REGISTRY};
use super::request::{Request, counts_chunks};
use super::sweep_line::{Courses, SweepLine};
use super::totals::Totals;
use super::{Summary, Value};
use crate::error::Result;
use crate::outcome::{OutcomeClass, OutcomeCounts, Phase};
use crate::record::manifest::{Manifest, PhaseWindow};
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
    profiling: PhaseFold,
    warmup: PhaseFold,
}

impl Fold {
    /// An empty fold of the run that `manifest` describes.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] if its SLO bounds an unknown metric.
    pub fn new(manifest: &Manifest) -> Result<Fold> {
        let phase = |window| PhaseFold::new(manifest, window);
        Ok(Fold { profiling: phase(manifest.profiling)?, warmup: phase(manifest.warmup)? })
    }

    /// Adds one request and its stream events.
    pub fn add(&mut self, row: &RequestRow, tokens: &[TokenRow]) {
        match row.phase {
            Phase::Warmup => self.warmup.add(row, tokens),
            Phase::Profiling => self.profiling.add(row, tokens),
        }
    }

    /// Adds the requests of another fold of the same run.
    pub fn merge(&mut self, other: Fold) {
        self.profiling.merge(other.profiling);
        self.warmup.merge(other.warmup);
    }

    /// The numbers.
    pub fn finish(self) -> Summary {
        let warmup = self.warmup.totals.outcomes.clone();
        let of_warmup = (warmup.total() > 0).then(|| Box::new(self.warmup.finish()));
        Summary { warmup, of_warmup, ..self.profiling.finish() }
    }
}

/// The same of one phase, or of a part of one.
#[derive(Clone, Debug)]
pub(super) struct PhaseFold {
    streaming: bool,
    per_chunk_usage: bool,
    /// Whether requests were to be sent at a trace's own times.
    replayed: bool,
    slo: Slo,
    totals: Totals,
    errors: ErrorTable,
    sweep: SweepLine,
    /// One for each metric of the registry; those that no request has a value of stay empty.
    distributions: Vec<Distribution>,
}

impl PhaseFold {
    /// An empty fold of a run's requests within `window`.
    pub(super) fn new(manifest: &Manifest, window: Option<PhaseWindow>) -> Result<PhaseFold> {
        let slo = Slo::new(&manifest.slo)?;
        let totals = Totals { phase: window, has_slo: !slo.is_empty(), ..Totals::default() };
        Ok(PhaseFold {
            streaming: manifest.streaming,
            per_chunk_usage: counts_chunks(manifest),
            replayed: manifest.config["load"]["fixed_schedule"] == true,
            slo,
            totals,
            errors: ErrorTable::default(),
            sweep: SweepLine::default(),
            distributions: vec![Distribution::default(); REGISTRY.len()],
        })
    }

    /// Adds one request and its stream events.
    pub(super) fn add(&mut self, row: &RequestRow, tokens: &[TokenRow]) {
        let request = self.request(row, tokens);
        self.totals.add(&request);
        self.sweep.add(&request);
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

    /// Takes in what a request has to do with courses over time, and nothing else.
    pub(super) fn sweep(&mut self, row: &RequestRow, tokens: &[TokenRow]) {
        let request = self.request(row, tokens);
        self.sweep.add(&request);
    }

    fn request<'a>(&self, row: &'a RequestRow, tokens: &'a [TokenRow]) -> Request<'a> {
        Request { row, tokens, streaming: self.streaming, per_chunk_usage: self.per_chunk_usage }
    }

    fn merge(&mut self, other: PhaseFold) {
        self.totals.merge(&other.totals);
        self.errors.merge(other.errors);
        self.sweep.merge(other.sweep);
        for (mine, theirs) in self.distributions.iter_mut().zip(&other.distributions) {
            mine.merge(theirs);
        }
    }

    /// What rates divide by, from when to when; nothing where there is no such time.
    pub(super) fn window_ns(&self) -> (i64, i64) {
        self.totals.window_ns().unwrap_or_default()
    }

    /// The numbers of these requests' courses over time, over each of some windows.
    pub(super) fn courses(&self, windows_ns: &[(i64, i64)]) -> Vec<Courses> {
        self.sweep.courses(windows_ns)
    }

    fn finish(mut self) -> Summary {
        // The values, of which there are the most, go before the curves come.
        let settled = self.settle();
        let courses = self.courses(&[self.window_ns()]).pop().unwrap_or_default();
        self.summary(settled, &courses)
    }

    /// The numbers, where the courses are those of more requests than these.
    pub(super) fn finish_with(mut self, courses: &Courses) -> Summary {
        let settled = self.settle();
        self.summary(settled, courses)
    }

    fn summary(self, settled: Vec<Option<Value>>, courses: &Courses) -> Summary {
        let value = |(metric, settled): (&Metric, Option<Value>)| match metric.compute {
            Compute::OverTime(curve, false) => courses.over(curve).copied().map(Value::OverTime),
            Compute::OverTime(curve, true) => courses.while_active(curve).copied().map(Value::OverTime),
            _ => settled,
        };
        let values = REGISTRY.iter().zip(settled).map(value).zip(METRICS);
        Summary {
            values: values.filter_map(|(value, def)| Some((def, value?))).collect(),
            window_s: self.totals.window_s().unwrap_or(0.0),
            outcomes: self.totals.outcomes,
            warmup: OutcomeCounts::default(),
            of_warmup: None,
            errors: self.errors.finish(),
        }
    }

    /// The values of all metrics but courses over time. What they were made of is gone then.
    fn settle(&mut self) -> Vec<Option<Value>> {
        let mut settled: Vec<Option<Value>> = (0..REGISTRY.len()).map(|i| self.value(i)).collect();
        for (value, distribution) in settled.iter_mut().zip(std::mem::take(&mut self.distributions)) {
            if value.is_none() {
                *value = distribution.finish().map(Value::Distribution);
            }
        }
        settled
    }

    /// The value of a metric that is not one distribution as it is.
    fn value(&self, index: usize) -> Option<Value> {
        let named = |name: &str| REGISTRY.iter().position(|m: &Metric| m.def.name == name);
        match REGISTRY[index].compute {
            Compute::Total(number) => Some(Value::Scalar(number(&self.totals)?)),
            Compute::Adjusted(of) => {
                let failed = Some(self.totals.failed()).filter(|n| *n > 0)?;
                Some(Value::Distribution(self.distributions[named(of)?].with_infinite(failed)?))
            }
            Compute::Replayed(number) => {
                let lags = self.distributions[named("send_lag")?].clone().finish().filter(|_| self.replayed)?;
                Some(Value::Scalar(number(&lags)))
            }
            _ => None,
        }
    }
}
