//! The text of one answer, kept for the turns behind it: appended piece by piece where room was made ahead.
//!
//! Invariants: appending allocates nothing; a text that outgrows its room is given up whole, and so is one that could not
//! stand between the quotes of a JSON string.

/// Room for each token that an answer may have. Words are a third of it; escapes of other scripts fill it.
const BYTES_PER_TOKEN: usize = 16;
/// Room for an answer of unknown length.
const BYTES_DEFAULT: usize = 64 << 10;
/// Most room for one answer.
const BYTES_MAX: usize = 1 << 20;

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct ReplyText {
    is_kept: bool,
    /// A quote, and the text behind it.
    quoted: Vec<u8>,
    /// Bytes of text that there is room for.
    room: usize,
}

impl ReplyText {
    /// Forgets; keeps the buffer.
    pub(super) fn forget(&mut self) {
        self.is_kept = false;
        self.quoted.clear();
    }

    /// Makes room for an answer of so many tokens.
    pub(super) fn keep(&mut self, max_tokens: Option<u32>) {
        self.room =
            max_tokens.map_or(BYTES_DEFAULT, |n| (n as usize).saturating_mul(BYTES_PER_TOKEN).clamp(64, BYTES_MAX));
        self.quoted.clear();
        self.quoted.reserve(self.room + 2);
        self.quoted.push(b'"');
        self.is_kept = true;
    }

    /// Whether the text is wanted, and had room so far.
    #[inline]
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Appends a piece.
    pub(super) fn push(&mut self, text: &[u8]) {
        if self.quoted.len() + text.len() <= 1 + self.room {
            self.quoted.extend_from_slice(text);
        } else {
            self.is_kept = false;
        }
    }

    /// The text, if all of it is here and may be sent in a string of a body.
    pub(super) fn whole(&mut self) -> Option<&[u8]> {
        if !self.is_kept {
            return None;
        }
        self.quoted.push(b'"');
        let is_string = serde_json::from_slice::<String>(&self.quoted).is_ok();
        is_string.then(|| &self.quoted[1..self.quoted.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(max_tokens: Option<u32>, pieces: &[&[u8]]) -> Option<Vec<u8>> {
        let mut reply = ReplyText::default();
        reply.keep(max_tokens);
        pieces.iter().filter(|_| reply.is_kept).copied().collect::<Vec<_>>().iter().for_each(|p| reply.push(p));
        reply.whole().map(<[u8]>::to_vec)
    }

    #[test]
    fn pieces_are_joined_as_they_came() {
        assert_eq!(kept(Some(3), &[b" a\\n", b"\\ud83d", b"\\ude00"]).unwrap(), b" a\\n\\ud83d\\ude00");
        assert_eq!(kept(None, &[]).unwrap(), b"");
        assert_eq!(ReplyText::default().whole(), None);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_given_up() {
        let long = vec![b'x'; 1000];
        assert_eq!(kept(Some(10), &[b"a", &long, b"b"]), None);
        assert!(kept(Some(100), &[b"a", &long, b"b"]).is_some());
        for bad in [&b"\n"[..], b"\xff", b"\\x", b"\\ud83d", b"a\\"] {
            assert_eq!(kept(None, &[bad]), None, "{bad:?}");
        }
    }

    #[test]
    fn appending_stays_within_the_room_that_was_made() {
        let mut reply = ReplyText::default();
        reply.keep(Some(1000));
        let room = reply.quoted.capacity();
        for _ in 0..100_000 {
            if reply.is_kept() {
                reply.push(b" word");
            }
        }
        assert_eq!(reply.whole(), None);
        assert_eq!(reply.quoted.capacity(), room);
    }
}
