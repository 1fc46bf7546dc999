//! [`Fidelity`] → `fidelity.json`: whether the load that was run is the load that was planned.
//!
//! Its keys are the fields of [`Fidelity`]; what is not known is null.

use std::path::{Path, PathBuf};

use super::write_whole;
use crate::analysis::fidelity::Fidelity;
use crate::error::{Error, Result};

/// The file's name in a run directory.
pub const FILE_NAME: &str = "fidelity.json";

/// Writes the file into `dir`, whole or not at all, and gives its path.
///
/// # Errors
/// [`Error::Io`] with the file that could not be written.
pub fn write(dir: &Path, fidelity: &Fidelity) -> Result<PathBuf> {
    write_whole(dir, FILE_NAME, |out| {
        serde_json::to_writer_pretty(&mut *out, fidelity).map_err(|e| Error::io(FILE_NAME)(e.into()))?;
        out.write_all(b"\n").map_err(Error::io(FILE_NAME))
    })
}
