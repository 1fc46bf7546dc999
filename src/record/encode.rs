//! Rows → one row group of a Parquet file, column by column.
//!
//! In: rows in the order in which they shall stand; [`TokenRows`] collects and sorts them. Out: a closed row group.
//! Invariants: the columns are written in the order of [`super::schema`], which the writer checks by type.
//! Not here: when to write, and what happens to the file (`table`).

use std::io::Write;

use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnDescPtr;

use super::name_column;
use super::row::{RequestRow, TokenChunk, TokenStamp};
use super::schema::{KIND_COLUMN, Table};
use super::server::ServerRow;

/// Writes `rows` as one row group.
pub fn request_group<W: Write + Send>(file: &mut SerializedFileWriter<W>, rows: &[RequestRow]) -> Result<()> {
    let mut c = Columns::new(file.next_row_group()?);
    let r = || rows.iter();
    c.required::<Int64Type>(r().map(|r| r.request_id as i64))?;
    c.required::<ByteArrayType>(r().map(|r| text(&r.x_request_id)))?;
    c.optional::<ByteArrayType>(r().map(|r| r.session_id.as_deref().map(text)))?;
    c.required::<Int32Type>(r().map(|r| r.turn as i32))?;
    c.required::<ByteArrayType>(r().map(|r| name(r.phase.as_str())))?;
    c.required::<Int32Type>(r().map(|r| r.shard as i32))?;
    c.required::<Int32Type>(r().map(|r| r.worker as i32))?;
    c.required::<Int64Type>(r().map(|r| r.scheduled_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.released_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.sent_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.written_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.connected_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.head_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.first_token_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.first_output_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.last_token_ns))?;
    c.optional::<Int64Type>(r().map(|r| r.end_ns))?;
    c.required::<ByteArrayType>(r().map(|r| name(r.outcome.as_str())))?;
    c.optional::<Int32Type>(r().map(|r| r.http_status.map(i32::from)))?;
    c.optional::<ByteArrayType>(r().map(|r| r.error.as_deref().map(text)))?;
    c.optional::<ByteArrayType>(r().map(|r| r.finish_reason.as_deref().map(text)))?;
    c.required::<Int32Type>(r().map(|r| r.input_tokens as i32))?;
    c.optional::<Int32Type>(r().map(|r| r.prompt_tokens.map(|n| n as i32)))?;
    c.optional::<Int32Type>(r().map(|r| r.cached_tokens.map(|n| n as i32)))?;
    c.optional::<Int32Type>(r().map(|r| r.max_tokens.map(|n| n as i32)))?;
    c.optional::<Int32Type>(r().map(|r| r.output_tokens.map(|n| n as i32)))?;
    c.required::<ByteArrayType>(r().map(|r| name(r.output_tokens_source.as_str())))?;
    c.optional::<Int32Type>(r().map(|r| r.reasoning_tokens.map(|n| n as i32)))?;
    c.required::<Int32Type>(r().map(|r| r.events as i32))?;
    c.required::<Int64Type>(r().map(|r| r.bytes_received as i64))?;
    c.optional::<Int64Type>(r().map(|r| r.dialed_ns))?;
    c.required::<Int64Type>(r().map(|r| r.bytes_sent as i64))?;
    c.required::<Int32Type>(r().map(|r| r.writes as i32))?;
    c.required::<Int32Type>(r().map(|r| r.reads as i32))?;
    c.close()
}

/// Some consecutive stamps of one request within [`TokenRows`].
#[derive(Clone, Copy, Debug)]
struct Span {
    request_id: u64,
    first_seq: u32,
    start: usize,
    len: usize,
}

/// Token rows on their way into a row group. Holds the stamps of many chunks, so that the chunks can go back at once.
#[derive(Debug, Default)]
pub struct TokenRows {
    spans: Vec<Span>,
    stamps: Vec<TokenStamp>,
}

impl TokenRows {
    /// Adds a chunk's rows.
    pub fn push(&mut self, chunk: &TokenChunk) {
        let (start, len) = (self.stamps.len(), chunk.stamps.len());
        self.spans.push(Span { request_id: chunk.request_id, first_seq: chunk.first_seq, start, len });
        self.stamps.extend_from_slice(&chunk.stamps);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.stamps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.stamps.is_empty()
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.stamps.clear();
    }

    /// Puts the rows of a request together and in order, and the requests in order of their ids.
    pub fn sort(&mut self) {
        self.spans.sort_unstable_by_key(|s| (s.request_id, s.first_seq));
    }

    fn stamps(&self) -> impl Iterator<Item = &TokenStamp> {
        self.spans.iter().flat_map(|s| &self.stamps[s.start..s.start + s.len])
    }
}

/// Writes `rows`, in the order of their last sort, as one row group.
pub fn token_group<W: Write + Send>(file: &mut SerializedFileWriter<W>, rows: &TokenRows) -> Result<()> {
    let mut c = Columns::new(file.next_row_group()?);
    let ids = rows.spans.iter().flat_map(|s| std::iter::repeat_n(s.request_id as i64, s.len));
    let seqs = rows.spans.iter().flat_map(|s| (s.first_seq..).take(s.len).map(|seq| seq as i32));
    c.required::<Int64Type>(ids)?;
    c.required::<Int32Type>(seqs)?;
    c.required::<Int64Type>(rows.stamps().map(|s| s.t_ns))?;
    c.optional::<Int64Type>(rows.stamps().map(|s| s.kernel_ns))?;
    c.required::<Int32Type>(rows.stamps().map(|s| s.read as i32))?;
    c.names(Table::Tokens.schema().column(KIND_COLUMN), rows.stamps().map(|s| s.kind.as_str()))?;
    c.required::<Int32Type>(rows.stamps().map(|s| s.bytes as i32))?;
    c.optional::<Int32Type>(rows.stamps().map(|s| s.tokens.map(i32::from)))?;
    c.close()
}

/// Writes rows of the server's metrics as one row group.
pub fn server_group<W: Write + Send>(file: &mut SerializedFileWriter<W>, rows: &[ServerRow]) -> Result<()> {
    let mut c = Columns::new(file.next_row_group()?);
    let r = || rows.iter();
    let s = || rows.iter().map(|r| r.sample.as_ref());
    c.required::<Int32Type>(r().map(|r| r.scrape as i32))?;
    c.required::<ByteArrayType>(r().map(|r| text(&r.endpoint)))?;
    c.required::<Int64Type>(r().map(|r| r.sent_ns))?;
    c.required::<Int64Type>(r().map(|r| r.first_byte_ns))?;
    c.required::<Int64Type>(r().map(|r| r.end_ns))?;
    c.optional::<ByteArrayType>(r().map(|r| r.error.as_deref().map(text)))?;
    c.optional::<ByteArrayType>(s().map(|s| s.map(|s| text(&s.metric))))?;
    c.optional::<ByteArrayType>(s().map(|s| s.map(|s| text(&s.metric_type))))?;
    c.optional::<ByteArrayType>(s().map(|s| s.map(|s| text(&s.help))))?;
    c.optional::<ByteArrayType>(s().map(|s| s.map(|s| text(&s.name))))?;
    c.optional::<ByteArrayType>(s().map(|s| s.map(|s| text(&s.labels))))?;
    c.optional::<DoubleType>(s().map(|s| s.and_then(|s| s.value)))?;
    c.close()
}

fn text(s: &str) -> ByteArray {
    ByteArray::from(s.as_bytes().to_vec())
}

fn name(s: &'static str) -> ByteArray {
    ByteArray::from(bytes::Bytes::from_static(s.as_bytes()))
}

/// A row group that is written one column after the other.
struct Columns<'f, W: Write> {
    group: SerializedRowGroupWriter<'f, W>,
}

/// Values that are handed to a column at once: a bound on what a group costs in memory beside its rows.
const BATCH: usize = 8192;

impl<'f, W: Write + Send> Columns<'f, W> {
    fn new(group: SerializedRowGroupWriter<'f, W>) -> Self {
        Columns { group }
    }

    /// Writes the next column, which has one of a few names in each row, long runs of them alike.
    fn names(&mut self, column: ColumnDescPtr, mut rows: impl Iterator<Item = &'static str>) -> Result<()> {
        let mut next = rows.next();
        let runs = std::iter::from_fn(|| {
            let name = next?;
            let mut count = 1;
            next = rows.by_ref().find(|other| {
                // The same text in the same place, nearly always.
                let same = std::ptr::eq(*other, name);
                count += u64::from(same);
                !same
            });
            Some((count, name))
        });
        name_column::write(&mut self.group, column, runs)
    }

    /// Writes the next column, which has a value in each row.
    fn required<T: DataType>(&mut self, mut values: impl Iterator<Item = T::T>) -> Result<()> {
        self.column::<T>(|batch, _| batch.extend(values.by_ref().take(BATCH)))
    }

    /// Writes the next column, which may lack values.
    fn optional<T: DataType>(&mut self, mut values: impl Iterator<Item = Option<T::T>>) -> Result<()> {
        self.column::<T>(|batch, levels| {
            for value in values.by_ref().take(BATCH) {
                levels.push(i16::from(value.is_some()));
                batch.extend(value);
            }
        })
    }

    /// Writes the next column batch by batch; `fill` adds nothing once there is nothing left.
    fn column<T: DataType>(&mut self, mut fill: impl FnMut(&mut Vec<T::T>, &mut Vec<i16>)) -> Result<()> {
        let next = self.group.next_column()?;
        let mut column = next.ok_or_else(|| ParquetError::General("more columns than the schema has".into()))?;
        let (mut batch, mut levels) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        loop {
            batch.clear();
            levels.clear();
            fill(&mut batch, &mut levels);
            if batch.is_empty() && levels.is_empty() {
                return column.close();
            }
            let levels = (!levels.is_empty()).then_some(levels.as_slice());
            column.typed::<T>().write_batch(&batch, levels, None)?;
        }
    }

    fn close(self) -> Result<()> {
        self.group.close().map(|_| ())
    }
}
