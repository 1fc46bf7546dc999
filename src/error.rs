//! What can go wrong outside a request, and the exit code that tells it.
//!
//! In: nothing. Out: [`Error`], with one sentence that names the file, line, field and remedy, and [`ExitCode`].
//! A request that fails is not an error here: it is data, see [`crate::outcome`].

use std::fmt;
use std::path::PathBuf;

/// The program's exit codes, as documented in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything asked for was done.
    Ok = 0,
    /// A threshold that the user set was not met.
    ThresholdFailed = 1,
    /// The command line or an input file cannot be used.
    Usage = 2,
    /// The endpoint cannot be used, or an overload ended the run, as asked.
    Endpoint = 3,
    /// The program or the machine failed.
    Internal = 4,
}

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that cannot be; the text names the flag and the remedy.
    #[error("{0}")]
    Usage(String),
    /// An input file cannot be used.
    #[error("{0}")]
    Input(InputError),
    /// The endpoint cannot be reached or used.
    #[error("{0}")]
    Endpoint(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A broken promise of the program itself.
    #[error("internal error: {0}")]
    Internal(String),
}

/// A place in an input file, what is wrong there, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The file as the user named it.
    pub file: String,
    /// 1-based line, 0 where the fault is the file's as a whole.
    pub line: u64,
    /// The field at fault, if one is.
    pub field: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What the user can do.
    pub remedy: String,
}

impl InputError {
    /// A fault of a file as a whole.
    pub fn of_file(file: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> InputError {
        InputError { file: file.into(), line: 0, field: None, problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if let Some(field) = &self.field {
            write!(f, ": field `{field}`")?;
        }
        write!(f, ": {}", self.problem)?;
        if !self.remedy.is_empty() {
            write!(f, " ({})", self.remedy)?;
        }
        Ok(())
    }
}

impl From<InputError> for Error {
    fn from(e: InputError) -> Self {
        Error::Input(e)
    }
}

impl Error {
    /// Attaches a path to an I/O error: `.map_err(Error::io(&path))`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    /// The exit code of a program that stops with this error.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Usage(_) | Error::Input(_) => ExitCode::Usage,
            Error::Endpoint(_) => ExitCode::Endpoint,
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ExitCode::Usage,
            Error::Io { .. } | Error::Internal(_) => ExitCode::Internal,
        }
    }
}

/// Shorthand for results of commands and readers.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_error_names_file_line_field_and_remedy() {
        let e = InputError {
            file: "t.jsonl".into(),
            line: 3,
            field: Some("input_length".into()),
            problem: "is -1".into(),
            remedy: "use a positive integer".into(),
        };
        assert_eq!(e.to_string(), "t.jsonl:3: field `input_length`: is -1 (use a positive integer)");
        assert_eq!(Error::from(e).exit_code(), ExitCode::Usage);
    }

    #[test]
    fn a_missing_file_is_the_users_error_and_a_full_disk_is_not() {
        let missing = Error::io("x")(std::io::Error::from(std::io::ErrorKind::NotFound));
        let full = Error::io("x")(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!((missing.exit_code(), full.exit_code()), (ExitCode::Usage, ExitCode::Internal));
    }
}
