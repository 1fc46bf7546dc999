//! Goodputs of measured candidates → what it cost to have followed a method.
//!
//! regret = (v* − v) / v*, v* the best goodput that was *measured*, over all candidates. Strict: v and v* are goodputs of what was deployed,
//! each at the load that all are compared at ([`Basis`]). Re-tuned: each is the best of the loads that were measured on the deployment, or
//! the rate that a goodput search found on it.
//! Invariants: regret is never negative, for v is one of the values that v* is the best of; where v* is 0 it is not
//! defined, which is not 0. Not here: intervals ([`super::bootstrap`]).

use super::method::{Measured, Method, SATURATION};

/// A regret, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub enum Regret {
    /// From 0, the best, to 1.
    Known(f64),
    /// Why it is not defined.
    Undefined(String),
}

impl Regret {
    /// The number.
    pub fn value(&self) -> Option<f64> {
        match self {
            Regret::Known(value) => Some(*value),
            Regret::Undefined(_) => None,
        }
    }

    /// The reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Regret::Known(_) => None,
            Regret::Undefined(reason) => Some(reason),
        }
    }
}

/// The regret of a goodput against the best measured one.
pub fn regret(best: Option<f64>, own: Option<f64>) -> Regret {
    match (best, own) {
        (None, _) => Regret::Undefined("no candidate's goodput was measured".into()),
        (Some(_), None) => Regret::Undefined("its goodput was not measured".into()),
        (Some(best), _) if best <= 0.0 => {
            Regret::Undefined("the best measured goodput is 0: no request of any candidate met every bound, so there is nothing to have lost".into())
        }
        (Some(best), Some(own)) => Regret::Known((best - own) / best),
    }
}

/// The load at which what methods deploy is compared: each method's own run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The run that stands for what it deploys.
    Optimization,
    /// The level next to its capacity.
    Saturation,
}

impl Basis {
    /// The one at which more methods have a goodput; of two equals the run that stands for the deployment.
    pub fn of(methods: &[Method]) -> Basis {
        let at = |basis| methods.iter().filter(|m| strict(m, basis).is_some()).count();
        if at(Basis::Saturation) > at(Basis::Optimization) { Basis::Saturation } else { Basis::Optimization }
    }

    /// The name of its directory.
    pub fn as_str(self) -> &'static str {
        match self {
            Basis::Optimization => "optimization",
            Basis::Saturation => "saturation",
        }
    }
}

/// The goodput of a candidate and where it was measured.
#[derive(Clone, Copy, Debug)]
pub struct Goodput<'a> {
    /// Requests per second.
    pub rps: f64,
    /// The level, `optimization` or `search`.
    pub at: &'static str,
    /// What was measured there; of a search there is no one run.
    pub measured: Option<&'a Measured>,
}

/// As deployed: at the load that all are compared at.
pub fn strict(method: &Method, basis: Basis) -> Option<Goodput<'_>> {
    let measured = match basis {
        Basis::Optimization => method.optimization.as_ref(),
        Basis::Saturation => method.levels[SATURATION].measured.as_ref(),
    }?;
    Some(Goodput { rps: measured.goodput_rps?, at: basis.as_str(), measured: Some(measured) })
}

/// Re-tuned: what a goodput search found (`by_search`), or the best of the loads that were measured on it; null where there were fewer than
/// two.
pub fn retuned(method: &Method, by_search: bool) -> Option<Goodput<'_>> {
    if by_search {
        return Some(Goodput { rps: method.search.as_ref()?.rate_rps?, at: "search", measured: None });
    }
    let all: Vec<Goodput<'_>> = goodputs(method).collect();
    let best = all.iter().copied().max_by(|a, b| a.rps.total_cmp(&b.rps));
    best.filter(|_| all.len() > 1)
}

/// Every goodput that was measured of a method at a load.
pub fn goodputs(method: &Method) -> impl Iterator<Item = Goodput<'_>> {
    method
        .measured()
        .filter_map(|(at, measured)| Some(Goodput { rps: measured.goodput_rps?, at, measured: Some(measured) }))
}

/// The regret of a method that orders candidates by what it predicts and measures the first `measured` of them: the mean over cases of
/// the regret of the best it measured. `cases`: for each, `(predicted, measured)` values of its candidates. Cases in which no
/// candidate is worth anything are left out; returns their mean and how many were in it.
pub fn of_the_first(cases: &[Vec<(f64, f64)>], measured: usize) -> Option<(f64, usize)> {
    let regrets: Vec<f64> = cases
        .iter()
        .filter_map(|case| {
            let mut order: Vec<&(f64, f64)> = case.iter().collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0));
            let best = case.iter().map(|c| c.1).fold(0.0, f64::max);
            let own = order.iter().take(measured.max(1)).map(|c| c.1).fold(0.0, f64::max);
            regret(Some(best), Some(own)).value()
        })
        .collect();
    (!regrets.is_empty()).then(|| (regrets.iter().sum::<f64>() / regrets.len() as f64, regrets.len()))
}

/// The same for a choice at random: the mean over the candidates.
pub fn of_a_random_one(cases: &[Vec<(f64, f64)>]) -> Option<(f64, usize)> {
    let regrets: Vec<f64> = cases
        .iter()
        .filter_map(|case| {
            let best = case.iter().map(|c| c.1).fold(0.0, f64::max);
            regret(Some(best), Some(case.iter().map(|c| c.1).sum::<f64>() / case.len() as f64)).value()
        })
        .collect();
    (!regrets.is_empty()).then(|| (regrets.iter().sum::<f64>() / regrets.len() as f64, regrets.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rps: f64) -> Option<Measured> {
        Some(Measured { goodput_rps: Some(rps), ..Measured::default() })
    }

    #[test]
    fn where_nothing_is_good_there_is_no_regret_and_it_is_not_zero() {
        assert_eq!(regret(Some(4.0), Some(3.0)), Regret::Known(0.25));
        assert_eq!(regret(Some(4.0), Some(0.0)), Regret::Known(1.0));
        for (best, own, reason) in
            [(Some(0.0), Some(0.0), "is 0"), (Some(1.0), None, "not measured"), (None, None, "no candidate")]
        {
            let regret = regret(best, own);
            assert!(regret.value().is_none() && regret.reason().unwrap().contains(reason), "{regret:?}");
        }
    }

    #[test]
    fn all_are_compared_at_the_load_that_most_have_and_retuned_takes_two() {
        let mut method = Method::default();
        assert!(strict(&method, Basis::Saturation).is_none() && retuned(&method, false).is_none());
        method.levels[SATURATION].measured = at(2.0);
        assert_eq!(Basis::of(std::slice::from_ref(&method)), Basis::Saturation);
        assert_eq!(
            (strict(&method, Basis::Saturation).unwrap().rps, retuned(&method, false).map(|g| g.rps)),
            (2.0, None)
        );
        method.levels[0].measured = at(5.0);
        method.optimization = at(0.0);
        assert_eq!(Basis::of(std::slice::from_ref(&method)), Basis::Optimization);
        assert_eq!(
            (strict(&method, Basis::Optimization).unwrap().rps, retuned(&method, false).map(|g| g.rps)),
            (0.0, Some(5.0))
        );
        assert!(retuned(&method, true).is_none(), "no search was made");
    }

    #[test]
    fn the_more_is_measured_the_less_is_lost() {
        let cases = [vec![(3.0, 1.0), (2.0, 4.0), (1.0, 2.0)], vec![(1.0, 0.0), (0.0, 0.0)]];
        let first = |n| of_the_first(&cases, n).unwrap();
        assert_eq!((first(1), first(2), first(3)), ((0.75, 1), (0.0, 1), (0.0, 1)));
        let (random, n) = of_a_random_one(&cases).unwrap();
        assert!((random - (4.0 - 7.0 / 3.0) / 4.0).abs() < 1e-12 && n == 1);
    }
}
