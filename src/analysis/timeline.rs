//! Measured requests → how the run went, interval by interval.
//!
//! In: [`Measured`]. Out: [`Timeline`], at most as many bins as asked for, of a length that people can read (1, 2 or
//! 5 × 10^k s). Invariants: every count lies in the bin of its own instant, so the sum over bins is the run's; TTFT lies
//! where the request was sent, ITL and outcomes where it ended.
//! Not here: the run's own percentiles (`metrics`), drawing (`report`).

use super::measured::Measured;
use crate::outcome::{Outcome, OutcomeClass};
use crate::time::SECOND_NS;

/// Most bins of a timeline that is read off as it is.
pub const BINS_MAX: usize = 200;
/// The percentiles of each bin.
pub const BIN_PERCENTILES: [f64; 3] = [50.0, 90.0, 99.0];

/// Percentiles of one bin, in milliseconds, at [`BIN_PERCENTILES`].
pub type BinPercentiles = [f64; 3];

/// One interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bin {
    /// Requests due: the offered load.
    pub scheduled: u64,
    /// Requests sent.
    pub sent: u64,
    /// Whole answers that ended here.
    pub completed: u64,
    /// Of those, how many met the whole service-level objective.
    pub good: u64,
    /// Failures that ended here.
    pub failed: u64,
    /// Requests in flight at the end of the interval.
    pub in_flight: u64,
    /// TTFT of requests sent here.
    pub ttft_ms: Option<BinPercentiles>,
    /// ITL of requests that ended here.
    pub itl_ms: Option<BinPercentiles>,
    /// Largest send lag of requests due here.
    pub send_lag_max_ms: Option<f64>,
    /// Prompt tokens of the requests sent here whose answers told how many of them were cached.
    pub prompt_tokens: u64,
    /// How many of those they told were cached.
    pub cached_tokens: u64,
    /// Prompt tokens of the plan, of the requests sent here of which it tells what to expect.
    pub planned_tokens: u64,
    /// Of those, how many a cache that forgets nothing would hold.
    pub expected_cached_tokens: f64,
}

/// The whole run in equal intervals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Start of the first bin, nanoseconds since `t0`.
    pub start_ns: i64,
    /// Length of a bin.
    pub interval_ns: i64,
    /// The bins, without gaps.
    pub bins: Vec<Bin>,
    /// Failures by how they ended, those of each bin, in the order of [`Outcome::ALL`]; only what there was.
    pub failures: Vec<(Outcome, Vec<u64>)>,
    /// Requests with a TTFT.
    pub ttft_n: u64,
    /// Requests with an ITL.
    pub itl_n: u64,
}

impl Timeline {
    /// Length of a bin in seconds.
    pub fn interval_s(&self) -> f64 {
        self.interval_ns as f64 / SECOND_NS as f64
    }

    /// Seconds from the timeline's start to the start of bin `index`.
    pub fn start_s(&self, index: usize) -> f64 {
        index as f64 * self.interval_s()
    }
}

/// The timeline of a run in at most `bins_max` bins, and at least two fifths as many unless the run has no length.
/// Empty if no request was measured.
pub fn build(measured: &Measured, bins_max: usize) -> Timeline {
    let Some((start_ns, end_ns)) = span(measured) else {
        return Timeline { interval_ns: SECOND_NS, ..Timeline::default() };
    };
    let interval_ns = round_interval_ns(end_ns.saturating_sub(start_ns), bins_max.max(2));
    let n_bins = (end_ns.saturating_sub(start_ns) / interval_ns) as usize + 1;
    let mut timeline = Timeline { start_ns, interval_ns, bins: vec![Bin::default(); n_bins], ..Timeline::default() };
    let mut ttft = vec![Vec::new(); n_bins];
    let mut itl = vec![Vec::new(); n_bins];
    let index = |t_ns: i64| (t_ns.saturating_sub(start_ns).max(0) / interval_ns).min(n_bins as i64 - 1) as usize;
    let mut ended = vec![0_u64; n_bins];
    let mut failures = Outcome::ALL.map(|outcome| (outcome, Vec::new()));
    for request in &measured.requests {
        let due = &mut timeline.bins[index(request.scheduled_ns)];
        due.scheduled += 1;
        if let Some(lag) = request.send_lag_ms() {
            due.send_lag_max_ms = Some(due.send_lag_max_ms.map_or(lag, |max| max.max(lag)));
        }
        let Some(sent_ns) = request.sent_ns else { continue };
        timeline.bins[index(sent_ns)].sent += 1;
        ttft[index(sent_ns)].extend(request.ttft_ms);
        if let Some(share) = measured.expected_hits.as_ref().and_then(|hits| hits.share(request.id)) {
            let bin = &mut timeline.bins[index(sent_ns)];
            bin.planned_tokens += u64::from(request.lengths.planned_prompt);
            bin.expected_cached_tokens += share * f64::from(request.lengths.planned_prompt);
        }
        if let Some(cached) = request.lengths.cached {
            let bin = &mut timeline.bins[index(sent_ns)];
            bin.cached_tokens += u64::from(cached);
            bin.prompt_tokens += u64::from(request.lengths.served_prompt.unwrap_or(request.lengths.planned_prompt));
        }
        let Some(end_ns) = request.end_ns else { continue };
        let at_end = index(end_ns);
        ended[at_end] += 1;
        itl[at_end].extend(request.itl_ms);
        let bin = &mut timeline.bins[at_end];
        bin.completed += u64::from(request.class == OutcomeClass::Completed);
        bin.failed += u64::from(request.class == OutcomeClass::Failed);
        bin.good += u64::from(request.good);
        if request.class == OutcomeClass::Failed
            && let Some((_, bins)) = failures.iter_mut().find(|f| f.0 == request.outcome)
        {
            bins.resize(n_bins, 0);
            bins[at_end] += 1;
        }
    }
    timeline.failures = failures.into_iter().filter(|(_, bins)| !bins.is_empty()).collect();
    let n_of = |values: &[Vec<f64>]| values.iter().map(Vec::len).sum::<usize>() as u64;
    (timeline.ttft_n, timeline.itl_n) = (n_of(&ttft), n_of(&itl));
    let mut in_flight = 0;
    for (i, bin) in timeline.bins.iter_mut().enumerate() {
        in_flight = (in_flight + bin.sent).saturating_sub(ended[i]);
        bin.in_flight = in_flight;
        bin.ttft_ms = percentiles(&mut ttft[i]);
        bin.itl_ms = percentiles(&mut itl[i]);
    }
    timeline
}

/// From the start of the measurement, or the first request due, to the last thing that happened.
fn span(measured: &Measured) -> Option<(i64, i64)> {
    let requests = &measured.requests;
    let first = requests.iter().map(|r| r.scheduled_ns).min()?;
    let last = requests.iter().flat_map(|r| [Some(r.scheduled_ns), r.sent_ns, r.end_ns]).flatten().max()?;
    let start = measured.window.map_or(first, |w| w.start_ns.min(first));
    Some((start, last.max(start)))
}

/// The shortest of 1, 2, 5 × 10^k ns that covers `span_ns` in at most `bins_max` bins.
pub fn round_interval_ns(span_ns: i64, bins_max: usize) -> i64 {
    // One bin fewer than allowed, since the last instant opens a bin of its own.
    let least = span_ns / (bins_max as i64 - 1) + 1;
    let mut power = 1_i64;
    loop {
        for step in [1, 2, 5] {
            let interval = power.saturating_mul(step);
            if interval >= least {
                return interval;
            }
        }
        power = power.saturating_mul(10);
    }
}

fn percentiles(values: &mut [f64]) -> Option<BinPercentiles> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| BIN_PERCENTILES.map(|p| percentile_of_sorted(values, p)))
}

/// Linear interpolation between order statistics, as everywhere in loadline. `sorted` must not be empty.
pub(super) fn percentile_of_sorted(sorted: &[f64], percent: f64) -> f64 {
    let rank = percent / 100.0 * (sorted.len() - 1) as f64;
    let below = sorted[rank.floor() as usize];
    let above = sorted[rank.ceil() as usize];
    below + (above - below) * rank.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{Memory, answered, manifest, run_of};
    use crate::outcome::Outcome;
    use crate::record::manifest::Manifest;
    use crate::record::row::RequestRow;

    fn timeline(rows: Vec<RequestRow>, bins_max: usize) -> Timeline {
        let run = Memory::new(Manifest { profiling: None, ..manifest() }, rows);
        build(&Measured::read(&run).unwrap(), bins_max)
    }

    #[test]
    fn expected_prefix_hits_lie_where_requests_were_sent() {
        let course = serde_json::json!({
            "first_request_id": 0, "requests_per_step": 2, "prompt_tokens": [200, 100], "cached_tokens": [50, 100],
        });
        let config = serde_json::json!({"expected_cached_course": course});
        // The third was due in the first second and sent in the next.
        let rows =
            [(0, 0.0, 0.0), (1, 100.0, 0.0), (2, 900.0, 300.0), (3, 1_100.0, 0.0)].map(|(id, due_ms, lag_ms)| {
                let mut row = answered(id, due_ms, lag_ms, 10.0, 1.0, 3);
                row.input_tokens = if id == 1 { 300 } else { 100 };
                row
            });
        let run = Memory::new(Manifest { profiling: None, config, ..manifest() }, rows[..3].to_vec());
        let bins = build(&Measured::read(&run).unwrap(), 3).bins;
        let expected: Vec<_> = bins.iter().map(|b| (b.planned_tokens, b.expected_cached_tokens)).collect();
        assert_eq!(expected.iter().filter(|e| e.0 > 0).copied().collect::<Vec<_>>(), [(400, 100.0), (100, 100.0)]);
        let run = Memory::new(Manifest { profiling: None, ..manifest() }, rows.to_vec());
        assert!(
            build(&Measured::read(&run).unwrap(), 3).bins.iter().all(|b| b.planned_tokens == 0),
            "nothing was said"
        );
    }

    #[test]
    fn every_count_lies_in_the_bin_of_its_instant() {
        let mut failed = answered(1, 2_500.0, 0.0, 100.0, 10.0, 11);
        failed.outcome = Outcome::Reset;
        let rows = vec![
            // Due at 0 s, sent at 1.5 s, ends at 3.101 s: late by more than a bin.
            answered(0, 0.0, 1_500.0, 600.0, 100.0, 11),
            // Due and sent at 2.5 s, fails at 2.701 s.
            failed,
            // Due at 4 s, never sent.
            RequestRow::scheduled(2, 4 * SECOND_NS),
            // Due at 10 s, ends at 10.011 s with one token of 10 ms, which has no ITL.
            answered(3, 10_000.0, 0.0, 10.0, 0.0, 1),
        ];
        let t = timeline(rows, 12);
        assert_eq!((t.start_ns, t.interval_s(), t.bins.len()), (0, 1.0, 11));
        let column = |f: fn(&Bin) -> u64| t.bins.iter().map(f).collect::<Vec<_>>();
        assert_eq!(column(|b| b.scheduled), [1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(column(|b| b.sent), [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(column(|b| b.completed), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(column(|b| b.failed), [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(t.failures, [(Outcome::Reset, column(|b| b.failed))]);
        assert_eq!(column(|b| b.good).iter().sum::<u64>(), 0, "a TTFT above 500 ms, and no ITL");
        assert_eq!(column(|b| b.in_flight), [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(t.bins[0].send_lag_max_ms, Some(1_500.0));
        assert_eq!((t.bins[1].ttft_ms, t.bins[3].itl_ms), (Some([600.0; 3]), Some([100.0; 3])));
        assert_eq!((t.bins[2].ttft_ms, t.bins[10].itl_ms), (None, None));
    }

    #[test]
    fn the_interval_is_a_round_number_and_the_bins_stay_in_bounds() {
        let mut span_ns = 1_000_i64;
        while span_ns < 40 * 24 * 3600 * SECOND_NS {
            let interval = round_interval_ns(span_ns, BINS_MAX);
            let n_bins = span_ns / interval + 1;
            assert!((60..=200).contains(&n_bins), "{span_ns} ns gives {n_bins} bins of {interval} ns");
            let digits = interval.to_string();
            assert!(matches!(&digits[..1], "1" | "2" | "5") && digits[1..].bytes().all(|b| b == b'0'), "{digits}");
            span_ns += span_ns / 7 + 13;
        }
        assert_eq!(round_interval_ns(i64::MAX, 200), 50_000_000_000_000_000);
    }

    #[test]
    fn sums_over_bins_are_the_runs_own() {
        let run = run_of(300, 5);
        let measured = Measured::read(&run).unwrap();
        let t = build(&measured, BINS_MAX);
        let sum = |f: fn(&Bin) -> u64| t.bins.iter().map(f).sum::<u64>();
        let class = |c| measured.requests.iter().filter(|r| r.class == c).count() as u64;
        assert_eq!(sum(|b| b.scheduled), 300);
        assert_eq!(sum(|b| b.completed), class(OutcomeClass::Completed));
        assert_eq!(sum(|b| b.failed), class(OutcomeClass::Failed));
        assert_eq!(sum(|b| b.good), measured.requests.iter().filter(|r| r.good).count() as u64);
        assert_eq!(t.bins.last().unwrap().in_flight, 0);
    }

    #[test]
    fn percentiles_interpolate_between_order_statistics() {
        // numpy.percentile([1, 2, 3, 4], [50, 90, 99]) = 2.5, 3.7, 3.97
        assert_eq!(
            percentiles(&mut [4.0, 1.0, 3.0, 2.0]).map(|p| p.map(|v| (v * 100.0).round())),
            Some([250.0, 370.0, 397.0])
        );
        assert_eq!(percentiles(&mut []), None);
    }

    #[test]
    fn nothing_measured_and_damaged_times_are_no_crash() {
        assert!(timeline(vec![], 200).bins.is_empty());
        let mut row = answered(0, 0.0, 0.0, 1.0, 1.0, 2);
        (row.scheduled_ns, row.end_ns) = (i64::MIN, Some(i64::MAX));
        assert!(timeline(vec![row], 200).bins.len() <= 200);
    }
}
