//! The data that lie beside the repository, for tests that hold what is published against what we make of it.

use std::path::{Path, PathBuf};

/// A file of the data that lie beside the repository, where they do.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = option_env!("LOADLINE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let file = root.join(path);
    if !file.exists() {
        eprintln!("SKIPPED: {} is not here", file.display());
        return None;
    }
    Some(file)
}
