//! Numbers and findings → people; the only code that prints.
//!
//! In: manifest, summary, verdict and, for the page, rows. Out: text for a terminal ([`terminal`]), what a run
//! is doing ([`dashboard`], [`progress`]), what a host's client can do ([`calibration`]), what a trace, a schedule or a run directory holds
//! ([`inspection`]), what a sweep predicts ([`sweep`]) and what a method
//! that chooses would have lost ([`selection`]), one offline HTML page ([`html`]); [`out`] alone touches stdout and stderr.
//! Invariants: the same input gives the same bytes; text that came from outside is escaped wherever it is shown.
//! Not here: any computation beyond shares and units.

pub mod calibration;
pub mod comparison;
pub mod dashboard;
pub mod goodput;
pub mod html;
pub mod inspection;
pub mod online;
pub mod out;
pub mod plan;
pub mod points;
pub mod progress;
pub mod selection;
pub mod runs;
pub mod sweep;
pub mod series;
pub mod terminal;

mod fidelity;
mod number;
mod screen;
mod table;
mod text;
pub mod validation;
mod words;
