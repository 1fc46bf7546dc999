//! The Mooncake reader against written rows: what is accepted, what is refused and in which words, and real files.

use std::path::Path;

use rand::RngExt;

use crate::error::Result;
use crate::published::shared;
use crate::rng::{Seed, Stream};
use crate::trace::{Content, OnBadRow, ReadOptions, TimeOrigin, Trace, TurnPrompt, fuzz_parse, parse, read};

fn parsed(rows: &str, options: &ReadOptions) -> Result<Trace> {
    parse(&mut rows.as_bytes(), "t.jsonl", options)
}

fn accepted(rows: &str) -> Trace {
    let trace = parsed(rows, &ReadOptions::default()).unwrap();
    trace.check().unwrap();
    trace
}

fn arrivals_ns(trace: &Trace) -> Vec<Option<i64>> {
    trace.entries.iter().map(|e| e.arrival_ns).collect()
}

#[test]
fn a_plain_row_is_read_whole() {
    let trace = accepted(
        "{\"timestamp\": 27, \"input_length\": 1100, \"output_length\": 52, \"hash_ids\": [46, 47, 48]}\n\
         {\"timestamp\": 30.5, \"input_length\": 600, \"output_length\": 26, \"hash_ids\": [46, 2]}\n",
    );
    let [a, b] = &trace.entries[..] else { panic!("{:?}", trace.entries) };
    assert_eq!((a.arrival_ns, a.input_tokens, a.output_tokens, a.line), (Some(0), 1100, Some(52), 1));
    assert_eq!((b.arrival_ns, b.input_tokens, b.output_tokens, b.line), (Some(3_500_000), 600, Some(26), 2));
    assert_eq!((trace.blocks(a), trace.blocks(b)), (&[0, 1, 2][..], &[0, 3][..]));
    assert_eq!((trace.unique_blocks, trace.block_size, trace.skipped_rows), (4, 512, 0));
}

#[test]
fn relatives_of_the_format_are_read_too() {
    let trace = accepted(
        "\u{feff}{\"created_time\": \"1753780607550317897\", \"input_tokens\": 20, \"output_tokens\": 3, \"hash_ids\": [\"aa\"], \"model\": {\"x\": [1]}}\r\n\
         \r\n\
         {\"created_time\": \"1753780607550317904\", \"input_tokens\": 20.0, \"hash_ids\": [\"bb\"], \"priority\": null}\r\n",
    );
    assert_eq!(arrivals_ns(&trace), [Some(0), Some(7)], "nanoseconds since 1970, as texts, lose nothing");
    assert_eq!(trace.entries[1].line, 3);
    assert_eq!((trace.block_ids, trace.entries[1].output_tokens), (vec![0, 1], None));
}

#[test]
fn sessions_follow_their_first_turn() {
    let trace = accepted(
        "{\"session_id\": \"s1\", \"timestamp\": 0, \"input_length\": 60}\n\
         {\"session_id\": 7, \"timestamp\": 100, \"input_length\": 60}\n\
         {\"session_id\": \"s1\", \"delay\": 50.5, \"input_length\": 30}\n\
         {\"session_id\": 7, \"delay_ms\": 900, \"input_length\": 30}\n\
         {\"session_id\": 7, \"input_length\": 30}\n",
    );
    assert_eq!(trace.sessions, ["s1", "7"]);
    assert_eq!(trace.entries.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 3, 2, 4, 5]);
    assert_eq!(arrivals_ns(&trace), [Some(0), None, Some(100_000_000), None, None]);
    let delays: Vec<_> = trace.entries.iter().map(|e| e.delay_ns).collect();
    assert_eq!(delays, [None, Some(50_500_000), None, Some(900_000_000), None]);
}

#[test]
fn literal_prompts_are_kept_as_they_are_written() {
    let trace = accepted(
        "{\"timestamp\": 0, \"messages\": [{\"role\": \"user\",  \"content\": \"h\\u00e9\"}], \"output_length\": 3, \"model\": \"a\"}\n\
         {\"timestamp\": 1, \"payload\": {\"model\": \"b\", \"messages\": [{\"role\": \"user\"}], \"stream\": true, \"max_tokens\": 2, \"temperature\": 0}}\n\
         {\"timestamp\": 2, \"payload\": {\"prompt\": \"p\", \"max_tokens\": 7}, \"output_length\": 5, \"input_length\": 4}\n",
    );
    let messages = |text: &str| Some(Content::Messages(text.into()));
    let prompts: Vec<_> = trace.entries.iter().map(|e| (e.content.clone(), e.output_tokens, e.input_tokens)).collect();
    assert_eq!(
        prompts,
        [
            (messages("[{\"role\": \"user\",  \"content\": \"h\\u00e9\"}]"), Some(3), 0),
            (messages("[{\"role\": \"user\"}]"), Some(2), 0),
            (Some(Content::Text("p".into())), Some(5), 4),
        ]
    );
    assert_eq!(trace.models, ["a", "b"]);
    assert_eq!(trace.notes[1], "parameters that are not sent with the prompt: temperature (1 rows)");
}

#[test]
fn what_later_turns_hold_is_told_by_their_kind_and_by_their_blocks() {
    let turn = |rest: &str| format!("{{\"session_id\": 1, \"timestamp\": 0, {rest}}}\n");
    let held = |turns: &[&str]| parsed(&turns.iter().map(|t| turn(t)).collect::<String>(), &ReadOptions::default());
    let messages = "\"messages\": [{\"role\": \"user\"}]";
    for (turns, turn_prompt) in [
        (&["\"input_length\": 9", "\"text_input\": \"x\""][..], TurnPrompt::Added),
        (&[messages, messages], TurnPrompt::Whole),
        (&["\"input_length\": 9", messages], TurnPrompt::Whole),
        (
            &["\"input_length\": 600, \"hash_ids\": [1, 2]", "\"input_length\": 700, \"hash_ids\": [1, 3]"],
            TurnPrompt::Whole,
        ),
        (
            &["\"input_length\": 600, \"hash_ids\": [1, 2]", "\"input_length\": 700, \"hash_ids\": [3, 4]"],
            TurnPrompt::Added,
        ),
        (
            &["\"input_length\": 600, \"hash_ids\": [1, 2]", "\"input_length\": 520, \"hash_ids\": [1, 3]"],
            TurnPrompt::Added,
        ),
    ] {
        assert_eq!(held(turns).unwrap().turn_prompt, turn_prompt, "{turns:?}");
    }
    let mixed = held(&[messages, messages, "\"input_length\": 9"]).unwrap_err().to_string();
    assert!(
        mixed.starts_with("t.jsonl: has 1 later turns of messages, which are whole conversations, and 1 of"),
        "{mixed}"
    );
}

#[test]
fn rows_without_any_time_keep_their_order() {
    let trace = accepted("{\"text_input\": \"a \\\"b\\\"\"}\n{\"input_length\": 2, \"extra\": {}}\n");
    assert_eq!(arrivals_ns(&trace), [None, None]);
    assert_eq!(
        (trace.entries[0].content.clone(), trace.entries[0].input_tokens),
        (Some(Content::Text("a \"b\"".into())), 0)
    );
    assert_eq!(
        trace.notes,
        [
            "rows have no times; they can only be sent at a rate or a concurrency",
            "1 rows have `extra` parameters, which are not used"
        ]
    );
}

#[test]
fn unsorted_rows_are_sorted_stably_and_noted() {
    let trace = accepted(
        "{\"timestamp\": 50, \"input_length\": 1000, \"hash_ids\": [9, 8]}\n\
         {\"timestamp\": 20, \"input_length\": 1000, \"hash_ids\": [9, 7]}\n\
         {\"timestamp\": 50, \"input_length\": 3}\n\
         {\"timestamp\": 20, \"input_length\": 4}\n",
    );
    assert_eq!(trace.entries.iter().map(|e| e.line).collect::<Vec<_>>(), [2, 4, 1, 3]);
    assert_eq!(trace.block_ids, [0, 1, 0, 2], "ids are numbered in the new order");
    assert!(trace.notes.contains(&"2 rows were earlier than a row before them; rows are sorted by time".to_owned()));
}

#[test]
fn blocks_beyond_the_prompt_are_cut_and_noted() {
    let trace =
        accepted("{\"input_length\": 1024, \"hash_ids\": [1, 2, 3]}\n{\"input_length\": 90, \"hash_ids\": [1]}\n");
    assert_eq!((trace.block_ids, trace.unique_blocks), (vec![0, 1, 0], 2));
    assert!(trace.notes.iter().any(|n| n.starts_with("1 rows have more hash_ids than tokens")), "{:?}", trace.notes);
    let text = accepted("{\"text_input\": \"x\", \"hash_ids\": [1]}\n");
    assert_eq!(text.entries[0].blocks_len, 0);
}

#[test]
fn the_block_size_is_found_or_forced() {
    let rows = "{\"input_length\": 100, \"hash_ids\": [1, 2, 3, 4, 5, 6, 7]}\n{\"input_length\": 33, \"hash_ids\": [1, 2, 9]}\n";
    assert_eq!(accepted(rows).block_size, 16);
    let forced = parsed(rows, &ReadOptions { block_size: Some(100), ..Default::default() }).unwrap();
    assert_eq!((forced.block_size, forced.block_ids.len()), (100, 2));
    assert!(parsed(rows, &ReadOptions { block_size: Some(0), ..Default::default() }).is_err());
}

/// Every refusal: a row, and its one sentence.
const REFUSALS: &[(&str, &str)] = &[
    (
        "{\"timestamp\": 5, \"inp",
        "t.jsonl:2: is cut off: EOF while parsing a string (each line must be one whole JSON object)",
    ),
    (
        "{\"timestamp\": 5 \"input_length\": 3}",
        "t.jsonl:2: is not JSON: expected `,` or `}` at column 17 (each line must be one whole JSON object)",
    ),
    ("xyz", "t.jsonl:2: is not JSON: expected value at column 1 (each line must be one whole JSON object)"),
    ("[1]", "t.jsonl:2: is not a JSON object (each line must be one whole JSON object)"),
    (
        "{\"input_length\": 3, \"input_length\": 4}",
        "t.jsonl:2: cannot be used: duplicate field `input_length` (each line must be one whole JSON object)",
    ),
    (
        "{\"timestamp\": NaN, \"input_length\": 3}",
        "t.jsonl:2: holds NaN or Infinity, which are not JSON (leave the field out, or write a number)",
    ),
    (
        "{\"timestamp\": 5}",
        "t.jsonl:2: has neither input_length nor text_input (give the prompt's length in tokens, or its text)",
    ),
    (
        "{\"timestamp\": 5, \"text_input\": \"\"}",
        "t.jsonl:2: field `text_input`: is empty (give the prompt's text, or its input_length)",
    ),
    ("{\"timestamp\": 5, \"text_input\": 3}", "t.jsonl:2: field `text_input`: 3 is not a text (write it in quotes)"),
    (
        "{\"timestamp\": 5, \"input_length\": \"abc\"}",
        "t.jsonl:2: field `input_length`: \"abc\" is not a number (use a whole number of tokens from 1 to 16777216)",
    ),
    (
        "{\"timestamp\": 5, \"input_tokens\": -4}",
        "t.jsonl:2: field `input_tokens`: -4 is negative (use a whole number of tokens from 1 to 16777216)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 0}",
        "t.jsonl:2: field `input_length`: 0 is no length (use a whole number of tokens from 1 to 16777216)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 1.5}",
        "t.jsonl:2: field `input_length`: 1.5 is not whole (use a whole number of tokens from 1 to 16777216)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 16777217}",
        "t.jsonl:2: field `input_length`: 16777217 is too large (use a whole number of tokens from 1 to 16777216)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 3, \"output_length\": 0}",
        "t.jsonl:2: field `output_length`: 0 is no length (use a whole number of tokens from 1 to 16777216)",
    ),
    (
        "{\"timestamp\": -5, \"input_length\": 3}",
        "t.jsonl:2: field `timestamp`: -5 is negative (use a number from 0, in milliseconds unless --time-unit says otherwise)",
    ),
    (
        "{\"timestamp\": \"noon\", \"input_length\": 3}",
        "t.jsonl:2: field `timestamp`: \"noon\" is not a number (use a number from 0, in milliseconds unless --time-unit says otherwise)",
    ),
    (
        "{\"timestamp\": \"NaN\", \"input_length\": 3}",
        "t.jsonl:2: field `timestamp`: \"NaN\" is not a number (use a number from 0, in milliseconds unless --time-unit says otherwise)",
    ),
    (
        "{\"timestamp\": 1e30, \"input_length\": 3}",
        "t.jsonl:2: field `timestamp`: 1e30 is no time (use a number from 0, in milliseconds unless --time-unit says otherwise)",
    ),
    (
        "{\"timestamp\": 1e13, \"input_length\": 3}",
        "t.jsonl:2: field `timestamp`: read as milliseconds, lies 317 years after 0 (correct the time, or name the unit with --time-unit)",
    ),
    (
        "{\"input_length\": 3}",
        "t.jsonl:2: field `timestamp`: is missing, while other rows have it (give every row a time; only later turns of a session_id can do with a delay, or without)",
    ),
    (
        "{\"input_length\": 3, \"delay\": 5, \"session_id\": \"x\"}",
        "t.jsonl:2: field `timestamp`: is missing, while other rows have it (give every row a time; only later turns of a session_id can do with a delay, or without)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 3, \"delay\": -1}",
        "t.jsonl:2: field `delay`: -1 is negative (use milliseconds from 0 to one year)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 3, \"delay\": 1e12}",
        "t.jsonl:2: field `delay`: 1e12 is too long (use milliseconds from 0 to one year)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 3, \"session_id\": [1]}",
        "t.jsonl:2: field `session_id`: [1] is neither a text nor a number (name the session by a text)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 3, \"hash_ids\": [1, -2]}",
        "t.jsonl:2: field `hash_ids`: integer `-2`, expected an integer from 0 or a text (hash_ids is a list of integers from 0 or of texts, at most 1048576 of them)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 3, \"hash_ids\": [1.5]}",
        "t.jsonl:2: field `hash_ids`: floating point `1.5`, expected an integer from 0 or a text (hash_ids is a list of integers from 0 or of texts, at most 1048576 of them)",
    ),
    (
        "{\"timestamp\": 5, \"input_length\": 3, \"hash_ids\": {\"a\": 1}}",
        "t.jsonl:2: field `hash_ids`: map, expected a list of ids (hash_ids is a list of integers from 0 or of texts, at most 1048576 of them)",
    ),
    (
        "{\"timestamp\": 5, \"messages\": []}",
        "t.jsonl:2: field `messages`: is empty (give a list of objects with role and content)",
    ),
    (
        "{\"timestamp\": 5, \"messages\": [{\"content\": \"x\"}]}",
        "t.jsonl:2: field `messages`: message 1 has no role (give a list of objects with role and content)",
    ),
    (
        "{\"timestamp\": 5, \"messages\": [{\"role\": \"user\"}], \"text_input\": \"x\"}",
        "t.jsonl:2: field `messages`: stands beside text_input (give the prompt as one of them)",
    ),
    (
        "{\"timestamp\": 5, \"payload\": {}}",
        "t.jsonl:2: field `payload`: has neither messages nor prompt (give the prompt as one of them)",
    ),
    (
        "{\"timestamp\": 5, \"payload\": {\"messages\": 3}}",
        "t.jsonl:2: field `payload`: 3 is no list (give a list of objects with role and content)",
    ),
    (
        "{\"timestamp\": 5, \"payload\": {\"messages\": [{\"role\": \"user\"}], \"tools\": []}}",
        "t.jsonl:2: field `payload`: holds tools, which would be part of the prompt and are not sent (take them out, or give the prompt as messages)",
    ),
    (
        "{\"timestamp\": 5, \"payload\": {\"prompt\": \"x\"}, \"session_id\": 1}",
        "t.jsonl:2: field `payload`: holds a prompt where a session's turn needs messages (give it messages)",
    ),
    (
        "{\"timestamp\": 5, \"payload\": {\"prompt\": \"x\", \"max_tokens\": -1}}",
        "t.jsonl:2: field `max_tokens`: -1 is negative (use a whole number of tokens from 1 to 16777216)",
    ),
    (
        "{\"timestamp\": 5, \"messages\": [], \"tools\": []}",
        "t.jsonl:2: field `tools`: holds tool definitions, which would be part of the prompt and are not sent (take them out)",
    ),
    (
        "{\"turns\": []}",
        "t.jsonl:2: field `turns`: holds several turns in one row (give each turn a row, all with the same session_id)",
    ),
    (
        "{\"schema\": \"dynamo.agentic_mooncake\"}",
        "t.jsonl:2: field `schema`: holds the header of another format (give rows of input_length, text_input, messages or payload)",
    ),
];

const GOOD: &str = "{\"timestamp\": 0, \"input_length\": 3, \"hash_ids\": [4]}\n";

#[test]
fn every_refusal_names_line_field_problem_and_remedy() {
    for (row, message) in REFUSALS {
        let error = parsed(&format!("{GOOD}{row}\n{GOOD}"), &ReadOptions::default()).unwrap_err();
        assert_eq!(&error.to_string(), message, "{row}");
    }
}

#[test]
fn skipped_rows_are_counted_and_leave_nothing_behind() {
    let skip = ReadOptions { on_bad_row: OnBadRow::Skip, ..Default::default() };
    for (row, message) in REFUSALS {
        let trace = parsed(&format!("{GOOD}{row}\n{GOOD}"), &skip).unwrap();
        trace.check().unwrap();
        assert_eq!((trace.entries.len(), trace.skipped_rows, trace.unique_blocks), (2, 1, 1), "{row}");
        assert_eq!(trace.notes[trace.notes.len() - 2..], ["1 rows were skipped; the first 1 reasons follow", *message]);
    }
    let all_bad = parsed("{\"timestamp\": 5}\n", &skip).unwrap_err().to_string();
    assert_eq!(
        all_bad,
        "t.jsonl: has no usable row; the first problem is t.jsonl:1: has neither input_length nor text_input (give the prompt's length in tokens, or its text) (a trace needs at least one request)"
    );
}

#[test]
fn binary_and_overlong_rows_are_refused_as_such() {
    let message = |bytes: &[u8]| {
        let mut file = GOOD.as_bytes().to_vec();
        file.extend_from_slice(bytes);
        parse(&mut &file[..], "t", &ReadOptions::default()).unwrap_err().to_string()
    };
    assert_eq!(
        message(b"\xff\xfe\x00"),
        "t:2: is not UTF-8 text (a trace is JSON lines; is this another kind of file?)"
    );
    assert_eq!(message(&vec![b' '; (16 << 20) + 2]), "t:2: is longer than 16 MiB (write one request per line)");
    let many = format!("{{\"input_length\": 9, \"hash_ids\": [{}0]}}", "0,".repeat(1 << 20));
    assert!(message(many.as_bytes()).starts_with("t:2: field `hash_ids`: has too many ids"));
}

#[test]
fn a_wrong_origin_is_the_files_fault() {
    let options = ReadOptions { time_origin: TimeOrigin::Epoch, ..Default::default() };
    assert_eq!(
        parsed(GOOD, &options).unwrap_err().to_string(),
        "t.jsonl: its times, read as milliseconds, do not count from 1970 (use --time-origin first, or name the unit with --time-unit)"
    );
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/trace");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "{} files in {}", paths.len(), folder.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_fuzz_corpus_holds() {
    corpus().iter().for_each(|bytes| fuzz_parse(bytes));
}

#[test]
fn the_fuzz_corpus_holds_where_bytes_are_changed_and_files_are_joined() {
    let files = corpus();
    for seed in 0..3000 {
        let mut rng = Seed(seed).stream(Stream::Mix);
        let mut bytes = files[rng.random_range(0..files.len())].clone();
        bytes.extend_from_slice(&files[rng.random_range(0..files.len())]);
        for _ in 0..rng.random_range(0..6) {
            let at = rng.random_range(0..=bytes.len());
            match rng.random_range(0..3) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, b"0123456789-.eE\"{}[],:\n\\"[rng.random_range(0..23)]),
                _ if at < bytes.len() => bytes[at] = rng.random(),
                _ => {}
            }
        }
        assert!(std::panic::catch_unwind(|| fuzz_parse(&bytes)).is_ok(), "seed {seed}: {}", bytes.escape_ascii());
    }
}

#[test]
fn published_traces_have_their_published_statistics() {
    for (name, rows, unique, input_tokens) in
        [("conversation", 12_031, 182_790, 144_793_823), ("synthetic", 3_993, 43_924, 61_194_628_u64)]
    {
        let Some(path) = shared(&format!("traces/mooncake-fast25/{name}_trace.jsonl")) else { continue };
        let trace = read(&path, &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        assert_eq!((trace.entries.len(), trace.unique_blocks), (rows, unique), "{name}");
        assert_eq!(trace.entries.iter().map(|e| u64::from(e.input_tokens)).sum::<u64>(), input_tokens, "{name}");
        assert_eq!((trace.block_size, trace.skipped_rows, trace.notes.len()), (512, 0, 1), "{:?}", trace.notes);
    }
}

#[test]
fn peers_traces_are_read() {
    for (path, rows) in [
        ("golden/traces/moon_multi.jsonl", 6),
        ("golden/traces/sched_200.jsonl", 200),
        ("golden/traces/edges.jsonl", 20),
        ("golden/traces/moon_fixed.jsonl", 9),
        ("golden/traces/single.jsonl", 6),
        ("golden/traces/multi.jsonl", 9),
        ("traces/aiperf-templates/production_trace.jsonl", 10),
        ("traces/dynamo-replay-fixtures/mooncake.jsonl", 2),
        ("traces/dynamo-replay-fixtures/mooncake-delta.jsonl", 2),
        ("traces/dynamo-replay-fixtures/agentic-mooncake.jsonl", 3),
    ] {
        let Some(file) = shared(path) else { continue };
        let trace = read(&file, &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        assert_eq!(trace.entries.len(), rows, "{path}");
    }
}
