//! The recording: the only bridge between the engine and everything that computes.
//!
//! Workers hand rows to bounded rings ([`ring`]); one writer thread ([`writer`]) turns them into `requests.parquet`
//! and `tokens.parquet`; [`reader`] streams them back; [`manifest`] is `run.json`.
//! Invariants: a row that was flushed survives a kill; a row that found a ring full is counted, never silent.
//! Not here: any metric.

pub mod manifest;
pub mod reader;
pub mod ring;
pub mod row;
pub mod schema;
pub mod writer;
