//! Turns the body of an OpenAI-like request into a literal prompt and what its trace says about the answer.
//!
//! In: a JSON object with `messages` or `prompt`, and perhaps `model`, `max_tokens`. Out: a [`ChatBody`]. Invariants: messages
//! are handed on as they are written; parameters that a trace does not carry are counted by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bad_rows::{RowProblem, shown};
use super::row::Row;
use super::{Content, json_row, number};
use crate::prompt::count_builtin;

/// How many parameters that are not carried are named; the others are counted together.
const NAMES_KEPT: usize = 12;
/// What loadline itself decides about every request.
const DECIDED_ELSEWHERE: [&str; 2] = ["stream", "stream_options"];

/// A literal prompt and what is known of its answer.
pub(super) struct ChatBody<'a> {
    content: Content,
    model: Option<Cow<'a, str>>,
    output_tokens: Option<u32>,
}

impl<'a> ChatBody<'a> {
    /// What a trace keeps of `fields`; the names of what it does not are counted in `left`.
    pub(super) fn parse(fields: &Fields<'a>, left: &mut LeftOut) -> Result<ChatBody<'a>, RowProblem> {
        let (content, answer_tokens) = match (fields.get("messages"), fields.get("prompt")) {
            (Some(messages), _) => prompt_and_answer(messages)?,
            (None, Some(prompt)) => (text_prompt(prompt)?, None),
            (None, None) => {
                return Err(RowProblem::row("has neither messages nor prompt", "give the prompt as one of them"));
            }
        };
        let limit = fields.output_limit()?;
        let model = fields.get("model").map(|raw| json_row::text("model", raw)).transpose()?;
        left.count(fields);
        Ok(ChatBody { content, model, output_tokens: limit.or(answer_tokens) })
    }

    /// The row of a request that has no time.
    pub(super) fn into_row(self, line: u64) -> Row<'a> {
        Row {
            line,
            content: Some(self.content),
            model: self.model,
            output_tokens: self.output_tokens,
            ..Row::default()
        }
    }
}

/// The fields of an object, in order, as they are written.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The value of a field that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }
}

impl Fields<'_> {
    /// The most tokens that the answer may have.
    pub(super) fn output_limit(&self) -> Result<Option<u32>, RowProblem> {
        let limit = ["max_completion_tokens", "max_tokens"].into_iter().find_map(|name| Some((name, self.get(name)?)));
        limit.map(|(name, raw)| number::tokens(name, raw.get())).transpose()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Fields<'a>, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut all = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    all.push((key.0, value));
                }
                Ok(all)
            }
        }
        reader.deserialize_map(All).map(Fields)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// One chat message's keys.
#[derive(serde::Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    content: Option<&'a RawValue>,
}

/// The messages of a list that is not empty, each with its keys; every one has a role.
fn messages_of<'a>(field: &'static str, raw: &'a RawValue) -> Result<Vec<(Message<'a>, &'a RawValue)>, RowProblem> {
    let fault = |problem: String| RowProblem::field(field, problem, "give a list of objects with role and content");
    let list: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| fault(format!("{} is no list", shown(raw.get()))))?;
    let mut messages = Vec::with_capacity(list.len());
    for raw in list {
        let message: Message<'_> = match raw.get().as_bytes().first() {
            Some(b'{') => serde_json::from_str(raw.get()).map_err(|e| fault(json_row::reason(&e)))?,
            _ => return Err(fault(format!("{} is no message", shown(raw.get())))),
        };
        if message.role.is_none() {
            return Err(fault(format!("message {} has no role", messages.len() + 1)));
        }
        messages.push((message, raw));
    }
    if messages.is_empty() {
        return Err(fault("is empty".into()));
    }
    Ok(messages)
}

/// Messages that are sent as they are written.
pub(super) fn verbatim(field: &'static str, raw: &RawValue) -> Result<Content, RowProblem> {
    messages_of(field, raw).map(|_| Content::Messages(raw.get().into()))
}

/// The messages that ask, and the tokens of the one that answers, where the last is the assistant's.
fn prompt_and_answer(raw: &RawValue) -> Result<(Content, Option<u32>), RowProblem> {
    let messages = messages_of("messages", raw)?;
    let (Some((answer, _)), true) = (messages.last(), messages.len() > 1) else {
        return Ok((Content::Messages(raw.get().into()), None));
    };
    if answer.role.as_deref() != Some("assistant") {
        return Ok((Content::Messages(raw.get().into()), None));
    }
    let text = answer.content.map(|raw| json_row::text("content", raw)).transpose()?;
    let kept: Vec<&str> = messages[..messages.len() - 1].iter().map(|(_, raw)| raw.get()).collect();
    Ok((Content::Messages(format!("[{}]", kept.join(", ")).into()), text.and_then(|text| answer_tokens_of(&text))))
}

/// An answer's length, counted by the built-in tokenizer; null where it has no words.
pub(super) fn answer_tokens_of(text: &str) -> Option<u32> {
    u32::try_from(count_builtin(text)).ok().filter(|&count| count > 0)
}

pub(super) fn text_prompt(raw: &RawValue) -> Result<Content, RowProblem> {
    let text = json_row::text("prompt", raw)?;
    if text.trim().is_empty() {
        return Err(RowProblem::field("prompt", "is empty", "give the prompt's text"));
    }
    Ok(Content::Text(text.into()))
}

/// Parameters of bodies that a trace does not carry.
#[derive(Default)]
pub(super) struct LeftOut {
    rows: BTreeMap<String, u64>,
    others: u64,
}

impl LeftOut {
    /// Counts the fields of a body that are neither carried nor decided elsewhere.
    pub(super) fn count(&mut self, fields: &Fields<'_>) {
        const CARRIED: [&str; 5] = ["messages", "prompt", "model", "max_tokens", "max_completion_tokens"];
        for (name, _) in &fields.0 {
            let name = &**name;
            if CARRIED.contains(&name) || DECIDED_ELSEWHERE.contains(&name) {
                continue;
            }
            if let Some(rows) = self.rows.get_mut(name) {
                *rows += 1;
            } else if self.rows.len() < NAMES_KEPT {
                self.rows.insert(name.to_owned(), 1);
            } else {
                self.others += 1;
            }
        }
    }

    /// What was left out, for the trace's notes.
    pub(super) fn note(&self) -> Option<String> {
        let mut parts: Vec<String> =
            self.rows.iter().map(|(name, rows)| format!("{} ({rows} rows)", shown(name))).collect();
        if self.others > 0 {
            parts.push(format!("others ({})", self.others));
        }
        (!parts.is_empty()).then(|| format!("parameters that are not sent with the prompt: {}", parts.join(", ")))
    }
}
