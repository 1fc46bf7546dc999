//! A JSON file of bounded size, and the numbers in it: what is null, missing or no finite number is `None`.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, InputError, Result};

/// Bytes of a file, at most.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads a file.
///
/// # Errors
/// [`Error::Input`] for one that is too large or no JSON object, [`Error::Io`] for one that cannot be read.
pub(super) fn read(path: &Path) -> Result<Value> {
    let fault = |problem: String| -> Error {
        InputError::of_file(path.display().to_string(), problem, "give the file as its program wrote it").into()
    };
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if size > FILE_BYTES_MAX {
        return Err(fault(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| fault(format!("it is no JSON: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(fault("it is no JSON object".into())) }
}

/// The number at a JSON pointer.
pub(super) fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer)?.as_f64().filter(|x| x.is_finite())
}

/// The whole number at a JSON pointer.
pub(super) fn whole(value: &Value, pointer: &str) -> Option<u32> {
    number(value, pointer).filter(|x| x.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(x)).map(|x| x as u32)
}

/// The text at a JSON pointer, cut to a length that a table can bear.
pub(super) fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(|s| s.chars().take(200).collect())
}
