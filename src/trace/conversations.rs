//! Turns arrival times into a trace of conversations: single requests, or sessions whose later turns follow think times.
//!
//! In: the arrivals of first turns, a [`Conversations`]. Out: a [`Trace`] whose later turns hold what they add, as aiperf's sessions
//! do, and its [`Hits`]. Invariants: each dimension has its own seed, and what one of them draws changes no other: the same first turns
//! come with more turns, other lengths or other prefixes.
//! Not here: when first turns arrive, which is `arrival`.

use std::collections::HashSet;

use rand_distr::{Distribution, Exp1, Geometric};

use super::lengths::{Law, LengthStreams, Lengths};
use super::mixture::Shape;
use super::sharing::{Prefixes, Prompt, SharedBlocks, Sharing};
use super::{Entry, Trace};
use crate::rng::{Rng, Seed, Stream};
use crate::time::SECOND_NS;

/// The seed of each dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// Lengths of prompts and answers.
    pub lengths: Seed,
    /// Which prefixes are shared.
    pub prefixes: Seed,
    /// Turns and think times.
    pub sessions: Seed,
}

/// How many turns sessions have, and how long their users think.
#[derive(Clone, Debug, PartialEq)]
pub struct Turns {
    /// Mean number of turns, from 1.
    pub mean: f64,
    /// Mean time from an answer's end to the next turn, in seconds.
    pub think_s: f64,
    /// Whether numbers of turns are geometric and think times exponential; else all are the mean.
    pub random: bool,
    /// Law of what later turns add to the prompt; that of first turns where it is absent.
    pub input: Option<Law>,
}

/// What conversations are made of.
pub struct Conversations {
    /// Lengths of first turns, and of later ones where [`Turns::input`] says nothing else.
    pub lengths: Lengths,
    /// Sessions; null where every request stands alone.
    pub turns: Option<Turns>,
    /// Tokens in a block.
    pub block_size: u32,
    /// The tree of shared prefixes.
    pub prefixes: Prefixes,
    /// Share of prompt tokens that a prefix cache without bounds is to have seen before, 0 to 1; null shares no prefix.
    pub hit_rate: Option<f64>,
    /// The seeds.
    pub seeds: Seeds,
}

/// What a prefix cache without bounds finds: prompt tokens that stand at the beginning of an earlier prompt, over all prompt tokens,
/// by whole blocks of first turns; of later turns, the prompt of the turn before.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Hits {
    /// What was asked for.
    pub target: Option<f64>,
    /// Expected over the choice of prefixes, given the lengths.
    pub expected: f64,
    /// Of the trace as it was drawn.
    pub drawn: f64,
}

/// The hit rates that these lengths and sessions allow, where the target is not among them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutOfReach {
    /// The lowest: what sessions find of their own earlier turns.
    pub least: f64,
    /// The highest: all but the last block of every prompt is shared.
    pub most: f64,
}

/// One conversation before it has blocks.
struct Conversation {
    at_ns: i64,
    first: Shape,
    prompt: Prompt,
    /// What is added, and after which pause in nanoseconds.
    later: Vec<(Shape, i64)>,
}

impl Conversations {
    /// One conversation per arrival.
    ///
    /// # Errors
    /// Where the target for the hits is out of reach.
    pub fn generate(&self, arrivals_ns: &[i64]) -> Result<(Trace, Hits), OutOfReach> {
        let conversations = self.draw(arrivals_ns);
        let (prompt_tokens, repeated_tokens) = conversations.iter().fold((0.0, 0.0), |(all, repeated), c| {
            let (prompts, last) = c.prompt_tokens();
            // Each turn's prompt is found again by the next turn.
            (all + prompts, repeated + prompts - last)
        });
        let prompts: Vec<Prompt> = conversations.iter().map(|c| c.prompt).collect();
        let block = f64::from(self.block_size);
        let rate = |hit_blocks: f64| (hit_blocks * block + repeated_tokens) / prompt_tokens;
        let target_blocks = self.hit_rate.map_or(0.0, |target| (target * prompt_tokens - repeated_tokens) / block);
        let sharing = Sharing::solve(self.prefixes, &prompts, target_blocks)
            .map_err(|(least, most)| OutOfReach { least: rate(least), most: rate(most) })?;
        let trace = self.trace(&conversations, &sharing);
        let hits = Hits {
            target: self.hit_rate,
            expected: rate(sharing.expected_hits(&prompts)),
            drawn: rate(seen_blocks(&trace) as f64),
        };
        Ok((trace, hits))
    }

    fn draw(&self, arrivals_ns: &[i64]) -> Vec<Conversation> {
        let mut lengths = LengthStreams::new(self.seeds.lengths);
        let mut prefixes = self.seeds.prefixes.stream(Stream::Prefix);
        let mut conversations: Vec<Conversation> = arrivals_ns
            .iter()
            .map(|&at_ns| {
                let first = self.lengths.draw(at_ns as f64 / SECOND_NS as f64, None, &mut lengths);
                let prompt = Prompt::draw(first.input_tokens.div_ceil(self.block_size), &mut prefixes);
                Conversation { at_ns, first, prompt, later: Vec::new() }
            })
            .collect();
        // Later turns draw their lengths when all first turns have theirs, which they so do not change.
        if let Some(turns) = &self.turns {
            let mut sessions = self.seeds.sessions.stream(Stream::Session);
            for conversation in &mut conversations {
                let at_s = conversation.at_ns as f64 / SECOND_NS as f64;
                let count = turns.count(&mut sessions);
                conversation.later.extend((1..count).map(|_| {
                    (self.lengths.draw(at_s, turns.input.as_ref(), &mut lengths), turns.think_ns(&mut sessions))
                }));
            }
        }
        conversations
    }

    fn trace(&self, conversations: &[Conversation], sharing: &Sharing) -> Trace {
        let mut trace = Trace { block_size: self.block_size, ..Trace::default() };
        let mut known = SharedBlocks::default();
        for conversation in conversations {
            let session = (!conversation.later.is_empty()).then(|| {
                trace.sessions.push(format!("session-{}", trace.sessions.len()));
                trace.sessions.len() as u32 - 1
            });
            let blocks_start = trace.block_ids.len() as u32;
            sharing.blocks(&conversation.prompt, &mut known, &mut trace.unique_blocks, &mut trace.block_ids);
            let blocks_end = trace.block_ids.len() as u32;
            let entry = |shape: Shape, line| Entry {
                input_tokens: shape.input_tokens,
                output_tokens: Some(shape.output_tokens),
                session,
                line,
                ..Entry::default()
            };
            trace.entries.push(Entry {
                arrival_ns: Some(conversation.at_ns),
                blocks_start,
                blocks_len: blocks_end - blocks_start,
                ..entry(conversation.first, trace.entries.len() as u64 + 1)
            });
            for &(shape, delay_ns) in &conversation.later {
                let line = trace.entries.len() as u64 + 1;
                let added = Entry { delay_ns: Some(delay_ns), blocks_start: blocks_end, ..entry(shape, line) };
                trace.entries.push(added);
            }
        }
        trace
    }
}

impl Conversation {
    /// Tokens of all its prompts, and of the last one. A prompt holds all that was asked and answered before.
    fn prompt_tokens(&self) -> (f64, f64) {
        let mut prompt = f64::from(self.first.input_tokens);
        let (mut all, mut answer) = (prompt, self.first.output_tokens);
        for (added, _) in &self.later {
            prompt += f64::from(answer) + f64::from(added.input_tokens);
            all += prompt;
            answer = added.output_tokens;
        }
        (all, prompt)
    }
}

impl Turns {
    fn count(&self, rng: &mut Rng) -> u64 {
        if !self.random {
            return self.mean.round() as u64;
        }
        // A session has another turn with a probability of 1 - 1 / mean.
        Geometric::new(1.0 / self.mean).map_or(1, |law| 1 + law.sample(rng))
    }

    fn think_ns(&self, rng: &mut Rng) -> i64 {
        let times_mean: f64 = if self.random { Exp1.sample(rng) } else { 1.0 };
        (self.think_s * times_mean * SECOND_NS as f64).round() as i64
    }
}

/// Blocks of a trace that stand at the beginning of a prompt and of an earlier one.
fn seen_blocks(trace: &Trace) -> usize {
    let mut seen: HashSet<u32> = HashSet::new();
    let of_entry = |entry: &Entry| {
        let blocks = trace.blocks(entry);
        let hits = blocks.iter().take_while(|b| seen.contains(*b)).count();
        seen.extend(&blocks[hits..]);
        hits
    };
    trace.entries.iter().map(of_entry).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::lengths::Form;
    use crate::trace::{ReadOptions, TimeUnit, parse, writer};

    fn law(mean_tokens: f64, stddev_tokens: f64) -> Law {
        Law { mean_tokens, stddev_tokens, form: Form::LogNormal }
    }

    fn conversations(hit_rate: Option<f64>) -> Conversations {
        let seeds = Seeds { lengths: Seed(1), prefixes: Seed(2), sessions: Seed(3) };
        Conversations {
            lengths: Lengths::Laws { input: law(2000.0, 1500.0), output: law(200.0, 80.0) },
            turns: None,
            block_size: 64,
            prefixes: Prefixes { depth: 2, branching: 5 },
            hit_rate,
            seeds,
        }
    }

    fn sessions(mean: f64) -> Option<Turns> {
        Some(Turns { mean, think_s: 8.0, random: true, input: Some(law(150.0, 50.0)) })
    }

    fn arrivals(count: i64) -> Vec<i64> {
        (0..count).map(|i| i * 100_000_000).collect()
    }

    /// Token hits by the plain definition: every prompt as the list of its tokens' names.
    fn hit_rate_by_tokens(trace: &Trace) -> f64 {
        let (mut seen, mut hits, mut all) = (HashSet::new(), 0_usize, 0_usize);
        let mut context: Vec<(u64, u32)> = Vec::new();
        for (e, own) in trace.entries.iter().zip(1_u64..) {
            if e.arrival_ns.is_some() {
                context.clear();
            }
            let blocks = trace.blocks(e);
            context.extend((0..e.input_tokens).map(|token| match blocks.get((token / trace.block_size) as usize) {
                Some(&id) => (u64::from(id) << 32, token % trace.block_size),
                None => (own, token),
            }));
            let mut prefix = 0_u64;
            let chained: Vec<u64> = context
                .iter()
                .map(|&(a, b)| {
                    prefix = crate::rng::mix(prefix ^ crate::rng::mix(a + u64::from(b)));
                    prefix
                })
                .collect();
            hits += chained.iter().take_while(|t| seen.contains(*t)).count();
            all += chained.len();
            seen.extend(chained);
            // The answer is new to the cache when it stands in a prompt for the first time.
            context.extend((0..e.output_tokens.unwrap()).map(|token| (own | 1 << 63, token)));
        }
        hits as f64 / all as f64
    }

    #[test]
    fn hit_rates_reach_their_target() {
        for (target, depth, branching, turns, count) in [
            (0.1, 1, 1, None, 3000),
            (0.37, 2, 5, None, 3000),
            (0.6, 3, 4, None, 4000),
            (0.9, 1, 1, None, 3000),
            (0.5, 1, 100, None, 6000),
            (0.75, 2, 3, sessions(3.0), 1500),
        ] {
            let prefixes = Prefixes { depth, branching };
            let all = Conversations { prefixes, turns, ..conversations(Some(target)) };
            let (trace, hits) = all.generate(&arrivals(count)).unwrap();
            trace.check().unwrap();
            assert!((hits.expected - target).abs() < 2e-4, "{hits:?}");
            assert!((hits.drawn - target).abs() < 0.01, "{hits:?}, {depth} levels of {branching}");
        }
    }

    #[test]
    fn drawn_hits_are_those_of_the_tokens() {
        for (turns, count) in [(None, 300), (sessions(3.0), 120)] {
            let all = Conversations { turns, ..conversations(Some(0.7)) };
            let (trace, hits) = all.generate(&arrivals(count)).unwrap();
            assert!((hits.drawn - hit_rate_by_tokens(&trace)).abs() < 1e-12, "{hits:?}");
        }
    }

    #[test]
    fn a_target_out_of_reach_says_what_is_in_reach() {
        let single = Lengths::Pairs(vec![Shape { input_tokens: 60, output_tokens: 5 }]);
        let all = Conversations { lengths: single, ..conversations(Some(0.3)) };
        assert_eq!(all.generate(&arrivals(50)).unwrap_err(), OutOfReach { least: 0.0, most: 0.0 });
        let all = Conversations { turns: sessions(5.0), ..conversations(Some(0.3)) };
        let OutOfReach { least, most } = all.generate(&arrivals(500)).unwrap_err();
        assert!(least > 0.6 && most > 0.9 && most < 1.0, "{least} to {most}");
    }

    #[test]
    fn sessions_have_their_turns_and_think_times() {
        let all = Conversations { turns: sessions(4.0), ..conversations(None) };
        let (trace, _) = all.generate(&arrivals(4000)).unwrap();
        // A geometric number has a deviation of sqrt(12) here: a standard error of 0.055; of the think time, 0.07 s.
        let turns = trace.entries.len() as f64 / 4000.0;
        let delays: Vec<f64> = trace.entries.iter().filter_map(|e| e.delay_ns).map(|d| d as f64 / 1e9).collect();
        let think_s = delays.iter().sum::<f64>() / delays.len() as f64;
        assert!((turns - 4.0).abs() < 0.17 && (think_s - 8.0).abs() < 0.3, "{turns} turns, {think_s} s");
        let alike = Turns { random: false, ..sessions(3.0).unwrap() };
        let (trace, _) = Conversations { turns: Some(alike), ..conversations(None) }.generate(&arrivals(20)).unwrap();
        assert_eq!(
            (trace.entries.len(), trace.sessions.len(), trace.unique_blocks),
            (60, 20, trace.block_ids.len() as u32)
        );
        assert!(trace.entries.iter().filter_map(|e| e.delay_ns).all(|d| d == 8 * SECOND_NS));
    }

    #[test]
    fn a_dimension_draws_without_changing_the_others() {
        type Told = (Vec<(i64, u32, Option<u32>)>, Vec<u32>);
        let first_turns = |all: &Conversations| -> Told {
            let (trace, _) = all.generate(&arrivals(200)).unwrap();
            let firsts = trace.entries.iter().filter_map(|e| Some((e.arrival_ns?, e.input_tokens, e.output_tokens)));
            (firsts.collect(), trace.block_ids)
        };
        let plain = conversations(Some(0.4));
        let told = first_turns(&plain);
        let seeds = |change: fn(&mut Seeds)| {
            let mut seeds = plain.seeds;
            change(&mut seeds);
            first_turns(&Conversations { seeds, ..conversations(Some(0.4)) })
        };
        let prefixes = seeds(|s| s.prefixes = Seed(9));
        assert!(prefixes.0 == told.0 && prefixes.1 != told.1);
        assert_ne!(seeds(|s| s.lengths = Seed(9)).0, told.0);
        assert_eq!(seeds(|s| s.sessions = Seed(9)), told);
        let turned = Conversations { turns: sessions(2.0), hit_rate: None, ..conversations(None) };
        assert_eq!(first_turns(&turned).0, told.0);
    }

    #[test]
    fn what_is_generated_is_written_and_reads_back() {
        let all = Conversations { turns: sessions(2.0), ..conversations(Some(0.6)) };
        let (trace, _) = all.generate(&arrivals(100)).unwrap();
        let mut bytes = Vec::new();
        writer::write(&trace, writer::TimeForm::DecimalMs, &mut bytes).unwrap();
        let options = ReadOptions { time_unit: TimeUnit::Ms, ..ReadOptions::default() };
        let again = parse(&mut &bytes[..], "t", &options).unwrap();
        again.check().unwrap();
        assert_eq!((again.block_ids, again.block_size, again.sessions), (trace.block_ids, 64, trace.sessions));
        assert_eq!(again.entries.len(), trace.entries.len());
    }
}
