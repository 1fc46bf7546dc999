//! How many requests ended how.

use super::registry::{Compute, Metric};
use super::totals::Totals;
use super::{Better, MetricDef, Unit};
use crate::outcome::OutcomeClass;

const fn count(
    name: &'static str,
    title: &'static str,
    better: Better,
    formula: &'static str,
    compute: fn(&Totals) -> Option<f64>,
) -> Metric {
    Metric { def: MetricDef { name, title, unit: Unit::Requests, better, formula }, compute: Compute::Total(compute) }
}

pub(super) const REQUEST_COUNT: Metric =
    count("request_count", "Request Count", Better::Neither, "valid requests: completed, of the measurement", |t| {
        Some(t.valid() as f64)
    });

pub(super) const ERROR_REQUEST_COUNT: Metric =
    count("error_request_count", "Error Request Count", Better::Lower, "requests that were sent and failed", |t| {
        Some(t.failed() as f64)
    });

pub(super) const COMPLETED_REQUEST_COUNT: Metric = count(
    "completed_request_count",
    "Completed Requests (Success + Error)",
    Better::Neither,
    "valid requests + failed requests",
    |t| Some((t.valid() + t.failed()) as f64),
);

pub(super) const CANCELLED_REQUEST_COUNT: Metric = count(
    "cancelled_request_count",
    "Cancelled Request Count",
    Better::Neither,
    "requests that the client gave up",
    |t| Some(t.outcomes.of_class(OutcomeClass::Cancelled) as f64),
);

pub(super) const NOT_SENT_REQUEST_COUNT: Metric = count(
    "not_sent_request_count",
    "Not Sent Request Count",
    Better::Lower,
    "requests of the schedule that were never sent",
    |t| Some(t.outcomes.of_class(OutcomeClass::NotSent) as f64),
);

pub(super) const REQUEST_ERROR_RATE: Metric = Metric {
    def: MetricDef {
        name: "request_error_rate",
        title: "Request Error Rate",
        unit: Unit::Percent,
        better: Better::Lower,
        formula: "100 · failed requests / (valid + failed requests)",
    },
    compute: Compute::Total(|t| {
        let ended = t.valid() + t.failed();
        (ended > 0).then(|| 100.0 * t.failed() as f64 / ended as f64)
    }),
};
