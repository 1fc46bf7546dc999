//! A request's bytes: a head from a template, then the body's spans, read in order as one [`Buf`].

use std::io::{IoSlice, Write};

use bytes::Buf;

use crate::engine::target::Target;
use crate::engine::transport::Outgoing;
use crate::prompt::arena::Pieces;

/// Bodies up to this size are copied behind their head: one slice costs the kernel less than several do, and by more than
/// the copy.
const GATHERED_BYTES_MAX: usize = 4 << 10;

/// What all requests of a run begin with: everything but the ids and the length.
#[derive(Debug)]
pub(super) struct Template {
    head: Vec<u8>,
    /// What stands between the request's id and its session: the header that carries it.
    to_session: Vec<u8>,
}

impl Template {
    pub(super) fn new(target: &Target) -> Self {
        let mut head = format!("POST {} HTTP/1.1\r\n", target.uri).into_bytes();
        for (name, value) in &target.headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        if !target.reuse {
            head.extend_from_slice(b"connection: close\r\n");
        }
        Template { head, to_session: format!("\r\n{}: ", target.session_header).into_bytes() }
    }

    /// The bytes of one request.
    pub(super) fn request(&self, outgoing: Outgoing) -> Request {
        let id = &outgoing.x_request_id;
        let session = outgoing.session.as_deref().unwrap_or(id);
        let mut head = Vec::with_capacity(self.head.len() + self.to_session.len() + id.len() + 2 * session.len() + 80);
        head.extend_from_slice(&self.head);
        // A session's name comes from a file; a line end in it would be a header of its own.
        let clean = session.bytes().map(|b| if b.is_ascii_control() { b' ' } else { b });
        head.extend_from_slice(b"x-request-id: ");
        head.extend_from_slice(id.as_bytes());
        head.extend_from_slice(&self.to_session);
        head.extend(clean.clone());
        head.extend_from_slice(b"\r\nx-session-affinity: ");
        head.extend(clean);
        // Writing to memory cannot fail.
        let _ = write!(head, "\r\ncontent-length: {}\r\n\r\n", outgoing.body.remaining());
        let mut body = outgoing.body;
        if body.remaining() <= GATHERED_BYTES_MAX {
            head.reserve_exact(body.remaining());
            while body.has_remaining() {
                head.extend_from_slice(body.chunk());
                body.advance(body.chunk().len());
            }
        }
        Request { head, at: 0, body }
    }
}

/// A request on its way out.
#[derive(Debug)]
pub struct Request {
    head: Vec<u8>,
    at: usize,
    body: Pieces,
}

impl Request {
    /// What is left of it, where that is one piece.
    pub(super) fn in_one_piece(&self) -> Option<&[u8]> {
        (self.body.remaining() == 0).then(|| &self.head[self.at..])
    }
}

impl Buf for Request {
    fn remaining(&self) -> usize {
        self.head.len() - self.at + self.body.remaining()
    }

    fn chunk(&self) -> &[u8] {
        if self.at < self.head.len() { &self.head[self.at..] } else { self.body.chunk() }
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let Some((first, rest)) = dst.split_first_mut().filter(|_| self.at < self.head.len()) else {
            return self.body.chunks_vectored(dst);
        };
        *first = IoSlice::new(&self.head[self.at..]);
        1 + self.body.chunks_vectored(rest)
    }

    fn advance(&mut self, n: usize) {
        let of_head = n.min(self.head.len() - self.at);
        self.at += of_head;
        self.body.advance(n - of_head);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::prompt::arena::Arena;

    #[test]
    fn a_request_is_http_whatever_the_steps_it_is_written_in() {
        let mut arena = Arena::default();
        let spans = vec![arena.add(b"{\"a\":"), arena.add(b"1}")];
        let body = Pieces::new(Arc::new(arena), spans);
        let outgoing = || Outgoing {
            body: body.clone(),
            x_request_id: "run-1".into(),
            session: Some("s\r\nevil: 1".into()),
            verbatim: false,
        };
        let mut headers = http::HeaderMap::new();
        headers.insert("host", "h:1".parse().unwrap());
        let session_header = http::HeaderName::from_static("x-session");
        let target = Target { headers, session_header, reuse: false, ..Target::to_nowhere() };
        let template = Template::new(&target);
        let expect = "POST /x HTTP/1.1\r\nhost: h:1\r\nconnection: close\r\nx-request-id: run-1\r\n\
                      x-session: s  evil: 1\r\nx-session-affinity: s  evil: 1\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
        for step in [1, 3, 1000] {
            let mut request = template.request(outgoing());
            let mut bytes = Vec::new();
            while request.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 2];
                let n = request.chunks_vectored(&mut slices);
                let seen: Vec<u8> = slices[..n].iter().flat_map(|s| s.to_vec()).collect();
                assert!(seen.starts_with(request.chunk()) && n > 0);
                let take = step.min(seen.len());
                bytes.extend_from_slice(&seen[..take]);
                request.advance(take);
            }
            assert_eq!(String::from_utf8(bytes).unwrap(), expect);
        }
    }
}
