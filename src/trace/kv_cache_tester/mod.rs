//! Turns recorded coding sessions (kv-cache-tester, AgentX) into traces: every session and every subagent is a session.
//!
//! In: objects `{"id", "block_size", "hash_id_scope", "requests": [{"t": s, "type": "s" | "n" | "subagent", "model", "in",
//! "out", "hash_ids", "api_time": s, "think_time": s}]}`, one to a file, one to a line or in an array. An entry of type
//! `subagent` holds `requests` of its own, whose times count from its own `t` where the earliest lies before it.
//! Out: a [`Trace`]. A turn's delay is its `think_time`, else what lies between the end of the turn before and its `t`. A
//! subagent's first request waits for the request before it in its parent; the parent's first request after the subagent's
//! end waits for the subagent's last one. Invariants: prompts are whole; block ids are those of their session and its
//! subagents, unless `hash_id_scope` is `global`; the partial last block has no id, so its tokens are shared with nobody.

use std::borrow::Cow;
use std::io::BufRead;

use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::trace::bad_rows::{BadRows, RowProblem};
use crate::trace::dialect::Dialect;
use crate::trace::draft::Draft;
use crate::trace::elements::{Element, Elements};
use crate::trace::first_keys::first_keys;
use crate::trace::intern::Names;
use crate::trace::row::{Cause, Row};
use crate::trace::time_axis::{TimeUnit, UnitRule};
use crate::trace::{ReadOptions, Trace, TraceFormat, TurnPrompt, WaitFor, json_row, number};

/// Sessions of kv-cache-tester and its relatives.
pub struct KvCacheTester;

/// The longest session that is read: twenty times the mean of the longest public ones (AgentX).
const MAX_SESSION_BYTES: usize = 128 << 20;
/// How much earlier than its subagent a request may stand on the same clock, in billionths of a second: recorders round.
const CLOCK_SLACK: i128 = 100_000_000;
/// How deep subagents may nest.
const MAX_DEPTH: u32 = 8;

const DIALECT: Dialect = Dialect {
    unit: UnitRule::Always(TimeUnit::S),
    block_tokens: 64,
    session: "id",
    waits: "requests",
    turn_prompt: TurnPrompt::Whole,
    ..Dialect::plain("t", "in")
};

#[derive(serde::Deserialize)]
struct SessionKeys<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    block_size: Option<&'a RawValue>,
    hash_id_scope: Option<&'a RawValue>,
    requests: Option<Vec<&'a RawValue>>,
}

#[derive(serde::Deserialize)]
struct CallKeys<'a> {
    #[serde(borrow)]
    t: Option<&'a RawValue>,
    r#type: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
    r#in: Option<&'a RawValue>,
    out: Option<&'a RawValue>,
    hash_ids: Option<&'a RawValue>,
    api_time: Option<&'a RawValue>,
    think_time: Option<&'a RawValue>,
    agent_id: Option<&'a RawValue>,
    duration_ms: Option<&'a RawValue>,
    requests: Option<Vec<&'a RawValue>>,
}

impl TraceFormat for KvCacheTester {
    fn name(&self) -> &'static str {
        "kv_cache_tester"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["weka_trace", "weka"]
    }

    fn summary(&self) -> &'static str {
        "JSON objects of one coding session each, with requests and subagents (kv-cache-tester, AgentX)"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let keys = first_keys(head);
        let has = |key: &str| keys.contains(&key.as_bytes());
        has("requests") && (has("block_size") || has("hash_id_scope") || has("models"))
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut reader = Reader {
            draft: Draft::new(&DIALECT),
            bad: BadRows::new(file, options),
            names: Names::default(),
            sessions: 0,
            calls: 0,
        };
        let mut elements = Elements::of_at_most(input, MAX_SESSION_BYTES);
        while let Some(element) = elements.next().map_err(Error::io(file))? {
            let (line, read) = match element {
                Element::Whole(line, bytes) => (line, reader.session(bytes, line)?),
                Element::TooLong(line) => {
                    let problem = format!("is longer than {} MiB", MAX_SESSION_BYTES >> 20);
                    (line, Err(RowProblem::row(problem, "cut the session into parts")))
                }
                Element::CutOff(line) => (line, Err(RowProblem::row("is cut off", "the array has no end"))),
            };
            reader.draft.taken(read, line, &mut reader.bad)?;
        }
        reader.finish(options)
    }
}

struct Reader<'a> {
    draft: Draft,
    bad: BadRows<'a>,
    /// Names of sessions and subagents, to tell those of one name apart.
    names: Names,
    sessions: u32,
    /// Requests so far; a request's name is its number.
    calls: u64,
}

/// The requests of one session or subagent while they are read.
struct Thread<'t> {
    name: &'t str,
    /// What its requests are called: null where they say so themselves.
    kind: Option<&'static str>,
    /// What its times count from, in billionths of a second.
    base: i128,
    /// What its first request waits for.
    spawned_by: Option<Done>,
    depth: u32,
}

/// A request that was read: its name, and when it began and ended, in billionths of a second.
#[derive(Clone)]
struct Done {
    name: String,
    start: i128,
    end: Option<i128>,
}

/// Goes through a text once and knows the line of every place in it.
struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of a part of the text that stands behind all that were asked for before.
    fn of(&mut self, part: &RawValue) -> u64 {
        let at = (part.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len());
        self.line += memchr::memchr_iter(b'\n', &self.text[self.at.min(at)..at]).count() as u64;
        self.at = at.max(self.at);
        self.line
    }
}

impl Reader<'_> {
    fn session(&mut self, text: &[u8], line: u64) -> Result<std::result::Result<(), RowProblem>> {
        let keys: SessionKeys<'_> = match json_row::object(text) {
            Ok(keys) => keys,
            Err(problem) => return Ok(Err(problem)),
        };
        let (name, local) = match self.open(&keys) {
            Ok(opened) => opened,
            Err(problem) => return Ok(Err(problem)),
        };
        let Some(requests) = keys.requests else {
            return Ok(json_row::required("requests", None));
        };
        self.sessions += 1;
        self.draft.enter_scope(if local { self.sessions } else { 0 });
        let thread = Thread { name: &name, kind: None, base: 0, spawned_by: None, depth: 0 };
        self.thread(&thread, &requests, &mut Lines { text, at: 0, line })?;
        Ok(Ok(()))
    }

    /// Reads what a session says of itself: its name, unlike any other's, and whether its block ids are its own.
    fn open(&mut self, keys: &SessionKeys<'_>) -> std::result::Result<(String, bool), RowProblem> {
        let id = json_row::name("id", json_row::required("id", keys.id)?, "name the session by a text")?;
        if let Some(raw) = keys.block_size {
            let stated = self.draft.state_block_size(number::tokens("block_size", raw.get())?);
            stated.map_err(|p| RowProblem::field("block_size", p, "put sessions of one block size into a trace"))?;
        }
        let local = match keys.hash_id_scope.map(RawValue::get) {
            None | Some("\"local\"" | "null") => true,
            Some("\"global\"") => false,
            Some(_) => {
                return Err(RowProblem::field("hash_id_scope", "is unknown", "use \"local\" or \"global\""));
            }
        };
        Ok((self.own_name(id.into_owned()), local))
    }

    /// A name, made unlike all before it.
    fn own_name(&mut self, name: String) -> String {
        let before = self.names.len();
        if self.names.number(&name) as usize == before { name } else { self.own_name(format!("{name}#{}", before + 1)) }
    }

    /// Takes the requests of a session or subagent in; the last of them.
    fn thread(&mut self, thread: &Thread<'_>, requests: &[&RawValue], lines: &mut Lines<'_>) -> Result<Option<Done>> {
        let mut previous: Option<Done> = None;
        let mut children: Vec<Done> = Vec::new();
        for (index, raw) in requests.iter().enumerate() {
            let line = lines.of(raw);
            let read = match json_row::object::<CallKeys<'_>>(raw.get().as_bytes()) {
                Ok(keys) if keys.r#type.is_some_and(|raw| raw.get() == "\"subagent\"") => {
                    let spawned_by = previous.clone().or_else(|| thread.spawned_by.clone());
                    self.subagent(thread, &keys, spawned_by, lines)?.map(|child| children.extend(child))
                }
                Ok(keys) => self.call(thread, &keys, line, &previous, &mut children).map(|done| previous = Some(done)),
                Err(problem) => Err(problem),
            };
            if let Err(problem) = read {
                let place = format!("request {} of session {}: ", index + 1, thread.name);
                self.bad.report(line, problem.within(&place))?;
            }
        }
        Ok(previous)
    }

    fn subagent(
        &mut self,
        parent: &Thread<'_>,
        keys: &CallKeys<'_>,
        spawned_by: Option<Done>,
        lines: &mut Lines<'_>,
    ) -> Result<std::result::Result<Option<Done>, RowProblem>> {
        let requests = keys.requests.as_deref().unwrap_or_default();
        let opened = opening(parent, keys);
        let (start, lasted_ns, agent) = match opened {
            Ok(opened) => opened,
            Err(problem) => return Ok(Err(problem)),
        };
        let earliest = requests.iter().filter_map(|raw| {
            let keys: CallKeys<'_> = json_row::object(raw.get().as_bytes()).ok()?;
            seconds("t", keys.t?).ok()
        });
        let own_clock = earliest.min().is_some_and(|t| parent.base + t + CLOCK_SLACK < start);
        let name = self.own_name(format!("{}/{agent}", parent.name));
        let base = if own_clock { start } else { parent.base };
        let thread = Thread { name: &name, kind: Some("subagent"), base, spawned_by, depth: parent.depth + 1 };
        let last = self.thread(&thread, requests, lines)?;
        let stated_end = lasted_ns.map(|ns| start + i128::from(ns));
        Ok(Ok(last.map(|done| Done { end: stated_end.max(done.end), ..done })))
    }

    fn call(
        &mut self,
        thread: &Thread<'_>,
        keys: &CallKeys<'_>,
        line: u64,
        previous: &Option<Done>,
        children: &mut Vec<Done>,
    ) -> std::result::Result<Done, RowProblem> {
        let start = thread.base + seconds("t", json_row::required("t", keys.t)?)?;
        let lasted = keys.api_time.map(|raw| seconds("api_time", raw)).transpose()?;
        let think_ns = keys.think_time.map(|raw| number::delay_ns("think_time", raw.get(), TimeUnit::S)).transpose()?;
        let input = json_row::required("in", keys.r#in)?;
        let joined: Vec<&Done> = children.iter().filter(|c| c.end.is_none_or(|end| end <= start)).collect();
        let mut waits: Vec<Cause<'_>> = joined.iter().map(|c| c.joined_at(start)).collect();
        if let (None, Some(parent)) = (previous, &thread.spawned_by) {
            waits.push(parent.before(start));
        }
        let pause_ns = match previous {
            // What lies between is the subagents' time, which the waits tell.
            _ if !joined.is_empty() => None,
            Some(Done { end: Some(end), .. }) => Some(pause_ns(start - end)),
            _ => None,
        };
        let kind = thread
            .kind
            .map(Cow::Borrowed)
            .map_or_else(|| keys.r#type.map(|raw| json_row::text("type", raw)).transpose(), |kind| Ok(Some(kind)))?;
        self.calls += 1;
        let name = self.calls.to_string();
        let row = Row {
            line,
            time: Some(start),
            delay_ns: previous.as_ref().and(think_ns.filter(|_| joined.is_empty()).or(pause_ns)),
            input_tokens: number::tokens("in", input.get())?,
            output_tokens: number::known_tokens("out", keys.out.map(RawValue::get))?,
            session: Some(Cow::Borrowed(thread.name)),
            model: keys.model.map(|raw| json_row::text("model", raw)).transpose()?,
            kind,
            request: Some(Cow::Borrowed(&name)),
            waits,
            ..Row::default()
        };
        self.draft.add(row, |names, out| match keys.hash_ids {
            Some(raw) => json_row::blocks("hash_ids", raw, names, out),
            None => Ok(()),
        })?;
        children.retain(|c| c.end.is_some_and(|end| end > start));
        Ok(Done { name, start, end: lasted.map(|lasted| start + lasted) })
    }

    fn finish(mut self, options: &ReadOptions) -> Result<Trace> {
        self.draft.note_silent();
        let roots = self.sessions;
        let mut trace = self.draft.finish(&mut self.bad, options)?;
        if roots > 1 {
            trace.notes.push(format!(
                "each of {roots} sessions has a clock of its own, so all begin together; --request-rate or --concurrency spreads them"
            ));
        }
        Ok(trace)
    }
}

/// When a subagent began, how many nanoseconds it lasted, and its name.
fn opening(parent: &Thread<'_>, keys: &CallKeys<'_>) -> std::result::Result<(i128, Option<i64>, String), RowProblem> {
    if parent.depth == MAX_DEPTH {
        let problem = format!("nests deeper than {MAX_DEPTH} subagents");
        return Err(RowProblem::field("requests", problem, "take the innermost out"));
    }
    let start = parent.base + seconds("t", json_row::required("t", keys.t)?)?;
    let lasted = keys.duration_ms.map(|raw| number::delay_ns("duration_ms", raw.get(), TimeUnit::Ms)).transpose()?;
    let agent = keys.agent_id.map(|raw| json_row::name("agent_id", raw, "name it by a text")).transpose()?;
    Ok((start, lasted, agent.unwrap_or(Cow::Borrowed("subagent")).into_owned()))
}

impl Done {
    /// What another request that began at `start` has waited for: this one's end.
    fn joined_at(&self, start: i128) -> Cause<'_> {
        let delay_ns = pause_ns(self.end.map_or(0, |end| start - end));
        Cause { request: Cow::Borrowed(&self.name), event: WaitFor::End, delay_ns }
    }

    /// What another request that began at `start` has waited for: this one's end, or its beginning where it had not ended.
    fn before(&self, start: i128) -> Cause<'_> {
        let (event, since) = match self.end {
            Some(end) if end <= start => (WaitFor::End, end),
            _ => (WaitFor::Dispatch, self.start),
        };
        Cause { request: Cow::Borrowed(&self.name), event, delay_ns: pause_ns(start - since) }
    }
}

fn seconds(field: &'static str, raw: &RawValue) -> std::result::Result<i128, RowProblem> {
    number::time(field, raw.get(), TimeUnit::S)
}

/// Nanoseconds of a pause in billionths of a second, which they are; none where it is negative.
fn pause_ns(billionths: i128) -> i64 {
    i64::try_from(billionths.max(0)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
