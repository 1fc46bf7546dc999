//! Predictions: model × GPU × TP → memory, time of a step.
//!
//! In: a [`deployment`]: the name of a model ([`model`]), of a GPU ([`gpu`]), a serving [`backend`], a [`precision`] and a layout.
//! Out: the time of any forward pass ([`cost`]), the tokens of KV cache that fit ([`memory`]), and TTFT and TPOT of a
//! closed loop ([`aggregated`]), from tables of measured kernels that are data in this tree. Each [`prediction`] names its stage.
//! [`sweep`] puts sizes and layouts beside each other, [`calibrate`] fits host time to measurements, [`results`] are the files
//! of Dynamo's profiler.
//! Invariant: pure; no clock, no network, and no file but those that [`aic`], [`calibrate`] and [`results`] read by their names.
//! Not here: a schedule request by request (that is what [`crate::sim`] simulates).

pub mod aggregated;
pub mod aic;
pub mod backend;
pub mod band;
pub mod calibrate;
pub mod capacity;
pub mod config;
pub mod cost;
pub mod deployment;
pub mod disaggregate;
pub mod frontier;
pub mod gpu;
mod kernels;
pub mod mean_field;
pub mod memory;
pub mod model;
mod operators;
pub mod points;
pub mod precision;
pub mod prediction;
pub mod recommend;
pub mod results;
mod surface;
pub mod sweep;
