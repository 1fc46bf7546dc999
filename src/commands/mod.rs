//! (under construction)
pub mod serve;
