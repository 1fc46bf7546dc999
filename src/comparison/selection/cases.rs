//! Cases whose true values are all known → how a method would have fared in them: regret, and what it measured for that.
//!
//! In: of each case its candidates with predictions, and their values. Out: [`Standing`]: the mean regret over the cases with an interval.
//! Cases of one scenario (the same deployment with several targets) are alike, and are drawn together. A case in which no candidate is worth
//! anything has no regret and is left out. Invariants: a choice of none is worth 0; equal seeds give equal standings.

use serde::Serialize;

use super::{Bench, Budget, Candidate, Measurement, Method};
use crate::comparison::bootstrap::{Resampling, mean_of_clusters};
use crate::comparison::regret::regret;
use crate::error::Result;
use crate::rng::{Seed, Stream};

/// Resamples of an interval.
const RESAMPLES: u32 = 2_000;
/// Confidence of an interval.
const LEVEL: f64 = 0.95;

/// A choice with its true values.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Which scenario it belongs to.
    pub scenario: usize,
    /// What there is to choose from.
    pub candidates: Vec<Candidate>,
    /// What each is worth.
    pub truth: Vec<f64>,
}

/// How a choice fared over all cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// What chose.
    pub choice: String,
    /// Whose prediction it used; null where none.
    pub prediction: Option<String>,
    /// Cases.
    pub cases: usize,
    /// Mean number of full measurements.
    pub measured: f64,
    /// What those cost in GPUs, over what measuring every candidate costs: the mean over the cases.
    pub cost_share: f64,
    /// Mean regret, from 0 to 1.
    pub regret: f64,
    /// Lower end of its 95 % interval; null where there are fewer than two scenarios.
    pub regret_low: Option<f64>,
    /// Upper end.
    pub regret_high: Option<f64>,
    /// Share of the cases in which the best candidate was chosen.
    pub best_share: f64,
}

/// What was chosen in one case: candidates with their probabilities, full measurements, and GPUs of those.
struct Chosen {
    candidates: Vec<(usize, f64)>,
    measured: f64,
    gpus: f64,
}

/// How a method fares that may make so many full measurements; as many as it wants where there is no bound.
///
/// # Errors
/// Those of the method.
pub fn of_method(cases: &[Case], method: &Method, measurements: Option<u32>, seed: Seed) -> Result<Standing> {
    let budget = measurements.map_or(Budget::NONE, Budget::measurements);
    let mut failed = None;
    let name = match measurements {
        Some(n) if method.name != "predict-all" => format!("{}, {n} measured", method.name),
        _ => method.name.to_owned(),
    };
    let standing = standing(name, cases, |index, case| {
        let mut rng = Seed(seed.hash(index as u64)).stream(Stream::Selection);
        match method.choose(&mut Known(case), &budget, &mut rng) {
            Ok(choice) => Chosen {
                measured: choice.measurements(),
                gpus: choice.gpu_s(),
                candidates: choice.chosen.into_iter().map(|c| (c, 1.0)).collect(),
            },
            Err(e) => {
                failed = Some(e);
                Chosen { candidates: Vec::new(), measured: 0.0, gpus: 0.0 }
            }
        }
    });
    failed.map_or(Ok(standing), Err)
}

/// How it fares to take any candidate, each as likely.
pub fn of_any(cases: &[Case]) -> Standing {
    standing("any, unmeasured".into(), cases, |_, case| {
        let n = case.candidates.len();
        Chosen { candidates: (0..n).map(|c| (c, 1.0 / n as f64)).collect(), measured: 0.0, gpus: 0.0 }
    })
}

/// How it fares to take always the candidate whose GPUs are nearest to so many, by their ratio.
pub fn of_always(cases: &[Case], name: &str, gpus: f64) -> Standing {
    let off = |c: &Candidate| (f64::from(c.gpus).log2() - gpus.log2()).abs();
    standing(name.into(), cases, |_, case| {
        let nearest =
            (0..case.candidates.len()).min_by(|a, b| off(&case.candidates[*a]).total_cmp(&off(&case.candidates[*b])));
        Chosen { candidates: nearest.into_iter().map(|c| (c, 1.0)).collect(), measured: 0.0, gpus: 0.0 }
    })
}

fn standing(choice: String, cases: &[Case], mut choose: impl FnMut(usize, &Case) -> Chosen) -> Standing {
    let mut clusters: Vec<(f64, usize)> = Vec::new();
    let (mut n, mut measured, mut cost, mut best_of) = (0, 0.0, 0.0, 0.0);
    let mut last = None;
    for (index, case) in cases.iter().enumerate() {
        let best = case.truth.iter().copied().fold(0.0, f64::max);
        let chosen = choose(index, case);
        let own = chosen.candidates.iter().map(|(c, p)| p * case.truth[*c]).sum();
        let Some(regret) = regret(Some(best), Some(own)).value() else { continue };
        if last != Some(case.scenario) {
            clusters.push((0.0, 0));
            last = Some(case.scenario);
        }
        if let Some(cluster) = clusters.last_mut() {
            *cluster = (cluster.0 + regret, cluster.1 + 1);
        }
        n += 1;
        measured += chosen.measured;
        cost += chosen.gpus / case.candidates.iter().map(|c| f64::from(c.gpus)).sum::<f64>();
        best_of += chosen.candidates.iter().filter(|(c, _)| case.truth[*c] >= best).map(|(_, p)| p).sum::<f64>();
    }
    let interval = mean_of_clusters(&clusters, Resampling { resamples: RESAMPLES, level: LEVEL, seed: Seed(0) });
    let mean = |sum: f64| if n > 0 { sum / n as f64 } else { 0.0 };
    Standing {
        choice,
        prediction: None,
        cases: n,
        measured: mean(measured),
        cost_share: mean(cost),
        regret: mean(clusters.iter().map(|c| c.0).sum()),
        regret_low: interval.map(|i| i.low.max(0.0)),
        regret_high: interval.map(|i| i.high.min(1.0)),
        best_share: mean(best_of),
    }
}

/// A case as a bench: a measurement of any length is the true value, and costs its GPUs.
struct Known<'c>(&'c Case);

impl Bench for Known<'_> {
    fn candidates(&self) -> &[Candidate] {
        &self.0.candidates
    }

    fn measure(&mut self, candidate: usize, effort: f64) -> Result<Option<Measurement>> {
        let gpu_s = effort * f64::from(self.0.candidates[candidate].gpus);
        Ok(Some(Measurement { value: Some(self.0.truth[candidate]), wall_s: effort, gpu_s }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::method;
    use super::*;

    fn case(scenario: usize, rows: &[(u32, f64, f64)]) -> Case {
        let candidates = rows
            .iter()
            .map(|(tp, predicted, _)| Candidate {
                name: format!("tp{tp}"),
                tp: *tp,
                batch: 1,
                gpus: *tp,
                predicted: Some(*predicted),
            })
            .collect();
        Case { scenario, candidates, truth: rows.iter().map(|r| r.2).collect() }
    }

    #[test]
    fn standings_are_means_over_the_cases_that_have_a_best() {
        let cases = [
            case(0, &[(1, 3.0, 1.0), (2, 2.0, 4.0), (4, 1.0, 2.0)]),
            case(1, &[(1, 9.0, 10.0), (2, 1.0, 0.0), (4, 0.5, 0.0)]),
            case(2, &[(1, 1.0, 0.0), (2, 1.0, 0.0), (4, 1.0, 0.0)]),
        ];
        let of = |name: &str, n| of_method(&cases, method(name).unwrap(), n, Seed(1)).unwrap();
        let predicted = of("predict-all", None);
        assert_eq!((predicted.cases, predicted.regret, predicted.measured, predicted.best_share), (2, 0.375, 0.0, 0.5));
        let two = of("stack-rank", Some(2));
        assert_eq!((two.choice.as_str(), two.regret, two.measured), ("stack-rank, 2 measured", 0.0, 2.0));
        // GPUs 1 + 2 of 1 + 2 + 4.
        assert!((two.cost_share - 3.0 / 7.0).abs() < 1e-12);
        let all = of("measure-all", None);
        assert_eq!((all.regret, all.cost_share, all.best_share), (0.0, 1.0, 1.0));
        // Of the first case (0.75 + 0 + 0.5) / 3, of the second (0 + 1 + 1) / 3.
        let any = of_any(&cases);
        assert!((any.regret - (1.25 + 2.0) / 6.0).abs() < 1e-12 && (any.best_share - 1.0 / 3.0).abs() < 1e-12);
        let [one, four, most] = [1.0, 4.0, f64::MAX].map(|gpus| of_always(&cases, "always", gpus));
        assert_eq!((one.regret, four.regret, most.regret), (0.375, 0.75, 0.75));
        assert!(predicted.regret_low.unwrap() <= 0.375 && predicted.regret_high.unwrap() >= 0.375);
        assert!(of_any(&cases[..1]).regret_low.is_none());
    }
}
