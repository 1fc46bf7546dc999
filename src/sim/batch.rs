//! Continuous batching over a paged KV cache: turns requests into the times of their tokens, iteration by iteration.
//!
//! In: jobs with arrival times. Out: [`Token`]s. The scheduler is vLLM 1's. An iteration is one forward pass: every
//! sequence in mid-answer gets one more token, and what the token budget leaves is spent on prompts, oldest first; a
//! prompt larger than that is prefilled in chunks over several iterations. Its first token comes with its last chunk.
//! Tokens come out when the iteration ends. A prompt begins behind what the cache still knows of it, but for its last token.
//! A sequence that finds no block throws out the one that was let in last, which then waits first in the queue and is
//! computed again, what it had said included ([`Admission::Preempt`]); or sequences are let in only if they can be
//! held to their end ([`Admission::Reserve`]).
//! Of a quiet job's answer an iteration is looked at only where it fills a block or ends: between these, sequences get a token
//! each and nothing else happens to them (`Sequence::settle`).
//! Invariants: requests are let in in order of arrival, but for those that were thrown out; never more than `max_sequences`
//! run, and of them only the last one can be within its prompt; blocks are conserved ([`BlockPool`]); a sequence gets exactly
//! its `output_tokens`.

mod sequence;

use std::collections::VecDeque;

use rand_distr::{Distribution, StandardNormal};

use self::sequence::{Sequence, StepEnds};
use super::content::BLOCK_TOKENS;
use super::deployment::{Deployment, Job, Load, Refusal, SequenceId, Taken, Token};
use super::kv::BlockPool;
use crate::error::{Error, Result};
use crate::profiler::backend::Backend;
use crate::profiler::cost::{CostModel, StepLoad};
use crate::rng::{Rng, Seed, Stream};

/// Who is let in while the cache is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Whoever finds room for its next chunk; who finds none later throws out the youngest. vLLM, SGLang.
    Preempt,
    /// Only whom there is room for until its end. TensorRT-LLM's GUARANTEED_NO_EVICT.
    Reserve,
}

impl Admission {
    /// The policy of an engine's defaults.
    pub fn of(backend: Backend) -> Admission {
        match backend {
            Backend::Vllm | Backend::SgLang => Admission::Preempt,
            Backend::TrtLlm => Admission::Reserve,
        }
    }
}

/// The limits of a batch, and how its time passes.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// Sequences that run at once, at most (vLLM's `max_num_seqs`).
    pub max_sequences: u32,
    /// Tokens of one iteration, prompts and answers together, at most (vLLM's `max_num_batched_tokens`).
    pub max_batched_tokens: u32,
    /// Tokens of KV cache.
    pub kv_tokens: u64,
    /// Whether blocks of earlier prompts are found again.
    pub prefix_caching: bool,
    /// Who is let in while the cache is short.
    pub admission: Admission,
    /// Requests that may wait; one more is refused. `None` for no limit.
    pub queue_limit: Option<u32>,
    /// Time that an iteration takes beside its forward pass, in seconds.
    pub step_overhead_s: f64,
    /// The same for each sequence that gets a token in it.
    pub sequence_overhead_s: f64,
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
        if self.kv_tokens < u64::from(BLOCK_TOKENS) || self.kv_tokens / u64::from(BLOCK_TOKENS) >= u64::from(u32::MAX) {
            return usage(format!(
                "a KV cache of {} tokens cannot be: it is made of blocks of {BLOCK_TOKENS}",
                self.kv_tokens
            ));
        }
        if self.queue_limit == Some(0) {
            return usage("a queue that nobody may wait in lets nobody in: --queue-limit must be at least 1".into());
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

fn blocks_of(tokens: u64) -> u64 {
    tokens.div_ceil(u64::from(BLOCK_TOKENS))
}

/// What an iteration takes.
pub trait StepTime: std::fmt::Debug {
    /// Seconds of one iteration.
    fn step_s(&mut self, load: &StepLoad) -> f64;
}

impl StepTime for CostModel {
    fn step_s(&mut self, load: &StepLoad) -> f64 {
        CostModel::step_s(self, load)
    }
}

impl StepTime for Box<dyn StepTime + Send> {
    fn step_s(&mut self, load: &StepLoad) -> f64 {
        (**self).step_s(load)
    }
}

/// A continuous batch behind a first-come-first-served queue.
#[derive(Debug)]
pub struct ContinuousBatch<T = CostModel> {
    cost: T,
    config: BatchConfig,
    pool: BlockPool,
    waiting: VecDeque<Sequence>,
    /// In order of admission.
    running: Vec<Sequence>,
    /// Blocks that the running sequences will have at their ends, under [`Admission::Reserve`].
    reserved_blocks: u64,
    /// When the current iteration ends; `None` between iterations.
    step_end_ns: Option<i64>,
    /// When the last iterations ended; the last of all frees the engine.
    ends: StepEnds,
    noise: Rng,
    totals: Load,
}

impl<T: StepTime> ContinuousBatch<T> {
    /// An idle engine.
    ///
    /// # Errors
    /// Those of [`BatchConfig::check`].
    pub fn new(cost: T, config: BatchConfig) -> Result<ContinuousBatch<T>> {
        config.check()?;
        let blocks = config.kv_tokens / u64::from(BLOCK_TOKENS);
        Ok(ContinuousBatch {
            cost,
            config,
            pool: BlockPool::new(blocks as u32, config.prefix_caching),
            waiting: VecDeque::new(),
            running: Vec::new(),
            reserved_blocks: 0,
            step_end_ns: None,
            ends: StepEnds::default(),
            noise: config.seed.stream(Stream::Simulation),
            totals: Load::default(),
        })
    }

    /// Queues a request whose prompt another engine has computed, and whose first token that engine has given.
    ///
    /// # Errors
    /// As [`Deployment::submit`], but for the limit of the queue: the request is long past that.
    pub fn hand_over(&mut self, id: SequenceId, at_ns: i64, job: Job, cached_tokens: u32) -> Taken {
        self.check_length(&job)?;
        let mut sequence = Sequence::new(id, at_ns, job);
        sequence.handed_over = true;
        sequence.cached_tokens = Some(cached_tokens);
        // Who hands it over tells of it.
        sequence.produce(at_ns);
        self.waiting.push_back(sequence);
        Ok(())
    }

    pub(super) fn check_length(&self, job: &Job) -> Taken {
        if blocks_of(job.tokens()) <= u64::from(self.pool.capacity()) {
            return Ok(());
        }
        Err(Refusal::TooLong { kv_tokens: u64::from(self.pool.capacity()) * u64::from(BLOCK_TOKENS) })
    }

    /// When the next iteration can start; `None` with nothing to do.
    fn next_start_ns(&self) -> Option<i64> {
        if !self.running.is_empty() {
            return Some(self.ends.last_ns());
        }
        self.waiting.front().map(|w| w.arrival_ns.max(self.ends.last_ns()))
    }

    fn start_step(&mut self, start_ns: i64) {
        let mut load = StepLoad::default();
        let mut budget = self.config.max_batched_tokens;
        let preempted = self.schedule_running(&mut load, &mut budget);
        while !preempted && budget > 0 && self.admit(start_ns, &mut load, &mut budget) {}
        self.totals.steps_total += 1;
        self.step_end_ns = Some(start_ns + self.step_ns(&load));
    }

    /// Gives every running sequence its share of the iteration. Tells whether one had to go for that.
    fn schedule_running(&mut self, load: &mut StepLoad, budget: &mut u32) -> bool {
        let (mut index, mut preempted) = (0, false);
        // The budget gives each a token at least, and more than one is wanted by the last alone.
        while index < self.running.len() {
            let r = &mut self.running[index];
            if !r.is_settled(&self.ends) {
                load.add_decode(r.known_tokens() + r.unsettled_tokens(&self.ends));
                *budget -= 1;
                index += 1;
                continue;
            }
            let chunk = (r.known_tokens() - r.computed_tokens).min(*budget);
            let wanted = blocks_of(u64::from(r.computed_tokens + chunk)) as u32;
            if !self.pool.take(&[], wanted.saturating_sub(r.blocks.len() as u32), &mut r.blocks) {
                self.throw_out_last();
                preempted = true;
                continue;
            }
            r.chunk_tokens = chunk;
            *budget -= chunk;
            add_to(load, r);
            index += 1;
        }
        preempted
    }

    fn throw_out_last(&mut self) {
        let Some(mut last) = self.running.pop() else { return };
        self.totals.output_tokens_total += u64::from(last.settle(&self.ends));
        self.pool.give_back(&mut last.blocks);
        (last.computed_tokens, last.chunk_tokens, last.named, last.handed_over) = (0, 0, 0, false);
        self.totals.preemptions_total += 1;
        self.waiting.push_front(last);
    }

    /// Lets the first waiting request in, if it had arrived by `at_ns` and there is room for it.
    fn admit(&mut self, at_ns: i64, load: &mut StepLoad, budget: &mut u32) -> bool {
        let Some(next) = self.waiting.front_mut() else { return false };
        if next.arrival_ns > at_ns || self.running.len() >= self.config.max_sequences as usize {
            return false;
        }
        let whole = blocks_of(u64::from(next.prompt_tokens) + u64::from(next.output_tokens));
        let reserves = self.config.admission == Admission::Reserve;
        if reserves && self.reserved_blocks + whole > u64::from(self.pool.capacity()) {
            return false;
        }
        let known_tokens = next.known_tokens();
        // The last token has to be computed in any case: what follows it comes of that.
        let findable = &next.names[..next.names.len().min(((known_tokens - 1) / BLOCK_TOKENS) as usize)];
        let found = self.pool.known(findable);
        let found_tokens = if next.handed_over { known_tokens - 1 } else { found as u32 * BLOCK_TOKENS };
        let chunk = (known_tokens - found_tokens).min(*budget);
        let fresh = blocks_of(u64::from(found_tokens + chunk)) as u32 - found as u32;
        if !self.pool.take(&findable[..found], fresh, &mut next.blocks) {
            return false;
        }
        let Some(mut next) = self.waiting.pop_front() else { return false };
        if reserves {
            self.reserved_blocks += whole;
        }
        (next.computed_tokens, next.chunk_tokens, next.named) = (found_tokens, chunk, found as u32);
        next.enter(&self.ends);
        if !next.handed_over {
            self.totals.prompt_tokens_total += u64::from(known_tokens);
            self.totals.cached_tokens_total += u64::from(found_tokens);
        }
        next.cached_tokens.get_or_insert(found_tokens);
        *budget -= chunk;
        add_to(load, &next);
        self.running.push(next);
        true
    }

    fn step_ns(&mut self, load: &StepLoad) -> i64 {
        let overhead_s = self.config.step_overhead_s + self.config.sequence_overhead_s * self.running.len() as f64;
        let mut seconds = (self.cost.step_s(load) + overhead_s) / self.config.speedup;
        let sigma = self.config.step_noise;
        if sigma > 0.0 {
            let z: f64 = StandardNormal.sample(&mut self.noise);
            seconds *= (sigma * z - sigma * sigma / 2.0).exp();
        }
        // Time must pass, or an engine with a huge speedup would never let its driver go.
        ((seconds * 1e9).round() as i64).max(1)
    }

    fn finish_step(&mut self, end_ns: i64, tokens: &mut Vec<Token>) {
        self.step_end_ns = None;
        let ContinuousBatch { running, pool, totals, reserved_blocks, config, ends, .. } = self;
        let number = ends.next_number();
        running.retain_mut(|r| {
            if r.due_step() > number {
                return true;
            }
            totals.output_tokens_total += u64::from(r.settle(ends));
            r.computed_tokens += r.chunk_tokens;
            let full = (r.computed_tokens / BLOCK_TOKENS).min(r.names.len() as u32);
            let these = r.named as usize..full as usize;
            pool.name(&r.blocks[these.clone()], &r.names[these]);
            r.named = full;
            let says_one = r.computed_tokens == r.known_tokens();
            totals.output_tokens_total += u64::from(says_one);
            let token = says_one.then(|| r.produce(end_ns)).flatten();
            r.settled_by(number);
            let Some(token) = token else { return true };
            let last = token.last;
            tokens.push(token);
            if last {
                release(r, pool, reserved_blocks, config.admission);
            }
            !last
        });
        ends.push(end_ns);
    }
}

/// Adds a sequence's chunk to the load of an iteration.
fn add_to(load: &mut StepLoad, r: &Sequence) {
    if r.chunk_tokens == 1 && r.produced_tokens > 0 {
        load.add_decode(r.known_tokens());
    } else {
        load.add_prefill(r.computed_tokens, r.chunk_tokens);
    }
}

/// Gives back what a running sequence holds.
fn release(r: &mut Sequence, pool: &mut BlockPool, reserved_blocks: &mut u64, admission: Admission) {
    pool.give_back(&mut r.blocks);
    if admission == Admission::Reserve {
        *reserved_blocks -= blocks_of(u64::from(r.prompt_tokens) + u64::from(r.output_tokens));
    }
}

impl<T: StepTime> Deployment for ContinuousBatch<T> {
    fn submit(&mut self, sequence: SequenceId, arrival_ns: i64, job: Job) -> Taken {
        debug_assert!(job.prompt_tokens > 0 && job.output_tokens > 0, "{job:?}");
        self.check_length(&job)?;
        if self.config.queue_limit.is_some_and(|limit| self.waiting.len() >= limit as usize) {
            return Err(Refusal::QueueFull);
        }
        self.waiting.push_back(Sequence::new(sequence, arrival_ns, job));
        Ok(())
    }

    fn cancel(&mut self, sequence: SequenceId) -> Vec<i64> {
        if let Some(i) = self.running.iter().position(|r| r.id == sequence) {
            let mut gone = self.running.remove(i);
            self.totals.output_tokens_total += u64::from(gone.settle(&self.ends));
            release(&mut gone, &mut self.pool, &mut self.reserved_blocks, self.config.admission);
            return gone.untold_ns;
        }
        let waiting = self.waiting.iter().position(|w| w.id == sequence);
        waiting.and_then(|i| self.waiting.remove(i)).map(|gone| gone.untold_ns).unwrap_or_default()
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

    fn load(&self) -> Load {
        let (all, free) = (u64::from(self.pool.capacity()), u64::from(self.pool.free()));
        Load {
            running: self.running.len() as u64,
            waiting: self.waiting.len() as u64,
            kv_blocks: all,
            kv_blocks_used: all - free,
            ..self.totals
        }
    }
}

#[cfg(test)]
mod queueing;
#[cfg(test)]
mod tests;
