//! What the server said of itself → `server_metrics_export.*`, in the layouts of aiperf 0.13.0.
//!
//! In: the scrapes of a run directory and the numbers made of them. Out: the files of the formats that were asked for.
//! Invariants as those of [`crate::export`]. Not here: the numbers ([`crate::analysis::server`]).

mod csv;
mod json;
mod jsonl;
mod phases;
mod table;

use std::path::{Path, PathBuf};

use super::{remove_stale, write_whole};
use crate::analysis::server::ServerMetrics;
use crate::error::Result;
use crate::record::manifest::Manifest;
use crate::record::server::ServerRecording;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerFormat {
    /// The numbers, for programs.
    Json,
    /// The numbers, for spreadsheets.
    Csv,
    /// Every scrape that brought something new.
    Jsonl,
    /// Every value that changed, in long form.
    Parquet,
}

impl ServerFormat {
    /// Every format.
    pub const ALL: [ServerFormat; 4] =
        [ServerFormat::Json, ServerFormat::Csv, ServerFormat::Jsonl, ServerFormat::Parquet];

    /// The name in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            ServerFormat::Json => "json",
            ServerFormat::Csv => "csv",
            ServerFormat::Jsonl => "jsonl",
            ServerFormat::Parquet => "parquet",
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            ServerFormat::Json => "server_metrics_export.json",
            ServerFormat::Csv => "server_metrics_export.csv",
            ServerFormat::Jsonl => "server_metrics_export.jsonl",
            ServerFormat::Parquet => "server_metrics_export.parquet",
        }
    }
}

/// Scrapes, and the numbers made of them.
#[derive(Debug)]
pub struct Scraped<'a> {
    /// The scrapes.
    pub recording: &'a ServerRecording,
    /// The measurement's numbers.
    pub profiling: ServerMetrics,
    /// Those of the warm-up, where there was one.
    pub warmup: Option<ServerMetrics>,
}

/// Whether a run was asked for a format.
pub(super) fn is_asked(manifest: &Manifest, format: ServerFormat) -> bool {
    let asked = &manifest.config["server_metrics"]["formats"];
    asked.as_array().is_some_and(|formats| formats.iter().any(|name| name == format.as_str()))
}

/// Writes the formats that the run was asked for into `dir`, each file whole or not at all, and gives their paths. Files that
/// an earlier run left there are removed.
///
/// # Errors
/// Those of the scrapes' file; and [`crate::error::Error::Io`] with the file that could not be written.
pub fn write(dir: &Path, manifest: &Manifest, scraped: Option<&Scraped<'_>>) -> Result<Vec<PathBuf>> {
    let mut written = phases::write(dir, manifest, scraped.filter(|_| is_asked(manifest, ServerFormat::Json)))?;
    for format in ServerFormat::ALL {
        let (Some(Scraped { recording, profiling: metrics, warmup }), true) = (scraped, is_asked(manifest, format))
        else {
            remove_stale(&dir.join(format.file_name()))?;
            continue;
        };
        written.push(write_whole(dir, format.file_name(), |out| match format {
            ServerFormat::Json => json::write(manifest, metrics, warmup.as_ref(), out),
            ServerFormat::Csv => csv::write(manifest, metrics, out),
            ServerFormat::Jsonl => jsonl::write(manifest, recording, out),
            ServerFormat::Parquet => table::write(manifest, recording, metrics, out),
        })?);
    }
    Ok(written)
}
