//! A model, a GPU, a workload and an SLA → what every tensor-parallel size can carry, and what to deploy.
//!
//! In: a [`Spec`]. Out: a [`Sweep`]. Pure arithmetic: milliseconds for four sizes and 64 batches each.
//! Not here: load with arrivals of its own.

use super::aggregated::{Aggregated, AggregatedLoad, Lengths};
use super::aic::{KernelTables, Spoken};
use super::backend::Backend;
use super::calibrate::Calibration;
use super::calibrate::file::ProfileFile;
use super::capacity::{Capacity, Engine, Sla, Workload};
use super::deployment::{Deployment, Layout};
use super::disaggregate::Handoff;
use super::frontier::{self, Bounds, OperatingPoint};
use super::gpu::Gpu;
use super::model::ModelShape;
use super::precision::Precision;
use super::prediction::Prediction;
use super::recommend::{self, Recommendation};
use crate::error::{Error, Result};

/// The largest GPU budget: worker counts are tried one by one.
pub const GPUS_MAX: u32 = 256;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The model.
    pub model: &'static ModelShape,
    /// The GPU.
    pub gpu: &'static Gpu,
    /// The serving engine.
    pub backend: Backend,
    /// Tensor-parallel sizes to look at.
    pub tps: Vec<u32>,
    /// The requests.
    pub workload: Workload,
    /// What they have to get.
    pub sla: Sla,
    /// GPUs, at most.
    pub max_gpus: u32,
    /// How KV blocks travel in disaggregated topologies.
    pub handoff: Handoff,
    /// What was measured of the deployment; empty for the kernels alone.
    pub calibration: Calibration,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What each size can carry, in the order in which they were asked for.
    pub capacities: Vec<Capacity>,
    /// Time of one prompt's hand-off, ms.
    pub handoff_ms: f64,
    /// The best point within the SLA of each kind of topology, best first.
    pub feasible: Vec<OperatingPoint>,
    /// Every topology over batches, SLA or not.
    pub all: Vec<OperatingPoint>,
    /// Those of `all` that no other with a TTFT within the SLA beats, whatever the ITL; fastest for the user first.
    pub front: Vec<OperatingPoint>,
    /// The same, whatever the TTFT.
    pub front_any_ttft: Vec<OperatingPoint>,
    /// Error of predicted throughput, as a share: differences below it tell nothing.
    pub throughput_error: f64,
    /// What to deploy.
    pub recommendation: Recommendation,
}

impl Spec {
    /// Computes the sweep.
    ///
    /// # Errors
    /// [`Error::Usage`] naming what cannot be: a TP without constants, an empty workload, a bound that is not positive, a
    /// budget out of range.
    pub fn sweep(&self) -> Result<Sweep> {
        self.check()?;
        let capacities = self
            .tps
            .iter()
            .map(|&tp| {
                let engine = Engine::new(self.model, self.gpu, self.backend, tp)?;
                Ok(Capacity::of(engine.calibrated(&self.calibration), self.workload, self.sla))
            })
            .collect::<Result<Vec<_>>>()?;
        let handoff_ms = self.handoff.ms(self.model, self.workload.isl_tokens);
        let bounds = Bounds { workload: self.workload, sla: self.sla, max_gpus: self.max_gpus, handoff_ms };
        let feasible = frontier::feasible(&capacities, bounds);
        let all = frontier::all(&capacities, bounds);
        let within: Vec<_> = all.iter().filter(|p| p.ttft_ms <= self.sla.ttft_ms).copied().collect();
        let (front, front_any_ttft) = (frontier::pareto(&within), frontier::pareto(&all));
        let band = self.tps.iter().find_map(|&tp| Some(self.benchmark(tp, 1)?.tpot_band));
        let throughput_error = recommend::throughput_error(band);
        let recommendation =
            recommend::recommend(&capacities, &feasible, &all, (self.sla, self.max_gpus), throughput_error);
        Ok(Sweep { capacities, handoff_ms, feasible, all, front, front_any_ttft, throughput_error, recommendation })
    }

    /// What a benchmark of `clients` on one aggregated engine would measure, with error bands: the law of [`super::aggregated`],
    /// whose constants were fitted on such benchmarks, which begin all at once. `None` where the model does not fit.
    pub fn benchmark(&self, tp: u32, clients: u32) -> Option<Prediction> {
        let Spec { model, gpu, backend, .. } = *self;
        let (precision, layout) = (Precision::BF16, Layout::tensor(tp));
        let engine = Aggregated::new(&Deployment { model, gpu, backend, precision, layout }).ok()?;
        let Workload { isl_tokens, osl_tokens } = self.workload;
        Some(engine.predict(AggregatedLoad {
            isl: isl_tokens,
            osl: osl_tokens,
            concurrency: clients,
            lengths: Lengths::Any,
        }))
    }

    /// The same with what was measured of the deployment. Where the measurement tells of a stage that requests pass one by
    /// one, and the hand-off was not `given`, that stage is taken for the hand-off: its time is that of the prompt's bytes.
    #[must_use]
    pub fn calibrated(&self, profile: &ProfileFile, given: bool) -> Spec {
        let mut spec = Spec { calibration: profile.calibration, ..self.clone() };
        if let Some(stage) = profile.calibration.deployment.filter(|_| !given) {
            spec.handoff = Handoff::measured(self.model, &stage);
        }
        spec
    }

    /// Where the times of kernels came from, for all sizes of a sweep: `None` where no tables were given.
    pub fn spoken(&self, sweep: &Sweep) -> Option<(&'static KernelTables, Spoken)> {
        let tables = self.gpu.tables?;
        let mut spoken = Spoken::default();
        sweep.capacities.iter().for_each(|c| c.engine.cost.spoken_by(&mut spoken));
        Some((tables, spoken))
    }

    fn check(&self) -> Result<()> {
        let usage = |text: String| Err(Error::Usage(text));
        let Workload { isl_tokens, osl_tokens } = self.workload;
        if isl_tokens == 0 || osl_tokens == 0 {
            return usage("--isl and --osl must be at least 1".into());
        }
        if u64::from(isl_tokens) + u64::from(osl_tokens) > 10_000_000 {
            return usage(format!(
                "--isl {isl_tokens} and --osl {osl_tokens} make more than 10 million tokens a request"
            ));
        }
        for (flag, ms) in [("--ttft", self.sla.ttft_ms), ("--itl", self.sla.itl_ms)] {
            if !(ms.is_finite() && ms > 0.0) {
                return usage(format!("{flag} {ms} must be a positive number of milliseconds"));
            }
        }
        if !(1..=GPUS_MAX).contains(&self.max_gpus) {
            return usage(format!("--max-gpus {} must lie in 1..={GPUS_MAX}", self.max_gpus));
        }
        let Handoff { bytes_per_s, constant_ms } = self.handoff;
        if !(bytes_per_s.is_finite() && bytes_per_s > 0.0 && constant_ms.is_finite() && constant_ms >= 0.0) {
            return usage("--handoff-gb-per-s must be positive, and --handoff-ms at least 0".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::frontier::Topology;
    use crate::profiler::recommend::Binding;
    use crate::profiler::{gpu, model};

    fn plan(backend: Backend) -> Spec {
        Spec {
            model: model::lookup("Qwen/Qwen3-32B").unwrap(),
            gpu: gpu::lookup("h200_sxm").unwrap(),
            backend,
            tps: vec![1, 2, 4, 8],
            workload: Workload { isl_tokens: 2048, osl_tokens: 256 },
            sla: Sla { ttft_ms: 500.0, itl_ms: 50.0 },
            max_gpus: 8,
            handoff: Handoff::default(),
            calibration: Calibration::default(),
        }
    }

    #[test]
    fn the_plans_sweep_has_a_best_a_runner_up_and_points_within_the_sla() {
        for backend in Backend::ALL {
            let sweep = plan(backend).sweep().unwrap();
            let Recommendation::Deploy { best, runner_up: Some(second) } = sweep.recommendation else { panic!() };
            assert!(!best.topology.is_like(second.point.topology));
            assert!((0.0..1.0).contains(&second.lower_by));
            assert!(sweep.feasible.iter().all(|p| p.strain(plan(backend).sla) <= 1.0 + 1e-9 && p.topology.gpus() <= 8));
            // aiconfigurator 0.12.0 recommends 811, 831 and 816 tok/s/GPU here, disaggregated or not within 3 %.
            let throughput = best.tokens_per_s_per_gpu;
            assert!((700.0..1100.0).contains(&throughput), "{}: {best:?}", backend.as_str());
        }
    }

    #[test]
    fn what_cannot_be_met_names_its_bound_and_the_nearest_point() {
        let infeasible = |spec: &Spec| match spec.sweep().unwrap().recommendation {
            Recommendation::Infeasible { binding, nearest } => (binding, nearest),
            Recommendation::Deploy { best, .. } => panic!("{best:?}"),
        };
        let base = plan(Backend::Vllm);
        let (binding, nearest) = infeasible(&Spec { sla: Sla { ttft_ms: 10.0, itl_ms: 50.0 }, ..base.clone() });
        assert_eq!((binding, nearest.unwrap().topology), (Binding::Ttft, Topology::Aggregated { tp: 8, replicas: 1 }));
        let (binding, nearest) = infeasible(&Spec { sla: Sla { ttft_ms: 500.0, itl_ms: 2.0 }, ..base.clone() });
        assert_eq!(binding, Binding::Itl);
        assert!(nearest.unwrap().itl_ms > 2.0);
        let llama = model::lookup("Llama-3.1-70B").unwrap();
        let h100 = gpu::lookup("h100_sxm").unwrap();
        let big = Spec { model: llama, gpu: h100, tps: vec![1], ..base.clone() };
        assert_eq!(infeasible(&big), (Binding::Memory, None));
        assert_eq!(infeasible(&Spec { tps: vec![4], max_gpus: 1, ..big }), (Binding::Gpus, None));
    }

    #[test]
    fn bad_numbers_are_named() {
        let base = plan(Backend::Vllm);
        for (spec, flag) in [
            (Spec { max_gpus: 0, ..base.clone() }, "--max-gpus"),
            (Spec { sla: Sla { ttft_ms: 0.0, itl_ms: 1.0 }, ..base.clone() }, "--ttft"),
            (Spec { sla: Sla { ttft_ms: 1.0, itl_ms: f64::NAN }, ..base.clone() }, "--itl"),
            (Spec { workload: Workload { isl_tokens: 0, osl_tokens: 1 }, ..base.clone() }, "--isl"),
            (Spec { tps: vec![3], ..base.clone() }, "tensor-parallel size 3"),
            (Spec { handoff: Handoff { bytes_per_s: 0.0, constant_ms: 0.0 }, ..base }, "--handoff"),
        ] {
            let text = spec.sweep().unwrap_err().to_string();
            assert!(text.contains(flag), "{text}");
        }
    }
}
