//! A plan's prompts, tokenised as the server will → the proof that they are as long as was asked, or the error that says
//! where they are not.
//!
//! A sample: the ends, the shortest and the longest of each phase and some between, up to a number of tokens. What every
//! pair of words does was tried before ([`crate::prompt::vocabulary::Vocabulary::check`]); this tries the seams of blocks, the
//! beginnings, and what the server puts around a prompt.

use super::{PhasePlan, Plan, Prompt, Slot};
use crate::error::{Error, Result};
use crate::prompt::arena::Span;
use crate::prompt::source::TextSource;

/// Slots of a phase that are tried, beside its ends, shortest and longest.
const SAMPLED: usize = 12;
/// Tokens after which no further prompt of a phase is tried.
const TOKENS_MAX: u32 = 1 << 18;

impl Plan {
    /// Tokenises a sample of the prompts, and notes those that cannot be as short as was asked.
    ///
    /// # Errors
    /// A prompt has another number of tokens than its slot asks for.
    pub(super) fn prove(&mut self, text: &TextSource) -> Result<()> {
        let made = |slot: &&Slot| {
            matches!(slot.prompt, Prompt::Unique | Prompt::Blocks { .. }) && slot.input_tokens > 0 && !slot.continues
        };
        let slots = || self.phases.iter().flat_map(|p| &p.slots).filter(made);
        let short = slots().filter(|slot| slot.input_tokens <= self.around_tokens).count();
        if !text.tokenizer().is_builtin() {
            for phase in &self.phases {
                let mut tokens = 0;
                for index in sampled(phase).into_iter().filter(|i| made(&&phase.slots[*i])) {
                    if tokens < TOKENS_MAX {
                        tokens += self.prove_one(phase, index as u32, text)?;
                    }
                }
                for index in sampled(phase) {
                    if let (Prompt::Texts { start, len }, true) = (phase.slots[index].prompt, tokens < TOKENS_MAX) {
                        let request_id = phase.first_request_id + index as u64;
                        (0..len).try_for_each(|n| self.prove_text((start, n), request_id, text))?;
                        tokens += phase.slots[index].input_tokens;
                    }
                }
            }
        }
        if short > 0 {
            self.notes.push(format!(
                "{short} requests ask for no more tokens than the {} that the server adds to each prompt: theirs have one token of \
                 text, and are longer than asked for",
                self.around_tokens
            ));
        }
        Ok(())
    }

    fn prove_one(&self, phase: &PhasePlan, index: u32, text: &TextSource) -> Result<u32> {
        let (slot, request_id) = (&phase.slots[index as usize], phase.first_request_id + u64::from(index));
        let mut spans = Vec::new();
        self.text_spans(phase, index, request_id, &mut spans);
        let prompt = self.read(&spans)?;
        let own = slot.input_tokens - self.opening.message_tokens(phase.phase);
        let (planned, counted) = (self.without_around(own) + self.around_tokens, text.count(&prompt)?);
        exact(text, (&prompt, request_id), (planned, counted))?;
        Ok(planned)
    }

    /// The same of one of several texts, which are counted without what a server adds to them.
    fn prove_text(&self, of: (u32, u32), request_id: u64, text: &TextSource) -> Result<()> {
        let mut spans = Vec::new();
        self.one_text(of, request_id, &mut spans);
        let prompt = self.read(&spans)?;
        exact(text, (&prompt, request_id), (self.texts.tokens(of.0 + of.1), text.tokenizer().count(&prompt) as u32))
    }

    fn read(&self, spans: &[Span]) -> Result<String> {
        let bytes = spans.iter().flat_map(|s| self.arena.slice(*s)).copied().collect();
        String::from_utf8(bytes).map_err(|e| Error::Internal(e.to_string()))
    }
}

/// Whether a prompt has as many tokens as were planned.
fn exact(text: &TextSource, (prompt, request_id): (&str, u64), (planned, counted): (u32, u32)) -> Result<()> {
    if planned == counted {
        return Ok(());
    }
    let head: String = prompt.chars().take(60).collect();
    Err(Error::Usage(format!(
        "--tokenizer {}: the prompt of request {request_id} was to have {planned} tokens and has {counted} (it begins \
         {head:?}): its prompts cannot be exact to the token; use --tokenizer builtin, and compare with the server's own \
         count (prompt_tokens)",
        text.tokenizer().name()
    )))
}

/// Indices of a phase's slots to try.
fn sampled(phase: &PhasePlan) -> Vec<usize> {
    let length = |i: &usize| phase.slots[*i].input_tokens;
    let n = phase.slots.len();
    let shortest = (0..n).min_by_key(length);
    let longest = (0..n).max_by_key(length);
    let between = (0..n).step_by((n / SAMPLED).max(1));
    shortest.into_iter().chain(longest).chain(n.checked_sub(1)).chain(between).collect()
}
