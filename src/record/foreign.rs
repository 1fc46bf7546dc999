//! A Parquet file that is no recording → its columns, by name.
//!
//! In: a path. Out: [`ForeignTable`], whose columns of whole numbers, numbers and names are read whole. The same checks of footer
//! and pages as for a recording (`source`).
//! Invariants: no empty cell passes; memory is bounded by [`ROWS_MAX`] rows a column.
//! Not here: what the columns mean.

use std::path::Path;

use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::decode::fill;
use super::source::{Source, bad, column_pages, foreign};

/// Most rows of a file.
pub const ROWS_MAX: i64 = 1 << 22;
/// Different names in one column.
const NAMES_MAX: usize = 1 << 12;

/// A file whose footer was checked.
#[derive(Debug)]
pub struct ForeignTable {
    source: Source,
    metadata: ParquetMetaData,
}

impl ForeignTable {
    /// Opens a file.
    ///
    /// # Errors
    /// Where it cannot be read, is no Parquet file, or is larger than anyone's table.
    pub fn open(path: &Path) -> Result<ForeignTable> {
        let (source, metadata) = foreign(path)?;
        let rows = metadata.row_groups().iter().map(RowGroupMetaData::num_rows).fold(0, i64::saturating_add);
        if rows > ROWS_MAX {
            return Err(bad(format!("has {rows} rows, more than {ROWS_MAX}")));
        }
        Ok(ForeignTable { source, metadata })
    }

    /// Whether it has a column of that name.
    pub fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.metadata.file_metadata().schema_descr().columns().iter().position(|c| c.name() == name)
    }

    /// A column of whole numbers.
    ///
    /// # Errors
    /// Where it is absent, of another type, damaged, or has an empty cell.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        self.read(name, |reader, rows, all| match reader {
            ColumnReader::Int64ColumnReader(r) => Ok(Some(append(all, |v, l| fill(r, rows, v, l))?)),
            _ => Ok(None),
        })
    }

    /// A column of numbers; as [`ForeignTable::integers`].
    ///
    /// # Errors
    /// As there.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        self.read(name, |reader, rows, all| match reader {
            ColumnReader::DoubleColumnReader(r) => Ok(Some(append(all, |v, l| fill(r, rows, v, l))?)),
            _ => Ok(None),
        })
    }

    /// A column of a few names: the different ones, and for each row which one it is.
    ///
    /// # Errors
    /// As [`ForeignTable::integers`], and where there are more than a few.
    pub fn names(&self, name: &str) -> Result<(Vec<String>, Vec<usize>)> {
        let texts: Vec<ByteArray> = self.read(name, |reader, rows, all| match reader {
            ColumnReader::ByteArrayColumnReader(r) => Ok(Some(append(all, |v, l| fill(r, rows, v, l))?)),
            _ => Ok(None),
        })?;
        let (mut names, mut which) = (Vec::<String>::new(), Vec::with_capacity(texts.len()));
        for text in &texts {
            let text = text.as_utf8().map_err(|_| bad(format!("`{name}` has a name that is no text")))?;
            let known = names.iter().position(|n| n == text).unwrap_or_else(|| {
                names.push(text.to_owned());
                names.len() - 1
            });
            if names.len() > NAMES_MAX {
                return Err(bad(format!("`{name}` has more than {NAMES_MAX} different names")));
            }
            which.push(known);
        }
        Ok((names, which))
    }

    /// Reads a column, group by group; `take` appends the rows of one, or says that the type is another.
    fn read<T>(
        &self,
        name: &str,
        take: impl Fn(&mut ColumnReader, usize, &mut Vec<T>) -> Result<Option<()>>,
    ) -> Result<Vec<T>> {
        let at = self.position(name).ok_or_else(|| bad(format!("has no column `{name}`")))?;
        let column = self.metadata.file_metadata().schema_descr().column(at);
        let mut all = Vec::new();
        for group in 0..self.metadata.num_row_groups() {
            let rows = self.metadata.row_group(group).num_rows() as usize;
            let pages = column_pages(&self.source, &self.metadata, group, at)?;
            let before = all.len();
            let mut reader = get_column_reader(column.clone(), pages);
            take(&mut reader, rows, &mut all)?.ok_or_else(|| bad(format!("`{name}` is of another type")))?;
            if all.len() - before != rows {
                return Err(bad(format!("`{name}` has empty cells")));
            }
        }
        Ok(all)
    }
}

/// Reads into a scratch, and adds that to `all`.
fn append<T>(all: &mut Vec<T>, read: impl FnOnce(&mut Vec<T>, &mut Vec<i16>) -> Result<()>) -> Result<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    read(&mut values, &mut levels)?;
    all.append(&mut values);
    Ok(())
}
