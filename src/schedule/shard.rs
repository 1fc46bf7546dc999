//! Divides a phase's slots among workers: each slot to one worker, a session whole.
//!
//! Slots are dealt out in turn, so that every worker's load has the same shape. Thinning a Poisson process this way
//! leaves its sum exact: the slots' times are not touched.

use super::PhasePlan;

/// The slots of one worker: indices into [`PhasePlan::slots`], in their order.
pub fn slots_of(phase: &PhasePlan, worker: u32, workers: u32) -> Vec<u32> {
    let worker_of_session = |session: u32| session % workers;
    let mut turn = 0;
    let mut mine = Vec::with_capacity(phase.slots.len() / workers as usize + 1);
    for (index, slot) in (0u32..).zip(&phase.slots) {
        let owner = match slot.session {
            Some(session) => worker_of_session(session),
            None => {
                turn += 1;
                (turn - 1) % workers
            }
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
    use crate::schedule::{Overload, Prompt, Release, Slot};

    #[test]
    fn every_slot_has_one_worker_and_sessions_stay_whole() {
        let slot = |session| Slot {
            release: Release::Lane,
            prompt: Prompt::Unique,
            input_tokens: 1,
            max_tokens: None,
            session,
            turn: 0,
            next_turn: None,
            cancel: false,
        };
        let sessions = [None, Some(0), None, Some(1), Some(0), None, Some(2), Some(1), None];
        let phase = PhasePlan {
            phase: Phase::Profiling,
            slots: sessions.iter().map(|s| slot(*s)).collect(),
            first_request_id: 0,
            lanes: 4,
            repeat: false,
            in_flight_max: None,
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
            for session in 0..3 {
                let owners = shards
                    .iter()
                    .filter(|s| s.iter().any(|i| phase.slots[*i as usize].session == Some(session)))
                    .count();
                assert_eq!(owners, 1);
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
