//! Methods → who was faster, cheaper, more accurate, and what it cost to follow each: errors, goodput, regret, with intervals.
//!
//! Goodput is compared per GPU where every measured deployment's GPUs are known, else as a whole; the comparison says which.
//! Invariant: what is not known takes part in no ranking. Not here: success ([`super::criteria`]), words ([`super::answers`]).

use super::bootstrap::{self, Interval, Resampling, Series};
use super::method::{MEDIUM, Measured, Method, Predicted, Quantiles, Target};
use super::prediction_error::PredictionError;
use super::regret::{Goodput, Regret, goodputs, regret, retuned, strict};

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Question {
    /// The model.
    pub model: Option<String>,
    /// The serving engine.
    pub backend: Option<String>,
    /// What is asked of a deployment.
    pub target: Target,
    /// How intervals are made.
    pub resampling: Resampling,
}

/// Errors of a method's predictions at one level.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LevelErrors {
    /// Of TTFT, against the mean, median, 90th and 99th percentile.
    pub ttft: [Option<PredictionError>; 4],
    /// Of ITL.
    pub itl: [Option<PredictionError>; 4],
    /// Of ITL, against the mean without the gap before the second token.
    pub itl_without_second_token: Option<PredictionError>,
}

/// The place of the median in [`LevelErrors`].
pub const P50: usize = 1;

/// A goodput by name of load.
#[derive(Clone, Debug, PartialEq)]
pub struct At {
    /// The level, or `optimization`.
    pub load: &'static str,
    /// Requests per second.
    pub rps: f64,
    /// The same for each GPU, where their number is known.
    pub per_gpu: Option<f64>,
}

/// A method, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The method.
    pub method: Method,
    /// Its errors, in the order of [`super::method::LEVELS`].
    pub errors: [LevelErrors; 4],
    /// Goodput as deployed.
    pub strict: Option<At>,
    /// Goodput at the best of several loads.
    pub retuned: Option<At>,
    /// Regret as deployed.
    pub regret: Regret,
    /// Its interval, where requests are recorded.
    pub regret_interval: Option<Interval>,
    /// Regret re-tuned.
    pub regret_retuned: Regret,
    /// Regret as deployed, of goodput as a whole.
    pub regret_absolute: Regret,
    /// Goodput as deployed less that of the reference, with its interval, in the comparison's unit.
    pub difference: Option<Interval>,
    /// Regret as deployed where the best was chosen on one half of the requests and scored on the other.
    pub regret_by_halves: Option<f64>,
}

/// The best goodput that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Whose.
    pub method: usize,
    /// It.
    pub at: At,
}

/// All methods, judged against each other.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What was asked.
    pub question: Question,
    /// The methods.
    pub methods: Vec<Judged>,
    /// Whether goodput is compared per GPU.
    pub is_per_gpu: bool,
    /// The best measured goodput.
    pub best: Option<Best>,
    /// Least known wall-clock time.
    pub fastest: Option<usize>,
    /// Fewest known GPU hours.
    pub lowest_cost: Option<usize>,
    /// Least absolute error of the median TTFT at medium load.
    pub most_accurate_at_medium: Option<usize>,
    /// Least regret as deployed.
    pub best_optimization: Option<usize>,
}

impl Comparison {
    /// Judges the methods.
    pub fn new(question: Question, methods: &[Method]) -> Comparison {
        let is_per_gpu =
            methods.iter().all(|m| goodputs(m).next().is_none() || m.deployment.gpus.is_some_and(|n| n > 0));
        let arena = Arena { methods, is_per_gpu, how: question.resampling };
        let best = arena.best();
        let judged: Vec<Judged> = (0..methods.len()).map(|i| arena.judge(i, best.as_ref())).collect();
        let least = |of: &dyn Fn(&Judged) -> Option<f64>| {
            let known = judged.iter().enumerate().filter_map(|(i, m)| Some((i, of(m)?)));
            known.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
        };
        Comparison {
            is_per_gpu,
            fastest: least(&|m| m.method.cost.wall_s.as_ref().map(|f| f.value)),
            lowest_cost: least(&|m| m.method.cost.gpu_hours.as_ref().map(|f| f.value)),
            most_accurate_at_medium: least(&|m| m.errors[MEDIUM].ttft[P50].map(|e| e.absolute())),
            best_optimization: least(&|m| m.regret.value()),
            best: best.map(|(method, goodput)| Best { method, at: at(&judged[method].method, goodput) }),
            methods: judged,
            question,
        }
    }

    /// The method that measured everything.
    pub fn reference(&self) -> Option<&Judged> {
        self.methods.iter().find(|m| m.method.is_reference)
    }

    /// The unit of goodput in the comparison.
    pub fn unit(&self) -> &'static str {
        if self.is_per_gpu { "req/s/GPU" } else { "req/s" }
    }
}

fn at(method: &Method, goodput: Goodput<'_>) -> At {
    let gpus = method.deployment.gpus.filter(|n| *n > 0);
    At { load: goodput.at, rps: goodput.rps, per_gpu: gpus.map(|n| goodput.rps / f64::from(n)) }
}

/// The methods while they are judged.
struct Arena<'a> {
    methods: &'a [Method],
    is_per_gpu: bool,
    how: Resampling,
}

impl<'a> Arena<'a> {
    /// What a method's goodput is divided by.
    fn divisor(&self, method: usize) -> f64 {
        self.methods[method].deployment.gpus.filter(|n| self.is_per_gpu && *n > 0).map_or(1.0, f64::from)
    }

    fn all(&self) -> impl Iterator<Item = (usize, Goodput<'a>)> {
        self.methods.iter().enumerate().flat_map(|(i, m)| goodputs(m).map(move |g| (i, g)))
    }

    fn best(&self) -> Option<(usize, Goodput<'a>)> {
        let value = |(i, g): &(usize, Goodput<'_>)| g.rps / self.divisor(*i);
        self.all().max_by(|a, b| value(a).total_cmp(&value(b)))
    }

    /// Whether there is anything to compare a goodput with.
    fn are_several(&self) -> bool {
        self.methods.iter().filter(|m| goodputs(m).next().is_some()).count() > 1
    }

    fn judge(&self, index: usize, best: Option<&(usize, Goodput<'a>)>) -> Judged {
        let method = &self.methods[index];
        let own = strict(method);
        let tuned = retuned(method);
        let value = |i: usize, g: &Goodput<'_>| g.rps / self.divisor(i);
        let against = |best: Option<f64>, own: Option<f64>| {
            if best.is_some_and(|b| b > 0.0) && own.is_some() && !self.are_several() {
                return Regret::Undefined("no other method's goodput was measured".into());
            }
            regret(best, own)
        };
        let best_value = best.map(|(i, g)| value(*i, g));
        let highest = self.all().map(|(_, g)| g.rps).max_by(f64::total_cmp);
        let known = against(best_value, own.map(|g| value(index, &g)));
        let interval = match (&known, best, own) {
            (Regret::Known(_), Some((of_best, best)), Some(own)) if !std::ptr::eq(best.measured, own.measured) => {
                let (a, b) = (self.divisor(*of_best), self.divisor(index));
                let lost = |m: &[f64]| (m[0] > 0.0).then(|| (m[0] / a - m[1] / b) / (m[0] / a));
                bootstrap::interval(&[&best.measured.series, &own.measured.series], &lost, self.how)
            }
            _ => None,
        };
        Judged {
            errors: std::array::from_fn(|level| errors(method, level)),
            regret: known,
            regret_interval: interval,
            regret_retuned: match tuned {
                None => Regret::Undefined("fewer than two loads were measured on its deployment".into()),
                Some(g) => against(best_value, Some(value(index, &g))),
            },
            regret_absolute: against(highest, own.map(|g| g.rps)),
            difference: self.difference(index),
            regret_by_halves: self.by_halves(index),
            strict: own.map(|g| at(method, g)),
            retuned: tuned.map(|g| at(method, g)),
            method: method.clone(),
        }
    }

    fn difference(&self, index: usize) -> Option<Interval> {
        let reference = self.methods.iter().position(|m| m.is_reference).filter(|r| *r != index)?;
        let (own, other) = (strict(&self.methods[index])?, strict(&self.methods[reference])?);
        let (a, b) = (self.divisor(index), self.divisor(reference));
        let less = |m: &[f64]| Some(m[0] / a - m[1] / b);
        bootstrap::interval(&[&own.measured.series, &other.measured.series], &less, self.how)
    }

    /// The best is chosen on the even blocks, and it and the method are scored on the odd ones.
    fn by_halves(&self, index: usize) -> Option<f64> {
        let own = strict(&self.methods[index])?;
        if !self.are_several() || self.all().any(|(_, g)| g.measured.series.is_empty()) {
            return None;
        }
        let score = |i: usize, measured: &Measured, half: usize| {
            let of: &Vec<Series> = &bootstrap::halves(&measured.series)[half];
            bootstrap::goodput(of).map(|g| g / self.divisor(i))
        };
        let scored = self.all().filter_map(|(i, g)| Some((i, g.measured, score(i, g.measured, 0)?)));
        let (chosen, measured, _) = scored.max_by(|a, b| a.2.total_cmp(&b.2))?;
        let best = score(chosen, measured, 1).filter(|b| *b > 0.0)?;
        Some((best - score(index, own.measured, 1)?) / best)
    }
}

fn errors(method: &Method, level: usize) -> LevelErrors {
    let level = &method.levels[level];
    let Some(measured) = &level.measured else { return LevelErrors::default() };
    let ms = |p: &Option<Predicted>| p.as_ref().map(|p| p.ms);
    let (ttft, itl) = (ms(&level.ttft), ms(&level.itl));
    let of =
        |predicted, q: Quantiles| [q.mean, q.p50, q.p90, q.p99].map(|actual| PredictionError::new(predicted, actual));
    LevelErrors {
        ttft: of(ttft, measured.ttft),
        itl: of(itl, measured.itl),
        itl_without_second_token: PredictionError::new(itl, measured.itl_without_second_token_ms),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::method::{Cost, Deployment, Figure, Level, Source};
    use super::*;
    use crate::rng::Seed;

    pub(crate) fn question() -> Question {
        Question {
            model: None,
            backend: None,
            target: Target { ttft_ms: 500.0, itl_ms: 50.0, isl: 2048, osl: 256 },
            resampling: Resampling { resamples: 200, level: 0.95, seed: Seed(0) },
        }
    }

    /// A method with a goodput as deployed (every n-th of its requests is bad), a predicted and a measured TTFT at medium load, and a wall time.
    pub(crate) fn method(name: &str, gpus: u32, rps: f64, ttft: (f64, f64), wall_s: Option<f64>) -> Method {
        let per_s = (0..200).map(|i| if i % 5 == 4 { 0.0 } else { rps * 1.25 }).collect();
        let optimization = Measured {
            goodput_rps: Some(rps),
            series: vec![Series { per_s, schedule: Some(1) }],
            ..Measured::default()
        };
        let mut levels: [Level; 4] = Default::default();
        levels[MEDIUM] = Level {
            ttft: Some(Predicted { ms: ttft.0, from: "a test".into() }),
            itl: None,
            measured: Some(Measured {
                ttft: Quantiles { p50: Some(ttft.1), ..Quantiles::default() },
                goodput_unknown: Some("a test".into()),
                ..Measured::default()
            }),
        };
        Method {
            name: name.into(),
            is_reference: name == "Online-ALL",
            deployment: Deployment { gpus: Some(gpus), ..Deployment::default() },
            cost: Cost {
                wall_s: wall_s.map(|value| Figure { value, source: Source::Measured, from: "a test".into() }),
                ..Cost::default()
            },
            levels,
            optimization: Some(optimization),
            ..Method::default()
        }
    }

    #[test]
    fn more_gpus_are_no_better_goodput_and_the_best_is_the_measured_one_whoever_found_it() {
        let methods = [
            method("AIC-ALL", 2, 8.0, (90.0, 100.0), Some(30.0)),
            method("Online-ALL", 4, 12.0, (80.0, 100.0), Some(9000.0)),
        ];
        let c = Comparison::new(question(), &methods);
        let best = c.best.as_ref().unwrap();
        assert_eq!((c.unit(), best.method, best.at.per_gpu), ("req/s/GPU", 0, Some(4.0)));
        assert_eq!((c.methods[0].regret.value(), c.methods[1].regret.value()), (Some(0.0), Some(0.25)));
        assert_eq!(c.methods[0].regret_absolute.value(), Some(1.0 / 3.0));
        let interval = c.methods[1].regret_interval.unwrap();
        assert!(
            interval.is_paired && interval.low <= 0.25 && interval.high >= 0.25 && interval.high < 0.4,
            "{interval:?}"
        );
        assert_eq!(c.methods[0].regret_interval, None, "it is the best itself");
        assert!((c.methods[0].difference.unwrap().estimate - 1.0).abs() < 1e-9);
        assert!((c.methods[1].regret_by_halves.unwrap() - 0.25).abs() < 0.1);
        assert_eq!(
            (c.fastest, c.most_accurate_at_medium, c.best_optimization, c.lowest_cost),
            (Some(0), Some(0), Some(0), None)
        );
        let error = c.methods[1].errors[MEDIUM].ttft[P50].unwrap();
        assert!((error.signed + 0.2).abs() < 1e-12, "predicted less than it took");
    }

    #[test]
    fn what_is_unknown_wins_nothing() {
        let mut unknown = method("AIC-ALL", 2, 8.0, (90.0, 100.0), None);
        unknown.optimization = None;
        unknown.levels[MEDIUM].ttft = None;
        let c = Comparison::new(question(), &[unknown, method("Online-ALL", 4, 12.0, (80.0, 100.0), Some(9000.0))]);
        assert_eq!((c.fastest, c.most_accurate_at_medium, c.lowest_cost), (Some(1), Some(1), None));
        assert!(c.methods[0].regret.reason().unwrap().contains("its goodput was not measured"));
        assert!(c.methods[1].regret.reason().unwrap().contains("no other"), "one alone is not the best of anything");
        let nothing = Comparison::new(question(), &[]);
        assert_eq!((nothing.best, nothing.fastest), (None, None));
    }
}
