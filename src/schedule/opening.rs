//! What conversations open with, in front of their first own prompt → its spans and its tokens: a system prompt that all
//! share, a context that is each one's own, a prefix from a pool, and a marker that no prefix cache knows.
//!
//! In a chat, system prompt and context are messages; a prefix begins the first prompt's own. For completions all is one text.
//! Invariants: drawn texts are exact to the token, and differ from each other, and from all that could follow what stands
//! before them, within their first tokens. Which prefix a conversation has depends on the seed and its place alone.
//! Not here: prompts ([`super::conversation`]).

use super::{PhasePlan, Plan, Prompt};
use crate::endpoint::body::Body;
use crate::outcome::Phase;
use crate::prompt::arena::{Arena, Span};
use crate::prompt::vocabulary::Radix;
use crate::rng::Seed;

/// What conversations are to open with; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpeningSpec {
    /// The system prompt.
    pub system: Option<SystemPrompt>,
    /// Tokens of each conversation's context; 0 for none.
    pub context_tokens: u32,
    /// Different prefixes; 0 for none.
    pub prefixes: u32,
    /// Tokens of a prefix.
    pub prefix_tokens: u32,
    /// The marker.
    pub marker: Option<Marker>,
}

/// A system prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemPrompt {
    /// This text.
    Text(String),
    /// A text of so many tokens.
    Drawn(u32),
}

/// Words that tell a conversation from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Where they stand.
    pub place: MarkerPlace,
    /// Whether they are the same in all conversations of the warm-up, and in none of the measurement.
    pub warmup_only: bool,
}

/// Where a marker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerPlace {
    /// Before the system prompt's text.
    SystemStart,
    /// Behind it.
    SystemEnd,
    /// Before the first prompt's text.
    FirstTurnStart,
    /// Behind it.
    FirstTurnEnd,
}

/// Tokens of a marker: enough for the corpus's codes in the smallest vocabulary.
const MARKER_TOKENS: u32 = 8;

impl OpeningSpec {
    /// Codes of texts that several conversations have: the system prompt, the prefixes, the warm-up's marker.
    fn shared_codes(&self) -> u64 {
        2 + u64::from(self.prefixes)
    }

    /// Whether conversations open with nothing.
    pub fn is_empty(&self) -> bool {
        *self == OpeningSpec::default()
    }

    /// The first code behind those of shared texts, which stand behind `end`.
    pub(super) fn codes_end(&self, end: u32, radix: Radix) -> u32 {
        if self.is_empty() { end } else { radix.opening_code(end, self.shared_codes() - 1) as u32 + 1 }
    }

    /// Adds the texts that are given to the arena, counted by `count`. `first_code` is the one behind which the shared
    /// texts' codes stand, as [`OpeningSpec::codes_end`] was told.
    pub(super) fn encode(
        self,
        arena: &mut Arena,
        count: impl Fn(&str) -> u32,
        escape: impl Fn(&str) -> String,
        (first_code, seed): (u32, Seed),
    ) -> Opening {
        let literal = match &self.system {
            Some(SystemPrompt::Text(text)) => Some((arena.add(escape(text).as_bytes()), count(text))),
            _ => None,
        };
        Opening { spec: self, literal, first_code, seed }
    }
}

/// What conversations open with.
#[derive(Clone, Debug)]
pub struct Opening {
    spec: OpeningSpec,
    /// The system prompt's text, where it was given, and its tokens.
    literal: Option<(Span, u32)>,
    first_code: u32,
    seed: Seed,
}

impl Opening {
    /// Tokens in front of a first prompt's own message.
    pub(super) fn message_tokens(&self, phase: Phase) -> u32 {
        let system = match (self.literal, &self.spec.system) {
            // Nothing was asked of the length of a given text, so a marker comes on top of it.
            (Some((_, tokens)), _) => tokens + if self.marks_system(phase) { MARKER_TOKENS } else { 0 },
            (None, Some(SystemPrompt::Drawn(tokens))) => *tokens,
            (None, _) => 0,
        };
        system + self.spec.context_tokens
    }

    /// Tokens of that message beside those that are asked for: its prefix, and a marker at a text that is given.
    pub(super) fn turn_tokens(&self, phase: Phase, is_given: bool) -> u32 {
        let marker = if is_given && self.marks_turn(phase) { MARKER_TOKENS } else { 0 };
        self.prefix_tokens() + marker
    }

    fn prefix_tokens(&self) -> u32 {
        if self.spec.prefixes > 0 { self.spec.prefix_tokens } else { 0 }
    }

    fn marker(&self, phase: Phase) -> Option<MarkerPlace> {
        let marker = self.spec.marker.filter(|marker| !marker.warmup_only || phase == Phase::Warmup);
        marker.map(|marker| marker.place)
    }

    /// Tokens at the end of a first prompt that no cache holds, of whatever it knows the rest.
    pub(super) fn tail_tokens(&self, phase: Phase) -> u32 {
        if self.marker(phase) == Some(MarkerPlace::FirstTurnEnd) { MARKER_TOKENS } else { 0 }
    }

    fn marks_system(&self, phase: Phase) -> bool {
        matches!(self.marker(phase), Some(MarkerPlace::SystemStart | MarkerPlace::SystemEnd))
    }

    fn marks_turn(&self, phase: Phase) -> bool {
        matches!(self.marker(phase), Some(MarkerPlace::FirstTurnStart | MarkerPlace::FirstTurnEnd))
    }

    /// Whether a message stands in front of the first prompt's.
    pub(super) fn has_messages(&self) -> bool {
        self.spec.system.is_some() || self.spec.context_tokens > 0
    }
}

/// What a prefix cache that forgets nothing has seen of openings.
#[derive(Debug, Default)]
pub(super) struct Seen {
    system: bool,
    contexts: std::collections::HashSet<u64>,
    prefixes: std::collections::HashSet<u64>,
}

impl Plan {
    /// The code of a conversation's marker. Codes behind those of prompts and answers; where a phase repeats they may meet
    /// others', which never stand at a marker's place.
    fn marker_code(&self, request_id: u64) -> u64 {
        self.corpus.radix().opening_code(self.unique_blocks, 2 * self.len() + request_id)
    }

    /// The code of a conversation's context, likewise.
    fn context_code(&self, key: u64) -> u64 {
        self.corpus.radix().opening_code(self.unique_blocks, 3 * self.len() + key)
    }

    fn shared_code(&self, n: u64) -> u64 {
        self.corpus.radix().opening_code(self.opening.first_code, n)
    }

    /// What tells a conversation's context and prefix: its place in the pool where its texts are sent again, else its first
    /// request.
    fn conversation_key(&self, prompt: Prompt, request_id: u64) -> u64 {
        match prompt {
            Prompt::Blocks { start, .. } => self.len() + u64::from(start),
            _ => request_id,
        }
    }

    fn prefix_of(&self, key: u64) -> u64 {
        self.opening.seed.hash(key) % u64::from(self.opening.spec.prefixes.max(1))
    }

    /// Appends the marker of a conversation, as many of its tokens as `most`. Gives their number.
    fn mark(&self, request_id: u64, most: u32, out: &mut Vec<Span>) -> u32 {
        let code = match self.opening.spec.marker {
            Some(marker) if marker.warmup_only => self.shared_code(self.opening.spec.shared_codes() - 1),
            _ => self.marker_code(request_id),
        };
        let tokens = MARKER_TOKENS.min(most);
        self.corpus.spans(code, tokens, out);
        tokens
    }

    /// Writes the messages in front of a conversation's first prompt, which is that of the slot at `index`.
    pub(super) fn add_opening(&self, phase: &PhasePlan, index: u32, request_id: u64, body: &mut Body<'_>) {
        let (opening, slot) = (&self.opening, &phase.slots[index as usize]);
        if opening.spec.system.is_some() {
            let out = body.system();
            let first = out.len();
            self.system_spans(phase, request_id, out);
            let begins = opening.literal.is_none() || opening.marker(phase.phase) == Some(MarkerPlace::SystemStart);
            if let Some(first) = out.get_mut(first).filter(|_| begins) {
                self.corpus.begin_prompt(first);
            }
        }
        if opening.spec.context_tokens > 0 {
            let out = body.prompt();
            let first = out.len();
            let key = self.conversation_key(slot.prompt, request_id);
            self.corpus.spans(self.context_code(key), opening.spec.context_tokens, out);
            if let Some(first) = out.get_mut(first).filter(|_| opening.spec.system.is_none()) {
                self.corpus.begin_prompt(first);
            }
        }
    }

    /// Appends the system prompt of a conversation.
    pub(super) fn system_spans(&self, phase: &PhasePlan, request_id: u64, out: &mut Vec<Span>) {
        let opening = &self.opening;
        let place = opening.marker(phase.phase);
        let (at_start, at_end) = (place == Some(MarkerPlace::SystemStart), place == Some(MarkerPlace::SystemEnd));
        match (opening.literal, &opening.spec.system) {
            (Some((text, _)), _) => {
                if at_start {
                    self.mark(request_id, MARKER_TOKENS, out);
                    out.push(self.shape.line_end());
                }
                out.push(text);
                if at_end {
                    self.mark(request_id, MARKER_TOKENS, out);
                }
            }
            (None, Some(SystemPrompt::Drawn(tokens))) => {
                let marked = if at_start { self.mark(request_id, *tokens, out) } else { 0 };
                let rest = tokens - marked - if at_end { MARKER_TOKENS.min(*tokens) } else { 0 };
                self.corpus.spans(self.shared_code(0), rest, out);
                if at_end {
                    self.mark(request_id, tokens - rest, out);
                }
            }
            (None, _) => {}
        }
    }

    /// Appends the text of a conversation's first prompt, of so many tokens in all.
    pub(super) fn first_turn_spans(
        &self,
        (phase, index): (&PhasePlan, u32),
        tokens: u32,
        request_id: u64,
        out: &mut Vec<Span>,
    ) {
        let (opening, prompt) = (&self.opening, phase.slots[index as usize].prompt);
        let is_given = matches!(prompt, Prompt::Literal(_));
        let prefix_tokens = opening.prefix_tokens().min(tokens.saturating_sub(1));
        let mut left = tokens - prefix_tokens;
        let place = opening.marker(phase.phase);
        if place == Some(MarkerPlace::FirstTurnStart) {
            // Of a drawn prompt one token stays its own.
            left -= self.mark(request_id, left.saturating_sub(1), out);
        }
        if prefix_tokens > 0 {
            let prefix = self.prefix_of(self.conversation_key(prompt, request_id));
            self.corpus.spans(self.shared_code(1 + prefix), prefix_tokens, out);
        }
        if is_given && !out.is_empty() && place == Some(MarkerPlace::FirstTurnStart) {
            out.push(self.shape.line_end());
        }
        let at_end = place == Some(MarkerPlace::FirstTurnEnd);
        let marker_tokens = if at_end { MARKER_TOKENS.min(left.saturating_sub(1)) } else { 0 };
        self.prompt_spans(prompt, left - marker_tokens, request_id, out);
        if at_end {
            self.mark(request_id, marker_tokens, out);
        }
    }

    /// Tokens of a first prompt's opening that a prefix cache which has seen `seen` holds, and whether that is all of it.
    pub(super) fn cached_opening(&self, phase: &PhasePlan, index: u32, seen: &mut Seen) -> (u32, bool) {
        let (opening, slot) = (&self.opening, &phase.slots[index as usize]);
        let key = self.conversation_key(slot.prompt, phase.first_request_id + u64::from(index));
        let (mut cached, mut whole) = (0, true);
        let own_marker = opening.spec.marker.is_some_and(|marker| !marker.warmup_only);
        let marked = |place| own_marker && opening.marker(phase.phase) == Some(place);
        let mut part = |tokens: u32, known: bool, ends: bool| {
            whole &= known;
            cached += if whole { tokens } else { 0 };
            whole &= !ends;
        };
        if opening.spec.system.is_some() {
            let tokens = opening.message_tokens(phase.phase) - opening.spec.context_tokens;
            let own = if marked(MarkerPlace::SystemEnd) { MARKER_TOKENS.min(tokens) } else { 0 };
            let known = std::mem::replace(&mut seen.system, true) && !marked(MarkerPlace::SystemStart);
            part(tokens - own, known, own > 0);
        }
        if opening.spec.context_tokens > 0 {
            part(opening.spec.context_tokens, !seen.contexts.insert(key), false);
        }
        let known = !marked(MarkerPlace::FirstTurnStart)
            && (opening.spec.prefixes == 0 || !seen.prefixes.insert(self.prefix_of(key)));
        part(opening.prefix_tokens(), known, false);
        (cached, whole)
    }
}
