//! What a worker has to send next, and when: its slots of one phase, in the order in which they come due.
//!
//! Three sources are merged: slots that the clock releases (a sorted list), slots that a completion released (a heap)
//! and lanes of closed-loop load (free or not). Pure: time is passed in.
//! Invariant: each slot of the shard comes out once: from [`Agenda::next_due`], or from [`Agenda::leftovers`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::schedule::{PhasePlan, Release, Slot, shard};

/// A slot that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Position in the phase's slots, counted on through repeats.
    pub ordinal: u64,
    /// When it should be sent.
    pub scheduled_ns: i64,
    /// When a completion released it.
    pub released_ns: Option<i64>,
}

/// The slots of one worker in one phase.
#[derive(Debug)]
pub struct Agenda<'a> {
    phase: &'a PhasePlan,
    start_ns: i64,
    /// Slots that the clock releases, in order of time.
    timed: Vec<u32>,
    next_timed: usize,
    /// Slots that a completion released: when they are due, which, and when they were released.
    released: BinaryHeap<Reverse<(i64, u64, i64)>>,
    /// First turns that wait for a lane.
    laned: Vec<u32>,
    next_laned: u64,
    /// When each free lane became free.
    free_lanes: VecDeque<i64>,
}

impl<'a> Agenda<'a> {
    /// The agenda of `worker` of `workers` in a phase that starts at `start_ns`.
    pub fn new(phase: &'a PhasePlan, start_ns: i64, worker: u32, workers: u32) -> Self {
        let (mut timed, mut laned) = (Vec::new(), Vec::new());
        for index in shard::slots_of(phase, worker, workers) {
            match phase.slots[index as usize].release {
                Release::At(_) => timed.push(index),
                Release::Lane => laned.push(index),
                Release::AfterPrevious { .. } => {}
            }
        }
        let lanes = shard::share_of(phase.lanes, worker, workers);
        Agenda {
            phase,
            start_ns,
            timed,
            next_timed: 0,
            released: BinaryHeap::new(),
            laned,
            next_laned: 0,
            free_lanes: (0..lanes).map(|_| start_ns).collect(),
        }
    }

    /// The slot at a position.
    pub fn slot(&self, ordinal: u64) -> &'a Slot {
        &self.phase.slots[(ordinal % self.phase.slots.len() as u64) as usize]
    }

    /// When the next slot is due; `None` when nothing is, until something completes.
    #[inline]
    pub fn next_due_ns(&self) -> Option<i64> {
        let timed = self.timed.get(self.next_timed).map(|index| self.time_of(*index));
        let released = self.released.peek().map(|Reverse((due, ..))| *due);
        let lane = if self.lane_slot_waits() { self.free_lanes.front().copied() } else { None };
        [timed, released, lane].into_iter().flatten().min()
    }

    /// Takes the next slot, if it is due at `now_ns`.
    pub fn next_due(&mut self, now_ns: i64) -> Option<Due> {
        let due_ns = self.next_due_ns().filter(|due| *due <= now_ns)?;
        if let Some(&index) = self.timed.get(self.next_timed)
            && self.time_of(index) == due_ns
        {
            self.next_timed += 1;
            return Some(Due { ordinal: u64::from(index), scheduled_ns: due_ns, released_ns: None });
        }
        if let Some(&Reverse((due, ordinal, released))) = self.released.peek()
            && due == due_ns
        {
            self.released.pop();
            return Some(Due { ordinal, scheduled_ns: due, released_ns: Some(released) });
        }
        let free_ns = self.free_lanes.pop_front()?;
        let (pass, place) = self.lane_position();
        let ordinal = pass * self.phase.slots.len() as u64 + u64::from(self.laned[place]);
        self.next_laned += 1;
        Some(Due { ordinal, scheduled_ns: free_ns, released_ns: Some(free_ns) })
    }

    /// Tells that the request at a position ended: releases the session's next turn, or frees its lane.
    pub fn on_end(&mut self, ordinal: u64, end_ns: i64) {
        let slot = self.slot(ordinal);
        if let Some(next) = slot.next_turn {
            let len = self.phase.slots.len() as u64;
            let next_ordinal = ordinal - ordinal % len + u64::from(next);
            if let Release::AfterPrevious { think_ns, not_before_ns } = self.slot(next_ordinal).release {
                let due = (end_ns + think_ns).max(self.start_ns + not_before_ns);
                self.released.push(Reverse((due, next_ordinal, end_ns)));
            }
        } else if self.phase.lanes > 0 {
            self.free_lanes.push_back(end_ns);
        }
    }

    /// Whether nothing will come due any more without a completion.
    pub fn is_done(&self) -> bool {
        self.next_due_ns().is_none()
    }

    /// The slots that were not sent when the phase stopped at `stop_ns`, each as it was scheduled. Of closed-loop load
    /// bounded by time alone none is left: what was not released was not scheduled.
    pub fn leftovers(mut self, stop_ns: i64) -> Vec<Due> {
        let mut left = Vec::new();
        for index in &self.timed[self.next_timed..] {
            left.push(Due { ordinal: u64::from(*index), scheduled_ns: self.time_of(*index), released_ns: None });
        }
        while let Some(Reverse((due, ordinal, released))) = self.released.pop() {
            left.push(Due { ordinal, scheduled_ns: due, released_ns: Some(released) });
        }
        if !self.phase.repeat {
            for index in self.laned.iter().skip(self.next_laned as usize) {
                left.push(Due { ordinal: u64::from(*index), scheduled_ns: stop_ns, released_ns: None });
            }
            let reached: Vec<u64> = left.iter().map(|due| due.ordinal).collect();
            for ordinal in reached {
                self.push_later_turns(ordinal, stop_ns, &mut left);
            }
        }
        left
    }

    /// Appends the turns behind one that was not sent: nothing ever released them.
    fn push_later_turns(&self, ordinal: u64, stop_ns: i64, left: &mut Vec<Due>) {
        let mut next = self.slot(ordinal).next_turn;
        while let Some(index) = next {
            left.push(Due { ordinal: u64::from(index), scheduled_ns: stop_ns, released_ns: None });
            next = self.phase.slots[index as usize].next_turn;
        }
    }

    fn time_of(&self, index: u32) -> i64 {
        match self.phase.slots[index as usize].release {
            Release::At(t) => self.start_ns + t,
            Release::AfterPrevious { .. } | Release::Lane => self.start_ns,
        }
    }

    /// Which pass over the lane slots is being made, and the place in it.
    fn lane_position(&self) -> (u64, usize) {
        let len = self.laned.len() as u64;
        (self.next_laned / len, (self.next_laned % len) as usize)
    }

    fn lane_slot_waits(&self) -> bool {
        !self.laned.is_empty() && (self.phase.repeat || self.next_laned < self.laned.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Phase;
    use crate::schedule::{Overload, Prompt};

    fn slot(release: Release, session: Option<u32>, next_turn: Option<u32>) -> Slot {
        Slot {
            release,
            prompt: Prompt::Unique,
            input_tokens: 1,
            max_tokens: None,
            session,
            turn: 0,
            next_turn,
            cancel: false,
        }
    }

    fn phase(slots: Vec<Slot>, lanes: u32, repeat: bool) -> PhasePlan {
        PhasePlan {
            phase: Phase::Profiling,
            slots,
            first_request_id: 0,
            lanes,
            repeat,
            in_flight_max: None,
            duration_ns: None,
            grace_ns: 0,
            on_overload: Overload::Queue,
            cancel_after_ns: 0,
        }
    }

    #[test]
    fn a_turn_waits_for_the_previous_ones_end_and_for_its_own_time() {
        let after = Release::AfterPrevious { think_ns: 5, not_before_ns: 100 };
        let p = phase(vec![slot(Release::At(10), Some(0), Some(1)), slot(after, Some(0), None)], 0, false);
        let mut agenda = Agenda::new(&p, 1000, 0, 1);
        assert_eq!((agenda.next_due(1009), agenda.next_due_ns()), (None, Some(1010)));
        let first = agenda.next_due(1012).unwrap();
        assert_eq!(first, Due { ordinal: 0, scheduled_ns: 1010, released_ns: None });
        assert!(agenda.is_done());
        agenda.on_end(0, 1050);
        assert_eq!(agenda.next_due(1100), Some(Due { ordinal: 1, scheduled_ns: 1100, released_ns: Some(1050) }));
    }

    #[test]
    fn lanes_are_held_by_a_whole_session() {
        let after = Release::AfterPrevious { think_ns: 0, not_before_ns: 0 };
        let slots =
            vec![slot(Release::Lane, Some(0), Some(1)), slot(after, Some(0), None), slot(Release::Lane, None, None)];
        let p = phase(slots, 1, false);
        let mut agenda = Agenda::new(&p, 0, 0, 1);
        assert_eq!(agenda.next_due(0).unwrap().ordinal, 0);
        assert_eq!(agenda.next_due(0), None);
        agenda.on_end(0, 7);
        assert_eq!(agenda.next_due(7).unwrap().ordinal, 1);
        assert_eq!(agenda.next_due(8), None);
        agenda.on_end(1, 9);
        assert_eq!(agenda.next_due(9), Some(Due { ordinal: 2, scheduled_ns: 9, released_ns: Some(9) }));
    }

    #[test]
    fn repeated_lanes_give_every_request_an_id_of_its_own() {
        let p = phase((0..5).map(|_| slot(Release::Lane, None, None)).collect(), 4, true);
        let mut seen = Vec::new();
        for worker in 0..2 {
            let mut agenda = Agenda::new(&p, 0, worker, 2);
            for t in 0..9 {
                let due = agenda.next_due(t).unwrap();
                seen.push(due.ordinal);
                agenda.on_end(due.ordinal, t);
            }
            assert_eq!(agenda.leftovers(10), []);
        }
        let n = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), n);
    }

    #[test]
    fn what_was_not_sent_is_left_over_with_all_that_hangs_on_it() {
        let after = Release::AfterPrevious { think_ns: 0, not_before_ns: 0 };
        let slots = vec![
            slot(Release::At(1), None, None),
            slot(Release::At(2), Some(0), Some(2)),
            slot(after, Some(0), Some(3)),
            slot(after, Some(0), None),
        ];
        let p = phase(slots, 0, false);
        let mut agenda = Agenda::new(&p, 0, 0, 1);
        agenda.next_due(1);
        let left: Vec<(u64, i64)> = agenda.leftovers(50).iter().map(|d| (d.ordinal, d.scheduled_ns)).collect();
        assert_eq!(left, [(1, 2), (2, 50), (3, 50)]);
    }
}
