//! Turns an answer into bytes, as vLLM 0.32 writes them: stream events, whole answers, error bodies.
//!
//! In: token counts and positions. Out: [`Bytes`]. The constant parts of a request's events are encoded once.
//! The n-th token of every answer is a word with a space before it, so that its text has as many words as tokens.

use std::fmt::Write as _;
use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;

use super::ask::Api;
use super::content::word_hash;
use super::typed::Typed;

/// What answers are made of.
const WORDS: [&str; 16] = [
    "load", "line", "ship", "mark", "water", "deck", "hull", "keel", "mast", "sail", "tide", "wind", "port", "star",
    "cargo", "draft",
];

/// What a prompt that quotes an answer holds in the place of its token at `position`; the answer is named as in [`Reply::new`].
pub fn answer_token(first_word: u64, position: u32) -> u64 {
    static TOKENS: LazyLock<[u64; WORDS.len()]> = LazyLock::new(|| WORDS.map(|word| word_hash(word.as_bytes())));
    TOKENS[place(first_word, position)]
}

fn word(first_word: u64, position: u32) -> &'static str {
    WORDS[place(first_word, position)]
}

fn place(first_word: u64, position: u32) -> usize {
    ((first_word % WORDS.len() as u64) as usize + position as usize) % WORDS.len()
}

/// `data: ` and an empty line.
pub const FRAMING_BYTES: usize = 8;

/// The event that ends every stream.
pub fn done_event() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}

/// An event of a chat or a completion, with the usage so far in it.
pub fn with_usage(event: &[u8], usage: Usage) -> Bytes {
    let open = event.strip_suffix(b"}\n\n").unwrap_or(event);
    [open, b",\"usage\":", usage_json(usage).as_bytes(), b"}\n\n"].concat().into()
}

/// Token counts of a finished answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub output_tokens: u32,
    /// Tokens of the prompt that were found in the cache.
    pub cached_tokens: u32,
}

/// The constant parts of one answer.
#[derive(Clone, Debug)]
pub struct Reply {
    api: Api,
    /// `data: {"id":…,"object":…,"created":…,"model":…,"choices":[`
    event_head: Bytes,
    /// The same of an answer in one piece.
    whole_head: Bytes,
    first_word: u64,
    /// Where the answer is neither a chat's nor a completion's.
    typed: Option<Box<Typed>>,
}

impl Reply {
    /// The answer with the id `id`; `model_json` is the model's name as a JSON string, quotes included.
    pub fn new(api: Api, id: &str, created_s: i64, model_json: &str, first_word: u64) -> Reply {
        let (event, whole) = match api {
            Api::Chat => ("chat.completion.chunk", "chat.completion"),
            _ => ("text_completion", "text_completion"),
        };
        let head = |object| {
            format!(r#"{{"id":"{id}","object":"{object}","created":{created_s},"model":{model_json},"choices":["#)
        };
        Reply {
            api,
            event_head: format!("data: {}", head(event)).into(),
            whole_head: head(whole).into(),
            first_word,
            typed: None,
        }
    }

    /// The same of another API, with so many vectors, where those are asked for.
    pub(super) fn typed(api: Api, id: String, model: &str, inputs: u32, first_word: u64) -> Reply {
        let typed = Typed { api, id, model: model.into(), inputs };
        let none = Bytes::new();
        Reply { api, event_head: none.clone(), whole_head: none, first_word, typed: Some(Box::new(typed)) }
    }

    /// How it is spoken.
    pub(super) fn api(&self) -> Api {
        self.api
    }

    fn text(&self, tokens: u32) -> String {
        let mut text = String::with_capacity(tokens as usize * 6);
        (0..tokens).for_each(|i| {
            text.push(' ');
            text.push_str(self.word(i));
        });
        text
    }

    fn word(&self, position: u32) -> &'static str {
        word(self.first_word, position)
    }

    fn event(&self, parts: &[&str]) -> Bytes {
        let length = self.event_head.len() + parts.iter().map(|p| p.len()).sum::<usize>();
        let mut bytes = BytesMut::with_capacity(length);
        self.put(&mut bytes, parts);
        bytes.freeze()
    }

    fn put(&self, into: &mut impl BufMut, parts: &[&str]) {
        into.put_slice(&self.event_head);
        parts.iter().for_each(|p| into.put_slice(p.as_bytes()));
    }

    /// Whether its stream begins with a role.
    pub fn has_role(&self) -> bool {
        self.api == Api::Chat
    }

    /// The first event: the role, and no text.
    pub fn role_event(&self, usage: Usage) -> Bytes {
        if let Some(typed) = &self.typed {
            return typed.begin(usage);
        }
        self.event(&[
            r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
            "\n\n",
        ])
    }

    /// The event of the token at `position`, counted from 0; the last one carries the finish reason.
    pub fn token_event(&self, position: u32, last: bool) -> Bytes {
        if let Some(typed) = &self.typed {
            return typed.token(self.word(position));
        }
        self.event(&self.token_parts(position, last))
    }

    /// The same, behind what `into` holds.
    pub fn put_token_event(&self, into: &mut Vec<u8>, position: u32, last: bool) {
        self.put(into, &self.token_parts(position, last));
    }

    /// Bytes of data of the event of a token that is not the last one, of a chat or a completion; [`FRAMING_BYTES`] stand around it.
    pub fn token_data_bytes(&self, position: u32) -> usize {
        self.event_head.len() + self.token_parts(position, false).iter().map(|p| p.len()).sum::<usize>() - FRAMING_BYTES
    }

    fn token_parts(&self, position: u32, last: bool) -> [&'static str; 4] {
        let (open, close) = match self.api {
            Api::Chat => (r#"{"index":0,"delta":{"content":" "#, "\"}"),
            _ => (r#"{"index":0,"text":" "#, "\""),
        };
        let finish = if last {
            ",\"logprobs\":null,\"finish_reason\":\"length\",\"stop_reason\":null}]}\n\n"
        } else {
            ",\"logprobs\":null,\"finish_reason\":null}]}\n\n"
        };
        [open, self.word(position), close, finish]
    }

    /// The usage event.
    pub fn usage_event(&self, usage: Usage) -> Bytes {
        if let Some(typed) = &self.typed {
            return typed.end(&self.text(usage.output_tokens), usage);
        }
        self.event(&["],\"usage\":", &usage_json(usage), "}\n\n"])
    }

    /// An answer in one piece.
    pub fn whole(&self, usage: Usage) -> Bytes {
        let text = self.text(usage.output_tokens);
        if let Some(typed) = &self.typed {
            return typed.whole(&text, usage);
        }
        let (open, close) = match self.api {
            Api::Chat => (r#"{"index":0,"message":{"role":"assistant","content":""#, "\"}"),
            _ => (r#"{"index":0,"text":""#, "\""),
        };
        let mut bytes = BytesMut::with_capacity(self.whole_head.len() + text.len() + 300);
        bytes.put_slice(&self.whole_head);
        for part in [open, &text, close, r#","logprobs":null,"finish_reason":"length","stop_reason":null}],"usage":"#] {
            bytes.put_slice(part.as_bytes());
        }
        bytes.put_slice(usage_json(usage).as_bytes());
        bytes.put_u8(b'}');
        bytes.freeze()
    }
}

fn usage_json(usage: Usage) -> String {
    let Usage { prompt_tokens: p, output_tokens: o, cached_tokens: c } = usage;
    let total = u64::from(p) + u64::from(o);
    let mut json = String::with_capacity(140);
    // Writing to a String cannot fail.
    let _ = write!(json, r#"{{"prompt_tokens":{p},"total_tokens":{total},"completion_tokens":{o},"#);
    let _ = write!(json, r#""prompt_tokens_details":{{"cached_tokens":{c}}}}}"#);
    json
}

/// The body of an error answer.
pub fn error_body(status: StatusCode, message: &str, param: Option<&str>) -> Bytes {
    let kind = match status {
        StatusCode::NOT_FOUND => "NotFoundError",
        s if s.is_client_error() => "BadRequestError",
        _ => "InternalServerError",
    };
    let error = serde_json::json!({ "message": message, "type": kind, "param": param, "code": status.as_u16() });
    serde_json::json!({ "error": error }).to_string().into()
}

/// What the model lists say of the model.
pub fn model_card(model: &str, created_s: i64, max_model_tokens: u32) -> serde_json::Value {
    serde_json::json!({
        "id": model, "object": "model", "created": created_s, "owned_by": "loadline", "root": model,
        "parent": null, "max_model_len": max_model_tokens,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn json(event: &Bytes) -> Value {
        let text = std::str::from_utf8(event).unwrap();
        serde_json::from_str(text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
    }

    #[test]
    fn chat_events_have_vllms_shape() {
        let r = Reply::new(Api::Chat, "chatcmpl-1", 17, r#""m\"x""#, 0);
        let role = json(&r.role_event(Usage { prompt_tokens: 1, output_tokens: 1, cached_tokens: 0 }));
        assert_eq!(role["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(role["choices"][0]["delta"]["content"], "");
        assert_eq!((role["object"].as_str(), role["model"].as_str()), (Some("chat.completion.chunk"), Some("m\"x")));
        let token = json(&r.token_event(0, false));
        assert_eq!(token["choices"][0]["delta"]["content"], " load");
        assert_eq!(token["choices"][0]["finish_reason"], Value::Null);
        assert_eq!(json(&r.token_event(17, true))["choices"][0]["finish_reason"], "length");
        let usage = json(&r.usage_event(Usage { prompt_tokens: 20, output_tokens: 5, cached_tokens: 16 }));
        assert_eq!(usage["choices"], Value::Array(vec![]));
        assert_eq!(usage["usage"]["total_tokens"], 25);
        assert_eq!(usage["usage"]["prompt_tokens_details"]["cached_tokens"], 16);
    }

    #[test]
    fn a_whole_answer_has_the_words_of_its_stream() {
        for api in [Api::Chat, Api::Completions] {
            let r = Reply::new(api, "x-1", 17, "\"m\"", 5);
            let whole: Value =
                serde_json::from_slice(&r.whole(Usage { prompt_tokens: 1, output_tokens: 40, cached_tokens: 0 }))
                    .unwrap();
            let choice = &whole["choices"][0];
            let text = choice["message"]["content"].as_str().or(choice["text"].as_str()).unwrap();
            let streamed: String = (0..40)
                .map(|i| json(&r.token_event(i, i == 39)))
                .map(|e| {
                    let c = &e["choices"][0];
                    c["delta"]["content"].as_str().or(c["text"].as_str()).unwrap().to_owned()
                })
                .collect();
            assert_eq!(text, streamed);
            assert_eq!(text.split_whitespace().count(), 40);
        }
    }

    #[test]
    fn error_bodies_escape_what_the_client_said() {
        let body: Value = serde_json::from_slice(&error_body(StatusCode::NOT_FOUND, "no \"x\"\n", None)).unwrap();
        assert_eq!(body["error"]["message"], "no \"x\"\n");
        assert_eq!((&body["error"]["code"], &body["error"]["param"]), (&Value::from(404), &Value::Null));
    }
}
