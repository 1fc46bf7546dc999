//! Random: candidates are drawn without repeats and measured, the best measured is taken. What any other method has to beat.

use rand::RngExt;

use super::Session;
use crate::error::Result;
use crate::rng::Rng;

pub(super) fn choose(session: &mut Session, rng: &mut Rng) -> Result<Option<usize>> {
    let mut left: Vec<usize> = (0..session.candidates().len()).collect();
    let mut first = None;
    while !left.is_empty() {
        let candidate = left.swap_remove(rng.random_range(0..left.len()));
        first = first.or(Some(candidate));
        if !session.may_measure(1.0) {
            break;
        }
        session.measure(candidate, 1.0)?;
    }
    let tried = first.is_some_and(|first| session.was_tried(first));
    Ok(if tried { session.best() } else { first })
}
