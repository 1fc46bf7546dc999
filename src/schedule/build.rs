//! A source of requests and the times of a phase → the [`Plan`] of a run.
//!
//! In: a trace or length distributions, and for each phase what releases its requests. Out: slots, and the texts they
//! are slices of. Every draw is on its own stream of the seed.
//! Not here: reading traces, drawing arrival times.

use std::collections::HashMap;
use std::sync::Arc;

use rand::RngExt;

use super::spec::{Load, PhaseSpec, PlanSpec, Source};
use super::{PhasePlan, Plan, Prompt, Release, Slot};
use crate::endpoint::{Shape, escape_json};
use crate::error::{Error, Result};
use crate::outcome::Phase;
use crate::prompt::arena::Arena;
use crate::prompt::codes::BlockCodes;
use crate::prompt::corpus::Corpus;
use crate::prompt::source::TextSource;
use crate::prompt::vocabulary::{Radix, Vocabulary};
use crate::rng::Stream;
use crate::trace::{Content as Literal, Trace};

/// Requests of a phase that only time bounds, as far as their texts are told apart.
const REPEATED_REQUESTS_MAX: u64 = 1 << 32;

/// Lengths and text of one request before it has a place in time.
#[derive(Clone, Copy)]
struct Content {
    prompt: Prompt,
    input_tokens: u32,
    max_tokens: Option<u32>,
    session: Option<u32>,
    recorded_ns: Option<i64>,
    delay_ns: Option<i64>,
}

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
        let blocks = match &mut self.source {
            Source::Trace(trace) => number_blocks(trace, radix),
            Source::Synthetic { .. } => 0,
        };
        let codes = radix.opening_code(blocks, self.requests_expected());
        let corpus = Corpus::build(&mut arena, text.seed(), codes, text.vocabulary());
        Vocabulary::check(text.tokenizer(), &corpus, &arena)?;
        let pool = self.pool(&mut arena, text);
        if pool.is_empty() {
            return Err(Error::Usage("there is nothing to send: the source has no requests".into()));
        }
        let mut phases = Vec::new();
        let mut first_request_id = 0;
        for spec in &self.phases {
            let mut phase = slots(spec, &pool, first_request_id)?;
            if let Some(cancellation) = spec.cancellation {
                let mut rng = self.seed.stream(Stream::Cancellation);
                phase.slots.iter_mut().for_each(|slot| slot.cancel = rng.random_bool(cancellation.share));
            }
            first_request_id += phase.slots.len() as u64;
            phases.push(phase);
        }
        let limits = phases.iter().flat_map(|p| p.slots.iter().map(|s| s.max_tokens));
        let shape = Shape::encode(&mut arena, &self.request, limits);
        let trace = match self.source {
            Source::Trace(trace) => trace,
            Source::Synthetic { .. } => Trace::default(),
        };
        let mut plan = Plan {
            phases,
            sessions: trace.sessions,
            block_ids: trace.block_ids,
            block_size: trace.block_size.max(1),
            unique_blocks: blocks,
            around_tokens: text.around_tokens(),
            corpus,
            shape,
            arena: Arc::new(arena),
            notes: trace.notes,
        };
        plan.prove(text)?;
        Ok(plan)
    }

    fn requests_expected(&self) -> u64 {
        let of_phase = |p: &PhaseSpec| match (&p.load, &self.source) {
            (Load::Times(times), _) => times.len() as u64,
            (Load::Lanes { requests: Some(n), .. }, _) => *n,
            (Load::Lanes { requests: None, .. }, _) => REPEATED_REQUESTS_MAX,
            (_, Source::Trace(trace)) => trace.entries.len() as u64,
            (_, Source::Synthetic { pool, .. }) => *pool,
        };
        self.phases.iter().map(of_phase).sum()
    }

    /// The source's requests, as many as it has or as the run can use.
    fn pool(&self, arena: &mut Arena, text: &TextSource) -> Vec<Content> {
        let mut output_rng = self.seed.stream(Stream::OutputLength);
        let mut output = |recorded: Option<u32>| recorded.or_else(|| self.output.map(|law| law.draw(&mut output_rng)));
        match &self.source {
            Source::Synthetic { input, pool } => {
                let mut input_rng = self.seed.stream(Stream::InputLength);
                let content = |_| Content {
                    prompt: Prompt::Unique,
                    input_tokens: input.draw(&mut input_rng),
                    max_tokens: output(None),
                    session: None,
                    recorded_ns: None,
                    delay_ns: None,
                };
                (0..*pool).map(content).collect()
            }
            Source::Trace(trace) => trace
                .entries
                .iter()
                .map(|entry| {
                    let (prompt, input_tokens) = match &entry.content {
                        Some(Literal::Text(literal) | Literal::Messages(literal)) => {
                            let known = text.tokenizer().is_builtin() && entry.input_tokens > 0;
                            let counted = || text.tokenizer().count(literal) as u32 + text.around_tokens();
                            let tokens = if known { entry.input_tokens } else { counted() };
                            (Prompt::Literal(arena.add(escape_json(literal).as_bytes())), tokens)
                        }
                        None if entry.blocks_len > 0 => {
                            let blocks = Prompt::Blocks { start: entry.blocks_start, len: entry.blocks_len };
                            (blocks, entry.input_tokens)
                        }
                        None => (Prompt::Unique, entry.input_tokens),
                    };
                    Content {
                        prompt,
                        input_tokens,
                        max_tokens: output(entry.output_tokens),
                        session: entry.session,
                        recorded_ns: entry.arrival_ns,
                        delay_ns: entry.delay_ns,
                    }
                })
                .collect(),
        }
    }
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

/// Gives the pool's requests their places in one phase.
fn slots(spec: &PhaseSpec, pool: &[Content], first_request_id: u64) -> Result<PhasePlan> {
    let mut builder = PhaseBuilder { slots: Vec::new(), last_of_session: HashMap::new(), phase: spec.phase };
    let (mut lanes, mut repeat) = (0, false);
    let most = spec.requests_max.unwrap_or(u64::MAX) as usize;
    match &spec.load {
        Load::Recorded => {
            for content in pool.iter().take(most) {
                if spec.duration_ns.is_some_and(|d| content.recorded_ns.is_some_and(|t| t >= d)) {
                    continue;
                }
                let alone = content.recorded_ns.map(Release::At);
                builder.add(content, || alone)?;
            }
        }
        Load::Times(times) => {
            let mut times = times.iter();
            for content in pool.iter().cycle().take(most) {
                if times.len() == 0 && !builder.continues(content) {
                    break;
                }
                builder.add(content, || times.next().map(|t| Release::At(*t)))?;
                builder.forget_sessions_at_end_of(pool);
            }
        }
        Load::Lanes { lanes: n, requests } => {
            lanes = *n;
            repeat = requests.is_none();
            let wanted = requests.unwrap_or(pool.len() as u64) as usize;
            for content in pool.iter().cycle().take(wanted) {
                builder.add(content, || Some(Release::Lane))?;
                builder.forget_sessions_at_end_of(pool);
            }
        }
    }
    Ok(PhasePlan {
        phase: spec.phase,
        slots: builder.slots,
        first_request_id,
        lanes,
        repeat,
        in_flight_max: spec.in_flight_max,
        duration_ns: spec.duration_ns,
        grace_ns: spec.grace_ns,
        on_overload: spec.on_overload,
        cancel_after_ns: spec.cancellation.map_or(0, |c| c.after_ns),
    })
}

struct PhaseBuilder {
    slots: Vec<Slot>,
    last_of_session: HashMap<u32, u32>,
    phase: Phase,
}

impl PhaseBuilder {
    /// Whether a request is a later turn of a session that this phase already holds.
    fn continues(&self, content: &Content) -> bool {
        content.session.is_some_and(|s| self.last_of_session.contains_key(&s))
    }

    /// When the pool starts again, so do its sessions.
    fn forget_sessions_at_end_of(&mut self, pool: &[Content]) {
        if self.slots.len().is_multiple_of(pool.len()) {
            self.last_of_session.clear();
        }
    }

    fn add(&mut self, content: &Content, alone: impl FnOnce() -> Option<Release>) -> Result<()> {
        let index = self.slots.len() as u32;
        let previous = content.session.and_then(|s| self.last_of_session.insert(s, index));
        let (release, turn) = match previous {
            Some(previous) => {
                let turn = self.slots[previous as usize].turn + 1;
                self.slots[previous as usize].next_turn = Some(index);
                let release = Release::AfterPrevious {
                    think_ns: content.delay_ns.unwrap_or(0),
                    not_before_ns: content.recorded_ns.unwrap_or(0),
                };
                (release, turn)
            }
            None => match alone() {
                Some(release) => (release, 0),
                None => {
                    return Err(Error::Usage(format!(
                        "request {index} of the trace has no time: give --request-rate or --concurrency instead of \
                         --fixed-schedule"
                    )));
                }
            },
        };
        // A warm-up that sent the trace's own blocks would fill the prefix cache that is to be measured.
        let prompt = match (self.phase, content.prompt) {
            (Phase::Warmup, Prompt::Blocks { .. }) => Prompt::Unique,
            (_, prompt) => prompt,
        };
        self.slots.push(Slot {
            release,
            prompt,
            input_tokens: content.input_tokens,
            max_tokens: content.max_tokens,
            session: content.session,
            turn,
            next_turn: None,
            cancel: false,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{EndpointType, RequestOptions};
    use crate::prompt::count_builtin;
    use crate::rng::Seed;
    use crate::schedule::Overload;
    use crate::schedule::spec::LengthLaw;
    use crate::trace::Entry;

    fn spec(source: Source, phases: Vec<PhaseSpec>) -> PlanSpec {
        let request = RequestOptions {
            endpoint: EndpointType::Completions,
            model: "m".into(),
            streaming: true,
            extra: serde_json::Map::new(),
            force_output: false,
        };
        PlanSpec { seed: Seed(5), request, source, output: None, phases }
    }

    fn phase(phase: Phase, load: Load) -> PhaseSpec {
        PhaseSpec {
            phase,
            load,
            requests_max: None,
            in_flight_max: None,
            duration_ns: None,
            grace_ns: 0,
            on_overload: Overload::Queue,
            cancellation: None,
        }
    }

    fn entry(arrival_ms: Option<i64>, session: Option<u32>, delay_ms: Option<i64>) -> Entry {
        Entry {
            arrival_ns: arrival_ms.map(|t| t * 1_000_000),
            input_tokens: 20,
            output_tokens: Some(3),
            session,
            delay_ns: delay_ms.map(|t| t * 1_000_000),
            ..Entry::default()
        }
    }

    fn trace(entries: Vec<Entry>) -> Source {
        Source::Trace(Trace { entries, block_size: 8, sessions: vec!["a".into(), "b".into()], ..Trace::default() })
    }

    fn prompt_text(plan: &Plan, phase: usize, index: usize) -> String {
        let body = plan.body(&plan.phases[phase].slots[index], plan.phases[phase].first_request_id + index as u64);
        let body: serde_json::Value = serde_json::from_slice(&body.to_vec()).unwrap();
        body["prompt"].as_str().unwrap().to_string()
    }

    #[test]
    fn a_recorded_session_is_a_chain_and_the_clock_releases_the_rest() {
        let entries = vec![entry(Some(0), Some(0), None), entry(Some(5), None, None), entry(Some(9), Some(0), Some(2))];
        let plan = spec(trace(entries), vec![phase(Phase::Profiling, Load::Recorded)]).build().unwrap();
        let slots = &plan.phases[0].slots;
        assert_eq!(slots[0].release, Release::At(0));
        assert_eq!(slots[1].release, Release::At(5_000_000));
        let later = Release::AfterPrevious { think_ns: 2_000_000, not_before_ns: 9_000_000 };
        assert_eq!((slots[2].release, slots[2].turn, slots[0].next_turn), (later, 1, Some(2)));
    }

    #[test]
    fn rates_time_first_turns_and_the_pool_starts_again_when_it_runs_out() {
        let entries = vec![entry(None, Some(0), None), entry(None, Some(0), Some(1)), entry(None, None, None)];
        let times = vec![10, 20, 30, 40];
        let plan = spec(trace(entries), vec![phase(Phase::Profiling, Load::Times(times))]).build().unwrap();
        let slots = &plan.phases[0].slots;
        let timed: Vec<Release> = slots.iter().map(|s| s.release).filter(|r| matches!(r, Release::At(_))).collect();
        assert_eq!(timed, [10, 20, 30, 40].map(Release::At));
        assert_eq!(slots.iter().map(|s| s.turn).collect::<Vec<_>>(), [0, 1, 0, 0, 1, 0]);
    }

    #[test]
    fn a_trace_without_times_cannot_be_replayed_by_them() {
        let error = spec(trace(vec![entry(None, None, None)]), vec![phase(Phase::Profiling, Load::Recorded)])
            .build()
            .unwrap_err();
        assert!(error.to_string().contains("--request-rate"), "{error}");
    }

    #[test]
    fn lanes_bounded_by_time_alone_repeat_their_pool() {
        let source = Source::Synthetic { input: LengthLaw { mean_tokens: 7.0, stddev_tokens: 0.0 }, pool: 3 };
        let load = |requests| Load::Lanes { lanes: 2, requests };
        let phases = vec![phase(Phase::Warmup, load(Some(5))), phase(Phase::Profiling, load(None))];
        let plan = spec(source, phases).build().unwrap();
        assert_eq!((plan.phases[0].slots.len(), plan.phases[0].repeat), (5, false));
        assert_eq!((plan.phases[1].slots.len(), plan.phases[1].repeat, plan.phases[1].first_request_id), (3, true, 5));
        assert_eq!(plan.len(), 8);
    }

    #[test]
    fn equal_blocks_are_equal_text_and_tails_are_prefixes_of_their_block() {
        let with_blocks = |start, len, tokens| Entry {
            arrival_ns: Some(0),
            input_tokens: tokens,
            blocks_start: start,
            blocks_len: len,
            ..Entry::default()
        };
        let entries = vec![with_blocks(0, 2, 16), with_blocks(2, 2, 11), with_blocks(4, 1, 20)];
        let source = Source::Trace(Trace {
            entries,
            block_ids: vec![0, 1, 0, 1, 2],
            unique_blocks: 3,
            block_size: 8,
            ..Trace::default()
        });
        let load = Load::Lanes { lanes: 1, requests: Some(3) };
        let phases = vec![phase(Phase::Warmup, load), phase(Phase::Profiling, Load::Recorded)];
        let plan = spec(source, phases).build().unwrap();
        let (full, short, floor) = (prompt_text(&plan, 1, 0), prompt_text(&plan, 1, 1), prompt_text(&plan, 1, 2));
        assert_eq!([&full, &short, &floor].map(|t| count_builtin(t)), [16, 11, 20]);
        assert!(full.starts_with(&short));
        assert_eq!(
            plan.expected_cached_tokens(),
            Some(11),
            "the second prompt's two blocks, and its tail's eleventh token"
        );
        let warm = prompt_text(&plan, 0, 0);
        assert_eq!(count_builtin(&warm), 16);
        assert_ne!(warm.split(' ').nth(1), full.split(' ').nth(1), "the warm-up must not warm the prefix cache");
    }
}
