//! Turns files of OpenAI's batch API into traces: one whole request per line, without a time.
//!
//! In: rows `{"custom_id": …, "method": "POST", "url": "/v1/chat/completions", "body": {…}}`. Out: a [`Trace`] of literal
//! prompts; `max_tokens` is the length of the answer, `model` the model it went to. Other parameters of the body are not
//! carried, and noted by name. Requests to other APIs than chat and completions are refused.

use std::io::BufRead;

use serde_json::value::RawValue;

use super::bad_rows::{BadRows, RowProblem, shown};
use super::chat_body::{ChatBody, Fields, LeftOut};
use super::dialect::Dialect;
use super::draft::Draft;
use super::first_keys::first_keys;
use super::{ReadOptions, Trace, TraceFormat, json_row};
use crate::error::Result;

const DIALECT: Dialect = Dialect::plain("timestamp", "messages");

/// OpenAI's batch files.
pub struct OpenAiBatch;

#[derive(serde::Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    url: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
}

impl TraceFormat for OpenAiBatch {
    fn name(&self) -> &'static str {
        "openai_batch"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["batch"]
    }

    fn summary(&self) -> &'static str {
        "OpenAI batch JSON lines with custom_id, method, url and body"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let keys = first_keys(head);
        keys.contains(&&b"body"[..]) && (keys.contains(&&b"url"[..]) || keys.contains(&&b"custom_id"[..]))
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let mut left = LeftOut::default();
        draft.read_lines(input, &mut bad, |draft, line, number| {
            let keys: Keys<'_> = json_row::object(line)?;
            check_address(&keys)?;
            let Some(raw) = keys.body else {
                return Err(RowProblem::field("body", "is missing", "give the request's body, a JSON object"));
            };
            let body: Fields<'_> = serde_json::from_str(raw.get()).map_err(|_| {
                RowProblem::field("body", format!("{} is no object", shown(raw.get())), "give the request's body")
            })?;
            draft.add(ChatBody::parse(&body, &mut left)?.into_row(number), |_, _| Ok(()))
        })?;
        left.note().into_iter().for_each(|note| draft.note(note));
        draft.finish(&mut bad, options)
    }
}

/// Only what is posted to chat or completions is a prompt.
fn check_address(keys: &Keys<'_>) -> std::result::Result<(), RowProblem> {
    if let Some(raw) = keys.method.filter(|raw| !raw.get().eq_ignore_ascii_case("\"POST\"")) {
        return Err(RowProblem::field("method", format!("{} is not POST", shown(raw.get())), "prompts are posted"));
    }
    let Some(raw) = keys.url else {
        return Ok(());
    };
    if json_row::text("url", raw)?.trim_end_matches('/').ends_with("/completions") {
        return Ok(());
    }
    let remedy = "only /v1/chat/completions and /v1/completions can be replayed";
    Err(RowProblem::field("url", format!("{} is another API", shown(raw.get())), remedy))
}

#[cfg(test)]
mod tests {
    use crate::trace::{Content, ReadOptions, Trace, parse};

    fn read(file: &str) -> crate::error::Result<Trace> {
        let trace = parse(&mut file.as_bytes(), "t.jsonl", &ReadOptions::default())?;
        trace.check().unwrap();
        Ok(trace)
    }

    #[test]
    fn bodies_become_literal_prompts() {
        let trace = read(
            r#"{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m1", "messages": [{"role": "user", "content": "say \"hi\""}], "max_tokens": 30, "temperature": 0, "stream": true}}
{"custom_id": "b", "method": "POST", "url": "/v1/completions", "body": {"model": "m2", "prompt": "one two", "max_completion_tokens": 4, "temperature": 1, "seed": 7}}
"#,
        )
        .unwrap();
        let [a, b] = &trace.entries[..] else { panic!("{:?}", trace.entries) };
        let messages = r#"[{"role": "user", "content": "say \"hi\""}]"#;
        assert_eq!((a.content.clone(), a.output_tokens), (Some(Content::Messages(messages.into())), Some(30)));
        assert_eq!((b.content.clone(), b.output_tokens), (Some(Content::Text("one two".into())), Some(4)));
        assert_eq!((&trace.models[..], b.model), (&["m1", "m2"].map(String::from)[..], Some(1)));
        assert_eq!(
            trace.notes[1..],
            ["parameters that are not sent with the prompt: seed (1 rows), temperature (2 rows)"]
        );
    }

    #[test]
    fn other_apis_are_refused_by_name() {
        for (row, message) in [
            (
                r#"{"custom_id": "a", "url": "/v1/embeddings", "body": {"input": "x"}}"#,
                "t.jsonl:1: field `url`: \"/v1/embeddings\" is another API (only /v1/chat/completions and /v1/completions can be replayed)",
            ),
            (
                r#"{"custom_id": "a", "url": "/v1/completions", "body": {"prompt": ["x", "y"]}}"#,
                "t.jsonl:1: field `prompt`: [\"x\", \"y\"] is not a text (write it in quotes)",
            ),
            (
                r#"{"custom_id": "a", "url": "/v1/completions", "body": {"max_tokens": 3}}"#,
                "t.jsonl:1: has neither messages nor prompt (give the prompt as one of them)",
            ),
        ] {
            assert_eq!(read(row).unwrap_err().to_string(), message);
        }
    }
}
