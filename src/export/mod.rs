//! For programs: a recording and its summary → files in formats that other tools read.
//!
//! In: [`Rows`] and the [`Summary`] made from them. Out: bytes, to whatever writer the caller gives.
//! One file per format, one line in [`EXPORTERS`]. Invariants: the same recording gives the same bytes; memory is
//! bounded however long the run was; no number that JSON cannot hold is ever written.
//! Not here: what people look at (that is `report`). [`inputs`] is apart: it needs the bodies, which no recording holds.

mod aiperf_csv;
mod aiperf_json;
mod aiperf_jsonl;
mod aiperf_words;
pub mod inputs;

use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::metrics::Summary;
use crate::record::reader::Rows;

/// One format.
#[derive(Clone, Copy, Debug)]
pub struct Exporter {
    /// The name of its file in a run directory.
    pub file_name: &'static str,
    /// Writes the whole file. Its errors are the source's, and [`Error::Io`] under the file's name.
    pub write: fn(&dyn Rows, &Summary, &mut dyn Write) -> Result<()>,
}

/// Every format that is written beside a recording.
pub static EXPORTERS: &[Exporter] = &[
    Exporter { file_name: aiperf_json::FILE_NAME, write: aiperf_json::write },
    Exporter { file_name: aiperf_csv::FILE_NAME, write: aiperf_csv::write },
    Exporter { file_name: aiperf_jsonl::FILE_NAME, write: aiperf_jsonl::write },
];

/// Writes every format into `dir`, each file whole or not at all.
///
/// # Errors
/// As the source's; and [`Error::Io`] with the file that could not be written.
pub fn write_all(dir: &Path, rows: &dyn Rows, summary: &Summary) -> Result<()> {
    for exporter in EXPORTERS {
        let path = dir.join(exporter.file_name);
        let partial = dir.join(format!("{}.partial", exporter.file_name));
        let file = std::fs::File::create(&partial).map_err(Error::io(&partial))?;
        let mut out = BufWriter::new(file);
        (exporter.write)(rows, summary, &mut out)?;
        out.flush().map_err(Error::io(&partial))?;
        std::fs::rename(&partial, &path).map_err(Error::io(&path))?;
    }
    Ok(())
}
