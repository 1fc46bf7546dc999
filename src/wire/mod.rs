//! Bytes ↔ protocol: server-sent events, and the few JSON fields of a delta. No I/O, no clock, no allocation per event.

pub mod delta;
pub mod json;
pub mod learned;
pub mod sse;
