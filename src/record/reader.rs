//! Recording files → rows, request by request.
//!
//! In: a run directory, complete or left behind by a kill. Out: [`Recording`], a source of [`Rows`].
//! Invariants: nothing in the directory is changed; a damaged or hostile file is an error, never a panic, and costs
//! bounded memory: the requests' rows (at most [`REQUESTS_MAX`], packed), one request's events, and the row groups that
//! overlap. Events of a request that has no row (its outcome was not flushed before the kill) are passed over.
//! Not here: what the rows mean.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::errors::ParquetError;

use super::decode;
use super::exchange::Exchanges;
use super::manifest::{Counts, Manifest, RunState};
use super::merge::TokenMerge;
use super::packed::PackedRows;
use super::row::{RequestRow, TokenRow};
use super::schema::Table;
use super::source::{TableFile, bad};
use crate::error::{Error, InputError, Result};
use crate::outcome::OutcomeCounts;

/// Most requests that a recording may have to be read by one process.
pub const REQUESTS_MAX: u64 = 1 << 24;
/// Request rows for which room is made before they are read.
const RESERVED_ROWS_MAX: u64 = 1 << 20;

/// Receives one request and all its stream events, in order.
pub type Visit<'a> = dyn FnMut(&RequestRow, &[TokenRow]) + 'a;

/// A source of a run's rows: the files of a run directory, or rows in memory.
///
/// The order of requests is the same at every visit, so that everything computed from it is reproducible byte for
/// byte.
pub trait Rows {
    /// What the run was.
    fn manifest(&self) -> &Manifest;
    /// Visits every request once, in order of `request_id`, with its events (none for a request that has none).
    fn for_each_request(&self, visit: &mut Visit<'_>) -> Result<()>;
    /// Visits every request once, in the same order, without its events, which are most of a recording.
    fn for_each_row(&self, visit: &mut dyn FnMut(&RequestRow)) -> Result<()> {
        self.for_each_request(&mut |row, _| visit(row))
    }

    /// What requests and answers said, where it was kept.
    fn exchanges(&self) -> Option<&Exchanges> {
        None
    }

    /// Visits those of `ids`, which rise, in the same order. Their events may lack `bytes` and `tokens`, so that less is read.
    fn for_some_requests(&self, ids: &[u64], visit: &mut Visit<'_>) -> Result<()> {
        self.for_each_request(&mut |row, events| {
            if ids.binary_search(&row.request_id).is_ok() {
                visit(row, events);
            }
        })
    }
}

/// The recording in a run directory.
#[derive(Debug)]
pub struct Recording {
    dir: PathBuf,
    manifest: Manifest,
    requests: PackedRows,
    tokens: TableFile,
    exchanges: Option<Exchanges>,
    recovered: bool,
}

impl Recording {
    /// Opens the run directory `dir` and reads its requests. Fails on a missing file, on one that this version does
    /// not know how to read, and on one that is damaged; a file that only lacks its end is read up to its last flush.
    pub fn open(dir: &Path) -> Result<Recording> {
        let mut manifest = Manifest::read(dir)?;
        let requests_file = TableFile::open(dir, Table::Requests).map_err(failure(dir, Table::Requests))?;
        let tokens = TableFile::open(dir, Table::Tokens).map_err(failure(dir, Table::Tokens))?;
        let usage_alone = manifest.config["use_server_token_count"] == true;
        let requests = read_requests(&requests_file, usage_alone).map_err(failure(dir, Table::Requests))?;
        let recovered = requests_file.is_recovered() || tokens.is_recovered();
        if manifest.state == RunState::Running {
            // Nobody was left to count; the rows that were flushed are what is known.
            let mut outcomes = OutcomeCounts::default();
            requests.iter().for_each(|row| outcomes.add(row.outcome));
            manifest.counts = Counts::new(manifest.counts.scheduled.max(outcomes.total()), &outcomes);
            manifest.counts.tokens_recorded = tokens.rows();
        }
        let exchanges = Exchanges::open(dir)?;
        Ok(Recording { dir: dir.to_owned(), manifest, requests, tokens, exchanges, recovered })
    }

    /// All request rows, in order of `request_id`, each made when it is asked for.
    pub fn requests(&self) -> impl Iterator<Item = RequestRow> {
        self.requests.iter()
    }

    /// How many there are.
    pub fn request_rows(&self) -> u64 {
        self.requests.len() as u64
    }

    /// Rows of `tokens.parquet`.
    pub fn token_rows(&self) -> u64 {
        self.tokens.rows()
    }

    /// Whether a file lacked its end and was read up to its last flush.
    pub fn is_recovered(&self) -> bool {
        self.recovered
    }

    /// Scheduled requests that have no row: 0 unless the run was killed or its disk failed.
    pub fn lost_rows(&self) -> u64 {
        self.manifest.counts.scheduled.saturating_sub(self.request_rows())
    }
}

impl Rows for Recording {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn for_each_request(&self, visit: &mut Visit<'_>) -> Result<()> {
        let mut merge = TokenMerge::new(&self.tokens);
        let mut events = Vec::new();
        for request in self.requests.iter() {
            merge.take(request.request_id, &mut events).map_err(failure(&self.dir, Table::Tokens))?;
            visit(&request, &events);
        }
        Ok(())
    }

    fn for_each_row(&self, visit: &mut dyn FnMut(&RequestRow)) -> Result<()> {
        self.requests.iter().for_each(|request| visit(&request));
        Ok(())
    }

    fn exchanges(&self) -> Option<&Exchanges> {
        self.exchanges.as_ref()
    }

    fn for_some_requests(&self, ids: &[u64], visit: &mut Visit<'_>) -> Result<()> {
        let mut merge = TokenMerge::of_few(&self.tokens);
        let mut events = Vec::new();
        for request in self.requests.iter_some(|id| ids.binary_search(&id).is_ok()) {
            merge.take(request.request_id, &mut events).map_err(failure(&self.dir, Table::Tokens))?;
            visit(&request, &events);
        }
        Ok(())
    }
}

/// Rows in memory: what a recording would give, without files.
#[derive(Clone, Debug)]
pub struct MemoryRows {
    /// What the run was.
    pub manifest: Manifest,
    /// Each request with its events; in any order.
    pub rows: Vec<(RequestRow, Vec<TokenRow>)>,
}

impl Rows for MemoryRows {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn for_each_request(&self, visit: &mut Visit<'_>) -> Result<()> {
        let mut in_order: Vec<_> = self.rows.iter().collect();
        in_order.sort_by_key(|(request, _)| request.request_id);
        in_order.into_iter().for_each(|(request, events)| visit(request, events));
        Ok(())
    }
}

/// Reads all rows; with the server's token counts alone, where the run asked for that.
fn read_requests(file: &TableFile, usage_alone: bool) -> parquet::errors::Result<PackedRows> {
    if file.rows() > REQUESTS_MAX {
        return Err(bad(format!("has {} requests, more than {REQUESTS_MAX}", file.rows())));
    }
    // A file may claim more than it holds: what is reserved ahead is bounded.
    let mut rows = PackedRows::with_capacity(file.rows().min(RESERVED_ROWS_MAX) as usize);
    for group in 0..file.metadata().num_row_groups() {
        decode::requests(file, group, &mut |mut row| {
            if usage_alone {
                row.keep_usage_alone();
            }
            rows.push(&row);
        })?;
    }
    match rows.sort() {
        Err(twice) => Err(bad(format!("has two rows of request {twice}"))),
        Ok(()) => Ok(rows),
    }
}

pub(super) fn failure(dir: &Path, table: Table) -> impl FnOnce(ParquetError) -> Error {
    let path = dir.join(table.file_name());
    move |error| {
        let problem = match error {
            ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
                Ok(source) => return Error::Io { path, source: *source },
                Err(other) => other.to_string(),
            },
            ParquetError::General(text) => text,
            other => format!("is damaged: {other}"),
        };
        Error::Input(InputError::of_file(
            path.display().to_string(),
            problem,
            "give a run directory that this version of loadline wrote",
        ))
    }
}

/// The property that a fuzzer checks: whatever the bytes of a table's file are, reading them ends in rows that keep
/// the invariants of [`super::row`] about their order, or in an error. Returns the number of rows.
pub fn fuzz_read(data: &[u8]) -> usize {
    let bytes = Bytes::copy_from_slice(data);
    let tokens = TableFile::from_bytes(bytes.clone(), Table::Tokens).and_then(|file| visit_tokens(&file));
    let requests = || TableFile::from_bytes(bytes.clone(), Table::Requests).and_then(|file| count_requests(&file));
    let server = |_| super::server::fuzz_count(bytes.clone(), FUZZ_ROWS_MAX);
    tokens.or_else(|_| requests()).or_else(server).unwrap_or(0)
}

/// Rows that a fuzzed file is read for: a few bytes can stand for very many.
const FUZZ_ROWS_MAX: u64 = 1 << 16;

fn visit_tokens(file: &TableFile) -> parquet::errors::Result<usize> {
    if file.rows() > FUZZ_ROWS_MAX {
        return Err(bad("too many rows for a fuzzer"));
    }
    let (mut merge, mut rows, mut seen) = (TokenMerge::new(file), Vec::new(), 0);
    // Ids that are asked for must grow; those of a small file lie below 64, those of a hostile one anywhere.
    for id in (0..64).chain((6..64).map(|bit| 1 << bit)).chain([u64::MAX]) {
        merge.take(id, &mut rows)?;
        assert!(rows.iter().all(|row| row.request_id == id), "an event of another request");
        assert!(rows.windows(2).all(|pair| pair[0].seq < pair[1].seq), "events out of order");
        seen += rows.len();
    }
    assert!(seen as u64 <= file.rows(), "more rows than the file has");
    Ok(seen)
}

fn count_requests(file: &TableFile) -> parquet::errors::Result<usize> {
    if file.rows() > FUZZ_ROWS_MAX {
        return Err(bad("too many rows for a fuzzer"));
    }
    let rows: Vec<RequestRow> = read_requests(file, false)?.iter().collect();
    assert!(rows.windows(2).all(|pair| pair[0].request_id < pair[1].request_id), "requests out of order");
    assert_eq!(rows.len() as u64, file.rows(), "rows that the footer does not count");
    Ok(rows.len())
}

#[cfg(test)]
mod tests;
