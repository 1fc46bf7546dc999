//! How far the client's reads were behind the kernel, and how many events shared one: what the client did to token
//! times.

use super::registry::{Compute, Metric};
use super::request::{Request, ms};
use super::{Better, MetricDef, Unit};

pub(super) const CLIENT_DELAY: Metric = Metric {
    def: MetricDef {
        name: "client_delay",
        title: "Client Delay",
        unit: Unit::Milliseconds,
        better: Better::Lower,
        formula: "t − kernel, of every read that the kernel stamped, of all requests together",
    },
    compute: Compute::Pooled(|r, observe| r.client_delays_ns().for_each(|delay_ns| observe(ms(delay_ns)))),
};

pub(super) const COALESCED_EVENT_RATIO: Metric = Metric {
    def: MetricDef {
        name: "coalesced_event_ratio",
        title: "Coalesced Event Ratio",
        unit: Unit::Ratio,
        better: Better::Lower,
        formula: "content events that shared a read with another / content events, per request",
    },
    compute: Compute::Valid(share),
};

fn share(request: &Request<'_>) -> Option<f64> {
    request.coalesced_share()
}
