//! Bytes ↔ protocol: server-sent events, the few JSON fields of a delta, and the text of a server's metrics. No I/O, no clock,
//! no allocation per event.

pub mod delta;
pub mod exposition;
pub mod json;
pub mod learned;
pub mod sse;
mod typed;
