//! Turns a trace into one whose prompts share more or less: aiperf's `--synthesis-prefix-len-multiplier`,
//! `-prefix-root-multiplier` and `-prompt-len-multiplier`.
//!
//! What a prompt shares is its leading blocks that another prompt has too; the rest is its own. In: factors on both, and a number
//! of families. Out: the same requests, with shared parts of another length (a block at a place becomes as many as make the
//! part so long, the same in all prompts that have it there), own parts likewise, and each conversation in one of so many
//! families that share nothing with each other. Rebuilt from what aiperf documents, not from its code: it keeps the trace's
//! requests as they are and draws nothing but the family.
//! Not here: literal prompts, which stay as they are.

use std::collections::HashMap;

use rand::RngExt;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::trace::{Entry, Trace};

/// Most blocks that the result may have.
const BLOCKS_MAX: usize = 1 << 28;
/// Most tokens of a prompt.
const TOKENS_MAX: u64 = 16_000_000;

/// Factors on what prompts share and on what they do not, and how many families they are dealt out to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Synthesis {
    /// On shared parts.
    pub shared: f64,
    /// On the rest.
    pub own: f64,
    /// Families, at least 1.
    pub families: u32,
}

impl Synthesis {
    pub(super) fn apply(&self, trace: &mut Trace, rng: &mut Rng) -> Result<()> {
        for (flag, factor) in
            [("--synthesis-prefix-len-multiplier", self.shared), ("--synthesis-prompt-len-multiplier", self.own)]
        {
            if !(1e-3..=1e3).contains(&factor) {
                return Err(Error::Usage(format!("{flag} must be a number from 0.001 to 1000")));
            }
        }
        let mut uses = vec![0_u32; trace.unique_blocks as usize];
        for entry in &trace.entries {
            trace.blocks(entry).iter().for_each(|block| uses[*block as usize] += 1);
        }
        let mut families: HashMap<u32, u32> = HashMap::new();
        let (mut ids, mut blocks) = (HashMap::new(), Vec::with_capacity(trace.block_ids.len()));
        let (mut before, mut after) = ((0, 0), (0, 0));
        let old_ids = std::mem::take(&mut trace.block_ids);
        for entry in &mut trace.entries {
            let old = &old_ids[entry.blocks_start as usize..][..entry.blocks_len as usize];
            let mut family = || rng.random_range(0..self.families.max(1));
            let family = match entry.session {
                Some(session) => *families.entry(session).or_insert_with(family),
                None => family(),
            };
            entry.blocks_start = blocks.len() as u32;
            if entry.content.is_some() {
                entry.blocks_len = 0;
                continue;
            }
            let shared = old.iter().take_while(|block| uses[**block as usize] > 1).count();
            let tokens = self.lengths(entry, shared as u32, trace.block_size, (&mut before, &mut after))?;
            let mut id = |block: u32, copy: u32| {
                let next = ids.len() as u32;
                *ids.entry((block, copy, family)).or_insert(next)
            };
            let copies = |place: usize| (self.at(place)..self.at(place + 1)).map(move |n| n - self.at(place));
            blocks.extend(
                (0..shared)
                    .flat_map(|place| copies(place).map(move |copy| (place, copy)))
                    .map(|(place, copy)| id(old[place], copy)),
            );
            let most = tokens.div_ceil(trace.block_size) as usize;
            let left = most.saturating_sub(blocks.len() - entry.blocks_start as usize);
            blocks.extend(old[shared..].iter().take(left).map(|block| id(*block, 0)));
            blocks.truncate(entry.blocks_start as usize + most);
            entry.blocks_len = blocks.len() as u32 - entry.blocks_start;
            entry.input_tokens = tokens;
            if blocks.len() > BLOCKS_MAX {
                return Err(Error::Usage("the trace would have too many blocks; use smaller multipliers".into()));
            }
        }
        trace.block_ids = blocks;
        trace.renumber();
        trace.notes.push(format!(
            "synthesis: {} shared and {} own prompt tokens are now {} and {}, in {} families",
            before.0, before.1, after.0, after.1, self.families
        ));
        Ok(())
    }

    /// Blocks that the first `places` shared ones become.
    fn at(&self, places: usize) -> u32 {
        (places as f64 * self.shared).round() as u32
    }

    /// The tokens of a prompt whose first `shared` blocks are shared; adds up shared and own ones before and after.
    fn lengths(
        &self,
        entry: &Entry,
        shared: u32,
        block_size: u32,
        (before, after): (&mut (u64, u64), &mut (u64, u64)),
    ) -> Result<u32> {
        let whole = u64::from(shared) * u64::from(block_size);
        let held = whole.min(entry.input_tokens.into());
        let own = u64::from(entry.input_tokens) - held;
        // Of a partial last block as much is missing as before.
        let scaled = u64::from(self.at(shared as usize)) * u64::from(block_size);
        let held_now = scaled.saturating_sub(whole - held);
        let own_now = (own as f64 * self.own).round() as u64;
        let tokens = (held_now + own_now).max(entry.input_tokens.min(1).into());
        (before.0, before.1) = (before.0 + held, before.1 + own);
        (after.0, after.1) = (after.0 + held_now, after.1 + (tokens - held_now));
        if tokens > TOKENS_MAX {
            return Err(Error::Usage(format!("a prompt would have {tokens} tokens; 16 million are the most")));
        }
        Ok(tokens as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Seed, Stream};

    /// Prompts of 4 blocks of 10 tokens and 5 more, of which the first 2 blocks are those of one of two roots.
    fn trace() -> Trace {
        let entry = |n: u32| Entry { input_tokens: 45, blocks_start: n * 4, blocks_len: 4, ..Entry::default() };
        let ids = (0..200_u32).flat_map(|n| [n % 2 * 2, n % 2 * 2 + 1, 10 + 2 * n, 11 + 2 * n]);
        let mut trace = Trace {
            entries: (0..200).map(entry).collect(),
            block_ids: ids.collect(),
            block_size: 10,
            ..Trace::default()
        };
        trace.renumber();
        trace.check().unwrap();
        trace
    }

    fn synthesised(shared: f64, own: f64, families: u32) -> Trace {
        let mut trace = trace();
        Synthesis { shared, own, families }.apply(&mut trace, &mut Seed(4).stream(Stream::Family)).unwrap();
        trace.check().unwrap();
        trace
    }

    /// Tokens of each prompt, and how many of its leading blocks another prompt has.
    fn shape(trace: &Trace) -> Vec<(u32, usize)> {
        let mut uses = vec![0; trace.unique_blocks as usize];
        trace.block_ids.iter().for_each(|b| uses[*b as usize] += 1);
        let shared = |e: &Entry| trace.blocks(e).iter().take_while(|b| uses[**b as usize] > 1).count();
        let mut shape: Vec<_> = trace.entries.iter().map(|e| (e.input_tokens, shared(e))).collect();
        shape.dedup();
        shape
    }

    #[test]
    fn shared_and_own_parts_are_scaled_apart() {
        assert_eq!(synthesised(1.0, 1.0, 1).block_ids, trace().block_ids);
        assert_eq!(shape(&synthesised(1.5, 1.0, 1)), [(30 + 25, 3)]);
        assert_eq!(shape(&synthesised(0.5, 1.0, 1)), [(10 + 25, 1)]);
        assert_eq!(shape(&synthesised(1.0, 2.0, 1)), [(20 + 50, 2)]);
        assert_eq!(shape(&synthesised(2.0, 0.2, 1)), [(40 + 5, 4)]);
        let note = synthesised(2.0, 0.2, 1).notes.pop().unwrap();
        assert_eq!(note, "synthesis: 4000 shared and 5000 own prompt tokens are now 8000 and 1000, in 1 families");
    }

    #[test]
    fn families_share_within_themselves_alone() {
        let roots = |trace: &Trace| {
            trace.entries.iter().map(|e| trace.blocks(e)[0]).collect::<std::collections::HashSet<_>>().len()
        };
        assert_eq!((roots(&synthesised(1.0, 1.0, 1)), roots(&synthesised(1.0, 1.0, 3))), (2, 6));
        assert_eq!(shape(&synthesised(1.0, 1.0, 3)), [(45, 2)]);
    }

    #[test]
    fn factors_that_cannot_be_are_refused() {
        for (shared, own) in [(0.0, 1.0), (1.0, f64::NAN), (1e9, 1.0)] {
            let mut rng = Seed(4).stream(Stream::Family);
            assert!(Synthesis { shared, own, families: 1 }.apply(&mut trace(), &mut rng).is_err());
        }
    }
}
