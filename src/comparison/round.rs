//! How long requests took in closed loops → over which time the clients of the next one begin.
//!
//! Where all answers are equally long, clients who begin at once ask at once for ever: all prompts stand in one row, and TTFT is that of the
//! last. They begin one after the other instead, spread over the time of one request, so that the last begins one place in the round
//! before the first asks again. Pure. Not here: the beginning itself (`schedule::ramp`).

use crate::time::SECOND_NS;

/// What is known of a deployment's requests.
#[derive(Clone, Debug)]
pub struct Round {
    /// Tokens of an answer.
    osl: u32,
    measured: Vec<Loop>,
}

/// One closed loop.
#[derive(Clone, Copy, Debug)]
struct Loop {
    clients: u32,
    ttft_s: f64,
    latency_s: f64,
}

/// A request is expected to take at most so many times as long with more clients, where only one loop tells. Up to 2 + √3 the C-th completion,
/// with which the steady state begins, comes after the last client has begun, however little slower the deployment then really is.
const SLOWER_MAX: f64 = 3.0;

impl Round {
    /// Of answers with `osl` tokens, nothing is known yet.
    pub fn new(osl: u32) -> Round {
        Round { osl, measured: Vec::new() }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.measured.is_empty()
    }

    /// Takes in the mean latencies of a loop of so many clients, ms; an answer of one token has no ITL.
    pub fn note(&mut self, clients: u32, ttft_ms: f64, itl_ms: Option<f64>) {
        let latency_ms = ttft_ms + f64::from(self.osl.saturating_sub(1)) * itl_ms.unwrap_or(0.0);
        self.measured.push(Loop { clients, ttft_s: ttft_ms / 1e3, latency_s: latency_ms / 1e3 });
    }

    /// How long a request is expected to take with so many clients, in seconds: by the straight line through the two loops that are
    /// nearest. Where one alone is known, each client more holds a request up for as long as a prompt takes. `None` where none is.
    fn expected_s(&self, clients: u32) -> Option<f64> {
        let mut nearest = self.measured.clone();
        nearest.sort_by_key(|l| l.clients.abs_diff(clients));
        let first = *nearest.first()?;
        let more = f64::from(clients) - f64::from(first.clients);
        Some(match nearest.iter().find(|l| l.clients != first.clients) {
            Some(second) => {
                let slope =
                    (second.latency_s - first.latency_s) / (f64::from(second.clients) - f64::from(first.clients));
                // A line through noise may fall; a request takes some time.
                (first.latency_s + slope * more).max(0.5 * first.latency_s)
            }
            None => (first.latency_s + more.max(0.0) * first.ttft_s).min(SLOWER_MAX * first.latency_s),
        })
    }

    /// The time over which so many clients begin, ns; 0 where nothing is known.
    pub fn ramp_ns(&self, clients: u32) -> i64 {
        let round_s = self.expected_s(clients).unwrap_or(0.0);
        (round_s * (1.0 - 1.0 / f64::from(clients.max(1))) * SECOND_NS as f64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(measured: &[(u32, f64)]) -> Round {
        let known = |(clients, latency_s): &(u32, f64)| Loop { clients: *clients, ttft_s: 0.0, latency_s: *latency_s };
        Round { osl: 11, measured: measured.iter().map(known).collect() }
    }

    #[test]
    fn the_time_of_a_request_is_read_off_a_line() {
        assert_eq!((of(&[]).expected_s(1), of(&[(1, 2.0)]).expected_s(2)), (None, Some(2.0)));
        assert_eq!(of(&[(1, 2.0), (2, 3.0)]).expected_s(4), Some(5.0));
        assert_eq!(of(&[(1, 2.0), (8, 100.0), (4, 4.0)]).expected_s(2), Some(2.0 + 2.0 / 3.0));
        assert_eq!(of(&[(1, 9.0), (2, 2.0)]).expected_s(8), Some(1.0));
    }

    #[test]
    fn the_last_client_begins_one_place_before_the_first_asks_again() {
        let mut round = of(&[]);
        assert_eq!((round.is_empty(), round.ramp_ns(4)), (true, 0));
        round.note(1, 500.0, Some(50.0));
        // Of one loop alone: 1 s, and half a second more for each further prompt, up to 3 s.
        assert_eq!([1, 2, 4, 100].map(|clients| round.expected_s(clients)), [1.0, 1.5, 2.5, 3.0].map(Some));
        assert_eq!([1, 2, 4].map(|clients| round.ramp_ns(clients)), [0, 3 * SECOND_NS / 4, 15 * SECOND_NS / 8]);
        round.note(3, 2_000.0, None);
        assert_eq!((round.is_empty(), round.expected_s(5)), (false, Some(3.0)));
    }
}
