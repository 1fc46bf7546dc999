//! A text → the numbers of its whitespace-separated words, which are its tokens.
//!
//! Prompts are long and many, and whoever reads them has one thread: plain ASCII, which is what benchmarks send, is not decoded, and
//! its spaces are looked for eight bytes at a time, so that where a word begins hangs on no other word.

use super::content::{short_word_hash, word_hash};

/// The numbers of the words.
pub(super) fn words(text: &str) -> Vec<u64> {
    if !text.is_ascii() {
        return text.split_whitespace().map(|word| word_hash(word.as_bytes())).collect();
    }
    let bytes = text.as_bytes();
    // A word and its space, where nothing else is known.
    let mut words = Vec::with_capacity(bytes.len() / 6);
    let mut start = 0;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for (block, at) in blocks.iter().zip((0..).step_by(BLOCK)) {
        let mut spaces = spaces_of(block);
        while spaces != 0 {
            let end = at + spaces.trailing_zeros() as usize;
            if end > start {
                words.push(word(bytes, start, end));
            }
            start = end + 1;
            spaces &= spaces - 1;
        }
    }
    let ends = (bytes.len() - rest.len()..bytes.len()).filter(|at| is_space(bytes[*at])).chain([bytes.len()]);
    for end in ends {
        if end > start {
            words.push(word(bytes, start, end));
        }
        start = end + 1;
    }
    words
}

/// Bytes whose spaces are one number.
const BLOCK: usize = 64;

/// The number of the word that stands between two places.
#[inline]
fn word(bytes: &[u8], start: usize, end: usize) -> u64 {
    match bytes[start..].first_chunk::<8>() {
        Some(eight) if end - start < 8 => {
            let length = (end - start) as u64;
            short_word_hash(u64::from_le_bytes(*eight) & ((1 << (8 * length)) - 1), length)
        }
        _ => word_hash(&bytes[start..end]),
    }
}

/// The ASCII part of `char::is_whitespace`: \t \n \v \f \r and the space.
fn is_space(b: u8) -> bool {
    b == b' ' || b.wrapping_sub(b'\t') < 5
}

/// A bit for each ASCII byte that is such a space, the first one's lowest.
#[inline]
fn spaces_of(block: &[u8; BLOCK]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Brings the lowest bit of each byte to the top, one beside the other.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    block.as_chunks::<8>().0.iter().rev().fold(0, |bits, eight| {
        let eight = u64::from_le_bytes(*eight);
        // The upper bit of each byte; no sum of two bytes below 128 reaches the next one.
        let is_blank = !((eight ^ (EACH * 0x20)) + EACH * 0x7f);
        let (from_tab, above_return) = (eight + EACH * (0x80 - 9), eight + EACH * (0x80 - 14));
        let spaces = (is_blank | from_tab & !above_return) >> 7 & EACH;
        bits << 8 | spaces.wrapping_mul(GATHER) >> 56
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_split_whitespace() {
        for text in ["", " ", "a", " a b  c\n", "a\tb\u{b}c\u{c}d\re", "ä\u{a0}b ", "x\u{2003}y", "\u{1f}a\u{1c}b"] {
            let split: Vec<u64> = text.split_whitespace().map(|w| word_hash(w.as_bytes())).collect();
            assert_eq!(words(text), split, "{text:?}");
        }
    }

    #[test]
    fn words_of_any_length_at_any_place_are_those_of_split_whitespace() {
        let mut state = 1_u64;
        for length in 0..400 {
            let byte = |_| {
                state = crate::rng::mix(state);
                // Letters, spaces of all six kinds, and what stands beside them in ASCII.
                *b"abcdefgh \t\n\x0b\x0c\r \x08\x0e\x1f!\x7f\0".get(state as usize % 40).unwrap_or(&b'z')
            };
            let text: String = (0..length).map(byte).map(char::from).collect();
            let split: Vec<u64> = text.split_whitespace().map(|w| word_hash(w.as_bytes())).collect();
            assert_eq!(words(&text), split, "{text:?}");
        }
    }
}
