//! The name of a model, or its `config.json` (or the folder that holds it) → its shape.

use std::path::Path;

use crate::error::{Error, Result};
use crate::profiler::model::ModelShape;
use crate::profiler::{config, model};

/// The shape of a model that is named, or that a file describes.
///
/// # Errors
/// As [`model::lookup`] and [`config::parse`]; [`Error::Io`] for a file that cannot be read.
pub(super) fn shape(name: &str) -> Result<&'static ModelShape> {
    described(name)?.map_or_else(|| model::lookup(name), Ok)
}

/// The shape that a file describes; `None` where the name is that of no such file.
///
/// # Errors
/// As [`shape`].
pub(super) fn described(name: &str) -> Result<Option<&'static ModelShape>> {
    let path = Path::new(name);
    let path = if path.is_dir() { path.join("config.json") } else { path.to_path_buf() };
    if path.extension().is_none_or(|e| e != "json") || !path.is_file() {
        return Ok(None);
    }
    let length = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
    if length > config::FILE_BYTES_MAX as u64 {
        return Err(Error::Usage(format!("--model {}: {length} bytes are no config.json", path.display())));
    }
    let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
    let shape = config::parse(&path.display().to_string(), &bytes)?;
    // Few per process, and they live as long as those of the table.
    Ok(Some(Box::leak(Box::new(shape))))
}
