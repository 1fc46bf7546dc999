//! A row group of a Parquet file → rows, in batches.
//!
//! In: a [`TableFile`] and the number of a row group. Out: [`TokenCursor`], [`ServerCursor`], and request rows by [`requests`].
//! Invariants: the rows of a token group come strictly ordered by `(request_id, seq)`, or there is an error; memory is
//! a batch of rows and a page per column.
//! Not here: the order over row groups ([`super::merge`]).

use std::collections::HashSet;
use std::sync::Arc;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::Result;

use super::names::Names;
use super::row::{RequestRow, TokenRow};
use super::schema::KIND_COLUMN;
use super::server::{ServerRow, ServerSample};
use super::source::{TableFile, bad};
use crate::outcome::{EventKind, Outcome, Phase, TokenSource};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1024;

/// The columns of one row group, read in step. Each batch reads every column once, in the schema's order.
struct Columns {
    readers: Vec<ColumnReader>,
    rows_left: usize,
    next: usize,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    i32s: Vec<i32>,
    i64s: Vec<i64>,
    f64s: Vec<f64>,
    texts: Vec<ByteArray>,
    levels: Vec<i16>,
}

impl Columns {
    fn open(file: &TableFile, group: usize) -> Result<Columns> {
        let columns = &file.table().schema().columns()[..file.columns()];
        let reader = |(i, column): (usize, &std::sync::Arc<_>)| {
            Ok(get_column_reader(std::sync::Arc::clone(column), file.pages(group, i)?))
        };
        let readers = columns.iter().enumerate().map(reader).collect::<Result<_>>()?;
        let rows_left = file.metadata().row_group(group).num_rows() as usize;
        Ok(Columns { readers, rows_left, next: 0, scratch: Scratch::default() })
    }

    /// Starts a batch; its number of rows, 0 at the end of the group.
    fn batch(&mut self) -> usize {
        let n = self.rows_left.min(BATCH_ROWS);
        self.rows_left -= n;
        self.next = 0;
        n
    }

    /// Reads the next column of the batch and calls `set` with each row that has a value.
    fn i64(&mut self, n: usize, set: impl FnMut(usize, i64)) -> Result<()> {
        match next(&mut self.readers, &mut self.next) {
            ColumnReader::Int64ColumnReader(r) => {
                fill(r, n, &mut self.scratch.i64s, &mut self.scratch.levels)?;
                each(n, &self.scratch.i64s, &self.scratch.levels, set);
                Ok(())
            }
            _ => Err(bad("a column has another type")),
        }
    }

    /// As [`Columns::i64`].
    fn i32(&mut self, n: usize, set: impl FnMut(usize, i32)) -> Result<()> {
        match next(&mut self.readers, &mut self.next) {
            ColumnReader::Int32ColumnReader(r) => {
                fill(r, n, &mut self.scratch.i32s, &mut self.scratch.levels)?;
                each(n, &self.scratch.i32s, &self.scratch.levels, set);
                Ok(())
            }
            _ => Err(bad("a column has another type")),
        }
    }

    /// As [`Columns::i64`].
    fn f64(&mut self, n: usize, set: impl FnMut(usize, f64)) -> Result<()> {
        match next(&mut self.readers, &mut self.next) {
            ColumnReader::DoubleColumnReader(r) => {
                fill(r, n, &mut self.scratch.f64s, &mut self.scratch.levels)?;
                each(n, &self.scratch.f64s, &self.scratch.levels, set);
                Ok(())
            }
            _ => Err(bad("a column has another type")),
        }
    }

    /// As [`Columns::i64`].
    fn u16(&mut self, n: usize, mut set: impl FnMut(usize, u16)) -> Result<()> {
        let mut outside = None;
        self.i32(n, |i, value| match u16::try_from(value) {
            Ok(value) => set(i, value),
            Err(_) => outside = Some(value),
        })?;
        outside.map_or(Ok(()), |value| Err(bad(format!("{value} is not a 16-bit number"))))
    }

    /// As [`Columns::i64`].
    fn text(&mut self, n: usize, mut set: impl FnMut(usize, String)) -> Result<()> {
        self.name(n, |i, text| {
            set(i, text.to_owned());
            Some(())
        })
    }

    /// As [`Columns::i64`]; `set` refuses a value that is not in its closed set.
    fn name(&mut self, n: usize, mut set: impl FnMut(usize, &str) -> Option<()>) -> Result<()> {
        let ColumnReader::ByteArrayColumnReader(r) = next(&mut self.readers, &mut self.next) else {
            return Err(bad("a column has another type"));
        };
        fill(r, n, &mut self.scratch.texts, &mut self.scratch.levels)?;
        let mut wrong = None;
        each(n, &self.scratch.texts, &self.scratch.levels, |i, text: ByteArray| {
            if text.as_utf8().ok().and_then(|text| set(i, text)).is_none() {
                wrong = Some(text);
            }
        });
        wrong.map_or(Ok(()), |text| {
            let shown: String = String::from_utf8_lossy(text.data()).chars().take(32).collect();
            Err(bad(format!("{shown:?} is not a value of its column")))
        })
    }
}

fn next<'r>(readers: &'r mut [ColumnReader], at: &mut usize) -> &'r mut ColumnReader {
    *at += 1;
    &mut readers[*at - 1]
}

/// Reads the next `n` rows of a column: its values, and for each row whether it has one.
pub(super) fn fill<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    n: usize,
    values: &mut Vec<T::T>,
    levels: &mut Vec<i16>,
) -> Result<()> {
    values.clear();
    levels.clear();
    let (rows, present, _) = reader.read_records(n, Some(levels), None, values)?;
    let counted = if levels.is_empty() { n } else { levels.iter().filter(|level| **level > 0).count() };
    if rows != n || present != values.len() || present != counted {
        return Err(bad("a column has fewer rows than its row group"));
    }
    Ok(())
}

fn each<T: Clone>(n: usize, values: &[T], levels: &[i16], mut set: impl FnMut(usize, T)) {
    if levels.is_empty() || values.len() == n {
        values.iter().enumerate().for_each(|(i, value)| set(i, value.clone()));
        return;
    }
    if values.is_empty() {
        return;
    }
    let present = (0..n).filter(|i| levels[*i] > 0);
    present.zip(values).for_each(|(i, value)| set(i, value.clone()));
}

/// Hands over the rows of one row group of requests, one after the other.
pub(super) fn requests(file: &TableFile, group: usize, each: &mut dyn FnMut(RequestRow)) -> Result<()> {
    let mut columns = Columns::open(file, group)?;
    loop {
        let n = columns.batch();
        if n == 0 {
            return Ok(());
        }
        request_batch(&mut columns, n)?.into_iter().for_each(&mut *each);
    }
}

fn request_batch(c: &mut Columns, n: usize) -> Result<Vec<RequestRow>> {
    let mut rows = vec![RequestRow::scheduled(0, 0); n];
    c.i64(n, |i, v| rows[i].request_id = v as u64)?;
    c.text(n, |i, v| rows[i].x_request_id = v)?;
    c.text(n, |i, v| rows[i].session_id = Some(v))?;
    c.i32(n, |i, v| rows[i].turn = v as u32)?;
    c.name(n, |i, v| Phase::parse(v).map(|v| rows[i].phase = v))?;
    c.i32(n, |i, v| rows[i].shard = v as u32)?;
    c.i32(n, |i, v| rows[i].worker = v as u32)?;
    c.i64(n, |i, v| rows[i].scheduled_ns = v)?;
    c.i64(n, |i, v| rows[i].released_ns = Some(v))?;
    c.i64(n, |i, v| rows[i].sent_ns = Some(v))?;
    c.i64(n, |i, v| rows[i].written_ns = Some(v))?;
    c.i64(n, |i, v| rows[i].connected_ns = Some(v))?;
    c.i64(n, |i, v| rows[i].head_ns = Some(v))?;
    c.i64(n, |i, v| rows[i].first_token_ns = Some(v))?;
    c.i64(n, |i, v| rows[i].first_output_ns = Some(v))?;
    c.i64(n, |i, v| rows[i].last_token_ns = Some(v))?;
    c.i64(n, |i, v| rows[i].end_ns = Some(v))?;
    c.name(n, |i, v| Outcome::parse(v).map(|v| rows[i].outcome = v))?;
    c.u16(n, |i, v| rows[i].http_status = Some(v))?;
    c.text(n, |i, v| rows[i].error = Some(v))?;
    c.text(n, |i, v| rows[i].finish_reason = Some(v))?;
    c.i32(n, |i, v| rows[i].input_tokens = v as u32)?;
    c.i32(n, |i, v| rows[i].prompt_tokens = Some(v as u32))?;
    c.i32(n, |i, v| rows[i].cached_tokens = Some(v as u32))?;
    c.i32(n, |i, v| rows[i].max_tokens = Some(v as u32))?;
    c.i32(n, |i, v| rows[i].output_tokens = Some(v as u32))?;
    c.name(n, |i, v| TokenSource::parse(v).map(|v| rows[i].output_tokens_source = v))?;
    c.i32(n, |i, v| rows[i].reasoning_tokens = Some(v as u32))?;
    c.i32(n, |i, v| rows[i].events = v as u32)?;
    c.i64(n, |i, v| rows[i].bytes_received = v as u64)?;
    if c.next < c.readers.len() {
        c.i64(n, |i, v| rows[i].dialed_ns = Some(v))?;
        c.i64(n, |i, v| rows[i].bytes_sent = v as u64)?;
        c.i32(n, |i, v| rows[i].writes = v as u32)?;
        c.i32(n, |i, v| rows[i].reads = v as u32)?;
    }
    Ok(rows)
}

/// One row group of the server's metrics, batch by batch.
pub(super) struct ServerCursor {
    columns: Columns,
    rows: Vec<ServerRow>,
    /// Texts that were met: most rows share theirs.
    known: HashSet<Arc<str>>,
}

/// Texts that are kept to be shared.
const KNOWN_MAX: usize = 1 << 16;

impl ServerCursor {
    /// A cursor before the first row of a group.
    pub(super) fn open(file: &TableFile, group: usize) -> Result<ServerCursor> {
        Ok(ServerCursor { columns: Columns::open(file, group)?, rows: Vec::new(), known: HashSet::new() })
    }

    /// The rows of the batch that was read last.
    pub(super) fn rows(&self) -> &[ServerRow] {
        &self.rows
    }

    /// Reads the next batch; false at the end.
    pub(super) fn next_batch(&mut self) -> Result<bool> {
        let ServerCursor { columns: c, rows, known } = self;
        let n = c.batch();
        if n == 0 {
            return Ok(false);
        }
        let nothing: Arc<str> = Arc::default();
        let blank = ServerRow {
            scrape: 0,
            endpoint: nothing.clone(),
            sent_ns: 0,
            first_byte_ns: 0,
            end_ns: 0,
            error: None,
            sample: None,
        };
        rows.clear();
        rows.resize(n, blank);
        let mut shared = |text: String| match known.get(text.as_str()) {
            Some(known) => known.clone(),
            None => {
                let text: Arc<str> = text.into();
                if known.len() < KNOWN_MAX {
                    known.insert(text.clone());
                }
                text
            }
        };
        let sample = || ServerSample {
            metric: nothing.clone(),
            metric_type: nothing.clone(),
            help: nothing.clone(),
            name: nothing.clone(),
            labels: nothing.clone(),
            value: None,
        };
        c.i32(n, |i, v| rows[i].scrape = v as u32)?;
        c.text(n, |i, v| rows[i].endpoint = shared(v))?;
        c.i64(n, |i, v| rows[i].sent_ns = v)?;
        c.i64(n, |i, v| rows[i].first_byte_ns = v)?;
        c.i64(n, |i, v| rows[i].end_ns = v)?;
        c.text(n, |i, v| rows[i].error = Some(shared(v)))?;
        c.text(n, |i, v| rows[i].sample.get_or_insert_with(sample).metric = shared(v))?;
        c.text(n, |i, v| rows[i].sample.get_or_insert_with(sample).metric_type = shared(v))?;
        c.text(n, |i, v| rows[i].sample.get_or_insert_with(sample).help = shared(v))?;
        c.text(n, |i, v| rows[i].sample.get_or_insert_with(sample).name = shared(v))?;
        c.text(n, |i, v| rows[i].sample.get_or_insert_with(sample).labels = shared(v))?;
        c.f64(n, |i, v| rows[i].sample.get_or_insert_with(sample).value = Some(v))?;
        Ok(true)
    }
}

/// One row group of tokens, row by row.
pub(super) struct TokenCursor {
    columns: Columns,
    batch: Vec<TokenRow>,
    at: usize,
    /// The column of what events carried, read apart from the others.
    kinds: Names<EventKind>,
    /// Whether the columns after `kind` are read.
    whole: bool,
}

const NO_TOKEN: TokenRow = TokenRow {
    request_id: 0,
    seq: 0,
    t_ns: 0,
    kernel_ns: None,
    read: 0,
    kind: EventKind::Other,
    bytes: 0,
    tokens: None,
};

impl TokenCursor {
    /// A cursor before the first row of a group. Unless `whole`, its rows have no `bytes` and no `tokens`, whose columns are
    /// not read then.
    pub(super) fn open(file: &TableFile, group: usize, whole: bool) -> Result<TokenCursor> {
        let kinds = Names::new(file.pages(group, KIND_COLUMN)?, EventKind::parse);
        let mut cursor = TokenCursor { columns: Columns::open(file, group)?, batch: Vec::new(), at: 0, kinds, whole };
        cursor.refill()?;
        Ok(cursor)
    }

    /// The row that it stands before; none at the end.
    pub(super) fn peek(&self) -> Option<&TokenRow> {
        self.batch.get(self.at)
    }

    /// Moves past the rows of request `request_id` that it stands before, and adds them to `into`, which may not
    /// grow beyond `most`.
    pub(super) fn take_run(&mut self, request_id: u64, most: usize, into: &mut Vec<TokenRow>) -> Result<()> {
        while self.peek().is_some_and(|row| row.request_id == request_id) {
            let rest = &self.batch[self.at..];
            let run = rest.partition_point(|row| row.request_id == request_id);
            if into.len() + run > most {
                return Err(bad(format!("request {request_id} has more than {most} events")));
            }
            into.extend_from_slice(&rest[..run]);
            self.advance(run)?;
        }
        Ok(())
    }

    /// Moves on to the first row of request `request_id` or a later one.
    pub(super) fn skip_before(&mut self, request_id: u64) -> Result<()> {
        while self.peek().is_some_and(|row| row.request_id < request_id) {
            let run = self.batch[self.at..].partition_point(|row| row.request_id < request_id);
            self.advance(run)?;
        }
        Ok(())
    }

    fn advance(&mut self, rows: usize) -> Result<()> {
        self.at += rows;
        if self.at == self.batch.len() { self.refill() } else { Ok(()) }
    }

    fn refill(&mut self) -> Result<()> {
        let before = self.batch.last().map(|row| (row.request_id, row.seq));
        let c = &mut self.columns;
        let n = c.batch();
        self.at = 0;
        self.batch.clear();
        self.batch.resize(n, NO_TOKEN);
        if n == 0 {
            return Ok(());
        }
        let rows = &mut self.batch;
        c.i64(n, |i, v| rows[i].request_id = v as u64)?;
        c.i32(n, |i, v| rows[i].seq = v as u32)?;
        c.i64(n, |i, v| rows[i].t_ns = v)?;
        c.i64(n, |i, v| rows[i].kernel_ns = Some(v))?;
        c.i32(n, |i, v| rows[i].read = v as u32)?;
        self.kinds.each(n, |these, v| rows[these].iter_mut().for_each(|row| row.kind = v))?;
        c.next = KIND_COLUMN + 1;
        if self.whole {
            c.i32(n, |i, v| rows[i].bytes = v as u32)?;
            c.u16(n, |i, v| rows[i].tokens = Some(v))?;
        }
        let key = |row: &TokenRow| (row.request_id, row.seq);
        let goes_on = before.is_none_or(|before| rows.first().is_none_or(|row| before < key(row)));
        if goes_on && rows.is_sorted_by(|a, b| key(a) < key(b)) {
            Ok(())
        } else {
            Err(bad("the rows of a row group are not in order"))
        }
    }
}
