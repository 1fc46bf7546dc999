//! A service-level objective → which requests met it, and how many a second.
//!
//! In: the text of `--goodput`, or the bounds of a manifest. Out: [`Slo`], and the goodput metrics.
//! Invariants: a request is good only if every metric of the objective has a value for it and keeps its bound, so one
//! without a value (a single token has no ITL) is not good; a request that is not valid is never good.

use super::registry::{self, Compute, Metric};
use super::request::{Request, between_ms, counts_chunks};
use super::totals::Totals;
use super::{Better, Unit};
use crate::error::{Error, Result};
use crate::record::manifest::{Manifest, SloBound};

/// Where the clock of a latency starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// When the request was sent: what the server did.
    Sent,
    /// When it should have been sent: what its user felt.
    Scheduled,
}

/// A service-level objective, resolved against the registry.
#[derive(Clone, Debug, Default)]
pub struct Slo {
    bounds: Vec<Bound>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    value: fn(&Request<'_>) -> Option<f64>,
    bound: f64,
    larger_is_better: bool,
    /// Whether its clock starts at the sending, so that the send lag comes on top when counted from the schedule.
    from_sent: bool,
    /// Whether its value is made of single events, in every run and in one that asked for usage in every event.
    reads_events: [bool; 2],
}

/// Metrics whose clock starts at the sending.
const FROM_SENT: [&str; 3] = ["time_to_first_token", "time_to_first_output_token", "request_latency"];

/// Metrics that look at single events; and those that do so where the run asked for usage in every event.
const READ_EVENTS: [&str; 2] = ["time_to_second_token", "coalesced_event_ratio"];
const BY_CHUNK_USAGE: [&str; 2] = ["inter_token_latency", "output_token_throughput_per_user"];

impl Slo {
    /// Resolves the bounds of a manifest.
    ///
    /// # Errors
    /// [`Error::Usage`] if a metric is unknown, or has no single value for each request.
    pub fn new(bounds: &[SloBound]) -> Result<Slo> {
        let bounds = bounds.iter().map(resolve).collect::<Result<_>>()?;
        Ok(Slo { bounds })
    }

    /// Whether there is nothing to meet.
    pub fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// Whether a request of that run cannot be held against it by its row alone, without its events.
    pub fn needs_events(&self, manifest: &Manifest) -> bool {
        let by_chunk_usage = counts_chunks(manifest);
        self.bounds.iter().any(|b| b.reads_events[usize::from(by_chunk_usage)])
    }

    /// Whether a request keeps every bound: at most the bound, or at least where more is better. The caller sees to
    /// it that the request is valid.
    pub fn is_met_by(&self, request: &Request<'_>, origin: Origin) -> bool {
        let lag_ms = match origin {
            Origin::Sent => 0.0,
            Origin::Scheduled => request.row.sent_ns.map_or(0.0, |sent| between_ms(request.row.scheduled_ns, sent)),
        };
        self.bounds.iter().all(|b| {
            (b.value)(request).is_some_and(|value| {
                let value = if b.from_sent { value + lag_ms } else { value };
                if b.larger_is_better { value >= b.bound } else { value <= b.bound }
            })
        })
    }
}

fn resolve(bound: &SloBound) -> Result<Bound> {
    let metric = bounded_metric(&bound.metric)?;
    let Compute::Valid(value) = metric.compute else {
        return Err(Error::Internal(format!("`{}` passed as a metric of single requests", bound.metric)));
    };
    let reads_always = READ_EVENTS.contains(&metric.def.name);
    Ok(Bound {
        value,
        bound: bound.bound,
        larger_is_better: metric.def.better == Better::Higher,
        from_sent: FROM_SENT.contains(&metric.def.name),
        reads_events: [reads_always, reads_always || BY_CHUNK_USAGE.contains(&metric.def.name)],
    })
}

/// The metric of that name or alias, if it can be bounded.
fn bounded_metric(name: &str) -> Result<&'static Metric> {
    match registry::find_metric(name) {
        Some(m) if m.can_be_bounded() => Ok(m),
        found => {
            let names: Vec<&str> =
                registry::REGISTRY.iter().filter(|m| m.can_be_bounded()).map(|m| m.def.name).collect();
            let problem = if found.is_some() { "has no single good direction for each request" } else { "is unknown" };
            Err(Error::Usage(format!(
                "--goodput: the metric `{}` {problem}; use one of {} (or ttft, ttst, itl, tpot, e2el)",
                name.escape_default(),
                names.join(", ")
            )))
        }
    }
}

/// Parses the value of `--goodput`: `metric:bound` pairs separated by spaces, each bound in the metric's display unit
/// (milliseconds for latencies), as in `time_to_first_token:500 inter_token_latency:50` or `ttft:500 tpot:50`.
///
/// # Errors
/// [`Error::Usage`] for an unknown metric, a bound that is not a positive number, a metric named twice, or no pair.
pub fn parse_goodput(text: &str) -> Result<Vec<SloBound>> {
    let mut bounds: Vec<SloBound> = Vec::new();
    for pair in text.split_whitespace() {
        let usage = |problem: &str| {
            let pair = pair.escape_default();
            Error::Usage(format!("--goodput: `{pair}` {problem}; write metric:bound, for example ttft:500"))
        };
        let (name, value) = pair.rsplit_once(':').ok_or_else(|| usage("has no bound"))?;
        let metric = bounded_metric(name)?.def.name;
        let bound: f64 = value.parse().map_err(|_| usage("has a bound that is not a number"))?;
        if !(bound.is_finite() && bound > 0.0) {
            return Err(usage("has a bound that is not positive"));
        }
        if bounds.iter().any(|b| b.metric == metric) {
            return Err(usage("bounds a metric that is already bounded"));
        }
        bounds.push(SloBound { metric: metric.into(), bound });
    }
    if bounds.is_empty() {
        return Err(Error::Usage("--goodput: is empty; write metric:bound pairs, for example ttft:500 itl:50".into()));
    }
    Ok(bounds)
}

pub(super) const GOODPUT: Metric =
    Metric::yielded("goodput", "Goodput", Unit::RequestsPerSecond, "good requests / window", |t| {
        t.per_window_second(t.good).filter(|_| t.has_slo)
    });

pub(super) const GOOD_REQUEST_COUNT: Metric = Metric::yielded(
    "good_request_count",
    "Good Request Count",
    Unit::Requests,
    "valid requests that met every bound of the SLO",
    |t| t.has_slo.then_some(t.good as f64),
);

pub(super) const GOOD_REQUEST_FRACTION: Metric = Metric::yielded(
    "good_request_fraction",
    "Good Request Fraction",
    Unit::Ratio,
    "good requests / (valid + failed requests)",
    |t| fraction(t, t.good),
);

pub(super) const SCHEDULED_GOODPUT: Metric = Metric::yielded(
    "scheduled_goodput",
    "Scheduled Goodput",
    Unit::RequestsPerSecond,
    "good requests, their latencies counted from the scheduled time / window",
    |t| t.per_window_second(t.scheduled_good).filter(|_| t.has_slo),
);

pub(super) const SCHEDULED_GOOD_REQUEST_FRACTION: Metric = Metric::yielded(
    "scheduled_good_request_fraction",
    "Scheduled Good Request Fraction",
    Unit::Ratio,
    "good requests, their latencies counted from the scheduled time / (valid + failed requests)",
    |t| fraction(t, t.scheduled_good),
);

fn fraction(t: &Totals, good: u64) -> Option<f64> {
    let ended = t.valid() + t.failed();
    (t.has_slo && ended > 0).then(|| good as f64 / ended as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::EventKind;
    use crate::record::row::{RequestRow, TokenRow};
    use crate::time::MILLISECOND_NS;

    #[test]
    fn aiperfs_and_vllms_spelling_name_the_same_metrics() {
        let long = parse_goodput("time_to_first_token:500 inter_token_latency:50.5").unwrap();
        assert_eq!(long, parse_goodput("  ttft:500\ttpot:50.5 ").unwrap());
        assert_eq!((long[1].metric.as_str(), long[1].bound), ("inter_token_latency", 50.5));
        assert_eq!(parse_goodput("e2el:9").unwrap()[0].metric, "request_latency");
    }

    #[test]
    fn every_bad_bound_is_refused_with_its_remedy() {
        let cases = [
            ("", "is empty"),
            ("ttft", "has no bound"),
            ("ttft:", "not a number"),
            ("ttft:NaN", "not positive"),
            ("ttft:-1", "not positive"),
            ("ttft:inf", "not positive"),
            ("speed:3", "`speed` is unknown; use one of time_to_first_token"),
            ("ttft:3 time_to_first_token:4", "already bounded"),
            ("goodput:3", "no single good direction"),
            ("inter_chunk_latency:3", "no single good direction"),
            ("input_sequence_length:3", "no single good direction"),
        ];
        for (text, expected) in cases {
            let error = parse_goodput(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?} gives {error:?}");
        }
    }

    #[test]
    fn metrics_of_single_events_are_known() {
        let event = |seq: u32, kind| TokenRow {
            request_id: 0,
            seq,
            t_ns: MILLISECOND_NS * i64::from(3 + seq * seq),
            kernel_ns: Some(MILLISECOND_NS * i64::from(2 + seq * seq)),
            read: seq / 2,
            kind,
            bytes: 1,
            tokens: Some(3),
        };
        let events: Vec<TokenRow> = (0..6).map(|seq| event(seq, EventKind::Output)).collect();
        let mut row = RequestRow::scheduled(0, 0);
        (row.sent_ns, row.head_ns, row.first_token_ns) = (Some(0), Some(1_000), Some(2 * MILLISECOND_NS));
        (row.first_output_ns, row.last_token_ns, row.end_ns) = (row.first_token_ns, Some(30_000_000), Some(31_000_000));
        (row.output_tokens, row.prompt_tokens, row.cached_tokens) = (Some(18), Some(9), Some(4));
        (row.input_tokens, row.events, row.reasoning_tokens) = (9, 6, Some(1));
        for metric in registry::REGISTRY.iter().filter(|m| m.can_be_bounded()) {
            let bound = resolve(&SloBound { metric: metric.def.name.into(), bound: 1.0 }).unwrap();
            for per_chunk_usage in [false, true] {
                let value = |tokens| (bound.value)(&Request { row: &row, tokens, streaming: true, per_chunk_usage });
                let differs = value(&events) != value(&[]);
                assert_eq!(bound.reads_events[usize::from(per_chunk_usage)], differs, "{}", metric.def.name);
            }
        }
    }

    #[test]
    fn bounds_are_inclusive_need_a_value_and_know_the_better_direction() {
        let at = |ms: i64| Some(ms * MILLISECOND_NS);
        let mut row = RequestRow::scheduled(0, 0);
        (row.sent_ns, row.first_token_ns, row.last_token_ns) = (at(10), at(110), at(150));
        row.output_tokens = Some(5);
        let met = |row: &RequestRow, text: &str, origin| {
            let slo = Slo::new(&parse_goodput(text).unwrap()).unwrap();
            slo.is_met_by(&Request { row, tokens: &[], streaming: true, per_chunk_usage: false }, origin)
        };
        assert!(met(&row, "ttft:100 itl:10", Origin::Sent), "both exactly at their bounds");
        assert!(!met(&row, "ttft:99.9", Origin::Sent));
        assert!(!met(&row, "ttft:100", Origin::Scheduled), "110 ms from the schedule");
        assert!(met(&row, "itl:10", Origin::Scheduled), "the send lag is no part of the ITL");
        assert!(met(&row, "output_token_throughput_per_user:100", Origin::Sent));
        assert!(!met(&row, "output_token_throughput_per_user:101", Origin::Sent));
        row.output_tokens = Some(1);
        assert!(!met(&row, "itl:10", Origin::Sent), "a single token has no ITL");
    }
}
