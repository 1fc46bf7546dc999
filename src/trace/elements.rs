//! Turns a JSON array, however large, into its elements, one at a time, with their lines.
//!
//! In: any [`BufRead`]: one array of objects, or objects one after the other. Out: the bytes of each object; what they say is
//! the format's business. Invariant: never more than the bound, [`MAX_LINE_BYTES`] unless said otherwise, are held, whatever the stream.

use std::io::{self, BufRead};

use super::lines::{MAX_LINE_BYTES, without_mark};

/// A reader of elements.
pub(super) struct Elements<'a> {
    input: &'a mut dyn BufRead,
    line: u64,
    buffer: Vec<u8>,
    most: usize,
    place: Place,
}

/// Where the reader stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    InArray,
    /// Objects that no array holds.
    Loose,
    End,
}

/// What is found next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    /// An element's bytes, and the line that it begins on.
    Whole(u64, &'a [u8]),
    /// An element that is longer than the bound.
    TooLong(u64),
    /// The stream ended before the array did: on this line.
    CutOff(u64),
}

impl<'a> Elements<'a> {
    pub(super) fn new(input: &'a mut dyn BufRead) -> Elements<'a> {
        Elements::of_at_most(input, MAX_LINE_BYTES)
    }

    /// A reader of elements that may be longer, or must be shorter, than a line.
    pub(super) fn of_at_most(input: &'a mut dyn BufRead, most: usize) -> Elements<'a> {
        Elements { input, line: 1, buffer: Vec::new(), most, place: Place::Start }
    }

    /// The next element; null at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Element<'_>>> {
        if !self.find_start()? {
            let cut = self.place == Place::InArray;
            self.place = Place::End;
            return Ok(cut.then_some(Element::CutOff(self.line)));
        }
        let begins = self.line;
        let mut scan = Scan::default();
        let mut too_long = false;
        self.buffer.clear();
        loop {
            let chunk = self.input.fill_buf()?;
            let end = scan.end_in(chunk);
            let taken = end.unwrap_or(chunk.len());
            too_long |= self.buffer.len() + taken > self.most;
            if !too_long {
                self.buffer.extend_from_slice(&chunk[..taken]);
            }
            self.line += lines_in(&chunk[..taken]);
            self.input.consume(taken);
            if end.is_some() || taken == 0 {
                break;
            }
        }
        Ok(Some(if too_long { Element::TooLong(begins) } else { Element::Whole(begins, self.buffer.trim_ascii_end()) }))
    }

    /// Passes over what stands between elements; false at the end of the array or of the stream.
    fn find_start(&mut self) -> io::Result<bool> {
        loop {
            let chunk = self.input.fill_buf()?;
            let marked = chunk.len() - if self.place == Place::Start { without_mark(chunk).len() } else { chunk.len() };
            let Some(&first) = chunk.get(marked) else {
                return Ok(false);
            };
            match first {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | b',' => {}
                b'[' if self.place == Place::Start => self.place = Place::InArray,
                b']' if self.place == Place::InArray => {
                    self.place = Place::End;
                    return Ok(false);
                }
                _ if self.place == Place::End => return Ok(false),
                _ => {
                    if self.place == Place::Start {
                        self.place = Place::Loose;
                    }
                    self.input.consume(marked);
                    return Ok(true);
                }
            }
            self.input.consume(marked + 1);
        }
    }
}

fn lines_in(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// How deep inside an element the reader is.
#[derive(Default)]
struct Scan {
    depth: u64,
    in_text: bool,
    escaped: bool,
    /// Bytes of earlier chunks.
    before: bool,
}

impl Scan {
    /// How many bytes of this chunk the element still has; null where it goes on beyond the chunk.
    fn end_in(&mut self, chunk: &[u8]) -> Option<usize> {
        for (at, &byte) in chunk.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                // A bracket that closes nothing is an element of its own where it stands first, and ends one elsewhere.
                b'}' | b']' if self.depth == 0 => return Some(if at == 0 && !self.before { 1 } else { at }),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                b',' | b'\n' if self.depth == 0 => return Some(at),
                _ => {}
            }
        }
        self.before |= !chunk.is_empty();
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn all(bytes: &[u8], buffer: usize) -> Vec<(u64, String)> {
        let mut input = BufReader::with_capacity(buffer, bytes);
        let mut elements = Elements::new(&mut input);
        let mut out = Vec::new();
        while let Some(element) = elements.next().unwrap() {
            out.push(match element {
                Element::Whole(line, bytes) => (line, String::from_utf8_lossy(bytes).into_owned()),
                Element::TooLong(line) => (line, "TOO LONG".into()),
                Element::CutOff(line) => (line, "CUT OFF".into()),
            });
        }
        out
    }

    #[test]
    fn elements_of_an_array_come_with_their_lines_however_they_arrive() {
        let file = b"\xef\xbb\xbf [\r\n{\"a\": \"}]\\\"{\"},\n {\"b\":\n [{}, [1]]} , 7, \"x,\n]\"]\n";
        let whole = [(2, "{\"a\": \"}]\\\"{\"}"), (3, "{\"b\":\n [{}, [1]]}"), (4, "7"), (4, "\"x,\n]\"")];
        let expected: Vec<_> = whole.map(|(line, text)| (line, text.to_owned())).to_vec();
        for buffer in [4, 5, 7, 4096] {
            assert_eq!(all(file, buffer), expected, "chunks of {buffer} bytes");
        }
    }

    #[test]
    fn objects_without_an_array_are_read_too() {
        assert_eq!(all(b"{\"a\":1}\n{}\n", 99), [(1, "{\"a\":1}".to_owned()), (2, "{}".to_owned())]);
        assert_eq!(all(b"", 99), []);
        assert_eq!(all(b"[]", 99), []);
    }

    #[test]
    fn an_array_that_does_not_end_is_told_after_its_elements() {
        assert_eq!(all(b"[{}\n,{}", 99), [(1, "{}".to_owned()), (2, "{}".to_owned()), (2, "CUT OFF".to_owned())]);
        assert_eq!(all(b"[{\"a", 99), [(1, "{\"a".to_owned()), (1, "CUT OFF".to_owned())]);
    }

    #[test]
    fn no_byte_holds_the_reader_up() {
        assert_eq!(all(b"}]{}", 99), [(1, "}".to_owned()), (1, "]".to_owned()), (1, "{}".to_owned())]);
        assert_eq!(all(b"[}]", 99), [(1, "}".to_owned())]);
        assert_eq!(all(b"[1]]", 99), [(1, "1".to_owned())]);
    }

    #[test]
    fn an_element_beyond_the_bound_is_passed_over_whole() {
        let mut file = b"[{\"a\": \"".to_vec();
        file.resize(file.len() + MAX_LINE_BYTES, b'\n');
        file.extend_from_slice(b"\"},\n{}]");
        assert_eq!(all(&file, 4096), [(1, "TOO LONG".to_owned()), (MAX_LINE_BYTES as u64 + 2, "{}".to_owned())]);
    }
}
