//! Several engines behind one door: each request goes to the engine that has the fewest under way.
//!
//! In: jobs. Out: the tokens of all engines, in order of time.
//! Invariant: a sequence stays where it was sent; ties go to the first engine.

use std::collections::HashMap;

use super::batch::{ContinuousBatch, StepTime};
use super::deployment::{Deployment, Job, Load, SequenceId, Taken, Token};

/// Engines that share the load.
#[derive(Debug)]
pub struct Replicas<D> {
    engines: Vec<D>,
    /// Sequences under way in each.
    under_way: Vec<usize>,
    place: HashMap<SequenceId, usize>,
}

impl<D: Deployment> Replicas<D> {
    /// A fleet of idle engines, at least one.
    pub fn new(engines: Vec<D>) -> Replicas<D> {
        debug_assert!(!engines.is_empty());
        let under_way = vec![0; engines.len()];
        Replicas { engines, under_way, place: HashMap::new() }
    }

    fn least_loaded(&self) -> usize {
        (0..self.engines.len()).min_by_key(|i| self.under_way[*i]).unwrap_or(0)
    }

    /// Whether one of the engines has nothing under way.
    pub(super) fn has_idle(&self) -> bool {
        self.under_way.contains(&0)
    }

    /// Gives a sequence to the engine with the fewest, in a way of the caller's.
    pub(super) fn give(&mut self, sequence: SequenceId, how: impl FnOnce(&mut D) -> Taken) -> Taken {
        let index = self.least_loaded();
        how(&mut self.engines[index])?;
        self.under_way[index] += 1;
        self.place.insert(sequence, index);
        Ok(())
    }

    fn forget(&mut self, sequence: SequenceId) -> Option<usize> {
        let index = self.place.remove(&sequence)?;
        self.under_way[index] -= 1;
        Some(index)
    }
}

impl<T: StepTime> Replicas<ContinuousBatch<T>> {
    /// Whether an engine's cache could hold the whole of a job; the engines are alike.
    pub(super) fn check_length(&self, job: &Job) -> Taken {
        self.engines.first().map_or(Ok(()), |engine| engine.check_length(job))
    }
}

impl<D: Deployment> Deployment for Replicas<D> {
    fn submit(&mut self, sequence: SequenceId, arrival_ns: i64, job: Job) -> Taken {
        self.give(sequence, |engine| engine.submit(sequence, arrival_ns, job))
    }

    fn cancel(&mut self, sequence: SequenceId) -> Vec<i64> {
        self.forget(sequence).map(|index| self.engines[index].cancel(sequence)).unwrap_or_default()
    }

    fn next_event_ns(&self) -> Option<i64> {
        self.engines.iter().filter_map(Deployment::next_event_ns).min()
    }

    fn advance(&mut self, now_ns: i64, tokens: &mut Vec<Token>) {
        let from = tokens.len();
        self.engines.iter_mut().for_each(|engine| engine.advance(now_ns, tokens));
        tokens[from..].sort_by_key(|t| t.at_ns);
        for token in tokens[from..].iter().filter(|t| t.last) {
            if let Some(index) = self.place.remove(&token.sequence) {
                self.under_way[index] -= 1;
            }
        }
    }

    fn load(&self) -> Load {
        self.engines.iter().map(Deployment::load).fold(Load::default(), |a, b| a + b)
    }
}
