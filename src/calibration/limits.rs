//! Turns measured steps into what this host is good for.
//!
//! A step is within the limits if nothing in it failed and its p99 is at most the bound; the limit is the highest such
//! step. A lower step that failed beside a higher one that held is chance on a busy machine, and shows in the steps.

use serde::{Deserialize, Serialize};

use super::StepResult;
use super::sends::SendStep;
use super::streams::StreamStep;

/// Share of its rate that a step must reach.
const ACHIEVED_MIN: f64 = 0.98;

/// Up to where one worker of this host can be believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bound on the p99 of send lag and of token errors.
    pub bound_ns: i64,
    /// Highest rate that was sent within the bound, in requests per second; null if none was.
    pub send_rate_rps: Option<u32>,
    /// p99 of the send lag at that rate.
    pub send_lag_p99_ns: Option<i64>,
    /// Most concurrent streams whose tokens were stamped within the bound; null if none.
    pub streams: Option<u32>,
    /// Tokens per second there, as far as the server could emit them.
    pub tokens_per_s: Option<f64>,
    /// p99 of the token stamps' error there, by the kernel's stamps where there are any.
    pub token_error_p99_ns: Option<i64>,
}

impl Limits {
    /// The limits that these steps show.
    pub fn of(sends: &[SendStep], streams: &[StreamStep], bound_ns: i64) -> Limits {
        let mut limits = Limits { bound_ns, ..Limits::default() };
        for step in sends {
            let StepResult::Measured(m) = &step.result else { continue };
            let holds = m.lag.p99_ns <= bound_ns && m.failed == 0 && m.achieved >= ACHIEVED_MIN;
            if holds && limits.send_rate_rps.is_none_or(|best| step.rate_rps > best) {
                (limits.send_rate_rps, limits.send_lag_p99_ns) = (Some(step.rate_rps), Some(m.lag.p99_ns));
            }
        }
        for step in streams {
            let StepResult::Measured(m) = &step.result else { continue };
            let p99_ns = m.token.best().p99_ns;
            let holds = p99_ns <= bound_ns && m.failed + m.unmatched == 0;
            if holds && limits.streams.is_none_or(|best| step.streams > best) {
                limits.streams = Some(step.streams);
                (limits.tokens_per_s, limits.token_error_p99_ns) = (Some(m.tokens_per_s), Some(p99_ns));
            }
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::super::sends::SendLag;
    use super::super::spread::Spread;
    use super::super::streams::{ByStamp, StreamErrors};
    use super::*;

    fn send(rate_rps: u32, p99_ns: i64, achieved: f64, failed: u64) -> SendStep {
        let lag = Spread { p99_ns, ..Spread::of([0]).unwrap() };
        let result = SendLag {
            lag,
            failed,
            achieved,
            in_flight_max: 1,
            at_in_flight_limit: false,
            client_utilisation: 0.5,
            client_spun: 0.1,
            server_utilisation: 0.5,
        };
        SendStep { rate_rps, result: StepResult::Measured(result) }
    }

    fn stream(streams: u32, read_ns: i64, kernel_ns: Option<i64>, unmatched: u64) -> StreamStep {
        let spread = |p99_ns| Spread { p99_ns, ..Spread::of([0]).unwrap() };
        let errors = ByStamp { read: spread(read_ns), kernel: kernel_ns.map(spread) };
        let result = StreamErrors {
            compared: 1,
            failed: 0,
            unmatched,
            in_flight_max: 1,
            kernel_arrivals: 0,
            tokens_per_s: f64::from(streams) * 100.0,
            server_ttft: spread(0),
            server_itl: Some(spread(0)),
            token: errors,
            ttft: errors,
            request_path: spread(0),
            server_queue: None,
            itl: None,
            shared_reads: 0.0,
            client_cpu_ns: 0,
            client_utilisation: 0.5,
            server_utilisation: 0.5,
        };
        StreamStep { streams, result: StepResult::Measured(result) }
    }

    #[test]
    fn the_highest_step_that_holds_is_the_limit() {
        let skipped = SendStep { rate_rps: 9_000, result: StepResult::Skipped("no room".into()) };
        let sends = [
            send(500, 2_000, 1.0, 0),
            send(1_000, 900, 1.0, 0),
            send(2_000, 900, 0.5, 0),
            send(5_000, 900, 1.0, 3),
            skipped,
        ];
        let streams = [stream(1, 10, None, 0), stream(100, 5_000, Some(50), 0), stream(1_000, 10, None, 1)];
        let limits = Limits::of(&sends, &streams, 1_000);
        assert_eq!((limits.send_rate_rps, limits.send_lag_p99_ns), (Some(1_000), Some(900)));
        assert_eq!((limits.streams, limits.token_error_p99_ns), (Some(100), Some(50)));
        assert_eq!(limits.tokens_per_s, Some(10_000.0));
    }

    #[test]
    fn where_nothing_holds_there_is_no_limit_to_cite() {
        let limits = Limits::of(&[send(500, 2_000, 1.0, 0)], &[], 1_000);
        assert_eq!(limits, Limits { bound_ns: 1_000, ..Limits::default() });
    }
}
