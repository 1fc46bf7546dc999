//! Turns the tokens of a prompt into the names of its KV blocks, so that a cache knows what it has seen.
//!
//! In: a number per token, in order. Out: a name per full block: two blocks have one name where everything from the start
//! of the prompt to their end is the same (but for a collision: of 31 bits where one word differs, of 64 for blocks).
//! Not here: what a token is ([`super::ask`]) and who keeps blocks ([`super::kv`]).

use crate::rng::mix;

/// Tokens of a KV block: vLLM's default.
pub const BLOCK_TOKENS: u32 = 16;

/// What was said so far, as far as the next block's name depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    state: u64,
    /// Tokens since the last full block.
    open_tokens: u32,
}

impl Chain {
    /// Takes the next token in; the name of the block that it fills, if it does.
    #[inline]
    pub fn push(&mut self, token: u64) -> Option<u64> {
        // An odd factor and a rotation: order matters, and every bit gets about before the block is full.
        self.state = (self.state.rotate_left(23) ^ token).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.open_tokens += 1;
        if self.open_tokens < BLOCK_TOKENS {
            return None;
        }
        self.open_tokens = 0;
        self.state = mix(self.state);
        Some(self.state)
    }
}

/// What a prompt holds, and what its answer will: as much as a prefix cache can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The names of the prompt's full blocks.
    pub blocks: Vec<u64>,
    /// The state behind its last token.
    pub chain: Chain,
    /// Which answer it gets: seeds the tokens that are generated, see [`super::reply::answer_token`].
    pub answer: u64,
}

impl Content {
    /// The content of these tokens.
    pub fn of(tokens: &[u64]) -> Content {
        let mut content = Content::default();
        for token in tokens {
            content.blocks.extend(content.chain.push(*token));
        }
        content
    }

    /// Whether nothing is known of the prompt.
    pub fn is_unknown(&self) -> bool {
        self.blocks.is_empty() && self.chain == Chain::default()
    }
}

/// A word's number, its id as a token: equal words, equal numbers, of 31 bits, as clients take ids to be. Eight bytes at a time,
/// since prompts are long.
#[inline]
pub fn word_hash(word: &[u8]) -> u64 {
    let mut hash = word.len() as u64;
    for part in word.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..part.len()].copy_from_slice(part);
        hash = with_part(hash, u64::from_le_bytes(bytes));
    }
    // The upper bits of a product depend on all of its factors'.
    hash >> 33
}

/// [`word_hash`] of a word of `length` bytes, one to eight, which stand in `bytes`, the first lowest, with zeros behind them.
#[inline]
pub fn short_word_hash(bytes: u64, length: u64) -> u64 {
    with_part(length, bytes) >> 33
}

#[inline]
fn with_part(hash: u64, part: u64) -> u64 {
    (hash.rotate_left(29) ^ part).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_one_name_as_long_as_everything_before_their_end_is_the_same() {
        let tokens: Vec<u64> = (0..100).collect();
        let whole = Content::of(&tokens);
        assert_eq!(whole.blocks.len(), 6, "100 tokens fill six blocks of 16");
        for changed in [0, 15, 16, 40, 95] {
            let mut other = tokens.clone();
            other[changed] += 1000;
            let same = Content::of(&other).blocks.iter().zip(&whole.blocks).take_while(|(a, b)| a == b).count();
            assert_eq!(same, changed / 16, "token {changed} differs");
        }
        assert_eq!(Content::of(&tokens[..99]).blocks, whole.blocks);
    }

    #[test]
    fn a_chain_goes_on_where_the_prompt_ended() {
        let tokens: Vec<u64> = (0..64).map(|i| i * 7).collect();
        let mut content = Content::of(&tokens[..21]);
        for token in &tokens[21..] {
            content.blocks.extend(content.chain.push(*token));
        }
        assert_eq!(content.blocks, Content::of(&tokens).blocks);
    }

    #[test]
    fn words_differ_by_length_order_and_bytes() {
        let words = ["", "a", "b", "ab", "ba", "abcdefgh", "abcdefghi", "iabcdefgh", "\0", "\0\0"];
        let hashes: std::collections::HashSet<u64> = words.iter().map(|w| word_hash(w.as_bytes())).collect();
        assert_eq!(hashes.len(), words.len());
    }
}
