//! Turns an HTTP request into an answer: routes, checks, and the hand-over to the engine.
//!
//! In: a request of a connection. Out: a response whose body is an [`Answer`].
//! Routes: `POST /v1/chat/completions`, `POST /v1/completions`, `POST /v1/responses`, `POST /v1/messages`,
//! `POST /v1/embeddings`, `POST /v2/rerank`, `POST /rerank`, `POST /v1/ranking`, `GET /v1/models`, `GET /v1/models/NAME`,
//! `POST /tokenize`, `POST /detokenize`, `GET /health`, `GET /metrics`.
//! Invariant: every error answer has OpenAI's body, `{"error": {message, type, param, code}}`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::ask::{Api, Ask, BadAsk};
use super::content::Content;
use super::deployment::{Job, Refusal as Refused};
use super::driver::Engine;
use super::fault::{self, Fault, FaultRule};
use super::metrics;
use super::oracle::{Counters, OracleLog, OracleRequest};
use super::reply::{Reply, error_body, model_card};
use super::stream::{Answer, Faulted, Flight, Next};
use super::tokenize::{self, Words};
use crate::engine::interference::CpuTimes;
use crate::engine::stamped::{WireClock, WireLog};
use crate::rng::Seed;
use crate::time::{SECOND_NS, monotonic_ns, realtime_ns};

/// Bytes of a request's body, at most.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Names the fault that a request wants to meet.
const X_LOADLINE_FAULT: HeaderName = HeaderName::from_static("x-loadline-fault");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all connections of a server share.
pub(super) struct Service {
    pub(super) engine: Rc<Engine>,
    pub(super) counters: Arc<Counters>,
    pub(super) oracle: OracleLog,
    /// The clocks of the sockets' reads, where the oracle wants to know when requests arrived.
    pub(super) wire_clock: Option<WireClock>,
    pub(super) model: String,
    /// The model's name as a JSON string, quotes included.
    pub(super) model_json: String,
    pub(super) max_model_tokens: u32,
    pub(super) seed: Seed,
    /// What a request gets that finds the queue full.
    pub(super) queue_full_status: StatusCode,
    /// Which requests are done wrong by, of those that name no fault.
    pub(super) faults: Vec<FaultRule>,
    pub(super) faults_drawn: Cell<u64>,
    pub(super) started_ns: i64,
    pub(super) words: Words,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("model", &self.model).finish_non_exhaustive()
    }
}

/// Why a request is refused.
struct Refusal {
    status: StatusCode,
    message: String,
    param: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, message: String) -> Refusal {
        Refusal { status, message, param: None }
    }
}

impl From<BadAsk> for Refusal {
    fn from(bad: BadAsk) -> Refusal {
        Refusal { status: StatusCode::BAD_REQUEST, message: bad.message, param: bad.param }
    }
}

impl Service {
    /// Answers one request, or does wrong by it what it asks for or is drawn for.
    pub(super) async fn serve(
        self: Rc<Self>,
        request: Request<Incoming>,
        wire: Option<Rc<WireLog>>,
    ) -> Response<Faulted> {
        let fault = match self.fault_of(&request) {
            Ok(fault) => fault,
            Err(e) => return refuse(&Refusal::new(StatusCode::BAD_REQUEST, e.to_string())).map(Faulted::from),
        };
        if let Some(Fault::Status(code)) = fault {
            Counters::add(&self.counters.refused);
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = refuse(&Refusal::new(status, "this fault was asked for".into()));
            if matches!(code, 429 | 503) {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            return response.map(Faulted::from);
        }
        let mut response = self.answer(request, wire).await.map(Faulted::from);
        response.body_mut().meet(fault);
        response
    }

    /// The fault that a request for an answer meets: the one it names, else one that it is drawn for.
    fn fault_of(&self, request: &Request<Incoming>) -> crate::error::Result<Option<Fault>> {
        if request.method() != Method::POST {
            return Ok(None);
        }
        let number = self.faults_drawn.replace(self.faults_drawn.get() + 1);
        match request.headers().get(X_LOADLINE_FAULT) {
            Some(text) => Fault::parse(&String::from_utf8_lossy(text.as_bytes())).map(Some),
            None => Ok(fault::drawn(&self.faults, self.seed, number, monotonic_ns() - self.started_ns)),
        }
    }

    /// Answers one request, which came on the connection with this log, if it has one.
    pub(super) async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
        wire: Option<Rc<WireLog>>,
    ) -> Response<Answer> {
        let path = request.uri().path();
        let named = path.strip_prefix("/v1/models/").map(|name| name.replace("%2F", "/").replace("%2f", "/"));
        let (allowed, api) = match path {
            "/v1/chat/completions" => (Method::POST, Some(Api::Chat)),
            "/v1/completions" => (Method::POST, Some(Api::Completions)),
            "/v1/responses" => (Method::POST, Some(Api::Responses)),
            "/v1/messages" => (Method::POST, Some(Api::Messages)),
            "/v1/embeddings" => (Method::POST, Some(Api::Embeddings)),
            "/v2/rerank" => (Method::POST, Some(Api::CohereRank)),
            "/rerank" => (Method::POST, Some(Api::TeiRank)),
            "/v1/ranking" => (Method::POST, Some(Api::NimRank)),
            "/tokenize" | "/detokenize" => (Method::POST, None),
            "/v1/models" | "/health" | "/metrics" => (Method::GET, None),
            _ if named.is_some() => (Method::GET, None),
            _ => return refuse(&Refusal::new(StatusCode::NOT_FOUND, format!("there is no {path} here"))),
        };
        if request.method() != allowed {
            let message = format!("{path} takes {allowed}, not {}", request.method());
            let mut response = refuse(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message));
            let allow = if allowed == Method::POST { "POST" } else { "GET" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        match api {
            Some(api) => self.generate(api, request, wire.as_deref()).await.unwrap_or_else(|refusal| {
                Counters::add(&self.counters.refused);
                refuse(&refusal)
            }),
            None if allowed == Method::POST => self.translate(request).await.unwrap_or_else(|refusal| refuse(&refusal)),
            None if path == "/health" => Response::new(Answer::Whole(Bytes::new())),
            None if path == "/metrics" => {
                let mut text = self.engine.metrics_text(&self.model_json);
                // This is the server's thread.
                metrics::own_cost(&mut text, CpuTimes::of_this_thread().cpu_ns, self.counters.read().events);
                let mut response = Response::new(Answer::Whole(text.into()));
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, format);
                response
            }
            None if named.as_ref().is_some_and(|name| *name != self.model) => {
                refuse(&self.unknown_model(&named.unwrap_or_default()))
            }
            None => {
                let card = model_card(&self.model, realtime_ns() / SECOND_NS, self.max_model_tokens);
                let body = if named.is_some() { card } else { serde_json::json!({ "object": "list", "data": [card] }) };
                json(StatusCode::OK, body.to_string().into())
            }
        }
    }

    fn unknown_model(&self, name: &str) -> Refusal {
        Refusal {
            status: StatusCode::NOT_FOUND,
            message: format!("The model `{name}` does not exist; this server has `{}`.", self.model),
            param: Some("model"),
        }
    }

    /// Text into token ids, or the other way.
    async fn translate(&self, request: Request<Incoming>) -> Result<Response<Answer>, Refusal> {
        let (head, body) = request.into_parts();
        let body = read_body(&head.headers, body).await?;
        if let Some(model) = tokenize::model_of(&body)?.filter(|model| *model != self.model) {
            return Err(self.unknown_model(&model));
        }
        let said = match head.uri.path() {
            "/tokenize" => self.words.tokenize(&body, self.max_model_tokens)?,
            _ => self.words.detokenize(&body)?,
        };
        Ok(json(StatusCode::OK, said.to_string().into()))
    }

    async fn generate(
        self: &Rc<Self>,
        api: Api,
        request: Request<Incoming>,
        wire: Option<&WireLog>,
    ) -> Result<Response<Answer>, Refusal> {
        let (head, body) = request.into_parts();
        let body = read_body(&head.headers, body).await?;
        let received_ns = monotonic_ns();
        // Nothing behind the body has been read yet: of what clients send, that would be a request of its own.
        let arrived_ns = wire.and_then(|log| log.last(0).kernel_ns);
        let ask = Ask::read(api, &body, self.max_model_tokens)?;
        if let Some(model) = ask.model.as_deref().filter(|m| *m != self.model) {
            return Err(self.unknown_model(model));
        }
        let (stream, include_usage) = (ask.stream, ask.include_usage);
        let flight = self.take_off(api, &ask, (received_ns, arrived_ns), &head.headers)?;
        let mut response = if stream {
            let next = if api == Api::Completions { Next::Token(0) } else { Next::Role };
            let mut r = Response::new(Answer::Stream { flight: Box::new(flight), next, include_usage });
            r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            r.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            r
        } else {
            json(StatusCode::OK, flight.whole().await)
        };
        if let Some(id) = head.headers.get(X_REQUEST_ID) {
            response.headers_mut().insert(X_REQUEST_ID, id.clone());
        }
        Ok(response)
    }

    /// Gives a request to the engine.
    fn take_off(
        self: &Rc<Self>,
        api: Api,
        ask: &Ask<'_>,
        (received_ns, arrived_ns): (i64, Option<i64>),
        headers: &HeaderMap,
    ) -> Result<Flight, Refusal> {
        let hash = self.seed.hash(self.engine.next_number());
        let (prompt_tokens, output_tokens) = (ask.prompt_tokens, ask.output_tokens);
        let content = Content { answer: hash, ..Content::of(&ask.tokens) };
        let ticket = self.engine.submit(received_ns, Job { prompt_tokens, output_tokens, content, quiet: false });
        let ticket = ticket.map_err(|refused| self.refusal(refused))?;
        Counters::add(&self.counters.requests);
        let prefix = match api {
            Api::Chat => "chatcmpl",
            Api::Completions => "cmpl",
            Api::Responses => "resp",
            Api::Messages => "msg",
            Api::Embeddings => "embd",
            Api::CohereRank | Api::TeiRank | Api::NimRank => "rank",
        };
        let id = format!("{prefix}-{hash:016x}");
        let entry = if self.oracle.is_on() {
            let given = headers.get(X_REQUEST_ID).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
            self.oracle.open(OracleRequest {
                x_request_id: given.unwrap_or_else(|| id.clone()),
                arrived_ns,
                received_ns,
                events_ns: Vec::new(),
                prompt_tokens,
                output_tokens,
                cached_tokens: 0,
                role_events: u32::from(ask.stream && api == Api::Chat),
                completed: false,
            })
        } else {
            None
        };
        let reply = if api.says_done() {
            Reply::new(api, &id, realtime_ns() / SECOND_NS, &self.model_json, hash)
        } else {
            Reply::typed(api, id, &self.model, ask.inputs, hash)
        };
        let service = Rc::clone(self);
        Ok(Flight {
            service,
            ticket,
            reply,
            prompt_tokens,
            continuous_usage: ask.continuous_usage,
            entry,
            completed: false,
        })
    }

    /// What a client is told that the engine refuses.
    fn refusal(&self, refused: Refused) -> Refusal {
        match refused {
            Refused::QueueFull => {
                Refusal::new(self.queue_full_status, "The server is overloaded: its queue is full".into())
            }
            Refused::TooLong { kv_tokens } => Refusal::new(
                StatusCode::BAD_REQUEST,
                format!("This request's prompt and answer are longer than the whole KV cache of {kv_tokens} tokens."),
            ),
        }
    }
}

/// The whole body in one piece.
async fn read_body(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || {
        let message = format!("the body is larger than {MAX_BODY_BYTES} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if announced.is_some_and(|n| n > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(too_large()),
        Err(e) => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("the body did not arrive: {e}"))),
    }
}

fn refuse(refusal: &Refusal) -> Response<Answer> {
    json(refusal.status, error_body(refusal.status, &refusal.message, refusal.param))
}

fn json(status: StatusCode, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
