//! Turns rows that cannot be used into one error, or into a count with its first reasons.
//!
//! In: a [`RowProblem`] and its line. Out: an [`InputError`] that stops the reader, or, where rows are to be skipped, notes.

use std::borrow::Cow;

use crate::error::InputError;

use super::ReadOptions;

/// How many reasons are kept where rows are skipped.
const REASONS_KEPT: usize = 3;
/// How much of a value an error shows, in characters.
const SHOWN_CHARS: usize = 40;

/// What to do with a row that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadRow {
    /// Stop with one error that names it.
    #[default]
    Fail,
    /// Leave it out and count it.
    Skip,
}

/// What is wrong with one row, before its file and line are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowProblem {
    field: Option<&'static str>,
    problem: String,
    remedy: Cow<'static, str>,
}

impl RowProblem {
    /// A fault of the row as a whole.
    pub(super) fn row(problem: impl Into<String>, remedy: impl Into<Cow<'static, str>>) -> RowProblem {
        RowProblem { field: None, problem: problem.into(), remedy: remedy.into() }
    }

    /// A fault of one field.
    pub(super) fn field(
        field: &'static str,
        problem: impl Into<String>,
        remedy: impl Into<Cow<'static, str>>,
    ) -> RowProblem {
        RowProblem { field: Some(field), problem: problem.into(), remedy: remedy.into() }
    }

    /// The same, of a part of the row that these words name.
    pub(super) fn within(self, part: &str) -> RowProblem {
        RowProblem { problem: format!("{part}{}", self.problem), ..self }
    }

    /// The same fault with another remedy.
    pub(super) fn with_remedy(self, remedy: &'static str) -> RowProblem {
        RowProblem { remedy: remedy.into(), ..self }
    }
}

/// A value of the file as an error may show it: escaped, and cut where it is long.
pub(super) fn shown(value: &str) -> String {
    let cut: String = value.chars().take(SHOWN_CHARS).flat_map(char::escape_default).collect();
    // Quotes are the file's own and do no harm on a terminal or in a page that escapes its text.
    let readable = cut.replace("\\\"", "\"").replace("\\'", "'");
    if value.chars().nth(SHOWN_CHARS).is_some() { format!("{readable}…") } else { readable }
}

/// The rows of one file that cannot be used.
pub(super) struct BadRows<'a> {
    file: &'a str,
    policy: OnBadRow,
    skipped: u64,
    reasons: Vec<String>,
}

impl<'a> BadRows<'a> {
    pub(super) fn new(file: &'a str, options: &ReadOptions) -> BadRows<'a> {
        BadRows { file, policy: options.on_bad_row, skipped: 0, reasons: Vec::new() }
    }

    /// The file's name in errors.
    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    /// Takes note of a bad row; the error where the reader is to stop there.
    pub(super) fn report(&mut self, line: u64, problem: RowProblem) -> Result<(), InputError> {
        let error = self.error(line, problem);
        match self.policy {
            OnBadRow::Fail => Err(error),
            OnBadRow::Skip => {
                self.skipped += 1;
                if self.reasons.len() < REASONS_KEPT {
                    self.reasons.push(error.to_string());
                }
                Ok(())
            }
        }
    }

    /// A fault of one line, which no policy forgives.
    pub(super) fn error(&self, line: u64, problem: RowProblem) -> InputError {
        InputError {
            file: self.file.to_owned(),
            line,
            field: problem.field.map(str::to_owned),
            problem: problem.problem,
            remedy: problem.remedy.into_owned(),
        }
    }

    /// A fault of the file as a whole, which no policy forgives.
    pub(super) fn file_error(&self, problem: impl Into<String>, remedy: &str) -> InputError {
        InputError::of_file(self.file, problem, remedy)
    }

    /// How many rows were skipped.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The first reason for which a row was skipped.
    pub(super) fn first_reason(&self) -> Option<&str> {
        self.reasons.first().map(String::as_str)
    }

    /// What was skipped and why, for the trace's notes.
    pub(super) fn notes(&self) -> Vec<String> {
        if self.skipped == 0 {
            return Vec::new();
        }
        let first = self.reasons.len();
        let mut notes = vec![format!("{} rows were skipped; the first {first} reasons follow", self.skipped)];
        notes.extend(self.reasons.iter().cloned());
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn shown_values_are_escaped_and_short() {
        assert_eq!(shown("\"a\u{1b}[2J\""), "\"a\\u{1b}[2J\"");
        assert_eq!(shown(&"x".repeat(500)), format!("{}…", "x".repeat(40)));
        assert_eq!(shown(&"x".repeat(40)), "x".repeat(40));
    }
}
