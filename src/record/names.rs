//! A column of names out of a closed set, of which nearly all rows have the same → values, without a text per row.
//!
//! In: the checked pages of a column that every row has ([`super::pages`]). Out: values, in order of rows.
//! Invariants: a name is looked up once per dictionary, and no index leads past it; numbers of a damaged page end in an error.
//! Source of the encoding: Apache Parquet's Encodings.md, "Dictionary Encoding" and "Run Length Encoding / Bit-Packing Hybrid".

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::Result;

use super::pages::varint;
use super::source::bad;

/// Most bits of an index: a closed set is small.
const WIDTH_MAX: u8 = 8;

/// Indices of one encoded run.
#[derive(Debug, Default)]
enum Run {
    #[default]
    None,
    /// The same one, so many times.
    Same(usize, u64),
    /// Those of one group of eight, least bits first, and how many groups follow.
    Packed { bits: u64, left: u32, groups: u64 },
}

/// The rest of a page.
#[derive(Debug, Default)]
struct Rest {
    bytes: Bytes,
    at: usize,
    values: usize,
    /// Bits of an index; `None` where the names themselves stand there.
    width: Option<u8>,
    run: Run,
}

/// The column.
pub(super) struct Names<T> {
    pages: Box<dyn PageReader>,
    parse: fn(&str) -> Option<T>,
    dictionary: Vec<std::result::Result<T, Bytes>>,
    rest: Rest,
}

impl<T: Copy> Names<T> {
    pub(super) fn new(pages: Box<dyn PageReader>, parse: fn(&str) -> Option<T>) -> Names<T> {
        Names { pages, parse, dictionary: Vec::new(), rest: Rest::default() }
    }

    /// Calls `set` with the next `n` rows' values: runs of rows that have one, in order.
    pub(super) fn each(&mut self, n: usize, mut set: impl FnMut(std::ops::Range<usize>, T)) -> Result<()> {
        let mut done = 0;
        while done < n {
            if self.rest.values == 0 {
                self.next_page()?;
                continue;
            }
            let most = (n - done).min(self.rest.values);
            let (count, value) = match self.rest.width {
                Some(width) => {
                    let (count, index) = self.rest.indices(width, most).ok_or_else(|| bad("a page ends early"))?;
                    (
                        count,
                        self.dictionary.get(index).ok_or_else(|| bad("an index leads past its dictionary"))?.clone(),
                    )
                }
                None => (
                    1,
                    self.rest.plain().map(|name| value(self.parse, name)).ok_or_else(|| bad("a page ends early"))?,
                ),
            };
            set(done..done + count, value.map_err(|name| stranger(&name))?);
            done += count;
            self.rest.values -= count;
        }
        Ok(())
    }

    fn next_page(&mut self) -> Result<()> {
        match self.pages.get_next_page()? {
            Some(Page::DictionaryPage { buf, num_values, .. }) => {
                let mut names = Rest { bytes: buf, ..Rest::default() };
                let names = (0..num_values).map_while(|_| names.plain()).map(|name| value(self.parse, name));
                self.dictionary = names.collect();
                Ok(())
            }
            Some(Page::DataPage { buf, num_values, encoding, .. }) => {
                let width = match encoding {
                    Encoding::PLAIN => None,
                    _ => Some(
                        buf.first().copied().filter(|w| *w <= WIDTH_MAX).ok_or_else(|| bad("an index is too wide"))?,
                    ),
                };
                let at = usize::from(width.is_some());
                self.rest = Rest { bytes: buf, at, values: num_values as usize, width, run: Run::None };
                Ok(())
            }
            Some(Page::DataPageV2 { .. }) => Err(bad("a page has the second version's form")),
            None => Err(bad("a column has fewer rows than its row group")),
        }
    }
}

impl Rest {
    /// The next name as it stands: its length in 4 bytes, then it.
    fn plain(&mut self) -> Option<Bytes> {
        let size = self.bytes.get(self.at..)?.first_chunk::<4>()?;
        let from = self.at + 4;
        let to = from.checked_add(u32::from_le_bytes(*size) as usize).filter(|to| *to <= self.bytes.len())?;
        self.at = to;
        Some(self.bytes.slice(from..to))
    }

    /// The next index, and for how many rows it stands, `most` at most.
    fn indices(&mut self, width: u8, most: usize) -> Option<(usize, usize)> {
        loop {
            match &mut self.run {
                Run::Same(index, left) if *left > 0 => {
                    let count = most.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= count as u64;
                    return Some((count, *index));
                }
                Run::Packed { bits, left, .. } if *left > 0 => {
                    let index = *bits & ((1 << width) - 1);
                    *bits = bits.checked_shr(u32::from(width)).unwrap_or(0);
                    *left -= 1;
                    return Some((1, index as usize));
                }
                Run::Packed { groups, .. } if *groups > 0 => {
                    let groups = *groups - 1;
                    self.run = Run::Packed { bits: self.number(usize::from(width))?, left: 8, groups };
                }
                _ => self.next_run(width)?,
            }
        }
    }

    fn next_run(&mut self, width: u8) -> Option<()> {
        let mut after = self.bytes.get(self.at..)?;
        let header = varint(&mut after)?;
        self.at = self.bytes.len() - after.len();
        // An empty run would be looked at for ever where it takes no bytes.
        let length = (header >> 1 > 0).then_some(header >> 1)?;
        self.run = if header & 1 == 1 {
            Run::Packed { bits: 0, left: 0, groups: length }
        } else {
            Run::Same(self.number(usize::from(width.div_ceil(8)))? as usize, length)
        };
        Some(())
    }

    /// A number of so many bytes, eight at most, least first.
    fn number(&mut self, bytes: usize) -> Option<u64> {
        let these = self.bytes.get(self.at..self.at + bytes)?;
        self.at += bytes;
        Some(these.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

fn value<T>(parse: fn(&str) -> Option<T>, name: Bytes) -> std::result::Result<T, Bytes> {
    std::str::from_utf8(&name).ok().and_then(parse).ok_or(name)
}

fn stranger(name: &[u8]) -> parquet::errors::ParquetError {
    let shown: String = String::from_utf8_lossy(name).chars().take(32).collect();
    bad(format!("{shown:?} is not a value of its column"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(width: u8, bytes: &'static [u8], n: usize) -> Option<Vec<usize>> {
        let mut rest = Rest { bytes: Bytes::from_static(bytes), ..Rest::default() };
        let mut all = Vec::new();
        while all.len() < n {
            let (count, index) = rest.indices(width, n - all.len())?;
            all.extend(std::iter::repeat_n(index, count));
        }
        Some(all)
    }

    #[test]
    fn runs_and_packed_groups_are_read_as_the_format_has_them() {
        assert_eq!(indices(3, &[4 << 1, 5], 4), Some(vec![5; 4]));
        // The example of Encodings.md: 0 to 7 in three bits each.
        assert_eq!(indices(3, &[0x03, 0b1000_1000, 0b1100_0110, 0b1111_1010], 8), Some((0..8).collect()));
        assert_eq!(indices(1, &[0x03, 0b0000_0101, 2 << 1, 1], 10), Some(vec![1, 0, 1, 0, 0, 0, 0, 0, 1, 1]));
        assert_eq!(indices(0, &[5 << 1], 5), Some(vec![0; 5]), "of a dictionary of one name");
        assert_eq!(indices(8, &[0x03, 1, 2, 3, 4, 5, 6, 7, 8], 8), Some((1..9).collect()));
        for torn in [&[][..], &[4 << 1], &[0x03, 0], &[0, 0], &[1], &[0x80], &[2 << 1, 1]] {
            assert_eq!(indices(3, torn, 4), None, "{torn:?}");
        }
    }
}
