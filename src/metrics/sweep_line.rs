//! Requests in flight → how much was in flight, and how fast tokens flowed, at every moment of the measurement.
//!
//! In: of each sent request its span, its lengths and its gaps. Out: step functions of time, and their averages weighted by
//! time ([`OverTime`]). The method is the sweep line of computational geometry: sort the ends of all intervals, and add up.
//! Invariants: memory is bounded by [`SPANS_MAX`] and [`GAPS_MAX`]; above the first there are no curves, above the second a
//! request's tokens are spread evenly over its decoding. Not here: which curve is called what ([`super::effective`]).

use super::OverTime;
use super::request::Request;
use crate::outcome::OutcomeClass;

/// Most requests that curves are drawn of (56 MiB of spans, five times as much of curves).
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

/// The numbers of all curves over one window.
#[derive(Clone, Debug, Default)]
pub(super) struct Courses {
    over: [Option<OverTime>; CURVES],
    active: [Option<OverTime>; CURVES],
}

/// How many curves there are.
const CURVES: usize = Curve::TokensInFlight as usize + 1;

impl Courses {
    /// A curve's numbers over the window; null where no request has a part in it.
    pub(super) fn over(&self, curve: Curve) -> Option<&OverTime> {
        self.over[curve as usize].as_ref()
    }

    /// The same of a throughput, over those parts of the window alone in which what it is about was in flight.
    pub(super) fn while_active(&self, curve: Curve) -> Option<&OverTime> {
        self.active[curve as usize].as_ref()
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

    /// The curves' numbers over each of some windows. Without a word where there were too many requests: then none has any.
    ///
    /// A curve is several times as large as the spans, so there are never more than three of them at a time.
    pub(super) fn courses(&self, windows_ns: &[(i64, i64)]) -> Vec<Courses> {
        let mut courses = vec![Courses::default(); windows_ns.len()];
        if self.spans_full {
            return courses;
        }
        let mut tell = |curve: Curve, steps: &Steps, mask: Option<&Steps>| {
            for (course, &window_ns) in courses.iter_mut().zip(windows_ns) {
                let length_ns = window_ns.1.saturating_sub(window_ns.0);
                course.over[curve as usize] = weighted(pieces(steps, window_ns), length_ns as f64);
                course.active[curve as usize] = mask.and_then(|mask| {
                    let active = active_pieces(steps, mask, window_ns);
                    let length_ns = active.iter().map(|(d, _)| d).sum();
                    weighted(active, length_ns)
                });
            }
        };
        let per_user = |rate: f64, users: f64| if users > 0.0 { rate / users } else { 0.0 };
        let without_gaps = self.gaps_ns.is_empty();

        let flight = self.curve(|into, s, _| interval(into, s.start_ns, s.end_ns, 1.0));
        tell(Curve::Concurrency, &flight, None);
        let rate = self.curve(|into, s, _| {
            prefill(into, s);
            decode(into, s);
        });
        tell(Curve::TotalThroughput, &rate, Some(&flight));
        drop((rate, flight));
        tell(Curve::TokensInFlight, &self.curve(|into, s, gaps| tokens(into, s, gaps, without_gaps)), None);

        let filling = self.curve(|into, s, _| {
            s.first_ns.into_iter().for_each(|first_ns| interval(into, s.start_ns, first_ns, 1.0));
        });
        tell(Curve::PrefillConcurrency, &filling, None);
        let rate = self.curve(|into, s, _| prefill(into, s));
        tell(Curve::PrefillThroughput, &rate, Some(&filling));
        tell(Curve::PrefillThroughputPerUser, &joined(&rate, &filling, per_user), Some(&filling));
        drop((rate, filling));

        let decoding = self.curve(|into, s, _| {
            s.first_ns.into_iter().for_each(|first_ns| interval(into, first_ns, s.end_ns, 1.0));
        });
        tell(Curve::DecodeConcurrency, &decoding, None);
        let rate = self.curve(|into, s, gaps| {
            if without_gaps {
                decode(into, s);
            } else {
                decode_by_gaps(into, s, gaps);
            }
        });
        tell(Curve::DecodeThroughput, &rate, Some(&decoding));
        tell(Curve::DecodeThroughputPerUser, &joined(&rate, &decoding, per_user), Some(&decoding));
        courses
    }

    /// The curve that the changes make which `draw` adds for each span.
    fn curve(&self, draw: impl Fn(&mut Steps, &Span, &[i64])) -> Steps {
        let mut changes = Steps::with_capacity(2 * (self.spans.len() + self.gaps_ns.len()));
        self.each(|span, gaps| draw(&mut changes, span, gaps));
        swept(changes)
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
fn swept(mut steps: Steps) -> Steps {
    steps.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut value = 0.0;
    for step in &mut steps {
        value += step.1;
        step.1 = value;
    }
    // Of one moment's changes the last value stands.
    steps.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            *kept = *later;
        }
        same
    });
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

/// A curve's pieces within those parts of a window in which another, its mask, is above zero. None if one of them is empty.
fn active_pieces(steps: &Steps, mask: &Steps, (from_ns, to_ns): (i64, i64)) -> Vec<(f64, f64)> {
    if steps.is_empty() || mask.is_empty() {
        return Vec::new();
    }
    let [mut i, mut j] = [steps, mask].map(|steps| steps.partition_point(|(t, _)| *t <= from_ns));
    let value = |steps: &Steps, passed: usize| if passed == 0 { 0.0 } else { steps[passed - 1].1 };
    let mut pieces = Vec::new();
    let mut at_ns = from_ns;
    while at_ns < to_ns {
        let next_ns = steps.get(i).into_iter().chain(mask.get(j)).map(|(t, _)| *t).min().unwrap_or(to_ns).min(to_ns);
        if value(mask, j) > 0.0 && next_ns > at_ns {
            pieces.push((next_ns.saturating_sub(at_ns) as f64, value(steps, i)));
        }
        i += usize::from(steps.get(i).is_some_and(|(t, _)| *t == next_ns));
        j += usize::from(mask.get(j).is_some_and(|(t, _)| *t == next_ns));
        at_ns = next_ns;
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

    fn over(sweep: &SweepLine, curve: Curve, window_ns: (i64, i64)) -> Option<OverTime> {
        sweep.courses(&[window_ns])[0].over(curve).copied()
    }

    #[test]
    fn two_requests_that_overlap() {
        // One is prefilled for a second and decodes for two; the other starts when the first begins to decode.
        let sweep = line(vec![span(0, S, 3 * S, 10, 5, 0), span(S, 2 * S, 4 * S, 20, 1, 0)], vec![]);
        let courses = &sweep.courses(&[(0, 8 * S)])[0];
        let over = |curve| courses.over(curve).unwrap();
        let concurrency = over(Curve::Concurrency);
        assert_eq!((concurrency.mean, concurrency.min, concurrency.max), (6.0 / 8.0, 0.0, 2.0));
        assert_eq!(concurrency.percentiles, [0.0, 2.0, 2.0, 2.0], "idle for half of the time");
        assert_eq!(over(Curve::PrefillThroughput).mean, 30.0 / 8.0);
        assert_eq!(over(Curve::DecodeThroughput).mean, 4.0 / 8.0);
        assert_eq!(over(Curve::TotalThroughput).mean, 34.0 / 8.0);
        assert_eq!(over(Curve::DecodeThroughputPerUser).max, 2.0);
        assert_eq!(over(Curve::TokensInFlight).max, 36.0);
        let active = courses.while_active(Curve::DecodeThroughput).unwrap();
        assert_eq!((active.mean, active.min), (4.0 / 3.0, 0.0), "the second one's only token came first");
        assert_eq!(courses.while_active(Curve::PrefillThroughput).unwrap().mean, 15.0);
    }

    #[test]
    fn tokens_come_in_the_gaps_that_have_a_length() {
        let sweep = line(vec![span(0, S, 4 * S, 1, 5, 3)], vec![S, 0, 2 * S]);
        let rate = over(&sweep, Curve::DecodeThroughput, (S, 4 * S)).unwrap();
        assert_eq!((rate.min, rate.max), (1.0, 2.0));
        let held = over(&sweep, Curve::TokensInFlight, (S, 2 * S)).unwrap();
        assert_eq!((held.min, held.max), (2.0, 2.0), "the prompt and the first token");
    }

    #[test]
    fn a_window_cuts_the_curve_and_nothing_gives_none() {
        let sweep = line(vec![span(0, S, 4 * S, 1, 2, 0)], vec![]);
        let inside = over(&sweep, Curve::Concurrency, (S, 2 * S)).unwrap();
        assert_eq!((inside.mean, inside.min, inside.std), (1.0, 1.0, 0.0));
        assert_eq!(over(&SweepLine::default(), Curve::Concurrency, (0, S)), None);
        let unanswered = Span { first_ns: None, ..span(0, 0, S, 1, 1, 0) };
        assert_eq!(over(&line(vec![unanswered], vec![]), Curve::DecodeThroughput, (0, S)), None);
    }

    #[test]
    fn too_many_gaps_are_forgotten_whole() {
        let mut sweep = line(vec![span(0, S, 4 * S, 1, 5, 2)], vec![S, 2 * S]);
        sweep.merge(line(vec![span(0, S, 4 * S, 1, 5, 0)], vec![S; GAPS_MAX]));
        assert!(sweep.gaps_ns.is_empty() && sweep.spans.iter().all(|s| s.gaps == 0) && sweep.spans.len() == 2);
        assert!(over(&sweep, Curve::DecodeThroughput, (0, 4 * S)).is_some());
    }
}
