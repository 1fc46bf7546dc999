//! Predict all (AIC-ALL): the candidate of which most is predicted. Costs nothing, and is as good as the prediction's order.

use super::Session;
use crate::error::Result;
use crate::rng::Rng;

pub(super) fn choose(session: &mut Session, _: &mut Rng) -> Result<Option<usize>> {
    let first = session.by_prediction()[0];
    Ok(match session.candidates()[first].predicted {
        Some(value) if value > 0.0 => Some(first),
        Some(value) => {
            session.note("the prediction expects no candidate to meet the targets");
            // Where it says how far each is from them, the nearest.
            (value < 0.0).then_some(first)
        }
        None => {
            session.note("no candidate has a prediction");
            None
        }
    })
}
