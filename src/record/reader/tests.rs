//! The reader against bytes that nobody meant.

use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::writer::SerializedFileWriter;
use rand::RngExt;

use super::*;
use crate::outcome::EventKind;
use crate::record::encode::{request_group, server_group, token_group};
use crate::record::row::{TokenChunk, TokenStamp};
use crate::record::server::{ServerRow, ServerSample};
use crate::record::token_rows::TokenRows;
use crate::rng::{Seed, Stream};

const CORPUS: &str = "fuzz/corpus/recording";
const REQUESTS: u64 = 12;

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

/// A small valid file of a table, in two row groups. Without compression, damage reaches the decoders directly.
fn valid(table: Table, compression: Compression) -> Vec<u8> {
    let mut bytes = Vec::new();
    let schema = table.schema().root_schema_ptr();
    let properties = table.writer_properties("seed").as_ref().clone();
    let properties = properties.into_builder().set_compression(compression).build();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties.into()).unwrap();
    for ids in [0..REQUESTS / 2, REQUESTS / 2..REQUESTS] {
        match table {
            Table::Requests => {
                let row = |id| RequestRow {
                    x_request_id: format!("seed-{id}"),
                    sent_ns: (id % 3 > 0).then_some(id as i64 * 1000),
                    error: (id % 3 == 0).then(|| "refused".to_owned()),
                    http_status: (id % 2 == 0).then_some(200),
                    ..RequestRow::scheduled(id, id as i64)
                };
                request_group(&mut file, &ids.map(row).collect::<Vec<_>>()).unwrap();
            }
            Table::Tokens => {
                let mut rows = TokenRows::default();
                for id in ids {
                    let mut chunk = TokenChunk::empty();
                    (chunk.request_id, chunk.first_seq) = (id, 0);
                    chunk.stamps.extend((0..20).map(|seq| stamp(id as i64 * 77 + seq * 20_000_123, seq as u32)));
                    rows.push(&chunk);
                }
                rows.sort();
                token_group(&mut file, &rows).unwrap();
            }
            Table::ServerMetrics => server_group(&mut file, &ids.map(scraped).collect::<Vec<_>>()).unwrap(),
        }
    }
    file.finish().unwrap();
    drop(file);
    bytes
}

fn scraped(id: u64) -> ServerRow {
    let name: Arc<str> = if id.is_multiple_of(2) { "x_total".into() } else { "y".into() };
    let sample = ServerSample {
        metric: name.clone(),
        metric_type: "counter".into(),
        help: "".into(),
        name,
        labels: "a=\"b\"".into(),
        value: (!id.is_multiple_of(5)).then_some(id as f64 * 1.5),
    };
    ServerRow {
        scrape: id as u32,
        endpoint: "http://h/metrics".into(),
        sent_ns: id as i64 * 333_000_000,
        first_byte_ns: id as i64 * 333_000_000 + 7,
        end_ns: id as i64 * 333_000_000 + 9,
        error: id.is_multiple_of(6).then(|| "refused".into()),
        sample: (!id.is_multiple_of(6)).then_some(sample),
    }
}

fn stamp(t_ns: i64, read: u32) -> TokenStamp {
    let kind = EventKind::ALL[read as usize % EventKind::ALL.len()];
    TokenStamp {
        t_ns,
        kernel_ns: read.is_multiple_of(2).then_some(t_ns - 7),
        read,
        bytes: 240,
        tokens: read.is_multiple_of(5).then_some(1),
        kind,
    }
}

#[test]
fn a_valid_file_is_read_whole() {
    assert_eq!(fuzz_read(&valid(Table::Tokens, zstd())), REQUESTS as usize * 20);
    assert_eq!(fuzz_read(&valid(Table::Requests, zstd())), REQUESTS as usize);
    assert_eq!(fuzz_read(&valid(Table::ServerMetrics, zstd())), REQUESTS as usize);
}

#[test]
fn requests_of_the_first_schema_version_are_read_without_the_columns_that_came_later() {
    let bytes = std::fs::read(format!("{CORPUS}/requests_v1.parquet")).unwrap();
    let file = TableFile::from_bytes(bytes.into(), Table::Requests).unwrap();
    assert_eq!(file.columns(), 30);
    let mut rows = Vec::new();
    decode::requests(&file, 0, &mut |row| rows.push(row)).unwrap();
    decode::requests(&file, 1, &mut |row| rows.push(row)).unwrap();
    assert_eq!(rows.len() as u64, REQUESTS);
    assert_eq!(
        (rows[4].x_request_id.as_str(), rows[4].sent_ns, rows[4].http_status),
        ("seed-4", Some(4000), Some(200))
    );
    assert!(rows.iter().all(|r| (r.dialed_ns, r.bytes_sent, r.writes, r.reads) == (None, 0, 0, 0)));
}

#[test]
fn the_corpus_is_read_without_a_panic() {
    let mut files = 0;
    for entry in std::fs::read_dir(CORPUS).unwrap() {
        fuzz_read(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 4, "{CORPUS} has only {files} files");
}

/// Flips, overwrites, cuts and doubles bytes, in the footer as often as in the data.
fn damage(bytes: &mut Vec<u8>, rng: &mut crate::rng::Rng) {
    let footer = bytes.len().saturating_sub(2500);
    for _ in 0..rng.random_range(1..4) {
        let from = if rng.random_bool(0.5) { 0 } else { footer.min(bytes.len() - 1) };
        let at = rng.random_range(from..bytes.len());
        match rng.random_range(0..8) {
            0..4 => bytes[at] ^= 1 << rng.random_range(0..8),
            4 => bytes[at] = rng.random(),
            5 => bytes[at] = [0, 0x7f, 0x80, 0xff][rng.random_range(0..4)],
            6 => drop(bytes.remove(at)),
            _ => bytes.insert(at, rng.random()),
        }
    }
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let (seed, rounds) = (20, 1500);
    let mut rng = Seed(seed).stream(Stream::Simulation);
    let mut accepted = 0;
    let kinds = Table::ALL.into_iter().flat_map(|table| [(table, zstd()), (table, Compression::UNCOMPRESSED)]);
    for (table, compression) in kinds {
        let whole = valid(table, compression);
        for round in 0..rounds {
            let mut bytes = whole.clone();
            damage(&mut bytes, &mut rng);
            let read = std::panic::catch_unwind(|| fuzz_read(&bytes));
            let read = read.unwrap_or_else(|_| {
                std::fs::write(std::env::temp_dir().join("loadline-panic.bin"), &bytes).unwrap();
                panic!("{table:?}, {compression} of seed {seed}, round {round} panics: see loadline-panic.bin")
            });
            accepted += usize::from(read > 0);
        }
        for cut in 0..whole.len() {
            assert_eq!(fuzz_read(&whole[..cut]), 0, "cut to {cut} bytes");
        }
    }
    assert!(accepted < rounds * 3, "{accepted} damaged files were taken as they are");
}

#[test]
#[ignore = "writes the seeds of the fuzzer"]
fn write_the_corpus() {
    let tokens = valid(Table::Tokens, zstd());
    let mut flipped = tokens.clone();
    (0..flipped.len()).step_by(97).for_each(|i| flipped[i] ^= 0x10);
    let seeds = [
        ("tokens.parquet", tokens.clone()),
        ("requests.parquet", valid(Table::Requests, zstd())),
        ("server_metrics.parquet", valid(Table::ServerMetrics, zstd())),
        ("tokens_plain.parquet", valid(Table::Tokens, Compression::UNCOMPRESSED)),
        ("requests_plain.parquet", valid(Table::Requests, Compression::UNCOMPRESSED)),
        ("tokens_truncated.parquet", tokens[..tokens.len() * 2 / 3].to_vec()),
        ("tokens_flipped.parquet", flipped),
        ("empty", Vec::new()),
    ];
    std::fs::create_dir_all(CORPUS).unwrap();
    seeds.into_iter().for_each(|(name, bytes)| std::fs::write(format!("{CORPUS}/{name}"), bytes).unwrap());
}

#[test]
fn a_few_requests_are_read_without_the_columns_of_sizes_and_the_groups_of_others() {
    let file = TableFile::from_bytes(valid(Table::Tokens, zstd()).into(), Table::Tokens).unwrap();
    let (mut whole, mut few) = (TokenMerge::new(&file), TokenMerge::of_few(&file));
    let (mut expected, mut rows) = (Vec::new(), Vec::new());
    for id in [2, 5, REQUESTS - 1] {
        whole.take(id, &mut expected).unwrap();
        few.take(id, &mut rows).unwrap();
        assert_eq!(rows.len(), 20);
        expected.iter_mut().for_each(|row| (row.bytes, row.tokens) = (0, None));
        assert_eq!(rows, expected);
    }
    // The first group is damaged; who asks for a request of the second only never opens it.
    let mut bytes = valid(Table::Tokens, zstd());
    let first = file.metadata().row_group(0);
    let start = first.column(0).byte_range().0 as usize;
    let end = file.metadata().row_group(1).column(0).byte_range().0 as usize;
    bytes[start..end].fill(0xff);
    let file = TableFile::from_bytes(bytes.into(), Table::Tokens).unwrap();
    assert!(TokenMerge::new(&file).take(REQUESTS - 1, &mut rows).is_err());
    TokenMerge::of_few(&file).take(REQUESTS - 1, &mut rows).unwrap();
    assert_eq!(rows.len(), 20);
}
