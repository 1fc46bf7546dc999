//! The deployments of a measured sweep as a bench: a candidate is a size and a number of requests in flight, a measurement a run of
//! `profile` against its deployment, which stays up until a candidate of another size is asked for.

use super::candidate::{Look, Measuring, interrupt, unanswered};
use crate::cli::online::{CandidateConfig, OnlineConfig};
use crate::comparison::profiled::{Profiled, Spent, State, Task};
use crate::comparison::selection::{Bench, Candidate, Measurement};
use crate::deployment::Running;
use crate::error::{Error, Result};
use crate::profiler::capacity::Workload;
use crate::profiler::frontier::{OperatingPoint, Topology};
use crate::profiler::mean_field::{self, Steady};
use crate::profiler::sweep::Spec;
use crate::time::SECOND_NS;

/// A deployment that is up, of the size with this index.
type Up = (usize, Profiled, Running);

/// What a method measures with.
pub(super) struct OnlineBench<'m, 'a> {
    measuring: &'m mut Measuring<'a>,
    config: &'a OnlineConfig,
    candidates: Vec<Candidate>,
    /// What a run with each candidate's load is expected to be like, for its ramp.
    expected: Vec<Option<Steady>>,
    up: Option<Up>,
    done: Vec<Profiled>,
}

impl<'m, 'a> OnlineBench<'m, 'a> {
    /// Every size with every batch, and with the one that the prediction holds to be its best.
    pub(super) fn new(config: &'a OnlineConfig, measuring: &'m mut Measuring<'a>) -> Result<OnlineBench<'m, 'a>> {
        let sweep = config.spec.as_ref().map(Spec::sweep).transpose()?;
        let (mut candidates, mut expected) = (Vec::new(), Vec::new());
        for CandidateConfig { tp, gpus, .. } in &config.candidates {
            let capacity = sweep.as_ref().and_then(|s| s.capacities.iter().find(|c| c.tp == *tp));
            let of_size =
                |p: &&OperatingPoint| matches!(p.topology, Topology::Aggregated { tp: size, .. } if size == *tp);
            let best = sweep.as_ref().and_then(|s| s.feasible.iter().find(of_size)).map(|p| p.batch);
            let mut batches = config.batches.clone();
            batches.extend(best.filter(|batch| *batch <= config.limits.clients_max));
            batches.sort_unstable();
            batches.dedup();
            for batch in batches {
                let workload = Workload { isl_tokens: config.isl, osl_tokens: config.osl };
                let steady =
                    capacity.map(|c| (mean_field::steady(c.engine(), workload, batch), batch <= c.max_batch_memory));
                let predicted = steady.map(|(s, fits)| {
                    let is_met = fits && s.ttft_ms <= config.bounds.ttft_ms && s.itl_ms <= config.bounds.itl_ms;
                    if is_met { s.requests_per_s * f64::from(config.osl) / f64::from(*tp) } else { 0.0 }
                });
                let name = format!("TP{tp} at {batch}");
                candidates.push(Candidate { name, tp: *tp, batch, gpus: *gpus, predicted });
                expected.push(steady.map(|(s, _)| s));
            }
        }
        Ok(OnlineBench { measuring, config, candidates, expected, up: None, done: Vec::new() })
    }

    /// Ends what is up; what was measured of each size, in the order in which they were begun.
    pub(super) fn finish(mut self) -> Result<(Vec<Candidate>, Vec<Profiled>)> {
        if let (Some((_, profiled, _)), true) = (&mut self.up, self.measuring.is_stopped()) {
            interrupt(profiled);
        }
        self.take_down(Ok(()))?;
        let missing = |size: &CandidateConfig| {
            Profiled::not_measured(size.size(), size.recipe.kind(), "the method chose without it")
        };
        for size in &self.config.candidates {
            if !self.done.iter().any(|p| p.tp == size.tp) {
                self.done.push(missing(size));
            }
        }
        Ok((self.candidates, self.done))
    }

    /// Ends the deployment that is up, if one is, and keeps what was measured of it.
    fn take_down(&mut self, measured: Result<()>) -> Result<()> {
        let Some((_, mut profiled, running)) = self.up.take() else { return measured };
        let closed = self.measuring.close(&mut profiled, Some(running), measured);
        self.keep(profiled);
        closed
    }

    fn keep(&mut self, profiled: Profiled) {
        let Some(known) = self.done.iter_mut().find(|p| p.tp == profiled.tp) else {
            self.done.push(profiled);
            return;
        };
        known.spent = Spent {
            gpus: known.spent.gpus,
            ready_s: known.spent.ready_s + profiled.spent.ready_s,
            measure_s: known.spent.measure_s + profiled.spent.measure_s,
        };
        known.points.extend(profiled.points);
        known.points.sort_by_key(|p| p.batch);
        (known.state, known.reason, known.ended_ns) = (profiled.state, profiled.reason, profiled.ended_ns);
    }

    /// Brings the deployment of a size up, where it is not. How far it came, where it does not get ready.
    fn bring_up(&mut self, size: usize) -> Result<State> {
        if self.up.as_ref().is_some_and(|(up, ..)| *up == size) {
            return Ok(State::Measured);
        }
        self.take_down(Ok(()))?;
        let (mut profiled, running) = self.measuring.open(&self.config.candidates[size])?;
        let Some(running) = running else {
            self.measuring.close(&mut profiled, None, Ok(()))?;
            let state = profiled.state;
            self.keep(profiled);
            return Ok(state);
        };
        self.up = Some((size, profiled, running));
        Ok(State::Measured)
    }

    /// One run against what is up. `Ok(None)` where the user stopped it; no value where it failed, which ends the deployment.
    fn look(&mut self, candidate: usize, effort: f64) -> Result<Option<Option<f64>>> {
        let Some((size, profiled, running)) = &mut self.up else { return Ok(Some(None)) };
        let (size, clients) = (&self.config.candidates[*size], self.candidates[candidate].batch);
        let url = running.url().map(str::to_owned);
        match self.expected[candidate] {
            Some(steady) => self.measuring.expect(clients, steady.ttft_ms, steady.itl_ms),
            None if clients > 1 && self.measuring.round.is_empty() => {
                // How long a request takes has to be known for the clients to begin in turn.
                let probe = Look { effort: f64::MIN_POSITIVE, ..Look::whole(Task::Decode { clients: 1 }) };
                if self.measuring.load(size, url.as_deref(), probe)?.is_none() {
                    return Ok(None);
                }
            }
            None => {}
        }
        let look = Look { effort, ..Look::whole(Task::Decode { clients }) };
        let Some(point) = self.measuring.load(size, url.as_deref(), look)? else { return Ok(None) };
        if point.tokens_per_s <= 0.0 {
            return Err(unanswered(running, look.task));
        }
        if effort >= 1.0 {
            profiled.points.push(point);
            profiled.points.sort_by_key(|p| p.batch);
        }
        let is_met = point.strain(self.config.bounds) <= 1.0;
        Ok(Some(Some(if is_met { point.tokens_per_s_per_gpu() } else { 0.0 })))
    }
}

impl Bench for OnlineBench<'_, '_> {
    fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    fn measure(&mut self, candidate: usize, effort: f64) -> Result<Option<Measurement>> {
        let tp = self.candidates[candidate].tp;
        let Some(size) = self.config.candidates.iter().position(|size| size.tp == tp) else {
            return Err(Error::Internal(format!("TP{tp} is no size of this sweep")));
        };
        // Nothing is started again after it failed.
        if self.done.iter().any(|p| p.tp == tp && p.state == State::Failed) {
            return Ok(Some(Measurement { value: None, wall_s: 0.0, gpu_s: 0.0 }));
        }
        let is_simulated = self.config.candidates[size].recipe.kind() == "simulated";
        let now_s = |bench: &Self| bench.measuring.clock_ns(is_simulated) as f64 / SECOND_NS as f64;
        let from_s = now_s(self);
        if self.up.as_ref().is_some_and(|(up, ..)| *up != size) {
            self.take_down(Ok(()))?;
        }
        let own_s = now_s(self);
        let value = match self.bring_up(size)? {
            State::Interrupted => return Ok(None),
            State::Failed => None,
            State::Measured | State::NotMeasured => match self.look(candidate, effort) {
                Ok(Some(value)) => value,
                Ok(None) => return Ok(None),
                Err(Error::Endpoint(why)) => {
                    self.take_down(Err(Error::Endpoint(why)))?;
                    None
                }
                Err(error) => return Err(error),
            },
        };
        let to_s = now_s(self);
        let gpus = f64::from(self.candidates[candidate].gpus);
        Ok(Some(Measurement { value, wall_s: to_s - from_s, gpu_s: gpus * (to_s - own_s) }))
    }
}
