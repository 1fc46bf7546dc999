//! What became of each request → percentiles, attainment and goodput of one level of load.
//!
//! A request meets the SLA where its own TTFT and its own mean ITL are within the bounds. Attainment is the share of the
//! offered requests that do: a refused one does not. The first tenth of an open loop and the first request of every client
//! are the way into the steady state; they load the engine and are not counted.

use crate::metrics::quantile::percentile_of_sorted;
use crate::profiler::capacity::Sla;

use super::drive::Served;

/// A latency's distribution, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Quantiles {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Quantiles {
    fn of(mut values: Vec<f64>) -> Quantiles {
        if values.is_empty() {
            return Quantiles::default();
        }
        values.sort_by(f64::total_cmp);
        let at = |p| percentile_of_sorted(&values, p);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Quantiles { mean, p50: at(50.0), p90: at(90.0), p99: at(99.0) }
    }
}

/// What is offered.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offered {
    /// Poisson arrivals, requests per second.
    RateRps(f64),
    /// Clients that ask again at once.
    Clients(u32),
    /// A trace's own arrivals: its mean rate, requests per second.
    TraceRps(f64),
}

/// One level of load.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct UnderLoad {
    /// What is offered.
    pub offered: Offered,
    /// Requests that are counted.
    pub requests: usize,
    /// Of them, those that were refused.
    pub refused: usize,
    /// Time to first token, of the served.
    pub ttft_ms: Quantiles,
    /// Mean time between a request's tokens, of those with several.
    pub itl_ms: Quantiles,
    /// Answers per second.
    pub requests_per_s: f64,
    /// Tokens of answer per second and GPU.
    pub tokens_per_s_per_gpu: f64,
    /// Share of the requests that met the SLA.
    pub attainment: f64,
    /// Requests per second that met it.
    pub goodput_rps: f64,
}

impl UnderLoad {
    /// Of Poisson arrivals at a rate.
    pub fn open(rate_rps: f64, served: &[Served], sla: Sla, gpus: u32) -> UnderLoad {
        UnderLoad::of(Offered::RateRps(rate_rps), &served[served.len() / 10..], sla, gpus)
    }

    /// Of clients that ask again.
    pub fn closed(clients: u32, served: &[Served], sla: Sla, gpus: u32) -> UnderLoad {
        // At the end, clients without a next request leave the others more room.
        let to = served.len().saturating_sub(clients as usize).max(1);
        let from = (clients as usize).min(to - 1);
        UnderLoad::of(Offered::Clients(clients), &served[from..to], sla, gpus)
    }

    /// Of a trace, all of it.
    pub fn trace(served: &[Served], sla: Sla, gpus: u32) -> UnderLoad {
        let span_s = served.last().map_or(0.0, |s| (s.arrival_ns - served[0].arrival_ns) as f64 / 1e9);
        let rate = if span_s > 0.0 { served.len() as f64 / span_s } else { 0.0 };
        UnderLoad::of(Offered::TraceRps(rate), served, sla, gpus)
    }

    fn of(offered: Offered, served: &[Served], sla: Sla, gpus: u32) -> UnderLoad {
        let ttft_ms = |s: &Served| Some((s.first_ns? - s.arrival_ns) as f64 / 1e6);
        let itl_ms = |s: &Served| {
            let gaps = s.output_tokens.checked_sub(1).filter(|n| *n > 0)?;
            Some((s.last_ns? - s.first_ns?) as f64 / 1e6 / f64::from(gaps))
        };
        let is_good =
            |s: &&Served| ttft_ms(s).is_some_and(|t| t <= sla.ttft_ms) && itl_ms(s).is_none_or(|t| t <= sla.itl_ms);
        let ends = served.iter().filter_map(|s| s.last_ns);
        let (from, to) = (served.first().map_or(0, |s| s.arrival_ns), ends.clone().max().unwrap_or(0));
        let seconds = ((to - from) as f64 / 1e9).max(f64::MIN_POSITIVE);
        let done = ends.count();
        let good = served.iter().filter(is_good).count();
        let output_tokens: f64 =
            served.iter().filter(|s| s.last_ns.is_some()).map(|s| f64::from(s.output_tokens)).sum();
        UnderLoad {
            offered,
            requests: served.len(),
            refused: served.iter().filter(|s| s.first_ns.is_none()).count(),
            ttft_ms: Quantiles::of(served.iter().filter_map(ttft_ms).collect()),
            itl_ms: Quantiles::of(served.iter().filter_map(itl_ms).collect()),
            requests_per_s: done as f64 / seconds,
            tokens_per_s_per_gpu: output_tokens / seconds / f64::from(gpus.max(1)),
            attainment: good as f64 / served.len().max(1) as f64,
            goodput_rps: good as f64 / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLA: Sla = Sla { ttft_ms: 100.0, itl_ms: 10.0 };

    fn served(arrival_ms: i64, first_ms: i64, last_ms: i64) -> Served {
        let ns = |ms: i64| ms * 1_000_000;
        Served {
            arrival_ns: ns(arrival_ms),
            first_ns: Some(ns(first_ms)),
            last_ns: Some(ns(last_ms)),
            output_tokens: 11,
        }
    }

    #[test]
    fn a_request_is_good_where_both_of_its_times_are_and_a_refused_one_is_not() {
        let refused = Served { first_ns: None, last_ns: None, ..served(30, 0, 0) };
        let all = [served(0, 100, 200), served(0, 101, 201), served(0, 100, 201), refused];
        let level = UnderLoad::of(Offered::Clients(1), &all, SLA, 2);
        assert_eq!((level.requests, level.refused, level.attainment), (4, 1, 0.25));
        assert!((level.goodput_rps - 1.0 / 0.201).abs() < 1e-9 && (level.requests_per_s - 3.0 / 0.201).abs() < 1e-9);
        assert!((level.tokens_per_s_per_gpu - 33.0 / 0.201 / 2.0).abs() < 1e-9);
        assert_eq!((level.ttft_ms.p50, level.itl_ms.p50), (100.0, 10.0));
    }

    #[test]
    fn nothing_served_is_no_number_that_json_cannot_hold() {
        let level = UnderLoad::of(Offered::TraceRps(0.0), &[], SLA, 1);
        assert_eq!((level.attainment, level.goodput_rps, level.requests_per_s), (0.0, 0.0, 0.0));
    }
}
