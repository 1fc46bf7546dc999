//! Prefill and decode on engines of their own, with a stage between them that hands the KV cache over.
//!
//! In: jobs. Out: tokens. A prompt is computed by the prefill engine with the fewest under way. Its keys and values then
//! cross a link that carries one sequence at a time, in the order in which their prefills ended; that takes the link's
//! set-up time and their bytes over its bandwidth. The decode engine with the fewest under way gives all tokens but the first;
//! when that one gets out, [`FirstToken`] says.
//! On measured H200 deployments this stage, and not the kernels, decides TTFT and throughput.
//! Invariants: tokens of a sequence come in order; a sequence is in one place at a time.

use std::collections::{HashMap, VecDeque};

use super::batch::{ContinuousBatch, StepTime};
use super::deployment::{Deployment, Job, Load, SequenceId, Taken, Token};
use super::replicas::Replicas;
use crate::error::{Error, Result};
use crate::profiler::cost::CostModel;

/// When the first token, which the prefill engine has computed, is sent to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstToken {
    /// By the decode engine, when it has the whole cache.
    #[default]
    After,
    /// By the prefill engine, when it has computed it: the time on the link shows in the second token.
    Before,
    /// By the first GPU of the decode engine. The GPUs fetch their shares of the cache one after the other; an idle engine waits
    /// for the first GPU alone before it answers, and the second token for all of them. A busy one takes a sequence in between two
    /// steps, once all GPUs have their shares.
    FirstShare,
}

impl FirstToken {
    /// As `--handoff-first-token` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            FirstToken::After => "after",
            FirstToken::Before => "before",
            FirstToken::FirstShare => "first-share",
        }
    }
}

/// The link between prefill and decode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Bytes that it carries per second.
    pub bytes_per_s: f64,
    /// Bytes of one token's keys and values, all GPUs together.
    pub bytes_per_token: f64,
    /// Time of every transfer beside that, in seconds.
    pub setup_s: f64,
    /// Divides every time.
    pub speedup: f64,
    /// When the first token gets out.
    pub first_token: FirstToken,
    /// GPUs of a decode engine: shares in which a cache travels, at least 1.
    pub shares: u32,
}

impl Link {
    /// # Errors
    /// [`Error::Usage`] naming the flag that cannot be.
    pub fn check(&self) -> Result<()> {
        if !(self.bytes_per_s.is_finite() && self.bytes_per_s > 0.0) {
            return Err(Error::Usage(format!("--handoff-gb-per-s {} must be positive", self.bytes_per_s / 1e9)));
        }
        if !(self.setup_s.is_finite() && self.setup_s >= 0.0) {
            return Err(Error::Usage(format!("--handoff-setup-ms {} must be at least 0", self.setup_s * 1e3)));
        }
        Ok(())
    }

    /// Nanoseconds until one of so many shares of the keys and values of so many tokens is across.
    fn transfer_ns(&self, tokens: u32, shares: u32) -> i64 {
        let bytes = f64::from(tokens) * self.bytes_per_token / f64::from(shares);
        ((self.setup_s + bytes / self.bytes_per_s) / self.speedup * 1e9).round() as i64
    }
}

/// A sequence on the link, or waiting for it.
#[derive(Debug)]
struct Transfer {
    sequence: SequenceId,
    cached_tokens: u32,
    /// When its first share is across, as long as an idle engine may answer then.
    first_share_ns: Option<i64>,
    /// Whether its first token is out.
    answered: bool,
    /// When it is across.
    end_ns: i64,
}

impl Transfer {
    fn next_event_ns(&self) -> i64 {
        self.first_share_ns.unwrap_or(self.end_ns)
    }
}

/// Prefill engines, a link, and decode engines.
#[derive(Debug)]
pub struct Disaggregated<T = CostModel> {
    prefill: Replicas<ContinuousBatch<T>>,
    decode: Replicas<ContinuousBatch<T>>,
    link: Link,
    /// The jobs that have not reached a decode engine.
    jobs: HashMap<SequenceId, Job>,
    /// In the order of their ends.
    transfers: VecDeque<Transfer>,
    link_free_ns: i64,
    /// What came out of one advance of the prefill engines.
    prefilled: Vec<Token>,
}

impl<T: StepTime> Disaggregated<T> {
    /// An idle deployment.
    ///
    /// # Errors
    /// Those of [`Link::check`].
    pub fn new(
        prefill: Vec<ContinuousBatch<T>>,
        decode: Vec<ContinuousBatch<T>>,
        link: Link,
    ) -> Result<Disaggregated<T>> {
        link.check()?;
        Ok(Disaggregated {
            prefill: Replicas::new(prefill),
            decode: Replicas::new(decode),
            link,
            jobs: HashMap::new(),
            transfers: VecDeque::new(),
            link_free_ns: i64::MIN,
            prefilled: Vec::new(),
        })
    }

    /// Puts what was prefilled by `now_ns` on the link.
    fn end_prefills(&mut self, now_ns: i64, tokens: &mut Vec<Token>) {
        let mut prefilled = std::mem::take(&mut self.prefilled);
        self.prefill.advance(now_ns, &mut prefilled);
        for Token { sequence, at_ns, cached_tokens, .. } in prefilled.drain(..) {
            let Some(job) = self.jobs.get(&sequence) else { continue };
            let (prompt_tokens, last) = (job.prompt_tokens, job.output_tokens == 1);
            let answered = self.link.first_token == FirstToken::Before;
            if answered {
                tokens.push(Token { sequence, at_ns, last, cached_tokens, before_ns: Vec::new() });
                if last {
                    self.jobs.remove(&sequence);
                    continue;
                }
            }
            let start_ns = at_ns.max(self.link_free_ns);
            self.link_free_ns = start_ns + self.link.transfer_ns(prompt_tokens, 1);
            let first_share_ns = (self.link.first_token == FirstToken::FirstShare)
                .then(|| start_ns + self.link.transfer_ns(prompt_tokens, self.link.shares));
            self.transfers.push_back(Transfer {
                sequence,
                cached_tokens,
                first_share_ns,
                answered,
                end_ns: self.link_free_ns,
            });
        }
        self.prefilled = prefilled;
    }

    /// Lets an idle decode engine answer with the first share. Of what is on the link, only the front has come so far.
    fn end_first_share(&mut self, now_ns: i64, tokens: &mut Vec<Token>) {
        let Some(t) = self.transfers.front_mut() else { return };
        let Some(at_ns) = t.first_share_ns.take_if(|at_ns| *at_ns <= now_ns) else { return };
        let Some(job) = self.jobs.get(&t.sequence).filter(|_| self.decode.has_idle()) else { return };
        let (sequence, cached_tokens, last) = (t.sequence, t.cached_tokens, job.output_tokens == 1);
        t.answered = true;
        if last {
            self.jobs.remove(&sequence);
        }
        tokens.push(Token { sequence, at_ns, last, cached_tokens, before_ns: Vec::new() });
    }

    /// Gives what is across to the decode engines, and its first token to the world.
    fn end_transfers(&mut self, now_ns: i64, tokens: &mut Vec<Token>) {
        while let Some(t) = self.transfers.pop_front_if(|t| t.first_share_ns.is_none() && t.end_ns <= now_ns) {
            let Some(job) = self.jobs.remove(&t.sequence) else { continue };
            let (sequence, at_ns, cached_tokens) = (t.sequence, t.end_ns, t.cached_tokens);
            let last = job.output_tokens == 1;
            if !last {
                // Its length was checked when it was submitted, and this queue has no limit.
                let _ = self.decode.give(sequence, |engine| engine.hand_over(sequence, at_ns, job, cached_tokens));
            }
            if !t.answered {
                tokens.push(Token { sequence, at_ns, last, cached_tokens, before_ns: Vec::new() });
            }
        }
    }
}

impl<T: StepTime> Deployment for Disaggregated<T> {
    fn submit(&mut self, sequence: SequenceId, arrival_ns: i64, job: Job) -> Taken {
        self.decode.check_length(&job)?;
        let prompt = Job { output_tokens: 1, ..job.clone() };
        self.prefill.submit(sequence, arrival_ns, prompt)?;
        self.jobs.insert(sequence, job);
        Ok(())
    }

    fn cancel(&mut self, sequence: SequenceId) -> Vec<i64> {
        if self.jobs.remove(&sequence).is_some() {
            // What is on the link stays there, and reaches nobody.
            self.prefill.cancel(sequence)
        } else {
            self.decode.cancel(sequence)
        }
    }

    fn next_event_ns(&self) -> Option<i64> {
        let transfer_ns = self.transfers.front().map(Transfer::next_event_ns);
        [self.prefill.next_event_ns(), transfer_ns, self.decode.next_event_ns()].into_iter().flatten().min()
    }

    fn advance(&mut self, now_ns: i64, tokens: &mut Vec<Token>) {
        // One event after the other: what ends here is what begins there.
        while let Some(due_ns) = self.next_event_ns().filter(|due_ns| *due_ns <= now_ns) {
            self.end_prefills(due_ns, tokens);
            self.end_first_share(due_ns, tokens);
            self.end_transfers(due_ns, tokens);
            self.decode.advance(due_ns, tokens);
        }
    }

    fn load(&self) -> Load {
        let (prefill, decode) = (self.prefill.load(), self.decode.load());
        Load {
            waiting: prefill.waiting + decode.waiting + self.transfers.len() as u64,
            kv_blocks: decode.kv_blocks,
            kv_blocks_used: decode.kv_blocks_used,
            prompt_tokens_total: prefill.prompt_tokens_total,
            cached_tokens_total: prefill.cached_tokens_total,
            ..prefill + decode
        }
    }
}

#[cfg(test)]
mod tests;
