//! Who waits for whom: the links between requests → what each moment of a slot releases, and who hangs together.
//!
//! A session is a chain of links, a join a slot with several, a spawn a link to the sending of another. Requests that
//! hang together, however indirectly, are a *group*: they stay on one worker, and hold one lane of closed-loop load.
//! Invariants: a link runs from an earlier slot to a later one; a group is named by its first member.
//! Not here: what has happened already (the engine's agenda).

use std::collections::HashMap;

use crate::trace::{Trace, Wait, WaitFor};

/// A slot that waits for a moment of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The slot that waits.
    pub slot: u32,
    /// The moment of the other one that it waits for.
    pub event: WaitFor,
    /// Pause after that moment.
    pub delay_ns: i64,
}

/// The links of one phase. Holds nothing where nothing waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Where each slot's links begin in `links`; one more than there are slots.
    starts: Vec<u32>,
    links: Vec<Link>,
    /// How many links end at each slot.
    waits: Vec<u32>,
    /// The group of each slot.
    groups: Vec<u32>,
    /// The size of each group, at its first slot.
    sizes: Vec<u32>,
}

impl Graph {
    /// The graph of `slots` slots with these links, each with the slot that it begins at.
    pub fn new(slots: usize, mut links: Vec<(u32, Link)>) -> Graph {
        if links.is_empty() {
            return Graph::default();
        }
        links.sort_by_key(|(from, link)| (*from, link.slot));
        let (mut starts, mut waits, mut sizes) = (vec![0; slots + 1], vec![0; slots], vec![0; slots]);
        for (from, link) in &links {
            starts[*from as usize + 1] += 1;
            waits[link.slot as usize] += 1;
        }
        for slot in 0..slots {
            starts[slot + 1] += starts[slot];
        }
        let groups = groups(slots, links.iter().map(|(from, link)| (*from, link.slot)));
        groups.iter().for_each(|group| sizes[*group as usize] += 1);
        Graph { starts, links: links.into_iter().map(|(_, link)| link).collect(), waits, groups, sizes }
    }

    /// What waits for a slot.
    pub fn links(&self, slot: u32) -> &[Link] {
        let slot = slot as usize;
        if self.links.is_empty() {
            &[]
        } else {
            &self.links[self.starts[slot] as usize..self.starts[slot + 1] as usize]
        }
    }

    /// How many things a slot waits for.
    pub fn waits(&self, slot: u32) -> u32 {
        self.waits.get(slot as usize).copied().unwrap_or(0)
    }

    /// The group of a slot: the first slot that hangs together with it.
    pub fn group(&self, slot: u32) -> u32 {
        self.groups.get(slot as usize).copied().unwrap_or(slot)
    }

    /// How many slots a group has.
    pub fn group_size(&self, group: u32) -> u32 {
        self.sizes.get(group as usize).copied().unwrap_or(1)
    }
}

/// The group of each entry of a trace, by its sessions and its waits; empty where each stands alone.
pub fn groups_of(trace: &Trace) -> Vec<u32> {
    if trace.waits.is_empty() && trace.sessions.is_empty() {
        return Vec::new();
    }
    let waits = |index: u32| trace.waits(&trace.entries[index as usize]);
    grouped(trace.entries.iter().map(|entry| entry.session), waits)
}

/// The group of each request, by its session and by what it waits for.
pub(super) fn grouped<'a>(sessions: impl Iterator<Item = Option<u32>>, waits: impl Fn(u32) -> &'a [Wait]) -> Vec<u32> {
    let (mut last_turns, mut pairs, mut requests) = (HashMap::new(), Vec::new(), 0);
    for (index, session) in (0u32..).zip(sessions) {
        pairs.extend(session.and_then(|s| last_turns.insert(s, index)).map(|turn| (turn, index)));
        pairs.extend(waits(index).iter().map(|wait| (wait.entry, index)));
        requests += 1;
    }
    groups(requests, pairs.into_iter())
}

/// For each of `n` things that are joined by `pairs`, the first of those that it hangs together with.
fn groups(n: usize, pairs: impl Iterator<Item = (u32, u32)>) -> Vec<u32> {
    let mut above: Vec<u32> = (0..n as u32).collect();
    let first_of = |above: &mut Vec<u32>, mut at: u32| {
        while above[at as usize] != at {
            above[at as usize] = above[above[at as usize] as usize];
            at = above[at as usize];
        }
        at
    };
    for (a, b) in pairs {
        let (a, b) = (first_of(&mut above, a), first_of(&mut above, b));
        above[a.max(b) as usize] = a.min(b);
    }
    // What stands above stands before: one pass in order reaches every first.
    for at in 0..n {
        above[at] = above[above[at] as usize];
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(slot: u32) -> Link {
        Link { slot, event: WaitFor::End, delay_ns: 0 }
    }

    #[test]
    fn links_are_found_from_their_beginning_and_counted_at_their_end() {
        let graph = Graph::new(6, vec![(1, link(4)), (0, link(2)), (2, link(4)), (0, link(5))]);
        assert_eq!(graph.links(0), [link(2), link(5)]);
        assert_eq!((graph.links(1), graph.links(3)), (&[link(4)][..], &[][..]));
        assert_eq!([0, 2, 3, 4, 5].map(|slot| graph.waits(slot)), [0, 1, 0, 2, 1]);
    }

    #[test]
    fn a_group_is_all_that_hangs_together() {
        let graph = Graph::new(7, vec![(3, link(5)), (1, link(5)), (0, link(6)), (5, link(6))]);
        assert_eq!((0..7).map(|slot| graph.group(slot)).collect::<Vec<_>>(), [0, 0, 2, 0, 4, 0, 0]);
        assert_eq!((graph.group_size(0), graph.group_size(2)), (5, 1));
        let alone = Graph::new(3, Vec::new());
        assert_eq!((alone.links(2), alone.waits(2), alone.group(2), alone.group_size(2)), (&[][..], 0, 2, 1));
    }
}
