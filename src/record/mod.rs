//! The recording: the only bridge between the engine and everything that computes.
//!
//! Workers hand rows to bounded rings ([`ring`]); one writer thread ([`writer`]) turns them into `requests.parquet`
//! and `tokens.parquet`; [`reader`] streams them back; [`manifest`] is `run.json`. What the server's metrics said is apart
//! ([`server`]), and so is what was said, where that is kept ([`exchange`]).
//! Between them and the `parquet` crate: [`schema`] (columns), [`token_rows`] (their order), [`encode`], `decode` and `names` (values), `merge` (the order
//! over row groups), [`durable`] (a file that survives a kill), `source` and `pages` (bytes that nobody vouches
//! for). [`foreign`] reads tables that are no recording.
//! Invariants: a row that was flushed survives a kill; a row that found a ring full is counted, never silent.
//! Not here: any metric.

mod decode;
pub mod durable;
pub mod encode;
pub mod exchange;
pub mod foreign;
pub mod host;
pub mod manifest;
mod merge;
mod name_column;
mod names;
mod packed;
mod pages;
pub mod reader;
pub mod ring;
pub mod row;
pub mod schema;
pub mod server;
mod source;
pub mod token_rows;
pub mod writer;
