//! A small table: the text of a CSV file ↔ cells by row and name of column.

use csv_core::{ReadRecordResult, Reader};

use crate::error::{InputError, Result};

/// The largest file that is read, bytes.
const FILE_BYTES_MAX: usize = 256 << 20;
/// The most columns that a file may have.
const COLUMNS_MAX: usize = 256;

/// Cells by row and column.
#[derive(Debug)]
pub(super) struct Table {
    names: Vec<String>,
    /// One list per row, as long as `names`.
    cells: Vec<Vec<String>>,
}

impl Table {
    /// Reads a file whose first line names its columns; quoted cells may hold commas and line breaks.
    ///
    /// # Errors
    /// A file that is empty or too large, or a row with more or fewer cells than there are columns.
    pub(super) fn parse(file: &str, text: &str) -> Result<Table> {
        if text.len() > FILE_BYTES_MAX {
            let what = format!("has {} bytes, and {FILE_BYTES_MAX} at most are read", text.len());
            return Err(InputError::of_file(file, what, "split it into several").into());
        }
        let mut records = Records { reader: Reader::new(), rest: text.trim_start_matches('\u{feff}').as_bytes() };
        let Some((_, names)) = records.next() else {
            return Err(InputError::of_file(file, "is empty", "the first line names the columns").into());
        };
        if names.len() > COLUMNS_MAX {
            let what = format!("has {} columns, and {COLUMNS_MAX} at most are read", names.len());
            return Err(InputError::of_file(file, what, "leave out those that are not needed").into());
        }
        let mut cells = Vec::new();
        while let Some((line, row)) = records.next() {
            if row.len() != names.len() {
                let what = format!("has {} cells, while the first line names {} columns", row.len(), names.len());
                let fix = "give every row all cells; is it cut off?";
                return Err(InputError { line, ..InputError::of_file(file, what, fix) }.into());
            }
            cells.push(row);
        }
        Ok(Table { names: names.iter().map(|n| n.trim().to_string()).collect(), cells })
    }

    /// Where a column is.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// Rows.
    pub(super) fn rows(&self) -> usize {
        self.cells.len()
    }

    /// A cell; `None` where there is no such column.
    pub(super) fn cell(&self, row: usize, column: &str) -> Option<&str> {
        Some(&self.cells.get(row)?[self.column(column)?])
    }

    /// Sets a column, a cell per row; it is added at the end where there was none.
    pub(super) fn set(&mut self, name: &str, values: Vec<String>) {
        let at = self.column(name).unwrap_or_else(|| {
            self.names.push(name.to_string());
            self.names.len() - 1
        });
        for (row, value) in self.cells.iter_mut().zip(values) {
            row.resize(self.names.len(), String::new());
            row[at] = value;
        }
    }

    /// The file.
    pub(super) fn to_csv(&self) -> String {
        let mut text = String::new();
        for row in std::iter::once(&self.names).chain(&self.cells) {
            for (i, cell) in row.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { "," });
                if cell.contains(['"', ',', '\n', '\r']) {
                    text.push('"');
                    text.push_str(&cell.replace('"', "\"\""));
                    text.push('"');
                } else {
                    text.push_str(cell);
                }
            }
            text.push('\n');
        }
        text
    }
}

struct Records<'t> {
    reader: Reader,
    rest: &'t [u8],
}

impl Records<'_> {
    /// The next record and the line that it begins on.
    fn next(&mut self) -> Option<(u64, Vec<String>)> {
        let (mut output, mut ends) = (vec![0; 512], vec![0; COLUMNS_MAX]);
        let (mut written, mut ended) = (0, 0);
        let line = self.reader.line();
        loop {
            let (result, read, out, end) =
                self.reader.read_record(self.rest, &mut output[written..], &mut ends[ended..]);
            self.rest = &self.rest[read..];
            (written, ended) = (written + out, ended + end);
            match result {
                // After the last byte, the reader is told so by an empty input.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => output.resize(output.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
            }
        }
        let starts = std::iter::once(0).chain(ends[..ended].iter().copied());
        let cells = starts.zip(&ends[..ended]).map(|(a, b)| String::from_utf8_lossy(&output[a..*b]).into_owned());
        Some((line, cells.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_written_again() {
        let text = "a,b\n1,\"x, y\"\n\"say \"\"so\"\"\",\"two\nlines\"\n,\n";
        let mut table = Table::parse("f", text).unwrap();
        assert_eq!((table.rows(), table.cell(0, "b"), table.cell(1, "a")), (3, Some("x, y"), Some("say \"so\"")));
        assert_eq!(table.to_csv(), text);
        table.set("c", vec!["1".into(), "2".into(), "3".into()]);
        table.set("a", vec!["4".into(), "5".into(), "6".into()]);
        assert_eq!(table.to_csv(), "a,b,c\n4,\"x, y\",1\n5,\"two\nlines\",2\n6,,3\n");
    }

    #[test]
    fn a_row_that_is_cut_off_is_named() {
        let error = |text: &str| Table::parse("points.csv", text).unwrap_err().to_string();
        assert!(error("a,b\n1,2\n3\n").contains("points.csv") && error("a,b\n1,2\n3\n").contains('3'));
        assert!(error("").contains("empty"));
        assert!(error(&"a,".repeat(300)).contains("columns"));
        assert_eq!(Table::parse("f", "a,b").unwrap().rows(), 0);
    }
}
