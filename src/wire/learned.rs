//! An event that differs from the one before in nothing but its text is known without being parsed.
//!
//! The events of an answer are the same JSON around another piece of text. What surrounded the text of one that was
//! walked is kept; an event with the same bytes before and behind another plain text has the same structure, so it
//! says the same ([`super::delta`] would find the same). Anything else is walked.
//! Invariant: what is taken for alike, the walk reads alike; `fuzz_alike` checks it.

use super::delta::Delta;
use crate::outcome::EventKind;

/// Longest event that is remembered.
pub const BYTES_MAX: usize = 1024;

/// What surrounded the text of an event.
#[derive(Debug, Default)]
pub struct Learned {
    /// The bytes before the text, and behind them those that followed it.
    around: Vec<u8>,
    /// How many of them stood before it; 0 when nothing is known.
    before: usize,
    kind: Option<EventKind>,
}

impl Learned {
    /// Forgets; keeps the buffer.
    pub fn forget(&mut self) {
        self.before = 0;
    }

    /// What an event carries, if it is the remembered one with another text.
    #[inline]
    pub fn recognise(&self, data: &[u8]) -> Option<EventKind> {
        let (before, behind) = self.around.split_at(self.before);
        // One byte at least: an event with an empty text carries nothing.
        if self.before == 0 || data.len() <= self.around.len() || !data.starts_with(before) || !data.ends_with(behind) {
            return None;
        }
        let text = &data[before.len()..data.len() - behind.len()];
        if text.iter().any(|b| matches!(b, b'"' | b'\\')) {
            return None;
        }
        self.kind
    }

    /// What the remembered event carried.
    pub fn kind(&self) -> Option<EventKind> {
        self.kind.filter(|_| self.before > 0)
    }

    /// The text of an event that was recognised, as it stands between its quotes.
    pub fn text<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        &data[self.before..data.len() - (self.around.len() - self.before)]
    }

    /// Remembers what surrounded the text of an event that was walked, if text is all that it carries.
    pub fn learn(&mut self, data: &[u8], delta: &Delta<'_>) {
        let Some(text) = delta.text.filter(|_| data.len() <= BYTES_MAX) else { return };
        if delta.usage.is_some() || delta.finish_reason.is_some() || !delta.kind.is_content() {
            return;
        }
        // Where the text, which is a part of the data, begins in it.
        let before = text.as_ptr() as usize - data.as_ptr() as usize;
        self.around.clear();
        self.around.extend_from_slice(&data[..before]);
        self.around.extend_from_slice(&data[before + text.len()..]);
        self.before = before;
        self.kind = Some(delta.kind);
    }
}

/// The property that the fuzz target checks: of two events, divided by a zero byte, the second is recognised after the
/// first only where the walk reads it alike.
pub fn fuzz_alike(data: &[u8]) {
    let mut parts = data.splitn(2, |b| *b == 0);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut learned = Learned::default();
    if let Ok(delta) = Delta::read(first) {
        learned.learn(first, &delta);
    }
    if let Some(kind) = learned.recognise(second) {
        let walked = Delta::read(second).expect("what is recognised can be walked");
        assert_eq!((walked.kind, walked.usage, walked.finish_reason, walked.error), (kind, None, None, None));
        assert_eq!(walked.text, Some(learned.text(second)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"choices":[{"index":0,"delta":{"content":" log"},"finish_reason":null}],"created":1}"#;

    #[track_caller]
    fn check(first: &str, second: &str, expect: Option<EventKind>) {
        let mut learned = Learned::default();
        learned.learn(first.as_bytes(), &Delta::read(first.as_bytes()).unwrap());
        assert_eq!(learned.recognise(second.as_bytes()), expect, "{second}");
        fuzz_alike(&[first.as_bytes(), b"\0", second.as_bytes()].concat());
        learned.forget();
        assert_eq!(learned.recognise(second.as_bytes()), None);
    }

    #[test]
    fn another_text_is_recognised_and_nothing_else() {
        use EventKind::{Output, Reasoning};
        check(FIRST, &FIRST.replace(" log", "x"), Some(Output));
        check(FIRST, &FIRST.replace(" log", "日本"), Some(Output));
        check(FIRST, &FIRST.replace(" log", ""), None);
        check(FIRST, &FIRST.replace(" log", "a\\\"b"), None);
        check(FIRST, &FIRST.replace(" log", "\"},\"x\":{\"y\":\""), None);
        check(FIRST, &FIRST.replace("null", "\"stop\""), None);
        check(FIRST, &FIRST.replace("created\":1", "created\":2"), None);
        check(FIRST, "", None);
        let completion = r#"{"choices":[{"text":"a","index":0}]}"#;
        check(completion, &completion.replace("\"a\"", "\"bc\""), Some(Output));
        let reasoning = r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#;
        check(reasoning, &reasoning.replace("hm", "well"), Some(Reasoning));
    }

    #[test]
    fn an_event_that_carries_more_than_text_is_not_remembered() {
        let finish = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
        check(finish, &finish.replace("\"a\"", "\"b\""), None);
        let usage = r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"completion_tokens":3}}"#;
        check(usage, &usage.replace("\"a\"", "\"b\""), None);
        let tool = r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"a"}}]}}]}"#;
        check(tool, &tool.replace("\"a\"", "\"b\""), None);
    }
}
