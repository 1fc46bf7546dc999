//! The sessions whose later turns are sent with the server's own answers: what it said in each so far.
//!
//! A conversation is found by its last turn that was answered; it goes from turn to turn, and ends with the last one.
//! Invariant: nothing is kept of a session that no later turn will ask for, but for those that the phase's end cut off.

use std::collections::HashMap;

use crate::schedule::PhasePlan;
use crate::schedule::conversation::Replies;

/// A turn that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    /// Its text, if it was answered and that is whole.
    pub(super) text: Option<&'a [u8]>,
    /// Tokens of that text.
    pub(super) tokens: Option<u32>,
}

/// The conversations of one worker in one phase.
#[derive(Debug, Default)]
pub(super) struct Conversations {
    /// By position of the last answered turn.
    open: HashMap<u64, Replies>,
    /// Answers for which the planned ones stand in.
    stood_in: u64,
}

impl Conversations {
    /// Forgets all of them; a phase begins.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// Answers so far for which the planned ones stand in.
    pub(super) fn stood_in(&self) -> u64 {
        self.stood_in
    }

    /// What goes in front of the slot at a position.
    pub(super) fn before(&self, phase: &PhasePlan, ordinal: u64) -> Option<&Replies> {
        self.open.get(&last_turn(phase, ordinal)?)
    }

    /// The slot at a position will not be sent.
    pub(super) fn end(&mut self, phase: &PhasePlan, ordinal: u64) {
        if let Some(last) = last_turn(phase, ordinal) {
            self.open.remove(&last);
        }
    }

    /// Takes the end of a turn that was sent. Gives the tokens that its prompt held.
    pub(super) fn take(&mut self, phase: &PhasePlan, ordinal: u64, turn: Turn<'_>) -> u32 {
        let index = (ordinal % phase.slots.len() as u64) as u32;
        let slot = &phase.slots[index as usize];
        let mut replies = last_turn(phase, ordinal).and_then(|last| self.open.remove(&last)).unwrap_or_default();
        let own_tokens = slot.input_tokens - phase.history_tokens(index);
        let prompt_tokens = replies.tokens().saturating_add(own_tokens);
        if slot.is_continued {
            let planned = slot.max_tokens.unwrap_or(0);
            self.stood_in += u64::from(turn.text.is_none());
            let answer = turn.text.and(turn.tokens).unwrap_or(planned);
            replies.add(turn.text, prompt_tokens.saturating_add(answer));
            self.open.insert(ordinal, replies);
        }
        prompt_tokens
    }
}

/// The position of the turn whose conversation the one at `ordinal` continues.
fn last_turn(phase: &PhasePlan, ordinal: u64) -> Option<u64> {
    let index = (ordinal % phase.slots.len() as u64) as u32;
    Some(ordinal - u64::from(index) + u64::from(phase.continued(index)?))
}
