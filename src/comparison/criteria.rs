//! A method against the one that measured everything → whether it succeeds, by the plan's three criteria.
//!
//! At least 50 % faster; TTFT accuracy at medium load within 20 points; regret below 10 %. A criterion is undecided where what it needs is
//! not known, where an interval holds both answers, or where it would be met for the wrong reason. Each says why.

use super::judgement::{Comparison, Judged, P50};
use super::method::MEDIUM;

/// From where on a method succeeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Share of the reference's wall time that it must save.
    pub faster: f64,
    /// How much worse than the reference its error may be, as a share of the measured value.
    pub accuracy: f64,
    /// Regret below which it succeeds.
    pub regret: f64,
}

impl Default for Bounds {
    /// The plan's.
    fn default() -> Bounds {
        Bounds { faster: 0.5, accuracy: 0.2, regret: 0.1 }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Met.
    Pass,
    /// Not met.
    Fail,
    /// Not to be said.
    Undecided,
}

impl Decision {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Pass => "pass",
            Decision::Fail => "fail",
            Decision::Undecided => "undecided",
        }
    }

    fn of(is_met: bool) -> Decision {
        if is_met { Decision::Pass } else { Decision::Fail }
    }
}

/// A criterion, applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    /// Its name in files: `faster`, `accuracy` or `regret`.
    pub id: &'static str,
    /// What is asked for.
    pub name: String,
    /// How it ended.
    pub decision: Decision,
    /// Why.
    pub reason: String,
}

/// The three criteria of a method. The reference is held to its regret alone.
pub fn criteria(comparison: &Comparison, method: &Judged) -> Vec<Criterion> {
    let bounds = comparison.question.bounds;
    let reference = comparison.reference();
    let whose = reference.map_or("the reference", |r| &r.method.name);
    let regret = Criterion::new("regret", format!("regret below {} %", percent(bounds.regret)), regret(method, bounds));
    if reference.is_some_and(|r| std::ptr::eq(r, method)) {
        return vec![regret];
    }
    vec![
        Criterion::new(
            "faster",
            format!("at least {} % faster than {whose}", percent(bounds.faster)),
            faster(method, reference, bounds),
        ),
        Criterion::new(
            "accuracy",
            format!("TTFT error at medium load within {} points of that of {whose}", percent(bounds.accuracy)),
            accuracy(method, reference, bounds),
        ),
        regret,
    ]
}

/// Per cent, without the noise of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e5).round() / 1e3
}

impl Criterion {
    fn new(id: &'static str, name: String, (decision, reason): (Decision, String)) -> Criterion {
        Criterion { id, name, decision, reason }
    }
}

fn undecided(reason: impl Into<String>) -> (Decision, String) {
    (Decision::Undecided, reason.into())
}

const NO_REFERENCE: &str = "there is no method to hold it against (--online-results, or --ground-truth NAME)";

fn faster(method: &Judged, reference: Option<&Judged>, bounds: Bounds) -> (Decision, String) {
    let Some(reference) = reference else { return undecided(NO_REFERENCE) };
    let wall = |m: &Judged| m.method.cost.wall_s.as_ref().map(|f| f.value);
    let (Some(own), Some(other)) = (wall(method), wall(reference)) else {
        let whose = if wall(method).is_none() { &method.method.name } else { &reference.method.name };
        return undecided(format!("the wall time of {whose} is not known"));
    };
    if other <= 0.0 {
        return undecided(format!("the wall time of {} is 0", reference.method.name));
    }
    let times = own / other;
    let text = format!("{own:.1} s, {:.1} % of the {other:.1} s of {}", times * 100.0, reference.method.name);
    (Decision::of(times <= 1.0 - bounds.faster), text)
}

fn accuracy(method: &Judged, reference: Option<&Judged>, bounds: Bounds) -> (Decision, String) {
    let Some(reference) = reference else { return undecided(NO_REFERENCE) };
    let error = |m: &Judged| m.errors[MEDIUM].ttft[P50];
    let (Some(own), Some(other)) = (error(method), error(reference)) else {
        let whose = if error(method).is_none() { &method.method.name } else { &reference.method.name };
        return undecided(format!("the TTFT error of {whose} at medium load is not known"));
    };
    let (own_pct, other_pct) = (own.signed_pct(), other.signed_pct());
    let text = format!("off by {own_pct:+.1} % where {} is off by {other_pct:+.1} %", reference.method.name);
    if own.absolute() - other.absolute() > bounds.accuracy {
        return (Decision::Fail, text);
    }
    if other.absolute() > bounds.accuracy && own.absolute() > bounds.accuracy {
        return undecided(format!("{text}: to be no worse than a prediction that is wrong itself says nothing"));
    }
    (Decision::Pass, text)
}

fn regret(method: &Judged, bounds: Bounds) -> (Decision, String) {
    let Some(value) = method.regret.value() else {
        return undecided(format!("regret is not defined: {}", method.regret.reason().unwrap_or_default()));
    };
    let percent = value * 100.0;
    match method.regret_interval {
        Some(i) if i.high < bounds.regret || i.low >= bounds.regret => (
            Decision::of(i.high < bounds.regret),
            format!(
                "{percent:.1} %, with its interval from {:.1} to {:.1} % on one side",
                i.low * 100.0,
                i.high * 100.0
            ),
        ),
        Some(i) => undecided(format!(
            "{percent:.1} %, but its interval from {:.1} to {:.1} % holds the bound: measure longer",
            i.low * 100.0,
            i.high * 100.0
        )),
        None if value == 0.0 => (Decision::Pass, "0 %: it is the best that was measured".into()),
        None => (
            Decision::of(value < bounds.regret),
            format!("{percent:.1} %; without recorded requests there is no interval to say how sure that is"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::judgement::tests::{method, question};
    use super::*;

    fn decisions(own: super::super::method::Method, other: super::super::method::Method) -> Vec<Decision> {
        let c = Comparison::new(question(), &[own, other]);
        criteria(&c, &c.methods[0]).iter().map(|c| c.decision).collect()
    }

    #[test]
    fn each_criterion_passes_fails_or_says_that_it_cannot_tell() {
        use Decision::{Fail, Pass, Undecided};
        let online = |ttft| method("Online-ALL", 2, 10.0, ttft, Some(9000.0));
        let other = |rps, ttft, wall| method("A", 2, rps, ttft, wall);
        let good = (95.0, 100.0);
        assert_eq!(decisions(other(10.0, good, Some(30.0)), online(good)), [Pass, Pass, Pass]);
        assert_eq!(decisions(other(5.0, (60.0, 100.0), Some(5000.0)), online(good)), [Fail, Fail, Fail]);
        assert_eq!(decisions(other(9.1, good, None), online(good))[0], Undecided, "an unknown wall time is not 0");
        // Both are off by about 85 %: the original calls that a success.
        assert_eq!(decisions(other(10.0, (12.0, 100.0), Some(1.0)), online((15.0, 100.0)))[1], Undecided);
        let c = Comparison::new(question(), &[other(10.0, good, Some(1.0))]);
        assert!(criteria(&c, &c.methods[0])[0].reason.contains("--online-results"));
        let c = Comparison::new(question(), &[online(good)]);
        assert_eq!(criteria(&c, &c.methods[0]).len(), 1, "the reference is not held against itself");
    }

    #[test]
    fn an_interval_around_the_bound_decides_nothing() {
        let mut c = Comparison::new(
            question(),
            &[method("A", 2, 9.1, (1.0, 1.0), None), method("Online-ALL", 2, 10.0, (1.0, 1.0), None)],
        );
        c.methods[0].regret_interval =
            Some(crate::comparison::bootstrap::Interval { estimate: 0.09, low: 0.05, high: 0.13, is_paired: true });
        let found = regret(&c.methods[0], Bounds::default());
        assert!(found.0 == Decision::Undecided && found.1.contains("measure longer"), "{found:?}");
    }
}
