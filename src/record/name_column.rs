//! A column of names out of a closed set, of which nearly all rows have the same → its chunk of a row group, without a text per row.
//!
//! In: runs of rows that share a name. Out: a dictionary page and one page of runs, as [`super::names`] and any reader of Parquet read them.
//! Invariant: at most 256 names. The statistics of a closed set would tell nothing, and there are none.
//! Source of the encoding: Apache Parquet's Encodings.md, "Dictionary Encoding" and "Run Length Encoding / Bit-Packing Hybrid".

use std::io::Write;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// Writes the next column of a row group. `runs` has for each stretch of rows how many they are, one at least, and their name.
pub(super) fn write<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: ColumnDescPtr,
    runs: impl Iterator<Item = (u64, &'static str)>,
) -> Result<()> {
    let mut dictionary: Vec<&'static str> = Vec::new();
    let (mut indices, mut rows) = (vec![], 0);
    // Indices of a byte each: bits are saved by runs, and what is left of them by compression.
    indices.push(8);
    let mut put = |count: u64, index: u8| {
        put_varint(&mut indices, count << 1);
        indices.push(index);
    };
    let mut open: Option<(u64, u8)> = None;
    for (count, name) in runs {
        rows += count;
        let index = match dictionary.iter().position(|known| *known == name) {
            Some(index) => index,
            None => {
                dictionary.push(name);
                dictionary.len() - 1
            }
        };
        let index =
            u8::try_from(index).map_err(|_| ParquetError::General("a closed set of names is too large".into()))?;
        open = match open {
            Some((before, same)) if same == index => Some((before + count, same)),
            ended => {
                if let Some((count, index)) = ended {
                    put(count, index);
                }
                Some((count, index))
            }
        };
    }
    if let Some((count, index)) = open {
        put(count, index);
    }
    append(group, column, (dictionary, indices), rows)
}

fn append<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: ColumnDescPtr,
    (dictionary, indices): (Vec<&'static str>, Vec<u8>),
    rows: u64,
) -> Result<()> {
    let mut names = Vec::new();
    for name in &dictionary {
        names.extend((name.len() as u32).to_le_bytes());
        names.extend(name.as_bytes());
    }
    let mut chunk = TrackedWrite::new(Vec::new());
    let mut pages = SerializedPageWriter::new(&mut chunk);
    let first = pages.write_page(compressed(&names, |buf| Page::DictionaryPage {
        buf,
        num_values: dictionary.len() as u32,
        encoding: Encoding::PLAIN,
        is_sorted: false,
    })?)?;
    let second = pages.write_page(compressed(&indices, |buf| Page::DataPage {
        buf,
        num_values: rows as u32,
        encoding: Encoding::RLE_DICTIONARY,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    })?)?;
    let sum = |of: fn(&PageWriteSpec) -> usize| (of(&first) + of(&second)) as i64;
    let metadata = ColumnChunkMetaData::builder(column)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
        .set_total_compressed_size(sum(|spec| spec.compressed_size))
        .set_total_uncompressed_size(sum(|spec| spec.uncompressed_size))
        .set_num_values(rows as i64)
        .set_dictionary_page_offset(Some(first.offset as i64))
        .set_data_page_offset(second.offset as i64)
        .build()?;
    let close = ColumnCloseResult {
        bytes_written: metadata.compressed_size() as u64,
        rows_written: rows,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    group.append_column(&Bytes::from(chunk.into_inner()?), close)
}

fn compressed(bytes: &[u8], page: impl FnOnce(Bytes) -> Page) -> Result<CompressedPage> {
    let small = zstd::bulk::compress(bytes, ZstdLevel::default().compression_level())?;
    Ok(CompressedPage::new(page(small.into()), bytes.len()))
}

fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
