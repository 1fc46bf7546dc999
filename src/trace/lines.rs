//! Turns a byte stream into lines of bounded length, with their numbers.
//!
//! In: any [`BufRead`]. Out: each line without its end (LF or CRLF) and without a byte-order mark; empty lines are left
//! out but counted. Invariant: never more than [`MAX_LINE_BYTES`] are held, whatever the stream.

use std::io::{self, BufRead, Read};

/// The longest line that is read.
pub(super) const MAX_LINE_BYTES: usize = 16 << 20;

/// A reader of lines.
pub(super) struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
    buffer: Vec<u8>,
}

/// One line.
pub(super) struct Line<'a> {
    /// 1-based.
    pub(super) number: u64,
    /// Its bytes; null where it is too long.
    pub(super) bytes: Option<&'a [u8]>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(input: &'a mut dyn BufRead) -> Lines<'a> {
        Lines { input, number: 0, buffer: Vec::new() }
    }

    /// The next line that is not empty; null at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.buffer.clear();
            let limit = MAX_LINE_BYTES as u64 + 1;
            if (&mut *self.input).take(limit).read_until(b'\n', &mut self.buffer)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.buffer.len() > MAX_LINE_BYTES && self.buffer.last() != Some(&b'\n') {
                self.skip_rest()?;
                return Ok(Some(Line { number: self.number, bytes: None }));
            }
            if content(&self.buffer, self.number).is_empty() {
                continue;
            }
            return Ok(Some(Line { number: self.number, bytes: Some(content(&self.buffer, self.number)) }));
        }
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                return Ok(());
            }
            match memchr::memchr(b'\n', chunk) {
                Some(at) => {
                    self.input.consume(at + 1);
                    return Ok(());
                }
                None => {
                    let held = chunk.len();
                    self.input.consume(held);
                }
            }
        }
    }
}

/// The line's bytes without its end, blanks around it, or the mark that some editors put before the first.
fn content(line: &[u8], number: u64) -> &[u8] {
    let line = if number == 1 { without_mark(line) } else { line };
    line.trim_ascii()
}

/// The bytes after a UTF-8 byte-order mark, if there is one.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut bytes: &[u8]) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::new(&mut bytes);
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            out.push((line.number, line.bytes.map(|b| String::from_utf8_lossy(b).into_owned())));
        }
        out
    }

    #[test]
    fn ends_marks_and_empty_lines_are_taken_off_and_counted() {
        let some = |n, s: &str| (n, Some(s.to_owned()));
        assert_eq!(all(b"\xef\xbb\xbfa\r\n\r\n  \nb\nc"), [some(1, "a"), some(4, "b"), some(5, "c")]);
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\n\n"), []);
    }

    #[test]
    fn a_line_beyond_the_bound_is_passed_over_whole() {
        let mut bytes = vec![b'x'; MAX_LINE_BYTES + 70_000];
        bytes.extend_from_slice(b"\nshort\n");
        assert_eq!(all(&bytes), [(1, None), (2, Some("short".to_owned()))]);
        let mut fits = vec![b'x'; MAX_LINE_BYTES];
        fits.push(b'\n');
        assert!(all(&fits)[0].1.is_some());
    }
}
