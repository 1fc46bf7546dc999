//! How late the client itself was: the one metric over requests of every outcome.

use super::registry::{Compute, Metric};
use super::{Better, MetricDef, Unit};

pub(super) const SEND_LAG: Metric = Metric {
    def: MetricDef {
        name: "send_lag",
        title: "Send Lag",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "sent − scheduled, of every request that was sent",
    },
    compute: Compute::Sent(|r| r.since_scheduled_ms(r.row.sent_ns)),
};
