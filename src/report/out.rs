//! Text → stdout or stderr; the only place that touches either.
//!
//! Invariant: a reader that went away (`loadline … | head`) is success, any other failure is an error.

use std::io::{ErrorKind, Write};

use crate::error::{Error, Result};

/// Writes data for the user or the next program, all of it at once.
///
/// # Errors
/// [`Error::Io`] if stdout cannot be written, except when its reader is gone.
pub fn stdout(text: &str) -> Result<()> {
    write_to(&mut std::io::stdout().lock(), "stdout", text)
}

/// Writes talk: progress, warnings, errors.
///
/// # Errors
/// [`Error::Io`] if stderr cannot be written, except when its reader is gone.
pub fn stderr(text: &str) -> Result<()> {
    write_to(&mut std::io::stderr().lock(), "stderr", text)
}

fn write_to(out: &mut dyn Write, name: &str, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::io(name)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_success_and_a_full_disk_is_not() {
        assert!(write_to(&mut Failing(ErrorKind::BrokenPipe), "stdout", "x").is_ok());
        let full = write_to(&mut Failing(ErrorKind::StorageFull), "stdout", "x").unwrap_err();
        assert!(full.to_string().starts_with("stdout: "), "{full}");
        let mut buffer = Vec::new();
        write_to(&mut buffer, "stdout", "whole\n").unwrap();
        assert_eq!(buffer, b"whole\n");
    }
}
