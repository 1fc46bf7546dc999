//! `/tokenize` and `/detokenize`, as vLLM has them, over the tokens that the simulation counts.
//!
//! In: a body. Out: the JSON of the answer. A token is a whitespace-separated word, and its id the number by which the prefix
//! cache knows it ([`word_hash`], 31 bits): the same in every server and run, and a prompt of these ids is to the engine the prompt
//! that they came from. Ids say nothing of the real model's vocabulary, nor of a chat template, of which there is none.
//! Numbers cannot be turned back into words, so a server keeps the words that it was asked to tokenize, up to a bound; the
//! text of another id is the id behind a `#`, one word for each.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::BadAsk;
use super::content::word_hash;

/// Words that are kept, at most.
const WORDS_MAX: usize = 1 << 16;
/// Bytes of a word that is kept, at most.
const WORD_BYTES_MAX: usize = 64;

/// The words whose ids a server gave out.
#[derive(Debug, Default)]
pub(super) struct Words(RefCell<HashMap<u64, Box<str>>>);

#[derive(Deserialize)]
struct Named {
    model: Option<String>,
}

#[derive(Deserialize)]
struct Tokenize {
    prompt: Option<String>,
    messages: Option<Vec<Value>>,
    #[serde(default)]
    return_token_strs: bool,
}

#[derive(Deserialize)]
struct Detokenize {
    tokens: Vec<u64>,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BadAsk> {
    serde_json::from_slice(body).map_err(|e| BadAsk::new(format!("the body cannot be read: {e}"), None))
}

/// The model that a body names.
///
/// # Errors
/// [`BadAsk`] for a body of another shape.
pub(super) fn model_of(body: &[u8]) -> Result<Option<String>, BadAsk> {
    read::<Named>(body).map(|named| named.model)
}

impl Words {
    /// The ids of a `prompt`, or of the texts of `messages`.
    ///
    /// # Errors
    /// [`BadAsk`] for a body without either, or of another shape.
    pub(super) fn tokenize(&self, body: &[u8], max_model_tokens: u32) -> Result<Value, BadAsk> {
        let asked: Tokenize = read(body)?;
        let mut texts = Vec::new();
        match (&asked.prompt, &asked.messages) {
            (Some(prompt), _) => texts.push(prompt.as_str()),
            (None, Some(messages)) => {
                for message in messages {
                    texts_of(&message["content"], &mut texts)?;
                }
            }
            (None, None) => return Err(BadAsk::new("field required: prompt", Some("prompt"))),
        }
        let words: Vec<&str> = texts.into_iter().flat_map(str::split_whitespace).collect();
        let mut known = self.0.borrow_mut();
        let tokens: Vec<u64> = words.iter().map(|word| word_hash(word.as_bytes())).collect();
        for (word, id) in words.iter().zip(&tokens) {
            if word.len() <= WORD_BYTES_MAX && known.len() < WORDS_MAX {
                known.entry(*id).or_insert_with(|| Box::from(*word));
            }
        }
        let strings = if asked.return_token_strs { json!(words) } else { Value::Null };
        Ok(json!({
            "count": tokens.len(), "max_model_len": max_model_tokens, "tokens": tokens, "token_strs": strings,
        }))
    }

    /// The words of `tokens`, with a space between them.
    ///
    /// # Errors
    /// [`BadAsk`] for a body of another shape.
    pub(super) fn detokenize(&self, body: &[u8]) -> Result<Value, BadAsk> {
        let asked: Detokenize = read(body)?;
        let known = self.0.borrow();
        let words = asked.tokens.iter().map(|id| known.get(id).map_or_else(|| format!("#{id}"), ToString::to_string));
        Ok(json!({ "prompt": words.collect::<Vec<_>>().join(" ") }))
    }
}

/// The texts of a message's content: a string, or parts with a `text`. Other parts have none.
fn texts_of<'a>(content: &'a Value, texts: &mut Vec<&'a str>) -> Result<(), BadAsk> {
    match content {
        Value::String(text) => texts.push(text),
        Value::Array(parts) => texts.extend(parts.iter().filter_map(|part| part["text"].as_str())),
        Value::Null => {}
        _ => return Err(BadAsk::new("the content of a message is no text", Some("messages"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::ask::{Api, Ask};

    #[test]
    fn ids_are_those_that_the_simulation_counts_and_knows_a_prompt_by() {
        let words = Words::default();
        let chat = r#"{"messages":[{"role":"system","content":"a b\u00a0c"},{"role":"user","content":
            [{"type":"text","text":"d  ä"},{"type":"image_url","image_url":{"url":"x y"}}]},{"role":"tool","content":null}]}"#;
        for (api, body) in [(Api::Chat, chat), (Api::Completions, r#"{"prompt":" one two\none"}"#)] {
            let said = words.tokenize(body.as_bytes(), 77).unwrap();
            let asked = Ask::read(api, body.as_bytes(), 1000).unwrap();
            assert_eq!(said["tokens"], json!(asked.tokens));
            assert_eq!((&said["count"], &said["max_model_len"]), (&json!(asked.prompt_tokens), &json!(77)));
            let ids = json!({ "prompt": said["tokens"] }).to_string();
            assert_eq!(Ask::read(Api::Completions, ids.as_bytes(), 1000).unwrap().tokens, asked.tokens);
        }
    }

    #[test]
    fn words_come_back_and_unknown_ids_are_a_word_each() {
        let words = Words::default();
        let said = words.tokenize(br#"{"prompt":"ship  deck ship","return_token_strs":true}"#, 9).unwrap();
        assert_eq!(said["token_strs"], json!(["ship", "deck", "ship"]));
        let tokens = said["tokens"].as_array().unwrap();
        assert!(tokens[0] == tokens[2] && tokens[0] != tokens[1]);
        assert!(tokens.iter().all(|id| id.as_u64().unwrap() < 1 << 31));
        let back =
            |ids: Value| words.detokenize(json!({ "tokens": ids }).to_string().as_bytes()).unwrap()["prompt"].clone();
        assert_eq!(back(said["tokens"].clone()), "ship deck ship");
        assert_eq!(back(json!([tokens[1], 5, 5])), "deck #5 #5");
        assert_eq!(back(json!([])), "");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let words = Words::default();
        for body in ["{", "{}", r#"{"prompt":5}"#, r#"{"messages":[{"content":5}]}"#] {
            assert!(words.tokenize(body.as_bytes(), 9).is_err(), "{body}");
        }
        for body in ["{}", r#"{"tokens":[-1]}"#, r#"{"tokens":"a"}"#] {
            assert!(words.detokenize(body.as_bytes()).is_err(), "{body}");
        }
    }
}
