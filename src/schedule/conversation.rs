//! A slot and the conversation before it → the body of its request.
//!
//! The turns of a session whose prompts hold only what each adds are sent with all that was said before: each earlier
//! prompt and its answer. The answer is the planned one, a text of the planned length that no other request shares, or
//! what the server really said ([`Replies`]).
//! Not here: how an API writes a conversation down (`endpoint`).

use std::sync::Arc;

use super::{PhasePlan, Plan, Prompt};
use crate::endpoint::body::Body;
use crate::prompt::arena::{Pieces, Span};

/// Which answers the later turns of a session are sent with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// Planned ones, of the planned length.
    #[default]
    Planned,
    /// Those that the server gave.
    Live,
}

impl History {
    /// The name in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            History::Planned => "planned",
            History::Live => "live",
        }
    }
}

/// What a server answered in one session so far.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// The texts, one after the other, as they stand between the quotes of a JSON string. Shared with the request that
    /// carries them.
    text: Arc<Vec<u8>>,
    /// Where each turn's text stands; `None` for one whose planned answer stands in for it.
    turns: Vec<Option<Span>>,
    /// Tokens of the conversation so far: the last prompt and its answer.
    tokens: u32,
}

impl Replies {
    /// Adds a turn: its answer's text, unless the planned one stands in for it, and the tokens of prompt and answer.
    pub fn add(&mut self, text: Option<&[u8]>, tokens: u32) {
        let span = text.map(|text| {
            let span = Span { start: self.text.len(), len: text.len() };
            // Nobody else holds the text, unless a transport still has the last request's body.
            Arc::make_mut(&mut self.text).extend_from_slice(text);
            span
        });
        self.turns.push(span);
        self.tokens = tokens;
    }

    /// Tokens of the conversation so far.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }
}

impl PhasePlan {
    /// Tokens of the conversation that goes in front of a slot's own prompt, as planned.
    pub fn history_tokens(&self, slot: u32) -> u32 {
        let previous = self.continued(slot).map(|index| &self.slots[index as usize]);
        previous.map_or(0, |previous| previous.input_tokens + previous.max_tokens.unwrap_or(0))
    }

    /// The turn whose conversation goes in front of a slot's prompt.
    pub fn continued(&self, slot: u32) -> Option<u32> {
        let slot = &self.slots[slot as usize];
        slot.previous_turn.filter(|_| slot.continues)
    }

    /// The turns that go in front of a slot's prompt, in order.
    fn conversation(&self, slot: u32) -> Vec<u32> {
        let mut turns: Vec<u32> = std::iter::successors(self.continued(slot), |turn| self.continued(*turn)).collect();
        turns.reverse();
        turns
    }
}

impl Plan {
    /// The body of the request at a position of a phase, assembled from spans. `replies` are the server's answers to
    /// the turns before it, where those are to be sent.
    pub fn body(&self, phase: &PhasePlan, ordinal: u64, replies: Option<&Replies>) -> Pieces {
        let slot = (ordinal % phase.slots.len() as u64) as u32;
        let first_id = phase.first_request_id + ordinal - u64::from(slot);
        let mut body = self.shape.begin();
        for (n, turn) in phase.conversation(slot).into_iter().enumerate() {
            let request_id = first_id + u64::from(turn);
            self.add_prompt(phase, turn, request_id, &mut body);
            let answer = body.answer();
            match replies.and_then(|r| r.turns.get(n).copied().flatten()) {
                Some(span) => answer.push(Span { start: self.arena.len() + span.start, len: span.len }),
                None => {
                    // Codes behind those of prompts. Where a phase repeats they may meet, and no prefix is the same for it.
                    let code = self.corpus.radix().opening_code(self.unique_blocks, self.len() + request_id);
                    self.corpus.spans(code, phase.slots[turn as usize].max_tokens.unwrap_or(0), answer);
                }
            }
        }
        self.add_prompt(phase, slot, first_id + u64::from(slot), &mut body);
        let spans = body.finish(phase.slots[slot as usize].max_tokens);
        let pieces = Pieces::new(self.arena.clone(), spans);
        match replies {
            Some(replies) => pieces.with_tail(replies.text.clone()),
            None => pieces,
        }
    }

    fn add_prompt(&self, phase: &PhasePlan, index: u32, request_id: u64, body: &mut Body<'_>) {
        let prompt = phase.slots[index as usize].prompt;
        if phase.continued(index).is_none() && !matches!(prompt, Prompt::Messages(_)) {
            self.add_opening(phase, index, request_id, body);
        }
        let out = match prompt {
            Prompt::Messages(span) => return body.messages(span),
            Prompt::Texts { start, len } => {
                return (0..len).for_each(|n| self.one_text((start, n), request_id, body.text()));
            }
            Prompt::Literal(_) => body.prompt_apart(),
            Prompt::Unique | Prompt::Blocks { .. } => body.prompt(),
        };
        self.text_spans(phase, index, request_id, out);
    }

    /// Appends the spans of the text that a slot adds to its conversation; all of it, where it is the first turn.
    pub(super) fn text_spans(&self, phase: &PhasePlan, index: u32, request_id: u64, out: &mut Vec<Span>) {
        let slot = &phase.slots[index as usize];
        let first = out.len();
        let own = slot.input_tokens - phase.history_tokens(index);
        if phase.continued(index).is_some() {
            return self.prompt_spans(slot.prompt, own, request_id, out);
        }
        // What the server puts around a conversation is counted once.
        let tokens = self.without_around(own.saturating_sub(self.opening.message_tokens(phase.phase)));
        self.first_turn_spans((phase, index), tokens, request_id, out);
        let given =
            matches!(slot.prompt, Prompt::Literal(span) | Prompt::Messages(span) if out.get(first) == Some(&span));
        if let Some(first) = out.get_mut(first).filter(|_| !given && !self.opening.has_messages()) {
            self.corpus.begin_prompt(first);
        }
    }
}
