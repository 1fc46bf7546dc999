//! The recording from the outside: what is written is what is read, on disk as promised, after a kill too.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loadline::error::Error;
use loadline::outcome::{EventKind, Outcome, Phase, TokenSource};
use loadline::record::durable::{Directory, DurableFile};
use loadline::record::encode::{request_group, token_group};
use loadline::record::manifest::{Counts, Host, Manifest, RunState, SCHEMA_VERSION};
use loadline::record::reader::{MemoryRows, Recording, Rows};
use loadline::record::ring::{Recorder, ring};
use loadline::record::row::{CHUNK_STAMPS, RequestRow, TokenChunk, TokenRow, TokenStamp};
use loadline::record::schema::{RUN_ID_KEY, Table, VERSION_KEY};
use loadline::record::token_rows::TokenRows;
use loadline::record::writer::{Writer, WriterOptions};
use loadline::rng::{Rng, Seed, Stream};
use loadline::time::{Anchor, SECOND_NS, SystemClock};
use parquet::basic::Encoding;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use rand::RngExt;

/// A run directory of its own that is gone with the value.
struct RunDir(PathBuf);

impl RunDir {
    fn new(name: &str, scheduled: u64) -> RunDir {
        let dir = std::env::temp_dir().join(format!("loadline-recording-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        manifest(scheduled).write(&dir).unwrap();
        RunDir(dir)
    }

    fn file(&self, table: Table) -> PathBuf {
        self.0.join(table.file_name())
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn manifest(scheduled: u64) -> Manifest {
    Manifest {
        schema_version: SCHEMA_VERSION,
        loadline_version: "test".into(),
        run_id: "00000000000000aa".into(),
        command: vec!["loadline".into()],
        config: serde_json::Value::Null,
        seed: 1,
        model: "m".into(),
        url: "http://127.0.0.1:1".into(),
        endpoint_type: "chat".into(),
        streaming: true,
        slo: Vec::new(),
        host: Host::default(),
        anchor: Anchor { t0_unix_ns: 0, t0_monotonic_ns: 0 },
        state: RunState::Running,
        counts: Counts { scheduled, ..Counts::default() },
        warmup: None,
        profiling: None,
        workers: Vec::new(),
        steal_ns: 0,
        verdict: None,
    }
}

fn maybe<T>(rng: &mut Rng, value: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.random_bool(0.5).then(|| value(rng))
}

fn text(rng: &mut Rng) -> String {
    let letters = ['a', 'Z', '0', '"', '\n', '\0', 'é', '漢', '🚢'];
    (0..rng.random_range(0..12)).map(|_| letters[rng.random_range(0..letters.len())]).collect()
}

fn ns(rng: &mut Rng) -> i64 {
    match rng.random_range(0..20) {
        0 => i64::MIN,
        1 => i64::MAX,
        _ => rng.random_range(-SECOND_NS..1000 * SECOND_NS),
    }
}

/// A row in which every field may hold, or lack, anything that its type allows.
fn random_request(rng: &mut Rng, request_id: u64, events: u32) -> RequestRow {
    RequestRow {
        request_id,
        x_request_id: text(rng),
        session_id: maybe(rng, text),
        turn: rng.random(),
        phase: if rng.random() { Phase::Warmup } else { Phase::Profiling },
        shard: rng.random(),
        worker: rng.random_range(0..3),
        scheduled_ns: ns(rng),
        released_ns: maybe(rng, ns),
        sent_ns: maybe(rng, ns),
        written_ns: maybe(rng, ns),
        connected_ns: maybe(rng, ns),
        head_ns: maybe(rng, ns),
        first_token_ns: maybe(rng, ns),
        first_output_ns: maybe(rng, ns),
        last_token_ns: maybe(rng, ns),
        end_ns: maybe(rng, ns),
        outcome: Outcome::ALL[rng.random_range(0..Outcome::ALL.len())],
        http_status: maybe(rng, RngExt::random),
        error: maybe(rng, text),
        finish_reason: maybe(rng, text),
        input_tokens: rng.random(),
        prompt_tokens: maybe(rng, RngExt::random),
        cached_tokens: maybe(rng, RngExt::random),
        max_tokens: maybe(rng, RngExt::random),
        output_tokens: maybe(rng, RngExt::random),
        output_tokens_source: TokenSource::ALL[rng.random_range(0..TokenSource::ALL.len())],
        reasoning_tokens: maybe(rng, RngExt::random),
        events,
        bytes_received: rng.random(),
        dialed_ns: maybe(rng, ns),
        bytes_sent: rng.random(),
        writes: rng.random(),
        reads: rng.random(),
    }
}

fn random_stamp(rng: &mut Rng) -> TokenStamp {
    TokenStamp {
        t_ns: ns(rng),
        kernel_ns: maybe(rng, ns),
        read: rng.random(),
        bytes: rng.random(),
        tokens: maybe(rng, RngExt::random),
        kind: EventKind::ALL[rng.random_range(0..EventKind::ALL.len())],
    }
}

/// Plays `rows` into two rings, the streams' chunks and ends interleaved at random as a run would.
fn record(dir: &Path, rows: &[(RequestRow, Vec<TokenRow>)], options: WriterOptions, rng: &mut Rng) {
    let (a, from_a) = ring(8192);
    let (b, from_b) = ring(8192);
    let mut recorders = [a, b];
    let clock = SystemClock::starting_in(0);
    let writer = Writer::spawn(dir, "00000000000000aa", vec![from_a, from_b], options, clock).unwrap();
    let mut open: Vec<(usize, &[TokenRow])> = rows.iter().enumerate().map(|(i, (_, e))| (i, e.as_slice())).collect();
    while !open.is_empty() {
        // Mostly the oldest few, as in a run.
        let at = rng.random_range(0..open.len().min(5));
        let (i, events) = open[at];
        let recorder = &mut recorders[i % 2];
        if events.is_empty() {
            recorder.push_request(rows[i].0.clone());
            open.remove(at);
        } else {
            let n = rng.random_range(1..=events.len().min(CHUNK_STAMPS));
            push_chunk(recorder, &events[..n]);
            open[at].1 = &events[n..];
        }
    }
    recorders.into_iter().for_each(Recorder::close);
    let report = writer.finish().unwrap();
    let tokens = rows.iter().map(|(_, events)| events.len() as u64).sum();
    assert_eq!((report.requests_written, report.tokens_written, report.tokens_lost), (rows.len() as u64, tokens, 0));
}

fn push_chunk(recorder: &mut Recorder, events: &[TokenRow]) {
    let mut chunk = recorder.chunk();
    fill(&mut chunk, events);
    recorder.push_tokens(chunk);
}

fn fill(chunk: &mut TokenChunk, events: &[TokenRow]) {
    (chunk.request_id, chunk.first_seq) = (events[0].request_id, events[0].seq);
    chunk.stamps.extend(events.iter().map(|e| TokenStamp {
        t_ns: e.t_ns,
        kernel_ns: e.kernel_ns,
        read: e.read,
        bytes: e.bytes,
        tokens: e.tokens,
        kind: e.kind,
    }));
}

fn random_rows(rng: &mut Rng, requests: u64) -> Vec<(RequestRow, Vec<TokenRow>)> {
    let row = |request_id| {
        let mut chunk = TokenChunk { request_id, first_seq: 0, stamps: Vec::new() };
        let events = match request_id {
            0 => 3000, // one stream that is open while most row groups are written
            _ if rng.random_bool(0.2) => 0,
            _ => rng.random_range(1..300),
        };
        chunk.stamps.extend((0..events).map(|_| random_stamp(rng)));
        let request = random_request(rng, request_id, events);
        (request, chunk.rows().collect())
    };
    (0..requests).map(row).collect()
}

fn collect(rows: &impl Rows) -> Vec<(RequestRow, Vec<TokenRow>)> {
    let mut all = Vec::new();
    rows.for_each_request(&mut |request, events| all.push((request.clone(), events.to_vec()))).unwrap();
    all
}

const MANY_GROUPS: WriterOptions =
    WriterOptions { rows_per_group_tokens: 700, rows_per_group_requests: 16, flush_interval_ns: 3600 * SECOND_NS };

#[test]
fn what_is_written_is_what_is_read() {
    for (seed, options) in [(1, MANY_GROUPS), (2, MANY_GROUPS), (3, WriterOptions::default())] {
        let mut rng = Seed(seed).stream(Stream::Simulation);
        let rows = random_rows(&mut rng, 150);
        let dir = RunDir::new(&format!("equal-{seed}"), 150);
        record(&dir.0, &rows, options, &mut rng);
        let recording = Recording::open(&dir.0).unwrap();
        assert!(collect(&recording) == rows, "the rows of seed {seed} differ");
        assert!(collect(&recording) == rows, "a second visit of seed {seed} differs");
        assert_eq!(recording.lost_rows(), 0);
        // The manifest is of a run that did not end: its counts are those of the rows.
        let counts = &recording.manifest().counts;
        let completed = rows.iter().filter(|(row, _)| row.outcome == Outcome::Completed).count();
        let tokens: usize = rows.iter().map(|(_, tokens)| tokens.len()).sum();
        assert_eq!((counts.accounted(), counts.completed), (150, completed as u64));
        assert_eq!(counts.tokens_recorded, tokens as u64);
        assert!(!recording.is_recovered());
    }
}

#[test]
fn rows_in_memory_are_visited_like_those_of_a_file() {
    let mut rng = Seed(4).stream(Stream::Simulation);
    let mut rows = random_rows(&mut rng, 20);
    rows.reverse();
    let memory = MemoryRows { manifest: manifest(20), rows: rows.clone() };
    rows.reverse();
    assert_eq!(collect(&memory), rows);
}

fn metadata(path: &Path) -> ParquetMetaData {
    SerializedFileReader::try_from(path).unwrap().metadata().clone()
}

#[test]
fn the_files_are_laid_out_as_documented() {
    let mut rng = Seed(5).stream(Stream::Simulation);
    let rows = random_rows(&mut rng, 60);
    let dir = RunDir::new("layout", 60);
    record(&dir.0, &rows, MANY_GROUPS, &mut rng);
    for table in [Table::Requests, Table::Tokens] {
        let metadata = metadata(&dir.file(table));
        let pairs = metadata.file_metadata().key_value_metadata().unwrap();
        let pairs: BTreeMap<_, _> = pairs.iter().map(|kv| (kv.key.as_str(), kv.value.as_deref())).collect();
        assert_eq!(pairs[VERSION_KEY], Some("2"));
        assert_eq!(pairs[RUN_ID_KEY], Some("00000000000000aa"));
        assert!(metadata.num_row_groups() > 2, "{table:?}");
        for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
            // Of a closed set of names they would tell nothing.
            let is_closed = column.column_path().string() == "kind";
            assert!(column.statistics().is_some() != is_closed, "{}", column.column_path());
            assert!(column.column_index_offset().is_none());
            assert!(column.offset_index_offset().is_none(), "no page index");
        }
    }
    let tokens = metadata(&dir.file(Table::Tokens));
    for group in tokens.row_groups() {
        let encoded = |i: usize| group.column(i).encodings().collect::<Vec<_>>();
        for (i, name) in ["request_id", "seq", "t_ns", "kernel_ns", "read"].into_iter().enumerate() {
            assert!(encoded(i).contains(&Encoding::DELTA_BINARY_PACKED), "{name}: {:?}", encoded(i));
        }
        assert!(encoded(5).contains(&Encoding::RLE_DICTIONARY), "kind: {:?}", encoded(5));
    }
    // What another reader sees: names for enums, and order within each group.
    let reader = SerializedFileReader::try_from(dir.file(Table::Tokens).as_path()).unwrap();
    for i in 0..reader.num_row_groups() {
        let group = reader.get_row_group(i).unwrap();
        let keys: Vec<_> = group
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap())
            .map(|row| {
                assert!(EventKind::parse(row.get_string(5).unwrap()).is_some());
                (row.get_ulong(0).unwrap(), row.get_uint(1).unwrap())
            })
            .collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "group {i} is in order");
    }
}

/// Appends groups to both files and leaves them as a kill would.
fn write_and_kill(dir: &Path, groups: &[&[(RequestRow, Vec<TokenRow>)]]) {
    let storage = Directory::new(dir);
    let mut requests = DurableFile::create(storage.clone(), Table::Requests, "r").unwrap();
    let mut tokens = DurableFile::create(storage, Table::Tokens, "r").unwrap();
    for group in groups {
        let rows: Vec<_> = group.iter().map(|(request, _)| request.clone()).collect();
        requests.append(|file| request_group(file, &rows)).unwrap();
        let mut stamps = TokenRows::default();
        for (_, events) in group.iter().filter(|(_, events)| !events.is_empty()) {
            let mut chunk = TokenChunk::empty();
            fill(&mut chunk, events);
            stamps.push(&chunk);
        }
        stamps.sort();
        tokens.append(|file| token_group(file, &stamps)).unwrap();
    }
    // Neither a footer nor a buffer is written any more.
    std::mem::forget((requests, tokens));
}

#[test]
fn a_kill_leaves_every_flushed_row_readable() {
    let mut rng = Seed(6).stream(Stream::Simulation);
    let rows = random_rows(&mut rng, 30);
    for flushed in [0, 1, 3] {
        let dir = RunDir::new(&format!("killed-{flushed}"), 30);
        let groups: Vec<_> = rows.chunks(10).take(flushed).collect();
        write_and_kill(&dir.0, &groups);
        for torn in [false, true] {
            if torn {
                // The kill came amid the next group.
                let path = dir.file(Table::Tokens);
                let mut bytes = std::fs::read(&path).unwrap();
                bytes.extend_from_slice(b"half of a page PAR1");
                std::fs::write(path, bytes).unwrap();
            }
            let before = std::fs::read(dir.file(Table::Tokens)).unwrap();
            let recording = Recording::open(&dir.0).unwrap();
            assert!(recording.is_recovered());
            assert!(collect(&recording) == rows[..flushed * 10], "{flushed} groups, torn: {torn}");
            assert_eq!(recording.lost_rows(), 30 - flushed as u64 * 10);
            assert_eq!(std::fs::read(dir.file(Table::Tokens)).unwrap(), before, "reading changes nothing");

            // By hand, as the sidecar's description says.
            let sidecar = std::fs::read(dir.0.join(Table::Tokens.sidecar_name())).unwrap();
            let (length, footer) = sidecar.split_first_chunk::<8>().unwrap();
            let whole = [&before[..u64::from_le_bytes(*length) as usize], footer].concat();
            let reader = SerializedFileReader::new(bytes::Bytes::from(whole)).unwrap();
            assert_eq!(reader.metadata().file_metadata().num_rows() as u64, recording.token_rows());
        }
    }
}

#[test]
fn events_whose_request_was_not_flushed_are_passed_over() {
    let mut rng = Seed(7).stream(Stream::Simulation);
    let rows = random_rows(&mut rng, 20);
    let dir = RunDir::new("orphans", 20);
    write_and_kill(&dir.0, &[&rows]);
    let odd: Vec<_> = rows.iter().filter(|(r, _)| r.request_id % 2 == 1).cloned().collect();
    let only: Vec<_> = odd.iter().map(|(request, _)| request.clone()).collect();
    let mut requests = DurableFile::create(Directory::new(&dir.0), Table::Requests, "r").unwrap();
    requests.append(|file| request_group(file, &only)).unwrap();
    requests.finish().unwrap();
    let recording = Recording::open(&dir.0).unwrap();
    assert!(collect(&recording) == odd);
    assert_eq!(recording.lost_rows(), 10);
}

fn input_error(dir: &Path) -> String {
    match Recording::open(dir) {
        Err(error @ Error::Input(_)) => error.to_string(),
        other => panic!("expected an input error, got {:?}", other.map(|_| "a recording")),
    }
}

#[test]
fn unknown_versions_and_foreign_files_are_refused_with_reason() {
    let mut rng = Seed(8).stream(Stream::Simulation);
    let rows = random_rows(&mut rng, 3);
    let dir = RunDir::new("versions", 3);
    record(&dir.0, &rows, WriterOptions::default(), &mut rng);
    let path = dir.file(Table::Tokens);
    let good = std::fs::read(&path).unwrap();

    // The key, the length of its value as Thrift writes it, and the value.
    let at = good.windows(VERSION_KEY.len()).rposition(|w| w == VERSION_KEY.as_bytes()).unwrap() + VERSION_KEY.len();
    assert_eq!(&good[at..at + 3], b"\x18\x012");
    let mut newer = good.clone();
    newer[at + 2] = b'7';
    std::fs::write(&path, &newer).unwrap();
    let text = input_error(&dir.0);
    assert!(
        text.contains("tokens.parquet") && text.contains("has schema version \"7\", this program reads 1 to 2"),
        "{text}"
    );

    std::fs::copy(dir.file(Table::Requests), &path).unwrap();
    assert!(input_error(&dir.0).contains("has 34 columns instead of 8"));
    std::fs::write(&path, &good[..good.len() - 9]).unwrap();
    assert!(input_error(&dir.0).contains("does not end like a Parquet file"));

    std::fs::write(&path, &good).unwrap();
    Manifest { schema_version: 3, ..manifest(3) }.write(&dir.0).unwrap();
    let text = input_error(&dir.0);
    assert!(text.contains("run.json") && text.contains("schema version 3, this program reads 1 to 2"), "{text}");
}
