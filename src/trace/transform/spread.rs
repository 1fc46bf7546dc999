//! Turns arrivals that a recorder rounded into buckets into arrivals inside the buckets' gaps.
//!
//! In: a trace whose arrivals are bucketed ([`Bucketing`]), and a random stream. Out: the same requests in the same order, those of
//! each bucket at independent uniform times from the bucket's instant to the next one's: given their number, that is where a
//! Poisson process has them. A bucket that no other one follows at its period (a pause, the end) has one period.

use rand::RngExt;

use crate::rng::Rng;
use crate::trace::Trace;
use crate::trace::bucketing::Bucketing;

/// A gap beyond so many periods is a pause, not a bucket's own.
const LONGEST_PERIODS: f64 = 1.5;

/// Spreads the requests of each bucket over the bucket's gap. `bucketing` is that of the trace as it was read, since buckets may
/// no longer be found after most requests were left out.
pub(super) fn spread(trace: &mut Trace, bucketing: &Bucketing, rng: &mut Rng) {
    let Some(period_ns) = bucketing.period_ns else {
        trace.notes.push(format!("spread-buckets: {bucketing}; times are left as they are"));
        return;
    };
    let longest_ns = (period_ns as f64 * LONGEST_PERIODS) as i64;
    let mut times: Vec<&mut i64> = trace.entries.iter_mut().filter_map(|e| e.arrival_ns.as_mut()).collect();
    let (mut start, mut buckets, mut offsets_ns) = (0, 0_u64, Vec::new());
    while start < times.len() {
        let at_ns = *times[start];
        let end = start + times[start..].iter().take_while(|t| ***t == at_ns).count();
        let gap_ns = times.get(end).map(|next| **next - at_ns).filter(|gap| *gap <= longest_ns).unwrap_or(period_ns);
        offsets_ns.extend((start..end).map(|_| rng.random_range(0..gap_ns)));
        offsets_ns.sort_unstable();
        for (time, offset_ns) in times[start..end].iter_mut().zip(offsets_ns.drain(..)) {
            **time += offset_ns;
        }
        buckets += 1;
        start = end;
    }
    let requests = times.len();
    trace.notes.push(format!(
        "spread-buckets: {requests} requests of {buckets} buckets, {} s apart, are spread over their buckets' gaps",
        super::seconds(period_ns)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Seed, Stream};
    use crate::trace::Entry;

    fn bucketed(at_s: impl IntoIterator<Item = i64>) -> Trace {
        let entry = |at_s: i64| Entry { arrival_ns: Some(at_s * 1_000_000_000), input_tokens: 1, ..Entry::default() };
        Trace { entries: at_s.into_iter().map(entry).collect(), block_size: 1, ..Trace::default() }
    }

    fn spread_out(trace: &mut Trace) -> Vec<i64> {
        let bucketing = Bucketing::of(trace.entries.iter().filter_map(|e| e.arrival_ns));
        spread(trace, &bucketing, &mut Seed(9).stream(Stream::Spread));
        trace.check().unwrap();
        trace.entries.iter().filter_map(|e| e.arrival_ns).collect()
    }

    #[test]
    fn every_request_stays_in_its_buckets_own_gap_and_a_pause_is_not_filled() {
        // Buckets 3 s apart with 40 requests each, and a pause of a minute behind the tenth.
        let buckets: Vec<i64> = (0..10).chain(30..42).map(|n| 3 * n).collect();
        let mut trace = bucketed(buckets.iter().flat_map(|&at_s| vec![at_s; 40]));
        let times = spread_out(&mut trace);
        for (bucket, times) in buckets.iter().zip(times.chunks(40)) {
            let into_s: Vec<f64> = times.iter().map(|t| super::super::seconds(*t) - *bucket as f64).collect();
            assert!(into_s.iter().all(|t| (0.0..3.0).contains(t)), "{bucket}: {into_s:?}");
            // A mean of 40 uniform times has a standard error of 0.137 s.
            let mean = into_s.iter().sum::<f64>() / 40.0;
            assert!((mean - 1.5).abs() < 0.6, "seed 9, {bucket}: mean {mean}");
        }
        assert_eq!(
            trace.notes,
            ["spread-buckets: 880 requests of 22 buckets, 3 s apart, are spread over their buckets' gaps"]
        );
    }

    #[test]
    fn times_without_buckets_are_left_as_they_are() {
        let mut trace = bucketed([0, 1, 1, 4, 9]);
        assert_eq!(spread_out(&mut trace), [0, 1, 1, 4, 9].map(|s| s * 1_000_000_000));
        assert!(trace.notes[0].contains("are not bucketed"), "{:?}", trace.notes);
    }
}
