//! Turns the files of a folder into one stream of bytes, and places in that stream back into files and lines.
//!
//! In: a folder. Out: the content of its `.json` and `.jsonl` files (packed ones too), in order of their names, each
//! followed by a line's end. Invariants: one file is open at a time; nothing below the folder's own files is read.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use super::source;
use crate::error::{Error, Result};

/// The files of a folder, read one after the other.
pub(super) struct Folder {
    /// What is still to be opened, the last first.
    ahead: Vec<PathBuf>,
    open: Box<dyn BufRead>,
    /// Every file that was opened, with the number of lines before it.
    opened: Vec<(PathBuf, u64)>,
    lines: u64,
}

impl Folder {
    /// Finds the files.
    ///
    /// # Errors
    /// The folder cannot be read, or holds no such file.
    pub(super) fn open(path: &Path) -> Result<Folder> {
        let mut ahead = Vec::new();
        for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
            let file = entry.map_err(Error::io(path))?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let is_trace = [".json", ".jsonl"].iter().any(|end| {
                name.trim_end_matches(".gz").trim_end_matches(".zst").ends_with(end) && !name.starts_with('.')
            });
            if is_trace && file.is_file() {
                ahead.push(file);
            }
        }
        if ahead.is_empty() {
            let problem = format!("{}: holds no .json or .jsonl file", path.display());
            return Err(Error::Usage(format!("{problem}; name a file, or a folder of traces")));
        }
        ahead.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Folder { ahead, open: Box::new(io::empty()), opened: Vec::new(), lines: 0 })
    }

    /// The file of a line of the stream, and its line there.
    pub(super) fn place(&self, line: u64) -> Option<(&Path, u64)> {
        let (file, before) = self.opened.iter().rev().find(|(_, before)| *before < line)?;
        Some((file, line - before))
    }

    /// The file that is being read.
    pub(super) fn current(&self) -> Option<&Path> {
        self.opened.last().map(|(file, _)| &**file)
    }
}

impl BufRead for Folder {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.open.fill_buf()?.is_empty() {
            let Some(next) = self.ahead.pop() else {
                break;
            };
            // A file may end without a line's end.
            self.open = Box::new(source::unpacked_file(&next)?.chain(&b"\n"[..]));
            self.opened.push((next, self.lines));
        }
        self.open.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if let Ok(buffer) = self.open.fill_buf() {
            self.lines += memchr::memchr_iter(b'\n', &buffer[..bytes.min(buffer.len())]).count() as u64;
        }
        self.open.consume(bytes);
    }
}

impl Read for Folder {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let taken = self.fill_buf()?.read(out)?;
        self.consume(taken);
        Ok(taken)
    }
}
