//! The paged KV cache of one engine: blocks are handed out, kept by name when nobody needs them, and given to others
//! when room is short, the one that was free for longest first.
//!
//! In: how many blocks, and the names of what they hold. Out: blocks. As vLLM 1's block pool: a block that nobody
//! refers to stays findable until it is handed out again; of a sequence's blocks the last is given up first.
//! Invariant: `free + referred to = capacity`; a name leads to at most one block.

use std::collections::VecDeque;

use super::block_names::BlockNames;

/// A block's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockId(u32);

/// The name of a block whose content has none.
const NO_NAME: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Block {
    name: u64,
    references: u32,
    /// That of its entry in the queue of free blocks, which says nothing any more once this has changed.
    ticket: u32,
}

/// The blocks of one engine.
#[derive(Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    by_name: BlockNames,
    /// Free blocks with their tickets, the one that goes next first. In one piece of memory, since a cache is far larger than
    /// what is near a core, and blocks that point at each other would be waited for one by one.
    queue: VecDeque<(u32, u32)>,
    free: u32,
    /// Whether blocks are found again by name.
    remembers: bool,
    /// Names that the blocks had which were handed out last.
    forgotten: Vec<(u64, u32)>,
}

impl BlockPool {
    /// A pool of free blocks without names. Without `remembers`, no block is ever found again.
    pub fn new(capacity: u32, remembers: bool) -> BlockPool {
        BlockPool {
            blocks: vec![Block { name: NO_NAME, references: 0, ticket: 0 }; capacity as usize],
            by_name: BlockNames::new(if remembers { capacity } else { 0 }),
            queue: (0..capacity).map(|id| (id, 0)).collect(),
            free: capacity,
            remembers,
            forgotten: Vec::new(),
        }
    }

    /// All blocks.
    pub fn capacity(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Blocks that can be handed out.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// How many of these names, from the first on, have a block.
    pub fn known(&self, names: &[u64]) -> usize {
        names.iter().take_while(|name| self.block_of(**name).is_some()).count()
    }

    fn block_of(&self, name: u64) -> Option<u32> {
        self.by_name.get(name, |id| self.blocks[id as usize].name == name)
    }

    /// Hands out the blocks of `known` (all of which have one) and `fresh` more, onto `into`; nothing where there are too few.
    pub fn take(&mut self, known: &[u64], fresh: u32, into: &mut Vec<BlockId>) -> bool {
        let from = into.len();
        into.extend(known.iter().filter_map(|name| self.block_of(*name)).map(BlockId));
        debug_assert_eq!(into.len() - from, known.len(), "every known name has a block");
        let idle = into[from..].iter().filter(|id| self.blocks[id.0 as usize].references == 0).count() as u32;
        if idle + fresh > self.free {
            into.truncate(from);
            return false;
        }
        for BlockId(id) in &into[from..] {
            let block = &mut self.blocks[*id as usize];
            if block.references == 0 {
                block.ticket = block.ticket.wrapping_add(1);
            }
            block.references += 1;
        }
        self.free -= idle + fresh;
        self.pop_free(fresh, into);
        self.by_name.remove_all(&mut self.forgotten);
        true
    }

    /// Takes so many blocks, which there are, from the front of the queue.
    fn pop_free(&mut self, count: u32, into: &mut Vec<BlockId>) {
        let BlockPool { blocks, queue, forgotten, .. } = self;
        let valid = std::iter::from_fn(|| queue.pop_front()).filter_map(|(id, ticket)| {
            let block = &mut blocks[id as usize];
            if block.ticket != ticket {
                return None;
            }
            block.references = 1;
            if block.name != NO_NAME {
                forgotten.push((std::mem::replace(&mut block.name, NO_NAME), id));
            }
            Some(BlockId(id))
        });
        into.extend(valid.take(count as usize));
    }

    /// Names blocks by what they hold now. Of two blocks with the same content, the first keeps the name.
    pub fn name(&mut self, these: &[BlockId], names: &[u64]) {
        if !self.remembers {
            return;
        }
        self.by_name.look_ahead(names.iter().copied());
        for (BlockId(id), name) in these.iter().zip(names) {
            let blocks = &self.blocks;
            if blocks[*id as usize].name == NO_NAME
                && self.by_name.insert(*name, *id, |id| blocks[id as usize].name == *name)
            {
                self.blocks[*id as usize].name = *name;
            }
        }
    }

    /// Takes a sequence's blocks back, and forgets them in its list.
    pub fn give_back(&mut self, blocks: &mut Vec<BlockId>) {
        while let Some(BlockId(id)) = blocks.pop() {
            let block = &mut self.blocks[id as usize];
            block.references -= 1;
            if block.references == 0 {
                self.queue.push_back((id, block.ticket));
                self.free += 1;
            }
        }
        if self.queue.len() > 2 * self.blocks.len() {
            self.queue.retain(|(id, ticket)| self.blocks[*id as usize].ticket == *ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::rng::{Seed, Stream};

    fn take(pool: &mut BlockPool, names: &[u64], fresh: u32) -> Option<Vec<BlockId>> {
        let mut blocks = Vec::new();
        pool.take(names, fresh, &mut blocks).then_some(blocks)
    }

    #[test]
    fn what_was_given_back_is_found_by_name_until_its_room_is_needed() {
        let mut pool = BlockPool::new(4, true);
        let mut blocks = take(&mut pool, &[], 3).unwrap();
        pool.name(&blocks, &[10, 11, 12]);
        pool.give_back(&mut blocks);
        assert_eq!((pool.free(), pool.known(&[10, 11, 12, 13])), (4, 3));
        // One is new, then the last block of the three goes.
        let mut other = take(&mut pool, &[], 2).unwrap();
        assert_eq!(pool.known(&[10, 11, 12]), 2);
        let mut again = take(&mut pool, &[10, 11], 0).unwrap();
        assert_eq!(pool.free(), 0);
        assert_eq!(take(&mut pool, &[], 1), None);
        // Shared by two, and free when both have given it back.
        let mut twice = take(&mut pool, &[10], 0).unwrap();
        pool.give_back(&mut again);
        assert_eq!(pool.free(), 1);
        pool.give_back(&mut twice);
        pool.give_back(&mut other);
        assert_eq!(pool.free(), 4);
    }

    #[test]
    fn a_pool_without_memory_finds_nothing() {
        let mut pool = BlockPool::new(2, false);
        let blocks = take(&mut pool, &[], 1).unwrap();
        pool.name(&blocks, &[7]);
        assert_eq!(pool.known(&[7]), 0);
    }

    #[test]
    fn blocks_are_conserved_over_random_use() {
        for seed in 0..200 {
            let mut rng = Seed(seed).stream(Stream::Mix);
            let capacity = rng.random_range(1..60);
            let mut pool = BlockPool::new(capacity, true);
            let mut held: Vec<Vec<BlockId>> = Vec::new();
            for _ in 0..300 {
                if rng.random_bool(0.45) && !held.is_empty() {
                    let i = rng.random_range(0..held.len());
                    pool.give_back(&mut held.swap_remove(i));
                } else {
                    let names: Vec<u64> =
                        (0..rng.random_range(0..6)).map(|i| rng.random_range(0..3) * 10 + i).collect();
                    let known = pool.known(&names);
                    let fresh = rng.random_range(0..5);
                    if let Some(blocks) = take(&mut pool, &names[..known], fresh) {
                        let these = blocks.len().min(names.len());
                        pool.name(&blocks[..these], &names[..these]);
                        held.push(blocks);
                    } else {
                        assert!(known as u32 + fresh > pool.free(), "seed {seed}: refused with room for it");
                    }
                }
                let mut referred = vec![0; capacity as usize];
                held.iter().flatten().for_each(|b| referred[b.0 as usize] += 1);
                let used = referred.iter().filter(|n| **n > 0).count() as u32;
                assert_eq!(pool.free() + used, capacity, "seed {seed}");
                assert!(pool.blocks.iter().zip(&referred).all(|(b, n)| b.references == *n), "seed {seed}");
                let named: Vec<u32> = pool.by_name.blocks().collect();
                let found = |id: &u32| pool.block_of(pool.blocks[*id as usize].name) == Some(*id);
                assert!(named.iter().all(found), "seed {seed}: a name leads elsewhere");
                assert_eq!(named.len(), pool.blocks.iter().filter(|b| b.name != NO_NAME).count(), "seed {seed}");
            }
        }
    }
}
