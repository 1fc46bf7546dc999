//! Stack rank: the first N candidates of the prediction's order are measured in full, the best measured is taken. N is the budget's.
//!
//! A prediction that is wrong by the same factor for every candidate loses nothing here.

use super::Session;
use crate::error::Result;
use crate::rng::Rng;

pub(super) fn choose(session: &mut Session, _: &mut Rng) -> Result<Option<usize>> {
    let order = session.by_prediction();
    if session.candidates()[order[0]].predicted.is_none() {
        session.note("no candidate has a prediction: they were measured in their order");
    }
    for candidate in &order {
        if !session.may_measure(1.0) {
            break;
        }
        session.measure(*candidate, 1.0)?;
    }
    Ok(session.best())
}
