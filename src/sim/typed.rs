//! Answers of OpenAI's responses, of Anthropic's messages, of embeddings and of rerankers, as bytes.
//!
//! In: what [`super::reply`] has of an answer. Out: events with their type before them, and whole answers; no more fields than
//! a client needs. Not here: chats and completions.

use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::Api;
use super::reply::Usage;

/// Numbers of a vector: enough to be one.
const DIMENSIONS: usize = 8;

/// One answer's names.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) api: Api,
    pub(super) id: String,
    pub(super) model: Value,
    pub(super) inputs: u32,
}

fn event(kind: &str, mut data: Value) -> String {
    data["type"] = kind.into();
    format!("event: {kind}\ndata: {data}\n\n")
}

impl Typed {
    /// What comes before the first token.
    pub(super) fn begin(&self, usage: Usage) -> Bytes {
        if self.api == Api::Responses {
            return event(
                "response.created",
                json!({"response": self.response("in_progress", &json!([]), &Value::Null)}),
            )
            .into();
        }
        let message =
            self.message(&json!([]), &Value::Null, &json!({"input_tokens": usage.prompt_tokens, "output_tokens": 0}));
        let block = json!({"index": 0, "content_block": {"type": "text", "text": ""}});
        (event("message_start", json!({"message": message})) + &event("content_block_start", block)).into()
    }

    /// A token.
    pub(super) fn token(&self, text: &str) -> Bytes {
        let text = format!(" {text}");
        if self.api == Api::Responses {
            let item = format!("msg_{}", self.id);
            let delta = json!({"item_id": item, "output_index": 0, "content_index": 0, "delta": text});
            return event("response.output_text.delta", delta).into();
        }
        event("content_block_delta", json!({"index": 0, "delta": {"type": "text_delta", "text": text}})).into()
    }

    /// What comes behind the last token.
    pub(super) fn end(&self, text: &str, usage: Usage) -> Bytes {
        if self.api == Api::Responses {
            let response = self.response("incomplete", &self.items(text), &response_usage(usage));
            return event("response.incomplete", json!({"response": response})).into();
        }
        let delta = json!({"delta": {"stop_reason": "max_tokens"}, "usage": message_usage(usage)});
        (event("content_block_stop", json!({"index": 0}))
            + &event("message_delta", delta)
            + &event("message_stop", json!({})))
            .into()
    }

    /// The answer in one piece.
    pub(super) fn whole(&self, text: &str, usage: Usage) -> Bytes {
        let whole = match self.api {
            Api::Responses => self.response("incomplete", &self.items(text), &response_usage(usage)),
            Api::Embeddings => self.vectors(usage),
            Api::CohereRank | Api::TeiRank | Api::NimRank => self.scores(usage),
            _ => self.message(&json!([{"type": "text", "text": text}]), &"max_tokens".into(), &message_usage(usage)),
        };
        whole.to_string().into()
    }

    fn response(&self, status: &str, output: &Value, usage: &Value) -> Value {
        let why = if status == "incomplete" { json!({"reason": "max_output_tokens"}) } else { Value::Null };
        json!({"id": self.id, "object": "response", "status": status, "error": null, "incomplete_details": why,
            "model": self.model, "output": output, "usage": usage})
    }

    fn items(&self, text: &str) -> Value {
        let part = json!({"type": "output_text", "text": text, "annotations": []});
        json!([{"type": "message", "id": format!("msg_{}", self.id), "role": "assistant", "content": [part]}])
    }

    fn message(&self, content: &Value, stop_reason: &Value, usage: &Value) -> Value {
        json!({"id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": usage})
    }

    /// The passages in falling order of their scores: the last one first, so that it is not the order they came in.
    fn scores(&self, usage: Usage) -> Value {
        let n = self.inputs;
        let list = |score: &str| -> Vec<Value> {
            (0..n).rev().map(|i| json!({"index": i, score: (f64::from(i) + 1.0) / f64::from(n)})).collect()
        };
        let tokens = usage.prompt_tokens;
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        match self.api {
            Api::TeiRank => list("score").into(),
            Api::NimRank => json!({"rankings": list("logit"), "usage": usage}),
            _ => json!({"id": self.id, "model": self.model, "results": list("relevance_score"), "usage": usage}),
        }
    }

    fn vectors(&self, usage: Usage) -> Value {
        let vector = |n: u32| {
            let numbers: Vec<f64> =
                (0..DIMENSIONS).map(|d| (f64::from(n) + d as f64 / DIMENSIONS as f64).sin()).collect();
            json!({"object": "embedding", "index": n, "embedding": numbers})
        };
        let data: Vec<Value> = (0..self.inputs).map(vector).collect();
        let tokens = usage.prompt_tokens;
        json!({"object": "list", "data": data, "model": self.model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
    }
}

fn response_usage(usage: Usage) -> Value {
    let Usage { prompt_tokens, output_tokens, cached_tokens } = usage;
    json!({"input_tokens": prompt_tokens, "input_tokens_details": {"cached_tokens": cached_tokens},
        "output_tokens": output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": u64::from(prompt_tokens) + u64::from(output_tokens)})
}

fn message_usage(usage: Usage) -> Value {
    json!({"input_tokens": usage.prompt_tokens, "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens})
}
