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
}
