//! Turns arrival times into a trace with the published shape of Mooncake's production trace.
//!
//! In: arrival times, a scale, a seed. Out: a [`Trace`] of three populations: chats that grow turn by turn, and two kinds of
//! tool calls behind long shared prompts. Invariants: every id has exactly one parent; a later turn repeats the full blocks of
//! the turn before it. The numbers are fitted to the published statistics (FAST'25 trace: ISL median 6,909, mean 12,035; OSL
//! median 350; 37 % of prompt tokens seen before); no row of it is used.
//! Not here: when requests arrive, which is `arrival`.

use std::collections::BinaryHeap;

use rand::RngExt;
use rand_distr::{Distribution, Exp, Exp1, LogNormal};

use super::{Entry, Trace};
use crate::rng::{Rng, Seed, Stream};
use crate::time::SECOND_NS;

/// Tokens in a block, as in Mooncake's traces.
pub const BLOCK_SIZE: u32 = 512;

/// Shares of the three populations (first 1,000 rows of the arXiv trace).
const CHAT_SHARE: f64 = 0.486;
const TOOL_A_SHARE: f64 = 0.361;

/// How likely a chat turn is followed by another, and how long the user and the answer take.
const FOLLOW_UP: f64 = 0.4;
const THINK_MEAN_S: f64 = 10.0;
const ANSWER_S_PER_TOKEN: f64 = 0.02;
/// Bounds of a chat's prompt and answer, in tokens.
const CHAT_INPUT: (f64, f64) = (890.0, 126_000.0);
const CHAT_OUTPUT_MAX: f64 = 2000.0;

/// A kind of tool call: a shared prompt, then the call's own text.
struct Tool {
    shared_blocks: f64,
    own_median: f64,
    own_sigma: f64,
    mean_output: f64,
}

const TOOL_A: Tool = Tool { shared_blocks: 12.0, own_median: 450.0, own_sigma: 0.8, mean_output: 14.0 };
const TOOL_B: Tool = Tool { shared_blocks: 5.0, own_median: 620.0, own_sigma: 0.7, mean_output: 20.0 };

/// A chat whose next turn will come.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due_ns: std::cmp::Reverse<i64>,
    /// Tokens of the last turn's prompt and answer.
    tokens: u32,
    full_blocks: Vec<u32>,
}

struct Generator {
    scale: f64,
    trace: Trace,
    waiting: BinaryHeap<Waiting>,
    /// The shared first blocks of chats and of both tools, once they have been used.
    shared: [Vec<u32>; 3],
    mix: Rng,
    inputs: Rng,
    outputs: Rng,
    prefixes: Rng,
}

/// One request per arrival. `input_scale` shrinks (or stretches) every prompt and its shared part; 1 is the published size.
pub fn generate(arrivals_ns: &[i64], input_scale: f64, seed: Seed) -> Trace {
    let mut generator = Generator {
        scale: input_scale,
        trace: Trace { block_size: BLOCK_SIZE, ..Default::default() },
        waiting: BinaryHeap::new(),
        shared: Default::default(),
        mix: seed.stream(Stream::Mix),
        inputs: seed.stream(Stream::InputLength),
        outputs: seed.stream(Stream::OutputLength),
        prefixes: seed.stream(Stream::Prefix),
    };
    for &at_ns in arrivals_ns {
        let kind = generator.mix.random::<f64>();
        if kind < CHAT_SHARE {
            generator.chat(at_ns);
        } else if kind < CHAT_SHARE + TOOL_A_SHARE {
            generator.tool(at_ns, &TOOL_A, 1);
        } else {
            generator.tool(at_ns, &TOOL_B, 2);
        }
    }
    generator.trace
}

impl Generator {
    /// A chat's arrival is the follow-up that has waited longest, if one is due, and a new chat otherwise.
    fn chat(&mut self, at_ns: i64) {
        let due = self.waiting.peek().is_some_and(|w| w.due_ns.0 <= at_ns);
        let (input_tokens, history) = match if due { self.waiting.pop() } else { None } {
            Some(last) => {
                let question = self.input(300.0, 1.0, (8.0, CHAT_INPUT.1));
                (last.tokens + question, last.full_blocks)
            }
            None => (self.input(6000.0, 1.15, CHAT_INPUT), self.shared_prefix(0, 1.0)),
        };
        let output_tokens = self.chat_output();
        let blocks = self.push(at_ns, input_tokens, output_tokens, &history);
        let next_tokens = input_tokens + output_tokens;
        if self.prefixes.random_bool(FOLLOW_UP) && f64::from(next_tokens) < CHAT_INPUT.1 * self.scale {
            let think: f64 = Exp1.sample(&mut self.prefixes);
            let pause_s = ANSWER_S_PER_TOKEN * f64::from(output_tokens) + THINK_MEAN_S * think;
            // The first block is every chat's own, even where a small scale leaves it partly filled.
            let full = ((input_tokens / BLOCK_SIZE) as usize).clamp(1, blocks.len());
            self.waiting.push(Waiting {
                due_ns: std::cmp::Reverse(at_ns + (pause_s * SECOND_NS as f64) as i64),
                tokens: next_tokens,
                full_blocks: blocks[..full].to_vec(),
            });
        }
    }

    fn tool(&mut self, at_ns: i64, tool: &Tool, which: usize) {
        let shared = self.shared_prefix(which, tool.shared_blocks);
        let own = self.input(tool.own_median, tool.own_sigma, (1.0, 20_000.0));
        let output_tokens = self.tool_output(tool.mean_output);
        self.push(at_ns, shared.len() as u32 * BLOCK_SIZE + own, output_tokens, &shared);
    }

    /// Adds a request that begins with `prefix` and goes on with blocks of its own; returns all its blocks.
    fn push(&mut self, at_ns: i64, input_tokens: u32, output_tokens: u32, prefix: &[u32]) -> Vec<u32> {
        let blocks_len = input_tokens.div_ceil(BLOCK_SIZE);
        let mut blocks: Vec<u32> = prefix.iter().copied().take(blocks_len as usize).collect();
        while blocks.len() < blocks_len as usize {
            blocks.push(self.new_block());
        }
        self.trace.entries.push(Entry {
            arrival_ns: Some(at_ns),
            input_tokens,
            output_tokens: Some(output_tokens),
            blocks_start: self.trace.block_ids.len() as u32,
            blocks_len,
            line: self.trace.entries.len() as u64 + 1,
            ..Default::default()
        });
        self.trace.block_ids.extend_from_slice(&blocks);
        blocks
    }

    fn new_block(&mut self) -> u32 {
        let id = self.trace.unique_blocks;
        self.trace.unique_blocks += 1;
        id
    }

    /// The blocks that all requests of a population begin with; at least one, at any scale.
    fn shared_prefix(&mut self, which: usize, blocks: f64) -> Vec<u32> {
        if self.shared[which].is_empty() {
            let count = (blocks * self.scale).round().max(1.0) as usize;
            self.shared[which] = (0..count).map(|_| self.new_block()).collect();
        }
        self.shared[which].clone()
    }

    /// A log-normal length at the trace's scale, in tokens.
    fn input(&mut self, median: f64, sigma: f64, (least, most): (f64, f64)) -> u32 {
        let length = log_normal(median, sigma, &mut self.inputs).clamp(least, most);
        (length * self.scale).round().max(1.0) as u32
    }

    /// Some answers are a few words, most are near 350 tokens.
    fn chat_output(&mut self) -> u32 {
        let rng = &mut self.outputs;
        if rng.random_bool(0.15) {
            rng.random_range(1..60)
        } else {
            log_normal(390.0, 0.42, rng).min(CHAT_OUTPUT_MAX) as u32
        }
    }

    /// Two in five calls answer with three tokens, the rest with an exponential length.
    fn tool_output(&mut self, mean: f64) -> u32 {
        let rng = &mut self.outputs;
        if rng.random_bool(0.4) {
            return 3;
        }
        let beyond = Exp::new(0.6 / (mean - 3.0)).expect("the means are above 3");
        3 + beyond.sample(rng).min(500.0).round() as u32
    }
}

fn log_normal(median: f64, sigma: f64, rng: &mut Rng) -> f64 {
    LogNormal::new(median.ln(), sigma).expect("the sigmas are positive").sample(rng)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn trace(scale: f64) -> Trace {
        let arrivals: Vec<i64> = (0..12_000).map(|i| i * 180_000_000).collect();
        generate(&arrivals, scale, Seed(9))
    }

    fn median(mut values: Vec<u32>) -> u32 {
        values.sort_unstable();
        values[values.len() / 2]
    }

    #[test]
    fn the_populations_have_their_published_shape() {
        let trace = trace(1.0);
        trace.check().unwrap();
        let mut by_first: HashMap<u32, Vec<&Entry>> = HashMap::new();
        for e in &trace.entries {
            by_first.entry(trace.blocks(e)[0]).or_default().push(e);
        }
        assert_eq!(by_first.len(), 3, "three first blocks");
        let mut kinds: Vec<_> = by_first.into_values().collect();
        kinds.sort_by_key(|k| std::cmp::Reverse(k.len()));
        let input = |k: &[&Entry]| median(k.iter().map(|e| e.input_tokens).collect());
        let mean_output =
            |k: &[&Entry]| k.iter().map(|e| f64::from(e.output_tokens.unwrap())).sum::<f64>() / k.len() as f64;
        for (kind, share, least, most, output) in [
            (&kinds[0], 0.486, 6000, 8000, 350.0),
            (&kinds[1], 0.361, 6400, 6900, 14.0),
            (&kinds[2], 0.153, 3000, 3500, 20.0),
        ] {
            let found = kind.len() as f64 / 12_000.0;
            assert!((found - share).abs() < 0.015, "seed 9: share {found}");
            assert!((least..most).contains(&input(kind)), "seed 9: median input {}", input(kind));
            assert!((mean_output(kind) / output - 1.0).abs() < 0.1, "seed 9: mean output {}", mean_output(kind));
        }
        let chat_mean = kinds[0].iter().map(|e| f64::from(e.input_tokens)).sum::<f64>() / kinds[0].len() as f64;
        assert!((10_000.0..14_000.0).contains(&chat_mean), "seed 9: the tail makes the mean {chat_mean}");
    }

    #[test]
    fn chats_grow_and_reuse_what_was_said() {
        let trace = trace(1.0);
        let (mut seen, mut parents) = (HashSet::new(), HashMap::new());
        let (mut hit, mut all) = (0_u64, 0_u64);
        for e in trace.entries.iter().filter(|e| trace.blocks(e)[0] == trace.blocks(&trace.entries[0])[0]) {
            let mut parent = None;
            for (&id, i) in trace.blocks(e).iter().zip(0..) {
                assert_eq!(*parents.entry(id).or_insert(parent), parent, "every id has one parent");
                parent = Some(id);
                let tokens = u64::from((e.input_tokens - i * BLOCK_SIZE).min(BLOCK_SIZE));
                all += tokens;
                hit += if seen.insert(id) { 0 } else { tokens };
            }
        }
        let ratio = hit as f64 / all as f64;
        assert!((0.3..0.5).contains(&ratio), "seed 9: {ratio} of chat tokens were seen before");
    }

    #[test]
    fn a_scale_shrinks_prompts_and_keeps_sharing() {
        let small = trace(0.1);
        small.check().unwrap();
        let mean = |t: &Trace| t.entries.iter().map(|e| f64::from(e.input_tokens)).sum::<f64>() / 12_000.0;
        let ratio = mean(&small) / mean(&trace(1.0));
        assert!((0.09..0.16).contains(&ratio), "shared parts are whole blocks: {ratio}");
    }
}
