//! Where requests go and what they all carry; and what every transport refuses in the head of an answer.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::dial::Dialer;
use super::tls::Tls;
use super::transport::Outgoing;
use crate::outcome::Outcome;

/// HTTP's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN over TLS, else by prior knowledge.
    Http2 {
        /// Most streams on one connection; the peer's own limit counts where it is lower.
        streams_per_connection: u32,
    },
}

impl Protocol {
    /// Its name in ALPN.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 { .. } => b"h2",
        }
    }
}

/// What names a request's session, unless the user has another name for it; aiperf's.
pub const SESSION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");
/// The same id, for routers that keep a session on one replica; aiperf's.
pub const AFFINITY_HEADER: HeaderName = HeaderName::from_static("x-session-affinity");

/// Where requests go, and what they all carry.
#[derive(Clone, Debug)]
pub struct Target {
    /// Makes sockets to the endpoint.
    pub dialer: Dialer,
    /// TLS, if it is spoken; offers `protocol` alone.
    pub tls: Option<Tls>,
    /// The protocol.
    pub protocol: Protocol,
    /// Path and query of every request.
    pub uri: Uri,
    /// Headers of every request, `Host` among them.
    pub headers: HeaderMap,
    /// The header that carries a request's session, or its own id; [`AFFINITY_HEADER`] does, too.
    pub session_header: HeaderName,
    /// Whether answers are streamed.
    pub streaming: bool,
    /// Whether connections are used again.
    pub reuse: bool,
}

/// As what a flight that failed is counted, and why.
pub type Failure = (Outcome, String);

impl Target {
    /// A target that nobody listens at, for tests of what does not send.
    #[cfg(test)]
    pub(super) fn to_nowhere() -> Target {
        Target {
            dialer: Dialer::new(super::dial::Peer::Tcp(Vec::new()), Vec::new()),
            tls: None,
            protocol: Protocol::Http1,
            uri: Uri::from_static("/x"),
            headers: HeaderMap::new(),
            session_header: SESSION_HEADER,
            streaming: true,
            reuse: true,
        }
    }

    /// The headers of one request.
    ///
    /// # Errors
    /// [`Outcome::ProtocolError`] where HTTP forbids a character of an id.
    pub fn headers_of(&self, outgoing: &Outgoing) -> Result<HeaderMap, Failure> {
        let mut headers = self.headers.clone();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|e| (Outcome::ProtocolError, e.to_string()));
        let session = value(outgoing.session.as_deref().unwrap_or(&outgoing.x_request_id))?;
        headers.insert(HeaderName::from_static("x-request-id"), value(&outgoing.x_request_id)?);
        headers.insert(AFFINITY_HEADER, session.clone());
        headers.insert(self.session_header.clone(), session);
        Ok(headers)
    }

    /// Whether an answer with these headers is an event stream; one that does not say so is what was asked for.
    pub fn is_event_stream(&self, headers: &HeaderMap) -> bool {
        match headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) {
            Some(value) => value.trim_start().to_ascii_lowercase().starts_with("text/event-stream"),
            None => self.streaming,
        }
    }
}

/// Refuses a good answer whose content is compressed: what holds events back cannot be timed.
///
/// # Errors
/// [`Outcome::ProtocolError`] with a remedy.
pub fn refuse_coding(status: u16, headers: &HeaderMap) -> Result<(), Failure> {
    let coding = headers.get(http::header::CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
    if !(200..300).contains(&status) || coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let coding = String::from_utf8_lossy(&coding[..coding.len().min(64)]);
    let remedy = "token times need the answer as it was written: switch compression off at the server or its proxy";
    Err((Outcome::ProtocolError, format!("content-encoding {} refused: {remedy}", coding.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_answers_are_refused_and_error_pages_are_not() {
        let coded = |coding: &'static str| {
            HeaderMap::from_iter([(http::header::CONTENT_ENCODING, HeaderValue::from_static(coding))])
        };
        let (outcome, text) = refuse_coding(200, &coded("gzip")).unwrap_err();
        assert_eq!(outcome, Outcome::ProtocolError);
        assert!(text.starts_with("content-encoding gzip refused"), "{text}");
        for (status, headers) in [(200, coded("Identity")), (502, coded("gzip")), (200, HeaderMap::new())] {
            assert_eq!(refuse_coding(status, &headers), Ok(()));
        }
    }
}
