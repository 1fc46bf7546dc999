//! The turns of a conversation, in order → the spans of a request's body.
//!
//! In a chat each turn is a message; for completions they are one text. Between two turns stands a span that
//! [`Shape`] encoded before the run: nothing is formatted here.

use super::Shape;
use crate::prompt::arena::Span;

/// `"}`: what ends a message whose text is being written.
const TEXT_END: usize = 2;

/// A body in the making.
#[derive(Debug)]
pub struct Body<'a> {
    shape: &'a Shape,
    spans: Vec<Span>,
    at: At,
    /// Texts of a prompt that is several.
    texts: usize,
}

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    /// Inside the quotes of a text.
    Text,
    /// Behind whole messages.
    Messages,
}

impl<'a> Body<'a> {
    pub(super) fn new(shape: &'a Shape) -> Self {
        Body { shape, spans: Vec::with_capacity(8), at: At::Start, texts: 0 }
    }

    /// Begins a user's turn, whose text the caller appends.
    pub fn prompt(&mut self) -> &mut Vec<Span> {
        self.turn(self.shape.to_user)
    }

    /// The same for a text that does not begin with white space of its own: in a completion's prompt, a line of its own.
    pub fn prompt_apart(&mut self) -> &mut Vec<Span> {
        let behind_text = self.at == At::Text;
        if behind_text && !self.shape.endpoint.has_messages() {
            self.spans.push(self.shape.line_end);
        }
        self.prompt()
    }

    /// Begins one of several texts, in order, which the caller appends.
    pub fn text(&mut self) -> &mut Vec<Span> {
        self.spans.push(match self.texts {
            0 => self.shape.prefix,
            n => self.shape.between_texts[usize::from(n > 1)],
        });
        self.texts += 1;
        self.at = At::Text;
        &mut self.spans
    }

    /// Begins a system prompt, whose text the caller appends; it begins the conversation.
    pub fn system(&mut self) -> &mut Vec<Span> {
        debug_assert!(self.at == At::Start, "a system prompt begins the conversation");
        self.spans.push(self.shape.system_prefix);
        self.at = At::Text;
        &mut self.spans
    }

    /// Begins the answer to the turn before it; the caller appends its text.
    pub fn answer(&mut self) -> &mut Vec<Span> {
        self.turn(self.shape.to_assistant)
    }

    /// Appends whole messages of a chat: objects with commas between them. They begin the conversation.
    pub fn messages(&mut self, messages: Span) {
        debug_assert!(self.at == At::Start, "messages are the whole conversation so far");
        self.spans.push(self.shape.list_prefix);
        self.spans.push(messages);
        self.at = At::Messages;
    }

    fn turn(&mut self, joint: Span) -> &mut Vec<Span> {
        self.spans.push(match self.at {
            At::Start => self.shape.prefix,
            At::Text => joint,
            At::Messages => without(joint, TEXT_END),
        });
        self.at = At::Text;
        &mut self.spans
    }

    /// The spans of the whole body.
    pub fn finish(mut self, max_tokens: Option<u32>) -> Vec<Span> {
        let suffix = self.shape.suffixes[&max_tokens];
        self.spans.push(if self.at == At::Messages { without(suffix, TEXT_END) } else { suffix });
        self.spans
    }
}

/// A span without its first bytes.
fn without(span: Span, bytes: usize) -> Span {
    Span { start: span.start + bytes, len: span.len - bytes }
}
