//! Several runs' measured requests → what is laid over each other: latencies in the order of sending, answers per second over time.
//!
//! Not here: differences of the runs ([`crate::comparison::difference`]), pictures (`report`).

use super::measured::{Measured, Request};

/// Intervals over time.
const BINS: usize = 60;

/// A latency of a request, in milliseconds.
pub type Latency = fn(&Request) -> Option<f64>;

/// The latencies that runs are compared by, with their names.
pub const LATENCIES: [(&str, Latency); 3] =
    [("TTFT", |r| r.ttft_ms), ("ITL", |r| r.itl_ms), ("Latency", |r| r.latency_ms)];

/// The values of a latency in the order in which their requests were sent, in milliseconds.
pub fn in_order(measured: &Measured, latency: Latency) -> Vec<f64> {
    let mut sent: Vec<(i64, f64)> = measured.requests.iter().filter_map(|r| Some((r.sent_ns?, latency(r)?))).collect();
    sent.sort_by_key(|(sent_ns, _)| *sent_ns);
    sent.into_iter().map(|(_, value)| value).collect()
}

/// Completed requests per second, `(from, to, rate)` in seconds since the first request was due. Empty of a run without any.
pub fn answers_per_s(measured: &Measured) -> Vec<(f64, f64, Option<f64>)> {
    let Some(start) = measured.requests.iter().map(|r| r.scheduled_ns).min() else { return Vec::new() };
    let ends: Vec<f64> = measured
        .requests
        .iter()
        .filter(|r| r.latency_ms.is_some())
        .filter_map(|r| Some(r.end_ns?.saturating_sub(start) as f64 / 1e9))
        .collect();
    let last = ends.iter().copied().fold(0.0, f64::max);
    if last <= 0.0 {
        return Vec::new();
    }
    let width = last / BINS as f64;
    let mut counts = [0_u64; BINS];
    for end in ends {
        counts[((end / width) as usize).min(BINS - 1)] += 1;
    }
    let bin = |(i, n): (usize, &u64)| (i as f64 * width, (i + 1) as f64 * width, Some(*n as f64 / width));
    counts.iter().enumerate().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{Memory, answered, manifest};

    #[test]
    fn values_stand_in_the_order_of_sending_and_all_answers_are_counted() {
        let rows = vec![answered(0, 2_000.0, 0.0, 30.0, 1.0, 4), answered(1, 1_000.0, 0.0, 10.0, 1.0, 4)];
        let measured = Measured::read(&Memory::new(manifest(), rows)).unwrap();
        assert_eq!(in_order(&measured, LATENCIES[0].1), [10.0, 30.0]);
        let total: f64 = answers_per_s(&measured).iter().map(|(from, to, rate)| (to - from) * rate.unwrap()).sum();
        assert!((total - 2.0).abs() < 1e-9, "{total}");
        let none = Measured { requests: Vec::new(), window: None, expected_hits: None };
        assert!(answers_per_s(&none).is_empty() && in_order(&none, LATENCIES[0].1).is_empty());
    }
}
