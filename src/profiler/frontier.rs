//! Everything that a GPU budget allows → operating points, and those that no other beats.
//!
//! In: capacities by TP, workload, SLA, budget. Out: [`Topology`]s with their best [`OperatingPoint`] within the SLA, and the
//! Pareto front of throughput per GPU against speed per user, SLA or not.
//! Not here: which one to take ([`super::recommend`]).

use super::capacity::{Capacity, Sla, Workload, batches, largest};
use super::disaggregate::Pair;
use super::mean_field::{self, Steady};

/// How engines are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum Topology {
    /// Equal engines, each of which prefills and decodes.
    Aggregated {
        /// GPUs of an engine.
        tp: u32,
        /// Engines.
        replicas: u32,
    },
    /// Engines that prefill, and others that decode.
    Disaggregated {
        /// GPUs of a prefill worker.
        prefill_tp: u32,
        /// Prefill workers.
        prefill_workers: u32,
        /// GPUs of a decode worker.
        decode_tp: u32,
        /// Decode workers.
        decode_workers: u32,
    },
}

impl Topology {
    /// GPUs that it takes.
    pub fn gpus(self) -> u32 {
        match self {
            Topology::Aggregated { tp, replicas } => tp * replicas,
            Topology::Disaggregated { prefill_tp, prefill_workers, decode_tp, decode_workers } => {
                prefill_tp * prefill_workers + decode_tp * decode_workers
            }
        }
    }

    /// Engines that decode.
    pub fn decode_workers(self) -> u32 {
        match self {
            Topology::Aggregated { replicas, .. } => replicas,
            Topology::Disaggregated { decode_workers, .. } => decode_workers,
        }
    }

    /// Whether it is of the same kind as another: same mode and TP, whatever the number of engines.
    pub fn is_like(self, other: Topology) -> bool {
        match (self, other) {
            (Topology::Aggregated { tp: a, .. }, Topology::Aggregated { tp: b, .. }) => a == b,
            (
                Topology::Disaggregated { prefill_tp: a, decode_tp: b, .. },
                Topology::Disaggregated { prefill_tp: c, decode_tp: d, .. },
            ) => (a, b) == (c, d),
            _ => false,
        }
    }
}

impl std::fmt::Display for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Topology::Aggregated { tp, replicas } => write!(f, "{replicas} x TP{tp}"),
            Topology::Disaggregated { prefill_tp, prefill_workers, decode_tp, decode_workers } => {
                write!(f, "{prefill_workers} x TP{prefill_tp} prefill + {decode_workers} x TP{decode_tp} decode")
            }
        }
    }
}

/// A topology under a load.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct OperatingPoint {
    /// The topology.
    pub topology: Topology,
    /// Sequences in flight on each engine that decodes.
    pub batch: u32,
    /// Mean TTFT, ms, queueing and hand-off included.
    pub ttft_ms: f64,
    /// Mean ITL, ms.
    pub itl_ms: f64,
    /// Requests per second of the whole topology.
    pub requests_per_s: f64,
    /// Tokens of answer per second and GPU.
    pub tokens_per_s_per_gpu: f64,
    /// Tokens per second that one user sees.
    pub tokens_per_s_per_user: f64,
}

impl OperatingPoint {
    fn new(topology: Topology, batch: u32, steady: Steady, workload: Workload) -> OperatingPoint {
        let tokens_per_s = steady.requests_per_s * f64::from(workload.osl_tokens);
        OperatingPoint {
            topology,
            batch,
            ttft_ms: steady.ttft_ms,
            itl_ms: steady.itl_ms,
            requests_per_s: steady.requests_per_s,
            tokens_per_s_per_gpu: tokens_per_s / f64::from(topology.gpus()),
            tokens_per_s_per_user: 1e3 / steady.itl_ms,
        }
    }

    /// GPU-seconds for a million tokens of answer.
    pub fn gpu_s_per_million_tokens(&self) -> f64 {
        1e6 / self.tokens_per_s_per_gpu
    }

    /// How far it is from the SLA: the larger of the two ratios of latency to bound; at most 1 where it is met.
    pub fn strain(&self, sla: Sla) -> f64 {
        (self.ttft_ms / sla.ttft_ms).max(self.itl_ms / sla.itl_ms)
    }
}

/// What may be built and for what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The requests.
    pub workload: Workload,
    /// What they have to get.
    pub sla: Sla,
    /// GPUs, at most.
    pub max_gpus: u32,
    /// Time of a prompt's hand-off, ms.
    pub handoff_ms: f64,
}

/// The best operating point within the SLA of every kind of topology: highest throughput per GPU, then most requests. Best
/// first. Empty where nothing meets the SLA.
pub fn feasible(capacities: &[Capacity], bounds: Bounds) -> Vec<OperatingPoint> {
    let mut points: Vec<OperatingPoint> = Vec::new();
    points.extend(capacities.iter().filter_map(|c| best_aggregated(c, bounds)));
    for pair in pairs(capacities, bounds.handoff_ms) {
        points.extend(best_disaggregated(pair, bounds));
    }
    points.sort_by(|a, b| b.tokens_per_s_per_gpu.total_cmp(&a.tokens_per_s_per_gpu));
    points
}

/// Every topology's points over batches, whether they meet the SLA or not.
pub fn all(capacities: &[Capacity], bounds: Bounds) -> Vec<OperatingPoint> {
    let mut points = Vec::new();
    for c in capacities.iter().filter(|c| c.tp <= bounds.max_gpus) {
        points.extend(c.curve.iter().map(|p| aggregated(c, bounds, p.batch)));
    }
    for pair in pairs(capacities, bounds.handoff_ms) {
        // Where the bound on TTFT cannot be met at all, half the utilisation is a load that people run.
        let utilisation = pair.utilisation_max(bounds.workload, bounds.sla.ttft_ms).unwrap_or(0.5).max(0.05);
        let per_worker = utilisation * 1e3 / pair.prefill.prefill_ms(1, bounds.workload.isl_tokens);
        for batch in batches(pair.decode.max_batch_by_memory(bounds.workload)) {
            let rate = pair.decode_rate(bounds.workload, batch);
            let fits = |(x, y): &(u32, u32)| rate * f64::from(*y) <= per_worker * f64::from(*x);
            let point = |(x, y)| {
                let s = pair.steady(bounds.workload, x, batch, rate * f64::from(y));
                OperatingPoint::new(topology(pair, (x, y)), batch, s, bounds.workload)
            };
            let best = worker_counts(pair, bounds.max_gpus).filter(fits).map(point);
            points.extend(best.max_by(|a, b| a.tokens_per_s_per_gpu.total_cmp(&b.tokens_per_s_per_gpu)));
        }
    }
    points
}

/// The points that no other beats in both throughput per GPU and speed per user; fastest for the user first.
pub fn pareto(points: &[OperatingPoint]) -> Vec<OperatingPoint> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| {
        (b.tokens_per_s_per_user, b.tokens_per_s_per_gpu)
            .partial_cmp(&(a.tokens_per_s_per_user, a.tokens_per_s_per_gpu))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|p| {
        let is_better = p.tokens_per_s_per_gpu > best;
        best = best.max(p.tokens_per_s_per_gpu);
        is_better
    });
    sorted
}

/// As many engines of one kind as the budget allows, at one batch.
fn aggregated(c: &Capacity, bounds: Bounds, batch: u32) -> OperatingPoint {
    let replicas = bounds.max_gpus / c.tp;
    let mut steady = mean_field::steady(c.engine(), bounds.workload, batch);
    steady.requests_per_s *= f64::from(replicas);
    OperatingPoint::new(Topology::Aggregated { tp: c.tp, replicas }, batch, steady, bounds.workload)
}

fn best_aggregated(c: &Capacity, bounds: Bounds) -> Option<OperatingPoint> {
    if c.tp > bounds.max_gpus {
        return None;
    }
    let meets = |batch| aggregated(c, bounds, batch).strain(bounds.sla) <= 1.0;
    let batch = largest(c.max_batch, meets);
    (batch > 0).then(|| aggregated(c, bounds, batch))
}

fn best_disaggregated(pair: Pair<'_>, bounds: Bounds) -> Option<OperatingPoint> {
    let point = |workers| {
        let (batch, steady) = pair.best(bounds.workload, bounds.sla, workers)?;
        Some(OperatingPoint::new(topology(pair, workers), batch, steady, bounds.workload))
    };
    worker_counts(pair, bounds.max_gpus)
        .filter_map(point)
        .max_by(|a, b| a.tokens_per_s_per_gpu.total_cmp(&b.tokens_per_s_per_gpu))
}

fn pairs(capacities: &[Capacity], handoff_ms: f64) -> impl Iterator<Item = Pair<'_>> {
    let fit = || capacities.iter().filter(|c| c.max_batch_memory > 0);
    fit().flat_map(move |p| fit().map(move |d| Pair { prefill: p.engine(), decode: d.engine(), handoff_ms }))
}

fn topology(pair: Pair<'_>, (prefill_workers, decode_workers): (u32, u32)) -> Topology {
    Topology::Disaggregated { prefill_tp: pair.prefill.tp, prefill_workers, decode_tp: pair.decode.tp, decode_workers }
}

/// Numbers of prefill and decode workers within the budget that have no common factor: a multiple carries no more per
/// GPU.
fn worker_counts(pair: Pair<'_>, max_gpus: u32) -> impl Iterator<Item = (u32, u32)> {
    let (p, d) = (pair.prefill.tp, pair.decode.tp);
    (1..=max_gpus.saturating_sub(p) / d)
        .flat_map(move |y| (1..=(max_gpus - y * d) / p).map(move |x| (x, y)))
        .filter(|&(x, y)| gcd(x, y) == 1)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(per_user: f64, per_gpu: f64) -> OperatingPoint {
        OperatingPoint {
            topology: Topology::Aggregated { tp: 1, replicas: 1 },
            batch: 1,
            ttft_ms: 1.0,
            itl_ms: 1e3 / per_user,
            requests_per_s: 1.0,
            tokens_per_s_per_gpu: per_gpu,
            tokens_per_s_per_user: per_user,
        }
    }

    #[test]
    fn the_front_is_what_nobody_beats() {
        let points = [(10.0, 500.0), (20.0, 400.0), (20.0, 300.0), (15.0, 390.0), (40.0, 100.0), (5.0, 499.0)];
        let front = pareto(&points.map(|(u, g)| point(u, g)));
        let got: Vec<(f64, f64)> = front.iter().map(|p| (p.tokens_per_s_per_user, p.tokens_per_s_per_gpu)).collect();
        assert_eq!(got, [(40.0, 100.0), (20.0, 400.0), (10.0, 500.0)]);
    }

    #[test]
    fn layouts_count_their_gpus_and_say_what_they_are() {
        let split = |prefill_workers, prefill_tp| Topology::Disaggregated {
            prefill_tp,
            prefill_workers,
            decode_tp: 2,
            decode_workers: 1,
        };
        assert_eq!(split(6, 1).gpus(), 8);
        assert_eq!(split(6, 1).to_string(), "6 x TP1 prefill + 1 x TP2 decode");
        assert!(split(6, 1).is_like(split(3, 1)) && !split(6, 1).is_like(split(6, 2)));
        assert_eq!(Topology::Aggregated { tp: 4, replicas: 2 }.to_string(), "2 x TP4");
    }
}
