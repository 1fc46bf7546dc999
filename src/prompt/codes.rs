//! Prefix blocks → codes of texts, such that a prefix cache sees where two prompts part to the very token.
//!
//! Two prompts part where the same leading blocks are followed by different ones: by *siblings*. Codes differ in their
//! first token if they differ modulo the vocabulary's size, so siblings get codes that do: a greedy colouring, in order of
//! first appearance. It finds one whenever a block's siblings, behind all the blocks that it follows, are fewer than the
//! vocabulary's words; where they are not, the block is counted, and differs from a sibling in its second token.
//! Not here: the text of a code ([`super::corpus`]).

use std::collections::HashSet;

use super::vocabulary::Radix;
use crate::rng::mix;

/// The predecessor of a prompt's first block.
const ROOT: u32 = u32::MAX;
/// The predecessor of a block that was not seen.
const UNSEEN: u32 = u32::MAX - 1;

/// A code for each block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockCodes {
    /// Code of each block id; different ids have different codes.
    pub of_block: Vec<u32>,
    /// Codes from here on are no block's.
    pub end: u32,
    /// Blocks that share their first token with a sibling.
    pub shared_first_tokens: u32,
}

impl BlockCodes {
    /// Codes for block ids below `ids` that follow each other as in `prompts`, in a vocabulary of that size. Blocks that
    /// begin a prompt begin with an opener, while there is one.
    pub fn assign<'a>(prompts: impl Iterator<Item = &'a [u32]>, ids: u32, radix: Radix) -> BlockCodes {
        let follows = Follows::read(prompts, ids);
        let mut taken = Taken::default();
        let mut used = vec![0u32; radix.words as usize];
        let mut codes = BlockCodes { of_block: Vec::with_capacity(ids as usize), ..BlockCodes::default() };
        let mut rest = follows.others.as_slice();
        for id in 0..ids {
            let (mine, later) = rest.split_at(rest.partition_point(|(block, _)| *block == id));
            rest = later;
            let first = (id, follows.first[id as usize]);
            let predecessors: Vec<u32> = mine.iter().chain([&first]).map(|(_, p)| *p).collect();
            let head = taken.head(id, &predecessors, &follows.children, radix);
            codes.shared_first_tokens += u32::from(head.shared);
            let code = used[head.word as usize] * radix.words + head.word;
            used[head.word as usize] += 1;
            codes.of_block.push(code);
            codes.end = codes.end.max(code + 1);
        }
        codes
    }
}

/// A block's first word.
struct Head {
    word: u32,
    /// Whether a sibling has it too.
    shared: bool,
}

/// First words of the blocks behind each block that has several behind it.
#[derive(Default)]
struct Taken(HashSet<(u32, u32)>);

impl Taken {
    /// Chooses the first word of a block behind `predecessors`, which have so many `children` each.
    fn head(&mut self, id: u32, predecessors: &[u32], children: &[u32], radix: Radix) -> Head {
        let branching = || predecessors.iter().filter(|p| children[place(**p, children.len())] > 1);
        let free = |word: &u32| branching().all(|p| !self.0.contains(&(*p, *word)));
        let choice = if predecessors.contains(&ROOT) { radix.openers } else { radix.words };
        let natural = id % choice;
        let crowded = branching().any(|p| children[place(*p, children.len())] > radix.words);
        // Where the own word is taken, the search goes on from a place of its own, or neighbours would form a queue.
        let from = (mix(u64::from(id)) % u64::from(choice)) as u32;
        let others = (0..choice).map(|step| (from + step) % choice).chain(choice..radix.words);
        let others = others.take(if crowded { 0 } else { radix.words as usize });
        let found = std::iter::once(natural).chain(others).find(free);
        let word = found.unwrap_or(natural);
        self.0.extend(branching().map(|p| (*p, word)));
        Head { word, shared: found.is_none() }
    }
}

/// Where a predecessor's count stands: that of [`ROOT`] is the last.
fn place(predecessor: u32, places: usize) -> usize {
    (predecessor as usize).min(places - 1)
}

/// Which blocks each block follows.
struct Follows {
    /// The block that it followed first.
    first: Vec<u32>,
    /// `(block, predecessor)` for every further one, in order.
    others: Vec<(u32, u32)>,
    /// How many different blocks follow each block; and, last, how many begin a prompt.
    children: Vec<u32>,
}

impl Follows {
    fn read<'a>(prompts: impl Iterator<Item = &'a [u32]>, ids: u32) -> Follows {
        let mut first = vec![UNSEEN; ids as usize];
        let mut others = HashSet::new();
        for blocks in prompts {
            let mut previous = ROOT;
            for block in blocks {
                let known = &mut first[*block as usize];
                if *known == UNSEEN {
                    *known = previous;
                } else if *known != previous {
                    others.insert((*block, previous));
                }
                previous = *block;
            }
        }
        let mut others: Vec<_> = others.into_iter().collect();
        others.sort_unstable();
        let mut children = vec![0; ids as usize + 1];
        for predecessor in first.iter().filter(|p| **p != UNSEEN).chain(others.iter().map(|(_, p)| p)) {
            children[place(*predecessor, ids as usize + 1)] += 1;
        }
        Follows { first, others, children }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(prompts: &[&[u32]], ids: u32, words: u32) -> BlockCodes {
        BlockCodes::assign(prompts.iter().copied(), ids, Radix { words, openers: words })
    }

    #[test]
    fn siblings_differ_modulo_the_vocabulary_and_all_codes_differ() {
        // Four words: blocks 0, 4 and 8 are siblings and would all begin with word 0.
        let codes = assign(&[&[0, 1, 2], &[4, 5], &[8, 3, 6, 7]], 9, 4);
        let heads: HashSet<u32> = [0, 4, 8].iter().map(|b: &usize| codes.of_block[*b] % 4).collect();
        assert_eq!((heads.len(), codes.shared_first_tokens), (3, 0));
        assert_eq!(codes.of_block.iter().collect::<HashSet<_>>().len(), 9);
        assert!(codes.of_block.iter().all(|c| *c < codes.end));
    }

    #[test]
    fn a_block_differs_from_its_siblings_behind_every_block_that_it_follows() {
        let codes = assign(&[&[0, 5], &[1, 5], &[0, 2], &[1, 3], &[1, 4]], 6, 5);
        let head = |b: usize| codes.of_block[b] % 5;
        assert!(head(5) != head(2) && head(5) != head(3) && head(5) != head(4) && head(3) != head(4));
    }

    #[test]
    fn prompts_begin_with_openers_while_there_are_any() {
        let prompts: Vec<[u32; 2]> = (0..6).map(|b| [b, b + 6]).collect();
        let radix = Radix { words: 8, openers: 4 };
        let codes = BlockCodes::assign(prompts.iter().map(<[u32; 2]>::as_slice), 12, radix);
        let heads: HashSet<u32> = codes.of_block[..6].iter().map(|code| code % 8).collect();
        assert_eq!((heads.len(), heads.iter().filter(|h| **h < 4).count()), (6, 4));
        assert_eq!(codes.shared_first_tokens, 0);
        let opening: HashSet<u64> = (0..4).map(|n| radix.opening_code(0, n)).collect();
        assert_eq!((opening, radix.opening_code(0, 5)), (HashSet::from([0, 1, 2, 3]), 9));
        assert_eq!([3, 4, 7, 8].map(|end| radix.opening_code(end, 0)), [3, 8, 8, 8]);
    }

    #[test]
    fn more_siblings_than_words_are_counted() {
        let prompts: Vec<[u32; 1]> = (0..10).map(|b| [b]).collect();
        let codes = BlockCodes::assign(prompts.iter().map(<[u32; 1]>::as_slice), 10, Radix { words: 8, openers: 8 });
        assert_eq!(codes.shared_first_tokens, 2);
        assert_eq!(codes.of_block.iter().collect::<HashSet<_>>().len(), 10);
    }

    #[test]
    fn blocks_as_many_as_words_keep_their_numbers() {
        assert_eq!(assign(&[&[0, 1, 2]], 3, 8).of_block, [0, 1, 2]);
    }
}
