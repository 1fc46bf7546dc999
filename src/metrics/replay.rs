//! How well a replay kept a trace's times, in aiperf's terms: lags are counted from that of the least late request, so that a
//! constant delay does not show ([`super::send_lag`] hides nothing).

use super::registry::{Compute, Metric};
use super::{Better, MetricDef, PERCENTILES, Stats, Unit};

/// A replay whose 99th percentile of lag is above this is degraded, in aiperf's terms.
const DEGRADED_MS: f64 = 500.0;

const fn lag(
    name: &'static str,
    title: &'static str,
    unit: Unit,
    formula: &'static str,
    compute: fn(&Stats) -> f64,
) -> Metric {
    Metric { def: MetricDef { name, title, unit, better: Better::Lower, formula }, compute: Compute::Replayed(compute) }
}

pub(super) const REPLAY_SCHED_LAG_P50: Metric = lag(
    "replay_sched_lag_p50",
    "Replay Schedule Lag p50",
    Unit::Milliseconds,
    "median of send lag − its minimum, of a replay at the trace's times",
    |lags| above_least(lags, 50.0),
);

pub(super) const REPLAY_SCHED_LAG_P90: Metric = lag(
    "replay_sched_lag_p90",
    "Replay Schedule Lag p90",
    Unit::Milliseconds,
    "90th percentile of send lag − its minimum, of a replay at the trace's times",
    |lags| above_least(lags, 90.0),
);

pub(super) const REPLAY_SCHED_LAG_P99: Metric = lag(
    "replay_sched_lag_p99",
    "Replay Schedule Lag p99",
    Unit::Milliseconds,
    "99th percentile of send lag − its minimum, of a replay at the trace's times",
    |lags| above_least(lags, 99.0),
);

pub(super) const REPLAY_SCHED_DEGRADED: Metric = lag(
    "replay_sched_degraded",
    "Replay Schedule Degraded",
    Unit::Count,
    "1 if replay_sched_lag_p99 is above 500 ms, else 0",
    |lags| f64::from(u8::from(above_least(lags, 99.0) > DEGRADED_MS)),
);

fn above_least(lags: &Stats, percent: f64) -> f64 {
    PERCENTILES.iter().position(|p| *p == percent).map_or(f64::NAN, |i| lags.percentiles[i] - lags.min)
}
