//! Successive halving (Karnin, Koren and Somekh, 2013): each round costs the same and keeps the better half of the candidates.
//!
//! With k candidates there are ⌈log2 k⌉ rounds; the last has two candidates and, where the budget allows, full measurements, each
//! round before that half the effort of the one after it. A smaller budget makes every measurement shorter by the same factor.

use super::Session;
use crate::error::Result;
use crate::rng::Rng;

/// Least effort of a measurement: a shorter one would say nothing, so fewer candidates are measured instead.
const EFFORT_MIN: f64 = 1.0 / 32.0;

pub(super) fn choose(session: &mut Session, _: &mut Rng) -> Result<Option<usize>> {
    let mut left = session.by_prediction();
    let rounds = left.len().max(2).next_power_of_two().ilog2();
    // What all rounds would cost in full, of what may be spent.
    let mut remaining = left.len();
    let mut full = 0.0;
    for round in 0..rounds {
        full += remaining as f64 * effort(rounds, round);
        remaining = remaining.div_ceil(2);
    }
    let scale = (session.measurements_left() / full).min(1.0);
    for round in 0..rounds {
        let effort = (scale * effort(rounds, round)).max(EFFORT_MIN);
        let mut values: Vec<(usize, Option<f64>)> = Vec::new();
        for candidate in &left {
            if !session.may_measure(effort) {
                session.note(format!("the budget ended in round {} of {rounds}", round + 1));
                return Ok(session.best());
            }
            values.push((*candidate, session.measure(*candidate, effort)?));
        }
        // Stable: equal ones stay in the prediction's order. What failed is last.
        values.sort_by(|a, b| b.1.unwrap_or(f64::NEG_INFINITY).total_cmp(&a.1.unwrap_or(f64::NEG_INFINITY)));
        let kept = values.len().div_ceil(2);
        left = values.into_iter().take(kept).filter(|v| v.1.is_some()).map(|v| v.0).collect();
    }
    Ok(session.best())
}

/// Effort of a round without a bound: 1 in the last.
fn effort(rounds: u32, round: u32) -> f64 {
    0.5_f64.powi((rounds - 1 - round) as i32)
}
