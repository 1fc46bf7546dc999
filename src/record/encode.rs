//! Rows → one row group of a Parquet file, column by column.
//!
//! In: rows in the order in which they shall stand. Out: a closed row group.
//! Invariants: the columns are written in the order of [`super::schema`], which the writer checks by type.
//! Not here: when to write, and what happens to the file (`table`).

use std::io::Write;
use std::iter::repeat_n;

use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use super::name_column;
use super::row::{RequestRow, TokenStamp};
use super::schema::{KIND_COLUMN, Table};
use super::server::ServerRow;
use super::token_rows::{Events, Piece, TokenRows};

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

/// Writes `rows`, in the order of their last sort, as one row group.
pub fn token_group<W: Write + Send>(file: &mut SerializedFileWriter<W>, rows: &TokenRows) -> Result<()> {
    let mut c = Columns::new(file.next_row_group()?);
    c.pieces::<Int64Type>(rows, |p, ids, _| ids.extend(repeat_n(p.request_id as i64, p.len())))?;
    c.pieces::<Int32Type>(rows, |p, seqs, _| seqs.extend((p.first_seq..).take(p.len()).map(|seq| seq as i32)))?;
    c.pieces::<Int64Type>(rows, |p, times, _| match p.events {
        Events::Stamps(stamps) => times.extend(stamps.iter().map(|s| s.t_ns)),
        Events::Run(run) => times.extend_from_slice(&run.t_ns),
    })?;
    c.pieces::<Int64Type>(rows, |p, times, levels| match p.events {
        Events::Stamps(stamps) => push_optional(times, levels, stamps.iter().map(|s| s.kernel_ns)),
        Events::Run(run) => levels.extend(repeat_n(0, run.t_ns.len())),
    })?;
    c.pieces::<Int32Type>(rows, |p, reads, _| match p.events {
        Events::Stamps(stamps) => reads.extend(stamps.iter().map(|s| s.read as i32)),
        Events::Run(run) => reads.extend((run.first_read..).take(run.t_ns.len()).map(|read| read as i32)),
    })?;
    let kinds = rows.pieces().flat_map(|p| match p.events {
        Events::Stamps(stamps) => Kinds::Of(stamps.iter()),
        Events::Run(run) => Kinds::All(std::iter::once((run.t_ns.len() as u64, run.kind.as_str()))),
    });
    name_column::write(&mut c.group, Table::Tokens.schema().column(KIND_COLUMN), kinds)?;
    c.pieces::<Int32Type>(rows, |p, bytes, _| match p.events {
        Events::Stamps(stamps) => bytes.extend(stamps.iter().map(|s| s.bytes as i32)),
        Events::Run(run) => bytes.extend(run.bytes.iter().cycle().take(run.t_ns.len()).map(|bytes| *bytes as i32)),
    })?;
    c.pieces::<Int32Type>(rows, |p, tokens, levels| match p.events {
        Events::Stamps(stamps) => push_optional(tokens, levels, stamps.iter().map(|s| s.tokens.map(i32::from))),
        Events::Run(run) => levels.extend(repeat_n(0, run.t_ns.len())),
    })?;
    c.close()
}

/// What rows carried, and how many in a row.
enum Kinds<'a> {
    Of(std::slice::Iter<'a, TokenStamp>),
    All(std::iter::Once<(u64, &'static str)>),
}

impl Iterator for Kinds<'_> {
    type Item = (u64, &'static str);

    fn next(&mut self) -> Option<(u64, &'static str)> {
        match self {
            Kinds::Of(stamps) => stamps.next().map(|s| (1, s.kind.as_str())),
            Kinds::All(once) => once.next(),
        }
    }
}

fn push_optional<T>(values: &mut Vec<T>, levels: &mut Vec<i16>, rows: impl Iterator<Item = Option<T>>) {
    for value in rows {
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
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

    /// Writes the next column piece by piece; `put` adds the values of all rows of a piece, and their levels where some may lack one.
    fn pieces<T: DataType>(
        &mut self,
        rows: &TokenRows,
        mut put: impl FnMut(&Piece<'_>, &mut Vec<T::T>, &mut Vec<i16>),
    ) -> Result<()> {
        let mut pieces = rows.pieces();
        self.column::<T>(|batch, levels| {
            while batch.len().max(levels.len()) < BATCH
                && let Some(piece) = pieces.next()
            {
                put(&piece, batch, levels);
            }
        })
    }

    /// Writes the next column, which has a value in each row.
    fn required<T: DataType>(&mut self, mut values: impl Iterator<Item = T::T>) -> Result<()> {
        self.column::<T>(|batch, _| batch.extend(values.by_ref().take(BATCH)))
    }

    /// Writes the next column, which may lack values.
    fn optional<T: DataType>(&mut self, mut values: impl Iterator<Item = Option<T::T>>) -> Result<()> {
        self.column::<T>(|batch, levels| {
            push_optional(batch, levels, values.by_ref().take(BATCH));
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
