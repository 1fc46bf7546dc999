//! Pages of a file that nobody vouches for → pages that the `parquet` crate's decoders can take.
//!
//! In: a page's header, then its uncompressed bytes. Out: the same, or an error. The decoders index, allocate, subtract
//! and unwrap by numbers that they find in a page; those are what is looked at here, and what a mutation test of the
//! reader found to panic.
//! Invariants: only what [`super::durable`] writes is accepted: pages of the first version, levels of one bit, and
//! plain, dictionary or delta encoding.
//! Not here: values ([`super::decode`]).

use parquet::basic::{Encoding, Type as Physical};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::SerializedPageReader;

use super::source::{GROUP_ROWS_MAX, Source, bad};

/// Most values of one block of delta encoding; writers use 128.
const DELTA_BLOCK_MAX: u64 = 1 << 16;

/// The second field of a page header, its uncompressed size, of a header whose first two fields are the two that
/// every writer puts first: i32 by Thrift's compact protocol, so a byte 0x15 and a zigzag varint each.
pub(super) fn page_bytes(head: &[u8]) -> Option<i32> {
    let mut rest = head;
    field_i32(&mut rest)?;
    field_i32(&mut rest)
}

fn field_i32(rest: &mut &[u8]) -> Option<i32> {
    let (&0x15, after) = rest.split_first()? else { return None };
    *rest = after;
    let v = u32::try_from(varint(rest)?).ok()?;
    Some((v >> 1) as i32 ^ -((v & 1) as i32))
}

pub(super) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Pages that the crate's decoders can take: they index, allocate and unwrap by what these checks look at.
pub(super) struct CheckedPages {
    inner: SerializedPageReader<Source>,
    physical: Physical,
    optional: bool,
    has_dictionary: bool,
}

impl CheckedPages {
    /// The pages of the column `chunk`, which `inner` reads.
    pub(super) fn new(inner: SerializedPageReader<Source>, chunk: &ColumnChunkMetaData) -> CheckedPages {
        let optional = chunk.column_descr().max_def_level() > 0;
        CheckedPages { inner, physical: chunk.column_type(), optional, has_dictionary: false }
    }

    fn check(&mut self, page: &Page) -> Result<()> {
        match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                self.has_dictionary = true;
                self.check_plain(buf, u64::from(*num_values)).ok_or_else(|| bad("a dictionary is damaged"))
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
                if i64::from(*num_values) > GROUP_ROWS_MAX {
                    return Err(bad(format!("a page has {num_values} values")));
                }
                if self.optional && *def_level_encoding != Encoding::RLE {
                    return Err(bad(format!("a page's levels are encoded as {def_level_encoding}")));
                }
                self.check_values(buf, *num_values, *encoding)
                    .ok_or_else(|| bad(format!("a page that is encoded as {encoding} is damaged")))
            }
            Page::DataPageV2 { .. } => Err(bad("a page has the second version's form")),
        }
    }

    /// Looks at the values of a page of `rows` rows. None if they cannot be decoded.
    fn check_values(&self, page: &[u8], rows: u32, encoding: Encoding) -> Option<()> {
        let (mut values, mut present) = (page, u64::from(rows));
        if self.optional {
            let (size, after) = page.split_first_chunk::<4>()?;
            let (levels, after) = after.split_at_checked(u32::from_le_bytes(*size) as usize)?;
            (values, present) = (after, rows_present(levels, present)?);
        }
        match encoding {
            Encoding::PLAIN => self.check_plain(values, present),
            Encoding::RLE_DICTIONARY => self.has_dictionary.then_some(()),
            Encoding::DELTA_BINARY_PACKED if matches!(self.physical, Physical::INT32 | Physical::INT64) => {
                let [block, mini_blocks, count] = [varint(&mut values)?, varint(&mut values)?, varint(&mut values)?];
                (block <= DELTA_BLOCK_MAX && mini_blocks <= block && count == present).then_some(())
            }
            _ => None,
        }
    }

    /// Whether `bytes` hold `count` values as they are: numbers, or texts after their lengths in 4 bytes.
    fn check_plain(&self, mut bytes: &[u8], count: u64) -> Option<()> {
        let width = if matches!(self.physical, Physical::INT64 | Physical::DOUBLE) { 8 } else { 4 };
        if count > bytes.len() as u64 / width {
            return None;
        }
        if self.physical == Physical::BYTE_ARRAY {
            for _ in 0..count {
                let (size, after) = bytes.split_first_chunk::<4>()?;
                bytes = after.get(u32::from_le_bytes(*size) as usize..)?;
            }
        }
        Some(())
    }
}

/// How many of `rows` rows have a value, by their levels of one bit: runs of one level (its count twice, then the
/// level) and groups of 8 (their count twice plus one, then a byte each).
fn rows_present(mut levels: &[u8], rows: u64) -> Option<u64> {
    let (mut seen, mut present) = (0, 0);
    while seen < rows {
        let header = varint(&mut levels)?;
        let (run, packed) = (header >> 1, header & 1 == 1);
        let bytes = usize::try_from(if packed { run } else { 1 }).ok()?;
        let (these, after) = levels.split_at_checked(bytes)?;
        levels = after;
        if packed {
            let bits = these.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
            let left = usize::try_from(rows - seen).ok()?;
            present += bits.take(left).map(u64::from).sum::<u64>();
            seen = seen.checked_add(run.checked_mul(8)?)?;
        } else {
            present += u64::from(these[0]) * run.min(rows - seen);
            seen = seen.checked_add(run)?;
        }
        if run == 0 || !packed && these[0] > 1 {
            return None;
        }
    }
    Some(present)
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        page.as_ref().map_or(Ok(()), |page| self.check(page))?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_tell_how_many_rows_have_a_value() {
        assert_eq!(rows_present(&[10 << 1, 1], 10), Some(10), "a run of 10 ones");
        assert_eq!(rows_present(&[10 << 1, 0], 10), Some(0), "a run of 10 zeros");
        assert_eq!(rows_present(&[0x03, 0b1010_0101], 8), Some(4), "a group of 8");
        assert_eq!(rows_present(&[0x03, 0b1010_0101], 3), Some(2), "padded");
        assert_eq!(rows_present(&[4 << 1, 1, 0x03, 0b1], 6), Some(5), "a run, then a group");
        for torn in [&[][..], &[4 << 1], &[4 << 1, 1], &[0x05, 0xff], &[0, 1], &[20, 2]] {
            assert_eq!(rows_present(torn, 10), None, "{torn:?}");
        }
    }
}
