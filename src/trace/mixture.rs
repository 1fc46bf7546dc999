//! Turns arrival times into a trace of two request shapes whose shares swing with time.
//!
//! In: arrival times, a [`Mixture`], a seed. Out: a [`Trace`]. Invariants: the choice of shape and the choice of prefixes have
//! their own random streams; block ids are chained, so that equal ids mean equal prefixes.
//! Not here: when requests arrive, which is `arrival`.

use std::f64::consts::TAU;

use rand::RngExt;

use super::intern::PrefixTree;
use super::{Entry, Trace};
use crate::rng::{Seed, Stream};
use crate::time::SECOND_NS;

/// The lengths of one kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens of prompt.
    pub input_tokens: u32,
    /// Tokens of answer.
    pub output_tokens: u32,
}

/// Two shapes, and the share of the first: `(min + max) / 2 - (max - min) / 2 cos(2 pi t / period)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// The shape that the share speaks of.
    pub first: Shape,
    /// The other.
    pub second: Shape,
    /// Lowest share of the first shape, 0 to 1; it is reached at time 0.
    pub share_min: f64,
    /// Highest share of the first shape, 0 to 1.
    pub share_max: f64,
    /// Length of one swing, in seconds.
    pub period_s: f64,
    /// Tokens in a block.
    pub block_size: u32,
    /// How many different blocks prompts are made of: the fewer, the more prompts begin alike by chance.
    pub total_blocks: u64,
}

impl Mixture {
    /// The probability of the first shape at `t_s`.
    pub fn first_share(&self, t_s: f64) -> f64 {
        self.share_min.midpoint(self.share_max)
            - (self.share_max - self.share_min) / 2.0 * (TAU * t_s / self.period_s).cos()
    }

    /// One request per arrival.
    pub fn generate(&self, arrivals_ns: &[i64], seed: Seed) -> Trace {
        let (mut shapes, mut prefixes) = (seed.stream(Stream::Mix), seed.stream(Stream::Prefix));
        let mut tree = PrefixTree::default();
        let mut trace = Trace { block_size: self.block_size, ..Default::default() };
        for (&at_ns, line) in arrivals_ns.iter().zip(1..) {
            let share = self.first_share(at_ns as f64 / SECOND_NS as f64);
            let shape = if shapes.random::<f64>() < share { self.first } else { self.second };
            let blocks_start = trace.block_ids.len() as u32;
            let blocks_len = shape.input_tokens.div_ceil(self.block_size);
            let mut parent = None;
            for _ in 0..blocks_len {
                let id = tree.child(parent, prefixes.random_range(0..self.total_blocks));
                trace.block_ids.push(id);
                parent = Some(id);
            }
            trace.entries.push(Entry {
                arrival_ns: Some(at_ns),
                input_tokens: shape.input_tokens,
                output_tokens: Some(shape.output_tokens),
                blocks_start,
                blocks_len,
                line,
                ..Default::default()
            });
        }
        trace.unique_blocks = tree.len();
        trace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixture() -> Mixture {
        Mixture {
            first: Shape { input_tokens: 100, output_tokens: 2000 },
            second: Shape { input_tokens: 5000, output_tokens: 100 },
            share_min: 0.2,
            share_max: 0.8,
            period_s: 10.0,
            block_size: 512,
            total_blocks: 10_000,
        }
    }

    #[test]
    fn shares_follow_their_curve() {
        // 20,000 arrivals at one instant of the swing: the share's standard error is below 0.0036.
        for (t_s, share) in [(0.0, 0.2), (2.5, 0.5), (5.0, 0.8)] {
            let trace = mixture().generate(&[(t_s * 1e9) as i64; 20_000], Seed(1));
            let first = trace.entries.iter().filter(|e| e.input_tokens == 100).count() as f64 / 20_000.0;
            assert!((first - share).abs() < 0.011, "seed 1, {t_s} s: {first}");
        }
    }

    #[test]
    fn traces_are_sound_and_ids_are_chained() {
        let trace = Mixture { total_blocks: 3, ..mixture() }.generate(&[0; 500], Seed(2));
        trace.check().unwrap();
        let mut parents = std::collections::HashMap::new();
        for entry in &trace.entries {
            assert_eq!(entry.blocks_len, entry.input_tokens.div_ceil(512));
            let mut parent = None;
            for &id in trace.blocks(entry) {
                assert_eq!(*parents.entry(id).or_insert(parent), parent, "an id has one parent");
                parent = Some(id);
            }
        }
        assert!(trace.unique_blocks < trace.block_ids.len() as u32, "three blocks must be shared");
    }

    #[test]
    fn other_arrivals_do_not_change_the_prefixes() {
        let one_shape = Mixture { second: mixture().first, ..mixture() };
        let ids = |step| one_shape.generate(&[0, step, 2 * step], Seed(3)).block_ids;
        assert_eq!(ids(1), ids(1_000_000_000));
    }
}
