//! Several runs → what they say together.
//!
//! In: the [`crate::metrics::Summary`] of each run. Out: how far repeats of one run lie apart ([`repeats`]), which
//! of several combinations of parameters are worth having ([`combinations`]), and how wrong predictions were at which level of
//! load ([`validation`], of the [`levels`] and their [`steady_state`]); which rate to try next for goodput ([`goodput_search`]), or
//! which number of clients ([`capacity_search`]), who begin in turn ([`round`]), and what to deploy of what was measured ([`measured_sweep`], [`profiled`]); and
//! which of several methods that choose a deployment is worth its cost: what is known of each ([`method`]) is judged against the others
//! ([`judgement`]: errors, goodput, [`regret`] with intervals of [`bootstrap`], and of each [`course`] of measurements), held to the [`criteria`] and put into
//! [`answers`]. Which candidate a method chooses, and what it measures for that, is [`selection`]'s. Pure: nothing is read or written.
//! Not here: running them (`commands::profile`), files (`export`), tables (`report`).

pub mod answers;
pub mod bootstrap;
pub mod capacity_search;
pub mod closed_loop;
pub mod combinations;
pub mod course;
pub mod criteria;
pub mod difference;
pub mod goodput_search;
pub mod judgement;
pub mod levels;
pub mod measured_sweep;
pub mod method;
pub mod prediction_error;
pub mod profiled;
pub mod regret;
pub mod repeats;
pub mod round;
pub mod selection;
pub mod steady_state;
mod student;
pub mod validation;
