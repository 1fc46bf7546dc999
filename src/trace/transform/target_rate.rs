//! Turns a trace into one of a wished mean rate, by its speed or by leaving requests out.
//!
//! In: a trace with times and a rate. Out: all its requests, faster or slower; or, by sampling, a part of them at their own times.
//! Sampling draws whole conversations, that is, sessions with all that waits ties to them, until their requests are the wished
//! number: each is as likely to stay as any other, and none is torn apart.

use rand::RngExt;
use serde::Serialize;

use super::speed::speed;
use super::{require_times, seconds, span_ns};
use crate::error::{Error, Result};
use crate::rng::{Seed, Stream};
use crate::trace::Trace;

/// A wished mean rate: requests over the time from the first arrival to the last.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TargetRate {
    /// Requests per second.
    pub rate_rps: f64,
    /// How it is reached.
    pub by: RateBy,
}

/// How a wished rate is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateBy {
    /// All requests, faster or slower.
    Speed,
    /// A part of the requests, at their own times.
    Sampling,
}

impl TargetRate {
    pub(super) fn apply(&self, trace: &mut Trace, seed: Seed) -> Result<()> {
        let TargetRate { rate_rps, by } = *self;
        if !(rate_rps > 0.0 && rate_rps.is_finite()) {
            return Err(Error::Usage("--target-rate must be a number of requests per second above 0".into()));
        }
        require_times(trace, "a target rate")?;
        let (all, span_s) = (trace.entries.len(), seconds(span_ns(trace)));
        if span_s == 0.0 {
            return Err(Error::Usage("all requests of the trace arrive at one instant, so it has no rate".into()));
        }
        let found_rps = all as f64 / span_s;
        match by {
            RateBy::Speed => speed(trace, rate_rps / found_rps),
            RateBy::Sampling if rate_rps > found_rps => Err(Error::Usage(format!(
                "the trace has {found_rps:.3} requests/s, and sampling adds none to reach --target-rate {rate_rps}; use \
                 --target-rate-by speed, or a higher --speed"
            ))),
            RateBy::Sampling => {
                sample(trace, rate_rps * span_s, seed);
                let kept = trace.entries.len();
                if kept == 0 {
                    return Err(Error::Usage(format!("--target-rate {rate_rps} leaves no request; use a higher rate")));
                }
                let now_rps = kept as f64 / span_s;
                trace.notes.push(format!(
                    "target-rate {rate_rps} by sampling: {kept} of {all} requests in whole conversations, {now_rps:.3} requests/s"
                ));
                Ok(())
            }
        }
    }
}

/// Keeps whole conversations, drawn one by one, until one more would bring their requests further from `wished`.
fn sample(trace: &mut Trace, wished: f64, seed: Seed) {
    let conversation = conversations(trace);
    let mut sizes = vec![0_u32; trace.entries.len()];
    for &root in &conversation {
        sizes[root as usize] += 1;
    }
    let mut deck: Vec<u32> = (0..).zip(&sizes).filter(|(_, size)| **size > 0).map(|(root, _)| root).collect();
    let mut stays = vec![false; trace.entries.len()];
    let (mut rng, mut kept) = (seed.stream(Stream::TraceSampling), 0.0);
    for drawn in 0..deck.len() {
        let other = rng.random_range(drawn..deck.len());
        deck.swap(drawn, other);
        let root = deck[drawn] as usize;
        let size = f64::from(sizes[root]);
        if (kept + size - wished).abs() > (kept - wished).abs() {
            break;
        }
        stays[root] = true;
        kept += size;
    }
    let mut at = conversation.iter();
    trace.retain(|_| at.next().is_some_and(|root| stays[*root as usize]));
}

/// For each entry the first entry of its conversation: of all that its session and waits tie together, directly or not.
fn conversations(trace: &Trace) -> Vec<u32> {
    let mut parent: Vec<u32> = (0..trace.entries.len() as u32).collect();
    let mut first_turn = vec![None; trace.sessions.len()];
    for (at, entry) in (0..).zip(&trace.entries) {
        let turn_before = entry.session.map(|s| *first_turn[s as usize].get_or_insert(at));
        for tied in trace.waits(entry).iter().map(|w| w.entry).chain(turn_before) {
            let (a, b) = (root(&mut parent, at), root(&mut parent, tied));
            parent[a.max(b) as usize] = a.min(b);
        }
    }
    (0..trace.entries.len() as u32).map(|at| root(&mut parent, at)).collect()
}

/// The first of a conversation; the path to it is halved on the way (Tarjan and van Leeuwen 1984).
fn root(parent: &mut [u32], mut at: u32) -> u32 {
    while parent[at as usize] != at {
        parent[at as usize] = parent[parent[at as usize] as usize];
        at = parent[at as usize];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::transform::fixture::{random_trace, timeless, trace};
    use crate::trace::{Entry, Wait, WaitFor};

    fn at_rate(mut trace: Trace, rate_rps: f64, by: RateBy, seed: u64) -> Result<Trace> {
        TargetRate { rate_rps, by }.apply(&mut trace, Seed(seed))?;
        trace.check().unwrap();
        Ok(trace)
    }

    #[test]
    fn by_speed_all_requests_come_at_the_wished_rate() {
        let slow = at_rate(trace(), 0.75, RateBy::Speed, 0).unwrap();
        assert_eq!(slow.notes.last().unwrap(), "speed 0.5: 6 requests over 8.000 s, 0.750 requests/s");
    }

    #[test]
    fn conversations_are_what_sessions_and_waits_tie_together() {
        let entry = |session, waits_start, waits_len| Entry { session, waits_start, waits_len, ..Entry::default() };
        let wait = |entry| Wait { entry, event: WaitFor::End, delay_ns: 0 };
        let trace = Trace {
            entries: vec![
                entry(Some(0), 0, 0),
                entry(Some(1), 0, 0),
                entry(None, 0, 0),
                entry(Some(0), 0, 0),
                entry(None, 0, 2),
                entry(Some(2), 2, 0),
                entry(Some(2), 2, 1),
            ],
            waits: vec![wait(1), wait(3), wait(2)],
            sessions: vec!["a".into(), "b".into(), "c".into()],
            ..Trace::default()
        };
        assert_eq!(conversations(&trace), [0, 0, 2, 0, 0, 2, 2]);
    }

    #[test]
    fn sampling_keeps_conversations_whole_and_reaches_the_rate_within_one() {
        for seed in 0..50 {
            let trace = random_trace(seed);
            let (all, of) = (trace.entries.len(), conversations(&trace));
            let span_s = seconds(span_ns(&trace));
            let found_rps = all as f64 / span_s;
            let largest = of.iter().map(|a| of.iter().filter(|b| *b == a).count()).max().unwrap();
            let Ok(half) = at_rate(trace.clone(), found_rps / 2.0, RateBy::Sampling, seed) else {
                assert!(largest * 2 > all, "seed {seed}");
                continue;
            };
            let kept = half.entries.len() as f64;
            assert!((kept - all as f64 / 2.0).abs() <= largest as f64, "seed {seed}: {kept} of {all}");
            let stays: Vec<bool> =
                trace.entries.iter().map(|e| half.entries.iter().any(|h| h.line == e.line)).collect();
            for (at, root) in of.iter().enumerate() {
                assert_eq!(stays[at], stays[*root as usize], "seed {seed}: entry {at}");
            }
            assert_eq!(at_rate(trace.clone(), found_rps, RateBy::Sampling, seed).unwrap().entries, trace.entries);
        }
    }

    #[test]
    fn every_conversation_is_as_likely_as_any_other_and_seeds_differ() {
        let mut kept = [0_u32; 6];
        for seed in 0..2000 {
            let half = at_rate(trace(), 1.0, RateBy::Sampling, seed).unwrap();
            half.entries.iter().for_each(|e| kept[e.line as usize - 1] += 1);
        }
        // Two conversations of one request and two of two, four requests of six wished: each stays in two thirds of the draws or
        // more, by its size; like sizes are alike. The standard error of a count is about 20.
        assert!(kept[0].abs_diff(kept[5]) < 120 && kept[1].abs_diff(kept[3]) < 120, "seeds 0..2000: {kept:?}");
        assert!(kept.iter().all(|k| (1000..1900).contains(k)) && kept[1] == kept[2], "seeds 0..2000: {kept:?}");
    }

    #[test]
    fn rates_that_cannot_be_are_refused() {
        let refused = |rate, by| at_rate(trace(), rate, by, 0).unwrap_err().to_string();
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(rate, RateBy::Speed).contains("above 0"), "{rate}");
        }
        assert!(refused(1.6, RateBy::Sampling).contains("has 1.500 requests/s"));
        assert!(refused(1e-3, RateBy::Sampling).contains("leaves no request"));
        assert!(at_rate(timeless(), 1.0, RateBy::Speed, 0).unwrap_err().to_string().contains("no times"));
        let mut instant = trace();
        instant.entries.iter_mut().for_each(|e| e.arrival_ns = e.arrival_ns.map(|_| 7));
        assert!(at_rate(instant, 1.0, RateBy::Speed, 0).unwrap_err().to_string().contains("one instant"));
    }
}
