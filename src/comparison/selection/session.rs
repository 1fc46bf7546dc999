//! A bench and a budget → measurements one by one, and the log of them.
//!
//! Invariants: the sum of efforts is never above the budget; every measurement that was made is in the log, failed ones included.

use super::{Bench, Budget, Candidate, Measurement, Step};
use crate::error::Result;

/// Efforts are sums of fractions: what is missing to a full one by rounding is not missing.
const ROUNDING: f64 = 1e-9;

/// What a method sees.
pub struct Session<'b> {
    bench: &'b mut dyn Bench,
    budget: Budget,
    steps: Vec<Step>,
    notes: Vec<String>,
    is_interrupted: bool,
}

impl<'b> Session<'b> {
    pub(super) fn new(bench: &'b mut dyn Bench, budget: Budget) -> Session<'b> {
        Session { bench, budget, steps: Vec::new(), notes: Vec::new(), is_interrupted: false }
    }

    /// All candidates.
    pub fn candidates(&self) -> &[Candidate] {
        self.bench.candidates()
    }

    /// The candidates, best prediction first; equal ones in their order, those without a prediction last.
    pub fn by_prediction(&self) -> Vec<usize> {
        let key = |c: &usize| self.candidates()[*c].predicted.unwrap_or(f64::NEG_INFINITY);
        let mut order: Vec<usize> = (0..self.candidates().len()).collect();
        order.sort_by(|a, b| key(b).total_cmp(&key(a)));
        order
    }

    /// Full measurements that are left; 0 where nothing more may begin.
    pub fn measurements_left(&self) -> f64 {
        let spent: f64 = self.steps.iter().map(|s| s.gpu_s).sum();
        if self.is_interrupted || spent >= self.budget.gpu_s {
            return 0.0;
        }
        let made: f64 = self.steps.iter().map(|s| s.effort).sum();
        (self.budget.measurements - made).max(0.0)
    }

    /// Whether a measurement of that effort may begin.
    pub fn may_measure(&self, effort: f64) -> bool {
        let left = self.measurements_left();
        left > 0.0 && left + ROUNDING >= effort
    }

    /// Measures a candidate. `None` where that failed, or must not be done any more.
    ///
    /// # Errors
    /// Those of the bench.
    pub fn measure(&mut self, candidate: usize, effort: f64) -> Result<Option<f64>> {
        let effort = effort.clamp(0.0, 1.0);
        if effort <= 0.0 || !self.may_measure(effort) {
            return Ok(None);
        }
        let Some(Measurement { value, wall_s, gpu_s }) = self.bench.measure(candidate, effort)? else {
            self.is_interrupted = true;
            self.note("interrupted: the choice is of what was measured until then");
            return Ok(None);
        };
        let value = value.filter(|v| v.is_finite());
        let name = self.candidates()[candidate].name.clone();
        self.steps.push(Step { candidate, name, effort, value, wall_s, gpu_s, incumbent: None });
        let best = self.best();
        if let Some(step) = self.steps.last_mut() {
            step.incumbent = best;
        }
        Ok(value)
    }

    /// What was measured, each candidate's last value.
    pub fn measured(&self) -> Vec<(usize, f64)> {
        let mut all: Vec<(usize, f64)> = Vec::new();
        for step in &self.steps {
            let Some(value) = step.value else { continue };
            match all.iter_mut().find(|(c, _)| *c == step.candidate) {
                Some(known) => known.1 = value,
                None => all.push((step.candidate, value)),
            }
        }
        all
    }

    /// Whether it was measured, or was tried to be.
    pub fn was_tried(&self, candidate: usize) -> bool {
        self.steps.iter().any(|s| s.candidate == candidate)
    }

    /// The best value of the candidates that were measured with most effort; the first measured of equal ones.
    pub fn best(&self) -> Option<usize> {
        let last = |s: &&Step| {
            let later = self.steps.iter().rev().find(|t| t.candidate == s.candidate);
            later.is_none_or(|t| std::ptr::eq(*s, t))
        };
        let known = self.steps.iter().filter(|s| s.value.is_some()).filter(last);
        let key = |s: &Step| (s.effort, s.value.unwrap_or_default());
        known
            .reduce(|best, s| {
                let (old, new) = (key(best), key(s));
                if new.0.total_cmp(&old.0).then(new.1.total_cmp(&old.1)).is_gt() { s } else { best }
            })
            .map(|s| s.candidate)
    }

    /// Adds a note to the result.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    pub(super) fn into_log(self) -> (Vec<Step>, Vec<String>) {
        (self.steps, self.notes)
    }
}
