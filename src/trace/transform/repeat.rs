//! Turns a trace into several passes of it, one after the other.
//!
//! In: how many passes, or how long they are to last, and what becomes of prefixes. Out: the passes, each with sessions and waits of
//! its own. A pass lasts from its first arrival to its last and one mean gap between different times more, so that the rate stays
//! what it was. With fresh prefixes the blocks of a pass are shared inside it and with no other, so that it hits as much as the
//! first; with kept ones a later pass finds what the server still holds of the earlier ones.
//! Memory is that of the result, whose size is checked before any of it is made.

use serde::Serialize;

use super::select::select;
use super::{require_times, seconds, span_ns};
use crate::error::{Error, Result};
use crate::trace::{Content, Entry, Trace, Wait};

/// The most entries, blocks and waits of the result: as many as readers take.
const ENTRIES_MAX: u64 = 50_000_000;
const BLOCKS_MAX: u64 = 500_000_000;
/// The most bytes of literal prompts.
const TEXT_BYTES_MAX: u64 = 8 << 30;

/// Passes of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Repeat {
    /// When it is enough.
    pub until: RepeatUntil,
    /// What later passes share with earlier ones.
    pub prefixes: Prefixes,
}

/// When it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatUntil {
    /// After so many passes, the first one included.
    Passes(u32),
    /// When arrivals reach this time; the last pass is cut there.
    DurationNs(i64),
}

/// What the blocks of later passes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefixes {
    /// Other blocks in every pass.
    #[default]
    Fresh,
    /// The same blocks in every pass.
    Kept,
}

impl Repeat {
    pub(super) fn apply(&self, trace: &mut Trace) -> Result<()> {
        let (passes, period_ns) = self.passes(trace)?;
        check_size(trace, passes)?;
        let alone = trace.entries.len();
        let literal = trace.entries.iter().any(|e| e.content.is_some());
        self.add_passes(trace, passes as u32, period_ns);
        let mut note = format!("loop: {passes} passes of {alone} requests");
        if period_ns > 0 {
            note += &format!(", {:.3} s each", seconds(period_ns));
        }
        if let RepeatUntil::DurationNs(end_ns) = self.until {
            let gone = select(trace, |entry, before| match entry.arrival_ns {
                Some(at_ns) => at_ns < end_ns,
                None => before.all_stay,
            });
            if trace.entries.is_empty() {
                return Err(Error::Usage(format!("no request arrives in the {} s of --loop-for", seconds(end_ns))));
            }
            note += &format!("; {gone} requests from {} s on are left out", seconds(end_ns));
        }
        note += match (self.prefixes, literal) {
            (Prefixes::Kept, _) => "; prefixes are kept",
            (Prefixes::Fresh, false) => "; each pass has prefixes of its own",
            (Prefixes::Fresh, true) => "; each pass has prefixes of its own, but literal prompts are the same in all",
        };
        trace.notes.push(format!("{note}; {} requests", trace.entries.len()));
        Ok(())
    }

    /// How many passes are begun, and how long one is: 0 where the trace has no times.
    fn passes(&self, trace: &Trace) -> Result<(u64, i64)> {
        let mut instants: Vec<i64> = trace.arrivals_ns().collect();
        instants.dedup();
        let instants = instants.len() as i64;
        if matches!(self.until, RepeatUntil::DurationNs(_)) {
            require_times(trace, "--loop-for")?;
        }
        let span_ns = span_ns(trace);
        if instants == 1 {
            let problem = "all requests of the trace arrive at one instant, so nobody knows when its next pass begins";
            return Err(Error::Usage(format!(
                "{problem}; loop it with --no-fixed-schedule and --request-count instead"
            )));
        }
        let period_ns = if instants > 1 { span_ns + span_ns / (instants - 1) } else { 0 };
        match self.until {
            RepeatUntil::Passes(0) => Err(Error::Usage("--loop must be at least 1".into())),
            RepeatUntil::Passes(passes) => Ok((u64::from(passes), period_ns)),
            RepeatUntil::DurationNs(end_ns) if end_ns <= 0 => {
                Err(Error::Usage("--loop-for must be more than 0 seconds".into()))
            }
            RepeatUntil::DurationNs(end_ns) => {
                let first_ns = trace.entries.iter().find_map(|e| e.arrival_ns).unwrap_or(0);
                Ok((((end_ns - first_ns).max(1) as u64).div_ceil(period_ns as u64), period_ns))
            }
        }
    }

    fn add_passes(&self, trace: &mut Trace, passes: u32, period_ns: i64) {
        let Trace { entries, block_ids, waits, sessions, unique_blocks, .. } = trace;
        let one = Sizes {
            entries: entries.len(),
            blocks: block_ids.len(),
            waits: waits.len(),
            sessions: sessions.len(),
            unique: *unique_blocks,
        };
        let more = passes as usize - 1;
        entries.reserve_exact(one.entries * more);
        block_ids.reserve_exact(one.blocks * more);
        waits.reserve_exact(one.waits * more);
        sessions.reserve_exact(one.sessions * more);
        for pass in 1..passes {
            let shift_ns = i64::from(pass) * period_ns;
            for at in 0..one.entries {
                entries.push(one.entry_in(pass, shift_ns, &entries[at]));
            }
            let first_block = if self.prefixes == Prefixes::Fresh { pass * one.unique } else { 0 };
            for at in 0..one.blocks {
                block_ids.push(first_block + block_ids[at]);
            }
            let first_entry = pass * one.entries as u32;
            for at in 0..one.waits {
                waits.push(Wait { entry: first_entry + waits[at].entry, ..waits[at] });
            }
            for at in 0..one.sessions {
                sessions.push(format!("{}#{}", sessions[at], pass + 1));
            }
        }
        if self.prefixes == Prefixes::Fresh {
            *unique_blocks = passes * one.unique;
        }
    }
}

/// How much of everything one pass has.
struct Sizes {
    entries: usize,
    blocks: usize,
    waits: usize,
    sessions: usize,
    unique: u32,
}

impl Sizes {
    fn entry_in(&self, pass: u32, shift_ns: i64, entry: &Entry) -> Entry {
        Entry {
            arrival_ns: entry.arrival_ns.map(|at_ns| at_ns + shift_ns),
            blocks_start: entry.blocks_start + pass * self.blocks as u32,
            waits_start: entry.waits_start + pass * self.waits as u32,
            session: entry.session.map(|s| s + pass * self.sessions as u32),
            ..entry.clone()
        }
    }
}

/// Refuses what would not fit, before it is made.
fn check_size(trace: &Trace, passes: u64) -> Result<()> {
    let text = |e: &Entry| match &e.content {
        Some(Content::Text(text) | Content::Messages(text)) => text.len() as u64,
        None => 0,
    };
    let sizes = [
        ("requests", trace.entries.len() as u64, ENTRIES_MAX),
        ("prefix blocks", trace.block_ids.len() as u64, BLOCKS_MAX),
        ("waits", trace.waits.len() as u64, BLOCKS_MAX),
        ("bytes of literal prompts", trace.entries.iter().map(text).sum(), TEXT_BYTES_MAX),
    ];
    match sizes.into_iter().find(|(_, one, most)| one.saturating_mul(passes) > *most) {
        None => Ok(()),
        Some((what, one, most)) => Err(Error::Usage(format!(
            "{passes} passes of {one} {what} are more than {most}; loop less, or a window of the trace"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::WaitFor;
    use crate::trace::transform::fixture::{random_trace, timeless, trace};

    fn repeated(mut trace: Trace, until: RepeatUntil, prefixes: Prefixes) -> Result<Trace> {
        Repeat { until, prefixes }.apply(&mut trace)?;
        trace.check().unwrap();
        Ok(trace)
    }

    fn arrivals_ms(trace: &Trace) -> Vec<Option<i64>> {
        trace.entries.iter().map(|e| e.arrival_ns.map(|t| t / 1_000_000)).collect()
    }

    #[test]
    fn a_pass_begins_one_mean_gap_after_the_last_and_has_its_own_sessions_and_waits() {
        let mut first = trace();
        first.waits = vec![Wait { entry: 0, event: WaitFor::End, delay_ns: 9 }];
        first.entries[5].waits_len = 1;
        let twice = repeated(first, RepeatUntil::Passes(2), Prefixes::Fresh).unwrap();
        // Four timed arrivals over 4 s: three gaps of 1.333 s on average.
        let later = [Some(5333), Some(6333), None, Some(7833), None, Some(9333)];
        assert_eq!(arrivals_ms(&twice)[6..], later);
        assert_eq!(twice.sessions, ["a", "b", "a#2", "b#2"]);
        assert_eq!(twice.entries[8].session, Some(2));
        assert_eq!(twice.waits(&twice.entries[11]), [Wait { entry: 6, event: WaitFor::End, delay_ns: 9 }]);
        assert_eq!(
            twice.notes.last().unwrap(),
            "loop: 2 passes of 6 requests, 5.333 s each; each pass has prefixes of its own; 12 requests"
        );
    }

    #[test]
    fn fresh_prefixes_are_new_in_every_pass_and_kept_ones_are_the_same() {
        let once = trace();
        let fresh = repeated(trace(), RepeatUntil::Passes(3), Prefixes::Fresh).unwrap();
        let kept = repeated(trace(), RepeatUntil::Passes(3), Prefixes::Kept).unwrap();
        assert_eq!((fresh.unique_blocks, kept.unique_blocks), (3 * once.unique_blocks, once.unique_blocks));
        assert_eq!(kept.block_ids, once.block_ids.repeat(3));
        let second: Vec<u32> = once.block_ids.iter().map(|id| id + once.unique_blocks).collect();
        assert_eq!(fresh.block_ids[once.block_ids.len()..2 * once.block_ids.len()], second);
    }

    #[test]
    fn a_duration_cuts_the_last_pass_or_the_first() {
        let long = repeated(trace(), RepeatUntil::DurationNs(7_000_000_000), Prefixes::Kept).unwrap();
        assert_eq!(arrivals_ms(&long)[6..], [Some(5333), Some(6333), None]);
        assert!(long.notes.last().unwrap().contains("3 requests from 7 s on are left out"), "{:?}", long.notes);
        let short = repeated(trace(), RepeatUntil::DurationNs(1_000_000_000), Prefixes::Fresh).unwrap();
        assert_eq!(arrivals_ms(&short), [Some(0)]);
    }

    #[test]
    fn a_loop_holds_what_it_is_made_of_and_no_more() {
        for seed in 0..20 {
            let once = random_trace(seed);
            let sizes = |t: &Trace| [t.entries.len(), t.block_ids.len(), t.waits.len(), t.sessions.len()];
            let ten = repeated(once.clone(), RepeatUntil::Passes(10), Prefixes::Fresh).unwrap();
            assert_eq!(sizes(&ten), sizes(&once).map(|n| 10 * n), "seed {seed}");
            let room =
                [ten.entries.capacity(), ten.block_ids.capacity(), ten.waits.capacity(), ten.sessions.capacity()];
            for (room, size) in room.into_iter().zip(sizes(&once)) {
                assert!(room <= 10 * size.max(4), "seed {seed}: room for {room} of {size} ten times");
            }
        }
    }

    #[test]
    fn loops_that_cannot_be_are_refused_before_they_are_made() {
        let refused = |trace, until| repeated(trace, until, Prefixes::Fresh).unwrap_err().to_string();
        assert!(refused(trace(), RepeatUntil::Passes(0)).contains("at least 1"));
        assert!(refused(trace(), RepeatUntil::DurationNs(0)).contains("more than 0"));
        assert!(refused(trace(), RepeatUntil::Passes(u32::MAX)).contains("more than 50000000"));
        assert!(refused(trace(), RepeatUntil::DurationNs(i64::MAX)).contains("more than 50000000"));
        assert!(refused(timeless(), RepeatUntil::DurationNs(5)).contains("no times"));
        let mut instant = trace();
        instant.entries.iter_mut().for_each(|e| e.arrival_ns = e.arrival_ns.map(|_| 7));
        assert!(refused(instant, RepeatUntil::Passes(2)).contains("one instant"));
        assert_eq!(repeated(timeless(), RepeatUntil::Passes(3), Prefixes::Kept).unwrap().entries.len(), 3);
    }
}
