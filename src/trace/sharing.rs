//! Turns a target for the prefix cache into how many blocks of each prompt are shared with whom.
//!
//! In: prompt lengths in blocks, a tree of prefixes, a target for the expected hits. Out: `Sharing`, the shared depth that meets it,
//! and each prompt's own part of the tree. The tree has `depth` levels, each node `branching` children; the shared depth is split evenly
//! among the levels, and a prompt follows one path of the tree, all paths with equal probability.
//! Invariants: the last block of a prompt is its own, so no prompt is repeated whole; the choice of paths is on its own stream.
//! Not here: what later turns of a session find of the turns before them.

use std::collections::HashMap;

use rand::RngExt;

use crate::rng::Rng;

/// The tree that prompts take their beginnings from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// Levels, from 1.
    pub depth: u32,
    /// Children of every node, and first blocks, from 1.
    pub branching: u32,
}

/// The most leaves of a tree.
pub const MAX_LEAVES: f64 = 1e9;

impl Prefixes {
    /// How many different paths there are.
    pub fn leaves(&self) -> f64 {
        f64::from(self.branching).powi(self.depth as i32)
    }
}

/// A prompt that may share its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prompt {
    /// Blocks in all; the last is its own.
    pub(super) blocks: u32,
    /// Which path, as a number from 0 to 1: equal first digits (in base `branching`) are equal nodes.
    path: f64,
    /// Decides whether a shared depth between two whole numbers is rounded up.
    rounding: f64,
}

impl Prompt {
    pub(super) fn draw(blocks: u32, rng: &mut Rng) -> Prompt {
        Prompt { blocks, path: rng.random(), rounding: rng.random() }
    }
}

/// How deep prompts are shared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharing {
    tree: Prefixes,
    /// Blocks of a path that is followed to its end; between two whole numbers, some prompts have one more than others.
    depth_blocks: f64,
}

impl Sharing {
    /// The sharing whose [`Sharing::expected_hits`] are nearest to `hit_blocks`.
    ///
    /// # Errors
    /// The fewest and the most hits that these prompts can have, where the target is not between them.
    pub(super) fn solve(tree: Prefixes, prompts: &[Prompt], hit_blocks: f64) -> Result<Sharing, (f64, f64)> {
        let at = |depth_blocks| Sharing { tree, depth_blocks };
        let longest = prompts.iter().map(|p| p.blocks - 1).max().unwrap_or(0);
        let (mut low, mut high) = (0.0, f64::from(longest));
        let (least, most) = (at(low).expected_hits(prompts), at(high).expected_hits(prompts));
        // Rounding of the target itself must not make the extremes unreachable.
        let slack = 1e-9 * (1.0 + most);
        if hit_blocks < least - slack || hit_blocks > most + slack {
            return Err((least, most));
        }
        if hit_blocks <= least {
            return Ok(at(low));
        }
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            let hits = at(middle).expected_hits(prompts);
            if (hits - hit_blocks).abs() <= 1e-4 * (hit_blocks + 1.0) {
                return Ok(at(middle));
            }
            if hits < hit_blocks { low = middle } else { high = middle }
        }
        Ok(at(high))
    }

    /// Blocks that a cache without bounds has seen at the beginning of an earlier prompt, expected over the choice of paths. Block j of
    /// a prompt is missed when none of the `c` earlier prompts that share so far chose the same one of the `n` nodes there:
    /// `(1 - 1/n)^c`, kept as a running product.
    pub(super) fn expected_hits(&self, prompts: &[Prompt]) -> f64 {
        let mut missed: Vec<f64> = Vec::new();
        let others: Vec<f64> =
            (1..=self.tree.depth).map(|level| 1.0 - f64::from(self.tree.branching).powi(-(level as i32))).collect();
        let mut hits = 0.0;
        for prompt in prompts {
            let shared = self.shared_blocks(prompt);
            if missed.len() < shared as usize {
                missed.resize(shared as usize, 1.0);
            }
            for (missed, block) in missed[..shared as usize].iter_mut().zip(0..) {
                hits += 1.0 - *missed;
                *missed *= others[self.level(block) as usize];
            }
        }
        hits
    }

    /// How many of the prompt's first blocks are the tree's.
    fn shared_blocks(&self, prompt: &Prompt) -> u32 {
        ((self.depth_blocks + prompt.rounding) as u32).min(prompt.blocks - 1)
    }

    /// The level, from 0, that a block belongs to.
    fn level(&self, block: u32) -> u32 {
        let level = f64::from(block) * f64::from(self.tree.depth) / self.depth_blocks;
        (level as u32).min(self.tree.depth - 1)
    }

    /// Appends the prompt's blocks: those of its path by the numbers that they have, the rest numbered anew.
    pub(super) fn blocks(&self, prompt: &Prompt, known: &mut SharedBlocks, next: &mut u32, out: &mut Vec<u32>) {
        let mut new = || {
            *next += 1;
            *next - 1
        };
        let shared = self.shared_blocks(prompt);
        for block in 0..shared {
            let nodes = f64::from(self.tree.branching).powi(self.level(block) as i32 + 1);
            out.push(*known.0.entry(((prompt.path * nodes) as u32, block)).or_insert_with(&mut new));
        }
        out.extend((shared..prompt.blocks).map(|_| new()));
    }
}

/// The numbers of the tree's blocks that were used, by node (among those of its level) and place in the prompt.
#[derive(Default)]
pub(super) struct SharedBlocks(HashMap<(u32, u32), u32>);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::rng::{Seed, Stream};

    fn prompts(seed: u64, count: u32) -> Vec<Prompt> {
        let mut rng = Seed(seed).stream(Stream::Prefix);
        (0..count).map(|i| Prompt::draw(2 + i % 17, &mut rng)).collect()
    }

    fn drawn_hits(sharing: &Sharing, prompts: &[Prompt]) -> f64 {
        let (mut known, mut next, mut seen, mut hits) = (SharedBlocks::default(), 0, HashSet::new(), 0);
        for prompt in prompts {
            let mut blocks = Vec::new();
            sharing.blocks(prompt, &mut known, &mut next, &mut blocks);
            assert_eq!(blocks.len(), prompt.blocks as usize);
            hits += blocks.iter().take_while(|b| seen.contains(*b)).count();
            assert!(seen.insert(*blocks.last().unwrap()), "the last block is a prompt's own");
            seen.extend(blocks);
        }
        hits as f64
    }

    #[test]
    fn expected_hits_are_the_mean_over_many_drawn_paths() {
        for (depth, branching) in [(1, 1), (1, 40), (3, 4)] {
            let sharing = Sharing { tree: Prefixes { depth, branching }, depth_blocks: 6.4 };
            let (mut expected, mut drawn, mut squares) = (0.0, 0.0, 0.0);
            for seed in 0..300 {
                let prompts = prompts(seed, 100);
                let difference = drawn_hits(&sharing, &prompts) - sharing.expected_hits(&prompts);
                expected += sharing.expected_hits(&prompts);
                drawn += difference;
                squares += difference * difference;
            }
            let error = (squares / 300.0).sqrt() * 300.0_f64.sqrt();
            assert!(drawn.abs() <= 3.0 * error + 1e-6, "{depth} {branching}: {drawn} ± {error} of {expected}");
        }
    }

    #[test]
    fn deeper_levels_have_more_nodes_and_prefixes_are_chained() {
        let sharing = Sharing { tree: Prefixes { depth: 3, branching: 4 }, depth_blocks: 9.0 };
        let (mut known, mut next) = (SharedBlocks::default(), 0);
        let mut rng = Seed(2).stream(Stream::Prefix);
        let mut at_place = vec![HashSet::new(); 9];
        let mut parents = HashMap::new();
        for _ in 0..2000 {
            let mut blocks = Vec::new();
            sharing.blocks(&Prompt::draw(12, &mut rng), &mut known, &mut next, &mut blocks);
            for (place, pair) in blocks.windows(2).take(9).enumerate() {
                at_place[place].insert(pair[0]);
                assert_eq!(*parents.entry(pair[1]).or_insert(pair[0]), pair[0], "a block has one parent");
            }
        }
        let nodes: Vec<usize> = at_place.iter().map(HashSet::len).collect();
        assert_eq!(nodes, [4, 4, 4, 16, 16, 16, 64, 64, 64]);
    }

    #[test]
    fn targets_out_of_reach_are_told_with_what_is_in_reach() {
        let prompts = prompts(1, 50);
        let tree = Prefixes { depth: 1, branching: 1 };
        let all: f64 = prompts.iter().map(|p| f64::from(p.blocks)).sum();
        let (least, most) = Sharing::solve(tree, &prompts, all).unwrap_err();
        assert!(least == 0.0 && most > 0.7 * all && most < all, "{least} to {most} of {all}");
        assert!(Sharing::solve(tree, &prompts, most).is_ok() && Sharing::solve(tree, &prompts, 0.0).is_ok());
    }
}
