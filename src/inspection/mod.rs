//! A trace or a schedule → what it asks of a server, before anything is sent; a run directory → what it holds.
//!
//! In: a [`Trace`], a [`Plan`], or a recording ([`recording`]). Out: an [`Inspection`], whose size does not depend on the
//! number of requests; it is drawn and printed by `report`.
//! Invariants: pure; a trace and the schedule that replays it unchanged give the same numbers, but where turns are sent with the
//! conversation so far: a trace then has what each turn adds, a schedule what is sent.
//! Not here: what a server made of it (that is `metrics` and `analysis`).

pub mod arrivals;
pub mod lengths;
pub mod prefix_cache;
pub mod recording;

use serde_json::{Value as Json, json};

use crate::outcome::Phase;
use crate::schedule::{Plan, Prompt, Release};
use crate::time::SECOND_NS;
use crate::trace::Trace;
use arrivals::Arrivals;
use lengths::Lengths;
use prefix_cache::PrefixReuse;

/// Capacities of a prefix cache, in blocks, for which hit rates are told.
pub const CAPACITIES: [u64; 4] = [1_000, 5_000, 20_000, 100_000];

/// What a trace or a schedule asks for.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Requests.
    pub requests: u64,
    /// Of those, how many only a completion releases, so that nobody knows when they will be sent.
    pub untimed: u64,
    /// When the others arrive; null where none has a time.
    pub arrivals: Option<Arrivals>,
    /// Prompt lengths, where they are known.
    pub input: Option<Lengths>,
    /// Answer lengths, where they are given.
    pub output: Option<Lengths>,
    /// How prompts share their prefix blocks; null where none has blocks.
    pub prefixes: Option<PrefixReuse>,
    /// Conversations of several requests.
    pub sessions: u64,
    /// What was inferred and done on the way, for people.
    pub notes: Vec<String>,
}

/// What matters of one request.
struct Asked<'a> {
    arrival_ns: Option<i64>,
    input_tokens: u32,
    output_tokens: Option<u32>,
    blocks: &'a [u32],
    session: Option<u32>,
}

impl Inspection {
    /// Describes a trace.
    pub fn of_trace(trace: &Trace) -> Inspection {
        let asked = trace.entries.iter().map(|entry| Asked {
            arrival_ns: entry.arrival_ns,
            input_tokens: entry.input_tokens,
            output_tokens: entry.output_tokens,
            blocks: trace.blocks(entry),
            session: entry.session,
        });
        Inspection::new(&asked.collect::<Vec<_>>(), trace.block_size, &trace.notes)
    }

    /// Describes the measurement of a schedule. A later turn that has a time of its own is taken to be sent then.
    pub fn of_plan(plan: &Plan) -> Inspection {
        let measured = plan.phases.iter().filter(|p| p.phase == Phase::Profiling);
        let asked = measured.flat_map(|p| &p.slots).map(|slot| Asked {
            arrival_ns: match slot.release {
                Release::At(at_ns) => Some(at_ns),
                Release::After(not_before_ns) => (not_before_ns > 0).then_some(not_before_ns),
                Release::Lane => None,
            },
            input_tokens: slot.input_tokens,
            output_tokens: slot.max_tokens,
            blocks: match slot.prompt {
                // Behind a conversation, they lead no prompt.
                _ if slot.continues => &[],
                Prompt::Blocks { start, len } => &plan.block_ids[start as usize..(start + len) as usize],
                Prompt::Unique | Prompt::Literal(_) | Prompt::Messages(_) | Prompt::Texts { .. } => &[],
            },
            session: slot.session,
        });
        Inspection::new(&asked.collect::<Vec<_>>(), plan.block_size, &plan.notes)
    }

    fn new(asked: &[Asked<'_>], block_size: u32, notes: &[String]) -> Inspection {
        let times: Vec<i64> = asked.iter().filter_map(|a| a.arrival_ns).collect();
        let mut sessions: Vec<u32> = asked.iter().filter_map(|a| a.session).collect();
        sessions.sort_unstable();
        sessions.dedup();
        // A literal prompt may be of unknown length, which is no length of 0.
        let input = asked.iter().map(|a| a.input_tokens).filter(|n| *n > 0);
        Inspection {
            requests: asked.len() as u64,
            untimed: (asked.len() - times.len()) as u64,
            arrivals: Arrivals::of(times),
            input: Lengths::of(input),
            output: Lengths::of(asked.iter().filter_map(|a| a.output_tokens)),
            prefixes: PrefixReuse::of(asked.iter().map(|a| (a.blocks, a.input_tokens)), block_size),
            sessions: sessions.len() as u64,
            notes: notes.to_vec(),
        }
    }

    /// The numbers for programs; what is not known is null.
    pub fn to_json(&self) -> Json {
        let arrivals = self.arrivals.as_ref();
        let rate = self.prefixes.as_ref().map(|p| p.hit_rate(None));
        let lru = |p: &PrefixReuse| {
            CAPACITIES.map(|blocks| json!({"blocks": blocks, "hit_rate_tokens": p.hit_rate(Some(blocks)).tokens}))
        };
        let period_ns = arrivals.and_then(|a| a.bucketing.period_ns);
        json!({
            "requests": self.requests,
            "duration_s": arrivals.map(|a| a.duration_ns as f64 / SECOND_NS as f64),
            "mean_rps": arrivals.and_then(Arrivals::mean_rps),
            "peak_1s": arrivals.map(|a| a.peak_1s),
            "peak_60s_rps": arrivals.map(|a| a.peak_60s_rps),
            "idc_1s": arrivals.and_then(|a| a.idc_1s),
            "isl": self.input.as_ref().map(Lengths::to_json),
            "osl": self.output.as_ref().map(Lengths::to_json),
            "total_blocks": self.prefixes.as_ref().map_or(0, |p| p.total_blocks),
            "unique_blocks": self.prefixes.as_ref().map_or(0, |p| p.unique_blocks),
            "hit_rate_tokens": rate.map(|r| r.tokens),
            "hit_rate_requests": rate.map(|r| r.requests),
            "lru": self.prefixes.as_ref().map_or_else(Vec::new, |p| lru(p).into()),
            "sessions": self.sessions,
            "bucketing": {
                "detected": period_ns.is_some(),
                "period_ms": period_ns.map(|ns| ns as f64 / 1e6),
            },
        })
    }
}

#[cfg(test)]
mod tests;
