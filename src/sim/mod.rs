//! The simulated deployment: an OpenAI-compatible server whose engine is simulated, in the time of a real GPU.
//!
//! [`deployment`] is the seam: an engine says when each sequence gets each token, in simulated time. [`batch`] is the
//! engine: continuous batching with chunked prefill, timed by [`crate::profiler`] or by tables that were measured ([`table_time`]); [`constant`] is one whose times do not
//! depend on its load. [`config`] says which engine it is, [`server`] puts it behind a
//! port: `driver` runs it against the real clock, `connection` speaks HTTP, over [`tls`] or not, [`ask`] reads requests, `service` answers them, `stream` and
//! [`reply`] write the answers, [`oracle`] remembers when.
//! Invariants: the engine is pure; a server's times drift from the engine's by no more than its wake-ups are late; a
//! request ends in exactly one of a whole answer, an error answer, or the client's going away.
//! Not here: a model. The words of an answer mean nothing.

pub mod ask;
pub mod batch;
mod block_names;
pub mod config;
mod connection;
pub mod constant;
pub mod content;
pub mod delayed;
pub mod deployment;
pub mod disaggregated;
mod driver;
pub mod fault;
pub mod kv;
mod metrics;
pub mod network;
pub mod offline;
pub mod oracle;
pub mod oracle_files;
mod parameters;
mod read_ahead;
pub mod replicas;
pub mod reply;
pub mod server;
mod service;
mod stream;
pub mod table_time;
pub mod tls;
mod tokenize;
mod typed;
mod words;
