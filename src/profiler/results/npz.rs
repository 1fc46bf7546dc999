//! Several arrays of numpy under their names (`.npz`, a zip of `.npy`) ↔ numbers.
//!
//! Invariants: memory is bounded whatever the archive claims; the same arrays give the same bytes.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::npy;

/// Arrays of a file, at most.
const ARRAYS_MAX: usize = 256;
/// Bytes of an array, unpacked, at most.
const ARRAY_BYTES_MAX: u64 = 32 << 20;

/// The arrays of a file, by name; a grid's rows one after the other.
pub type Arrays = BTreeMap<String, Vec<f64>>;

/// Reads a file, compressed or not.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(bytes: &[u8]) -> Result<Arrays, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| format!("it is no zip archive: {e}"))?;
    if archive.len() > ARRAYS_MAX {
        return Err(format!("it holds {} files, and {ARRAYS_MAX} are the most", archive.len()));
    }
    let mut arrays = Arrays::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(|e| format!("file {index} in it cannot be read: {e}"))?;
        let name = file.name().map_err(|e| format!("file {index} in it has no name: {e}"))?;
        let name = name.trim_end_matches(".npy").to_owned();
        let mut array = Vec::new();
        file.by_ref().take(ARRAY_BYTES_MAX).read_to_end(&mut array).map_err(|e| format!("array `{name}`: {e}"))?;
        let values = npy::parse_grid(&array).map_err(|problem| format!("array `{name}`: {problem}"))?;
        arrays.insert(name, values);
    }
    Ok(arrays)
}

/// Writes a file as `numpy.savez` does: not compressed.
///
/// # Errors
/// What the archive's writer says.
pub fn encode(arrays: &[(&str, &[f64])]) -> Result<Vec<u8>, String> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    // The default time of a zip entry is 1980, whatever the clock says.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    let fail = |e: zip::result::ZipError| e.to_string();
    for (name, values) in arrays {
        archive.start_file(format!("{name}.npy"), options).map_err(fail)?;
        archive.write_all(&npy::encode(values)).map_err(|e| e.to_string())?;
    }
    archive.finish().map(Cursor::into_inner).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_under_their_names_and_the_bytes_are_always_the_same() {
        let (isl, ttft) = ([100.0, 2621.0], [19.9, 249.3]);
        let bytes = encode(&[("prefill_isl", &isl), ("prefill_ttft", &ttft)]).unwrap();
        let arrays = parse(&bytes).unwrap();
        assert_eq!(arrays["prefill_isl"], isl);
        assert_eq!(arrays["prefill_ttft"], ttft);
        assert_eq!(bytes, encode(&[("prefill_isl", &isl), ("prefill_ttft", &ttft)]).unwrap());
    }

    #[test]
    fn what_is_no_archive_of_arrays_is_refused() {
        assert!(parse(b"nothing of the kind").unwrap_err().contains("no zip archive"));
        let bytes = encode(&[("a", &[1.0])]).unwrap();
        assert!((0..bytes.len()).step_by(7).all(|n| parse(&bytes[..n]).is_err()));
    }
}
