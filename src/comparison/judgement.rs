//! Methods → who was faster, cheaper, more accurate, and what it cost to follow each: errors, goodput, regret, with intervals.
//!
//! Goodput is compared per GPU where every measured deployment's GPUs are known, else as a whole; the comparison says which.
//! Invariant: what is not known takes part in no ranking. Not here: success ([`super::criteria`]), words ([`super::answers`]).

use super::bootstrap::{self, Interval, Resampling};
use super::course;
use super::criteria::Bounds;
use super::method::{LEVELS, MEDIUM, Measured, Method, Predicted, Quantiles, Target};
use super::prediction_error::PredictionError;
use super::regret::{Basis, Goodput, Regret, goodputs, regret, retuned, strict};

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
    /// From where on a method succeeds.
    pub bounds: Bounds,
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
    /// Between which ends it lies by those of the goodput searches, where it is of these.
    pub regret_retuned_ends: Option<(f64, f64)>,
    /// Regret as deployed, of goodput as a whole.
    pub regret_absolute: Regret,
    /// Goodput as deployed less that of the reference, with its interval, in the comparison's unit.
    pub difference: Option<Interval>,
    /// Of its course: GPU hours spent after each measurement, and the regret of having ended there, by what the methods measured.
    pub course: Vec<(f64, Option<f64>)>,
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
    /// The load at which what was deployed is compared.
    pub basis: Basis,
    /// Whether re-tuned goodputs are those of goodput searches, which every method with a goodput has then.
    pub is_by_search: bool,
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
    /// What else than the method differs, or does not differ and should.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Judges the methods.
    pub fn new(question: Question, methods: &[Method]) -> Comparison {
        let has_any = |m: &&Method| goodputs(m).next().is_some() || m.search.is_some();
        let is_per_gpu = methods.iter().filter(has_any).all(|m| m.deployment.gpus.is_some_and(|n| n > 0));
        let is_by_search = methods.iter().any(|m| m.search.is_some())
            && methods.iter().filter(has_any).all(|m| m.search.as_ref().is_some_and(|s| s.rate_rps.is_some()));
        let basis = Basis::of(methods);
        let arena = Arena { methods, is_per_gpu, basis, is_by_search, how: question.resampling };
        let best = arena.best(|m| strict(m, basis));
        let mut judged: Vec<Judged> = (0..methods.len()).map(|i| arena.judge(i, best.as_ref())).collect();
        let courses: Vec<_> = methods.iter().map(|m| m.course.as_ref()).collect();
        judged.iter_mut().zip(course::regrets(&courses)).for_each(|(judged, curve)| judged.course = curve);
        let least = |of: &dyn Fn(&Judged) -> Option<f64>| {
            let known = judged.iter().enumerate().filter_map(|(i, m)| Some((i, of(m)?)));
            known.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
        };
        Comparison {
            is_per_gpu,
            basis,
            is_by_search,
            fastest: least(&|m| m.method.cost.wall_s.as_ref().map(|f| f.value)),
            lowest_cost: least(&|m| m.method.cost.gpu_hours.as_ref().map(|f| f.value)),
            most_accurate_at_medium: least(&|m| m.errors[MEDIUM].ttft[P50].map(|e| e.absolute())),
            best_optimization: least(&|m| m.regret.value()),
            best: best.map(|(method, goodput)| Best { method, at: at(&judged[method].method, goodput) }),
            methods: judged,
            notes: notes(methods),
            question,
        }
    }

    /// The method that measured everything.
    pub fn reference(&self) -> Option<&Judged> {
        self.methods.iter().find(|m| m.method.is_reference)
    }

    /// Those that chose, without the deployments among which they did.
    pub fn choosers(&self) -> impl Iterator<Item = &Judged> {
        self.methods.iter().filter(|m| !m.method.is_candidate)
    }

    /// The model: that which was asked for, or the one that all results name.
    pub fn model(&self) -> Option<String> {
        self.question.model.clone().or_else(|| self.common(|m| m.model.as_ref()))
    }

    /// The serving engine, likewise.
    pub fn backend(&self) -> Option<String> {
        self.question.backend.clone().or_else(|| self.common(|m| m.backend.as_ref()))
    }

    /// Both, in words.
    pub fn setting(&self) -> String {
        let told = |one: Option<String>, is_named: bool, what: &str| match one {
            Some(one) => one,
            None if is_named => format!("several {what}s"),
            None => format!("{what} unknown"),
        };
        let any = |of: fn(&Method) -> bool| self.methods.iter().any(|m| of(&m.method));
        let model = told(self.model(), any(|m| m.model.is_some()), "model");
        format!("{model} on {}", told(self.backend(), any(|m| m.backend.is_some()), "serving engine"))
    }

    fn common(&self, of: impl Fn(&Method) -> Option<&String>) -> Option<String> {
        let mut named = self.methods.iter().filter_map(|m| of(&m.method));
        let first = named.next()?;
        named.all(|other| other == first).then(|| first.clone())
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
    basis: Basis,
    is_by_search: bool,
    how: Resampling,
}

impl<'a> Arena<'a> {
    /// What a method's goodput is divided by.
    fn divisor(&self, method: usize) -> f64 {
        self.methods[method].deployment.gpus.filter(|n| self.is_per_gpu && *n > 0).map_or(1.0, f64::from)
    }

    fn all(&self, of: impl Fn(&'a Method) -> Option<Goodput<'a>>) -> impl Iterator<Item = (usize, Goodput<'a>)> {
        self.methods.iter().enumerate().filter_map(move |(i, m)| Some((i, of(m)?)))
    }

    fn value(&self, (method, goodput): &(usize, Goodput<'_>)) -> f64 {
        goodput.rps / self.divisor(*method)
    }

    fn best(&self, of: impl Fn(&'a Method) -> Option<Goodput<'a>>) -> Option<(usize, Goodput<'a>)> {
        self.all(of).max_by(|a, b| self.value(a).total_cmp(&self.value(b)))
    }

    /// The regret of a method by a kind of goodput, and whether there is anything to compare with.
    fn regret(
        &self,
        index: usize,
        of: impl Fn(&'a Method) -> Option<Goodput<'a>> + Copy,
        value: impl Fn(&(usize, Goodput<'a>)) -> f64,
    ) -> Regret {
        let own = of(&self.methods[index]).map(|g| value(&(index, g)));
        let best = self.all(of).map(|g| value(&g)).max_by(f64::total_cmp);
        if best.is_some_and(|b| b > 0.0) && own.is_some() && self.all(of).count() < 2 {
            return Regret::Undefined("no other method's goodput was measured so".into());
        }
        regret(best, own)
    }

    fn judge(&self, index: usize, best: Option<&(usize, Goodput<'a>)>) -> Judged {
        let method = &self.methods[index];
        let as_deployed = |m: &'a Method| strict(m, self.basis);
        let at_best = |m: &'a Method| retuned(m, self.is_by_search);
        let (own, tuned) = (as_deployed(method), at_best(method));
        let known = self.regret(index, as_deployed, |g| self.value(g));
        let interval = match (&known, best, own) {
            (Regret::Known(_), Some((of_best, best)), Some(own)) if *of_best != index => {
                let (a, b) = (self.divisor(*of_best), self.divisor(index));
                let lost = |m: &[f64]| (m[0] > 0.0).then(|| (m[0] / a - m[1] / b) / (m[0] / a));
                let series = |g: &Goodput<'a>| g.measured.map_or(&[][..], |m| &m.series);
                bootstrap::interval(&[series(best), series(&own)], &lost, self.how)
            }
            _ => None,
        };
        Judged {
            errors: std::array::from_fn(|level| errors(method, level)),
            regret: known,
            regret_interval: interval,
            regret_retuned: match tuned {
                None => Regret::Undefined("fewer than two loads were measured on its deployment".into()),
                Some(_) => self.regret(index, at_best, |g| self.value(g)),
            },
            regret_retuned_ends: self.ends(index),
            regret_absolute: self.regret(index, as_deployed, |(_, g)| g.rps),
            course: Vec::new(),
            difference: self.difference(index),
            regret_by_halves: self.by_halves(index),
            strict: own.map(|g| at(method, g)),
            retuned: tuned.map(|g| at(method, g)),
            method: method.clone(),
        }
    }

    /// The ends of the re-tuned regret: the best at its lowest and the method at its highest, and the other way round.
    fn ends(&self, index: usize) -> Option<(f64, f64)> {
        let (of_best, _) = self.best(|m| retuned(m, self.is_by_search)).filter(|_| self.is_by_search)?;
        let ends = |i: usize| {
            let search = self.methods[i].search.as_ref()?;
            Some((search.low_rps? / self.divisor(i), search.high_rps? / self.divisor(i)))
        };
        let (best, own) = (ends(of_best)?, ends(index)?);
        let lost = |best: f64, own: f64| (best > 0.0).then(|| ((best - own) / best).max(0.0));
        if of_best == index { None } else { Some((lost(best.0, own.1)?, lost(best.1, own.0)?)) }
    }

    fn difference(&self, index: usize) -> Option<Interval> {
        let reference = self.methods.iter().position(|m| m.is_reference).filter(|r| *r != index)?;
        let (own, other) = (strict(&self.methods[index], self.basis)?, strict(&self.methods[reference], self.basis)?);
        let (a, b) = (self.divisor(index), self.divisor(reference));
        let less = |m: &[f64]| Some(m[0] / a - m[1] / b);
        bootstrap::interval(&[&own.measured?.series, &other.measured?.series], &less, self.how)
    }

    /// The best is chosen on the even blocks, and it and the method are scored on the odd ones.
    fn by_halves(&self, index: usize) -> Option<f64> {
        let score = |i: usize, measured: &Measured, half: usize| {
            bootstrap::goodput(&bootstrap::halves(&measured.series)[half]).map(|g| g / self.divisor(i))
        };
        let own = strict(&self.methods[index], self.basis)?.measured?;
        let all: Vec<(usize, &Measured)> =
            self.all(|m| strict(m, self.basis)).filter_map(|(i, g)| Some((i, g.measured?))).collect();
        if all.len() < 2 || all.iter().any(|(_, m)| m.series.is_empty()) {
            return None;
        }
        let scored = all.iter().filter_map(|(i, m)| Some((*i, *m, score(*i, m, 0)?)));
        let (chosen, measured, _) = scored.max_by(|a, b| a.2.total_cmp(&b.2))?;
        let best = score(chosen, measured, 1).filter(|b| *b > 0.0)?;
        Some((best - score(index, own, 1)?) / best)
    }
}

fn notes(methods: &[Method]) -> Vec<String> {
    let mut notes = Vec::new();
    for what in ["serving engines", "models"] {
        let of = |m: &Method| if what == "models" { m.model.clone() } else { m.backend.clone() };
        let named: Vec<(&str, String)> = methods.iter().filter_map(|m| Some((m.name.as_str(), of(m)?))).collect();
        if named.windows(2).any(|pair| pair[0].1 != pair[1].1) {
            let told: Vec<String> = named.iter().map(|(name, value)| format!("{name} {value}")).collect();
            notes.push(format!("the {what} differ ({}): not the method alone separates them", told.join(", ")));
        }
    }
    for method in methods {
        let clients = |i: usize| method.levels[i].measured.as_ref().and_then(|m| m.concurrency);
        for level in 1..LEVELS.len() {
            if clients(level).is_some() && clients(level) == clients(level - 1) {
                let (one, other) = (LEVELS[level - 1], LEVELS[level]);
                notes.push(format!("{}: {one} and {other} are the same load", method.name));
            }
        }
    }
    notes
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
pub(crate) mod tests;
