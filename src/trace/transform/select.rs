//! Turns a decision about each entry into the trace of those that stay, with what releases an entry in view.
//!
//! In: a trace, and a rule that sees each entry and what became of the entries that it depends on. Out: the same trace without
//! what the rule refused.

use crate::trace::{Entry, Trace};

/// What became of the entries that one entry depends on: its session's earlier turns, and what it waits for.
#[derive(Clone, Copy)]
pub(super) struct Before {
    /// Its previous turn and all that it waits for stay; true where it depends on nothing.
    pub(super) all_stay: bool,
    /// One of its earlier turns, or something that it waits for, stays.
    pub(super) any_stays: bool,
}

#[derive(Clone, Copy, Default)]
struct Turns {
    any_stays: bool,
    last_is_gone: bool,
}

/// Keeps the entries for which `stays` says so, and tells how many are gone.
pub(super) fn select(trace: &mut Trace, mut stays: impl FnMut(&Entry, Before) -> bool) -> usize {
    let mut stay = Vec::with_capacity(trace.entries.len());
    let mut sessions = vec![Turns::default(); trace.sessions.len()];
    for entry in &trace.entries {
        let turns = entry.session.map(|s| sessions[s as usize]).unwrap_or_default();
        let waits = trace.waits(entry);
        let before = Before {
            all_stay: !turns.last_is_gone && waits.iter().all(|w| stay[w.entry as usize]),
            any_stays: turns.any_stays || waits.iter().any(|w| stay[w.entry as usize]),
        };
        let verdict = stays(entry, before);
        if let Some(s) = entry.session {
            sessions[s as usize] = Turns { any_stays: turns.any_stays || verdict, last_is_gone: !verdict };
        }
        stay.push(verdict);
    }
    let gone = stay.iter().filter(|s| !**s).count();
    let mut stay = stay.into_iter();
    trace.retain(|_| stay.next().unwrap_or(false));
    gone
}
