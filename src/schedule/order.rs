//! A pool of requests → the order in which a run takes them.
//!
//! What is taken is whole groups (conversations). In order, the pool is gone through from its beginning, as it stands,
//! and again; sampled, one group is taken after the other.
//! Not here: when they are sent (`place`).

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::rng::Rng;

/// Which conversation of the pool comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// The next one; the first behind the last.
    #[default]
    Sequential,
    /// Any one, all as likely.
    Random,
    /// Each once, in an order drawn anew for each pass over the pool.
    Shuffle,
}

impl Sampling {
    /// The name in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Sampling::Sequential => "sequential",
            Sampling::Random => "random",
            Sampling::Shuffle => "shuffle",
        }
    }
}

/// The endless order. Each item is a request, and whether none before it belongs to its pass: what was noted of sessions
/// before is of another one.
pub(super) struct Order {
    sampling: Sampling,
    rng: Rng,
    requests: usize,
    /// The requests of each group, where groups are sampled.
    groups: Vec<Vec<u32>>,
    /// Groups still to be taken of this pass, the next one last.
    left: Vec<u32>,
    /// The group that is being taken, and how many of its requests were; of a pool in order, the request alone.
    at: (usize, usize),
}

impl Order {
    /// The order of a pool of so many requests. `group` names each one's group by its first member.
    pub(super) fn new(sampling: Sampling, rng: Rng, requests: usize, group: impl Fn(usize) -> u32) -> Order {
        let mut groups: Vec<Vec<u32>> = Vec::new();
        if sampling != Sampling::Sequential {
            let mut number_of = vec![0; requests];
            for request in 0..requests {
                let first = group(request) as usize;
                if first == request {
                    number_of[request] = groups.len();
                    groups.push(Vec::new());
                }
                groups[number_of[first]].push(request as u32);
            }
        }
        Order { sampling, rng, requests, groups, left: Vec::new(), at: (usize::MAX, 0) }
    }

    /// Begins a phase: in order, at the pool's beginning; sampled, with conversations drawn anew.
    pub(super) fn begin(&mut self) {
        self.at = (usize::MAX, 0);
        self.left.clear();
    }

    fn next_group(&mut self) -> usize {
        if self.sampling == Sampling::Random {
            return self.rng.random_range(0..self.groups.len());
        }
        if self.left.is_empty() {
            self.left.extend(0..self.groups.len() as u32);
            self.left.shuffle(&mut self.rng);
        }
        self.left.pop().unwrap_or(0) as usize
    }
}

impl Iterator for Order {
    type Item = (usize, bool);

    fn next(&mut self) -> Option<(usize, bool)> {
        if self.requests == 0 {
            return None;
        }
        if self.sampling == Sampling::Sequential {
            let request = self.at.1 % self.requests;
            self.at.1 += 1;
            return Some((request, request == 0));
        }
        if self.groups.get(self.at.0).is_none_or(|group| self.at.1 == group.len()) {
            self.at = (self.next_group(), 0);
        }
        let (group, n) = self.at;
        self.at.1 += 1;
        Some((self.groups[group][n] as usize, n == 0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::rng::{Seed, Stream};

    /// Requests 0 and 2 are one conversation, 1, 3 and 4 stand alone.
    fn taken(sampling: Sampling, n: usize) -> Vec<(usize, bool)> {
        let rng = Seed(1).stream(Stream::Order);
        Order::new(sampling, rng, 5, |r| if r == 2 { 0 } else { r as u32 }).take(n).collect()
    }

    #[test]
    fn in_order_the_pool_begins_again_behind_its_end() {
        let expect = [(0, true), (1, false), (2, false), (3, false), (4, false), (0, true)];
        assert_eq!(taken(Sampling::Sequential, 6), expect);
    }

    #[test]
    fn sampled_conversations_are_whole_and_a_shuffle_takes_each_once_a_pass() {
        for sampling in [Sampling::Random, Sampling::Shuffle] {
            let requests = taken(sampling, 1000);
            for pair in requests.windows(2) {
                assert_eq!(pair[0].0 == 0, pair[1] == (2, false), "{pair:?}");
            }
            let passes: Vec<HashSet<usize>> = requests.chunks(5).map(|c| c.iter().map(|r| r.0).collect()).collect();
            let is_whole = passes.iter().all(|pass| pass.len() == 5);
            assert_eq!(is_whole, sampling == Sampling::Shuffle);
            let orders: HashSet<Vec<usize>> = requests.chunks(5).map(|c| c.iter().map(|r| r.0).collect()).collect();
            assert!(orders.len() > 20, "passes differ");
        }
    }

    #[test]
    fn random_conversations_are_as_likely() {
        let requests = taken(Sampling::Random, 20_000);
        let firsts = requests.iter().filter(|r| r.1).count() as f64;
        for request in [0, 1, 3, 4] {
            let share = requests.iter().filter(|r| **r == (request, true)).count() as f64 / firsts;
            assert!((share - 0.25).abs() < 0.02, "{request}: {share}");
        }
    }
}
