//! Predictions: model × GPU × TP → memory, time of a step.
//!
//! In: the name of a model ([`model`]), of a GPU ([`gpu`]), a serving [`backend`] and a tensor-parallel size. Out: the
//! time of any forward pass ([`cost`]) and the tokens of KV cache that fit ([`memory`]), from [`constants`] that are
//! data in this tree.
//! Invariant: pure; no clock, no file, no network. What is predicted is the engine alone: no queue, no HTTP, no
//! hand-over between a prefill and a decode worker.
//! Not here: queueing (that is what [`crate::sim`] simulates).

pub mod backend;
pub mod constants;
pub mod cost;
pub mod gpu;
pub mod memory;
pub mod model;
