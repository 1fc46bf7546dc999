//! A file of steps → which command lines run, after which others, and where each one's results are kept.
//!
//! In: the text of a plan. Out: [`file::Plan`], whose steps are whole command lines of this program but for what only an earlier
//! step can tell. Invariants: a step needs earlier ones only, so that no order of running them can hang; equal command
//! lines on equal inputs have one address ([`address`]), and whatever changes an answer changes its address.
//! Not here: running anything (`commands::plan`).

pub mod address;
pub mod agenda;
pub mod file;
pub mod reference;

#[cfg(test)]
mod tests;
