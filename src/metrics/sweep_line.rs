//! Requests in flight → how much was in flight, and how fast tokens flowed, at every moment of the measurement.
//!
//! In: of each sent request its span, its lengths and its gaps. Out: step functions of time, and their averages weighted by
//! time ([`OverTime`]). The method is the sweep line of computational geometry: sort the ends of all intervals, and add up.
//! Invariants: memory is bounded by [`SPANS_MAX`] and [`GAPS_MAX`]; above the first there are no curves, above the second a
//! request's tokens are spread evenly over its decoding. Not here: which curve is called what ([`super::effective`]).

use super::OverTime;
use super::request::Request;
use crate::outcome::OutcomeClass;

/// Most requests that curves are drawn of (50 MiB of spans, six times as much of curves).
pub(super) const SPANS_MAX: usize = 1 << 20;
/// Most gaps between events that are kept (8 MiB).
pub(super) const GAPS_MAX: usize = 1 << 20;
/// What is smaller than this share of a curve's largest value is the rounding of its sums.
const ROUNDING: f64 = 1e-9;

/// One request in flight.
#[derive(Clone, Copy, Debug)]
struct Span {
    start_ns: i64,
    /// Of a completed, streamed request: its first token.
    first_ns: Option<i64>,
    end_ns: i64,
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    /// How many of the gaps are its own; they stand in the order of the spans.
    gaps: u32,
}

/// All that was in flight. Mergeable.
#[derive(Clone, Debug, Default)]
pub(super) struct SweepLine {
    spans: Vec<Span>,
    gaps_ns: Vec<i64>,
    /// A request or a gap found no room.
    spans_full: bool,
    gaps_full: bool,
}

/// Values that hold from their time until the next one's; zero before the first.
type Steps = Vec<(i64, f64)>;

/// A curve over time, as aiperf tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    /// Requests in flight.
    Concurrency,
    /// Of those, without a first token yet.
    PrefillConcurrency,
    /// Of those, with one.
    DecodeConcurrency,
    /// Prompt tokens per second.
    PrefillThroughput,
    /// Output tokens per second.
    DecodeThroughput,
    /// Both.
    TotalThroughput,
    /// For each request that is being prefilled.
    PrefillThroughputPerUser,
    /// For each request that is being decoded.
    DecodeThroughputPerUser,
    /// Tokens of prompts and answers whose requests are in flight.
    TokensInFlight,
}

/// The curves of a measurement.
#[derive(Clone, Debug, Default)]
pub(super) struct Curves {
    concurrency: Steps,
    prefilling: Steps,
    decoding: Steps,
    prefill_rate: Steps,
    decode_rate: Steps,
    total_rate: Steps,
    prefill_rate_per_user: Steps,
    decode_rate_per_user: Steps,
    tokens: Steps,
}

impl Curves {
    /// A curve's numbers over a window; null where no request has a part in it.
    pub(super) fn over(&self, curve: Curve, window_ns: (i64, i64)) -> Option<OverTime> {
        let length_ns = window_ns.1.saturating_sub(window_ns.0);
        weighted(pieces(self.steps(curve), window_ns), length_ns as f64)
    }

    /// The same, over those parts of the window alone in which what the curve is about was in flight.
    pub(super) fn while_active(&self, curve: Curve, window_ns: (i64, i64)) -> Option<OverTime> {
        let mask = match curve {
            Curve::PrefillThroughput | Curve::PrefillThroughputPerUser => &self.prefilling,
            Curve::DecodeThroughput | Curve::DecodeThroughputPerUser => &self.decoding,
            _ => &self.concurrency,
        };
        let marked = joined(self.steps(curve), mask, |value, mask| if mask > 0.0 { value } else { f64::NAN });
        // Before the first step nothing is in flight.
        let marked = [(i64::MIN, f64::NAN)].into_iter().chain(marked).collect();
        let mut active = pieces(&marked, window_ns);
        active.retain(|(_, value)| !value.is_nan());
        let length_ns = active.iter().map(|(d, _)| d).sum();
        weighted(active, length_ns)
    }

    fn steps(&self, curve: Curve) -> &Steps {
        match curve {
            Curve::Concurrency => &self.concurrency,
            Curve::PrefillConcurrency => &self.prefilling,
            Curve::DecodeConcurrency => &self.decoding,
            Curve::PrefillThroughput => &self.prefill_rate,
            Curve::DecodeThroughput => &self.decode_rate,
            Curve::TotalThroughput => &self.total_rate,
            Curve::PrefillThroughputPerUser => &self.prefill_rate_per_user,
            Curve::DecodeThroughputPerUser => &self.decode_rate_per_user,
            Curve::TokensInFlight => &self.tokens,
        }
    }
}

impl SweepLine {
    /// Takes in a request of the measurement.
    pub(super) fn add(&mut self, request: &Request<'_>) {
        let row = request.row;
        let (Some(start_ns), Some(end_ns)) = (row.sent_ns, row.end_ns) else { return };
        if self.spans.len() >= SPANS_MAX {
            self.spans_full = true;
            return;
        }
        // What failed was in flight, but what it gave cannot be told.
        let valid = row.outcome.class() == OutcomeClass::Completed;
        let before = self.gaps_ns.len();
        if valid && !self.gaps_full {
            self.gaps_ns.extend(request.content_gaps_ns().map(|gap| gap.max(0)));
            self.gaps_full = self.gaps_ns.len() > GAPS_MAX;
            if self.gaps_full {
                self.forget_gaps();
            }
        }
        self.spans.push(Span {
            start_ns,
            first_ns: request.first_token_ns().filter(|_| valid),
            end_ns: end_ns.max(start_ns),
            input_tokens: request.input_tokens().filter(|_| valid),
            output_tokens: row.output_tokens.filter(|_| valid),
            gaps: self.gaps_ns.len().saturating_sub(before) as u32,
        });
    }

    /// Adds another's requests to these.
    pub(super) fn merge(&mut self, other: SweepLine) {
        self.spans_full |= other.spans_full || self.spans.len() + other.spans.len() > SPANS_MAX;
        self.gaps_full |= other.gaps_full || self.gaps_ns.len() + other.gaps_ns.len() > GAPS_MAX;
        self.spans.extend(other.spans);
        self.spans.truncate(SPANS_MAX);
        self.gaps_ns.extend(other.gaps_ns);
        if self.gaps_full {
            self.forget_gaps();
        }
    }

    fn forget_gaps(&mut self) {
        self.gaps_ns = Vec::new();
        self.spans.iter_mut().for_each(|span| span.gaps = 0);
    }

    /// Draws the curves. Without a word where there were too many requests: then none has a point.
    pub(super) fn curves(&self) -> Curves {
        if self.spans_full {
            return Curves::default();
        }
        let mut changes: [Steps; 7] = Default::default();
        let [flight, filling, decoding, fill_rate, decode_rate, rate, held] = &mut changes;
        let without_gaps = self.gaps_ns.is_empty();
        self.each(|s, gaps| {
            interval(flight, s.start_ns, s.end_ns, 1.0);
            let Some(first_ns) = s.first_ns else { return };
            interval(filling, s.start_ns, first_ns, 1.0);
            interval(decoding, first_ns, s.end_ns, 1.0);
            prefill(fill_rate, s);
            prefill(rate, s);
            decode(rate, s);
            if without_gaps {
                decode(decode_rate, s);
            } else {
                decode_by_gaps(decode_rate, s, gaps);
            }
            tokens(held, s, gaps, without_gaps);
        });
        let [concurrency, prefilling, decoding, prefill_rate, decode_rate, total_rate, tokens] = changes.map(swept);
        let per_user = |rate: f64, users: f64| if users > 0.0 { rate / users } else { 0.0 };
        Curves {
            prefill_rate_per_user: joined(&prefill_rate, &prefilling, per_user),
            decode_rate_per_user: joined(&decode_rate, &decoding, per_user),
            concurrency,
            prefilling,
            decoding,
            prefill_rate,
            decode_rate,
            total_rate,
            tokens,
        }
    }

    /// Visits every span with its gaps.
    fn each(&self, mut visit: impl FnMut(&Span, &[i64])) {
        let mut gaps = self.gaps_ns.as_slice();
        for span in &self.spans {
            let (own, rest) = gaps.split_at((span.gaps as usize).min(gaps.len()));
            visit(span, own);
            gaps = rest;
        }
    }
}

fn interval(events: &mut Vec<(i64, f64)>, from_ns: i64, to_ns: i64, value: f64) {
    if to_ns > from_ns {
        events.extend([(from_ns, value), (to_ns, -value)]);
    }
}

/// The prompt's tokens, spread evenly from sending to the first token.
fn prefill(events: &mut Vec<(i64, f64)>, s: &Span) {
    if let (Some(first_ns), Some(tokens)) = (s.first_ns.filter(|t| *t > s.start_ns), s.input_tokens) {
        interval(events, s.start_ns, first_ns, per_second(f64::from(tokens), first_ns.saturating_sub(s.start_ns)));
    }
}

/// The answer's tokens after the first, spread evenly from the first to the end.
fn decode(events: &mut Vec<(i64, f64)>, s: &Span) {
    if let (Some(first_ns), Some(tokens)) = (s.first_ns.filter(|t| *t < s.end_ns), s.output_tokens.filter(|n| *n > 0)) {
        interval(events, first_ns, s.end_ns, per_second(f64::from(tokens) - 1.0, s.end_ns.saturating_sub(first_ns)));
    }
}

/// The answer's tokens after the first, as many in each gap that has a length.
fn decode_by_gaps(events: &mut Vec<(i64, f64)>, s: &Span, gaps: &[i64]) {
    let (Some(first_ns), Some(tokens)) = (s.first_ns, s.output_tokens.filter(|n| *n > 0)) else { return };
    let long = gaps.iter().filter(|gap| **gap > 0).count();
    let each = (f64::from(tokens) - 1.0) / long.max(1) as f64;
    let mut at_ns = first_ns;
    for &gap in gaps {
        interval(events, at_ns, at_ns.saturating_add(gap), per_second(each, gap));
        at_ns = at_ns.saturating_add(gap);
    }
}

/// The prompt from sending on and the answer as it comes, until the end.
fn tokens(events: &mut Vec<(i64, f64)>, s: &Span, gaps: &[i64], at_once: bool) {
    let Some(first_ns) = s.first_ns else { return };
    if let Some(input) = s.input_tokens.filter(|_| first_ns > s.start_ns) {
        interval(events, s.start_ns, s.end_ns, f64::from(input));
    }
    let Some(output) = s.output_tokens.filter(|n| *n > 0) else { return };
    if at_once {
        interval(events, first_ns, s.end_ns, f64::from(output));
    } else if !gaps.is_empty() {
        interval(events, first_ns, s.end_ns, 1.0);
        let each = (f64::from(output) - 1.0) / gaps.len() as f64;
        let mut at_ns = first_ns;
        for gap in gaps {
            at_ns = at_ns.saturating_add(*gap);
            interval(events, at_ns, s.end_ns, each);
        }
    }
}

fn per_second(tokens: f64, ns: i64) -> f64 {
    if ns > 0 { tokens / ns as f64 * 1e9 } else { 0.0 }
}

/// Changes, in any order → the curve that they make.
fn swept(mut changes: Vec<(i64, f64)>) -> Steps {
    changes.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut value = 0.0;
    for change in &mut changes {
        value += change.1;
        change.1 = value;
    }
    // Of one moment's changes the last value stands.
    let mut steps: Steps = Vec::with_capacity(changes.len());
    for step in changes {
        match steps.last_mut() {
            Some(last) if last.0 == step.0 => *last = step,
            _ => steps.push(step),
        }
    }
    let largest = steps.iter().map(|(_, v)| v.abs()).fold(0.0, f64::max);
    for (_, value) in steps.iter_mut().filter(|(_, v)| v.abs() < ROUNDING * largest) {
        *value = 0.0;
    }
    steps
}

/// Two curves as one, on the times of both. Empty if one of them is.
fn joined(a: &Steps, b: &Steps, of: impl Fn(f64, f64) -> f64) -> Steps {
    if a.is_empty() || b.is_empty() {
        return Vec::new();
    }
    let (mut i, mut j, mut steps) = (0, 0, Steps::with_capacity(a.len() + b.len()));
    while i < a.len() || j < b.len() {
        let t = a.get(i).into_iter().chain(b.get(j)).map(|(t, _)| *t).min().unwrap_or(i64::MAX);
        i += usize::from(a.get(i).is_some_and(|(at, _)| *at == t));
        j += usize::from(b.get(j).is_some_and(|(at, _)| *at == t));
        let value = |steps: &Steps, passed: usize| if passed == 0 { 0.0 } else { steps[passed - 1].1 };
        steps.push((t, of(value(a, i), value(b, j))));
    }
    steps
}

/// A curve's pieces within a window: how long, in nanoseconds, and how high. None of an empty curve.
fn pieces(steps: &Steps, (from_ns, to_ns): (i64, i64)) -> Vec<(f64, f64)> {
    if steps.is_empty() {
        return Vec::new();
    }
    let passed = steps.partition_point(|(t, _)| *t <= from_ns);
    let mut pieces = Vec::new();
    let (mut at_ns, mut value) = (from_ns, if passed == 0 { 0.0 } else { steps[passed - 1].1 });
    for &(t, next) in steps[passed..].iter().take_while(|(t, _)| *t < to_ns).chain(&[(to_ns, 0.0)]) {
        if t > at_ns {
            pieces.push((t.saturating_sub(at_ns) as f64, value));
        }
        (at_ns, value) = (t, next);
    }
    pieces
}

/// Pieces → their numbers, weighted by length. A percentile is the least value that holds for at least so much of the time.
fn weighted(mut pieces: Vec<(f64, f64)>, length: f64) -> Option<OverTime> {
    if pieces.is_empty() || length <= 0.0 {
        return None;
    }
    pieces.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
    let mean = pieces.iter().map(|(d, v)| d * v).sum::<f64>() / length;
    let variance = pieces.iter().map(|(d, v)| d * (v - mean) * (v - mean)).sum::<f64>() / length;
    let total: f64 = pieces.iter().map(|(d, _)| d).sum();
    let percentiles = OverTime::PERCENTILES.map(|p| {
        let mut passed = 0.0;
        let found = pieces.iter().find(|(d, _)| {
            passed += d;
            passed / total >= p / 100.0
        });
        found.or(pieces.last()).map_or(f64::NAN, |(_, v)| *v)
    });
    let (min, max) = (pieces.first()?.1, pieces.last()?.1);
    Some(OverTime { mean, min, max, std: variance.sqrt(), percentiles })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start_ns: i64, first_ns: i64, end_ns: i64, input: u32, output: u32, gaps: u32) -> Span {
        Span {
            start_ns,
            first_ns: Some(first_ns),
            end_ns,
            input_tokens: Some(input),
            output_tokens: Some(output),
            gaps,
        }
    }

    fn line(spans: Vec<Span>, gaps_ns: Vec<i64>) -> SweepLine {
        SweepLine { spans, gaps_ns, ..SweepLine::default() }
    }

    const S: i64 = 1_000_000_000;

    #[test]
    fn two_requests_that_overlap() {
        // One is prefilled for a second and decodes for two; the other starts when the first begins to decode.
        let sweep = line(vec![span(0, S, 3 * S, 10, 5, 0), span(S, 2 * S, 4 * S, 20, 1, 0)], vec![]);
        let curves = sweep.curves();
        let over = |curve| curves.over(curve, (0, 8 * S)).unwrap();
        let concurrency = over(Curve::Concurrency);
        assert_eq!((concurrency.mean, concurrency.min, concurrency.max), (6.0 / 8.0, 0.0, 2.0));
        assert_eq!(concurrency.percentiles, [0.0, 2.0, 2.0, 2.0], "idle for half of the time");
        assert_eq!(over(Curve::PrefillThroughput).mean, 30.0 / 8.0);
        assert_eq!(over(Curve::DecodeThroughput).mean, 4.0 / 8.0);
        assert_eq!(over(Curve::TotalThroughput).mean, 34.0 / 8.0);
        assert_eq!(over(Curve::DecodeThroughputPerUser).max, 2.0);
        assert_eq!(over(Curve::TokensInFlight).max, 36.0);
        let active = curves.while_active(Curve::DecodeThroughput, (0, 8 * S)).unwrap();
        assert_eq!((active.mean, active.min), (4.0 / 3.0, 0.0), "the second one's only token came first");
        assert_eq!(curves.while_active(Curve::PrefillThroughput, (0, 8 * S)).unwrap().mean, 15.0);
    }

    #[test]
    fn tokens_come_in_the_gaps_that_have_a_length() {
        let sweep = line(vec![span(0, S, 4 * S, 1, 5, 3)], vec![S, 0, 2 * S]);
        let rate = sweep.curves().over(Curve::DecodeThroughput, (S, 4 * S)).unwrap();
        assert_eq!((rate.min, rate.max), (1.0, 2.0));
        let held = sweep.curves().over(Curve::TokensInFlight, (S, 2 * S)).unwrap();
        assert_eq!((held.min, held.max), (2.0, 2.0), "the prompt and the first token");
    }

    #[test]
    fn a_window_cuts_the_curve_and_nothing_gives_none() {
        let sweep = line(vec![span(0, S, 4 * S, 1, 2, 0)], vec![]);
        let inside = sweep.curves().over(Curve::Concurrency, (S, 2 * S)).unwrap();
        assert_eq!((inside.mean, inside.min, inside.std), (1.0, 1.0, 0.0));
        assert_eq!(SweepLine::default().curves().over(Curve::Concurrency, (0, S)), None);
        let unanswered = Span { first_ns: None, ..span(0, 0, S, 1, 1, 0) };
        assert_eq!(line(vec![unanswered], vec![]).curves().over(Curve::DecodeThroughput, (0, S)), None);
    }

    #[test]
    fn too_many_gaps_are_forgotten_whole() {
        let mut sweep = line(vec![span(0, S, 4 * S, 1, 5, 2)], vec![S, 2 * S]);
        sweep.merge(line(vec![span(0, S, 4 * S, 1, 5, 0)], vec![S; GAPS_MAX]));
        assert!(sweep.gaps_ns.is_empty() && sweep.spans.iter().all(|s| s.gaps == 0) && sweep.spans.len() == 2);
        assert!(sweep.curves().over(Curve::DecodeThroughput, (0, 4 * S)).is_some());
    }
}
