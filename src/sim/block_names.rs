//! Which block of a paged KV cache holds what: from names, which are hashes, to places.
//!
//! In: names and blocks. Out: the block of a name. Open addressing with linear probing and backward-shift deletion (Knuth, The Art of
//! Computer Programming, volume 3, section 6.4, algorithm R); an entry is 8 bytes, so that the table of a whole cache stays near the core.
//! Invariants: at most half of the entries are taken; no name has two. Not here: whose the blocks are ([`super::kv`]).

/// No entry: no block has this number.
const EMPTY: u64 = u64::MAX;

/// The table. It does not keep whole names: the caller, who has them by block, is asked where 32 bits of one agree.
#[derive(Debug)]
pub(super) struct BlockNames {
    /// 32 bits of the name, then the block.
    entries: Vec<u64>,
}

fn tag(name: u64) -> u64 {
    (name ^ (name >> 32)) & 0xffff_ffff
}

impl BlockNames {
    /// A table for so many blocks.
    pub(super) fn new(blocks: u32) -> BlockNames {
        BlockNames { entries: vec![EMPTY; (2 * blocks as usize).next_power_of_two().max(2)] }
    }

    /// Where an entry would stand if nothing were in its way.
    fn home(&self, entry: u64) -> usize {
        (entry >> 32) as usize & (self.entries.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    /// The place of a name's entry, or of the empty one that ends the search for it.
    fn find(&self, name: u64, is_name_of: impl Fn(u32) -> bool) -> usize {
        let tag = tag(name);
        let mut at = self.home(tag << 32);
        while self.entries[at] != EMPTY && !(self.entries[at] >> 32 == tag && is_name_of(self.entries[at] as u32)) {
            at = self.after(at);
        }
        at
    }

    /// The block of a name.
    pub(super) fn get(&self, name: u64, is_name_of: impl Fn(u32) -> bool) -> Option<u32> {
        let entry = self.entries[self.find(name, is_name_of)];
        (entry != EMPTY).then_some(entry as u32)
    }

    /// Gives a block this name, unless another one has it; whether it got it.
    pub(super) fn insert(&mut self, name: u64, block: u32, is_name_of: impl Fn(u32) -> bool) -> bool {
        let at = self.find(name, is_name_of);
        let vacant = self.entries[at] == EMPTY;
        if vacant {
            self.entries[at] = tag(name) << 32 | u64::from(block);
        }
        vacant
    }

    /// Looks where these names belong, so that the memory is asked for all of it before the first is needed: the table is larger
    /// than what is near a core, and its places are anywhere.
    pub(super) fn look_ahead(&self, names: impl Iterator<Item = u64>) {
        let seen = names.fold(0, |seen, name| seen ^ self.entries[self.home(tag(name) << 32)]);
        std::hint::black_box(seen);
    }

    /// Takes the names of these blocks back, and empties the list.
    pub(super) fn remove_all(&mut self, named: &mut Vec<(u64, u32)>) {
        self.look_ahead(named.iter().map(|(name, _)| *name));
        named.drain(..).for_each(|(name, block)| self.remove(name, block));
    }

    /// Takes the name of a block back.
    fn remove(&mut self, name: u64, block: u32) {
        let mut hole = self.find(name, |other| other == block);
        debug_assert_ne!(self.entries[hole], EMPTY, "the block has the name");
        let mut at = hole;
        loop {
            at = self.after(at);
            let entry = self.entries[at];
            if entry == EMPTY {
                break;
            }
            // An entry may move into the hole unless its home lies behind it, cyclically.
            let mask = self.entries.len() - 1;
            if at.wrapping_sub(self.home(entry)) & mask >= at.wrapping_sub(hole) & mask {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = EMPTY;
    }

    /// Every block that has a name.
    #[cfg(test)]
    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().filter(|entry| **entry != EMPTY).map(|entry| *entry as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::RngExt as _;

    use super::*;
    use crate::rng::{Seed, Stream};

    #[test]
    fn it_finds_what_a_map_finds_also_where_names_collide() {
        for seed in 0..50 {
            let mut rng = Seed(seed).stream(Stream::Mix);
            let (blocks, names) = (rng.random_range(1..40_u32), rng.random_range(1..80_u64));
            // Of half of the seeds, all names want the last two places, so that entries wrap around.
            let name = |n: u64| if seed % 2 == 0 { n << 40 | (u64::MAX >> 33 << 1) } else { crate::rng::mix(n) };
            let mut table = BlockNames::new(blocks);
            let (mut map, mut held) = (HashMap::new(), vec![None; blocks as usize]);
            for _ in 0..2000 {
                let block = rng.random_range(0..blocks);
                if let Some(old) = held[block as usize].take() {
                    table.remove(old, block);
                    map.remove(&old);
                }
                let new = name(rng.random_range(0..names));
                let inserted = table.insert(new, block, |b| held[b as usize] == Some(new));
                assert_eq!(inserted, !map.contains_key(&new), "seed {seed}");
                if inserted {
                    held[block as usize] = Some(new);
                    map.insert(new, block);
                }
                let asked = name(rng.random_range(0..names));
                let found = table.get(asked, |b| held[b as usize] == Some(asked));
                assert_eq!(found, map.get(&asked).copied(), "seed {seed}");
            }
            assert_eq!(table.blocks().count(), map.len());
        }
    }
}
