//! Brings the entries of a trace in order of arrival.
//!
//! In: entries in the file's order, and what they wait for. Out: the same entries, sorted by time. Invariants: entries of
//! equal times keep their order; a turn without a time stays behind the turn before it; whoever waits stands behind all
//! that it waits for, and is due no earlier than they are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::{Entry, Wait};

/// Sorts entries that wait for nothing but their session's previous turn; also how many stood too late.
pub(super) fn by_time(entries: Vec<Entry>, sessions: usize) -> (Vec<Entry>, u64) {
    let mut session_at = vec![i64::MIN; sessions];
    let mut last_ns = i64::MIN;
    let mut out_of_order = 0_u64;
    let mut keyed: Vec<(i64, Entry)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let before_ns = entry.session.map_or(i64::MIN, |s| session_at[s as usize]);
        let at_ns = entry.arrival_ns.unwrap_or(before_ns);
        if let Some(s) = entry.session {
            session_at[s as usize] = at_ns;
        }
        if entry.arrival_ns.is_some() {
            out_of_order += u64::from(at_ns < last_ns);
            last_ns = last_ns.max(at_ns);
        }
        keyed.push((at_ns, entry));
    }
    keyed.sort_by_key(|(at_ns, _)| *at_ns);
    (keyed.into_iter().map(|(_, entry)| entry).collect(), out_of_order)
}

/// Entries in an order in which all that is waited for stands before whoever waits.
pub(super) struct Causal {
    /// Those that have a place, sorted.
    pub(super) entries: Vec<Entry>,
    /// What they wait for.
    pub(super) waits: Vec<Wait>,
    /// Those that wait for what never happens: something that is not there, or, around a circle, themselves.
    pub(super) stuck: Vec<Stuck>,
}

/// An entry without a place.
pub(super) struct Stuck {
    /// Its line.
    pub(super) line: u64,
    /// Whether it is because of something that is not there, and not of a circle.
    pub(super) missing: bool,
}

/// Sorts entries that wait for others. `Wait::entry` is looked up in `place` first, which gives the index in `entries`, or
/// null where nothing of that number is there.
pub(super) fn by_cause(mut entries: Vec<Entry>, waits: &[Wait], place: impl Fn(u32) -> Option<u32>) -> Causal {
    let of = |e: &Entry| e.waits_start as usize..(e.waits_start + e.waits_len) as usize;
    let mut blocked_by = vec![0_u32; entries.len()];
    let mut missing = vec![false; entries.len()];
    let mut frees: Vec<Vec<u32>> = vec![Vec::new(); entries.len()];
    let mut last_turn = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let previous = entry.session.and_then(|s| last_turn.insert(s, at as u32));
        for cause in waits[of(entry)].iter().map(|w| place(w.entry)).chain(previous.map(Some)) {
            blocked_by[at] += 1;
            match cause {
                Some(cause) => frees[cause as usize].push(at as u32),
                None => missing[at] = true,
            }
        }
    }
    let mut due_ns: Vec<i64> = entries.iter().map(|e| e.arrival_ns.unwrap_or(i64::MIN)).collect();
    let free = (0..entries.len()).filter(|&at| blocked_by[at] == 0).map(|at| Reverse((due_ns[at], at as u32)));
    let mut ready: BinaryHeap<_> = free.collect();
    let mut order = Vec::with_capacity(entries.len());
    let mut new_place = vec![u32::MAX; entries.len()];
    while let Some(Reverse((at_ns, at))) = ready.pop() {
        new_place[at as usize] = order.len() as u32;
        order.push(at);
        for next in std::mem::take(&mut frees[at as usize]) {
            let next = next as usize;
            due_ns[next] = due_ns[next].max(at_ns);
            blocked_by[next] -= 1;
            if blocked_by[next] == 0 {
                ready.push(Reverse((due_ns[next], next as u32)));
            }
        }
    }
    let stuck = entries.iter().enumerate().filter(|(at, _)| new_place[*at] == u32::MAX);
    let stuck = stuck.map(|(at, e)| Stuck { line: e.line, missing: missing[at] }).collect();
    let mut sorted = Vec::with_capacity(order.len());
    let mut sorted_waits = Vec::with_capacity(waits.len());
    for at in order {
        let mut entry = std::mem::take(&mut entries[at as usize]);
        let of_entry = of(&entry);
        entry.arrival_ns = entry.arrival_ns.map(|_| due_ns[at as usize]);
        entry.waits_start = sorted_waits.len() as u32;
        // Whoever has a place has all its causes placed.
        let placed = |w: &Wait| Some(Wait { entry: new_place[place(w.entry)? as usize], ..*w });
        sorted_waits.extend(waits[of_entry].iter().filter_map(placed));
        sorted.push(entry);
    }
    Causal { entries: sorted, waits: sorted_waits, stuck }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::WaitFor;

    fn entry(line: u64, at_ns: Option<i64>, session: Option<u32>, waits: (u32, u32)) -> Entry {
        Entry { line, arrival_ns: at_ns, session, waits_start: waits.0, waits_len: waits.1, ..Entry::default() }
    }

    fn wait(entry: u32) -> Wait {
        Wait { entry, event: WaitFor::End, delay_ns: 1 }
    }

    fn lines(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|e| e.line).collect()
    }

    #[test]
    fn whoever_waits_stands_behind_its_causes_and_is_due_no_earlier() {
        // Line 1 waits for line 3, line 2 for line 1 and, as its session's later turn, for line 4.
        let entries = vec![
            entry(1, Some(0), None, (0, 1)),
            entry(2, None, Some(0), (1, 1)),
            entry(3, Some(50), None, (2, 0)),
            entry(4, Some(90), Some(1), (2, 0)),
            entry(5, Some(10), Some(1), (2, 0)),
        ];
        let causal = by_cause(entries, &[wait(2), wait(0)], Some);
        assert_eq!(lines(&causal.entries), [3, 1, 2, 4, 5]);
        assert_eq!(causal.entries.iter().map(|e| e.arrival_ns).collect::<Vec<_>>()[..2], [Some(50), Some(50)]);
        assert_eq!(causal.entries[4].arrival_ns, Some(90), "a turn is not due before the turn before it");
        assert_eq!(causal.waits, [wait(0), wait(1)]);
        assert!(causal.stuck.is_empty());
    }

    #[test]
    fn circles_and_what_hangs_on_them_have_no_place() {
        let entries = vec![
            entry(1, None, None, (0, 1)),
            entry(2, None, None, (1, 1)),
            entry(3, None, None, (2, 1)),
            entry(4, None, None, (3, 1)),
            entry(5, None, None, (4, 0)),
        ];
        let causal = by_cause(entries, &[wait(1), wait(0), wait(1), wait(9)], |at| (at < 5).then_some(at));
        assert_eq!(lines(&causal.entries), [5]);
        let stuck: Vec<_> = causal.stuck.iter().map(|s| (s.line, s.missing)).collect();
        assert_eq!(stuck, [(1, false), (2, false), (3, false), (4, true)]);
    }
}
