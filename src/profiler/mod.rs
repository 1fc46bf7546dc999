//! Predictions: model × GPU × TP → memory, time of a step.
//!
//! In: a [`deployment`]: the name of a model ([`model`]), of a GPU ([`gpu`]), a serving [`backend`], a [`precision`] and a layout.
//! Out: the time of any forward pass ([`cost`]), the tokens of KV cache that fit ([`memory`]), and TTFT and TPOT of a
//! closed loop ([`aggregated`]), from [`constants`] that are data in this tree. Each [`prediction`] names its stage.
//! Invariant: pure; no clock, no file, no network.
//! Not here: a schedule request by request (that is what [`crate::sim`] simulates).

pub mod aggregated;
pub mod backend;
pub mod capacity;
pub mod constants;
pub mod cost;
pub mod deployment;
pub mod disaggregate;
pub mod frontier;
pub mod gpu;
pub mod mean_field;
pub mod memory;
pub mod model;
pub mod precision;
pub mod prediction;
pub mod recommend;
pub mod sweep;
