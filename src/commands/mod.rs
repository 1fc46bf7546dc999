//! One file per verb: wiring only, no algorithm.

pub mod synth;
