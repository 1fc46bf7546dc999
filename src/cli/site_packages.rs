//! Where Python keeps what is installed, without asking it.
//!
//! In: the environment, and the folders that Python's `sysconfig` names by default. Out: those that hold a package, the environment's
//! own first.

use std::path::PathBuf;

/// Folders that hold the package, in the order in which Python would look.
#[expect(clippy::disallowed_methods, reason = "cli reads the environment")]
pub(super) fn holding(package: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PYTHONPATH")
        .iter()
        .flat_map(|paths| std::env::split_paths(paths).collect::<Vec<_>>())
        .collect();
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(std::env::var_os).map(PathBuf::from).collect();
    // `bin/python3` lies beside `lib`.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let python = std::env::split_paths(&path).find(|bin| bin.join("python3").is_file());
    prefixes.extend(python.and_then(|bin| Some(bin.parent()?.to_path_buf())));
    prefixes.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local")));
    prefixes.extend(["/usr/local", "/usr"].map(PathBuf::from));
    for lib in prefixes.iter().map(|prefix| prefix.join("lib")) {
        let entries = std::fs::read_dir(&lib).into_iter().flatten().flatten();
        let mut versions: Vec<PathBuf> =
            entries.filter(|e| e.file_name().to_string_lossy().starts_with("python3")).map(|e| e.path()).collect();
        versions.sort();
        folders.extend(versions.iter().flat_map(|v| ["site-packages", "dist-packages"].map(|name| v.join(name))));
    }
    folders.retain(|folder| folder.join(package).is_dir());
    folders.dedup();
    folders
}
