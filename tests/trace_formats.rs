//! Every trace format against good and broken files: what is read, and what is said about the rest.
//!
//! The answers stand in `tests/snapshots/broken_traces.txt`. Where they differ, the test tells where it left the new ones.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

#[expect(dead_code, reason = "another test uses the rest")]
mod trace_samples;
#[path = "support/shared.rs"]
mod published;

use std::fmt::Write;
use std::path::Path;

use loadline::error::Result;
use loadline::trace::{FORMATS, OnBadRow, ReadOptions, Trace, parse, read};
use published::shared;
use trace_samples::{SAMPLES, Sample};

fn parsed(bytes: &[u8], format: Option<&str>, on_bad_row: OnBadRow) -> Result<Trace> {
    let options = ReadOptions { format: format.map(str::to_owned), on_bad_row, ..ReadOptions::default() };
    let trace = parse(&mut &bytes[..], "FILE", &options)?;
    trace.check().unwrap();
    Ok(trace)
}

#[test]
fn every_format_has_a_sample_and_is_told_by_its_content() {
    let mut names: Vec<_> = SAMPLES.iter().map(|s| s.format).collect();
    let mut registry: Vec<_> = FORMATS.iter().map(|f| f.name()).collect();
    names.sort_unstable();
    registry.sort_unstable();
    assert_eq!(names, registry);
    for sample in SAMPLES {
        let file = good(sample);
        let sniffed = FORMATS.iter().find(|f| f.sniff(file.as_bytes())).unwrap();
        assert_eq!(sniffed.name(), sample.format);
        let forced = parsed(file.as_bytes(), Some(sample.format), OnBadRow::Fail).unwrap();
        assert_eq!(parsed(file.as_bytes(), None, OnBadRow::Fail).unwrap().entries, forced.entries);
        assert_eq!(forced.entries.len(), 3, "{}", sample.format);
    }
}

fn good(sample: &Sample) -> String {
    sample.file(&[0, 1, 2].map(|n| sample.good_row(n)))
}

/// A way to break a file; null where the format has nothing to break so.
type Breakage = fn(&Sample) -> Option<Vec<u8>>;

const BREAKAGES: &[(&str, Breakage)] = &[
    ("nothing broken", |s| Some(good(s).into_bytes())),
    ("truncated row", |s| {
        let whole = s.file(&[0, 1].map(|n| s.good_row(n))) + &s.good_row(2);
        Some(good(s).as_bytes()[..whole.len() - s.good_row(2).len() / 2].to_vec())
    }),
    ("wrong type", |s| with_length(s, "true")),
    ("negative length", |s| with_length(s, "-5")),
    ("length NaN", |s| with_length(s, "NaN")),
    ("huge length", |s| with_length(s, "1e400")),
    ("time NaN", |s| with_time(s, "NaN")),
    ("negative time", |s| with_time(s, "-3")),
    ("time going back", |s| with_time(s, &s.time?(2))),
    ("length of 1 MB", |s| with_length(s, &"9".repeat(1 << 20))),
    ("row of 10 MB", |s| with_length(s, &(" ".repeat(10 << 20) + s.length))),
    ("row of 17 MB", |s| Some(s.file(&[s.good_row(0), "x".repeat(17 << 20), s.good_row(2)]).into_bytes())),
    ("byte-order mark", |s| Some([b"\xef\xbb\xbf", good(s).as_bytes()].concat())),
    ("CRLF", |s| Some(good(s).replace('\n', "\r\n").into_bytes())),
    ("blank lines", |s| Some(good(s).replace('\n', "\n\n").into_bytes())),
    ("empty file", |_| Some(Vec::new())),
    ("first row missing", |s| {
        let file = good(s);
        let (first, rest) = file.split_once('\n')?;
        (!first.contains("600")).then(|| rest.as_bytes().to_vec())
    }),
    ("binary file", |_| Some((0..=255).rev().cycle().take(5000).collect())),
    ("binary row", |s| {
        let file = s.file(&[s.good_row(0), "@".into(), s.good_row(2)]);
        let (before, after) = file.split_once('@')?;
        Some([before.as_bytes(), b"\x00\xff\xfe\x80", after.as_bytes()].concat())
    }),
];

/// The second of three rows has this length.
fn with_length(s: &Sample, length: &str) -> Option<Vec<u8>> {
    Some(s.file(&[s.good_row(0), s.row(1, &s.time(1), length), s.good_row(2)]).into_bytes())
}

/// The second of three rows has this time.
fn with_time(s: &Sample, time: &str) -> Option<Vec<u8>> {
    s.time?;
    Some(s.file(&[s.good_row(0), s.row(1, time, s.length), s.row(2, &s.time(1), s.length)]).into_bytes())
}

fn outcome(result: Result<Trace>) -> String {
    match result {
        Ok(trace) => {
            let lines: Vec<_> = trace.entries.iter().map(|e| e.line.to_string()).collect();
            let skipped = match trace.skipped_rows {
                0 => String::new(),
                rows => format!(", {rows} skipped"),
            };
            let sorted = if trace.notes.iter().any(|n| n.contains("sorted by time")) { ", sorted" } else { "" };
            format!("read: lines {}{skipped}{sorted}", lines.join(" "))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn broken_files_are_answered_as_written_down() {
    let mut found = String::new();
    for sample in SAMPLES {
        writeln!(found, "{}", sample.format).unwrap();
        for (name, breakage) in BREAKAGES {
            let Some(file) = breakage(sample) else { continue };
            let fail = outcome(parsed(&file, Some(sample.format), OnBadRow::Fail));
            let skip = outcome(parsed(&file, Some(sample.format), OnBadRow::Skip));
            assert!(fail.len() < 400, "{} {name}: {fail}", sample.format);
            writeln!(found, "  {name}: {fail}").unwrap();
            if skip != fail {
                writeln!(found, "    skipping: {skip}").unwrap();
            }
        }
    }
    let expected = std::fs::read_to_string("tests/snapshots/broken_traces.txt").unwrap();
    if found != expected {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken_traces.txt");
        std::fs::write(&path, &found).unwrap();
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected, "all answers are in {}", path.display());
        }
        panic!("answers were added or left out; all are in {}", path.display());
    }
}

#[test]
fn azure_s_published_trace_has_its_published_statistics() {
    for (name, rows, duration_ms, input_tokens, output_tokens) in
        [("code", 8_819, 3_435_948, 18_059_974, 245_896), ("conv", 19_366, 3_501_722, 22_361_870, 4_088_665_u64)]
    {
        let Some(path) = shared(&format!("traces/azure-2023/AzureLLMInferenceTrace_{name}.csv")) else { continue };
        let trace = read(&path, &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        let sum = |tokens: fn(&loadline::trace::Entry) -> u32| -> u64 {
            trace.entries.iter().map(|e| u64::from(tokens(e))).sum()
        };
        assert_eq!((trace.entries.len(), trace.skipped_rows), (rows, 0), "{name}");
        assert_eq!((trace.entries.last().unwrap().arrival_ns.unwrap() + 500_000) / 1_000_000, duration_ms, "{name}");
        assert_eq!(sum(|e| e.input_tokens), input_tokens, "{name}");
        assert_eq!(sum(|e| e.output_tokens.unwrap()), output_tokens, "{name}");
    }
}
