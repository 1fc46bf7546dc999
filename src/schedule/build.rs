//! A source of requests and the times of a phase → the [`Plan`] of a run.
//!
//! In: a trace or length distributions, and for each phase what releases its requests. Out: slots, and the texts they
//! are slices of. Every draw is on its own stream of the seed.
//! Not here: reading traces, drawing arrival times, who waits for whom (`place`).

use std::sync::Arc;

use rand::{Rng as _, RngExt};

use super::conversation::History;
use super::dataset::{Dataset, Drawn};
use super::order::Order;
use super::place::{Content, Pool, phase};
use super::spec::{Load, PhaseSpec, PlanSpec, Source};
use super::texts::Texts;
use super::{PhasePlan, Plan, Prompt};
use crate::endpoint::{Shape, escape_json, messages};
use crate::error::{Error, Result};
use crate::outcome::Phase;
use crate::prompt::arena::Arena;
use crate::prompt::codes::BlockCodes;
use crate::prompt::corpus::Corpus;
use crate::prompt::source::TextSource;
use crate::prompt::vocabulary::{Radix, Vocabulary};
use crate::rng::{Seed, Stream};
use crate::trace::{Content as Literal, Entry, Trace};

/// Requests of a phase that only time bounds, as far as their texts are told apart.
const REPEATED_REQUESTS_MAX: u64 = 1 << 32;

impl PlanSpec {
    /// Makes the plan with prompts of the built-in words. Fails as [`PlanSpec::build_with`] does.
    pub fn build(self) -> Result<Plan> {
        let text = TextSource::builtin(self.seed);
        self.build_with(&text)
    }

    /// Makes the plan with prompts of that text.
    ///
    /// # Errors
    /// The phases ask for what the source does not have, or prompts are not exact to the token.
    pub fn build_with(mut self, text: &TextSource) -> Result<Plan> {
        let mut arena = Arena::default();
        let radix = text.vocabulary().radix();
        let mut drawn = Vec::new();
        let mut texts = Texts::default();
        let (blocks, has_answers) = match &mut self.source {
            Source::Trace(trace) => (number_blocks(trace, radix), !trace.sessions.is_empty()),
            Source::Synthetic(dataset) => {
                drawn = dataset.draw(self.output, self.seed);
                if let Some(laws) = &dataset.laws.texts {
                    texts = laws.draw(&mut drawn, dataset.repeats, self.seed)?;
                }
                (if dataset.repeats { repeated_codes_end(drawn.len(), radix) } else { 0 }, dataset.has_turns())
            }
        };
        let first_code = blocks;
        let blocks = self.opening.codes_end(first_code, radix);
        // A prompt for each request, an answer, and of each conversation a context and a marker.
        let kinds = 1 + u64::from(has_answers) + if self.opening.is_empty() { 0 } else { 3 };
        let codes =
            radix.opening_code(blocks, self.requests_expected(&drawn) * kinds * texts.most() + 2 * drawn.len() as u64);
        let corpus = Corpus::build(&mut arena, text.seed(), codes, text.vocabulary());
        Vocabulary::check(text.tokenizer(), &corpus, &arena)?;
        let requests = self.requests((&drawn, &texts), &mut arena, text)?;
        if requests.is_empty() {
            return Err(Error::Usage("there is nothing to send: the source has no requests".into()));
        }
        let trace = match self.source {
            Source::Trace(trace) => trace,
            Source::Synthetic(dataset) => behind_drawn(&dataset, &drawn, radix),
        };
        drop(drawn);
        let count = |text_: &str| text.tokenizer().count(text_) as u32;
        let seed = Seed(self.seed.stream(Stream::Prefix).next_u64());
        let opening = self.opening.encode(&mut arena, count, escape_json, (first_code, seed));
        let pool = Pool::new(requests, &trace, &opening);
        let mut order = Order::new(self.sampling, self.seed.stream(Stream::Order), pool.len(), |at| pool.group(at));
        let mut phases = Vec::new();
        let mut first_request_id = 0;
        for spec in &self.phases {
            let mut phase = phase(spec, &pool, &mut order, first_request_id)?;
            if let Some(cancellation) = spec.cancellation {
                let mut rng = self.seed.stream(Stream::Cancellation);
                phase.slots.iter_mut().for_each(|slot| slot.cancel = rng.random_bool(cancellation.share));
            }
            first_request_id += phase.slots.len() as u64;
            phases.push(phase);
        }
        let limits = phases.iter().flat_map(|p| p.slots.iter().map(|s| s.max_tokens));
        let shape = Shape::encode(&mut arena, &self.request, limits);
        let mut notes = trace.notes;
        notes.extend(unknown_answers(&phases).filter(|_| self.history == History::Planned));
        let mut plan = Plan {
            phases,
            sessions: trace.sessions,
            block_ids: trace.block_ids,
            block_size: trace.block_size.max(1),
            unique_blocks: blocks,
            around_tokens: text.around_tokens(),
            texts,
            opening,
            history: self.history,
            corpus,
            shape,
            arena: Arc::new(arena),
            notes,
        };
        plan.prove(text)?;
        Ok(plan)
    }

    /// How many requests there can be, as far as their texts are to be told apart.
    fn requests_expected(&self, drawn: &[Drawn]) -> u64 {
        let turns_max = drawn.chunk_by(|a, b| a.conversation == b.conversation).map(<[Drawn]>::len).max();
        let turns_max = turns_max.unwrap_or(1) as u64;
        let of_phase = |p: &PhaseSpec| {
            let expected = match (&p.load, &self.source) {
                (Load::Times(times), _) => times.len() as u64 * turns_max,
                (Load::Lanes { requests: Some(n), .. }, _) => *n,
                (Load::Lanes { requests: None, .. }, Source::Synthetic(_)) => {
                    p.conversations_max.map_or(REPEATED_REQUESTS_MAX, |n| n * turns_max)
                }
                (Load::Lanes { requests: None, .. } | Load::Users(_), _) => REPEATED_REQUESTS_MAX,
                (_, Source::Trace(trace)) => trace.entries.len() as u64,
                (_, Source::Synthetic(_)) => drawn.len() as u64,
            };
            expected.min(p.requests_max.unwrap_or(u64::MAX)).min(REPEATED_REQUESTS_MAX)
        };
        self.phases.iter().map(of_phase).sum()
    }

    /// The source's requests, as many as it has or as the run can use.
    fn requests(
        &self,
        (drawn, texts): (&[Drawn], &Texts),
        arena: &mut Arena,
        text: &TextSource,
    ) -> Result<Vec<Content>> {
        let mut output_rng = self.seed.stream(Stream::OutputLength);
        let mut output = |recorded: Option<u32>| recorded.or_else(|| self.output.map(|law| law.draw(&mut output_rng)));
        match &self.source {
            Source::Synthetic(dataset) => {
                let content = |(at, drawn): (u32, &Drawn)| Content {
                    prompt: match texts.prompt(at) {
                        Some(texts) => texts,
                        None if dataset.repeats => Prompt::Blocks { start: at, len: 1 },
                        None => Prompt::Unique,
                    },
                    input_tokens: drawn.input_tokens,
                    max_tokens: drawn.output_tokens,
                    session: dataset.has_turns().then_some(drawn.conversation),
                    recorded_ns: None,
                    delay_ns: drawn.delay_ns,
                    is_whole: false,
                };
                Ok((0u32..).zip(drawn).map(content).collect())
            }
            Source::Trace(trace) => trace
                .entries
                .iter()
                .map(|entry| {
                    let (prompt, input_tokens) = self.prompt(entry, arena, text)?;
                    Ok(Content {
                        prompt,
                        input_tokens,
                        max_tokens: output(entry.output_tokens),
                        session: entry.session,
                        recorded_ns: entry.arrival_ns,
                        delay_ns: entry.delay_ns,
                        is_whole: matches!(entry.content, Some(Literal::Messages(_))),
                    })
                })
                .collect(),
        }
    }

    /// The prompt of a trace's entry, and its tokens.
    fn prompt(&self, entry: &Entry, arena: &mut Arena, source: &TextSource) -> Result<(Prompt, u32)> {
        let count = |text: &str| source.tokenizer().count(text) as u32 + source.around_tokens();
        let mut literal = |text: &str| Prompt::Literal(arena.add(escape_json(text).as_bytes()));
        let (prompt, counted) = match &entry.content {
            Some(Literal::Text(text)) => (literal(text), count(text)),
            Some(Literal::Messages(json)) => {
                let messages = messages::parse(json)
                    .map_err(|problem| Error::Usage(format!("the trace's line {} has {problem}", entry.line)))?;
                let counted = count(&messages.text);
                if self.request.endpoint.has_messages() {
                    (Prompt::Messages(arena.add(messages.inner.as_bytes())), counted)
                } else {
                    (literal(&messages.text), counted)
                }
            }
            None if entry.blocks_len > 0 => (Prompt::Blocks { start: entry.blocks_start, len: entry.blocks_len }, 0),
            None => (Prompt::Unique, 0),
        };
        // A length that the trace tells is that of its own tokenizer; a literal text is counted by the one that was given.
        let known = entry.input_tokens > 0 && (entry.content.is_none() || source.tokenizer().is_builtin());
        Ok((prompt, if known { entry.input_tokens } else { counted }))
    }
}

/// The first code behind those of texts that are sent again whenever their request is.
fn repeated_codes_end(requests: usize, radix: Radix) -> u32 {
    requests.checked_sub(1).map_or(0, |last| radix.opening_code(0, last as u64) as u32 + 1)
}

/// What a trace would say of drawn requests: the names of their conversations and, where they are texts that are sent again,
/// one block for each, as long as it has to be.
fn behind_drawn(dataset: &Dataset, drawn: &[Drawn], radix: Radix) -> Trace {
    let conversations = drawn.last().map_or(0, |last| last.conversation + 1);
    let sessions = if dataset.has_turns() { conversations } else { 0 };
    let texts = if dataset.repeats { drawn.len() as u64 } else { 0 };
    Trace {
        sessions: (0..sessions).map(|n| format!("session_{n:06}")).collect(),
        block_ids: (0..texts).map(|n| radix.opening_code(0, n) as u32).collect(),
        block_size: u32::MAX,
        ..Trace::default()
    }
}

/// Says it where answers that later turns hold have no planned length.
fn unknown_answers(phases: &[PhasePlan]) -> Option<String> {
    let slots = phases.iter().filter(|p| p.phase == Phase::Profiling).flat_map(|p| &p.slots);
    let unknown = slots.filter(|s| s.is_continued && s.max_tokens.is_none()).count();
    (unknown > 0).then(|| {
        format!(
            "{unknown} turns have no output length, so later turns are sent with an empty answer to them; give --osl, or \
             --history live"
        )
    })
}

/// Gives the trace's blocks the codes of their texts in place of their ids. Returns the first code of no block.
fn number_blocks(trace: &mut Trace, radix: Radix) -> u32 {
    let prompts = trace.entries.iter().map(|entry| trace.blocks(entry));
    let codes = BlockCodes::assign(prompts, trace.unique_blocks, radix);
    for block in &mut trace.block_ids {
        *block = codes.of_block[*block as usize];
    }
    if codes.shared_first_tokens > 0 {
        trace.notes.push(format!(
            "{} prefix blocks share their first token with another block behind the same prefix, and differ from it in their second: \
             the tokenizer has {} words to tell them apart by",
            codes.shared_first_tokens, radix.words
        ));
    }
    codes.end
}

#[cfg(test)]
pub(super) mod tests;
