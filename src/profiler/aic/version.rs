//! Folders named by versions → the newest that has a file.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A version in the order of Python's: numbers by size, a candidate before its release, a post-release after it.
fn key(version: &str) -> Vec<i64> {
    let mut key = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        match part.trim_matches(['.', '-', '_', '+']) {
            "" => {}
            "dev" => key.push(-4),
            "a" => key.push(-3),
            "b" => key.push(-2),
            "rc" => key.push(-1),
            "post" => key.push(1),
            number => key.push(number.parse().unwrap_or(0)),
        }
    }
    // The end comes after a candidate and before a post-release.
    key.push(0);
    key
}

/// The newest version below `dir` that has `name`, and the path of that; `None` where none has.
pub(super) fn newest(dir: &Path, name: &str) -> Result<Option<(String, PathBuf)>> {
    if !dir.is_dir() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        let (version, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path().join(name));
        if path.is_file() {
            found.push((version, path));
        }
    }
    Ok(found.into_iter().max_by(|a, b| key(&a.0).cmp(&key(&b.0)).then(a.0.cmp(&b.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        let ordered =
            ["0.1.dev192", "0.5.6", "0.5.6.post2", "0.5.10", "1.2.0rc5", "1.3.0rc10", "1.3.0rc20", "1.3.0", "1.3.1"];
        for pair in ordered.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}: {:?} {:?}", key(pair[0]), key(pair[1]));
        }
    }
}
