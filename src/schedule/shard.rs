//! Divides a phase's slots among workers: each slot to one worker, what hangs together whole.
//!
//! Slots, and groups of those that wait for each other, are dealt out in turn, so that every worker's load has the same
//! shape. Thinning a Poisson process this way leaves its sum exact: the slots' times are not touched.

use std::collections::HashMap;

use super::PhasePlan;

/// The slots of one worker: indices into [`PhasePlan::slots`], in their order.
pub fn slots_of(phase: &PhasePlan, worker: u32, workers: u32) -> Vec<u32> {
    let mut turn = 0;
    let mut owners = HashMap::new();
    let mut mine = Vec::with_capacity(phase.slots.len() / workers as usize + 1);
    for index in 0..phase.slots.len() as u32 {
        let group = phase.graph.group(index);
        let owner = if group == index {
            let owner = turn;
            turn = (turn + 1) % workers;
            if phase.graph.group_size(group) > 1 {
                owners.insert(group, owner);
            }
            owner
        } else {
            owners[&group]
        };
        if owner == worker {
            mine.push(index);
        }
    }
    mine
}

/// This worker's part of `total` lanes or places in flight; the parts add up to `total`.
pub fn share_of(total: u32, worker: u32, workers: u32) -> u32 {
    total / workers + u32::from(worker < total % workers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Phase;
    use crate::schedule::graph::{Graph, Link};
    use crate::schedule::{Caps, Overload, Prompt, Release, Slot, WaitFor};

    #[test]
    fn every_slot_has_one_worker_and_what_hangs_together_stays_whole() {
        let slot = Slot {
            release: Release::Lane,
            prompt: Prompt::Unique,
            input_tokens: 1,
            max_tokens: None,
            session: None,
            turn: 0,
            previous_turn: None,
            continues: false,
            is_continued: false,
            cancel: false,
        };
        let link = |(from, slot)| (from, Link { slot, event: WaitFor::End, delay_ns: 0 });
        let groups: [&[u32]; 3] = [&[1, 4, 5, 8], &[3, 7], &[6]];
        let phase = PhasePlan {
            phase: Phase::Profiling,
            slots: vec![slot; 9],
            graph: Graph::new(9, [(1, 4), (5, 8), (4, 8), (3, 7)].map(link).to_vec()),
            first_request_id: 0,
            lanes: 4,
            repeat: false,
            caps: Caps::default(),
            duration_ns: None,
            grace_ns: 0,
            on_overload: Overload::Queue,
            cancel_after_ns: 0,
        };
        for workers in 1..=4 {
            let shards: Vec<Vec<u32>> = (0..workers).map(|w| slots_of(&phase, w, workers)).collect();
            let mut all: Vec<u32> = shards.concat();
            all.sort_unstable();
            assert_eq!(all, (0..9).collect::<Vec<u32>>());
            for group in groups {
                assert_eq!(shards.iter().filter(|s| s.iter().any(|i| group.contains(i))).count(), 1);
            }
        }
    }

    #[test]
    fn shares_add_up() {
        for total in 0..10 {
            for workers in 1..5 {
                assert_eq!((0..workers).map(|w| share_of(total, w, workers)).sum::<u32>(), total);
            }
        }
    }
}
