//! Turns a stream of comma-separated values into rows whose fields are found by the names of their columns.
//!
//! In: any [`BufRead`], one row per line, the first with the columns' names; fields may be quoted, the order of columns is the
//! file's own. Out: rows with as many fields as columns. Invariants: a row's memory is that of a [`Lines`] line; a quoted
//! field ends on its line, as none of the traces' columns holds prose.

use std::io::BufRead;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

use super::bad_rows::{BadRows, RowProblem, shown};
use super::lines::{Lines, MAX_LINE_BYTES};
use crate::error::{Error, InputError, Result};

/// The most columns that are read.
const MAX_COLUMNS: usize = 256;

/// A column of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name, for errors.
    pub(super) name: &'static str,
    index: usize,
}

/// A reader of rows.
pub(super) struct CsvRows<'a> {
    lines: Lines<'a>,
    file: &'a str,
    names: Vec<String>,
    record: Record,
}

/// The fields of one row.
pub(super) struct CsvRow<'a> {
    text: &'a str,
    ends: &'a [usize],
}

impl CsvRow<'_> {
    /// The text of one field, without blanks around it.
    pub(super) fn field(&self, column: Column) -> &str {
        let start = column.index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text[start..self.ends[column.index]].trim()
    }

    /// The text of a field that may be absent or empty.
    pub(super) fn optional(&self, column: Option<Column>) -> Option<&str> {
        column.map(|c| self.field(c)).filter(|text| !text.is_empty())
    }
}

/// The columns that the first line of `head` names, if it is a line of comma-separated values.
pub(super) fn header_of(head: &[u8]) -> Vec<String> {
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    let mut record = Record::default();
    record.split(Some(line.trim_ascii())).map_or_else(|_| Vec::new(), |row| names_of(&row))
}

/// Whether all of `wanted` are among the columns.
pub(super) fn names_all(columns: &[String], wanted: &[&str]) -> bool {
    wanted.iter().all(|name| columns.iter().any(|c| c.eq_ignore_ascii_case(name)))
}

impl<'a> CsvRows<'a> {
    /// Reads the columns' names.
    ///
    /// # Errors
    /// A first line that is none; a failed read.
    pub(super) fn open(input: &'a mut dyn BufRead, bad: &BadRows<'a>) -> Result<CsvRows<'a>> {
        let file = bad.file();
        let (mut lines, mut record) = (Lines::new(input), Record::default());
        let mut names = Vec::new();
        if let Some(line) = lines.next().map_err(Error::io(file))? {
            names = record.split(line.bytes).map(|row| names_of(&row)).map_err(|p| bad.error(line.number, p))?;
        }
        Ok(CsvRows { lines, file, names, record })
    }

    /// The column with this name, whatever the case of its letters.
    pub(super) fn find(&self, name: &'static str) -> Option<Column> {
        let index = self.names.iter().position(|n| n.eq_ignore_ascii_case(name))?;
        Some(Column { name, index })
    }

    /// The column with this name, which must be there.
    ///
    /// # Errors
    /// That it is not.
    pub(super) fn column(&self, name: &'static str) -> std::result::Result<Column, InputError> {
        self.find(name).ok_or_else(|| {
            InputError::of_file(
                self.file,
                format!("has no column `{name}`; its first line is {}", shown(&self.names.join(","))),
                "the first line names the columns, in any order",
            )
        })
    }

    /// The next row and its line, or what is wrong with that line; null at the end.
    ///
    /// # Errors
    /// A failed read.
    pub(super) fn next(&mut self) -> Result<Option<(u64, std::result::Result<CsvRow<'_>, RowProblem>)>> {
        let Some(line) = self.lines.next().map_err(Error::io(self.file))? else {
            return Ok(None);
        };
        let columns = self.names.len();
        let row = self.record.split(line.bytes).and_then(|row| match row.ends.len() {
            fields if fields == columns => Ok(row),
            fields => {
                let problem = format!("has {fields} fields, while the first line names {columns}");
                Err(RowProblem::row(problem, "give every row all fields; is it cut off?"))
            }
        });
        Ok(Some((line.number, row)))
    }
}

/// Room for the fields of one row, used again for the next.
struct Record {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Default for Record {
    fn default() -> Record {
        let reader = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
        Record { reader, text: Vec::new(), ends: vec![0; MAX_COLUMNS] }
    }
}

impl Record {
    fn split(&mut self, line: Option<&[u8]>) -> std::result::Result<CsvRow<'_>, RowProblem> {
        let Some(line) = line else {
            return Err(RowProblem::row(
                format!("is longer than {} MiB", MAX_LINE_BYTES >> 20),
                "write one request per line",
            ));
        };
        if std::str::from_utf8(line).is_err() {
            return Err(RowProblem::row("is not UTF-8 text", "is this another kind of file?"));
        }
        self.reader.reset();
        self.text.resize(line.len() + 1, 0);
        let (_, _, written, fields) = self.reader.read_record(line, &mut self.text, &mut self.ends);
        let (end, _, more, last) = self.reader.read_record(b"\n", &mut self.text[written..], &mut self.ends[fields..]);
        match end {
            ReadRecordResult::Record => {}
            ReadRecordResult::OutputEndsFull => {
                return Err(RowProblem::row(
                    format!("has more than {MAX_COLUMNS} fields"),
                    "a trace has a few columns",
                ));
            }
            _ => return Err(RowProblem::row("has a quote that does not end", "quote whole fields, \"like this\"")),
        }
        let text = std::str::from_utf8(&self.text[..written + more]).unwrap_or_default();
        Ok(CsvRow { text, ends: &self.ends[..fields + last] })
    }
}

fn names_of(row: &CsvRow<'_>) -> Vec<String> {
    (0..row.ends.len()).map(|index| row.field(Column { name: "", index }).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::ReadOptions;

    fn rows(mut bytes: &[u8]) -> Result<Vec<(u64, String, String)>> {
        let mut bad = BadRows::new("t.csv", &ReadOptions::default());
        let mut rows = CsvRows::open(&mut bytes, &bad)?;
        let (a, b) = (rows.column("a")?, rows.column("b c")?);
        let mut out = Vec::new();
        while let Some((line, row)) = rows.next()? {
            match row {
                Ok(row) => out.push((line, row.field(a).to_owned(), row.field(b).to_owned())),
                Err(problem) => bad.report(line, problem)?,
            }
        }
        Ok(out)
    }

    fn message(bytes: &[u8]) -> String {
        rows(bytes).unwrap_err().to_string()
    }

    #[test]
    fn fields_are_found_by_name_quoted_or_not() {
        let found = rows(b"\xef\xbb\xbfB C,x,A\r\n1,2,3\r\n\r\n\"4, \"\"4\"\"\", ,  \"5\"\r\n,,").unwrap();
        let row = |line, a: &str, b: &str| (line, a.to_owned(), b.to_owned());
        assert_eq!(found, [row(2, "3", "1"), row(4, "\"5\"", "4, \"4\""), row(5, "", "")]);
    }

    #[test]
    fn rows_that_do_not_fit_their_header_are_refused() {
        for (bytes, problem) in [
            (
                &b"a,b c\n1,2\n1"[..],
                "t.csv:3: has 1 fields, while the first line names 2 (give every row all fields; is it cut off?)",
            ),
            (
                b"a,b c\n1,2,3\n",
                "t.csv:2: has 3 fields, while the first line names 2 (give every row all fields; is it cut off?)",
            ),
            (b"a,b c\n1,\"2\n", "t.csv:2: has a quote that does not end (quote whole fields, \"like this\")"),
            (b"a,b c\n1,\xff\n", "t.csv:2: is not UTF-8 text (is this another kind of file?)"),
            (
                b"a,b\n1,2\n",
                "t.csv: has no column `b c`; its first line is a,b (the first line names the columns, in any order)",
            ),
            (b"\xff\xff", "t.csv:1: is not UTF-8 text (is this another kind of file?)"),
        ] {
            assert_eq!(message(bytes), problem);
        }
        let wide = format!("a,b c\n{}", ",".repeat(MAX_COLUMNS));
        assert_eq!(message(wide.as_bytes()), "t.csv:2: has more than 256 fields (a trace has a few columns)");
        assert!(message(b"\n").contains("has no column `a`"));
    }

    #[test]
    fn a_separator_inside_a_letter_is_no_text() {
        assert!(message(b"a,b c\n\xc3,\xa9\n").contains("is not UTF-8"));
    }
}
