//! The reader of coding sessions against written ones: what is accepted, and what is refused in which words.

use crate::error::Result;
use crate::trace::{OnBadRow, ReadOptions, Trace, TurnPrompt, Wait, WaitFor, parse};

fn parsed(file: &str, options: &ReadOptions) -> Result<Trace> {
    parse(&mut file.as_bytes(), "k.json", options)
}

fn accepted(file: &str) -> Trace {
    let trace = parsed(file, &ReadOptions::default()).unwrap();
    trace.check().unwrap();
    trace
}

fn call(t: &str, tokens: u32, ids: &str, more: &str) -> String {
    format!(
        "{{\"t\": {t}, \"type\": \"s\", \"model\": \"m\", \"in\": {tokens}, \"out\": 9, \"hash_ids\": [{ids}]{more}}}"
    )
}

fn session(id: &str, requests: &[String]) -> String {
    format!(
        "{{\"id\": \"{id}\", \"models\": [\"m\"], \"block_size\": 64, \"hash_id_scope\": \"local\", \"requests\": [{}]}}",
        requests.join(",\n ")
    )
}

const SUBAGENT: &str = "{\"t\": 2.0, \"type\": \"subagent\", \"agent_id\": \"a1\", \"duration_ms\": 2000, \"status\": \"completed\", \"requests\": [\
    {\"t\": 0.0, \"type\": \"n\", \"model\": \"h\", \"in\": 70, \"out\": 5, \"hash_ids\": [1], \"api_time\": 0.5},\n\
    {\"t\": 1.0, \"type\": \"n\", \"model\": \"h\", \"in\": 130, \"out\": 5, \"hash_ids\": [1, 9], \"api_time\": 0.5}]}";

#[test]
fn a_session_is_a_chain_of_whole_prompts_with_its_pauses() {
    let file = session(
        "x",
        &[
            call("0.0", 130, "1, 2", ", \"api_time\": 1.5"),
            call("4.0", 200, "1, 2, 3", ", \"api_time\": 1, \"think_time\": 2.25"),
            call("7.5", 300, "1, 2, 3, 4", ""),
        ],
    );
    let trace = accepted(&file);
    let delays: Vec<_> = trace.entries.iter().map(|e| e.delay_ns).collect();
    assert_eq!(delays, [None, Some(2_250_000_000), Some(2_500_000_000)]);
    assert_eq!(trace.entries[2].arrival_ns, Some(7_500_000_000));
    assert_eq!(trace.entries.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 2, 3], "requests have lines");
    assert_eq!((trace.block_size, trace.unique_blocks, trace.turn_prompt), (64, 4, TurnPrompt::Whole));
    assert_eq!((&trace.sessions[..], &trace.kinds[..]), (&["x".to_owned()][..], &["s".to_owned()][..]));
}

#[test]
fn subagents_are_sessions_between_their_parent_s_requests() {
    let requests = [
        call("0.0", 130, "1, 2", ", \"api_time\": 1.5"),
        SUBAGENT.to_owned(),
        call("4.5", 200, "1, 2, 3", ", \"think_time\": 3"),
    ];
    let trace = accepted(&session("x", &requests));
    assert_eq!(trace.sessions, ["x", "x/a1"]);
    let [_, first, second, joined] = &trace.entries[..] else { panic!("{:?}", trace.entries) };
    assert_eq!((first.arrival_ns, second.arrival_ns), (Some(2_000_000_000), Some(3_000_000_000)), "its own clock");
    assert_eq!(trace.waits(first), [Wait { entry: 0, event: WaitFor::End, delay_ns: 500_000_000 }]);
    assert_eq!((second.delay_ns, second.waits_len), (Some(500_000_000), 0));
    assert_eq!(trace.waits(joined), [Wait { entry: 2, event: WaitFor::End, delay_ns: 500_000_000 }]);
    assert_eq!(joined.delay_ns, None, "the wait tells it");
    assert_eq!(trace.kinds, ["s", "subagent"]);
    assert_eq!(trace.block_ids, [0, 1, 0, 0, 2, 0, 1, 3], "a subagent shares its session's blocks");
}

#[test]
fn a_subagent_that_outlives_the_next_request_is_joined_later_or_never() {
    let requests = [call("0.0", 70, "1", ""), SUBAGENT.to_owned(), call("2.5", 71, "1", ""), call("6", 72, "1", "")];
    let trace = accepted(&session("x", &requests));
    let waits = trace.entries.iter().map(|e| (e.line, e.waits_len)).collect::<Vec<_>>();
    assert_eq!(waits, [(1, 0), (2, 1), (4, 0), (3, 0), (5, 1)]);
    assert_eq!(trace.waits(&trace.entries[1])[0].event, WaitFor::Dispatch, "nobody knows when the first one ended");
}

#[test]
fn layouts_are_all_the_same_and_ids_are_those_of_their_session() {
    let (x, y) = (session("x", &[call("0", 70, "1", "")]), session("x", &[call("0.5", 70, "1", "")]));
    let global = |s: &str| s.replace("local", "global");
    for file in [format!("{x}\n{y}\n"), format!("[{x},\n{y}]"), format!("{{\n{}\n{{\n{}", &x[1..], &y[1..])] {
        let trace = accepted(&file);
        assert_eq!((trace.entries.len(), trace.unique_blocks), (2, 2), "{file}");
        assert_eq!(trace.sessions, ["x", "x#2"]);
        assert!(trace.notes.last().unwrap().starts_with("each of 2 sessions has a clock of its own"));
        assert_eq!(accepted(&global(&file)).unique_blocks, 1);
    }
}

#[test]
fn every_refusal_names_line_field_problem_and_remedy() {
    let good = call("0", 70, "1", "");
    let deep =
        (0..9).fold(good.clone(), |inner, _| format!("{{\"t\": 0, \"type\": \"subagent\", \"requests\": [{inner}]}}"));
    for (request, message) in [
        (good.replace("\"t\": 0, ", ""), "field `t`: request 2 of session x: is missing (every row needs it)"),
        (
            good.replace("70", "-70"),
            "field `in`: request 2 of session x: -70 is negative (use a whole number of tokens from 1 to 16777216)",
        ),
        (
            good.replace("9", "\"9\""),
            "field `out`: request 2 of session x: \"9\" is not a number (use a whole number of tokens from 1 to 16777216)",
        ),
        (
            good.replace("[1]", "7"),
            "field `hash_ids`: request 2 of session x: integer `7`, expected a list of ids (hash_ids is a list of integers from 0 or of texts, at most 1048576 of them)",
        ),
        (
            good.replace("\"t\": 0", "\"t\": -1"),
            "field `t`: request 2 of session x: -1 is negative (use a number from 0, in seconds unless --time-unit says otherwise)",
        ),
        ("7".to_owned(), "request 2 of session x: is not a JSON object (each line must be one whole JSON object)"),
        (
            deep,
            "field `requests`: request 1 of session x/subagent/subagent/subagent/subagent/subagent/subagent/subagent/subagent: nests deeper than 8 subagents (take the innermost out)",
        ),
    ] {
        let file = session("x", &[good.clone(), request]);
        assert_eq!(parsed(&file, &ReadOptions::default()).unwrap_err().to_string(), format!("k.json:2: {message}"));
        let skip = ReadOptions { on_bad_row: OnBadRow::Skip, ..ReadOptions::default() };
        assert_eq!(parsed(&file, &skip).unwrap().entries.len(), 1);
    }
    let whole = session("x", std::slice::from_ref(&good));
    for (file, message) in [
        (whole[..60].to_owned(), "is cut off: EOF while parsing a string (each line must be one whole JSON object)"),
        (
            whole.replace("70", "NaN"),
            "holds NaN or Infinity, which are not JSON (leave the field out, or write a number)",
        ),
        (whole.replace("\"id\": \"x\", ", ""), "field `id`: is missing (every row needs it)"),
        (whole.replace("\"local\"", "7"), "field `hash_id_scope`: is unknown (use \"local\" or \"global\")"),
        (
            format!("{whole}{}", whole.replace("64", "16")),
            "field `block_size`: is 16, where earlier rows have 64 (put sessions of one block size into a trace)",
        ),
    ] {
        let options = ReadOptions { format: Some("weka".into()), ..ReadOptions::default() };
        assert_eq!(parsed(&file, &options).unwrap_err().to_string(), format!("k.json:1: {message}"));
    }
}
