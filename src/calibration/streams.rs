//! Compares the token times that the client reports with those of the server, at several numbers of concurrent streams.
//!
//! The truth is the server's oracle, on the same CLOCK_MONOTONIC: its clock just before each event is handed to the socket,
//! and when its kernel had received a request, so that its own queue is in its TTFT and no error of the client. Every token of every completed request is compared; a request whose events the two
//! sides count differently is counted as unmatched and never averaged away.
//! An error is reported minus true, so it holds the way through the kernel and the wake-up of whoever reads.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::bench::{Bench, Load, Seen};
use super::spread::{Spread, ratio};
use super::{StepResult, skipped};
use crate::error::Result;
use crate::outcome::{EventKind, Outcome};
use crate::record::row::{RequestRow, TokenRow};
use crate::sim::config::Timing;
use crate::sim::oracle::OracleRequest;
use crate::time::{MILLISECOND_NS, SECOND_NS};

/// The server's TTFT, as far as it keeps up.
pub const TTFT_NS: i64 = 50 * MILLISECOND_NS;
/// The server's ITL, likewise.
pub const ITL_NS: i64 = 10 * MILLISECOND_NS;
/// Streams that are opened per second: what a worker can connect without delaying those that are open.
const OPENED_PER_S: i64 = 4_000;

/// One number of streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamStep {
    /// Concurrent streams that were asked for.
    pub streams: u32,
    /// What came of it.
    pub result: StepResult<StreamErrors>,
}

/// Errors by the two stamps that a token can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByStamp {
    /// Of the read's user-space stamp.
    pub read: Spread,
    /// Of the kernel's receive stamp, where the transport has it.
    pub kernel: Option<Spread>,
}

impl ByStamp {
    /// The errors of the better stamp that there is.
    pub fn best(&self) -> Spread {
        self.kernel.unwrap_or(self.read)
    }
}

/// How far reported times were off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamErrors {
    /// Requests that completed and were compared.
    pub compared: u64,
    /// Requests that did not complete.
    pub failed: u64,
    /// Requests that the two sides do not agree on: unknown to the server, or with another number of events.
    pub unmatched: u64,
    /// Most requests in flight at once.
    pub in_flight_max: u64,
    /// Tokens per second that the server emitted, over the middle half of them.
    pub tokens_per_s: f64,
    /// Of the compared requests, those whose arrival the server's kernel stamped; of the others, the server's reading counts.
    pub kernel_arrivals: u64,
    /// The server's own TTFT, from the request's arrival; 50 ms as long as it keeps up.
    pub server_ttft: Spread,
    /// The server's own mean ITL of each request, 10 ms as long as it keeps up; null where no answer has two tokens.
    pub server_itl: Option<Spread>,
    /// Token stamp minus the server's stamp of its write.
    pub token: ByStamp,
    /// Reported TTFT minus the server's.
    pub ttft: ByStamp,
    /// Of that, the way there: from the client's stamp before its write to the request's arrival.
    pub request_path: Spread,
    /// From the arrival by the kernel's stamp until the server had read the request; null where no arrival was stamped.
    pub server_queue: Option<Spread>,
    /// Reported ITL of a request minus the server's; null where no answer has two tokens.
    pub itl: Option<ByStamp>,
    /// Share of tokens that came in one read with another, and so have a stamp that may be the other's.
    pub shared_reads: f64,
    /// CPU time of the worker, start and end included.
    pub client_cpu_ns: i64,
    /// Share of its core that the worker used.
    pub client_utilisation: f64,
    /// Share of its core that the server used.
    pub server_utilisation: f64,
}

/// Opens `streams` streams of `output_tokens` tokens each, with a client that wastes `burn_ns` on each read. Fewer than
/// 8 are repeated, one set after another, until there are 8 answers.
///
/// # Errors
/// [`crate::error::Error::Internal`] where the system refuses a thread or a socket.
pub(super) fn measure(bench: &Bench, streams: u32, output_tokens: u32, burn_ns: i64) -> Result<StreamStep> {
    let step = |result| StreamStep { streams, result };
    if streams > bench.connections_max() {
        return Ok(step(skipped(u64::from(streams), bench)));
    }
    let seen = bench.drive(&Load {
        warmup_ns: Vec::new(),
        times_ns: times_ns(streams, output_tokens),
        output_tokens,
        timing: Timing::Constant { ttft_ns: TTFT_NS, itl_ns: ITL_NS },
        in_flight_max: None,
        burn_ns,
    })?;
    let none = || StepResult::Skipped(format!("none of {} requests could be compared", seen.requests.len()));
    Ok(step(compare(&seen).map_or_else(none, StepResult::Measured)))
}

/// When streams are opened: so many at once, and as often as it takes for enough values.
pub(super) fn times_ns(streams: u32, output_tokens: u32) -> Vec<i64> {
    let life_ns = TTFT_NS + i64::from(output_tokens) * ITL_NS;
    let rounds = 8_u32.div_ceil(streams.max(1));
    let start_of = |stream: u32| i64::from(stream) * SECOND_NS / OPENED_PER_S;
    (0..rounds).flat_map(|r| (0..streams).map(move |s| i64::from(r) * life_ns + start_of(s))).collect()
}

/// The errors of one answer's tokens, and of what is computed from them.
#[derive(Default)]
struct Errors {
    token: Vec<i64>,
    ttft: Vec<i64>,
    itl: Vec<i64>,
}

impl Errors {
    /// `seen` are the client's times of the answer's tokens, `truth` the server's.
    fn add(&mut self, seen: &[i64], truth: &[i64], (sent_ns, arrived_ns): (i64, i64)) {
        let (Some(first), Some(true_first)) = (seen.first(), truth.first()) else { return };
        self.token.extend(seen.iter().zip(truth).map(|(seen, truth)| seen - truth));
        self.ttft.push((first - sent_ns) - (true_first - arrived_ns));
        if let (Some(reported), Some(real)) = (mean_gap_ns(seen), mean_gap_ns(truth)) {
            self.itl.push(reported - real);
        }
    }
}

/// The mean time between neighbours, of at least two times.
fn mean_gap_ns(times_ns: &[i64]) -> Option<i64> {
    let gaps = times_ns.len().checked_sub(1).filter(|gaps| *gaps > 0)?;
    Some((times_ns[gaps] - times_ns[0]) / gaps as i64)
}

/// All errors; `None` where no request can be compared.
fn compare(seen: &Seen) -> Option<StreamErrors> {
    let truth = seen.oracle.by_id();
    let (mut read, mut kernel) = (Errors::default(), Errors::default());
    let [mut request_path, mut queue, mut server_ttft, mut server_itl, mut written] = [const { Vec::new() }; 5];
    let (mut compared, mut unmatched, mut shared) = (0, 0, 0_u64);
    for (row, tokens) in answers(seen) {
        let Some((known, sent_ns)) = matched(&truth, row, tokens) else {
            unmatched += 1;
            continue;
        };
        compared += 1;
        let content = |n: &usize| tokens[*n].kind == EventKind::Output;
        let places: Vec<usize> = (0..tokens.len()).filter(content).collect();
        let of_server = |n: &usize| seen.anchor.from_monotonic(known.events_ns[*n]);
        let real: Vec<i64> = places.iter().map(of_server).collect();
        let arrived_ns = seen.anchor.from_monotonic(known.start_ns());
        let stamps: Vec<i64> = places.iter().map(|n| tokens[*n].t_ns).collect();
        read.add(&stamps, &real, (sent_ns, arrived_ns));
        let stamps: Option<Vec<i64>> = places.iter().map(|n| tokens[*n].kernel_ns).collect();
        if let Some(stamps) = stamps {
            kernel.add(&stamps, &real, (sent_ns, arrived_ns));
        }
        shared += places.iter().filter(|n| shares_read(tokens, **n)).count() as u64;
        request_path.push(arrived_ns - sent_ns);
        queue.extend(known.arrived_ns.map(|arrived_ns| known.received_ns - arrived_ns));
        server_ttft.extend(real.first().map(|first| first - arrived_ns));
        server_itl.extend(mean_gap_ns(&real));
        written.extend(real);
    }
    let by_stamp = |read, kernel| Some(ByStamp { read: Spread::of(read)?, kernel: Spread::of(kernel) });
    let window_ns = seen.window_ns() as f64;
    Some(StreamErrors {
        compared,
        failed: seen.failed(),
        unmatched,
        in_flight_max: seen.in_flight_max(),
        shared_reads: ratio(shared as f64, written.len() as f64),
        tokens_per_s: middle_rate(written),
        kernel_arrivals: queue.len() as u64,
        server_ttft: Spread::of(server_ttft)?,
        server_itl: Spread::of(server_itl),
        token: by_stamp(read.token, kernel.token)?,
        ttft: by_stamp(read.ttft, kernel.ttft)?,
        request_path: Spread::of(request_path)?,
        server_queue: Spread::of(queue),
        itl: by_stamp(read.itl, kernel.itl),
        client_cpu_ns: seen.client_cpu_ns(),
        client_utilisation: ratio(seen.client_cpu_ns() as f64, window_ns),
        server_utilisation: ratio(seen.oracle.cpu_ns as f64, window_ns),
    })
}

/// Completed requests with their events.
fn answers(seen: &Seen) -> impl Iterator<Item = (&RequestRow, &[TokenRow])> {
    let completed = seen.requests.iter().filter(|r| r.outcome == Outcome::Completed);
    completed.map(|row| {
        let start = seen.tokens.partition_point(|t| t.request_id < row.request_id);
        let end = seen.tokens.partition_point(|t| t.request_id <= row.request_id);
        (row, &seen.tokens[start..end])
    })
}

/// The server's side of a request and the time of its sending, if both sides have the same events.
fn matched<'a>(
    truth: &HashMap<&str, &'a OracleRequest>,
    row: &RequestRow,
    tokens: &[TokenRow],
) -> Option<(&'a OracleRequest, i64)> {
    let known = truth.get(row.x_request_id.as_str())?;
    let whole = known.events_ns.len() == tokens.len() && (0..).zip(tokens).all(|(seq, t)| t.seq == seq);
    Some((*known, row.sent_ns?)).filter(|_| whole)
}

/// Whether a content event beside the one at `n` came in the same read.
fn shares_read(tokens: &[TokenRow], n: usize) -> bool {
    let same =
        |other: Option<&TokenRow>| other.is_some_and(|o| o.read == tokens[n].read && o.kind == EventKind::Output);
    same(n.checked_sub(1).and_then(|before| tokens.get(before))) || same(tokens.get(n + 1))
}

/// Events per second between the first and the third quarter of them.
fn middle_rate(mut times_ns: Vec<i64>) -> f64 {
    times_ns.sort_unstable();
    let (low, high) = (times_ns.len() / 4, times_ns.len() * 3 / 4);
    let span_ns = if high > low { times_ns[high] - times_ns[low] } else { 0 };
    ratio((high - low) as f64 * SECOND_NS as f64, span_ns as f64).round()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineReport;
    use crate::sim::oracle::Oracle;
    use crate::time::Anchor;

    fn token(seq: u32, t_ns: i64, kernel_ns: Option<i64>, read: u32, kind: EventKind) -> TokenRow {
        TokenRow { request_id: 0, seq, t_ns, kernel_ns, read, kind, bytes: 1, tokens: None }
    }

    /// One request: sent at 100, arrived at 105 or unstamped, read at 130, a role and three tokens written at 1000, 2000, 3000.
    fn seen(kernel: bool) -> Seen {
        let mut row = RequestRow::scheduled(0, 90);
        (row.x_request_id, row.outcome, row.sent_ns) = ("a".into(), Outcome::Completed, Some(100));
        let at = |t: i64| kernel.then_some(t);
        let tokens = vec![
            token(0, 1_010, at(1_001), 0, EventKind::Role),
            token(1, 1_010, at(1_001), 0, EventKind::Output),
            token(2, 3_050, at(3_002), 1, EventKind::Output),
            token(3, 3_050, at(3_002), 1, EventKind::Output),
        ];
        let known = OracleRequest {
            x_request_id: "a".into(),
            arrived_ns: at(5_105),
            received_ns: 5_130,
            events_ns: vec![5_999, 6_000, 7_000, 8_000],
            ..OracleRequest::default()
        };
        Seen {
            requests: vec![row],
            tokens,
            oracle: Oracle { requests: vec![known], ..Oracle::default() },
            anchor: Anchor { t0_unix_ns: 0, t0_monotonic_ns: 5_000 },
            report: EngineReport::default(),
        }
    }

    #[test]
    fn a_worked_example() {
        let errors = compare(&seen(true)).unwrap();
        assert_eq!((errors.compared, errors.unmatched, errors.shared_reads), (1, 0, 0.6667));
        // Stamps 1010, 3050, 3050 against writes 1000, 2000, 3000.
        let token = errors.token.read;
        assert_eq!((token.n, token.min_ns, token.p50_ns, token.max_ns), (3, 10, 50, 1_050));
        assert_eq!(errors.token.kernel.unwrap().min_ns, 1);
        // Reported 1010 − 100, true 1000 − 105; 5 of the 15 are the way there. The 25 until it was read are the server's.
        assert_eq!((errors.ttft.read.mean_ns, errors.request_path.mean_ns), (15, 5));
        assert_eq!((errors.kernel_arrivals, errors.server_queue.unwrap().mean_ns), (1, 25));
        assert_eq!((errors.server_ttft.mean_ns, errors.server_itl.unwrap().mean_ns), (895, 1_000));
        assert_eq!(errors.itl.unwrap().read.mean_ns, 20);
        let without = compare(&seen(false)).unwrap();
        assert_eq!((without.token.kernel, without.token.best().n), (None, 3));
        assert_eq!((without.kernel_arrivals, without.server_queue), (0, None));
        assert_eq!((without.ttft.read.mean_ns, without.request_path.mean_ns), (40, 30), "from the server's reading");
    }

    #[test]
    fn a_request_that_the_two_sides_disagree_on_is_counted_and_not_averaged() {
        let mut lost = seen(false);
        lost.tokens.remove(2);
        assert!(compare(&lost).is_none(), "nothing is left to compare");
        let mut unknown = seen(false);
        let mut other = unknown.requests[0].clone();
        (other.request_id, other.x_request_id) = (1, "b".into());
        unknown.requests.push(other);
        let errors = compare(&unknown).unwrap();
        assert_eq!((errors.compared, errors.unmatched), (1, 1));
    }

    #[test]
    fn few_streams_are_repeated_and_many_overlap() {
        assert_eq!(times_ns(1, 20).len(), 8);
        let many = times_ns(4_000, 200);
        assert_eq!(many.len(), 4_000);
        assert!(*many.last().unwrap() < TTFT_NS + 200 * ITL_NS, "the last opens before the first has ended");
    }

    #[test]
    fn the_rate_is_that_of_the_middle_half() {
        let steady = (0..1_000).map(|n| n * MILLISECOND_NS).chain([900 * SECOND_NS]).collect();
        assert_eq!(middle_rate(steady), 1_000.0);
        assert_eq!(middle_rate(vec![5]), 0.0);
    }
}
