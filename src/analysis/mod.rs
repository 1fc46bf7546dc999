//! Rows and numbers of one run → answers about it: how it went over time, how latencies spread, what its server said of itself,
//! whether to trust it.
//!
//! In: a [`crate::record`]ing and its [`crate::metrics::Summary`]. Out: plain values that `report` draws and prints.
//! Invariant: pure, one pass over the rows. Not here: any text for people but the reasons of a verdict.

pub mod expected_hits;
pub mod fidelity;
pub mod measured;
pub mod overlay;
pub mod plane;
pub mod raster;
pub mod server;
pub mod spread;
pub mod timeline;
pub mod verdict;

#[cfg(test)]
pub(crate) mod fixture;
