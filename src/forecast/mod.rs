//! A topology that a sweep proposes, and a load with arrivals of its own → TTFT and ITL under that load.
//!
//! In: an operating point of [`crate::profiler::frontier`], request rates, numbers of clients or a trace. Out: percentiles, SLO
//! attainment, goodput, and the rate up to which attainment holds. The simulated engine ([`crate::sim`]) serves every request,
//! in simulated time: queueing, chunked prefill, batching and hand-off are played through and not put in as factors.
//! Invariants: no clock and no socket; equal seeds give equal numbers.
//! Stage: aggregated or disaggregated, under load; router, HTTP and network of a deployment are not in it.

pub mod drive;
pub mod under_load;
pub mod workload;

use crate::error::Result;
use crate::profiler::capacity::Sla;
use crate::profiler::frontier::{OperatingPoint, Topology};
use crate::profiler::sweep::Spec;
use crate::rng::Seed;
use crate::sim::config::{Disaggregation, ServeConfig};
use crate::sim::deployment::Deployment;
use crate::sim::disaggregated::FirstToken;

use drive::{Load, drive};
use under_load::UnderLoad;
use workload::Requests;

/// Requests of a simulated level.
const REQUESTS: u32 = 1_000;
/// Shares of the mean-field rate that are looked at.
const RATE_SHARES: [f64; 6] = [0.25, 0.5, 0.75, 0.9, 1.0, 1.1];
/// Shares of the largest batch: the plan's idle, medium, saturation and overload.
const BATCH_SHARES: [f64; 4] = [0.0, 0.5, 0.9, 1.1];
/// Halvings of the interval in which the capacity lies: to under 1 % of the rate that the mean field gives.
const HALVINGS: u32 = 8;
/// The capacity is looked for up to this multiple of the mean-field rate.
const RATE_MULTIPLE_MAX: f64 = 1.5;

/// What becomes of one topology under load.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Forecast {
    /// The point of the sweep; its batch is the engines' limit of sequences.
    pub point: OperatingPoint,
    /// Poisson arrivals at rising rates.
    pub open_loop: Vec<UnderLoad>,
    /// Clients that ask again at once, rising in number.
    pub closed_loop: Vec<UnderLoad>,
    /// The highest of the rates tried at which at least `attainment` of the requests met the SLA; 0 for none.
    pub capacity_rps: f64,
    /// The share of requests that `capacity_rps` is told for.
    pub attainment: f64,
    /// The trace, at its own times, where one was given.
    pub trace: Option<UnderLoad>,
}

/// What is played through.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What the sweep was asked.
    pub spec: &'a Spec,
    /// Share of requests that has to meet the SLA.
    pub attainment: f64,
    /// Seed of the arrivals.
    pub seed: Seed,
    /// The requests of a trace.
    pub trace: Option<&'a Requests>,
}

impl Question<'_> {
    /// Plays a topology through.
    ///
    /// # Errors
    /// Those of [`ServeConfig::engine`].
    pub fn forecast(&self, point: &OperatingPoint) -> Result<Forecast> {
        let sla = self.spec.sla;
        let arrivals = workload::unit_arrivals(REQUESTS, self.seed)?;
        let at_rate = |rate_rps: f64| -> Result<UnderLoad> {
            let load = Load::Open(workload::at_rate(&arrivals, rate_rps, self.spec.workload));
            let served = drive(&mut *self.deployment(point)?, load);
            Ok(UnderLoad::open(rate_rps, &served, sla, point.topology.gpus()))
        };
        let open_loop = RATE_SHARES.into_iter().map(|share| at_rate(share * point.requests_per_s));
        let open_loop = open_loop.collect::<Result<Vec<_>>>()?;
        let engines = point.topology.decode_workers();
        let mut clients: Vec<u32> = BATCH_SHARES
            .into_iter()
            .map(|share| (share * f64::from(point.batch * engines)).ceil().max(1.0) as u32)
            .collect();
        clients.dedup();
        let closed_loop = clients.into_iter().map(|n| self.closed(point, n, sla)).collect::<Result<Vec<_>>>()?;
        let capacity_rps = self.capacity(point.requests_per_s, &at_rate)?;
        let trace = match self.trace {
            Some(requests) => {
                let served = drive(&mut *self.deployment(point)?, Load::Open(requests.arrivals.clone()));
                Some(UnderLoad::trace(&served, sla, point.topology.gpus()))
            }
            None => None,
        };
        Ok(Forecast { point: *point, open_loop, closed_loop, capacity_rps, attainment: self.attainment, trace })
    }

    fn closed(&self, point: &OperatingPoint, clients: u32, sla: Sla) -> Result<UnderLoad> {
        let jobs = workload::equal(clients * 2 + REQUESTS, self.spec.workload);
        let served = drive(&mut *self.deployment(point)?, Load::Closed { clients, jobs });
        Ok(UnderLoad::closed(clients, &served, sla, point.topology.gpus()))
    }

    /// The highest rate that holds, by halving; the same arrivals, closer together, are tried each time.
    fn capacity(&self, mean_field_rps: f64, at_rate: &dyn Fn(f64) -> Result<UnderLoad>) -> Result<f64> {
        let (mut low, mut high) = (0.0, RATE_MULTIPLE_MAX * mean_field_rps);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if at_rate(middle)?.attainment >= self.attainment { low = middle } else { high = middle }
        }
        Ok(low)
    }

    fn deployment(&self, point: &OperatingPoint) -> Result<Box<dyn Deployment + Send>> {
        self.config(point).engine()
    }

    /// The simulated deployment of a point. `serve` with the same flags is the same engine behind a port.
    pub fn config(&self, point: &OperatingPoint) -> ServeConfig {
        let spec = self.spec;
        let (tp, replicas, disaggregation) = match point.topology {
            Topology::Aggregated { tp, replicas } => (tp, replicas, None),
            Topology::Disaggregated { prefill_tp, prefill_workers, decode_tp, decode_workers } => {
                let disaggregation = Disaggregation {
                    prefill_replicas: prefill_workers,
                    prefill_tp,
                    handoff_bytes_per_s: spec.handoff.bytes_per_s,
                    handoff_setup_s: spec.handoff.constant_ms / 1e3,
                    first_token: FirstToken::After,
                };
                (decode_tp, decode_workers, Some(disaggregation))
            }
        };
        ServeConfig {
            model: spec.model.names[0].into(),
            shape: Some(spec.model),
            gpu: spec.gpu.name.into(),
            hardware: Some(spec.gpu),
            backend: spec.backend,
            tp,
            replicas,
            disaggregation,
            max_num_seqs: point.batch,
            calibration: Some(Box::new(spec.calibration)),
            seed: self.seed,
            ..ServeConfig::default()
        }
    }
}

#[cfg(test)]
mod tests;
