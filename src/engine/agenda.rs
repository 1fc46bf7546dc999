//! What a worker has to send next, and when: its slots of one phase, in the order in which they come due.
//!
//! Three sources are merged: slots that the clock releases (a sorted list), slots of which all has happened that they
//! wait for (a heap) and lanes of closed-loop load (free or not). Pure: time is passed in.
//! Invariant: each slot of the shard comes out once: from [`Agenda::next_due`], from [`Agenda::on_not_sent`], or from
//! [`Agenda::leftovers`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use crate::schedule::ramp::Ramp;
use crate::schedule::{PhasePlan, Release, Slot, WaitFor, shard};

/// A slot that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Position in the phase's slots, counted on through repeats.
    pub ordinal: u64,
    /// When it should be sent.
    pub scheduled_ns: i64,
    /// When the last of what it waits for happened.
    pub released_ns: Option<i64>,
}

/// A slot that waits, and how far that has come.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Things that are still to happen.
    left: u32,
    /// When it is due, by what has happened so far.
    due_ns: i64,
    /// When the last of that happened.
    released_ns: i64,
    /// Something that it waits for will never happen.
    is_lost: bool,
}

/// The slots of one worker in one phase.
#[derive(Debug)]
pub struct Agenda<'a> {
    phase: &'a PhasePlan,
    start_ns: i64,
    /// Slots that the clock releases, in order of time.
    timed: Vec<u32>,
    next_timed: usize,
    /// Slots that wait for nothing any more: when they are due, which, and when they were released.
    released: BinaryHeap<Reverse<(i64, u64, i64)>>,
    /// Slots that wait for several things, once one of them has come; by position.
    waiting: HashMap<u64, Waiting>,
    /// First slots of groups that wait for a lane.
    laned: Vec<u32>,
    next_laned: u64,
    /// Slots that are yet to end of each group that holds a lane; by position of its first. None for groups of one.
    lane_holders: HashMap<u64, u32>,
    /// The lanes of this worker, and how many of them have been used.
    lanes: Ramp,
    lanes_used: u32,
    /// When each lane that was used became free again.
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
                Release::After(_) => {}
            }
        }
        Agenda {
            phase,
            start_ns,
            timed,
            next_timed: 0,
            released: BinaryHeap::new(),
            waiting: HashMap::new(),
            laned,
            next_laned: 0,
            lane_holders: HashMap::new(),
            lanes: Ramp::new(Some(phase.lanes), phase.caps.ramp_ns, start_ns, worker, workers),
            lanes_used: 0,
            free_lanes: VecDeque::new(),
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
        let lane = if self.lane_slot_waits() { self.next_lane_ns() } else { None };
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
        let free_ns = self.take_lane()?;
        let (pass, place) = self.lane_position();
        let ordinal = pass * self.phase.slots.len() as u64 + u64::from(self.laned[place]);
        self.next_laned += 1;
        Some(Due { ordinal, scheduled_ns: free_ns, released_ns: Some(free_ns) })
    }

    /// When the next lane is free: one that opens, or one that was used before.
    #[inline]
    fn next_lane_ns(&self) -> Option<i64> {
        let opening_ns = self.lanes.opening_ns(self.lanes_used);
        opening_ns.into_iter().chain(self.free_lanes.front().copied()).min()
    }

    fn take_lane(&mut self) -> Option<i64> {
        let free_ns = self.next_lane_ns()?;
        if self.lanes.opening_ns(self.lanes_used) == Some(free_ns) {
            self.lanes_used += 1;
        } else {
            self.free_lanes.pop_front();
        }
        Some(free_ns)
    }

    /// The slot that the clock releases next, if any is left.
    pub fn next_timed(&self) -> Option<u64> {
        self.timed.get(self.next_timed).map(|index| u64::from(*index))
    }

    /// Whether the moment of a request's sending releases something.
    pub fn is_sending_awaited(&self, ordinal: u64) -> bool {
        let links = self.phase.graph.links(self.split(ordinal).1);
        links.iter().any(|link| link.event == WaitFor::Dispatch)
    }

    /// Tells that the request at a position was sent.
    pub fn on_sent(&mut self, ordinal: u64, sent_ns: i64) {
        self.happened(ordinal, WaitFor::Dispatch, sent_ns);
    }

    /// Tells that the request at a position ended: releases what waits for that, or frees its lane.
    pub fn on_end(&mut self, ordinal: u64, end_ns: i64) {
        self.happened(ordinal, WaitFor::End, end_ns);
        self.leave_lane(ordinal, end_ns);
    }

    /// Tells that the request at a position will never be sent. Gives what hangs on it, and so will not be sent either; of
    /// closed-loop load bounded by time nothing, since that was not scheduled.
    pub fn on_not_sent(&mut self, ordinal: u64, now_ns: i64) -> Vec<Due> {
        let graph = &self.phase.graph;
        let (mut lost, mut next) = (Vec::new(), vec![ordinal]);
        while let Some(ordinal) = next.pop() {
            let (pass, index) = self.split(ordinal);
            for link in graph.links(index) {
                let waiting = pass + u64::from(link.slot);
                if self.count_down(waiting, None) {
                    lost.push(Due { ordinal: waiting, scheduled_ns: now_ns, released_ns: None });
                    next.push(waiting);
                }
            }
            self.leave_lane(ordinal, now_ns);
        }
        if self.phase.ends_by_time() { Vec::new() } else { lost }
    }

    /// The position at which a pass over the slots began, and the place in it.
    fn split(&self, ordinal: u64) -> (u64, u32) {
        let index = ordinal % self.phase.slots.len() as u64;
        (ordinal - index, index as u32)
    }

    fn happened(&mut self, ordinal: u64, event: WaitFor, at_ns: i64) {
        let (pass, index) = self.split(ordinal);
        for link in self.phase.graph.links(index).iter().filter(|link| link.event == event) {
            self.count_down(pass + u64::from(link.slot), Some((at_ns, link.delay_ns)));
        }
    }

    /// One of the things that a slot waits for happened then, with a pause behind it, or never will. Tells whether the slot
    /// is lost by that.
    fn count_down(&mut self, ordinal: u64, happened: Option<(i64, i64)>) -> bool {
        let index = self.split(ordinal).1;
        let mut waiting = self.waiting.remove(&ordinal).unwrap_or_else(|| Waiting {
            left: self.phase.graph.waits(index),
            due_ns: self.time_of(index),
            released_ns: i64::MIN,
            is_lost: false,
        });
        let was_lost = waiting.is_lost;
        waiting.left -= 1;
        match happened {
            Some((at_ns, delay_ns)) => {
                waiting.due_ns = waiting.due_ns.max(at_ns.saturating_add(delay_ns));
                waiting.released_ns = waiting.released_ns.max(at_ns);
            }
            None => waiting.is_lost = true,
        }
        if waiting.left > 0 {
            self.waiting.insert(ordinal, waiting);
        } else if !waiting.is_lost {
            self.released.push(Reverse((waiting.due_ns, ordinal, waiting.released_ns)));
        }
        waiting.is_lost && !was_lost
    }

    /// The last slot of a group that ends frees the group's lane.
    fn leave_lane(&mut self, ordinal: u64, now_ns: i64) {
        if self.phase.lanes == 0 {
            return;
        }
        let (pass, index) = self.split(ordinal);
        let group = self.phase.graph.group(index);
        let size = self.phase.graph.group_size(group);
        if size > 1 {
            let left = self.lane_holders.entry(pass + u64::from(group)).or_insert(size);
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.lane_holders.remove(&(pass + u64::from(group)));
        }
        self.free_lanes.push_back(now_ns);
    }

    /// Whether nothing will come due any more without a completion.
    pub fn is_done(&self) -> bool {
        self.next_due_ns().is_none()
    }

    /// The slots that were not sent when the phase stopped at `stop_ns`, each as it was scheduled. Of closed-loop load
    /// bounded by time none is left: what was not released was not scheduled.
    pub fn leftovers(mut self, stop_ns: i64) -> Vec<Due> {
        let mut left = Vec::new();
        for index in &self.timed[self.next_timed..] {
            left.push(Due { ordinal: u64::from(*index), scheduled_ns: self.time_of(*index), released_ns: None });
        }
        while let Some(Reverse((due, ordinal, released))) = self.released.pop() {
            if due > stop_ns && self.phase.ends_by_time() {
                break;
            }
            left.push(Due { ordinal, scheduled_ns: due, released_ns: Some(released) });
        }
        if !self.phase.ends_by_time() {
            for index in self.laned.iter().skip(self.next_laned as usize) {
                left.push(Due { ordinal: u64::from(*index), scheduled_ns: stop_ns, released_ns: None });
            }
            self.push_what_hangs_on(stop_ns, &mut left);
        }
        left
    }

    /// Appends what waits for slots that were not sent: nothing ever released it.
    fn push_what_hangs_on(&self, stop_ns: i64, left: &mut Vec<Due>) {
        let mut joins = HashSet::new();
        let mut next: Vec<u64> = left.iter().map(|due| due.ordinal).collect();
        while let Some(ordinal) = next.pop() {
            let (pass, index) = self.split(ordinal);
            for link in self.phase.graph.links(index) {
                let waiting = pass + u64::from(link.slot);
                let is_lost = self.waiting.get(&waiting).is_some_and(|w| w.is_lost);
                if is_lost || (self.phase.graph.waits(link.slot) > 1 && !joins.insert(waiting)) {
                    continue;
                }
                left.push(Due { ordinal: waiting, scheduled_ns: stop_ns, released_ns: None });
                next.push(waiting);
            }
        }
    }

    /// When the clock lets a slot be sent.
    fn time_of(&self, index: u32) -> i64 {
        match self.phase.slots[index as usize].release {
            Release::At(t) | Release::After(t) => self.start_ns + t,
            Release::Lane => self.start_ns,
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
mod tests;
