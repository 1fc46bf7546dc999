//! Scrapes of a server → a few of its series on the axis of the run's own timeline.
//!
//! In: `server_metrics.parquet`, and the run's intervals. Out: for each quantity of [`Quantity`] that the server tells under a name
//! that is known here, a value in each interval.
//! A gauge is the mean of the scrapes in an interval, and where there is none what the scrape before said; a counter's growth is
//! spread evenly over the time between two scrapes. Series of one endpoint, and endpoints, are added up; shares are averaged.
//! Not here: the numbers over the whole window ([`super::ServerMetrics`]).

use super::replay::{Now, Replay, Scrape, Series};
use crate::analysis::timeline::Timeline;
use crate::error::Result;
use crate::record::server::ServerRecording;

/// What a server tells of itself that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Requests in the batch.
    Running,
    /// Requests that wait for a place in it.
    Waiting,
    /// Share of the KV cache in use.
    CacheUsage,
    /// Prompt tokens/s.
    PromptTokens,
    /// Output tokens/s.
    OutputTokens,
}

/// The quantities, and the families that tell them: those of vLLM and SGLang; a counter without its `_total`.
const FAMILIES: [(Quantity, &[&str]); 5] = [
    (Quantity::Running, &["vllm:num_requests_running", "sglang:num_running_reqs"]),
    (Quantity::Waiting, &["vllm:num_requests_waiting", "sglang:num_queue_reqs"]),
    (Quantity::CacheUsage, &["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"]),
    (Quantity::PromptTokens, &["vllm:prompt_tokens", "sglang:prompt_tokens"]),
    (Quantity::OutputTokens, &["vllm:generation_tokens", "sglang:generation_tokens"]),
];

impl Quantity {
    fn is_counter(self) -> bool {
        matches!(self, Quantity::PromptTokens | Quantity::OutputTokens)
    }
}

/// One quantity of one endpoint.
#[derive(Clone, Debug, Default)]
struct Track {
    /// Sum and number of a gauge's values in each interval; of a counter, its growth and 1 where it was seen.
    bins: Vec<(f64, f64)>,
    last: Option<(i64, f64)>,
}

/// The server's own view of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerOverTime {
    /// Scrapes that brought something.
    pub scrapes: u64,
    values: Vec<(Quantity, Vec<Option<f64>>)>,
}

impl ServerOverTime {
    /// Reads a recording's scrapes onto the intervals of `timeline`.
    ///
    /// # Errors
    /// Those of the file.
    pub fn of(recording: &ServerRecording, timeline: &Timeline) -> Result<ServerOverTime> {
        let mut fold = Fold { timeline, scrapes: 0, endpoints: Vec::new() };
        let mut replay = Replay::default();
        let on_scrape = &mut |scrape: &Scrape, series: &[Series]| fold.take(scrape, series);
        recording.for_each(&mut |row| replay.push(row, on_scrape))?;
        replay.finish(on_scrape);
        Ok(fold.finish())
    }

    /// A value of `quantity` in each interval of the timeline; `None` where the server was not heard. Empty if it never told.
    pub fn values(&self, quantity: Quantity) -> &[Option<f64>] {
        self.values.iter().find(|(q, _)| *q == quantity).map_or(&[], |(_, values)| values)
    }
}

struct Fold<'a> {
    timeline: &'a Timeline,
    scrapes: u64,
    /// By endpoint and quantity.
    endpoints: Vec<[Track; FAMILIES.len()]>,
}

impl Fold<'_> {
    fn take(&mut self, scrape: &Scrape, series: &[Series]) {
        let n_bins = self.timeline.bins.len();
        if self.endpoints.len() <= scrape.endpoint {
            self.endpoints.resize_with(scrape.endpoint + 1, Default::default);
        }
        if scrape.failed || n_bins == 0 {
            return;
        }
        self.scrapes += 1;
        let t_ns = scrape.times_ns[1];
        for ((quantity, names), track) in FAMILIES.iter().zip(&mut self.endpoints[scrape.endpoint]) {
            let values = series.iter().filter(|s| names.contains(&s.metric.as_ref())).filter_map(|s| match s.now {
                Now::Scalar(value) => value.filter(|v| v.is_finite()),
                Now::Histogram(_) => None,
            });
            let (n, sum) = values.fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value));
            if n == 0.0 {
                continue;
            }
            track.bins.resize(n_bins, (0.0, 0.0));
            if quantity.is_counter() {
                track.grow(self.timeline, t_ns, sum);
            } else {
                let value = if *quantity == Quantity::CacheUsage { sum / n } else { sum };
                track.see(self.timeline, t_ns, value);
            }
        }
    }

    fn finish(self) -> ServerOverTime {
        let mut values = Vec::new();
        for (at, (quantity, _)) in FAMILIES.into_iter().enumerate() {
            let tracks: Vec<&Track> =
                self.endpoints.iter().map(|e| &e[at]).filter(|track| !track.bins.is_empty()).collect();
            if tracks.is_empty() {
                continue;
            }
            let value = |i: usize| {
                let seen: Vec<f64> =
                    tracks.iter().map(|t| t.bins[i]).filter(|b| b.1 > 0.0).map(|(sum, n)| sum / n).collect();
                let sum: f64 = seen.iter().sum();
                let scale = match quantity {
                    Quantity::CacheUsage => 1.0 / seen.len().max(1) as f64,
                    q if q.is_counter() => 1.0 / self.timeline.interval_s(),
                    _ => 1.0,
                };
                (!seen.is_empty()).then_some(sum * scale)
            };
            values.push((quantity, (0..self.timeline.bins.len()).map(value).collect()));
        }
        ServerOverTime { scrapes: self.scrapes, values }
    }
}

impl Track {
    /// A gauge's value; intervals without one since the last keep that.
    fn see(&mut self, timeline: &Timeline, t_ns: i64, value: f64) {
        let at = place(timeline, t_ns);
        if let Some((last_ns, last)) = self.last {
            let from = (place(timeline, last_ns) + 1).max(0);
            let missed = from as usize..at.clamp(from, self.bins.len().max(from as usize) as i64) as usize;
            self.bins.get_mut(missed).into_iter().flatten().for_each(|bin| *bin = (last, 1.0));
        }
        if let Some(bin) = usize::try_from(at).ok().and_then(|i| self.bins.get_mut(i)) {
            *bin = (bin.0 + value, bin.1 + 1.0);
        }
        self.last = Some((t_ns, value));
    }

    /// A counter's value. One below the last was started anew, and has grown by what it shows.
    fn grow(&mut self, timeline: &Timeline, t_ns: i64, value: f64) {
        if let Some((last_ns, last)) = self.last {
            let growth = if value < last { value } else { value - last };
            let length_ns = t_ns.saturating_sub(last_ns).max(1) as f64;
            let n_bins = self.bins.len() as i64;
            for i in place(timeline, last_ns).max(0)..=place(timeline, t_ns).min(n_bins - 1) {
                let from = timeline.start_ns.saturating_add(i.saturating_mul(timeline.interval_ns));
                let overlap = t_ns.min(from.saturating_add(timeline.interval_ns)).saturating_sub(last_ns.max(from));
                let bin = &mut self.bins[i as usize];
                *bin = (bin.0 + growth * overlap.max(0) as f64 / length_ns, 1.0);
            }
        }
        self.last = Some((t_ns, value));
    }
}

/// The interval that a moment lies in; negative before the first.
fn place(timeline: &Timeline, t_ns: i64) -> i64 {
    t_ns.saturating_sub(timeline.start_ns).div_euclid(timeline.interval_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::timeline::Bin;
    use crate::time::SECOND_NS;
    use crate::wire::exposition::FamilyKind;

    fn series(metric: &str, value: f64) -> Series {
        Series {
            metric: metric.into(),
            kind: FamilyKind::Gauge,
            help: String::new(),
            labels: vec![],
            now: Now::Scalar(Some(value)),
            changed: true,
        }
    }

    fn seen(scrapes: &[(usize, i64, Vec<Series>)]) -> ServerOverTime {
        let timeline = Timeline {
            start_ns: SECOND_NS,
            interval_ns: SECOND_NS,
            bins: vec![Bin::default(); 5],
            ..Timeline::default()
        };
        let mut fold = Fold { timeline: &timeline, scrapes: 0, endpoints: Vec::new() };
        for (endpoint, t_ms, series) in scrapes {
            let t_ns = t_ms * 1_000_000;
            let scrape =
                Scrape { endpoint: *endpoint, url: "u".into(), times_ns: [t_ns; 3], failed: series.is_empty() };
            fold.take(&scrape, series);
        }
        fold.finish()
    }

    #[test]
    fn gauges_are_averaged_kept_until_the_next_scrape_and_added_over_endpoints() {
        let running = |n: f64| vec![series("vllm:num_requests_running", n)];
        let s = seen(&[
            (0, 1_100, running(4.0)),
            (0, 1_600, running(6.0)),
            (1, 1_700, running(10.0)),
            (0, 1_800, vec![]),
            (0, 4_200, running(1.0)),
        ]);
        assert_eq!(s.values(Quantity::Running), [Some(15.0), Some(6.0), Some(6.0), Some(1.0), None]);
        assert_eq!((s.scrapes, s.values(Quantity::Waiting)), (4, &[][..]));
        let usage = |a: f64, b: f64| vec![series("vllm:kv_cache_usage_perc", a), series("vllm:kv_cache_usage_perc", b)];
        let s = seen(&[(0, 1_000, usage(0.2, 0.4))]);
        assert!((s.values(Quantity::CacheUsage)[0].unwrap() - 0.3).abs() < 1e-12, "a share is averaged");
    }

    #[test]
    fn the_growth_of_counters_is_spread_over_the_time_that_it_took_and_a_restart_counts_from_zero() {
        let tokens = |n: f64| vec![series("vllm:generation_tokens", n)];
        let s = seen(&[(0, 500, tokens(100.0)), (0, 2_500, tokens(300.0)), (0, 3_500, tokens(50.0))]);
        // 200 in 2 s, half a second of it before the run; then 50 from a server started anew, half in each of two intervals.
        assert_eq!(s.values(Quantity::OutputTokens), [Some(100.0), Some(75.0), Some(25.0), None, None]);
    }
}
