//! A plan → the prompt tokens that a prefix cache which forgets nothing would hold when they are sent.
//!
//! In: the slots of all phases, in the order of the schedule. Out: a sum, and its course over the requests.
//! Invariant: both are made of the same number for each request. Not here: what the server held ([`crate::analysis`]).

use serde::Serialize;

use super::opening::Seen;
use super::{History, PhasePlan, Plan, Prompt, Slot};
use crate::outcome::Phase;

/// Most steps of a course: as fine as a picture over time is, whatever the number of requests.
const STEPS_MAX: u64 = 256;

/// Expected prefix hits in the course of a plan: of equal numbers of consecutive requests of the measurement, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectedCourse {
    /// The first request of the measurement.
    pub first_request_id: u64,
    /// Requests of each step; the last one has those that are left.
    pub requests_per_step: u64,
    /// Prompt tokens of each step.
    pub prompt_tokens: Vec<u64>,
    /// Of those, how many are expected to be cached.
    pub cached_tokens: Vec<u64>,
}

impl Plan {
    /// Prompt tokens of the measurement that a prefix cache which forgets nothing would hold when they are sent: those of
    /// openings that an earlier conversation had, of the warm-up's too, of leading blocks that an earlier request had, and of a session what its previous turn held (with its answer, where that
    /// is the server's own). `None` for literal texts and for several in one request, of whose prefixes nothing is known.
    pub fn expected_cached_tokens(&self) -> Option<u64> {
        let mut sum = 0;
        self.each_expected(|_, cached| sum += cached)?;
        Some(sum)
    }

    /// The same in the course of the plan; `None` where that is, and without requests.
    pub fn expected_course(&self) -> Option<ExpectedCourse> {
        let measured = |phase: &&PhasePlan| phase.phase == Phase::Profiling;
        let requests: u64 = self.phases.iter().filter(measured).map(|phase| phase.slots.len() as u64).sum();
        let requests_per_step = requests.div_ceil(STEPS_MAX).max(1);
        let first_request_id = self.phases.iter().find(measured).filter(|_| requests > 0)?.first_request_id;
        let (mut prompt_tokens, mut cached_tokens, mut n) = (Vec::new(), Vec::new(), 0);
        self.each_expected(|slot, cached| {
            if n % requests_per_step == 0 {
                prompt_tokens.push(0);
                cached_tokens.push(0);
            }
            n += 1;
            prompt_tokens.last_mut().into_iter().for_each(|sum| *sum += u64::from(slot.input_tokens));
            cached_tokens.last_mut().into_iter().for_each(|sum| *sum += cached);
        })?;
        Some(ExpectedCourse { first_request_id, requests_per_step, prompt_tokens, cached_tokens })
    }

    /// Visits each request of the measurement with what is expected of it.
    fn each_expected(&self, mut visit: impl FnMut(&Slot, u64)) -> Option<()> {
        let mut seen = vec![false; self.unique_blocks as usize];
        let mut openings = Seen::default();
        for phase in &self.phases {
            for (index, slot) in (0u32..).zip(&phase.slots) {
                let measured = phase.phase == Phase::Profiling;
                let (start, len) = match slot.prompt {
                    Prompt::Literal(_) | Prompt::Messages(_) | Prompt::Texts { .. } if measured => return None,
                    _ if slot.continues => {
                        let previous = slot.previous_turn.map(|turn| &phase.slots[turn as usize]);
                        let answer = previous.filter(|_| self.history == History::Live).and_then(|p| p.max_tokens);
                        let held = u64::from(previous.map_or(0, |p| p.input_tokens)) + u64::from(answer.unwrap_or(0));
                        if measured {
                            visit(slot, held);
                        }
                        continue;
                    }
                    Prompt::Blocks { start, len } => (start as usize, len as usize),
                    _ => (0, 0),
                };
                let (opening, whole) = self.cached_opening(phase, index, &mut openings);
                if !measured {
                    continue;
                }
                let beside = self.opening.message_tokens(phase.phase) + self.opening.turn_tokens(phase.phase, false);
                let blocks = &self.block_ids[start..start + len];
                let known = blocks.iter().take_while(|b| whole && seen[**b as usize]).count() as u64;
                let own = self
                    .without_around(slot.input_tokens - beside)
                    .saturating_sub(self.opening.tail_tokens(phase.phase));
                visit(slot, u64::from(opening) + (known * u64::from(self.block_size)).min(own.into()));
                blocks.iter().for_each(|b| seen[*b as usize] = true);
            }
        }
        Some(())
    }
}
