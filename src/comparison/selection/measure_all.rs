//! Measure all (Online-ALL, Profile-ALL): every candidate, in full. The reference that the others are compared with, and the dearest.

use super::Session;
use crate::error::Result;
use crate::rng::Rng;

pub(super) fn choose(session: &mut Session, _: &mut Rng) -> Result<Option<usize>> {
    let count = session.candidates().len();
    for candidate in 0..count {
        if !session.may_measure(1.0) {
            session.note(format!("the budget ended after {candidate} of {count} candidates"));
            break;
        }
        session.measure(candidate, 1.0)?;
    }
    Ok(session.best())
}
