//! Continuous batching: turns requests into the times of their tokens, iteration by iteration.
//!
//! In: jobs with arrival times. Out: [`Token`]s. An iteration is one forward pass: every sequence in mid-answer gets one
//! more token, and what the token budget leaves is spent on prompts, oldest first; a prompt larger than that is
//! prefilled in chunks over several iterations. Its first token comes with its last chunk. Tokens come out when the
//! iteration ends.
//! Invariants: requests are admitted in order of arrival; never more than `max_sequences` run, nor (a lone
//! sequence apart) more than `kv_tokens` are reserved; a sequence gets exactly its `output_tokens`.
//! Not here: prefix reuse and preemption. A sequence reserves its whole length of KV cache when it is admitted, so
//! that it can never be short of it.

use std::collections::VecDeque;

use rand_distr::{Distribution, StandardNormal};

use super::deployment::{Deployment, Job, SequenceId, Token};
use crate::error::{Error, Result};
use crate::profiler::cost::{CostModel, StepLoad};
use crate::rng::{Rng, Seed, Stream};

/// The limits of a batch, and how its time passes.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// Sequences that run at once, at most (vLLM's `max_num_seqs`).
    pub max_sequences: u32,
    /// Tokens of one iteration, prompts and answers together, at most (vLLM's `max_num_batched_tokens`).
    pub max_batched_tokens: u32,
    /// Tokens of KV cache.
    pub kv_tokens: u64,
    /// Divides every time: 2 is a GPU twice as fast.
    pub speedup: f64,
    /// Standard deviation of the logarithm of an iteration's time; 0 for none. The mean stays what it is.
    pub step_noise: f64,
    /// Where the noise comes from.
    pub seed: Seed,
}

impl BatchConfig {
    /// # Errors
    /// [`Error::Usage`] naming the flag that cannot be.
    pub fn check(&self) -> Result<()> {
        let usage = |text: String| Err(Error::Usage(text));
        if self.max_sequences == 0 {
            return usage("--max-num-seqs must be at least 1".into());
        }
        if self.max_batched_tokens < self.max_sequences {
            return usage(format!(
                "--max-num-batched-tokens {} is below --max-num-seqs {}: a full batch would not get a token each",
                self.max_batched_tokens, self.max_sequences
            ));
        }
        check_speedup(self.speedup)?;
        if !(0.0..=1.0).contains(&self.step_noise) {
            return usage(format!("--step-noise {} must lie in 0..=1", self.step_noise));
        }
        Ok(())
    }
}

/// # Errors
/// [`Error::Usage`] for what cannot divide a time.
pub(super) fn check_speedup(speedup: f64) -> Result<()> {
    if speedup.is_finite() && speedup > 0.0 {
        return Ok(());
    }
    Err(Error::Usage(format!("--speedup {speedup} must be a positive number")))
}

#[derive(Debug)]
struct Waiting {
    sequence: SequenceId,
    arrival_ns: i64,
    job: Job,
}

#[derive(Debug)]
struct Running {
    sequence: SequenceId,
    job: Job,
    /// Tokens of the prompt that are in the cache.
    prefilled_tokens: u32,
    /// Tokens of the prompt that the current iteration adds.
    chunk_tokens: u32,
    produced_tokens: u32,
}

impl Running {
    fn in_prefill(&self) -> bool {
        self.prefilled_tokens < self.job.prompt_tokens
    }
}

/// A continuous batch behind a first-come-first-served queue.
#[derive(Debug)]
pub struct ContinuousBatch {
    cost: CostModel,
    config: BatchConfig,
    waiting: VecDeque<Waiting>,
    /// In order of admission.
    running: Vec<Running>,
    reserved_tokens: u64,
    /// When the current iteration ends; `None` between iterations.
    step_end_ns: Option<i64>,
    /// When the last iteration ended.
    free_since_ns: i64,
    noise: Rng,
}

impl ContinuousBatch {
    /// An idle engine.
    ///
    /// # Errors
    /// Those of [`BatchConfig::check`].
    pub fn new(cost: CostModel, config: BatchConfig) -> Result<ContinuousBatch> {
        config.check()?;
        Ok(ContinuousBatch {
            cost,
            config,
            waiting: VecDeque::new(),
            running: Vec::new(),
            reserved_tokens: 0,
            step_end_ns: None,
            free_since_ns: i64::MIN,
            noise: config.seed.stream(Stream::Simulation),
        })
    }

    /// When the next iteration can start; `None` with nothing to do.
    fn next_start_ns(&self) -> Option<i64> {
        if !self.running.is_empty() {
            return Some(self.free_since_ns);
        }
        self.waiting.front().map(|w| w.arrival_ns.max(self.free_since_ns))
    }

    fn start_step(&mut self, start_ns: i64) {
        let mut load = StepLoad::default();
        let mut budget = self.config.max_batched_tokens;
        for r in self.running.iter().filter(|r| !r.in_prefill()) {
            load.add_decode(r.job.prompt_tokens + r.produced_tokens);
            budget = budget.saturating_sub(1);
        }
        for r in self.running.iter_mut().filter(|r| r.in_prefill()) {
            r.chunk_tokens = budget.min(r.job.prompt_tokens - r.prefilled_tokens);
            budget -= r.chunk_tokens;
            if r.chunk_tokens > 0 {
                load.add_prefill(r.prefilled_tokens, r.chunk_tokens);
            }
        }
        while budget > 0
            && let Some(mut admitted) = self.admit(start_ns)
        {
            admitted.chunk_tokens = budget.min(admitted.job.prompt_tokens);
            budget -= admitted.chunk_tokens;
            load.add_prefill(0, admitted.chunk_tokens);
            self.running.push(admitted);
        }
        self.step_end_ns = Some(start_ns + self.step_ns(&load));
    }

    /// The oldest waiting request, if it had arrived by `at_ns` and there is room for it.
    fn admit(&mut self, at_ns: i64) -> Option<Running> {
        let next = self.waiting.front()?;
        let tokens = reservation(next.job);
        let room = self.running.len() < self.config.max_sequences as usize
            && (self.running.is_empty() || self.reserved_tokens + tokens <= self.config.kv_tokens);
        if next.arrival_ns > at_ns || !room {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.reserved_tokens += tokens;
        Some(Running {
            sequence: next.sequence,
            job: next.job,
            prefilled_tokens: 0,
            chunk_tokens: 0,
            produced_tokens: 0,
        })
    }

    fn step_ns(&mut self, load: &StepLoad) -> i64 {
        let mut seconds = self.cost.step_s(load) / self.config.speedup;
        let sigma = self.config.step_noise;
        if sigma > 0.0 {
            let z: f64 = StandardNormal.sample(&mut self.noise);
            seconds *= (sigma * z - sigma * sigma / 2.0).exp();
        }
        // Time must pass, or an engine with a huge speedup would never let its driver go.
        ((seconds * 1e9).round() as i64).max(1)
    }

    fn finish_step(&mut self, end_ns: i64, tokens: &mut Vec<Token>) {
        self.free_since_ns = end_ns;
        self.step_end_ns = None;
        let reserved_tokens = &mut self.reserved_tokens;
        self.running.retain_mut(|r| {
            if r.in_prefill() {
                r.prefilled_tokens += r.chunk_tokens;
                if r.in_prefill() {
                    return true;
                }
            }
            r.produced_tokens += 1;
            let last = r.produced_tokens == r.job.output_tokens;
            tokens.push(Token { sequence: r.sequence, at_ns: end_ns, last });
            if last {
                *reserved_tokens -= reservation(r.job);
            }
            !last
        });
    }
}

impl Deployment for ContinuousBatch {
    fn submit(&mut self, sequence: SequenceId, arrival_ns: i64, job: Job) {
        debug_assert!(job.prompt_tokens > 0 && job.output_tokens > 0, "{job:?}");
        self.waiting.push_back(Waiting { sequence, arrival_ns, job });
    }

    fn cancel(&mut self, sequence: SequenceId) {
        if let Some(i) = self.running.iter().position(|r| r.sequence == sequence) {
            self.reserved_tokens -= reservation(self.running.remove(i).job);
        } else {
            self.waiting.retain(|w| w.sequence != sequence);
        }
    }

    fn next_event_ns(&self) -> Option<i64> {
        self.step_end_ns.or_else(|| self.next_start_ns())
    }

    fn advance(&mut self, now_ns: i64, tokens: &mut Vec<Token>) {
        while let Some(due_ns) = self.next_event_ns().filter(|due_ns| *due_ns <= now_ns) {
            if self.step_end_ns.is_some() {
                self.finish_step(due_ns, tokens);
            } else {
                self.start_step(due_ns);
            }
        }
    }
}

/// Tokens of KV cache that a job takes in the end.
fn reservation(job: Job) -> u64 {
    u64::from(job.prompt_tokens) + u64::from(job.output_tokens)
}

#[cfg(test)]
mod tests;
