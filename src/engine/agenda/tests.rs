//! What is due next, by the clock and by completions.

use super::*;
use crate::outcome::Phase;
use crate::schedule::WaitFor::{Dispatch, End};
use crate::schedule::graph::{Graph, Link};
use crate::schedule::{Caps, Overload, Prompt};

fn slot(release: Release) -> Slot {
    Slot {
        release,
        prompt: Prompt::Unique,
        input_tokens: 1,
        max_tokens: None,
        session: None,
        turn: 0,
        previous_turn: None,
        continues: false,
        is_continued: false,
        cancel: false,
    }
}

/// Links, each as: from, to, moment, pause.
fn phase(releases: &[Release], links: &[(u32, u32, WaitFor, i64)], lanes: u32, repeat: bool) -> PhasePlan {
    let link = |&(from, slot, event, delay_ns): &(u32, u32, WaitFor, i64)| (from, Link { slot, event, delay_ns });
    PhasePlan {
        phase: Phase::Profiling,
        slots: releases.iter().map(|release| slot(*release)).collect(),
        graph: Graph::new(releases.len(), links.iter().map(link).collect()),
        first_request_id: 0,
        lanes,
        repeat,
        caps: Caps::default(),
        duration_ns: repeat.then_some(1 << 40),
        grace_ns: 0,
        on_overload: Overload::Queue,
        cancel_after_ns: 0,
    }
}

fn due(ordinal: u64, scheduled_ns: i64, released_ns: Option<i64>) -> Due {
    Due { ordinal, scheduled_ns, released_ns }
}

#[test]
fn a_turn_waits_for_the_previous_ones_end_and_for_its_own_time() {
    for (think_ns, expect_ns) in [(5, 1100), (80, 1130)] {
        let p = phase(&[Release::At(10), Release::After(100)], &[(0, 1, End, think_ns)], 0, false);
        let mut agenda = Agenda::new(&p, 1000, 0, 1);
        assert_eq!((agenda.next_due(1009), agenda.next_due_ns()), (None, Some(1010)));
        assert_eq!(agenda.next_due(1012), Some(due(0, 1010, None)));
        assert!(agenda.is_done());
        agenda.on_end(0, 1050);
        assert_eq!(agenda.next_due(2000), Some(due(1, expect_ns, Some(1050))));
    }
}

#[test]
fn a_join_waits_for_all_and_a_spawn_for_the_sending_alone() {
    let links = [(0, 1, Dispatch, 3), (0, 2, End, 9), (1, 2, End, 0)];
    let p = phase(&[Release::At(0), Release::After(0), Release::After(0)], &links, 0, false);
    let mut agenda = Agenda::new(&p, 0, 0, 1);
    agenda.next_due(0).unwrap();
    assert_eq!((agenda.is_sending_awaited(0), agenda.is_sending_awaited(1)), (true, false));
    agenda.on_sent(0, 2);
    assert_eq!(agenda.next_due(9), Some(due(1, 5, Some(2))));
    agenda.on_end(1, 30);
    assert!(agenda.is_done(), "the other one has not ended");
    agenda.on_end(0, 25);
    assert_eq!(agenda.next_due(99), Some(due(2, 34, Some(30))));
}

#[test]
fn what_hangs_on_a_slot_that_is_not_sent_comes_out_once_and_is_never_released() {
    let links = [(0, 2, End, 0), (1, 2, End, 0), (2, 3, Dispatch, 0), (2, 3, End, 0), (1, 4, End, 0)];
    let releases = [Release::At(0), Release::At(0), Release::After(0), Release::After(0), Release::After(0)];
    let p = phase(&releases, &links, 0, false);
    let mut agenda = Agenda::new(&p, 0, 0, 1);
    agenda.next_due(0).unwrap();
    assert_eq!(agenda.on_not_sent(0, 7), [due(2, 7, None), due(3, 7, None)]);
    assert_eq!(agenda.leftovers(9), [due(1, 0, None), due(4, 9, None)], "2 and 3 are out already");
    let mut agenda = Agenda::new(&p, 0, 0, 1);
    assert_eq!([0, 0].map(|t| agenda.next_due(t).unwrap().ordinal), [0, 1]);
    agenda.on_not_sent(0, 7);
    agenda.on_end(1, 8);
    assert_eq!(agenda.next_due(99), Some(due(4, 8, Some(8))));
    assert_eq!((agenda.next_due(99), agenda.leftovers(100)), (None, vec![]));
}

#[test]
fn lanes_are_held_by_a_whole_group() {
    let releases = [Release::Lane, Release::After(0), Release::Lane, Release::After(0)];
    let p = phase(&releases, &[(0, 1, End, 0), (0, 3, Dispatch, 0)], 1, false);
    let mut agenda = Agenda::new(&p, 0, 0, 1);
    assert_eq!(agenda.next_due(0).unwrap().ordinal, 0);
    assert_eq!(agenda.next_due(0), None);
    agenda.on_sent(0, 1);
    assert_eq!(agenda.next_due(1).unwrap().ordinal, 3);
    agenda.on_end(0, 7);
    assert_eq!(agenda.next_due(7).unwrap().ordinal, 1);
    agenda.on_end(1, 9);
    assert_eq!(agenda.next_due(9), None, "the other one holds the lane");
    assert_eq!(agenda.on_not_sent(3, 12), []);
    assert_eq!(agenda.next_due(12), Some(due(2, 12, Some(12))));
}

#[test]
fn lanes_open_one_by_one_and_a_free_one_is_used_before_the_next_opens() {
    let p = PhasePlan { caps: Caps { ramp_ns: 200, ..Caps::default() }, ..phase(&[Release::Lane; 9], &[], 3, false) };
    let mut agenda = Agenda::new(&p, 1000, 0, 1);
    assert_eq!(agenda.next_due(1000), Some(due(0, 1000, Some(1000))));
    assert_eq!((agenda.next_due(1099), agenda.next_due_ns()), (None, Some(1100)));
    agenda.on_end(0, 1050);
    assert_eq!(agenda.next_due(1060), Some(due(1, 1050, Some(1050))));
    assert_eq!(agenda.next_due(1250), Some(due(2, 1100, Some(1100))));
    assert_eq!(agenda.next_due(1250), Some(due(3, 1200, Some(1200))));
    assert_eq!(agenda.next_due(9999), None, "three lanes, three requests");
}

#[test]
fn closed_loop_that_time_bounds_leaves_only_what_was_due() {
    let releases = [Release::Lane, Release::After(0), Release::Lane, Release::Lane];
    let timed = PhasePlan { duration_ns: Some(50), ..phase(&releases, &[(0, 1, End, 30)], 2, false) };
    for (stop_ns, left) in [(35, vec![]), (45, vec![due(1, 40, Some(10))])] {
        let mut agenda = Agenda::new(&timed, 0, 0, 1);
        assert_eq!((agenda.next_due(0).is_some(), agenda.next_due(0).is_some()), (true, true));
        agenda.on_end(0, 10);
        assert_eq!(agenda.leftovers(stop_ns), left);
    }
}

#[test]
fn repeated_lanes_give_every_request_an_id_of_its_own() {
    let p = phase(&[Release::Lane; 5], &[], 4, true);
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
    let releases = [Release::At(1), Release::At(2), Release::After(0), Release::After(0), Release::After(0)];
    let links = [(1, 2, End, 0), (2, 3, End, 0), (1, 4, End, 0), (3, 4, End, 0)];
    let p = phase(&releases, &links, 0, false);
    let mut agenda = Agenda::new(&p, 0, 0, 1);
    agenda.next_due(1);
    let left: Vec<(u64, i64)> = agenda.leftovers(50).iter().map(|d| (d.ordinal, d.scheduled_ns)).collect();
    assert_eq!(left, [(1, 2), (2, 50), (4, 50), (3, 50)]);
}
