//! Turns the body of a request into what the engine has to do, without building the prompt.
//!
//! In: the bytes of a body. Out: an [`Ask`], or the reason for a 400.
//! A prompt's tokens are its whitespace-separated words (the rule of the built-in tokenizer), each message and each text
//! part for itself and nothing added for a chat template; of an array of token ids, their number.
//! Not here: fields that change nothing in a simulated answer (temperature, stop, seed, `ignore_eos`, …): `sim::parameters`
//! checks them, and they have no effect, as unknown ones have none.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::parameters;
use super::words::words;

/// The ways of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// `/v1/embeddings`.
    Embeddings,
    /// Cohere's `/v2/rerank`.
    CohereRank,
    /// TEI's `/rerank`.
    TeiRank,
    /// NIM's `/v1/ranking`.
    NimRank,
}

impl Api {
    /// Tokens of an answer whose length the request does not say.
    fn default_output_tokens(self) -> u32 {
        match self {
            Api::Chat | Api::Responses | Api::Messages => 256,
            Api::Completions => 16,
            // A vector, or a score, is there when its prompt has been computed, as a first token is.
            Api::Embeddings | Api::CohereRank | Api::TeiRank | Api::NimRank => 1,
        }
    }

    /// Whether answers are text, token by token.
    pub(super) fn gives_tokens(self) -> bool {
        matches!(self, Api::Chat | Api::Completions | Api::Responses | Api::Messages)
    }

    /// Whether streams end with `[DONE]`, and tell their usage only where they are asked to.
    pub(super) fn says_done(self) -> bool {
        matches!(self, Api::Chat | Api::Completions)
    }
}

/// A request that can be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The model asked for, where one is named.
    pub model: Option<Cow<'a, str>>,
    /// Tokens of the prompt, at least 1.
    pub prompt_tokens: u32,
    /// The tokens themselves: equal numbers, equal tokens.
    pub tokens: Vec<u64>,
    /// Tokens of the answer, at least 1.
    pub output_tokens: u32,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Whether the stream ends with a usage event.
    pub include_usage: bool,
    /// Whether each event tells the usage so far.
    pub continuous_usage: bool,
    /// Texts to make vectors of, or to rank; 1 where the answer is text.
    pub inputs: u32,
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
    pub(super) fn new(message: impl Into<String>, param: Option<&'static str>) -> BadAsk {
        BadAsk { message: message.into(), param }
    }
}

#[derive(serde::Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    messages: Option<Vec<Message>>,
    prompt: Option<Text>,
    input: Option<Text>,
    query: Option<Text>,
    /// What is to be ranked, by the names of the three APIs.
    #[serde(alias = "texts", alias = "passages")]
    documents: Option<Text>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    max_completion_tokens: Option<&'a RawValue>,
    max_output_tokens: Option<&'a RawValue>,
    min_tokens: Option<&'a RawValue>,
    n: Option<&'a RawValue>,
    temperature: Option<&'a RawValue>,
    top_p: Option<&'a RawValue>,
    top_k: Option<&'a RawValue>,
    min_p: Option<&'a RawValue>,
    presence_penalty: Option<&'a RawValue>,
    frequency_penalty: Option<&'a RawValue>,
    repetition_penalty: Option<&'a RawValue>,
    seed: Option<&'a RawValue>,
    ignore_eos: Option<&'a RawValue>,
    stop: Option<&'a RawValue>,
}

impl Body<'_> {
    /// Checks the fields of sampling, none of which changes an answer here.
    fn check_sampling(&self) -> Result<(), BadAsk> {
        for (name, raw) in [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("top_k", self.top_k),
            ("min_p", self.min_p),
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
            ("repetition_penalty", self.repetition_penalty),
            ("seed", self.seed),
            ("ignore_eos", self.ignore_eos),
            ("stop", self.stop),
        ] {
            parameters::check(name, raw)?;
        }
        Ok(())
    }

    /// Tokens of the answer, and of the prompt and it at most `max_model_tokens`.
    fn output_tokens(&self, api: Api, prompt_tokens: usize, max_model_tokens: u32) -> Result<u32, BadAsk> {
        let max_tokens = parameters::check("max_tokens", self.max_tokens)?;
        let max_completion_tokens = parameters::check("max_completion_tokens", self.max_completion_tokens)?;
        let limit = match api {
            Api::Chat => max_completion_tokens.or(max_tokens),
            Api::Completions | Api::Messages => max_tokens,
            Api::Responses => parameters::check("max_output_tokens", self.max_output_tokens)?,
            Api::Embeddings | Api::CohereRank | Api::TeiRank | Api::NimRank => None,
        };
        let least = parameters::check("min_tokens", self.min_tokens)?;
        let room = i64::from(max_model_tokens) - prompt_tokens as i64;
        let output_tokens = parameters::answer_tokens(limit, least, api.default_output_tokens(), room)?;
        if output_tokens <= room {
            // At most `max_model_tokens` now.
            return Ok(output_tokens as u32);
        }
        let message = format!(
            "This model's maximum context length is {max_model_tokens} tokens. However, you requested {output_tokens} \
             output tokens and your prompt contains {prompt_tokens} input tokens. Reduce one of them."
        );
        Err(BadAsk::new(message, Some("max_tokens")))
    }
}

#[derive(serde::Deserialize)]
struct Message {
    content: Option<Text>,
}

#[derive(Clone, Copy, Default, serde::Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
    continuous_usage_stats: Option<bool>,
}

impl<'a> Ask<'a> {
    /// Reads a body.
    ///
    /// `max_model_tokens` is the context length: prompt and answer together may not exceed it.
    ///
    /// # Errors
    /// [`BadAsk`], which is a 400.
    pub fn read(api: Api, body: &'a [u8], max_model_tokens: u32) -> Result<Ask<'a>, BadAsk> {
        let mut body: Body<'a> =
            serde_json::from_slice(body).map_err(|e| BadAsk::new(format!("the body cannot be read: {e}"), None))?;
        let inputs = body.input.as_ref().or(body.documents.as_ref()).map_or(1, |input| input.texts);
        let tokens = prompt(api, &mut body)?;
        let prompt_tokens = tokens.len();
        body.check_sampling()?;
        if parameters::check("n", body.n)?.is_some_and(|n| n != 1) {
            return Err(BadAsk::new("n must be 1: a simulated deployment gives one answer per request", Some("n")));
        }
        let stream = body.stream.unwrap_or(false);
        if body.stream_options.is_some() && !stream {
            let message = "Stream options can only be defined when `stream=True`.";
            return Err(BadAsk::new(message, Some("stream_options")));
        }
        let output_tokens = body.output_tokens(api, prompt_tokens, max_model_tokens)?;
        let options = body.stream_options.filter(|_| api.says_done()).unwrap_or_default();
        let include_usage = !api.says_done() || options.include_usage.unwrap_or(false);
        Ok(Ask {
            model: body.model,
            // At most `max_model_tokens` now.
            prompt_tokens: prompt_tokens as u32,
            tokens,
            output_tokens,
            stream: stream && api.gives_tokens(),
            include_usage,
            // As to vLLM, it means something beside the other alone.
            continuous_usage: include_usage && options.continuous_usage_stats.unwrap_or(false),
            inputs: if api.gives_tokens() { 1 } else { inputs as u32 },
        })
    }
}

fn prompt(api: Api, body: &mut Body<'_>) -> Result<Vec<u64>, BadAsk> {
    let field = match api {
        Api::Chat | Api::Messages => "messages",
        Api::Completions => "prompt",
        Api::Responses | Api::Embeddings => "input",
        Api::CohereRank | Api::TeiRank | Api::NimRank => return ranked(body),
    };
    let text = if field == "input" { body.input.take() } else { body.prompt.take() };
    let tokens = match (api, body.messages.take(), text) {
        (Api::Responses | Api::Embeddings, _, Some(input)) => input.tokens,
        (Api::Chat | Api::Messages, Some(messages), _) => {
            let mut texts = messages.into_iter().filter_map(|m| m.content).map(|t| t.tokens);
            let mut tokens = texts.next().unwrap_or_default();
            texts.for_each(|more| tokens.extend(more));
            tokens
        }
        (Api::Completions, _, Some(prompt)) if prompt.texts > 1 => {
            let message = format!("{} prompts in one request: a simulated deployment answers one", prompt.texts);
            return Err(BadAsk::new(message, Some(field)));
        }
        (Api::Completions, _, Some(prompt)) => prompt.tokens,
        _ => return Err(BadAsk::new(format!("field required: {field}"), Some(field))),
    };
    if tokens.is_empty() {
        return Err(BadAsk::new(format!("{field} holds no text"), Some(field)));
    }
    Ok(tokens)
}

/// The tokens of a query and of what it ranks.
fn ranked(body: &mut Body<'_>) -> Result<Vec<u64>, BadAsk> {
    let missing = |field| BadAsk::new(format!("field required: {field}"), Some(field));
    let query = body.query.take().ok_or_else(|| missing("query"))?;
    let documents = body.documents.take().filter(|d| d.texts > 0).ok_or_else(|| missing("documents"))?;
    let tokens = [query.tokens, documents.tokens].concat();
    if tokens.is_empty() { Err(BadAsk::new("there is no text", Some("query"))) } else { Ok(tokens) }
}

/// The tokens of a text in any of its JSON forms: a string, an array of parts, of strings or of token ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Text {
    tokens: Vec<u64>,
    /// Strings and arrays directly in an array: the prompts of a batch.
    texts: u64,
}

/// A text, or one token id of one.
enum Part {
    Id(u64),
    Text(Text),
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Part, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        Ok(match Part::deserialize(deserializer)? {
            Part::Id(id) => Text { tokens: vec![id], texts: 0 },
            Part::Text(text) => text,
        })
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, token ids, or an array of parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Part, E> {
        Ok(Part::Text(Text { tokens: words(text), texts: 1 }))
    }

    fn visit_u64<E>(self, token_id: u64) -> Result<Part, E> {
        Ok(Part::Id(token_id))
    }

    fn visit_i64<E: serde::de::Error>(self, token_id: i64) -> Result<Part, E> {
        Err(E::custom(format!("{token_id} is no token id")))
    }

    fn visit_unit<E>(self) -> Result<Part, E> {
        Ok(Part::Text(Text::default()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Part, A::Error> {
        let mut sum = Text::default();
        while let Some(part) = seq.next_element::<Part>()? {
            match part {
                Part::Id(id) => sum.tokens.push(id),
                Part::Text(text) => {
                    sum.tokens.extend(text.tokens);
                    sum.texts += text.texts.min(1);
                }
            }
        }
        // A lone array of ids is one prompt to the array around it.
        sum.texts = sum.texts.max(1);
        Ok(Part::Text(sum))
    }

    /// A part of a message: its `text`, where it has one.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
        let mut text = Text::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            // An item of a response's input has its text in its content.
            if key == "text" || key == "content" {
                text = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if text.texts > 1 {
            return Err(A::Error::custom("`text` of a part is not a string"));
        }
        Ok(Part::Text(text))
    }
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
    fn a_chat_counts_the_words_of_strings_and_text_parts() {
        let ask = chat(
            r#"{"model":"m","messages":[{"role":"system","content":"a b\nc"},
               {"role":"user","content":[{"type":"text","text":"d e"},{"type":"image_url","image_url":{"url":"x y"}}]},
               {"role":"assistant","content":null}],
               "max_tokens":7,"max_completion_tokens":9,"stream":true,"stream_options":{"include_usage":true},
               "ignore_eos":true,"min_tokens":9,"stop":["x"],"zzz":{"a":[1]}}"#,
        );
        let tokens = words("a b c d e");
        let model = Some("m".into());
        let expected = Ask {
            model,
            prompt_tokens: 5,
            tokens,
            output_tokens: 9,
            stream: true,
            include_usage: true,
            continuous_usage: false,
            inputs: 1,
        };
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
