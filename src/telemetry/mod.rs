//! What the server says of itself while a run lasts: its metrics, scraped on the run's clock.
//!
//! In: endpoints that speak Prometheus' text format. Out: `server_metrics.parquet` beside the recording.
//! It is no part of the data plane: a thread of its own, the least important of the process, shares nothing with the workers.
//! Not here: the text's form ([`crate::wire::exposition`]), the file's ([`crate::record::server`]), and what the numbers say
//! (`analysis`).

pub mod fetch;
pub mod scraper;
mod series;
