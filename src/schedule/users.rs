//! Conversations × users → slots: each user asks once in a gap, one conversation after the other.
//!
//! User i of n begins at i/n of the gap g, so that all of them together ask every g/n, and no two at once. The turn after one
//! that was sent at s and had ended at e is due at max(s + g, e): a user never has two requests in flight, and after a late answer keeps
//! the gap. A conversation's successor on the same seat begins a gap after its last turn's time, whatever that turn does.
//! At the start users are in the midst of their conversations, as they would be had they been there before: user i has had the
//! first i/n of its turns already, and comes with the tokens that were said in them, as far as prompts are drawn.
//! Not here: the links' meaning (`graph`), the order of conversations (`order`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::order::Order;
use super::place::{Placing, Pool};
use super::spec::{PhaseSpec, Users};
use super::{Prompt, Release};
use crate::error::{Error, Result};

/// Fewest turns of a conversation, on the mean.
const TURNS_MIN: u64 = 2;

/// One user's conversation.
#[derive(Debug, Default)]
struct Seat {
    /// Its requests, those that are still to come last.
    turns: Vec<usize>,
    /// How many of them were placed, or had been before the start.
    next: usize,
    /// The slot of the last one.
    last_slot: Option<u32>,
}

/// Places the conversations of the pool, in their order, until the phase's bounds.
pub(super) fn place(placing: &mut Placing<'_>, users: Users, spec: &PhaseSpec, order: &mut Order) -> Result<()> {
    let pool = placing.pool();
    if (pool.len() as u64) < TURNS_MIN * pool.conversations() {
        return Err(Error::Usage(
            "--user-centric-rate needs conversations of two turns or more on the mean: give --conversation-turn-mean 2, or a trace with \
             sessions"
                .into(),
        ));
    }
    if pool.has_waits() {
        return Err(Error::Usage(
            "--user-centric-rate takes conversations of one turn after the other, and requests of this trace wait for others too; replay it \
             with --concurrency or --fixed-schedule"
                .into(),
        ));
    }
    let members = pool.members();
    let end_ns = spec.duration_ns.unwrap_or(i64::MAX);
    let (most, conversations) = (spec.requests_max.unwrap_or(u64::MAX), spec.conversations_max.unwrap_or(u64::MAX));
    let mut begun = 0;
    let mut seats: Vec<Seat> = (0..users.seats).map(|_| Seat::default()).collect();
    let starts = (0..users.seats).map(|seat| Reverse((at(users, seat), seat)));
    let mut due: BinaryHeap<Reverse<(i64, u32)>> = starts.collect();
    while let Some(Reverse((at_ns, number))) = due.pop() {
        if at_ns >= end_ns || placing.len() as u64 >= most {
            break;
        }
        let seat = &mut seats[number as usize];
        if seat.next == seat.turns.len() {
            if begun == conversations {
                continue;
            }
            let first =
                order.by_ref().map(|(request, _)| request).find(|request| pool.group(*request) as usize == *request);
            let Some(first) = first else { break };
            let is_first = seat.turns.is_empty();
            *seat = Seat { turns: members[first].clone(), ..Seat::default() };
            begun += 1;
            if is_first {
                seat.next = seat.turns.len() * number as usize / users.seats as usize;
            }
        }
        let (request, had) = (seat.turns[seat.next], &seat.turns[..seat.next]);
        let release = match seat.last_slot {
            None => Release::At(at_ns),
            Some(_) => Release::After(at_ns),
        };
        let slot = placing.add_turn(request, seat.last_slot, release, users.gap_ns)?;
        if seat.last_slot.is_none() && !had.is_empty() {
            placing.come_with(slot, had)?;
        }
        seat.last_slot = Some(slot);
        seat.next += 1;
        due.push(Reverse((at_ns.saturating_add(users.gap_ns), number)));
    }
    Ok(())
}

/// When a user begins.
fn at(users: Users, seat: u32) -> i64 {
    (i128::from(users.gap_ns) * i128::from(seat) / i128::from(users.seats)) as i64
}

impl Pool<'_> {
    /// The requests of each conversation, at the place of its first one.
    fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.len()];
        for request in 0..self.len() {
            members[self.group(request) as usize].push(request);
        }
        members
    }
}

impl Placing<'_> {
    /// Makes a conversation's first slot one in its midst, behind those turns.
    fn come_with(&mut self, slot: u32, had: &[usize]) -> Result<()> {
        let said = had.iter().map(|turn| self.tokens_said(*turn)).sum::<u64>();
        let adds = self.adds();
        let slot = &mut self.slots_mut()[slot as usize];
        slot.turn = had.len() as u32;
        if adds && slot.prompt == Prompt::Unique {
            let tokens = u64::from(slot.input_tokens) + said;
            slot.input_tokens = u32::try_from(tokens)
                .map_err(|_| Error::Usage(format!("a conversation of {tokens} tokens is longer than 4e9 tokens")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::tests::{spec, trace};
    use super::super::graph::Link;
    use super::super::spec::Load;
    use super::super::{PhasePlan, WaitFor};
    use super::*;
    use crate::outcome::Phase;
    use crate::trace::Entry;

    /// Sessions with so many turns each, their requests in turn.
    fn sessions(turns: &[usize]) -> crate::schedule::spec::Source {
        let entry = |session: usize| Entry {
            input_tokens: 20,
            output_tokens: Some(3),
            session: Some(session as u32),
            delay_ns: Some(7),
            ..Entry::default()
        };
        let most = turns.iter().copied().max().unwrap_or(0);
        let all = (0..most).flat_map(|turn| (0..turns.len()).filter(move |s| turns[*s] > turn).map(entry));
        trace(all.collect())
    }

    fn plan(turns: &[usize], users: Users, bounds: (Option<u64>, Option<u64>, Option<i64>)) -> Result<PhasePlan> {
        let (requests_max, conversations_max, duration_ns) = bounds;
        let phase = PhaseSpec::new(Phase::Profiling, Load::Users(users));
        let phase = PhaseSpec { requests_max, conversations_max, duration_ns, ..phase };
        Ok(spec(sessions(turns), vec![phase]).build()?.phases.remove(0))
    }

    /// When each slot may be sent, and its turn.
    fn times(plan: &PhasePlan) -> Vec<(i64, u32)> {
        let time = |release| match release {
            Release::At(t) | Release::After(t) => t,
            Release::Lane => unreachable!("no lane"),
        };
        plan.slots.iter().map(|s| (time(s.release), s.turn)).collect()
    }

    #[test]
    fn users_ask_in_turn_and_begin_in_the_midst() {
        let users = Users { seats: 2, gap_ns: 100 };
        let plan = plan(&[4, 4, 2], users, (None, Some(3), None)).unwrap();
        // The second user has had two of its four turns, and goes on with the third conversation.
        let expect = [(0, 0), (50, 2), (100, 1), (150, 3), (200, 2), (250, 0), (300, 3), (350, 1)];
        assert_eq!(times(&plan), expect);
        assert_eq!(plan.slots.iter().map(|s| s.input_tokens).collect::<Vec<_>>(), [20, 66, 43, 89, 66, 20, 89, 43]);
        let link = |event, delay_ns| Link { slot: 2, event, delay_ns };
        assert_eq!(plan.graph.links(0), [link(WaitFor::End, 0), link(WaitFor::Dispatch, 100)]);
        assert_eq!((plan.slots[5].release, plan.slots[5].previous_turn), (Release::At(250), None));
    }

    #[test]
    fn every_bound_ends_them_and_the_rate_is_the_one_asked_for() {
        let users = Users { seats: 5, gap_ns: 1000 };
        for (turns, seed) in [(vec![3; 4], 0), (vec![2, 5, 9, 1, 4], 1), (vec![30], 2)] {
            let all = plan(&turns, users, (None, None, Some(20_000))).unwrap();
            assert_eq!(all.slots.len(), 100, "case {seed}: one request in each 200 ns");
            assert_eq!(
                times(&all).iter().map(|(t, _)| *t).collect::<Vec<_>>(),
                (0..100).map(|n| n * 200).collect::<Vec<_>>()
            );
            assert_eq!(plan(&turns, users, (Some(7), None, None)).unwrap().slots.len(), 7);
        }
        assert_eq!(plan(&[4; 9], Users { seats: 1, gap_ns: 10 }, (None, Some(6), None)).unwrap().slots.len(), 24);
    }

    #[test]
    fn single_requests_have_no_users() {
        let error = plan(&[1, 2, 1], Users { seats: 2, gap_ns: 10 }, (Some(5), None, None)).unwrap_err();
        assert!(error.to_string().contains("--conversation-turn-mean"), "{error}");
    }
}
