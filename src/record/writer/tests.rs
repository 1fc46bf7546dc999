//! The writer against a clock that is moved and a disk that fails.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::*;
use crate::outcome::EventKind;
use crate::record::merge::TokenMerge;
use crate::record::ring::{Recorder, ring};
use crate::record::row::TokenStamp;
use crate::record::source::TableFile;

/// A directory of its own that is gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("loadline-writer-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Default)]
struct HandClock(Arc<AtomicI64>);

impl Clock for HandClock {
    fn now_ns(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A directory whose n-th operation fails, and all later ones too if `for_good`.
#[derive(Clone)]
struct Failing {
    inner: Directory,
    left: Arc<AtomicI64>,
    for_good: bool,
}

impl Failing {
    fn step(&self) -> io::Result<()> {
        let left = self.left.fetch_sub(1, Relaxed) - 1;
        if left == 0 || left < 0 && self.for_good {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

struct FailingFile {
    file: File,
    disk: Failing,
}

impl Write for FailingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(full) = self.disk.step() {
            // What a full disk does: some of it is there nevertheless.
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(full);
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Storage for Failing {
    type File = FailingFile;

    fn create(&self, name: &str) -> io::Result<FailingFile> {
        self.step()?;
        Ok(FailingFile { file: self.inner.create(name)?, disk: self.clone() })
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.step()?;
        self.inner.replace(name, content)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.inner.remove(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

const EVENTS: u64 = 6;

/// Pushes one request with its events.
fn push(recorder: &mut Recorder, request_id: u64) {
    let mut chunk = recorder.chunk();
    (chunk.request_id, chunk.first_seq) = (request_id, 0);
    chunk.stamps.extend((0..EVENTS).map(|seq| TokenStamp {
        t_ns: (request_id * 100 + seq) as i64,
        kernel_ns: None,
        read: seq as u32,
        bytes: 9,
        tokens: None,
        kind: EventKind::Output,
    }));
    recorder.push_tokens(chunk);
    recorder.push_request(RequestRow { events: EVENTS as u32, ..RequestRow::scheduled(request_id, 0) });
}

/// The ids of the request rows that can be read, and the token rows, whose content is checked.
fn read_back(dir: &Path) -> (Vec<u64>, u64) {
    let requests = TableFile::open(dir, Table::Requests).unwrap();
    let mut rows = Vec::new();
    for group in 0..requests.metadata().num_row_groups() {
        crate::record::decode::requests(&requests, group, &mut |row| rows.push(row)).unwrap();
    }
    let tokens = TableFile::open(dir, Table::Tokens).unwrap();
    let (mut merge, mut events, mut count) = (TokenMerge::new(&tokens), Vec::new(), 0);
    for id in 0..100 {
        merge.take(id, &mut events).unwrap();
        count += events.len() as u64;
        assert!((0..).zip(&events).all(|(seq, e)| e.seq == seq && e.t_ns == (id * 100) as i64 + i64::from(seq)));
    }
    (rows.iter().map(|row| row.request_id).collect(), count)
}

const SMALL: WriterOptions = WriterOptions {
    rows_per_group_tokens: 3 * EVENTS as usize,
    rows_per_group_requests: 2,
    flush_interval_ns: SECOND_NS,
};

#[test]
fn whatever_write_fails_what_was_flushed_can_be_read_and_the_rest_is_counted() {
    const REQUESTS: u64 = 8;
    for for_good in [false, true] {
        let mut failures = 0;
        for n in 1.. {
            let dir = Scratch::new("failing");
            let left = Arc::new(AtomicI64::new(n));
            let disk = Failing { inner: Directory::new(&dir.0), left: left.clone(), for_good };
            let (mut recorder, intake) = ring(64);
            let Ok(mut drain) = Drain::new(disk, "test", vec![intake], SMALL, HandClock::default()) else {
                failures += 1;
                continue; // nothing was promised yet
            };
            (0..REQUESTS).for_each(|id| push(&mut recorder, id));
            drop(recorder);
            while !drain.is_done() {
                assert!(drain.turn(), "there was something to take");
            }
            drain.flush();
            let before = drain.report();
            let lost = (drain.requests.rows_lost, drain.tokens.rows_lost);
            assert_eq!(before.requests_written + lost.0, REQUESTS, "n = {n}");
            assert_eq!(before.tokens_written + lost.1, REQUESTS * EVENTS, "n = {n}");
            let end = drain.finish();
            let (requests, tokens) = read_back(&dir.0);
            assert_eq!(requests, (0..before.requests_written).collect::<Vec<_>>(), "n = {n}");
            assert_eq!(tokens, before.tokens_written, "n = {n}");
            if left.load(Relaxed) > 0 {
                assert!(end.is_ok() && lost == (0, 0), "nothing failed at n = {n}");
                assert!(failures > 20, "only {failures} places of failure were tried");
                break;
            }
            failures += 1;
            // The last operations remove the sidecars, which nobody needs any more.
            let Err(error) = end else { continue };
            let text = error.to_string();
            let told = format!("{} request rows and {} token rows are not in the recording", lost.0, lost.1);
            assert!(text.contains(&told) && text.contains(".parquet: "), "n = {n}: {text}");
        }
    }
}

fn exchange(request_id: u64) -> Exchange {
    let mut answer = exchange::Answer::default();
    assert!(answer.push(b"", format!("{{\"n\":{request_id}}}").as_bytes(), request_id as i64));
    Exchange { request_id, body: vec![b'x'; 3000], answer }
}

#[test]
fn on_a_disk_that_is_full_the_exchanges_that_were_flushed_are_kept_and_the_rest_is_told() {
    const REQUESTS: u64 = 12;
    let mut told_of_exchanges = 0;
    for for_good in [false, true] {
        for n in 1.. {
            let dir = Scratch::new("full");
            let left = Arc::new(AtomicI64::new(n));
            let disk = Failing { inner: Directory::new(&dir.0), left: left.clone(), for_good };
            let (mut recorder, intake) = ring(64);
            let Ok(mut drain) = Drain::new(disk, "test", vec![intake], SMALL, HandClock::default()) else { continue };
            for id in 0..REQUESTS {
                recorder.push_exchange(Some(exchange(id)));
                push(&mut recorder, id);
            }
            drop(recorder);
            while !drain.is_done() {
                drain.turn();
            }
            drain.flush();
            let (lost, rows) = (drain.exchanges.lost, drain.report());
            let end = drain.finish();
            assert_eq!(read_back(&dir.0).0, (0..rows.requests_written).collect::<Vec<_>>(), "n = {n}");
            let kept = exchange::Exchanges::open(&dir.0).unwrap();
            let is_kept = |id: u64| {
                let read = kept.as_ref().and_then(|kept| kept.of(id).unwrap());
                assert!(read.as_ref().is_none_or(|read| *read == exchange(id)), "n = {n}: {id} is damaged");
                read.is_some()
            };
            // Those that were flushed come first, and nothing stands behind the first one that is missing.
            let kept = (0..REQUESTS).take_while(|id| is_kept(*id)).count() as u64;
            assert!(kept + lost >= REQUESTS, "n = {n}: {kept} are kept and {lost} told of");
            assert!((kept..REQUESTS).all(|id| !is_kept(id)), "n = {n}");
            if left.load(Relaxed) > 0 {
                assert!(end.is_ok() && lost == 0 && kept == REQUESTS, "nothing failed at n = {n}");
                break;
            }
            if lost > 0 {
                let text = end.unwrap_err().to_string();
                let told = format!("not in the recording, nor the bodies and answers of up to {lost} requests");
                assert!(text.contains(&told) && text.contains("request rows"), "n = {n}: {text}");
                told_of_exchanges += 1;
            }
        }
    }
    assert!(told_of_exchanges > 5, "the file of exchanges failed {told_of_exchanges} times only");
}

#[test]
fn time_flushes_what_rows_do_not() {
    let dir = Scratch::new("time");
    let (mut recorder, intake) = ring(64);
    let clock = HandClock::default();
    let options = WriterOptions::default();
    let mut drain = Drain::new(Directory::new(&dir.0), "test", vec![intake], options, clock.clone()).unwrap();
    push(&mut recorder, 0);
    drain.turn();
    clock.0.store(options.flush_interval_ns - 1, Relaxed);
    drain.turn();
    assert_eq!(read_back(&dir.0), (vec![], 0), "not due yet");
    clock.0.store(options.flush_interval_ns, Relaxed);
    drain.turn();
    assert_eq!(read_back(&dir.0), (vec![0], EVENTS), "readable while the run goes on");

    // Late in a long run, the interval is a fiftieth of its length.
    let late_ns = 1000 * SECOND_NS;
    clock.0.store(late_ns, Relaxed);
    drain.turn();
    push(&mut recorder, 1);
    clock.0.store(late_ns + 19 * SECOND_NS, Relaxed);
    drain.turn();
    assert_eq!(drain.report().flushes, 2);
    clock.0.store(late_ns + 21 * SECOND_NS, Relaxed);
    drain.turn();
    assert_eq!(read_back(&dir.0), (vec![0, 1], 2 * EVENTS));
}

#[test]
fn the_thread_writes_what_several_workers_push() {
    let dir = Scratch::new("thread");
    let (mut a, from_a) = ring(16);
    let (mut b, from_b) = ring(16);
    let writer = Writer::spawn(&dir.0, "test", vec![from_a, from_b], SMALL, HandClock::default()).unwrap();
    for id in 0..6 {
        push(if id % 2 == 0 { &mut a } else { &mut b }, id);
    }
    a.close();
    b.close();
    let report = writer.finish().unwrap();
    assert_eq!((report.requests_written, report.tokens_written, report.tokens_lost), (6, 6 * EVENTS, 0));
    let length = |table: Table| std::fs::metadata(dir.0.join(table.file_name())).unwrap().len();
    assert_eq!(report.bytes, length(Table::Requests) + length(Table::Tokens));
    assert!(Table::ALL.iter().all(|t| !dir.0.join(t.sidecar_name()).exists()), "the footers are in the files");
    let (mut ids, tokens) = read_back(&dir.0);
    ids.sort_unstable();
    assert_eq!((ids, tokens), ((0..6).collect(), 6 * EVENTS));
}
