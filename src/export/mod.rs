//! For programs: a recording and its summary → files in formats that other tools read.
//!
//! In: [`Rows`] and the [`Summary`] made from them. Out: bytes, to whatever writer the caller gives.
//! One file per format, one line in [`EXPORTERS`]. Invariants: the same recording gives the same bytes; memory is
//! bounded however long the run was; no number that JSON cannot hold is ever written.
//! Not here: what people look at (that is `report`). [`inputs`] is apart: it needs the bodies, which no recording holds; so
//! is [`fidelity`], which is an analysis and no summary, [`validation`] and [`goodput`], which are of several runs, [`server`], which is of the server's own numbers, [`sweep`], which is a
//! prediction, and [`vllm_json`], which is written on request.

pub mod aiperf_aggregate;
mod aiperf_config;
mod aiperf_csv;
mod aiperf_json;
mod aiperf_jsonl;
mod aiperf_outputs;
mod aiperf_phases;
mod aiperf_raw;
mod aiperf_run_config;
pub mod aiperf_sweep;
mod aiperf_timeslices;
mod aiperf_words;
pub mod asked;
pub mod comparison;
pub mod comparison_table;
mod decimal;
pub mod fidelity;
pub mod goodput;
pub mod inputs;
pub mod online;
pub mod server;
pub mod sweep;
pub mod validation;
pub mod vllm_json;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::metrics::Summary;
use crate::record::manifest::Manifest;
use crate::record::reader::Rows;

/// Bytes that are gathered for one write.
const BUFFER_BYTES: usize = 64 << 10;

/// One format.
#[derive(Clone, Copy, Debug)]
pub struct Exporter {
    /// The name of its file in a run directory; below that, a path.
    pub file_name: &'static str,
    /// What follows the prefix that the user gave all files, where a file's name takes one.
    pub suffix: Option<&'static str>,
    /// The least level at which it is written.
    pub level: ExportLevel,
    /// Whether a run has it at all.
    pub is_wanted: fn(&Manifest) -> bool,
    how: How,
}

/// What a file is made of.
#[derive(Clone, Copy, Debug)]
enum How {
    /// The rows, so that it can be written before, or while, they are summed up.
    Rows(fn(&dyn Rows, &mut dyn Write) -> Result<()>),
    Summary(fn(&dyn Rows, &Summary, &mut dyn Write) -> Result<()>),
}

/// How much is written beside a recording, in aiperf's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExportLevel {
    /// Numbers of the run as a whole.
    Summary,
    /// Also files with an entry for each request.
    Records,
    /// Also what was sent and received.
    Raw,
}

impl ExportLevel {
    /// The name in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            ExportLevel::Summary => "summary",
            ExportLevel::Records => "records",
            ExportLevel::Raw => "raw",
        }
    }

    /// The level that a run was asked for; the usual one where its manifest does not say.
    pub fn of(manifest: &Manifest) -> ExportLevel {
        let is_it = |level: &ExportLevel| manifest.config["export_level"] == level.as_str();
        [ExportLevel::Summary, ExportLevel::Raw].into_iter().find(is_it).unwrap_or(ExportLevel::Records)
    }
}

impl Exporter {
    /// A file of every run, at a level.
    const fn new(
        file_name: &'static str,
        suffix: Option<&'static str>,
        write: fn(&dyn Rows, &Summary, &mut dyn Write) -> Result<()>,
    ) -> Exporter {
        Exporter { file_name, suffix, level: ExportLevel::Summary, is_wanted: |_| true, how: How::Summary(write) }
    }

    /// The same of a file that tells of each request and of nothing else.
    const fn of_rows(
        file_name: &'static str,
        suffix: Option<&'static str>,
        write: fn(&dyn Rows, &mut dyn Write) -> Result<()>,
    ) -> Exporter {
        Exporter { file_name, suffix, level: ExportLevel::Records, is_wanted: |_| true, how: How::Rows(write) }
    }

    /// Writes the whole file.
    ///
    /// # Errors
    /// The source's, and [`Error::Io`] under the file's name.
    pub fn write(&self, rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        match self.how {
            How::Rows(write) => write(rows, out),
            How::Summary(write) => write(rows, summary, out),
        }
    }

    const fn at(self, level: ExportLevel) -> Exporter {
        Exporter { level, ..self }
    }

    const fn when(self, is_wanted: fn(&Manifest) -> bool) -> Exporter {
        Exporter { is_wanted, ..self }
    }

    /// The file's name in the directory of this run.
    pub fn name(&self, manifest: &Manifest) -> String {
        match (manifest.config["profile_export_prefix"].as_str(), self.suffix) {
            (Some(prefix), Some(suffix)) => format!("{prefix}{suffix}"),
            _ => self.file_name.into(),
        }
    }
}

/// Every format that is written beside a recording.
pub static EXPORTERS: &[Exporter] = &[
    Exporter::new(aiperf_json::FILE_NAME, Some(".json"), aiperf_json::write),
    Exporter::new(aiperf_csv::FILE_NAME, Some(".csv"), aiperf_csv::write),
    Exporter::of_rows(aiperf_jsonl::FILE_NAME, Some(".jsonl"), aiperf_jsonl::write),
    Exporter::new(aiperf_raw::FILE_NAME, Some("_raw.jsonl"), aiperf_raw::write).at(ExportLevel::Raw),
    Exporter::new(aiperf_outputs::FILE_NAME, None, aiperf_outputs::write).when(aiperf_outputs::is_wanted),
    Exporter::new(aiperf_timeslices::JSON_NAME, Some("_timeslices.json"), aiperf_timeslices::write_json)
        .when(aiperf_timeslices::are_wanted),
    Exporter::new(aiperf_timeslices::CSV_NAME, Some("_timeslices.csv"), aiperf_timeslices::write_csv)
        .when(aiperf_timeslices::are_wanted),
    Exporter::new(aiperf_phases::WARMUP_JSON, None, aiperf_phases::write_warmup_json).when(aiperf_phases::are_several),
    Exporter::new(aiperf_phases::WARMUP_CSV, None, aiperf_phases::write_warmup_csv).when(aiperf_phases::are_several),
    Exporter::new(aiperf_phases::PROFILING_JSON, None, aiperf_phases::write_profiling_json)
        .when(aiperf_phases::are_several),
    Exporter::new(aiperf_phases::PROFILING_CSV, None, aiperf_phases::write_profiling_csv)
        .when(aiperf_phases::are_several),
    Exporter::new(aiperf_phases::MANIFEST_NAME, None, aiperf_phases::write_manifest).when(aiperf_phases::are_several),
    Exporter::new(aiperf_run_config::FILE_NAME, None, aiperf_run_config::write).when(aiperf_run_config::is_wanted),
    // The last one: whoever waits for it finds the others.
    Exporter::new(aiperf_phases::READY_NAME, None, aiperf_phases::write_ready),
];

/// Writes the formats of a level into `dir` but for those of [`write_rows`], each file whole or not at all, and gives their paths. A file of a higher level
/// or of another kind of run that an earlier report left there is removed: it would tell of another run.
///
/// # Errors
/// As the source's; and [`Error::Io`] with the file that could not be written.
pub fn write_all(dir: &Path, rows: &dyn Rows, summary: &Summary, level: ExportLevel) -> Result<Vec<PathBuf>> {
    let manifest = rows.manifest();
    let mut written = Vec::new();
    for exporter in EXPORTERS {
        let name = exporter.name(manifest);
        if exporter.level > level || !(exporter.is_wanted)(manifest) {
            remove_stale(&dir.join(name))?;
            continue;
        }
        written.push(match exporter.how {
            How::Rows(_) => dir.join(name),
            How::Summary(write) => write_whole(dir, &name, |out| write(rows, summary, out))?,
        });
    }
    Ok(written)
}

/// Writes those formats of a level that are made of rows alone; [`write_all`], which names them, leaves them to this.
///
/// # Errors
/// As [`write_all`].
pub fn write_rows(dir: &Path, rows: &dyn Rows, level: ExportLevel) -> Result<()> {
    for exporter in EXPORTERS.iter().filter(|e| e.level <= level && (e.is_wanted)(rows.manifest())) {
        if let How::Rows(write) = exporter.how {
            write_whole(dir, &exporter.name(rows.manifest()), |out| write(rows, out))?;
        }
    }
    Ok(())
}

/// Writes a file whole or not at all, and gives its path.
fn write_whole(dir: &Path, file_name: &str, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<PathBuf> {
    let path = dir.join(file_name);
    let partial = dir.join(format!("{file_name}.partial"));
    if let Some(folder) = path.parent().filter(|folder| *folder != dir) {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    let file = std::fs::File::create(&partial).map_err(Error::io(&partial))?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    write(&mut out)?;
    out.flush().map_err(Error::io(&partial))?;
    std::fs::rename(&partial, &path).map_err(Error::io(&path))?;
    Ok(path)
}

/// Removes a file that tells of an earlier run, if it is there.
///
/// # Errors
/// [`Error::Io`] where it is there and stays.
pub fn remove_stale(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}
