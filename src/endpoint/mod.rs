//! How one API is spoken: the request's path, headers and body around the prompt, and how its answer is read.
//!
//! A body is `prefix · prompt · suffix`, or the turns of a conversation with joints between them, all of them spans of one
//! arena, encoded before the run: the send path formats nothing. Key order and field names are aiperf's, so that a server
//! sees what aiperf would send.
//! Not here: connections (`engine`), and the events' JSON, which both APIs share ([`crate::wire::delta`]).

pub mod body;
pub mod messages;
mod rankings;

use std::collections::BTreeMap;
use std::sync::Arc;

use body::Body;
use rankings::Rankings;
use serde_json::{Map, Value};

use crate::prompt::arena::{Arena, Pieces, Span};

/// The APIs that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointType {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// Anthropic's `/v1/messages`.
    Messages,
    /// `/v1/embeddings`: answers are vectors, in one piece.
    Embeddings,
    /// Cohere's `/v2/rerank`: answers are scores, in one piece.
    CohereRankings,
    /// `/rerank` of Hugging Face's text-embeddings-inference, likewise.
    HfTeiRankings,
    /// `/v1/ranking` of NVIDIA's NIM, likewise.
    NimRankings,
}

impl EndpointType {
    /// Every API.
    pub const ALL: [EndpointType; 8] = [
        EndpointType::Chat,
        EndpointType::Completions,
        EndpointType::Responses,
        EndpointType::Messages,
        EndpointType::Embeddings,
        EndpointType::CohereRankings,
        EndpointType::HfTeiRankings,
        EndpointType::NimRankings,
    ];

    /// The name in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointType::Chat => "chat",
            EndpointType::Completions => "completions",
            EndpointType::Responses => "responses",
            EndpointType::Messages => "messages",
            EndpointType::Embeddings => "embeddings",
            EndpointType::CohereRankings => "cohere_rankings",
            EndpointType::HfTeiRankings => "hf_tei_rankings",
            EndpointType::NimRankings => "nim_rankings",
        }
    }

    /// Whether its answers are text, token by token.
    pub fn gives_tokens(self) -> bool {
        self != EndpointType::Embeddings && !self.ranks()
    }

    /// Whether a prompt is a query and the passages to rank.
    pub fn ranks(self) -> bool {
        Rankings::of(self).is_some()
    }

    /// Whether a prompt is a list of messages.
    pub fn has_messages(self) -> bool {
        matches!(self, EndpointType::Chat | EndpointType::Responses | EndpointType::Messages)
    }

    /// The API of that name.
    pub fn parse(name: &str) -> Option<EndpointType> {
        EndpointType::ALL.into_iter().find(|e| e.as_str() == name)
    }

    /// The path behind the base URL, which may or may not end in `/v1`.
    pub fn path(self, base_path: &str) -> String {
        let base = base_path.trim_end_matches('/');
        let path = match (Rankings::of(self), self) {
            (Some(rankings), _) => rankings.path.into(),
            (None, EndpointType::Chat) => "/v1/chat/completions".into(),
            (None, _) => format!("/v1/{}", self.as_str()),
        };
        let again = if base.ends_with("/v1") { path.strip_prefix("/v1/") } else { None };
        again.map_or_else(|| format!("{base}{path}"), |tail| format!("{base}/{tail}"))
    }

    /// The key of the list of messages, or of the one text.
    fn prompt_key(self) -> &'static str {
        match self {
            EndpointType::Chat | EndpointType::Messages => "messages",
            EndpointType::Completions => "prompt",
            EndpointType::Responses | EndpointType::Embeddings => "input",
            EndpointType::CohereRankings | EndpointType::HfTeiRankings | EndpointType::NimRankings => "query",
        }
    }

    /// What stands before a prompt that is a text, or several.
    fn text_prefix(self) -> String {
        let list = if self == EndpointType::Embeddings { "[" } else { "" };
        match Rankings::of(self) {
            Some(rankings) => rankings.open.into(),
            None => format!(r#"{{"{}":{list}""#, self.prompt_key()),
        }
    }

    /// What stands behind the prompt's last text.
    fn close(self) -> &'static str {
        match Rankings::of(self) {
            Some(rankings) => rankings.close,
            None if self.has_messages() => "\"}]",
            None if self == EndpointType::Embeddings => "\"]",
            None => "\"",
        }
    }

    fn max_tokens_key(self) -> Option<&'static str> {
        match self {
            EndpointType::Chat => Some("max_completion_tokens"),
            EndpointType::Completions | EndpointType::Messages => Some("max_tokens"),
            EndpointType::Responses => Some("max_output_tokens"),
            EndpointType::Embeddings
            | EndpointType::CohereRankings
            | EndpointType::HfTeiRankings
            | EndpointType::NimRankings => None,
        }
    }
}

/// From one text to the next, in a list of them.
const NEXT_TEXT: &str = "\",\"";

/// The limit of an answer of Anthropic's API, which takes no request without one, where none is asked for.
const MESSAGES_MAX_TOKENS: u32 = 1024;

/// What every request of a run has in common.
#[derive(Clone, Debug)]
pub struct RequestOptions {
    /// The API.
    pub endpoint: EndpointType,
    /// The model's name.
    pub model: String,
    /// Whether the answer is streamed.
    pub streaming: bool,
    /// Fields that the user adds to the body, or sets in place of ours.
    pub extra: Map<String, Value>,
    /// Whether answers are to be as long as their limit: `ignore_eos` and `min_tokens`, which vLLM, SGLang and TensorRT-LLM
    /// add to both APIs, are sent beside it.
    pub force_output: bool,
    /// Whether a chat's limit is sent as `max_tokens`, as servers before `max_completion_tokens` want it.
    pub legacy_max_tokens: bool,
}

/// The body around its prompts and answers, encoded.
#[derive(Debug)]
pub struct Shape {
    endpoint: EndpointType,
    /// Before the first turn's text.
    prefix: Span,
    /// Before a system prompt's text, where the conversation begins with one.
    system_prefix: Span,
    /// Before a list of whole messages.
    list_prefix: Span,
    /// Between a turn's text and the answer to it.
    to_assistant: Span,
    /// Between a text and a user's.
    to_user: Span,
    /// The end of a line, inside a text.
    line_end: Span,
    /// From the first text to the second and from each later one to the next, where a prompt is several.
    between_texts: [Span; 2],
    suffixes: BTreeMap<Option<u32>, Span>,
}

impl Shape {
    /// Encodes into `arena` the part before the prompt, and the part behind it for each limit of output tokens.
    pub fn encode(arena: &mut Arena, options: &RequestOptions, limits: impl Iterator<Item = Option<u32>>) -> Shape {
        let list = format!(r#"{{"{}":["#, options.endpoint.prompt_key());
        let (prefix, to_assistant, to_user) = if options.endpoint.has_messages() {
            (
                list.clone() + r#"{"role":"user","content":""#,
                r#""},{"role":"assistant","content":""#,
                r#""},{"role":"user","content":""#,
            )
        } else {
            (options.endpoint.text_prefix(), "", "")
        };
        let between_texts = match Rankings::of(options.endpoint) {
            Some(rankings) => [rankings.to_passages, rankings.between],
            None => [NEXT_TEXT; 2],
        };
        let mut add = |text: &str| arena.add(text.as_bytes());
        let prefix = add(&prefix);
        let system_prefix = match options.endpoint {
            EndpointType::Chat | EndpointType::Responses => add(&(list.clone() + r#"{"role":"system","content":""#)),
            // Anthropic's messages have no such role: two of the user's in a row are one to it.
            _ => prefix,
        };
        let list_prefix = Span { start: prefix.start, len: list.len() };
        let (to_assistant, to_user, line_end) = (add(to_assistant), add(to_user), add("\\n"));
        let between_texts = between_texts.map(&mut add);
        let mut suffixes = BTreeMap::new();
        for limit in limits {
            suffixes.entry(limit).or_insert_with(|| add(&suffix(options, limit)));
        }
        Shape {
            endpoint: options.endpoint,
            prefix,
            system_prefix,
            list_prefix,
            to_assistant,
            to_user,
            line_end,
            between_texts,
            suffixes,
        }
    }

    /// The end of a line, inside a text.
    pub fn line_end(&self) -> Span {
        self.line_end
    }

    /// A body, of which nothing is written yet.
    pub fn begin(&self) -> Body<'_> {
        Body::new(self)
    }
}

/// Everything behind the prompt's text, from its closing quote on.
fn suffix(options: &RequestOptions, max_tokens: Option<u32>) -> String {
    let mut fields = Map::new();
    let endpoint = options.endpoint;
    if Rankings::of(endpoint).is_none_or(|rankings| rankings.names_model) {
        fields.insert("model".into(), options.model.clone().into());
    }
    if endpoint.gives_tokens() {
        fields.insert("stream".into(), options.streaming.into());
    }
    let limits = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    let own_limit = limits.iter().any(|k| options.extra.contains_key(*k));
    let max_tokens = max_tokens.or((endpoint == EndpointType::Messages).then_some(MESSAGES_MAX_TOKENS));
    if let (Some(limit), Some(key), false) = (max_tokens, endpoint.max_tokens_key(), own_limit) {
        let key = if options.legacy_max_tokens && endpoint == EndpointType::Chat { "max_tokens" } else { key };
        fields.insert(key.into(), limit.into());
        if options.force_output {
            fields.insert("min_tokens".into(), limit.into());
            fields.insert("ignore_eos".into(), true.into());
        }
    }
    for (key, value) in &options.extra {
        fields.insert(key.clone(), value.clone());
    }
    // The others tell their usage unasked.
    let asks_for_usage = matches!(endpoint, EndpointType::Chat | EndpointType::Completions);
    if options.streaming && asks_for_usage && !fields.contains_key("stream_options") {
        fields.insert("stream_options".into(), serde_json::json!({"include_usage": true}));
    }
    let comma = if fields.is_empty() { "" } else { "," };
    // The fields as an object, without its opening brace: they go on in the object that the prefix opened.
    format!("{}{comma}{}", endpoint.close(), &Value::Object(fields).to_string()[1..])
}

/// A whole body with a word for its prompt: one of each text, where it takes several.
pub fn least_body(options: &RequestOptions) -> Vec<u8> {
    let mut arena = Arena::default();
    let shape = Shape::encode(&mut arena, options, std::iter::once(Some(1)));
    let word = arena.add(b"hi");
    let mut body = shape.begin();
    for _ in 0..if options.endpoint.ranks() { 2 } else { 1 } {
        body.text().push(word);
    }
    Pieces::new(Arc::new(arena), body.finish(Some(1))).to_vec()
}

/// `text` as it stands between the quotes of a JSON string.
pub fn escape_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_string()
}

#[cfg(test)]
mod tests;
