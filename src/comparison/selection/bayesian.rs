//! Bayesian search over (TP, batch): a Gaussian process of the measured values, and expected improvement.
//!
//! The first candidate is drawn, the second is the one farthest from it in log2 TP and log2 batch; then the one of most expected improvement
//! over the best so far (Mockus, 1978; Jones and others, 1998), until that is below 1 % of the best. How far the process reaches is not
//! known: many reaches are weighted by how likely they make the values (Snoek and others, 2012). The prediction is not used: that is
//! hybrid's.

use rand::RngExt;

use super::Session;
use super::gaussian::{Mixture, coordinates};
use crate::error::Result;
use crate::rng::Rng;

/// The improvement below which it is not worth to go on, of the best value.
const WORTH: f64 = 0.01;

pub(super) fn choose(session: &mut Session, rng: &mut Rng) -> Result<Option<usize>> {
    let first = rng.random_range(0..session.candidates().len());
    session.measure(first, 1.0)?;
    while session.may_measure(1.0) {
        let Some((candidate, improvement)) = next(session, first) else { break };
        let best = session.measured().iter().map(|m| m.1).fold(0.0, f64::max);
        if best > 0.0 && improvement < WORTH * best {
            session.note(format!("ended: less than {:.0} % improvement is expected", 100.0 * WORTH));
            break;
        }
        session.measure(candidate, 1.0)?;
    }
    let chosen = session.best();
    if chosen.is_none() && !session.was_tried(first) {
        session.note("the budget is too small for one measurement: the choice is the one drawn first");
        return Ok(Some(first));
    }
    Ok(chosen)
}

/// The untried candidate of most expected improvement, and that.
fn next(session: &Session, first: usize) -> Option<(usize, f64)> {
    let all = session.candidates();
    let open = (0..all.len()).filter(|c| !session.was_tried(*c));
    let known = session.measured();
    if known.len() < 2 {
        let distance = |c: usize| {
            let ([a, b], [x, y]) = (coordinates(&all[first]), coordinates(&all[c]));
            (a - x).hypot(b - y)
        };
        let farthest = open.map(|c| (c, distance(c))).reduce(|far, c| if c.1 > far.1 { c } else { far });
        return farthest.map(|(c, _)| (c, f64::INFINITY));
    }
    let at: Vec<[f64; 2]> = known.iter().map(|(c, _)| coordinates(&all[*c])).collect();
    let values: Vec<f64> = known.iter().map(|(_, v)| *v).collect();
    let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let processes = Mixture::fit(&at, &values)?;
    open.map(|c| (c, processes.improvement(coordinates(&all[c]), best)))
        .reduce(|most, c| if c.1 > most.1 { c } else { most })
}
