//! The kernel's transmit time of some requests, to show that `sent_ns` tells when a request really left.
//!
//! One request in [`EVERY`] asks for the stamp (a read of the socket's error queue costs as much as the request itself); what
//! is kept is its distance from `sent_ns`. Only requests of at most [`BYTES_MAX`] that one write took whole: the stamp is
//! that of the last byte, and a larger request may wait for room at the peer.

use hdrhistogram::Histogram;

use crate::record::manifest::TransmitStamps;
use crate::time::SECOND_NS;

/// One request in so many is stamped.
const EVERY: u32 = 64;
/// Larger requests are not.
pub(super) const BYTES_MAX: usize = 16 << 10;

/// The distances that were seen.
#[derive(Debug)]
pub(super) struct Transmit {
    /// Whether the kernel stamps what these sockets send.
    on: bool,
    until_next: u32,
    distances_ns: Histogram<u32>,
}

impl Transmit {
    /// Nothing seen yet; the first request is the first to be stamped, unless `on` is false.
    pub(super) fn new(on: bool) -> Self {
        let distances_ns = Histogram::new_with_bounds(1, 60 * SECOND_NS as u64, 2);
        Transmit { on, until_next: 0, distances_ns: distances_ns.expect("the bounds are constant and valid") }
    }

    /// Whether the request that goes out now is one of the sample.
    pub(super) fn is_next(&mut self) -> bool {
        let next = self.until_next == 0;
        self.until_next = if next { EVERY - 1 } else { self.until_next - 1 };
        next && self.on
    }

    /// A request that was sent at `sent_ns` left at `stamp_ns`.
    pub(super) fn record(&mut self, sent_ns: i64, stamp_ns: i64) {
        self.distances_ns.saturating_record((stamp_ns - sent_ns).max(0) as u64);
    }

    /// The sample in numbers, if there is one.
    pub(super) fn stamps(&self) -> Option<TransmitStamps> {
        let h = &self.distances_ns;
        let at = |q| h.value_at_quantile(q) as i64;
        (!h.is_empty()).then(|| TransmitStamps {
            one_in: EVERY,
            count: h.len(),
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            max_ns: h.max() as i64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_so_many_is_asked_for_its_stamp() {
        let mut transmit = Transmit::new(true);
        let asked: Vec<u32> = (0..200).filter(|_| transmit.is_next()).collect();
        assert_eq!(asked, [0, 64, 128, 192]);
        let mut off = Transmit::new(false);
        assert!((0..200).all(|_| !off.is_next()));
    }

    #[test]
    fn distances_are_told_to_one_per_cent_and_never_negative() {
        let mut transmit = Transmit::new(true);
        assert_eq!(transmit.stamps(), None);
        (1..=100).for_each(|n| transmit.record(5, 5 + n * 100));
        transmit.record(5, 4);
        let stamps = transmit.stamps().unwrap();
        assert_eq!((stamps.one_in, stamps.count), (64, 101));
        assert!((4950..=5050).contains(&stamps.p50_ns) && (9900..=10_100).contains(&stamps.max_ns), "{stamps:?}");
    }
}
