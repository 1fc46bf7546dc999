//! Scrapes of the server's metrics ↔ `server_metrics.parquet`.
//!
//! In: rows in order of scrapes, from one thread. Out: the file, by [`super::durable`], and back.
//! A scrape leaves one row for each sample whose value changed since the endpoint's scrape before, and one without a sample
//! where none did; what a row does not say is as it was. A sample that is gone has a row without a value.
//! Invariants: rows wait in memory up to a bound, in rows and in time; a file that is damaged is an error, never a panic.
//! Not here: fetching and reading the text (`telemetry`), and what the samples mean (`analysis`).

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result as Parqueted};

use super::decode::ServerCursor;
use super::durable::{Directory, DurableFile};
use super::encode::server_group;
use super::reader::failure;
use super::schema::Table;
use super::source::{TableFile, bad};
use crate::error::{Error, Result};
use crate::time::SECOND_NS;

/// Rows that wait for their row group.
const GROUP_ROWS: usize = 16 * 1024;
/// Longest time that a row waits; a fiftieth of the time that the run has lasted, where that is more.
const FLUSH_INTERVAL_NS: i64 = 5 * SECOND_NS;

/// A sample, in the words of the text that it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSample {
    /// The family.
    pub metric: Arc<str>,
    /// What the family is: counter, gauge, histogram or unknown.
    pub metric_type: Arc<str>,
    /// The family's help, escapes as they stood; empty without.
    pub help: Arc<str>,
    /// The sample's own name, such as `x_bucket`.
    pub name: Arc<str>,
    /// What stood between its braces.
    pub labels: Arc<str>,
    /// The value; null where the sample is no longer there.
    pub value: Option<f64>,
}

/// A row of `server_metrics.parquet`. Times are of the run's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerRow {
    /// Number of the scrape; one number for each request, over all endpoints.
    pub scrape: u32,
    /// The URL that was asked.
    pub endpoint: Arc<str>,
    /// When the request was written.
    pub sent_ns: i64,
    /// When the head of the answer was read: the time of the samples.
    pub first_byte_ns: i64,
    /// When the answer was whole.
    pub end_ns: i64,
    /// Why there are no samples, where the scrape failed.
    pub error: Option<Arc<str>>,
    /// A sample that changed.
    pub sample: Option<ServerSample>,
}

/// The file while it is written.
pub struct ServerWriter {
    file: DurableFile<Directory>,
    rows: Vec<ServerRow>,
    started_ns: i64,
    flushed_ns: i64,
}

impl ServerWriter {
    /// Creates the file in `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn create(dir: &Path, run_id: &str, now_ns: i64) -> Result<ServerWriter> {
        let file = DurableFile::create(Directory::new(dir), Table::ServerMetrics, run_id)
            .map_err(failure(dir, Table::ServerMetrics))?;
        Ok(ServerWriter { file, rows: Vec::new(), started_ns: now_ns, flushed_ns: now_ns })
    }

    /// Adds the rows of a scrape. Scrapes must come in order.
    ///
    /// # Errors
    /// Those of the disk; the rows are lost then.
    pub fn push(&mut self, rows: impl Iterator<Item = ServerRow>, now_ns: i64) -> Parqueted<()> {
        for row in rows {
            self.rows.push(row);
            if self.rows.len() == GROUP_ROWS {
                self.flush(now_ns)?;
            }
        }
        let patience_ns = FLUSH_INTERVAL_NS.max((now_ns - self.started_ns) / 50);
        if now_ns - self.flushed_ns >= patience_ns { self.flush(now_ns) } else { Ok(()) }
    }

    fn flush(&mut self, now_ns: i64) -> Parqueted<()> {
        self.flushed_ns = now_ns;
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.file.append(|file| server_group(file, &rows))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(mut self) -> Parqueted<u64> {
        self.flush(i64::MAX)?;
        self.file.finish()
    }
}

/// The file of a run directory, ready to be read.
#[derive(Debug)]
pub struct ServerRecording {
    file: TableFile,
}

impl ServerRecording {
    /// Opens the file of the run directory `dir`; `None` where the run scraped no metrics.
    ///
    /// # Errors
    /// A file that is damaged, or that this version cannot read.
    pub fn open(dir: &Path) -> Result<Option<ServerRecording>> {
        match TableFile::open(dir, Table::ServerMetrics).map_err(failure(dir, Table::ServerMetrics)) {
            Ok(file) => Ok(Some(ServerRecording { file })),
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Visits every row, in order.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn for_each(&self, visit: &mut dyn FnMut(&ServerRow)) -> Result<()> {
        self.rows(visit).map_err(failure(Path::new(""), Table::ServerMetrics))
    }

    fn rows(&self, visit: &mut dyn FnMut(&ServerRow)) -> Parqueted<()> {
        let mut scrape = 0;
        for group in 0..self.file.metadata().num_row_groups() {
            let mut cursor = ServerCursor::open(&self.file, group)?;
            while cursor.next_batch()? {
                for row in cursor.rows() {
                    if row.scrape < scrape {
                        return Err(bad("its scrapes are not in order"));
                    }
                    scrape = row.scrape;
                    visit(row);
                }
            }
        }
        Ok(())
    }
}

/// Reads a fuzzed file. Returns the number of rows.
pub(super) fn fuzz_count(bytes: Bytes, rows_max: u64) -> Parqueted<usize> {
    let file = TableFile::from_bytes(bytes, Table::ServerMetrics)?;
    if file.rows() > rows_max {
        return Err(ParquetError::General("too many rows for a fuzzer".into()));
    }
    let mut seen = 0;
    ServerRecording { file }.rows(&mut |_| seen += 1)?;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scrape: u32, value: Option<f64>) -> ServerRow {
        let sample = |value| ServerSample {
            metric: "x".into(),
            metric_type: "gauge".into(),
            help: "".into(),
            name: "x".into(),
            labels: "a=\"b\"".into(),
            value,
        };
        ServerRow {
            scrape,
            endpoint: "http://h/metrics".into(),
            sent_ns: i64::from(scrape) * 10 - 5,
            first_byte_ns: i64::from(scrape) * 10,
            end_ns: i64::from(scrape) * 10 + 1,
            error: scrape.is_multiple_of(5).then(|| "refused".into()),
            sample: (!scrape.is_multiple_of(5)).then(|| sample(value)),
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_a_file_without_its_end_up_to_its_last_flush() {
        let dir = std::env::temp_dir().join(format!("loadline-server-rows-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert!(ServerRecording::open(&dir).unwrap().is_none());
        let values = [Some(1.5), None, Some(f64::INFINITY), Some(-0.0)];
        let rows: Vec<_> = (0..20_000).map(|n| row(n, values[n as usize % 4])).collect();
        let read = |dir: &Path| {
            let mut seen = Vec::new();
            ServerRecording::open(dir).unwrap().unwrap().for_each(&mut |row| seen.push(row.clone())).unwrap();
            seen
        };
        let mut writer = ServerWriter::create(&dir, "test", 0).unwrap();
        writer.push(rows.iter().cloned(), 1).unwrap();
        assert_eq!(read(&dir), rows[..GROUP_ROWS], "what was not flushed is missing");
        writer.push(std::iter::empty(), FLUSH_INTERVAL_NS + 1).unwrap();
        assert_eq!(read(&dir), rows, "time flushes too");
        writer.finish().unwrap();
        assert_eq!(read(&dir), rows);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
