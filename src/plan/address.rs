//! A step's command line and inputs → the name of the directory that holds its results.
//!
//! Invariant: the name depends on the words (in which earlier steps stand by their own addresses), on what the input files hold,
//! and on the program's version; on no path of this machine and no time.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Hexadecimal digits of an address: 64 bits, so that a billion steps share none.
const DIGITS: usize = 16;

/// The address of a step.
///
/// # Errors
/// [`Error::Io`] for an input that cannot be read.
pub fn address(name: &str, words: &[String], inputs: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    // Each part with its length in front: no two lists run into one text.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(env!("CARGO_PKG_VERSION").as_bytes());
    words.iter().for_each(|word| part(word.as_bytes()));
    for input in inputs {
        part(&std::fs::read(input).map_err(Error::io(input))?);
    }
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{name}-{}", &digits[..DIGITS]))
}
