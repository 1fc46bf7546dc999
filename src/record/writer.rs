//! Parcels of all workers → the recording's files, on one thread.
//!
//! In: the workers' [`Intake`]s. Out: `requests.parquet` and `tokens.parquet`, flushed by rows and by time,
//! `exchanges.bin` where workers keep exchanges, and a [`WriterReport`].
//! Invariants: within a row group, rows are in order of requests; what was flushed can be read whatever happens
//! afterwards; when a file fails, its rows are counted as lost, the other goes on, and the workers never notice.
//! Not here: the files' form ([`super::durable`], [`super::encode`]).

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use parquet::errors::{ParquetError, Result as Written};
use parquet::file::writer::SerializedFileWriter;

use super::durable::{Directory, DurableFile, Storage};
use super::encode::{request_group, token_group};
use super::exchange::{self, Exchange};
use super::ring::{Intake, Parcel};
use super::row::RequestRow;
use super::schema::Table;
use super::token_rows::TokenRows;
use crate::error::{Error, Result};
use crate::time::{Clock, SECOND_NS};

/// Longest sleep of a writer that has nothing to do.
const IDLE: Duration = Duration::from_millis(2);
/// Parcels taken from one worker before the next one's turn.
const PARCELS_PER_TURN: usize = 256;
/// A long run flushes at most this often in the course of its own length: a footer names all row groups, so writing
/// it at a fixed pace would cost the square of the run's length.
const FLUSHES_PER_RUN: i64 = 50;

/// When the writer makes what it holds safe.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Token rows of one row group.
    pub rows_per_group_tokens: usize,
    /// Request rows of one row group.
    pub rows_per_group_requests: usize,
    /// Longest time that a row waits for its flush; a fiftieth of the time that the run has lasted, where that is more.
    pub flush_interval_ns: i64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            rows_per_group_tokens: 512 * 1024,
            rows_per_group_requests: 64 * 1024,
            flush_interval_ns: 5 * SECOND_NS,
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterReport {
    /// Rows of `requests.parquet`.
    pub requests_written: u64,
    /// Rows of `tokens.parquet`.
    pub tokens_written: u64,
    /// Token rows that found a ring full.
    pub tokens_lost: u64,
    /// Exchanges that were to be kept and had no room.
    pub exchanges_lost: u64,
    /// Length of both files in bytes.
    pub bytes: u64,
    /// Row groups of both files.
    pub flushes: u64,
}

/// A writer at work.
#[derive(Debug)]
pub struct Writer;

/// The way to end a [`Writer`].
#[derive(Debug)]
pub struct WriterHandle {
    thread: JoinHandle<Result<WriterReport>>,
}

impl Writer {
    /// Creates both files in `dir`, which exists, and starts the thread that fills them.
    pub fn spawn(
        dir: &Path,
        run_id: &str,
        intakes: Vec<Intake>,
        options: WriterOptions,
        clock: impl Clock + Send + 'static,
    ) -> Result<WriterHandle> {
        let mut drain = Drain::new(Directory::new(dir), run_id, intakes, options, clock)?;
        let body = move || {
            while !drain.is_done() {
                if !drain.turn() {
                    std::thread::park_timeout(IDLE);
                }
            }
            drain.finish()
        };
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(body).map_err(Error::io(dir))?;
        Ok(WriterHandle { thread })
    }
}

impl WriterHandle {
    /// Waits until every worker has closed its ring and all is written. An error says how many rows are not in the
    /// recording; those that were flushed before it are.
    pub fn finish(self) -> Result<WriterReport> {
        self.thread.thread().unpark();
        self.thread.join().map_err(|_| Error::Internal("the recorder's thread panicked".into()))?
    }
}

/// One table's file, or what became of it.
struct Output<S: Storage> {
    path: PathBuf,
    /// None once it failed.
    file: Option<DurableFile<S>>,
    failure: Option<io::Error>,
    rows_written: u64,
    rows_lost: u64,
    flushes: u64,
    bytes: u64,
}

impl<S: Storage> Output<S> {
    fn create(storage: S, table: Table, run_id: &str) -> Result<Self> {
        let path = storage.path(table.file_name());
        let file = DurableFile::create(storage, table, run_id).map_err(|e| Error::io(&path)(io_error(e)))?;
        let (rows_written, rows_lost, flushes, bytes) = (0, 0, 0, 0);
        Ok(Output { path, file: Some(file), failure: None, rows_written, rows_lost, flushes, bytes })
    }

    fn append(&mut self, rows: u64, write: impl FnOnce(&mut SerializedFileWriter<S::File>) -> Written<()>) {
        match self.file.as_mut().map(|file| file.append(write)) {
            Some(Ok(())) => {
                self.rows_written += rows;
                self.flushes += 1;
            }
            outcome => {
                self.rows_lost += rows;
                self.fail(outcome.and_then(Written::err));
            }
        }
    }

    fn finish(&mut self) {
        match self.file.take().map(DurableFile::finish) {
            Some(Ok(bytes)) => self.bytes = bytes,
            outcome => self.fail(outcome.and_then(Written::err)),
        }
    }

    fn fail(&mut self, error: Option<ParquetError>) {
        self.file = None;
        if let Some(error) = error {
            self.failure.get_or_insert(io_error(error));
        }
    }
}

/// The file of exchanges, which is there as soon as there is one.
struct Spool<S: Storage> {
    storage: S,
    file: Option<BufWriter<S::File>>,
    failure: Option<io::Error>,
    /// Exchanges since the last flush.
    unflushed: u64,
    /// Exchanges that are not known to be in the file.
    lost: u64,
}

impl<S: Storage> Spool<S> {
    fn append(&mut self, exchange: &Exchange) {
        self.attempt(|spool| {
            let file = match &mut spool.file {
                Some(file) => file,
                none => none.insert(BufWriter::new(spool.storage.create(exchange::FILE_NAME)?)),
            };
            exchange.write(file)
        });
        self.unflushed += 1;
        self.count_lost();
    }

    fn flush(&mut self) {
        self.attempt(|spool| spool.file.as_mut().map_or(Ok(()), Write::flush));
        self.count_lost();
        self.unflushed = 0;
    }

    fn count_lost(&mut self) {
        if self.failure.is_some() {
            self.lost += std::mem::take(&mut self.unflushed);
        }
    }

    /// After its first failure it writes no more: what stands in the file is whole up to there.
    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.failure.is_none() {
            self.failure = write(self).err();
        }
    }
}

/// What the writer's thread does, one turn at a time.
struct Drain<S: Storage, C> {
    intakes: Vec<Intake>,
    options: WriterOptions,
    clock: C,
    started_ns: i64,
    flushed_ns: i64,
    requests: Output<S>,
    tokens: Output<S>,
    exchanges: Spool<S>,
    request_rows: Vec<RequestRow>,
    token_rows: TokenRows,
}

impl<S: Storage + Clone, C: Clock> Drain<S, C> {
    fn new(storage: S, run_id: &str, intakes: Vec<Intake>, options: WriterOptions, clock: C) -> Result<Self> {
        let now_ns = clock.now_ns();
        Ok(Drain {
            intakes,
            options,
            clock,
            started_ns: now_ns,
            flushed_ns: now_ns,
            requests: Output::create(storage.clone(), Table::Requests, run_id)?,
            tokens: Output::create(storage.clone(), Table::Tokens, run_id)?,
            exchanges: Spool { storage, file: None, failure: None, unflushed: 0, lost: 0 },
            request_rows: Vec::new(),
            token_rows: TokenRows::default(),
        })
    }

    fn is_done(&self) -> bool {
        self.intakes.iter().all(Intake::is_closed)
    }

    /// Takes some parcels of each worker and flushes what is due. False if there was nothing to take.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        for i in 0..self.intakes.len() {
            for _ in 0..PARCELS_PER_TURN {
                let Some(parcel) = self.intakes[i].pop() else { break };
                busy = true;
                self.keep(i, parcel);
            }
        }
        let now_ns = self.clock.now_ns();
        let interval_ns = self.options.flush_interval_ns.max((now_ns - self.started_ns) / FLUSHES_PER_RUN);
        if now_ns - self.flushed_ns >= interval_ns {
            self.flush();
        }
        busy
    }

    fn keep(&mut self, intake: usize, parcel: Parcel) {
        match parcel {
            Parcel::Tokens(chunk) => {
                self.token_rows.push(&chunk);
                self.intakes[intake].recycle(chunk);
                self.flush_full_group();
            }
            Parcel::Run(run) => {
                self.token_rows.push_run(*run);
                self.flush_full_group();
            }
            Parcel::Request(row) => {
                self.request_rows.push(*row);
                if self.request_rows.len() >= self.options.rows_per_group_requests {
                    self.flush();
                }
            }
            Parcel::Exchange(exchange) => self.exchanges.append(&exchange),
        }
    }

    fn flush(&mut self) {
        // Tokens first, and never requests alone: a request whose row survives a kill has its tokens there too.
        self.exchanges.flush();
        self.flush_tokens();
        self.flush_requests();
        self.flushed_ns = self.clock.now_ns();
    }

    fn flush_full_group(&mut self) {
        if self.token_rows.len() >= self.options.rows_per_group_tokens {
            self.flush_tokens();
        }
    }

    fn flush_tokens(&mut self) {
        let rows = &mut self.token_rows;
        if !rows.is_empty() {
            rows.sort();
            self.tokens.append(rows.len() as u64, |file| token_group(file, rows));
            rows.clear();
        }
    }

    fn flush_requests(&mut self) {
        let rows = &mut self.request_rows;
        if !rows.is_empty() {
            rows.sort_unstable_by_key(|row| row.request_id);
            self.requests.append(rows.len() as u64, |file| request_group(file, rows));
            rows.clear();
        }
    }

    fn finish(mut self) -> Result<WriterReport> {
        self.flush();
        self.tokens.finish();
        self.requests.finish();
        let mut lost = format!(
            "{} request rows and {} token rows are not in the recording",
            self.requests.rows_lost, self.tokens.rows_lost
        );
        if self.exchanges.lost > 0 {
            // Some of the last ones may be: the system took bytes before it took no more.
            lost.push_str(&format!(", nor the bodies and answers of up to {} requests", self.exchanges.lost));
        }
        let spool = self.exchanges.storage.path(exchange::FILE_NAME);
        let failures = [
            (&self.requests.path, self.requests.failure.take()),
            (&self.tokens.path, self.tokens.failure.take()),
            (&spool, self.exchanges.failure.take()),
        ];
        for (path, failure) in failures {
            if let Some(cause) = failure {
                return Err(Error::io(path)(io::Error::new(cause.kind(), format!("{cause}; {lost}"))));
            }
        }
        Ok(self.report())
    }

    fn report(&self) -> WriterReport {
        WriterReport {
            requests_written: self.requests.rows_written,
            tokens_written: self.tokens.rows_written,
            tokens_lost: self.intakes.iter().map(Intake::tokens_lost).sum(),
            exchanges_lost: self.intakes.iter().map(Intake::exchanges_lost).sum(),
            bytes: self.requests.bytes + self.tokens.bytes,
            flushes: self.requests.flushes + self.tokens.flushes,
        }
    }
}

fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => cause.downcast::<io::Error>().map_or_else(io::Error::other, |e| *e),
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests;
