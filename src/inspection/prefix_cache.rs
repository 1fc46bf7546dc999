//! Prefix blocks of requests in their order → the hit rate of a prefix cache of any capacity.
//!
//! A prompt hits as far as all its leading blocks are in the cache. The cache evicts the least recently used block; of one
//! request's blocks, the last ones go first, as in vLLM, since a block is of no use without those before it.
//! One pass gives every capacity at once: an LRU cache of C blocks holds exactly the C that were used last, so a block
//! hits where fewer than C others were used since (Mattson, Gecsei, Slutz, Traiger, "Evaluation techniques for storage
//! hierarchies", IBM Systems Journal 9, 1970). Others since are counted in a Fenwick tree over the uses.
//! Invariants: hit rates do not fall as the capacity grows; that of no limit is the trace's own reuse.
//! Not here: what a server's cache really held (`analysis::fidelity`).

/// How prompts share prefixes.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixReuse {
    /// Tokens in a full block.
    pub block_size: u32,
    /// Blocks of all requests.
    pub total_blocks: u64,
    /// Different blocks.
    pub unique_blocks: u64,
    prompt_tokens: u64,
    requests: u64,
    /// For each capacity from 0 on, what a cache of so many blocks hits; the last holds for all above, too.
    hits: Vec<Hits>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Hits {
    tokens: u64,
    /// Sum over the requests of the share of their blocks.
    requests: f64,
}

/// What a cache hits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HitRate {
    /// Share of all prompt tokens.
    pub tokens: f64,
    /// Mean over the requests of the share of their blocks.
    pub requests: f64,
}

impl PrefixReuse {
    /// Follows requests, each with its blocks and its prompt's tokens, through all caches. A prompt's last block may be
    /// cut short by its end. Null where no request has a block.
    pub fn of<'a>(requests: impl Iterator<Item = (&'a [u32], u32)> + Clone, block_size: u32) -> Option<PrefixReuse> {
        let total_blocks: usize = requests.clone().map(|(blocks, _)| blocks.len()).sum();
        if total_blocks == 0 {
            return None;
        }
        let mut uses = Uses::new(total_blocks);
        let (mut count, mut prompt_tokens) = (0, 0);
        let mut hits: Vec<Hits> = Vec::new();
        for (blocks, input_tokens) in requests {
            count += 1;
            prompt_tokens += u64::from(input_tokens);
            let (mut capacity, mut left) = (0, input_tokens);
            for block in blocks {
                let Some(others) = uses.others_since(*block) else { break };
                // It is there only if all before it are.
                capacity = (others as usize + 1).max(capacity);
                if capacity >= hits.len() {
                    hits.resize(capacity + 1, Hits::default());
                }
                let tokens = left.min(block_size);
                left -= tokens;
                hits[capacity].tokens += u64::from(tokens);
                hits[capacity].requests += 1.0 / blocks.len() as f64;
            }
            blocks.iter().rev().for_each(|block| uses.record(*block));
        }
        let mut sum = Hits::default();
        for at in &mut hits {
            sum = Hits { tokens: sum.tokens + at.tokens, requests: sum.requests + at.requests };
            *at = sum;
        }
        Some(PrefixReuse {
            block_size,
            total_blocks: total_blocks as u64,
            unique_blocks: uses.unique,
            prompt_tokens,
            requests: count,
            hits,
        })
    }

    /// What a cache of so many blocks hits; without a number, one that forgets nothing.
    pub fn hit_rate(&self, capacity_blocks: Option<u64>) -> HitRate {
        let capacity = capacity_blocks.map_or(usize::MAX, |blocks| blocks as usize);
        let largest = self.hits.len().saturating_sub(1);
        let hits = self.hits.get(capacity.min(largest)).copied().unwrap_or_default();
        HitRate {
            tokens: hits.tokens as f64 / self.prompt_tokens.max(1) as f64,
            requests: hits.requests / self.requests as f64,
        }
    }

    /// A capacity of which more would not hit more, in blocks.
    pub fn enough_blocks(&self) -> u64 {
        self.hits.len().saturating_sub(1) as u64
    }
}

/// The uses of blocks, numbered from 1; of each block the last one counts.
struct Uses {
    /// Number of each block's last use; 0 for none.
    last_of: Vec<u32>,
    /// Fenwick tree over the uses: 1 for each that is still its block's last.
    tree: Vec<u32>,
    used: u32,
    unique: u64,
}

impl Uses {
    fn new(uses_max: usize) -> Uses {
        Uses { last_of: Vec::new(), tree: vec![0; uses_max + 1], used: 0, unique: 0 }
    }

    /// Different other blocks that were used after the last use of this one; null if it was never used.
    fn others_since(&self, block: u32) -> Option<u64> {
        let last = *self.last_of.get(block as usize)?;
        if last == 0 {
            return None;
        }
        let mut up_to = 0;
        let mut i = last as usize;
        while i > 0 {
            up_to += u64::from(self.tree[i]);
            i &= i - 1;
        }
        Some(self.unique - up_to)
    }

    fn record(&mut self, block: u32) {
        let at = block as usize;
        if at >= self.last_of.len() {
            self.last_of.resize(at + 1, 0);
        }
        self.used += 1;
        match std::mem::replace(&mut self.last_of[at], self.used) {
            0 => self.unique += 1,
            before => self.add(before, u32::MAX),
        }
        self.add(self.used, 1);
    }

    /// Adds `change` (wrapping, so that `u32::MAX` takes one away) at a use.
    fn add(&mut self, at: u32, change: u32) {
        let mut i = at as usize;
        while i < self.tree.len() {
            self.tree[i] = self.tree[i].wrapping_add(change);
            i += i & i.wrapping_neg();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use rand::RngExt as _;

    use super::*;
    use crate::rng::{Seed, Stream};

    #[test]
    fn a_worked_example() {
        // Blocks of 10 tokens: [0 1], [0 1 2] of 25 tokens, [3], [0 1 2].
        let requests: [(&[u32], u32); 4] = [(&[0, 1], 20), (&[0, 1, 2], 25), (&[3], 10), (&[0, 1, 2], 25)];
        let reuse = PrefixReuse::of(requests.into_iter(), 10).unwrap();
        assert_eq!((reuse.total_blocks, reuse.unique_blocks), (9, 4));
        // Without a limit: nothing, 20 of 25, nothing, 25 of 25 tokens; 0, 2/3, 0 and 1 of the blocks.
        let all = reuse.hit_rate(None);
        assert!((all.tokens - 45.0 / 80.0).abs() < 1e-12 && (all.requests - (2.0 / 3.0 + 1.0) / 4.0).abs() < 1e-12);
        // Three blocks: before the last request they are 3, 0 and 1; block 2 went first. 20 and 20 tokens.
        assert!((reuse.hit_rate(Some(3)).tokens - 40.0 / 80.0).abs() < 1e-12);
        // Two blocks: 0 and 1 for the second request; 3 and 0 for the last. One: 0 for the second, none for the last.
        assert!((reuse.hit_rate(Some(2)).tokens - 30.0 / 80.0).abs() < 1e-12);
        assert!((reuse.hit_rate(Some(1)).tokens - 10.0 / 80.0).abs() < 1e-12);
        assert_eq!(reuse.hit_rate(Some(0)).tokens, 0.0);
        assert_eq!(reuse.hit_rate(Some(4)), all);
    }

    /// The cache itself: most recently used first.
    fn simulate(requests: &[(Vec<u32>, u32)], block_size: u32, capacity: usize) -> u64 {
        let (mut cache, mut hit) = (VecDeque::new(), 0);
        for (blocks, tokens) in requests {
            let leading = blocks.iter().take_while(|b| cache.contains(*b)).count() as u32;
            hit += u64::from((leading * block_size).min(*tokens));
            for block in blocks.iter().rev() {
                cache.retain(|b| b != block);
                cache.push_front(*block);
                cache.truncate(capacity);
            }
        }
        hit
    }

    #[test]
    fn every_capacity_hits_what_a_simulated_cache_hits() {
        for seed in 0..20 {
            let mut rng = Seed(seed).stream(Stream::Prefix);
            let requests: Vec<(Vec<u32>, u32)> = (0..200)
                .map(|_| {
                    // A path through a tree of 3 children a node: blocks that are equal have equal ancestors.
                    let (mut node, mut blocks) = (0_u32, Vec::new());
                    for _ in 0..rng.random_range(1..6) {
                        node = node * 3 + rng.random_range(1..4);
                        blocks.push(node);
                    }
                    let tokens = blocks.len() as u32 * 16 - rng.random_range(0..16);
                    (blocks, tokens)
                })
                .collect();
            let reuse = PrefixReuse::of(requests.iter().map(|(b, t)| (&b[..], *t)), 16).unwrap();
            let asked: u64 = requests.iter().map(|(_, t)| u64::from(*t)).sum();
            for capacity in [1, 2, 3, 7, 20, 60, 1000] {
                let expect = simulate(&requests, 16, capacity) as f64 / asked as f64;
                let found = reuse.hit_rate(Some(capacity as u64)).tokens;
                assert!((found - expect).abs() < 1e-12, "seed {seed}, {capacity} blocks: {found} for {expect}");
            }
        }
    }

    #[test]
    fn nothing_shared_is_no_hit_and_no_block_is_no_answer() {
        let alone = PrefixReuse::of([(&[0_u32, 1][..], 20), (&[2][..], 5)].into_iter(), 10).unwrap();
        assert_eq!(alone.hit_rate(None), HitRate { tokens: 0.0, requests: 0.0 });
        assert_eq!(PrefixReuse::of([(&[][..], 20)].into_iter(), 10), None);
    }
}
