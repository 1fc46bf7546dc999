//! The command line: typed arguments, one file per verb.

pub mod synth;
