//! Measures how late requests are sent, rate by rate: an open-loop ramp of requests for one token.
//!
//! Arrivals are Poisson, as independent users' are, after a warm-up that opens connections. The server answers at once.
//! Lag is what METHODOLOGY.md calls send lag: the clock just before the first write, minus the scheduled time.

use serde::{Deserialize, Serialize};

use super::bench::{Bench, Load};
use super::spread::{Spread, ratio};
use super::{StepResult, skipped};
use crate::arrival::{self, ArrivalParams};
use crate::error::Result;
use crate::rng::{Seed, Stream};
use crate::sim::config::Timing;

/// Requests in flight at most: far above what a server that answers at once has, and far below what descriptors allow.
const IN_FLIGHT_MAX: u32 = 1024;
/// With room for fewer, the rates would be bounded by connections, and not by this client.
const IN_FLIGHT_MIN: u32 = 32;
/// Length of the warm-up, as a share of the measurement.
const WARMUP_SHARE: f64 = 0.25;

/// One rate of the ramp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SendStep {
    /// Requests per second that were asked for.
    pub rate_rps: u32,
    /// What came of it.
    pub result: StepResult<SendLag>,
}

/// How one rate was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SendLag {
    /// Send lag of the requests that were sent.
    pub lag: Spread,
    /// Requests that did not complete.
    pub failed: u64,
    /// Rate of sending over the rate of the schedule.
    pub achieved: f64,
    /// Most requests in flight at once.
    pub in_flight_max: u64,
    /// Whether requests waited for a place among those in flight, so that the lag is the server's too.
    pub at_in_flight_limit: bool,
    /// Share of its core that the worker used, spinning included.
    pub client_utilisation: f64,
    /// Share of its core that the worker spun away before sends: nobody's work, and free for work that comes.
    pub client_spun: f64,
    /// Share of its core that the server used.
    pub server_utilisation: f64,
}

/// Sends at `rate_rps` for `seconds`.
///
/// # Errors
/// [`crate::error::Error::Internal`] where the system refuses a thread or a socket.
pub(super) fn measure(bench: &Bench, rate_rps: u32, seconds: f64) -> Result<SendStep> {
    let in_flight_max = bench.connections_max().min(IN_FLIGHT_MAX);
    let step = |result| SendStep { rate_rps, result };
    if in_flight_max < IN_FLIGHT_MIN {
        return Ok(step(skipped(u64::from(IN_FLIGHT_MIN), bench)));
    }
    let params = ArrivalParams { rate_rps: Some(f64::from(rate_rps)), ..ArrivalParams::default() };
    let times = |stream, seconds: f64| -> Result<Vec<i64>> {
        let mut process = arrival::build("poisson", &params)?;
        let count = (f64::from(rate_rps) * seconds).ceil() as usize;
        Ok(arrival::first(count, &mut *process, &mut Seed(0).stream(stream)))
    };
    let seen = bench.drive(&Load {
        warmup_ns: times(Stream::WarmupArrival, seconds * WARMUP_SHARE)?,
        times_ns: times(Stream::Arrival, seconds)?,
        output_tokens: 1,
        timing: Timing::Constant { ttft_ns: 0, itl_ns: 0 },
        in_flight_max: Some(in_flight_max),
        burn_ns: 0,
    })?;
    let sent: Vec<(i64, i64)> = seen.requests.iter().filter_map(|r| Some((r.scheduled_ns, r.sent_ns?))).collect();
    let Some(lag) = Spread::of(sent.iter().map(|(scheduled_ns, sent_ns)| sent_ns - scheduled_ns)) else {
        return Ok(step(StepResult::Skipped("no request was sent".into())));
    };
    let window_ns = seen.window_ns() as f64;
    Ok(step(StepResult::Measured(SendLag {
        lag,
        failed: seen.failed(),
        achieved: ratio(length_ns(sent.iter().map(|s| s.0)), length_ns(sent.iter().map(|s| s.1))),
        in_flight_max: seen.in_flight_max(),
        at_in_flight_limit: seen.in_flight_max() >= u64::from(in_flight_max),
        client_utilisation: ratio(seen.client_cpu_ns() as f64, window_ns),
        client_spun: ratio(seen.client_spun_ns() as f64, window_ns),
        server_utilisation: ratio(seen.oracle.cpu_ns as f64, window_ns),
    })))
}

/// From the first to the last of these times.
fn length_ns(times_ns: impl Iterator<Item = i64> + Clone) -> f64 {
    (times_ns.clone().max().unwrap_or(0) - times_ns.min().unwrap_or(0)) as f64
}
