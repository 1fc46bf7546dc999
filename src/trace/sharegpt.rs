//! Turns ShareGPT's conversations into traces: each question is a turn of a session, without times.
//!
//! In: one JSON array (or JSON lines) of `{"id": …, "conversations": [{"from": "human" or "gpt", "value": text}, …]}`, read as
//! a stream. Out: a [`Trace`] whose turns hold what the user adds; a `system` text stands before the first. Of an answer only
//! its length is kept, counted by the built-in tokenizer. Invariants: a conversation with a fault leaves nothing behind; two
//! conversations are two sessions, whatever their ids.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::BufRead;

use serde_json::value::RawValue;

use super::bad_rows::{BadRows, RowProblem, shown};
use super::chat_body::answer_tokens_of;
use super::dialect::Dialect;
use super::draft::Draft;
use super::elements::{Element, Elements};
use super::first_keys::first_keys;
use super::lines::MAX_LINE_BYTES;
use super::row::Row;
use super::{Content, ReadOptions, Trace, TraceFormat, json_row};
use crate::error::{Error, Result};

const DIALECT: Dialect = Dialect::plain("timestamp", "value");

/// ShareGPT's conversations.
pub struct ShareGpt;

#[derive(serde::Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    conversations: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Turn<'a> {
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    value: Option<&'a RawValue>,
}

impl TraceFormat for ShareGpt {
    fn name(&self) -> &'static str {
        "sharegpt"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["share_gpt"]
    }

    fn summary(&self) -> &'static str {
        "ShareGPT's JSON array of conversations between human and gpt"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        first_keys(head).contains(&&b"conversations"[..])
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let mut elements = Elements::new(input);
        let mut reader = Conversations::default();
        while let Some(element) = elements.next().map_err(Error::io(file))? {
            let (line, added) = match element {
                Element::Whole(line, bytes) => {
                    let added = reader.add(bytes, line, &mut draft);
                    (line, added.map_err(|problem| problem.within(&format!("conversation {}: ", reader.count))))
                }
                Element::TooLong(line) => {
                    let problem = format!("has a conversation of more than {} MiB", MAX_LINE_BYTES >> 20);
                    (line, Err(RowProblem::row(problem, "cut it into parts")))
                }
                Element::CutOff(line) => {
                    (line, Err(RowProblem::row("ends before its array does", "fetch the file again; it is cut off")))
                }
            };
            draft.taken(added, line, &mut bad)?;
        }
        reader.notes().into_iter().for_each(|note| draft.note(note));
        draft.finish(&mut bad, options)
    }
}

/// What has been read so far.
#[derive(Default)]
struct Conversations {
    count: u64,
    ids: HashSet<Box<str>>,
    answers: u64,
    turns_left_out: u64,
}

/// One question of a conversation.
struct Question<'a> {
    system: Option<Cow<'a, str>>,
    text: Cow<'a, str>,
    answer_tokens: Option<u32>,
}

impl Conversations {
    fn add(&mut self, bytes: &[u8], line: u64, draft: &mut Draft) -> std::result::Result<(), RowProblem> {
        self.count += 1;
        let keys: Keys<'_> = json_row::object(bytes)
            .map_err(|problem| problem.with_remedy("each conversation must be one whole JSON object"))?;
        let Some(raw) = keys.conversations else {
            return Err(RowProblem::field("conversations", "is missing", "give the list of the conversation's turns"));
        };
        let (questions, left_out) = questions(raw)?;
        let name = self.name(keys.id)?;
        self.turns_left_out += left_out;
        for question in questions {
            self.answers += u64::from(question.answer_tokens.is_some());
            let row = Row {
                line,
                output_tokens: question.answer_tokens,
                session: Some(name.as_str().into()),
                content: Some(question.content()),
                ..Row::default()
            };
            draft.add(row, |_, _| Ok(()))?;
        }
        Ok(())
    }

    /// The conversation's id, or a name of its own where it has none or the id was used before.
    fn name(&mut self, id: Option<&RawValue>) -> std::result::Result<String, RowProblem> {
        let id = id.filter(|raw| raw.get() != "null");
        let id = id.map(|raw| json_row::name("id", raw, "name the conversation by a text")).transpose()?;
        Ok(match id {
            Some(id) if self.ids.insert((&*id).into()) => id.into_owned(),
            Some(id) => format!("{id} #{}", self.count),
            None => format!("#{}", self.count),
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.answers > 0 {
            notes.push(format!("lengths of {} answers are counted by the built-in tokenizer", self.answers));
        }
        if self.turns_left_out > 0 {
            notes.push(format!(
                "{} turns without text, or answers without a question, are left out",
                self.turns_left_out
            ));
        }
        notes
    }
}

impl Question<'_> {
    fn content(self) -> Content {
        let Some(system) = self.system else {
            return Content::Text(self.text.into());
        };
        let messages = [("system", system), ("user", self.text)];
        let messages = messages.map(|(role, content)| serde_json::json!({"role": role, "content": content}));
        Content::Messages(serde_json::Value::from(messages.to_vec()).to_string().into())
    }
}

/// The questions of a conversation, and how many of its turns are none and answer none.
fn questions(raw: &RawValue) -> std::result::Result<(Vec<Question<'_>>, u64), RowProblem> {
    let fault = |problem: String| {
        RowProblem::field("conversations", problem, "give a list of turns, each with from (human, gpt) and value")
    };
    let turns: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| fault(format!("{} is no list", shown(raw.get()))))?;
    let mut questions: Vec<Question<'_>> = Vec::new();
    let (mut system, mut left_out) = (None, 0);
    for raw in turns {
        let turn: Turn<'_> = match raw.get().as_bytes().first() {
            Some(b'{') => serde_json::from_str(raw.get()).map_err(|e| fault(json_row::reason(&e)))?,
            _ => return Err(fault(format!("{} is no turn", shown(raw.get())))),
        };
        let text = turn.value.map(|raw| json_row::text("value", raw)).transpose()?.unwrap_or_default();
        let empty = text.trim().is_empty();
        match (turn.from.as_deref(), questions.last_mut()) {
            (Some("human" | "user" | "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "system"), _) if empty => {
                left_out += 1;
            }
            (Some("human" | "user"), _) => {
                questions.push(Question { system: system.take(), text, answer_tokens: None });
            }
            (Some("gpt" | "assistant" | "chatgpt" | "bing" | "bard"), Some(question)) => {
                let more = answer_tokens_of(&text).unwrap_or(0);
                question.answer_tokens = Some(question.answer_tokens.unwrap_or(0) + more);
            }
            (Some("gpt" | "assistant" | "chatgpt" | "bing" | "bard"), None) => left_out += 1,
            (Some("system"), None) => system = Some(text),
            (Some("system"), Some(_)) => return Err(fault("has a system text after a question".into())),
            (Some(other), _) => return Err(fault(format!("{} is nobody who takes turns", shown(other)))),
            (None, _) => return Err(fault("has a turn without from".into())),
        }
    }
    Ok((questions, left_out))
}

#[cfg(test)]
mod tests {
    use crate::trace::{Content, ReadOptions, Trace, TurnPrompt, parse};

    fn read(file: &str) -> crate::error::Result<Trace> {
        let trace = parse(&mut file.as_bytes(), "t.json", &ReadOptions::default())?;
        trace.check().unwrap();
        Ok(trace)
    }

    #[test]
    fn questions_are_turns_and_answers_are_counted() {
        let trace = read(
            r#"[
  {"id": "x_0", "conversations": [
    {"from": "gpt", "value": "before"},
    {"from": "human", "value": "first \"q\""},
    {"from": "gpt", "value": "one two three"},
    {"from": "gpt", "value": "four"},
    {"from": "human", "value": ""},
    {"from": "human", "value": "second"}]},
  {"id": "x_0", "conversations": [{"from": "system", "value": "be \"brief\""}, {"from": "user", "value": "q"}]},
  {"conversations": []},
  {"conversations": [{"from": "human", "value": "r"}, {"from": "assistant", "value": "s"}]}
]"#,
        )
        .unwrap();
        let rows: Vec<_> = trace
            .entries
            .iter()
            .map(|e| (e.line, e.session.unwrap(), e.content.clone().unwrap(), e.output_tokens))
            .collect();
        let text = |text: &str| Content::Text(text.into());
        let messages = r#"[{"role":"system","content":"be \"brief\""},{"role":"user","content":"q"}]"#;
        assert_eq!(
            rows,
            [
                (2, 0, text("first \"q\""), Some(4)),
                (2, 0, text("second"), None),
                (9, 1, Content::Messages(messages.into()), None),
                (11, 2, text("r"), Some(1))
            ]
        );
        assert_eq!(
            (&trace.sessions[..], trace.turn_prompt),
            (&["x_0", "x_0 #2", "#4"].map(String::from)[..], TurnPrompt::Added)
        );
        assert_eq!(
            trace.notes[1..],
            [
                "lengths of 2 answers are counted by the built-in tokenizer",
                "2 turns without text, or answers without a question, are left out"
            ]
        );
    }

    #[test]
    fn conversations_that_are_none_are_refused() {
        for (file, message) in [
            (
                r#"[{"conversations": [{"from": "human", "value": "q"}]},
                   {"conversations": [{"from": "robot", "value": "q"}]}]"#,
                "t.json:2: field `conversations`: conversation 2: robot is nobody who takes turns (give a list of turns, each with from (human, gpt) and value)",
            ),
            (
                r#"[{"conversations": [{"from": "human", "value": 7}]}]"#,
                "t.json:1: field `value`: conversation 1: 7 is not a text (write it in quotes)",
            ),
            (
                r#"[{"conversations": [{"from": "human", "value": "q"}]},"#,
                "t.json:1: ends before its array does (fetch the file again; it is cut off)",
            ),
        ] {
            assert_eq!(read(file).unwrap_err().to_string(), message);
        }
    }
}
