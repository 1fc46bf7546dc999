//! One block of bytes that all request bodies are slices of, and a body as a list of such slices.
//!
//! Invariant: an arena only grows, and not at all once the run has begun; so a [`Span`] stays true.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Buf;

/// A range of an [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of its first byte.
    pub start: usize,
    /// Length in bytes.
    pub len: usize,
}

/// The bytes that bodies are made of.
#[derive(Debug, Default)]
pub struct Arena {
    bytes: Vec<u8>,
}

impl Arena {
    /// Adds `text` at the end.
    pub fn add(&mut self, text: &[u8]) -> Span {
        let span = Span { start: self.bytes.len(), len: text.len() };
        self.bytes.extend_from_slice(text);
        span
    }

    /// The bytes of a span.
    pub fn slice(&self, span: Span) -> &[u8] {
        &self.bytes[span.start..span.start + span.len]
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A request body: spans of a shared arena, read in order as one [`Buf`], so that it goes out as a vectored write.
/// Spans that begin behind the arena's end are of a tail that this body alone has.
#[derive(Clone, Debug)]
pub struct Pieces {
    arena: Arc<Arena>,
    tail: Option<Arc<Vec<u8>>>,
    spans: Vec<Span>,
    /// The first span that has bytes left; its start moves as it is consumed.
    next: usize,
    remaining: usize,
}

impl Pieces {
    /// A body of these spans.
    pub fn new(arena: Arc<Arena>, spans: Vec<Span>) -> Self {
        let remaining = spans.iter().map(|s| s.len).sum();
        Pieces { arena, tail: None, spans, next: 0, remaining }
    }

    /// The same body, with the bytes that stand behind the arena's.
    pub fn with_tail(mut self, tail: Arc<Vec<u8>>) -> Self {
        self.tail = Some(tail);
        self
    }

    fn slice(&self, span: Span) -> &[u8] {
        match (&self.tail, span.start.checked_sub(self.arena.len())) {
            (Some(tail), Some(start)) => &tail[start..start + span.len],
            _ => self.arena.slice(span),
        }
    }

    /// Whether both are made of the same spans of the same bytes, and nothing of them was consumed.
    pub fn is_same(&self, other: &Pieces) -> bool {
        let tails = match (&self.tail, &other.tail) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        tails
            && Arc::ptr_eq(&self.arena, &other.arena)
            && self.spans == other.spans
            && (self.next, other.next) == (0, 0)
    }

    /// What is left of the body in one piece, for those who cannot read it in several.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.remaining);
        self.spans[self.next..].iter().for_each(|s| bytes.extend_from_slice(self.slice(*s)));
        bytes
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.spans[self.next..].iter().find(|s| s.len > 0).map_or(&[], |s| self.slice(*s))
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let spans = self.spans[self.next..].iter().filter(|s| s.len > 0);
        let mut n = 0;
        for (slot, span) in dst.iter_mut().zip(spans) {
            *slot = IoSlice::new(self.slice(*span));
            n += 1;
        }
        n
    }

    fn advance(&mut self, mut n: usize) {
        assert!(n <= self.remaining, "advance past the end of a body");
        self.remaining -= n;
        while n > 0 {
            let span = &mut self.spans[self.next];
            let step = n.min(span.len);
            span.start += step;
            span.len -= step;
            n -= step;
            if span.len == 0 {
                self.next += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_reads_the_same_whatever_the_steps() {
        let mut arena = Arena::default();
        let mut spans: Vec<Span> =
            ["{\"a\":\"", "", "one two", "\"}"].iter().map(|t| arena.add(t.as_bytes())).collect();
        spans.insert(3, Span { start: arena.len() + 1, len: 6 });
        let (arena, tail) = (Arc::new(arena), Arc::new(b"? three".to_vec()));
        let whole = Pieces::new(arena.clone(), spans.clone()).with_tail(tail.clone());
        assert_eq!(whole.to_vec(), b"{\"a\":\"one two three\"}");
        for step in 1..=whole.remaining() {
            let mut body = Pieces::new(arena.clone(), spans.clone()).with_tail(tail.clone());
            let mut got = Vec::new();
            while body.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 2];
                let n = body.chunks_vectored(&mut slices);
                let seen: Vec<u8> = slices[..n].iter().flat_map(|s| s.to_vec()).collect();
                assert!(seen.starts_with(body.chunk()) && n > 0);
                let take = step.min(seen.len());
                got.extend_from_slice(&seen[..take]);
                body.advance(take);
            }
            assert_eq!(got, whole.to_vec(), "steps of {step}");
        }
    }
}
