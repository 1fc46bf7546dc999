//! Operating points that were measured, by tensor-parallel size → which to deploy, and which size is fastest for each half.
//!
//! The words are those of a predicted sweep (`profiler::recommend`), but for one difference: each point is of one deployment, and
//! nothing is extrapolated to several of them.

/// What every request has to get, in the mean.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Bounds {
    /// Time to first token, ms, at most.
    pub ttft_ms: f64,
    /// Time from token to token, ms, at most.
    pub itl_ms: f64,
}

/// One deployment under one load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredPoint {
    /// Tensor-parallel size.
    pub tp: u32,
    /// GPUs of the deployment.
    pub gpus: u32,
    /// Requests in flight.
    pub batch: u32,
    /// Mean TTFT, ms, queueing included; `None` where nothing was answered.
    pub ttft_ms: Option<f64>,
    /// Mean ITL, ms; `None` where no answer has two tokens.
    pub itl_ms: Option<f64>,
    /// Answers per second.
    pub requests_per_s: f64,
    /// Tokens of answer per second.
    pub tokens_per_s: f64,
    /// Requests that these numbers are of.
    pub requests: u64,
    /// Whether they are those of the steady state.
    pub is_steady: bool,
}

impl MeasuredPoint {
    /// Tokens of answer per second and GPU.
    pub fn tokens_per_s_per_gpu(&self) -> f64 {
        self.tokens_per_s / f64::from(self.gpus)
    }

    /// How far it is from the bounds: the larger ratio of latency to bound; at most 1 where they are kept. An ITL that does not
    /// exist breaks none, a TTFT that does not exist breaks all.
    pub fn strain(&self, bounds: Bounds) -> f64 {
        let (ttft, itl) = self.ratios(bounds);
        ttft.max(itl)
    }

    fn ratios(&self, bounds: Bounds) -> (f64, f64) {
        let ttft = self.ttft_ms.map_or(f64::INFINITY, |ms| ms / bounds.ttft_ms);
        (ttft, self.itl_ms.map_or(0.0, |ms| ms / bounds.itl_ms))
    }
}

/// TTFT of prompts of one length, one at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredPrefill {
    /// Tensor-parallel size.
    pub tp: u32,
    /// GPUs of the deployment.
    pub gpus: u32,
    /// Tokens of prompt.
    pub isl_tokens: u32,
    /// Mean TTFT, ms.
    pub ttft_ms: f64,
    /// Requests that it is of.
    pub requests: u64,
}

impl MeasuredPrefill {
    /// Prompt tokens per second and GPU.
    pub fn tokens_per_s_per_gpu(&self) -> f64 {
        f64::from(self.isl_tokens) / self.ttft_ms * 1e3 / f64::from(self.gpus)
    }
}

/// Which bound cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// The time to first token.
    Ttft,
    /// The time from token to token.
    Itl,
}

/// What to deploy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Recommendation {
    /// Something keeps the bounds.
    Deploy {
        /// The highest throughput per GPU.
        best: MeasuredPoint,
        /// The best of another size, if one keeps them.
        runner_up: Option<MeasuredPoint>,
    },
    /// Nothing does.
    Infeasible {
        /// The bound that the nearest point misses by most.
        binding: Binding,
        /// The point that comes nearest.
        nearest: MeasuredPoint,
    },
}

/// Chooses among what was measured; `None` where nothing was answered.
pub fn recommend(points: &[MeasuredPoint], bounds: Bounds) -> Option<Recommendation> {
    let per_gpu = |a: &&MeasuredPoint, b: &&MeasuredPoint| {
        a.tokens_per_s_per_gpu().total_cmp(&b.tokens_per_s_per_gpu()).then(b.gpus.cmp(&a.gpus))
    };
    let kept = || points.iter().filter(|p| p.strain(bounds) <= 1.0);
    if let Some(best) = kept().max_by(per_gpu) {
        let runner_up = kept().filter(|p| p.tp != best.tp).max_by(per_gpu).copied();
        return Some(Recommendation::Deploy { best: *best, runner_up });
    }
    let answered = points.iter().filter(|p| p.ttft_ms.is_some());
    let nearest = *answered.min_by(|a, b| a.strain(bounds).total_cmp(&b.strain(bounds)))?;
    let (ttft, itl) = nearest.ratios(bounds);
    let binding = if ttft >= itl { Binding::Ttft } else { Binding::Itl };
    Some(Recommendation::Infeasible { binding, nearest })
}

/// The size that prefills most per GPU within the bound on TTFT, at one prompt length; else the fastest.
pub fn best_prefill(measured: &[MeasuredPrefill], isl_tokens: u32, bounds: Bounds) -> Option<MeasuredPrefill> {
    let there = || measured.iter().filter(|p| p.isl_tokens == isl_tokens);
    let within = there().filter(|p| p.ttft_ms <= bounds.ttft_ms);
    within
        .max_by(|a, b| a.tokens_per_s_per_gpu().total_cmp(&b.tokens_per_s_per_gpu()))
        .or_else(|| there().min_by(|a, b| a.ttft_ms.total_cmp(&b.ttft_ms)))
        .copied()
}

/// The point that decodes most per GPU within the bound on ITL, whatever the TTFT; else the one with the least ITL.
pub fn best_decode(points: &[MeasuredPoint], bounds: Bounds) -> Option<MeasuredPoint> {
    let timed = || points.iter().filter_map(|p| Some((p, p.itl_ms?)));
    let within = timed().filter(|(_, itl_ms)| *itl_ms <= bounds.itl_ms);
    within
        .max_by(|(a, _), (b, _)| a.tokens_per_s_per_gpu().total_cmp(&b.tokens_per_s_per_gpu()))
        .or_else(|| timed().min_by(|(_, a), (_, b)| a.total_cmp(b)))
        .map(|(p, _)| *p)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { ttft_ms: 500.0, itl_ms: 50.0 };

    fn point(tp: u32, batch: u32, (ttft_ms, itl_ms): (f64, f64), per_gpu: f64) -> MeasuredPoint {
        MeasuredPoint {
            tp,
            gpus: tp,
            batch,
            ttft_ms: Some(ttft_ms),
            itl_ms: Some(itl_ms),
            requests_per_s: 1.0,
            tokens_per_s: per_gpu * f64::from(tp),
            requests: 20,
            is_steady: true,
        }
    }

    #[test]
    fn the_highest_throughput_per_gpu_within_the_bounds_is_recommended_and_the_next_is_of_another_size() {
        let points = [
            point(1, 8, (300.0, 30.0), 700.0),
            point(1, 16, (501.0, 30.0), 990.0),
            point(2, 16, (400.0, 40.0), 800.0),
            point(2, 8, (300.0, 20.0), 750.0),
            point(4, 64, (100.0, 51.0), 999.0),
        ];
        let found = recommend(&points, BOUNDS).unwrap();
        assert_eq!(found, Recommendation::Deploy { best: points[2], runner_up: Some(points[0]) });
        assert_eq!(best_decode(&points, BOUNDS), Some(points[1]), "a decode worker has no TTFT");
    }

    #[test]
    fn what_cannot_be_met_names_the_bound_that_the_nearest_point_misses() {
        let points = [point(1, 1, (600.0, 51.0), 1.0), point(2, 1, (550.0, 50.5), 1.0)];
        let bind = |bounds| match recommend(&points, bounds) {
            Some(Recommendation::Infeasible { binding, nearest }) => (binding, nearest.tp),
            other => panic!("{other:?}"),
        };
        assert_eq!(bind(BOUNDS), (Binding::Ttft, 2));
        assert_eq!(bind(Bounds { ttft_ms: 1e4, itl_ms: 5.0 }), (Binding::Itl, 2));
        assert_eq!(recommend(&[MeasuredPoint { ttft_ms: None, ..points[0] }], BOUNDS), None);
        assert_eq!(recommend(&[], BOUNDS), None);
        assert_eq!(best_decode(&points, BOUNDS).unwrap().tp, 2, "the fastest where none keeps the bound");
    }

    #[test]
    fn prefill_is_chosen_at_the_asked_length_and_gpus_are_counted() {
        let prefill = |tp, isl_tokens, ttft_ms| MeasuredPrefill { tp, gpus: tp, isl_tokens, ttft_ms, requests: 5 };
        let measured = [prefill(1, 2048, 600.0), prefill(2, 2048, 320.0), prefill(4, 2048, 170.0), prefill(1, 64, 9.0)];
        let chosen = |ttft_ms| best_prefill(&measured, 2048, Bounds { ttft_ms, itl_ms: 1.0 }).unwrap().tp;
        assert_eq!((chosen(1000.0), chosen(500.0), chosen(200.0), chosen(5.0)), (1, 2, 4, 4));
        assert_eq!(best_prefill(&measured, 100, BOUNDS), None);
        assert!((measured[2].tokens_per_s_per_gpu() - 2048.0 / 0.17 / 4.0).abs() < 1e-9);
    }
}
