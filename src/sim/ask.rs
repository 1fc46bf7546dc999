//! Turns the body of a request into what the engine has to do, without building the prompt.
//!
//! In: the bytes of a `/v1/chat/completions` or `/v1/completions` body. Out: an [`Ask`], or the reason for a 400.
//! A prompt's tokens are its whitespace-separated words (the rule of the built-in tokenizer), each message and each text
//! part for itself and nothing added for a chat template; of an array of token ids, their number.
//! Not here: fields that change nothing in a simulated answer (temperature, stop, seed, `min_tokens`, …); they are accepted
//! and ignored, as are unknown ones.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The two ways of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
}

impl Api {
    /// Tokens of an answer whose length the request does not say.
    fn default_output_tokens(self) -> u32 {
        match self {
            Api::Chat => 256,
            Api::Completions => 16,
        }
    }
}

/// A request that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The model asked for, where one is named.
    pub model: Option<Cow<'a, str>>,
    /// Tokens of the prompt, at least 1.
    pub prompt_tokens: u32,
    /// Tokens of the answer, at least 1.
    pub output_tokens: u32,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Whether the stream ends with a usage event.
    pub include_usage: bool,
}

/// Why a request cannot be served, and the field at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAsk {
    /// For the user.
    pub message: String,
    /// The field, where it is one.
    pub param: Option<&'static str>,
}

impl BadAsk {
    fn new(message: impl Into<String>, param: Option<&'static str>) -> BadAsk {
        BadAsk { message: message.into(), param }
    }
}

#[derive(serde::Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    messages: Option<Vec<Message>>,
    prompt: Option<Text>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    n: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(serde::Deserialize)]
struct Message {
    content: Option<Text>,
}

#[derive(serde::Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl<'a> Ask<'a> {
    /// Reads a body.
    ///
    /// `max_model_tokens` is the context length: prompt and answer together may not exceed it.
    ///
    /// # Errors
    /// [`BadAsk`], which is a 400.
    pub fn read(api: Api, body: &'a [u8], max_model_tokens: u32) -> Result<Ask<'a>, BadAsk> {
        let body: Body<'a> =
            serde_json::from_slice(body).map_err(|e| BadAsk::new(format!("the body cannot be read: {e}"), None))?;
        let prompt_tokens = prompt_tokens(api, &body)?;
        if body.n.is_some_and(|n| n != 1) {
            return Err(BadAsk::new("n must be 1: a simulated deployment gives one answer per request", Some("n")));
        }
        let limit = match api {
            Api::Chat => body.max_completion_tokens.or(body.max_tokens),
            Api::Completions => body.max_tokens,
        };
        let room = i64::from(max_model_tokens) - i64::try_from(prompt_tokens).unwrap_or(i64::MAX);
        let output_tokens = limit.unwrap_or(i64::from(api.default_output_tokens()).min(room.max(1)));
        if output_tokens < 1 {
            return Err(BadAsk::new(format!("max_tokens must be at least 1, got {output_tokens}"), Some("max_tokens")));
        }
        if output_tokens > room {
            let message = format!(
                "This model's maximum context length is {max_model_tokens} tokens. However, you requested {output_tokens} \
                 output tokens and your prompt contains {prompt_tokens} input tokens. Reduce one of them."
            );
            return Err(BadAsk::new(message, Some("max_tokens")));
        }
        Ok(Ask {
            model: body.model,
            // Both are at most `max_model_tokens` now.
            prompt_tokens: prompt_tokens as u32,
            output_tokens: output_tokens as u32,
            stream: body.stream.unwrap_or(false),
            include_usage: body.stream_options.and_then(|o| o.include_usage).unwrap_or(false),
        })
    }
}

fn prompt_tokens(api: Api, body: &Body<'_>) -> Result<u64, BadAsk> {
    let field = match api {
        Api::Chat => "messages",
        Api::Completions => "prompt",
    };
    let tokens = match (api, &body.messages, &body.prompt) {
        (Api::Chat, Some(messages), _) => messages.iter().filter_map(|m| m.content.as_ref()).map(|t| t.tokens).sum(),
        (Api::Completions, _, Some(prompt)) if prompt.texts > 1 => {
            let message = format!("{} prompts in one request: a simulated deployment answers one", prompt.texts);
            return Err(BadAsk::new(message, Some(field)));
        }
        (Api::Completions, _, Some(prompt)) => prompt.tokens,
        _ => return Err(BadAsk::new(format!("field required: {field}"), Some(field))),
    };
    if tokens == 0 {
        return Err(BadAsk::new(format!("{field} holds no text"), Some(field)));
    }
    Ok(tokens)
}

/// The size of a text in any of its JSON forms: a string, an array of parts, of strings or of token ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Text {
    tokens: u64,
    /// Strings and arrays directly in an array: the prompts of a batch.
    texts: u64,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, token ids, or an array of parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text { tokens: count_words(text), texts: 1 })
    }

    fn visit_u64<E>(self, _token_id: u64) -> Result<Text, E> {
        Ok(Text { tokens: 1, texts: 0 })
    }

    fn visit_i64<E: serde::de::Error>(self, token_id: i64) -> Result<Text, E> {
        Err(E::custom(format!("{token_id} is no token id")))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
        let mut sum = Text::default();
        while let Some(part) = seq.next_element::<Text>()? {
            sum.tokens += part.tokens;
            sum.texts += part.texts.min(1);
        }
        // A lone array of ids is one prompt to the array around it.
        sum.texts = sum.texts.max(1);
        Ok(sum)
    }

    /// A part of a message: its `text`, where it has one.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let mut text = Text::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "text" {
                text = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if text.texts > 1 {
            return Err(A::Error::custom("`text` of a part is not a string"));
        }
        Ok(text)
    }
}

/// Whitespace-separated words. Prompts are large and the server has one thread, so that plain ASCII, which is what
/// benchmarks send, is counted without decoding.
fn count_words(text: &str) -> u64 {
    if !text.is_ascii() {
        return text.split_whitespace().count() as u64;
    }
    // The ASCII part of `char::is_whitespace`: \t \n \v \f \r and the space.
    let is_space = |b: u8| b == b' ' || b.wrapping_sub(b'\t') < 5;
    let bytes = text.as_bytes();
    let first = bytes.first().is_some_and(|b| !is_space(*b));
    let starts = bytes.iter().zip(bytes.iter().skip(1)).map(|(a, b)| u64::from(is_space(*a) & !is_space(*b)));
    u64::from(first) + starts.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Result<Ask<'_>, BadAsk> {
        Ask::read(Api::Chat, body.as_bytes(), 1000)
    }

    fn completions(body: &str) -> Result<Ask<'_>, BadAsk> {
        Ask::read(Api::Completions, body.as_bytes(), 1000)
    }

    #[test]
    fn words_are_counted_as_split_whitespace_does() {
        for text in ["", " ", "a", " a b  c\n", "a\tb\u{b}c\u{c}d\re", "ä\u{a0}b ", "x\u{2003}y", "\u{1f}a\u{1c}b"] {
            assert_eq!(count_words(text), text.split_whitespace().count() as u64, "{text:?}");
        }
    }

    #[test]
    fn a_chat_counts_the_words_of_strings_and_text_parts() {
        let ask = chat(
            r#"{"model":"m","messages":[{"role":"system","content":"a b\nc"},
               {"role":"user","content":[{"type":"text","text":"d e"},{"type":"image_url","image_url":{"url":"x y"}}]},
               {"role":"assistant","content":null}],
               "max_tokens":7,"max_completion_tokens":9,"stream":true,"stream_options":{"include_usage":true},
               "ignore_eos":true,"min_tokens":9,"stop":["x"],"zzz":{"a":[1]}}"#,
        );
        let expected =
            Ask { model: Some("m".into()), prompt_tokens: 5, output_tokens: 9, stream: true, include_usage: true };
        assert_eq!(ask.unwrap(), expected);
    }

    #[test]
    fn a_prompt_is_a_string_or_token_ids_and_only_one() {
        let tokens =
            |prompt| completions(&format!(r#"{{"prompt":{prompt}}}"#)).map(|a| (a.prompt_tokens, a.output_tokens));
        assert_eq!(tokens(r#""a b c""#), Ok((3, 16)));
        assert_eq!(tokens("[5,6,7,8]"), Ok((4, 16)));
        assert_eq!(tokens(r#"["a b"]"#), Ok((2, 16)));
        assert_eq!(tokens("[[5,6,7]]"), Ok((3, 16)));
        assert_eq!(tokens(r#"["a","b"]"#).unwrap_err().param, Some("prompt"));
        assert_eq!(tokens("[[1],[2]]").unwrap_err().param, Some("prompt"));
        assert!(tokens("[-1]").unwrap_err().message.contains("-1 is no token id"));
        assert!(tokens("true").is_err());
    }

    #[test]
    fn what_cannot_be_served_says_which_field() {
        let param = |body: &str| chat(body).unwrap_err().param;
        assert_eq!(param("{"), None);
        assert_eq!(param("{}"), Some("messages"));
        assert_eq!(param(r#"{"messages":[{"content":" "}]}"#), Some("messages"));
        assert_eq!(param(r#"{"messages":[{"content":"a"}],"n":2}"#), Some("n"));
        assert_eq!(param(r#"{"messages":[{"content":"a"}],"max_tokens":0}"#), Some("max_tokens"));
        assert_eq!(param(r#"{"messages":[{"content":"a"}],"max_tokens":1000}"#), Some("max_tokens"));
        assert_eq!(completions("{}").unwrap_err().param, Some("prompt"));
    }

    #[test]
    fn a_length_that_is_not_asked_for_is_cut_to_the_context() {
        let body = format!(r#"{{"messages":[{{"content":"{}"}}]}}"#, "w ".repeat(900));
        assert_eq!(chat(&body).unwrap().output_tokens, 100);
        let body = format!(r#"{{"messages":[{{"content":"{}"}}]}}"#, "w ".repeat(1000));
        assert!(chat(&body).unwrap_err().message.contains("maximum context length is 1000"));
    }
}
