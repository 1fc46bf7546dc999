//! A Parquet file that is no recording → its columns, by name.
//!
//! In: a path. Out: [`ForeignTable`], whose columns of whole numbers, numbers and names are read whole. The same checks of footer
//! and pages as for a recording (`source`).
//! Invariants: no empty cell passes; memory is bounded by [`ROWS_MAX`] rows a column.
//! Not here: what the columns mean.

use std::collections::HashMap;
use std::path::Path;

use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::decode::fill;
use super::source::{Source, bad, column_pages, foreign, foreign_bytes};

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
        ForeignTable::checked(foreign(path)?)
    }

    fn checked((source, metadata): (Source, ParquetMetaData)) -> Result<ForeignTable> {
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
        let (mut names, mut known) = (Vec::<String>::new(), HashMap::new());
        let mut which = Vec::with_capacity(texts.len());
        for text in &texts {
            let text = text.as_utf8().map_err(|_| bad(format!("`{name}` has a name that is no text")))?;
            let at = *known.entry(text).or_insert_with(|| {
                names.push(text.to_owned());
                names.len() - 1
            });
            if names.len() > NAMES_MAX {
                return Err(bad(format!("`{name}` has more than {NAMES_MAX} different names")));
            }
            which.push(at);
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

/// Reads any bytes as a table, every column in every way, and gives how many columns could be read.
///
/// # Panics
/// Where a column that was read has not as many cells as the table has rows, or a name that is none of its names.
pub fn fuzz_foreign(bytes: &[u8]) -> usize {
    let Ok(table) = foreign_bytes(bytes.to_vec().into()).and_then(ForeignTable::checked) else { return 0 };
    let groups = table.metadata.row_groups().iter();
    let rows = groups.map(|group| group.num_rows() as usize).sum::<usize>();
    let columns = table.metadata.file_metadata().schema_descr().columns().iter();
    let names: Vec<String> = columns.map(|column| column.name().to_owned()).collect();
    let mut read = 0;
    for name in &names {
        let cells = [
            table.integers(name).map(|cells| cells.len()),
            table.numbers(name).map(|cells| cells.len()),
            table.names(name).map(|(names, which)| {
                assert!(which.iter().all(|at| *at < names.len()), "`{name}` has a cell without a name");
                which.len()
            }),
        ];
        for cells in cells.into_iter().flatten() {
            assert_eq!(cells, rows, "`{name}`");
            read += 1;
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::{ByteArrayType, DoubleType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use rand::RngExt;

    use super::*;
    use crate::rng::{Seed, Stream};

    const CORPUS: &str = "fuzz/corpus/foreign";

    /// A table of two row groups with an empty cell in one column.
    fn table() -> Vec<u8> {
        let text = "message t { required int64 n; required double x; required binary who (UTF8); optional int64 gap; }";
        let schema = Arc::new(parse_message_type(text).unwrap());
        let mut bytes = Vec::new();
        let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::new())).unwrap();
        let names: Vec<ByteArray> = ["a", "b", "a"].iter().map(|name| ByteArray::from(*name)).collect();
        for _ in 0..2 {
            let mut group = file.next_row_group().unwrap();
            let mut c = group.next_column().unwrap().unwrap();
            c.typed::<Int64Type>().write_batch(&[1, -2, i64::MAX], None, None).unwrap();
            c.close().unwrap();
            let mut c = group.next_column().unwrap().unwrap();
            c.typed::<DoubleType>().write_batch(&[0.5, -1.0, f64::NAN], None, None).unwrap();
            c.close().unwrap();
            let mut c = group.next_column().unwrap().unwrap();
            c.typed::<ByteArrayType>().write_batch(&names, None, None).unwrap();
            c.close().unwrap();
            let mut c = group.next_column().unwrap().unwrap();
            c.typed::<Int64Type>().write_batch(&[7, 8], Some(&[1, 0, 1]), None).unwrap();
            c.close().unwrap();
            group.close().unwrap();
        }
        file.close().unwrap();
        bytes
    }

    #[test]
    fn a_table_is_read_column_by_column_and_an_empty_cell_is_refused() {
        let bytes = table();
        assert_eq!(fuzz_foreign(&bytes), 3);
        let table = foreign_bytes(bytes.into()).and_then(ForeignTable::checked).unwrap();
        assert_eq!(table.integers("n").unwrap(), [1, -2, i64::MAX, 1, -2, i64::MAX]);
        assert_eq!(table.names("who").unwrap(), (vec!["a".into(), "b".into()], vec![0, 1, 0, 0, 1, 0]));
        assert!(table.integers("gap").unwrap_err().to_string().contains("`gap` has empty cells"));
        assert!(table.numbers("n").unwrap_err().to_string().contains("another type"));
        assert!(table.integers("none").unwrap_err().to_string().contains("no column"));
    }

    #[test]
    fn the_fuzz_corpus_is_read_and_no_change_of_it_is_a_panic() {
        let files: Vec<_> = std::fs::read_dir(CORPUS).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 3, "{CORPUS} has only {} files", files.len());
        let mut rng = Seed(12).stream(Stream::Simulation);
        for bytes in files.iter().map(|path| std::fs::read(path).unwrap()) {
            fuzz_foreign(&bytes);
            for round in 0..200 {
                let mut broken = bytes.clone();
                for _ in 0..rng.random_range(1..4) {
                    if !broken.is_empty() {
                        let at = rng.random_range(0..broken.len());
                        broken[at] = rng.random();
                    }
                }
                let read = std::panic::catch_unwind(|| fuzz_foreign(&broken));
                assert!(read.is_ok(), "round {round}: {}", broken.escape_ascii());
            }
        }
    }

    #[test]
    #[ignore = "writes the seeds of the fuzzer"]
    fn write_the_corpus() {
        let whole = table();
        let cut = whole[..whole.len() / 2].to_vec();
        std::fs::create_dir_all(CORPUS).unwrap();
        for (name, bytes) in [("table.parquet", whole), ("cut.parquet", cut), ("empty", vec![])] {
            std::fs::write(format!("{CORPUS}/{name}"), bytes).unwrap();
        }
    }
}
