//! Rows → the few times and latencies of each measured request that every analysis of this folder reads.
//!
//! In: a recording. Out: [`Measured`], one small value per request of the measurement.
//! Invariants: warm-up is left out; a latency belongs to completed requests only and is null where a time is missing;
//! memory is bounded by the number of requests, never by the number of tokens.
//! Not here: gaps between single events (those are pooled in `metrics`).

use super::expected_hits::ExpectedHits;
use crate::error::Result;
use crate::metrics::{self, Origin, Slo};
use crate::outcome::{Outcome, OutcomeClass, Phase};
use crate::record::manifest::PhaseWindow;
use crate::record::reader::Rows;
use crate::record::row::{RequestRow, TokenRow};

/// One request of the measurement. Times are nanoseconds since `t0`, latencies milliseconds.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its place in the schedule.
    pub id: u64,
    /// When it should have been sent.
    pub scheduled_ns: i64,
    /// When it was sent; null if it was not.
    pub sent_ns: Option<i64>,
    /// When its first token came; completed requests of streamed runs only.
    pub first_token_ns: Option<i64>,
    /// When its outcome was known.
    pub end_ns: Option<i64>,
    /// How it ended.
    pub class: OutcomeClass,
    /// Whether it met every bound of the service-level objective; false where there is none.
    pub good: bool,
    /// First token − sent.
    pub ttft_ms: Option<f64>,
    /// (Last token − first token) / (output tokens − 1); null below two tokens.
    pub itl_ms: Option<f64>,
    /// Whole answer − sent.
    pub latency_ms: Option<f64>,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its lengths.
    pub lengths: Lengths,
}

/// What a request asked for, and what the server counted. In tokens; what is null was not asked for or not told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lengths {
    /// Planned length of the prompt.
    pub planned_prompt: u32,
    /// The server's count of the prompt; completed requests only, as the two below.
    pub served_prompt: Option<u32>,
    /// Part of it that the server says it had cached.
    pub cached: Option<u32>,
    /// Planned length of the answer.
    pub planned_output: Option<u32>,
    /// Length of the answer; completed requests only.
    pub served_output: Option<u32>,
}

impl Request {
    /// Sent − scheduled.
    pub fn send_lag_ms(&self) -> Option<f64> {
        self.sent_ns.map(|sent| between_ms(self.scheduled_ns, sent))
    }

    /// A latency that counts from the sending, counted from the scheduled time instead.
    pub fn from_scheduled(&self, since_sent_ms: Option<f64>) -> Option<f64> {
        Some(since_sent_ms? + self.send_lag_ms()?)
    }
}

/// The measured requests of a run, in order of their place in the schedule.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The requests.
    pub requests: Vec<Request>,
    /// The measurement as the manifest tells it; null of a run that did not end.
    pub window: Option<PhaseWindow>,
    /// Prefix hits that the plan implies; null where it cannot tell.
    pub expected_hits: Option<ExpectedHits>,
}

impl Measured {
    /// Reads a recording, once.
    ///
    /// # Errors
    /// Whatever the recording's reader reports.
    pub fn read(rows: &dyn Rows) -> Result<Measured> {
        let manifest = rows.manifest();
        // An objective that cannot be checked (a bound unknown to this version) is met by nothing.
        let slo = Slo::new(&manifest.slo).ok().filter(|slo| !slo.is_empty());
        let mut requests = Vec::new();
        let mut add = |row: &RequestRow, tokens: &[TokenRow]| {
            if row.phase == Phase::Profiling {
                requests.push(measure(&metrics::Request::of(manifest, row, tokens), slo.as_ref()));
            }
        };
        if slo.as_ref().is_some_and(|slo| slo.needs_events(manifest)) {
            rows.for_each_request(&mut add)?;
        } else {
            rows.for_each_row(&mut |row| add(row, &[]))?;
        }
        Ok(Measured { requests, window: manifest.profiling, expected_hits: ExpectedHits::of(manifest) })
    }
}

fn measure(request: &metrics::Request<'_>, slo: Option<&Slo>) -> Request {
    let row = request.row;
    let completed = row.outcome == Outcome::Completed;
    let first_token_ns = request.first_token_ns().filter(|_| completed);
    let answered_ns = request.answered_ns().filter(|_| completed);
    let itl_ms = || {
        let gaps = row.output_tokens.filter(|&n| n >= 2)? - 1;
        Some(between_ms(first_token_ns?, answered_ns?) / f64::from(gaps))
    };
    Request {
        id: row.request_id,
        scheduled_ns: row.scheduled_ns,
        sent_ns: row.sent_ns,
        first_token_ns,
        end_ns: row.end_ns,
        class: row.outcome.class(),
        good: completed && slo.is_some_and(|slo| slo.is_met_by(request, Origin::Sent)),
        ttft_ms: request.since_sent_ms(first_token_ns),
        itl_ms: itl_ms(),
        latency_ms: request.since_sent_ms(answered_ns),
        outcome: row.outcome,
        lengths: Lengths {
            planned_prompt: row.input_tokens,
            served_prompt: row.prompt_tokens.filter(|_| completed),
            cached: row.cached_tokens.filter(|_| completed),
            planned_output: row.max_tokens,
            served_output: row.output_tokens.filter(|_| completed),
        },
    }
}

/// Milliseconds from one time to another. A damaged recording may hold any two, so this must not overflow.
fn between_ms(from_ns: i64, to_ns: i64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{Memory, answered, manifest, slo};

    fn only(row: RequestRow) -> Request {
        let run = Memory::new(manifest(), vec![row]);
        Measured::read(&run).unwrap().requests.remove(0)
    }

    #[test]
    fn latencies_follow_their_formulas() {
        // Scheduled at 1.000 s, sent 2 ms late, first token 200 ms after that, 11 tokens 10 ms apart.
        let r = only(answered(0, 1_000.0, 2.0, 200.0, 10.0, 11));
        assert_eq!(r.send_lag_ms(), Some(2.0));
        assert_eq!((r.ttft_ms, r.itl_ms, r.latency_ms), (Some(200.0), Some(10.0), Some(300.0)));
        assert_eq!(r.from_scheduled(r.ttft_ms), Some(202.0));
        assert!(r.good);
    }

    #[test]
    fn a_request_is_good_only_if_it_has_and_keeps_every_bound() {
        assert!(only(answered(0, 0.0, 0.0, 500.0, 50.0, 2)).good, "a bound is inclusive");
        assert!(!only(answered(0, 0.0, 0.0, 500.1, 10.0, 9)).good, "late first token");
        assert!(!only(answered(0, 0.0, 0.0, 100.0, 50.1, 9)).good, "slow stream");
        assert!(!only(answered(0, 0.0, 0.0, 100.0, 10.0, 1)).good, "one token has no ITL");
        let row = answered(0, 0.0, 0.0, 100.0, 10.0, 9);
        let mut failed = row.clone();
        failed.outcome = Outcome::Truncated;
        assert!(!only(failed).good);
        for bounds in [vec![], slo(&[("time_to_teleport", 1e9)])] {
            let run = Memory::new(crate::record::manifest::Manifest { slo: bounds, ..manifest() }, vec![row.clone()]);
            assert!(!Measured::read(&run).unwrap().requests[0].good);
        }
    }

    #[test]
    fn warmup_is_left_out_and_failures_have_no_latency() {
        let mut warmup = answered(0, 0.0, 0.0, 100.0, 10.0, 9);
        warmup.phase = Phase::Warmup;
        let mut failed = answered(1, 0.0, 1.0, 100.0, 10.0, 9);
        failed.outcome = Outcome::StreamError;
        let measured = Measured::read(&Memory::new(manifest(), vec![warmup, failed])).unwrap();
        assert_eq!(measured.requests.len(), 1);
        let r = &measured.requests[0];
        assert_eq!((r.ttft_ms, r.itl_ms, r.latency_ms, r.send_lag_ms()), (None, None, None, Some(1.0)));
    }

    #[test]
    fn without_streaming_there_is_a_latency_and_no_token_time() {
        let run = Memory::new(
            crate::record::manifest::Manifest { streaming: false, ..manifest() },
            vec![answered(0, 0.0, 0.0, 100.0, 10.0, 11)],
        );
        let r = &Measured::read(&run).unwrap().requests[0];
        assert_eq!((r.ttft_ms, r.itl_ms, r.latency_ms), (None, None, Some(201.0)), "the end comes 1 ms after");
    }
}
