//! One long text of single-token words, and the few words in front of a piece of it that tell one prompt from another.
//!
//! The text of a *code* is its digits, least first, each spelled as a word of the vocabulary, and then the corpus from
//! the place that the code stands for. Nothing is stored per prompt. With V words, codes that differ modulo V differ
//! in their first token, and different codes below V^d within their first d, where d is as small as the run's number
//! of codes allows: by construction and not by luck.
//! The corpus is an Eulerian circuit of the complete directed graph over its words (a de Bruijn sequence of order two):
//! every two neighbouring words occur together only once, so that tokenising it once tries every pair.
//! Source of the circuit: C. Hierholzer, Math. Ann. 6 (1873), here with an affine order of each word's successors
//! in place of a stored one.

use rand::Rng as _;

use super::arena::{Arena, Span};
use super::vocabulary::{Radix, Vocabulary};
use crate::rng::{Seed, Stream};

/// Fewest and most words that a corpus is made of, where the vocabulary has so many.
const WORDS_MIN: usize = 256;
const WORDS_MAX: usize = 1024;
/// Most digits of a code: enough for every code below 2⁴⁰ in the smallest vocabulary.
const DIGITS_MAX: usize = 8;

/// The text, in an arena, and where its words begin.
#[derive(Debug)]
pub struct Corpus {
    /// Offset of each word's space in the arena; one more than there are words.
    starts: Vec<u32>,
    /// The vocabulary's words, once each.
    words: Vec<Span>,
    radix: Radix,
    /// Digits in front of every text; each digit's words begin at an offset of their own.
    digits: usize,
    offsets: [u32; DIGITS_MAX],
    /// code → place is `code · multiplier + offset` modulo the number of places.
    multiplier: u64,
    offset: u64,
    /// Whether a prompt begins with the space of its first word.
    leading_space: bool,
}

impl Corpus {
    /// Writes a corpus for `codes` different codes at the start of `arena`, which must be empty.
    pub fn build(arena: &mut Arena, seed: Seed, codes: u64, vocabulary: &Vocabulary) -> Corpus {
        assert!(arena.is_empty(), "the corpus stands at the start of its arena");
        let most = WORDS_MAX.min(1 << vocabulary.len().ilog2());
        let mut k = WORDS_MIN.min(most);
        while k < most && ((k * k) as u64) < codes {
            k *= 2;
        }
        let circuit = circuit(k, seed);
        let words: Vec<String> = vocabulary.words().map(|w| format!(" {w}")).collect();
        let mut starts = Vec::with_capacity(circuit.len() + 1);
        for word in &circuit {
            starts.push(arena.len() as u32);
            arena.add(words[usize::from(*word)].as_bytes());
        }
        starts.push(arena.len() as u32);
        let words: Vec<Span> = words.iter().map(|w| arena.add(w.as_bytes())).collect();
        let mut rng = seed.stream(Stream::PromptText);
        // Near the golden ratio of the number of places, so that neighbouring codes lie far apart.
        let multiplier = ((circuit.len() as f64 * 0.618_034) as u64) | 1;
        let radix = vocabulary.radix();
        let digits = (1..DIGITS_MAX).find(|d| u64::from(radix.words).saturating_pow(*d as u32) >= codes);
        Corpus {
            starts,
            words,
            radix,
            digits: digits.unwrap_or(DIGITS_MAX),
            offsets: std::array::from_fn(|_| rng.next_u32() >> 1),
            multiplier,
            offset: rng.next_u64(),
            leading_space: vocabulary.leading_space(),
        }
    }

    /// The size of the vocabulary: codes that differ modulo its words differ in their first token.
    pub fn radix(&self) -> Radix {
        self.radix
    }

    /// Different codes, of as many as the corpus was built for, differ within so many tokens.
    pub fn digits(&self) -> u32 {
        self.digits as u32
    }

    /// Appends the spans of the first `tokens` tokens of the text of `code`.
    pub fn spans(&self, code: u64, tokens: u32, out: &mut Vec<Span>) {
        let places = self.starts.len() as u64 - 1;
        let mut left = tokens as usize;
        let mut rest = code;
        for digit in 0..self.digits.min(left) {
            out.push(self.words[self.word(digit, (rest % u64::from(self.radix.words)) as u32)]);
            rest /= u64::from(self.radix.words);
            left -= 1;
        }
        let mut place = ((code % places).wrapping_mul(self.multiplier).wrapping_add(self.offset) % places) as usize;
        while left > 0 {
            self.run(&mut place, &mut left, out);
        }
    }

    /// Makes of `first`, a text's first span, the beginning of a prompt: tokenizers that put a space in front of every
    /// text themselves get none from us.
    pub fn begin_prompt(&self, first: &mut Span) {
        if !self.leading_space && first.len > 0 {
            *first = Span { start: first.start + 1, len: first.len - 1 };
        }
    }

    /// The span of the whole circuit, in which every two of its words stand side by side; its last word is followed by
    /// the first.
    pub fn circuit_span(&self) -> Span {
        Span { start: 0, len: self.starts[self.starts.len() - 1] as usize }
    }

    /// The word that spells `value` as a digit: one of as many as there are, and an opener for an opener's.
    fn word(&self, digit: usize, value: u32) -> usize {
        let Radix { words, openers } = self.radix;
        let (first, number) = if value < openers { (0, openers) } else { (openers, words - openers) };
        (first + (value - first + self.offsets[digit] % number) % number) as usize
    }

    /// Appends the span of the words from `place` on, up to the end of the circuit, and moves on.
    fn run(&self, place: &mut usize, left: &mut usize, out: &mut Vec<Span>) {
        let places = self.starts.len() - 1;
        let end = place.saturating_add(*left).min(places);
        let (from, to) = (self.starts[*place] as usize, self.starts[end] as usize);
        out.push(Span { start: from, len: to - from });
        *left -= end - *place;
        *place = end % places;
    }
}

/// An Eulerian circuit over `k` words (a power of two): `k²` words, cyclic, each pair once.
fn circuit(k: usize, seed: Seed) -> Vec<u16> {
    let mask = k - 1;
    let mut rng = seed.stream(Stream::PromptText);
    let order: Vec<(usize, usize)> =
        (0..k).map(|_| ((rng.next_u64() as usize & mask) | 1, rng.next_u64() as usize & mask)).collect();
    let mut used = vec![0usize; k];
    let mut path = vec![0u16];
    let mut done = Vec::with_capacity(k * k + 1);
    while let Some(&here) = path.last() {
        let v = usize::from(here);
        if used[v] < k {
            let (step, first) = order[v];
            let next = (step.wrapping_mul(used[v]).wrapping_add(first)) & mask;
            used[v] += 1;
            path.push(next as u16);
        } else {
            done.push(here);
            path.pop();
        }
    }
    done.pop();
    done
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::prompt::count_builtin;

    fn corpus(seed: u64, codes: u64) -> (Arena, Corpus) {
        let mut arena = Arena::default();
        let corpus = Corpus::build(&mut arena, Seed(seed), codes, &Vocabulary::builtin());
        (arena, corpus)
    }

    fn text(arena: &Arena, corpus: &Corpus, code: u64, tokens: u32) -> String {
        let mut spans = Vec::new();
        corpus.spans(code, tokens, &mut spans);
        spans.iter().map(|s| std::str::from_utf8(arena.slice(*s)).unwrap()).collect()
    }

    #[test]
    fn every_pair_of_neighbours_occurs_once() {
        let c = circuit(64, Seed(3));
        let pairs: HashSet<(u16, u16)> = (0..c.len()).map(|i| (c[i], c[(i + 1) % c.len()])).collect();
        assert_eq!((c.len(), pairs.len()), (64 * 64, 64 * 64));
    }

    #[test]
    fn a_prompt_has_its_tokens_exactly_and_a_shorter_one_is_its_prefix() {
        for codes in [10, 1 << 40] {
            let (arena, corpus) = corpus(1, codes);
            for tokens in [1, 2, 3, 511, 512, 65_535, 65_536, 65_537, 200_000] {
                for code in [0, 9, 65_535, 65_536, 1 << 39] {
                    let full = text(&arena, &corpus, code, tokens);
                    assert_eq!(count_builtin(&full), tokens as usize, "code {code}");
                    assert!(full.starts_with(&text(&arena, &corpus, code, tokens / 2)));
                }
            }
        }
    }

    #[test]
    fn codes_that_fit_the_vocabulary_differ_in_their_first_token() {
        let (arena, corpus) = corpus(2, 8192);
        assert_eq!((corpus.radix().words, corpus.digits()), (8192, 1));
        let firsts: HashSet<String> = (0..8192).map(|c| text(&arena, &corpus, c, 1)).collect();
        assert_eq!(firsts.len(), 8192);
    }

    #[test]
    fn more_codes_differ_within_their_first_two_tokens_and_in_the_first_modulo_the_vocabulary() {
        let (arena, corpus) = corpus(2, 300_000);
        assert_eq!(corpus.digits(), 2);
        let firsts: HashSet<String> = (0..300_000).map(|c| text(&arena, &corpus, c, 2)).collect();
        assert_eq!(firsts.len(), 300_000);
        assert_ne!(text(&arena, &corpus, 8191, 1), text(&arena, &corpus, 8192, 1));
    }

    #[test]
    fn seeds_change_the_text_and_nothing_else_does() {
        let draw = |seed| {
            let (arena, corpus) = corpus(seed, 10);
            text(&arena, &corpus, 7, 100)
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn a_prompt_without_leading_space_loses_that_space_alone() {
        let mut arena = Arena::default();
        let vocabulary = Vocabulary::builtin().without_leading_space();
        let corpus = Corpus::build(&mut arena, Seed(1), 10, &vocabulary);
        let mut first = Span { start: 0, len: 4 };
        corpus.begin_prompt(&mut first);
        assert_eq!(first, Span { start: 1, len: 3 });
    }
}
