//! Hybrid: as stack rank, but each measurement corrects the prediction of what was not measured yet, which is then ordered anew.
//!
//! The correction is a factor, the exponential of a Gaussian process over log2 TP and log2 batch whose mean is 0 where nothing was
//! measured: log(measured / predicted) of a candidate says most of its neighbours and little of those far away. It ends where
//! of no candidate that is left the upper end of what is expected (one standard deviation up) is above the best that was measured.

use super::gaussian::{Gaussian, Kernel, coordinates};
use super::{Candidate, Session};
use crate::error::Result;
use crate::rng::Rng;

/// How far from the prediction a measurement is taken to be, as a factor: a candidate that missed the targets has the value 0,
/// which has no logarithm, and says that it is far below, not by how much.
const FACTOR_MAX: f64 = 8.0;
/// Standard deviation of the logarithm of measured over predicted throughput, before anything was measured: what it is of a prediction that was not
/// fitted to them (AI Configurator's) over 567 published measurements of dense models.
const LOG_ERROR: f64 = 0.23;
/// How far a correction reaches, in doublings of TP and of batch: over the same, errors of one batch correlate by 0.76, 0.16 and -0.17
/// at sizes that are 1, 2 and 3 doublings apart, and by 0.93 to 0.72 at batches that are 1 to 4 apart.
const REACH: [f64; 2] = [1.0, 6.0];
/// Variance of a measurement's own noise, of the prior's.
const NOISE: f64 = 0.01;

pub(super) fn choose(session: &mut Session, _: &mut Rng) -> Result<Option<usize>> {
    while session.may_measure(1.0) {
        let Some((candidate, hoped)) = next(session) else { break };
        let best = session.measured().iter().map(|m| m.1).fold(0.0, f64::max);
        if best > 0.0 && hoped <= best {
            session.note("ended: of no other candidate more is expected than what was measured");
            break;
        }
        session.measure(candidate, 1.0)?;
    }
    Ok(session.best())
}

/// The untried candidate of which most is expected, and the upper end of that.
fn next(session: &Session) -> Option<(usize, f64)> {
    let all = session.candidates();
    let known: Vec<(usize, f64)> = session.measured().into_iter().filter(|(c, _)| predicted(&all[*c]) > 0.0).collect();
    let at: Vec<[f64; 2]> = known.iter().map(|(c, _)| coordinates(&all[*c])).collect();
    let errors: Vec<f64> =
        known.iter().map(|(c, value)| (value / predicted(&all[*c])).clamp(1.0 / FACTOR_MAX, FACTOR_MAX).ln()).collect();
    let kernel = Kernel { variance: LOG_ERROR * LOG_ERROR, reach: REACH, noise: NOISE };
    let correction = Gaussian::fit(&at, &errors, kernel);
    let open = session.by_prediction().into_iter().filter(|c| !session.was_tried(*c));
    let expected = |c: usize| {
        let (mean, deviation) = correction.as_ref().map_or((0.0, LOG_ERROR), |g| g.at(coordinates(&all[c])));
        (c, predicted(&all[c]) * mean.exp(), predicted(&all[c]) * (mean + deviation).exp())
    };
    // The first of equal ones, which is the prediction's.
    let best = open.map(expected).reduce(|best, c| if c.1 > best.1 { c } else { best });
    best.map(|(c, _, hoped)| (c, hoped))
}

fn predicted(candidate: &Candidate) -> f64 {
    candidate.predicted.unwrap_or(0.0).max(0.0)
}
