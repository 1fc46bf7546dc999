//! Several runs → what they say together.
//!
//! In: the [`crate::metrics::Summary`] of each run. Out: how far repeats of one run lie apart ([`repeats`]), and which
//! of several combinations of parameters are worth having ([`combinations`]). Pure: nothing is read or written.
//! Not here: running them (`commands::profile`), files (`export`), tables (`report`).

pub mod combinations;
pub mod prediction_error;
pub mod repeats;
mod student;
