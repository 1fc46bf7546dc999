//! Time to the first tokens of a stream.

use super::registry::{Compute, Metric};
use super::request::ms;
use super::{Better, MetricDef, Unit};

pub(super) const TIME_TO_FIRST_TOKEN: Metric = Metric {
    def: MetricDef {
        name: "time_to_first_token",
        title: "Time to First Token",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "first token − sent",
    },
    compute: Compute::Valid(|r| r.since_sent_ms(r.first_token_ns())),
};

pub(super) const SCHEDULED_TIME_TO_FIRST_TOKEN: Metric = Metric {
    def: MetricDef {
        name: "scheduled_time_to_first_token",
        title: "Scheduled Time to First Token",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "first token − scheduled",
    },
    compute: Compute::Valid(|r| r.since_scheduled_ms(r.first_token_ns())),
};

pub(super) const TIME_TO_FIRST_OUTPUT_TOKEN: Metric = Metric {
    def: MetricDef {
        name: "time_to_first_output_token",
        title: "Time to First Output Token",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "first token that is not reasoning − sent",
    },
    compute: Compute::Valid(|r| r.since_sent_ms(r.first_output_ns())),
};

pub(super) const TIME_TO_SECOND_TOKEN: Metric = Metric {
    def: MetricDef {
        name: "time_to_second_token",
        title: "Time to Second Token",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "second content event − first content event",
    },
    compute: Compute::Valid(|r| r.first_gap_ns().map(ms)),
};
