//! Turns Agentic Mooncake files into traces whose requests wait for one another.
//!
//! In: a header `{"schema": "dynamo.agentic_mooncake", "version": 2, "block_size", "hash_id_scope": "local"}`, then rows
//! `{"request_id", "play_id", "session_id", "model", "input_length", "output_length", "hash_ids", "not_before_ms",
//! "dependencies": [{"request_id", "trigger": "dispatch" | "completion", "delay_ms", "relation"}]}`.
//! Out: a [`Trace`]. A dependency on the end of the session's previous turn is that turn's delay, any other is a wait.
//! Invariants: prompts are whole; sessions and block ids of different plays are different; a row that does not wait for the
//! end of its session's previous turn runs beside it, and begins a session of its own, `PLAY/SESSION#2`.
//!
//! The format is ai-dynamo's (version 2).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::BufRead;

use serde_json::value::RawValue;

use super::bad_rows::{BadRows, RowProblem, shown};
use super::dialect::Dialect;
use super::draft::Draft;
use super::intern::Names;
use super::row::{Cause, Row};
use super::time_axis::{TimeUnit, UnitRule};
use super::{ReadOptions, Trace, TraceFormat, TurnPrompt, WaitFor, json_row, number};
use crate::error::Result;

/// Agentic Mooncake, version 2.
pub struct AgenticMooncake;

const SCHEMA: &str = "dynamo.agentic_mooncake";

const DIALECT: Dialect = Dialect {
    unit: UnitRule::Always(TimeUnit::Ms),
    turn_prompt: TurnPrompt::Whole,
    ..Dialect::plain("not_before_ms", "input_length")
};

#[derive(serde::Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    version: Option<&'a RawValue>,
    block_size: Option<&'a RawValue>,
    hash_id_scope: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    play_id: Option<&'a RawValue>,
    session_id: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    #[serde(alias = "input_tokens")]
    input_length: Option<&'a RawValue>,
    #[serde(alias = "output_tokens")]
    output_length: Option<&'a RawValue>,
    hash_ids: Option<&'a RawValue>,
    not_before_ms: Option<&'a RawValue>,
    dependencies: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Dependency<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    trigger: Trigger,
    #[serde(borrow)]
    delay_ms: Option<&'a RawValue>,
}

#[derive(serde::Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Trigger {
    Dispatch,
    Completion,
}

impl TraceFormat for AgenticMooncake {
    fn name(&self) -> &'static str {
        "agentic_mooncake"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["agentic_mooncake_trace"]
    }

    fn summary(&self) -> &'static str {
        "a header, then JSON lines with not_before_ms and dependencies (ai-dynamo)"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        json_row::first_object_has(head, SCHEMA)
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let mut plays = Plays::default();
        draft.read_lines(input, &mut bad, |draft, line, number| {
            if plays.scopes.is_none() {
                plays.scopes = Some(header(draft, line)?);
                return Ok(());
            }
            plays.add(draft, line, number)
        })?;
        draft.finish(&mut bad, options)
    }
}

/// Reads the first line; whether block ids are those of their play alone.
fn header(draft: &mut Draft, line: &[u8]) -> std::result::Result<Scopes, RowProblem> {
    let keys: Header<'_> = json_row::object(line)?;
    let shown = |raw: Option<&RawValue>| shown(raw.map_or("nothing", RawValue::get));
    if keys.schema.is_none_or(|raw| raw.get() != format!("\"{SCHEMA}\"")) {
        let problem = format!("is {}, not {SCHEMA}", shown(keys.schema));
        return Err(RowProblem::field("schema", problem, "the first line must be the format's header"));
    }
    if keys.version.is_none_or(|raw| raw.get() != "2") {
        let problem = format!("is {}", shown(keys.version));
        return Err(RowProblem::field("version", problem, "version 2 is what can be read"));
    }
    let tokens = number::tokens("block_size", json_row::required("block_size", keys.block_size)?.get())?;
    draft.state_block_size(tokens).map_err(|problem| RowProblem::field("block_size", problem, "state it once"))?;
    match keys.hash_id_scope.map(RawValue::get) {
        None | Some("\"local\"") => Ok(Scopes::Play),
        Some("\"global\"") => Ok(Scopes::File),
        _ => {
            let problem = format!("is {}", shown(keys.hash_id_scope));
            Err(RowProblem::field("hash_id_scope", problem, "use \"local\" or \"global\""))
        }
    }
}

/// Within what equal block ids are equal blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scopes {
    Play,
    File,
}

/// What was read of each play so far.
#[derive(Default)]
struct Plays {
    /// Null until the header was read.
    scopes: Option<Scopes>,
    plays: Names,
    sessions: HashMap<Box<str>, Chains>,
}

/// The chains of turns of one session.
#[derive(Default)]
struct Chains {
    /// The last request of each, with the chain's number.
    ends: HashMap<Box<str>, u32>,
    count: u32,
}

impl Plays {
    fn add(&mut self, draft: &mut Draft, line: &[u8], number: u64) -> std::result::Result<(), RowProblem> {
        const NAME_IT: &str = "name it by a text";
        let keys: Keys<'_> = json_row::object(line)?;
        let name = |field, raw| json_row::name(field, json_row::required(field, raw)?, NAME_IT);
        let request = name("request_id", keys.request_id)?;
        let play = name("play_id", keys.play_id)?;
        let session = format!("{play}/{}", name("session_id", keys.session_id)?);
        let time = json_row::required("not_before_ms", keys.not_before_ms)?;
        let input = json_row::required("input_length", keys.input_length)?;
        let mut row = Row {
            line: number,
            time: Some(number::time("not_before_ms", time.get(), TimeUnit::Ms)?),
            input_tokens: number::tokens("input_length", input.get())?,
            output_tokens: keys.output_length.map(|raw| number::tokens("output_length", raw.get())).transpose()?,
            model: keys.model.map(|raw| json_row::text("model", raw)).transpose()?,
            request: Some(request.clone()),
            ..Row::default()
        };
        let mut previous = None;
        let chains = self.sessions.get(&*session);
        for dependency in dependencies(keys.dependencies)? {
            let delay_ns =
                dependency.delay_ms.map_or(Ok(0), |raw| number::delay_ns("dependencies", raw.get(), TimeUnit::Ms))?;
            let end = dependency.trigger == Trigger::Completion;
            let chain = chains.and_then(|c| c.ends.get(&*dependency.request_id)).filter(|_| end && previous.is_none());
            if let Some(&chain) = chain {
                previous = Some((chain, dependency.request_id));
                row.delay_ns = Some(delay_ns);
                continue;
            }
            let event = if end { WaitFor::End } else { WaitFor::Dispatch };
            row.waits.push(Cause { request: dependency.request_id, event, delay_ns });
        }
        let chain = previous.as_ref().map_or_else(|| chains.map_or(1, |c| c.count + 1), |(chain, _)| *chain);
        let chain_name = if chain == 1 { session.clone() } else { format!("{session}#{chain}") };
        row.session = Some(Cow::Owned(chain_name));
        let scope = if self.scopes == Some(Scopes::Play) { self.plays.number(&play) + 1 } else { 0 };
        draft.add(row, |names, out| {
            names.enter(scope);
            keys.hash_ids.map_or(Ok(()), |raw| json_row::blocks("hash_ids", raw, names, out))
        })?;
        let chains = self.sessions.entry(session.into()).or_default();
        if let Some((_, previous)) = previous {
            chains.ends.remove(&*previous);
        }
        chains.count = chains.count.max(chain);
        chains.ends.insert(request.into(), chain);
        Ok(())
    }
}

fn dependencies(raw: Option<&RawValue>) -> std::result::Result<Vec<Dependency<'_>>, RowProblem> {
    raw.map_or(Ok(Vec::new()), |raw| {
        serde_json::from_str(raw.get()).map_err(|e| {
            let remedy = "it is a list of objects with request_id, trigger (dispatch or completion) and delay_ms";
            RowProblem::field("dependencies", json_row::reason(&e), remedy)
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::trace::{OnBadRow, ReadOptions, Trace, TurnPrompt, Wait, WaitFor, parse};

    const HEADER: &str = "{\"schema\":\"dynamo.agentic_mooncake\",\"version\":2,\"block_size\":4,\"hash_id_scope\":\"local\",\"source\":{}}\n";

    fn row(name: &str, play: &str, session: &str, at_ms: u32, id: u32, dependencies: &str) -> String {
        format!(
            "{{\"request_id\":\"{name}\",\"play_id\":\"{play}\",\"session_id\":\"{session}\",\"model\":\"m\",\"input_length\":4,\"output_length\":2,\"hash_ids\":[{id}],\"not_before_ms\":{at_ms},\"dependencies\":[{dependencies}]}}\n"
        )
    }

    fn on(name: &str, trigger: &str, delay_ms: u32) -> String {
        format!("{{\"request_id\":\"{name}\",\"trigger\":\"{trigger}\",\"delay_ms\":{delay_ms},\"relation\":\"join\"}}")
    }

    fn parsed(rows: &[String], options: &ReadOptions) -> Result<Trace> {
        parse(&mut format!("{HEADER}{}", rows.concat()).as_bytes(), "a.jsonl", options)
    }

    fn spawn_and_join() -> Vec<String> {
        vec![
            row("root", "p", "main", 0, 1, ""),
            row("join", "p", "main", 0, 3, &[on("child", "completion", 7), on("root", "completion", 1)].join(",")),
            row("child", "p", "side", 0, 2, &on("root", "dispatch", 5)),
            row("beside", "p", "main", 20, 1, &on("child", "completion", 0)),
            row("root2", "q", "main", 30, 1, ""),
        ]
    }

    #[test]
    fn dependencies_are_delays_within_a_session_and_waits_between_sessions() {
        let trace = parsed(&spawn_and_join(), &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        let lines: Vec<_> = trace.entries.iter().map(|e| e.line).collect();
        assert_eq!(lines, [2, 4, 3, 5, 6], "a row may stand before what it waits for");
        let [root, child, join, beside, _] = &trace.entries[..] else { panic!("{:?}", trace.entries) };
        assert_eq!(trace.waits(child), [Wait { entry: 0, event: WaitFor::Dispatch, delay_ns: 5_000_000 }]);
        assert_eq!(trace.waits(join), [Wait { entry: 1, event: WaitFor::End, delay_ns: 7_000_000 }]);
        assert_eq!((join.session, join.delay_ns), (root.session, Some(1_000_000)));
        assert_eq!(trace.sessions, ["p/main", "p/side", "p/main#2", "q/main"], "beside does not wait for join");
        assert_eq!(beside.session, Some(2));
        assert_eq!((trace.turn_prompt, trace.block_size, trace.models.len()), (TurnPrompt::Whole, 4, 1));
        assert_eq!(trace.block_ids, [0, 1, 2, 0, 3], "ids are those of their play");
    }

    #[test]
    fn waits_that_cannot_end_are_refused() {
        for (rows, message) in [
            (
                vec![
                    row("a", "p", "s", 0, 1, &on("b", "completion", 0)),
                    row("b", "p", "t", 0, 1, &on("a", "dispatch", 0)),
                ],
                "a.jsonl:2: field `dependencies`: waits for what, in the end, waits for it or cannot be used (break the circle)",
            ),
            (
                vec![row("a", "p", "s", 0, 1, &on("x", "completion", 0))],
                "a.jsonl:2: field `dependencies`: names a request that no usable row is (give that request a row, or take it out here)",
            ),
            (
                vec![row("a", "p", "s", 0, 1, ""), row("a", "p", "s", 0, 1, "")],
                "a.jsonl:3: field `request_id`: \"a\" is an earlier row's name (give every request a name of its own)",
            ),
        ] {
            assert_eq!(parsed(&rows, &ReadOptions::default()).unwrap_err().to_string(), message);
        }
        let skip = ReadOptions { on_bad_row: OnBadRow::Skip, ..Default::default() };
        let mut rows = spawn_and_join();
        rows[0] = "{}\n".into();
        let trace = parsed(&rows, &skip).unwrap();
        trace.check().unwrap();
        assert_eq!((trace.entries.len(), trace.skipped_rows), (1, 4), "whoever waits for a skipped row is skipped");
    }

    #[test]
    fn every_refusal_names_line_field_problem_and_remedy() {
        for (line, message) in [
            (
                "{\"schema\": \"x\"}",
                "1: field `schema`: is \"x\", not dynamo.agentic_mooncake (the first line must be the format's header)",
            ),
            (
                "{\"schema\": \"dynamo.agentic_mooncake\", \"version\": 1}",
                "1: field `version`: is 1 (version 2 is what can be read)",
            ),
            (
                "{\"schema\": \"dynamo.agentic_mooncake\", \"version\": 2}",
                "1: field `block_size`: is missing (every row needs it)",
            ),
            (
                &format!("{HEADER}{{\"request_id\": \"a\", \"pla"),
                "2: is cut off: EOF while parsing a string (each line must be one whole JSON object)",
            ),
            (&format!("{HEADER}{{\"request_id\": \"a\"}}"), "2: field `play_id`: is missing (every row needs it)"),
            (
                &format!("{HEADER}{}", row("a", "p", "s", 0, 1, "7")),
                "2: field `dependencies`: integer `7`, expected struct Dependency (it is a list of objects with request_id, trigger (dispatch or completion) and delay_ms)",
            ),
            (
                &format!(
                    "{HEADER}{}",
                    row("a", "p", "s", 0, 1, "").replace("\"input_length\":4", "\"input_length\":-4")
                ),
                "2: field `input_length`: -4 is negative (use a whole number of tokens from 1 to 16777216)",
            ),
            (
                &format!(
                    "{HEADER}{}",
                    row("a", "p", "s", 0, 1, "").replace("\"not_before_ms\":0", "\"not_before_ms\":NaN")
                ),
                "2: holds NaN or Infinity, which are not JSON (leave the field out, or write a number)",
            ),
        ] {
            let options = ReadOptions { format: Some("agentic_mooncake".into()), ..ReadOptions::default() };
            let error = parse(&mut line.as_bytes(), "a.jsonl", &options).unwrap_err();
            assert_eq!(error.to_string(), format!("a.jsonl:{message}"), "{line}");
        }
    }
}
