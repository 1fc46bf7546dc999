//! Several runs → what they say together.
//!
//! In: the [`crate::metrics::Summary`] of each run. Out: how far repeats of one run lie apart ([`repeats`]), which
//! of several combinations of parameters are worth having ([`combinations`]), and how wrong predictions were at which level of
//! load ([`validation`], of the [`levels`] and their [`steady_state`]); and which rate to try next
//! for goodput ([`goodput_search`]). Pure: nothing is read or written.
//! Not here: running them (`commands::profile`), files (`export`), tables (`report`).

pub mod combinations;
pub mod goodput_search;
pub mod levels;
pub mod prediction_error;
pub mod repeats;
pub mod steady_state;
mod student;
pub mod validation;
