//! Turns JSON lines of chat messages into traces: one request per line, without times.
//!
//! In: rows `{"messages": [{"role": …, "content": …}, …]}` or `{"prompt": "…"}`, with the other parameters of an OpenAI-like
//! request where they have any. Out: a [`Trace`] of literal prompts. A conversation that ends with the assistant's message is
//! a prompt with its answer: the answer is not sent, and its length is what is asked for, unless `max_tokens` says otherwise.

use std::io::BufRead;

use super::bad_rows::BadRows;
use super::chat_body::{ChatBody, Fields, LeftOut};
use super::dialect::Dialect;
use super::draft::Draft;
use super::first_keys::first_keys;
use super::{ReadOptions, Trace, TraceFormat, json_row};
use crate::error::Result;

const DIALECT: Dialect = Dialect::plain("timestamp", "messages");

/// Keys of other formats, whose rows may hold messages too.
const OTHERS: [&[u8]; 8] =
    [b"timestamp", b"created_time", b"session_id", b"delay", b"input_length", b"text_input", b"hash_ids", b"payload"];

/// Chat messages, one request per line.
pub struct ChatLines;

impl TraceFormat for ChatLines {
    fn name(&self) -> &'static str {
        "chat_jsonl"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn summary(&self) -> &'static str {
        "JSON lines with messages or prompt, as in a chat request, without times"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let keys = first_keys(head);
        let chat = keys.contains(&&b"messages"[..]) || keys.contains(&&b"prompt"[..]);
        head.first() == Some(&b'{') && chat && !keys.iter().any(|key| OTHERS.contains(key))
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let mut left = LeftOut::default();
        draft.read_lines(input, &mut bad, |draft, line, number| {
            let fields: Fields<'_> = json_row::object(line)?;
            draft.add(ChatBody::parse(&fields, &mut left)?.into_row(number), |_, _| Ok(()))
        })?;
        left.note().into_iter().for_each(|note| draft.note(note));
        draft.finish(&mut bad, options)
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::{Content, ReadOptions, Trace, parse};

    fn accepted(file: &str) -> Trace {
        let trace = parse(&mut file.as_bytes(), "t.jsonl", &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        trace
    }

    #[test]
    fn an_answer_at_the_end_is_counted_and_not_sent() {
        let trace = accepted(
            r#"{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": "one two\nthree"}]}
{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a b"}], "max_tokens": 9, "tools": []}
{"messages": [{"role": "assistant", "content": "alone"}]}
{"prompt": "text", "id": 4}
"#,
        );
        let rows: Vec<_> = trace.entries.iter().map(|e| (e.content.clone().unwrap(), e.output_tokens)).collect();
        let messages = |json: &str| Content::Messages(json.into());
        assert_eq!(
            rows,
            [
                (
                    messages(
                        r#"[{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "q"}]}]"#
                    ),
                    Some(3)
                ),
                (messages(r#"[{"role": "user", "content": "q"}]"#), Some(9)),
                (messages(r#"[{"role": "assistant", "content": "alone"}]"#), None),
                (Content::Text("text".into()), None)
            ]
        );
        assert_eq!(
            trace.notes,
            [
                "rows have no times; they can only be sent at a rate or a concurrency",
                "parameters that are not sent with the prompt: id (1 rows), tools (1 rows)"
            ]
        );
    }

    #[test]
    fn messages_that_are_none_are_refused() {
        for (row, message) in [
            (
                r#"{"messages": []}"#,
                "t.jsonl:1: field `messages`: is empty (give a list of objects with role and content)",
            ),
            (
                r#"{"messages": "hi"}"#,
                "t.jsonl:1: field `messages`: \"hi\" is no list (give a list of objects with role and content)",
            ),
            (
                r#"{"messages": ["hi"]}"#,
                "t.jsonl:1: field `messages`: \"hi\" is no message (give a list of objects with role and content)",
            ),
            (
                r#"{"messages": [{"role": "user", "content": "q"}, {"content": "r"}]}"#,
                "t.jsonl:1: field `messages`: message 2 has no role (give a list of objects with role and content)",
            ),
            (r#"{"prompt": " "}"#, "t.jsonl:1: field `prompt`: is empty (give the prompt's text)"),
        ] {
            let error = parse(&mut row.as_bytes(), "t.jsonl", &ReadOptions::default()).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
