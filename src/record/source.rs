//! A Parquet file that nobody vouches for → its metadata, checked, and the way to its pages.
//!
//! In: a table's file, with a footer or with the sidecar that [`super::durable`] left; or bytes in memory. Out:
//! [`TableFile`], whose pages can be decoded without a panic and within known memory. The file is never changed.
//! Invariants: no allocation follows a number in the file beyond the limits below; only what [`super::durable`]
//! writes is accepted.
//! Not here: what is in a page ([`super::pages`]), and values ([`super::decode`]).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::PageReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length, SerializedPageReader};

use super::pages::{CheckedPages, page_bytes};
use super::schema::{self, Table};

/// Longest footer that is read.
const FOOTER_BYTES_MAX: u64 = 32 << 20;
/// Most rows of one row group.
pub(super) const GROUP_ROWS_MAX: i64 = 1 << 22;
const MAGIC: &[u8] = b"PAR1";

/// The error of a file that does not hold what it should.
pub(super) fn bad(problem: impl Into<String>) -> ParquetError {
    ParquetError::General(problem.into())
}

/// The bytes of a file, read where they are needed.
#[derive(Debug)]
enum Data {
    File(File),
    Memory(Bytes),
}

impl Data {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Data::File(file) => file.read_at(buffer, at),
            Data::Memory(bytes) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let n = buffer.len().min(bytes.len() - start);
                buffer[..n].copy_from_slice(&bytes[start..start + n]);
                Ok(n)
            }
        }
    }
}

/// The part of a table's file that its footer speaks of.
#[derive(Clone, Debug)]
pub(super) struct Source {
    data: Arc<Data>,
    length: u64,
    page_bytes_max: i32,
}

/// Reads on from one place of a [`Source`].
#[derive(Debug)]
pub(super) struct Section {
    source: Source,
    at: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.length.saturating_sub(self.at);
        let n = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.source.data.read_at(&mut buffer[..n], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Source {
    type T = BufReader<Section>;

    /// Called by the page reader for each page, at the start of its header. A page's memory is taken by what its
    /// header promises, so that number is looked at here.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut head = [0; 18];
        let n = Section { source: self.clone(), at: start }.read(&mut head)?;
        match page_bytes(&head[..n]) {
            Some(bytes) if (0..=self.page_bytes_max).contains(&bytes) => {
                Ok(BufReader::new(Section { source: self.clone(), at: start }))
            }
            Some(bytes) => Err(bad(format!("a page of {bytes} bytes is not between 0 and {}", self.page_bytes_max))),
            None => Err(bad("a page's header is damaged")),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(bad("a page ends after the file"));
        }
        let mut bytes = vec![0; length];
        Section { source: self.clone(), at: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// A table's file, ready to be decoded.
#[derive(Debug)]
pub(super) struct TableFile {
    table: Table,
    source: Source,
    metadata: ParquetMetaData,
    recovered: bool,
}

impl TableFile {
    /// Opens `table`'s file in the run directory `dir`; with the help of the sidecar, if the file has no footer.
    pub(super) fn open(dir: &Path, table: Table) -> Result<TableFile> {
        let file = File::open(dir.join(table.file_name()))?;
        let length = file.metadata()?.len();
        let data = Arc::new(Data::File(file));
        let whole = read_footer(&data, length).and_then(|footer| TableFile::new(table, data.clone(), length, &footer));
        match whole {
            Ok(whole) => Ok(whole),
            Err(error) => match TableFile::recover(dir, table, data, length) {
                // Without a sidecar, the file itself is what is wrong.
                Err(ParquetError::External(_)) => Err(error),
                recovered => recovered,
            },
        }
    }

    fn recover(dir: &Path, table: Table, data: Arc<Data>, length: u64) -> Result<TableFile> {
        let sidecar = File::open(dir.join(table.sidecar_name()))?;
        let mut bytes = Vec::new();
        sidecar.take(FOOTER_BYTES_MAX).read_to_end(&mut bytes)?;
        let (known, footer) = bytes.split_first_chunk::<8>().ok_or_else(|| bad("its sidecar is too short"))?;
        let known = u64::from_le_bytes(*known);
        if known > length {
            return Err(bad(format!("has {length} bytes, and {known} by its sidecar")));
        }
        let footer_data = Arc::new(Data::Memory(Bytes::copy_from_slice(footer)));
        let footer = read_footer(&footer_data, footer.len() as u64)?;
        let recovered = TableFile::new(table, data, known, &footer)?;
        Ok(TableFile { recovered: true, ..recovered })
    }

    /// The table in a whole file in memory.
    pub(super) fn from_bytes(bytes: Bytes, table: Table) -> Result<TableFile> {
        let length = bytes.len() as u64;
        let data = Arc::new(Data::Memory(bytes));
        let footer = read_footer(&data, length)?;
        TableFile::new(table, data, length, &footer)
    }

    fn new(table: Table, data: Arc<Data>, length: u64, footer: &[u8]) -> Result<TableFile> {
        let metadata = ParquetMetaDataReader::decode_metadata(footer)?;
        let about = metadata.file_metadata();
        let pairs = about.key_value_metadata().map_or(&[][..], Vec::as_slice);
        let columns = schema::check(table, about.schema_descr(), pairs).map_err(bad)?;
        check_groups(&metadata, columns, length)?;
        let page_bytes_max = match table {
            Table::Requests | Table::ServerMetrics => 64 << 20, // texts of any length
            Table::Tokens => 4 << 20,                           // numbers, so much less
        };
        Ok(TableFile { table, source: Source { data, length, page_bytes_max }, metadata, recovered: false })
    }

    /// Which table it is.
    pub(super) fn table(&self) -> Table {
        self.table
    }

    /// How many of the table's columns it has: the first ones.
    pub(super) fn columns(&self) -> usize {
        self.metadata.file_metadata().schema_descr().num_columns()
    }

    /// Whether it had no footer, so that rows after the last flush are missing.
    pub(super) fn is_recovered(&self) -> bool {
        self.recovered
    }

    /// What its footer says.
    pub(super) fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// Rows of all row groups.
    pub(super) fn rows(&self) -> u64 {
        // Each is between 0 and GROUP_ROWS_MAX, and a footer holds fewer groups than it has bytes.
        self.metadata.row_groups().iter().map(|g| g.num_rows() as u64).sum()
    }

    /// The pages of one column of one row group. Both must exist.
    pub(super) fn pages(&self, group: usize, column: usize) -> Result<Box<dyn PageReader>> {
        column_pages(&self.source, &self.metadata, group, column)
    }
}

/// The pages of one column of one row group. Both must exist.
pub(super) fn column_pages(
    source: &Source,
    metadata: &ParquetMetaData,
    group: usize,
    column: usize,
) -> Result<Box<dyn PageReader>> {
    let group = metadata.row_group(group);
    let chunk = group.column(column);
    let inner = SerializedPageReader::new(Arc::new(source.clone()), chunk, group.num_rows() as usize, None)?;
    Ok(Box::new(CheckedPages::new(inner, chunk)))
}

/// A file that is no table of a recording: its bytes, and its footer, checked.
pub(super) fn foreign(path: &Path) -> Result<(Source, ParquetMetaData)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    foreign_data(Data::File(file), length)
}

/// The same of a file in memory.
pub(super) fn foreign_bytes(bytes: Bytes) -> Result<(Source, ParquetMetaData)> {
    let length = bytes.len() as u64;
    foreign_data(Data::Memory(bytes), length)
}

fn foreign_data(data: Data, length: u64) -> Result<(Source, ParquetMetaData)> {
    let data = Arc::new(data);
    let metadata = ParquetMetaDataReader::decode_metadata(&read_footer(&data, length)?)?;
    check_groups(&metadata, metadata.file_metadata().schema_descr().num_columns(), length)?;
    Ok((Source { data, length, page_bytes_max: 64 << 20 }, metadata))
}

fn check_groups(metadata: &ParquetMetaData, columns: usize, length: u64) -> Result<()> {
    for group in metadata.row_groups() {
        if !(0..=GROUP_ROWS_MAX).contains(&group.num_rows()) {
            return Err(bad(format!("a row group of {} rows is not between 0 and {GROUP_ROWS_MAX}", group.num_rows())));
        }
        if group.num_columns() != columns {
            return Err(bad("a row group lacks columns"));
        }
        group.columns().iter().try_for_each(|column| check_column(column, length))?;
    }
    Ok(())
}

/// The footer's own bytes, of a file that ends with: footer, its length in 4 bytes, `PAR1`.
fn read_footer(data: &Arc<Data>, length: u64) -> Result<Vec<u8>> {
    let all = Source { data: Arc::clone(data), length, page_bytes_max: 0 };
    let tail_at = length.checked_sub(FOOTER_SIZE as u64).ok_or_else(|| bad("is too short for a Parquet file"))?;
    let tail = all.get_bytes(tail_at, FOOTER_SIZE)?;
    let (size, magic) = tail.split_at(FOOTER_SIZE - MAGIC.len());
    if magic != MAGIC {
        return Err(bad("does not end like a Parquet file"));
    }
    let size = size.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
    if size > FOOTER_BYTES_MAX {
        return Err(bad(format!("has a footer of {size} bytes, more than {FOOTER_BYTES_MAX}")));
    }
    let at = tail_at.checked_sub(size).ok_or_else(|| bad("is shorter than its footer"))?;
    Ok(all.get_bytes(at, size as usize)?.to_vec())
}

fn check_column(column: &ColumnChunkMetaData, length: u64) -> Result<()> {
    // The crate takes these numbers as they are, and panics at a negative one.
    let starts = [Some(column.data_page_offset()), column.dictionary_page_offset()];
    let bytes = u64::try_from(column.compressed_size()).map_err(|_| bad("a column has a negative size"))?;
    for start in starts.into_iter().flatten() {
        let start = u64::try_from(start).map_err(|_| bad("a column starts before the file"))?;
        if start.checked_add(bytes).is_none_or(|end| end > length.saturating_add(bytes)) {
            return Err(bad("a column starts after the file"));
        }
    }
    match column.compression() {
        Compression::ZSTD(_) | Compression::UNCOMPRESSED => Ok(()),
        other => Err(bad(format!("a column is compressed by {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_not_promise_more_than_a_page_can_hold() {
        // Type 0, then an uncompressed size of 5 bytes.
        let header = |size: [u8; 5]| [&[0x15, 0x00, 0x15][..], &size, &[0x15, 0x02]].concat();
        let refusal = |bytes: Vec<u8>| {
            let (length, data) = (bytes.len() as u64, Arc::new(Data::Memory(bytes.into())));
            let source = Source { data, length, page_bytes_max: 1 << 20 };
            source.get_read(0).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refusal(header([0x80, 0x80, 0x80, 0x01, 0])), "", "2^20 is allowed");
        assert!(refusal(header([0x82, 0x80, 0x80, 0x01, 0])).contains("1048577 bytes"));
        assert!(refusal(header([0xfe, 0xff, 0xff, 0xff, 0x0f])).contains("2147483647 bytes"));
        assert!(refusal(header([0x01, 0, 0, 0, 0])).contains("-1 bytes"));
        assert!(refusal(header([0xff; 5])).contains("header is damaged"));
        assert!(refusal(vec![0x15, 0x00, 0x25, 0x02]).contains("header is damaged"), "another field's type");
    }
}
