//! Turns the data of one stream event, or a whole JSON answer, into what a flight needs to know of it.
//!
//! Reads the chat and completions shapes of vLLM, SGLang, TensorRT-LLM, Dynamo, llama.cpp and OpenAI: `delta` or
//! `message` with `content`, `reasoning_content` or `reasoning`, `tool_calls`; `text`; `finish_reason`; `usage`; an
//! `error` object or Dynamo's flat one. All choices are looked at, not the first alone. Beside them, told by their keys: the typed
//! events and the whole answers of OpenAI's responses and of Anthropic's messages (`typed`), vectors, and the scores of rerankers.
//! Not here: decoding text. Only whether there is some matters on the data plane.

use super::json::{Cursor, Walk};
use super::typed::{self, Typed};
use crate::outcome::EventKind;

/// Token counts as the server states them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of prompt.
    pub prompt_tokens: Option<u32>,
    /// Tokens of answer, reasoning included.
    pub completion_tokens: Option<u32>,
    /// Tokens of prompt that the prefix cache held.
    pub cached_tokens: Option<u32>,
    /// Tokens of reasoning.
    pub reasoning_tokens: Option<u32>,
}

/// What one event said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta<'a> {
    /// What it carried.
    pub kind: EventKind,
    /// Why the answer ended, if it says so.
    pub finish_reason: Option<&'a [u8]>,
    /// Token counts, if it has some.
    pub usage: Option<Usage>,
    /// The text of an error, as it stands between its quotes; empty when the error has none.
    pub error: Option<&'a [u8]>,
    /// The text that makes it what [`Delta::kind`] says, as it stands between its quotes: output, else reasoning.
    pub text: Option<&'a [u8]>,
    /// Whether it holds vectors, or a reranker's scores, which are an answer without text.
    pub vectors: bool,
}

#[derive(Default)]
pub(super) struct Found<'a> {
    role: bool,
    pub(super) output: Option<&'a [u8]>,
    pub(super) reasoning: Option<&'a [u8]>,
    pub(super) tool_call: bool,
    choices: usize,
    pub(super) finish_reason: Option<&'a [u8]>,
    pub(super) usage: Option<Usage>,
    error: Option<&'a [u8]>,
    vectors: bool,
    pub(super) typed: Typed<'a>,
    /// A top-level `message`: an error's, where there are no choices (Dynamo's flat error).
    message: Option<&'a [u8]>,
    code: bool,
}

impl<'a> Delta<'a> {
    /// Reads the data of one event. `[DONE]` is an event of its own kind; malformed JSON is an error.
    pub fn read(data: &'a [u8]) -> Walk<Delta<'a>> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Delta {
                kind: EventKind::Done,
                finish_reason: None,
                usage: None,
                error: None,
                text: None,
                vectors: false,
            });
        }
        let mut found = Found::default();
        let mut cursor = Cursor::new(data);
        match cursor.peek() {
            // TEI's reranker answers with nothing but the list.
            Some(b'[') => found.scores(&mut cursor)?,
            _ => cursor.object(|c, key| found.top_level(c, key))?,
        }
        cursor.end()?;
        Ok(found.delta())
    }
}

impl<'a> Found<'a> {
    fn top_level(&mut self, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
        match key {
            b"choices" => c.array(|c, _| {
                self.choices += 1;
                c.object(|c, key| self.choice(c, key))
            }),
            b"usage" => self.usage_value(c),
            b"error" => self.error_value(c),
            b"message" if c.peek() == Some(b'{') => c.object(|c, key| match key {
                b"usage" => self.usage_value(c),
                _ => c.skip(1),
            }),
            b"message" => c.string_or_null().map(|text| self.message = text),
            b"data" => c.array(|c, _| {
                c.object(|c, key| {
                    self.vectors |= key == b"embedding";
                    c.skip(2)
                })
            }),
            // Those of rerankers: Cohere's, and NIM's.
            b"results" | b"rankings" => self.scores(c),
            b"code" => {
                self.code = true;
                c.skip(0)
            }
            _ => typed::top_level(self, c, key),
        }
    }

    /// A list of scores, which is a reranker's answer.
    fn scores(&mut self, c: &mut Cursor<'a>) -> Walk<()> {
        c.array(|c, _| {
            c.object(|c, key| {
                self.vectors |= matches!(key, b"relevance_score" | b"score" | b"logit");
                c.skip(2)
            })
        })
    }

    pub(super) fn usage_value(&mut self, c: &mut Cursor<'a>) -> Walk<()> {
        if c.peek() != Some(b'{') {
            return c.skip(0);
        }
        let mut usage = Usage::default();
        c.object(|c, key| read_usage(&mut usage, c, key))?;
        self.usage = Some(usage);
        Ok(())
    }

    pub(super) fn error_value(&mut self, c: &mut Cursor<'a>) -> Walk<()> {
        match c.peek() {
            Some(b'{') => {
                self.error = Some(b"");
                c.object(|c, key| match key {
                    b"message" => c.string_or_null().map(|text| self.error = Some(text.unwrap_or(b""))),
                    _ => c.skip(1),
                })
            }
            _ => c.string_or_null().map(|text| self.error = text),
        }
    }

    fn choice(&mut self, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
        match key {
            b"delta" | b"message" => c.object(|c, key| self.text_fields(c, key)),
            b"text" => c.string_or_null().map(|text| self.output = some_text(text).or(self.output)),
            b"finish_reason" => c.string_or_null().map(|reason| self.finish_reason = reason.or(self.finish_reason)),
            _ => c.skip(0),
        }
    }

    fn text_fields(&mut self, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
        match key {
            b"content" | b"refusal" => c.string_or_null().map(|text| self.output = some_text(text).or(self.output)),
            b"reasoning_content" | b"reasoning" => {
                c.string_or_null().map(|text| self.reasoning = some_text(text).or(self.reasoning))
            }
            b"role" => c.string_or_null().map(|role| self.role |= role.is_some()),
            b"tool_calls" => c.array(|c, _| {
                self.tool_call = true;
                c.skip(0)
            }),
            _ => c.skip(0),
        }
    }

    fn delta(mut self) -> Delta<'a> {
        typed::settle(&mut self);
        let flat_error = if self.choices == 0 && self.code { self.message } else { None };
        let error = self.error.or(flat_error);
        let kind = if error.is_some() {
            EventKind::Error
        } else if self.output.is_some() {
            EventKind::Output
        } else if self.tool_call {
            EventKind::ToolCall
        } else if self.reasoning.is_some() {
            EventKind::Reasoning
        } else if self.finish_reason.is_some() {
            EventKind::Other
        } else if self.usage.is_some() {
            EventKind::Usage
        } else if self.role {
            EventKind::Role
        } else {
            EventKind::Other
        };
        let text = match kind {
            EventKind::Output => self.output,
            EventKind::Reasoning => self.reasoning,
            _ => None,
        };
        Delta { kind, finish_reason: self.finish_reason, usage: self.usage, error, text, vectors: self.vectors }
    }
}

pub(super) fn some_text(text: Option<&[u8]>) -> Option<&[u8]> {
    text.filter(|t| !t.is_empty())
}

fn read_usage<'a>(usage: &mut Usage, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
    match key {
        b"prompt_tokens" | b"input_tokens" => usage.prompt_tokens = c.count()?,
        b"completion_tokens" | b"output_tokens" => usage.completion_tokens = c.count()?,
        b"cache_read_input_tokens" => usage.cached_tokens = c.count()?,
        b"prompt_tokens_details" | b"input_tokens_details" => c.object(|c, key| match key {
            b"cached_tokens" => c.count().map(|n| usage.cached_tokens = n),
            _ => c.skip(1),
        })?,
        b"completion_tokens_details" | b"output_tokens_details" => c.object(|c, key| match key {
            b"reasoning_tokens" => c.count().map(|n| usage.reasoning_tokens = n),
            _ => c.skip(1),
        })?,
        b"reasoning_tokens" => usage.reasoning_tokens = c.count()?,
        _ => c.skip(0)?,
    }
    Ok(())
}

/// The property that the fuzz target checks: what a full parser accepts is read without an error, and whatever is
/// read says the same with white space around it.
pub fn fuzz_against_serde(data: &[u8]) {
    let walked = Delta::read(data);
    let nested_too_deep = data.iter().filter(|b| matches!(b, b'{' | b'[')).count() > 60;
    if serde_json::from_slice::<serde_json::Value>(data).is_ok_and(|v| v.is_object()) && !nested_too_deep {
        assert!(walked.is_ok(), "serde accepts what the walk refuses");
    }
    let padded = [b" ", data, b"\n"].concat();
    assert_eq!(Delta::read(&padded).ok(), walked.ok(), "white space changed the meaning");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &str, kind: EventKind) -> Delta<'_> {
        let delta = Delta::read(data.as_bytes()).unwrap();
        assert_eq!(delta.kind, kind, "{data}");
        delta
    }

    #[test]
    fn the_kinds_of_events_that_real_servers_send() {
        use EventKind::*;
        check(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#, Role);
        check(r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#, Role);
        check(r#"{"choices":[{"delta":{"content":" log","role":"assistant"},"finish_reason":null}]}"#, Output);
        check(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, Reasoning);
        check(r#"{"choices":[{"delta":{"reasoning":"hm","content":null}}]}"#, Reasoning);
        check(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#, ToolCall);
        check(r#"{"choices":[{"text":" a","index":0}]}"#, Output);
        check(r#"{"choices":[{"text":"","index":0,"finish_reason":"length"}]}"#, Other);
        check(r#"{"choices":[{"delta":{}},{"index":1,"delta":{"content":"x"}}]}"#, Output);
        check(r#"{"choices":[]}"#, Other);
        check("[DONE]", Done);
        check(" [DONE] ", Done);
    }

    #[test]
    fn finish_reason_may_share_an_event_with_text_or_with_usage() {
        let d = check(r#"{"choices":[{"delta":{"content":"sre"},"finish_reason":"length"}]}"#, EventKind::Output);
        assert_eq!(d.finish_reason, Some(&b"length"[..]));
        let d = check(
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"completion_tokens":3}}"#,
            EventKind::Other,
        );
        assert_eq!(d.usage.unwrap().completion_tokens, Some(3));
    }

    #[test]
    fn usage_with_its_details() {
        let d = check(
            r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25,
               "prompt_tokens_details":{"cached_tokens":16},"completion_tokens_details":{"reasoning_tokens":2}}}"#,
            EventKind::Usage,
        );
        let usage = Usage {
            prompt_tokens: Some(20),
            completion_tokens: Some(5),
            cached_tokens: Some(16),
            reasoning_tokens: Some(2),
        };
        assert_eq!(d.usage, Some(usage));
        assert_eq!(check(r#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#, EventKind::Output).usage, None);
    }

    #[test]
    fn errors_in_each_dialect() {
        let text = |data| check(data, EventKind::Error).error.unwrap();
        assert_eq!(text(r#"{"error":{"message":"boom","type":"x","code":500}}"#), b"boom");
        assert_eq!(text(r#"{"error":"boom"}"#), b"boom");
        assert_eq!(text(r#"{"error":{}}"#), b"");
        assert_eq!(
            text(r#"{"message":"Service temporarily overloaded","code":529}"#),
            b"Service temporarily overloaded"
        );
        assert_eq!(check(r#"{"error":null,"choices":[{"text":"a"}]}"#, EventKind::Output).error, None);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in ["{\"choices\":[{\"delta\":{\"cont", "x", "{\"a\":1}}", ""] {
            assert!(Delta::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_fuzz_corpus_holds() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/delta");
        let mut files = 0;
        for file in std::fs::read_dir(dir).unwrap() {
            fuzz_against_serde(&std::fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 8, "{files} files in {dir}");
    }
}
