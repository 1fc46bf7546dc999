//! One long text of single-token words in which every two neighbouring words occur together only once.
//!
//! It is an Eulerian circuit of the complete directed graph over the words (a de Bruijn sequence of order two): with
//! k words it has k² places, each of which begins with a pair that no other place begins with. A prompt is the text
//! from the place that its code stands for. Different codes so differ in their first two tokens, by construction
//! and not by luck, and nothing is stored per prompt.
//! Source of the circuit: C. Hierholzer, Math. Ann. 6 (1873), here with an affine order of each word's successors
//! in place of a stored one.

use rand::Rng as _;

use super::arena::{Arena, Span};
use crate::rng::{Seed, Stream};

/// Words of three to five letters that are one token, with the space before them, in the vocabularies of Qwen3,
/// Llama 3, DeepSeek V3, gpt-oss (o200k) and Gemma 3, and which no merge joins.
static WORDS: &str = include_str!("words.txt");

/// Most words that a corpus is made of.
const WORDS_MAX: usize = 1024;

/// The text, in an arena, and where its words begin.
#[derive(Debug)]
pub struct Corpus {
    /// Offset of each word's space in the arena; one more than there are words.
    starts: Vec<u32>,
    /// The vocabulary's words, once each: the digits of codes that are too large for a place of their own.
    words: Vec<Span>,
    /// code → place is `code · multiplier + offset` modulo the number of places.
    multiplier: u64,
    offset: u64,
}

impl Corpus {
    /// Writes a corpus with a place of its own for each of `codes` codes, if it can (up to 2²⁰), at the start of
    /// `arena`, which must be empty.
    pub fn build(arena: &mut Arena, seed: Seed, codes: u64) -> Corpus {
        assert!(arena.is_empty(), "the corpus stands at the start of its arena");
        let mut k = 256;
        while k < WORDS_MAX && ((k * k) as u64) < codes {
            k *= 2;
        }
        let vocabulary: Vec<String> = WORDS.lines().take(k).map(|w| format!(" {w}")).collect();
        let circuit = circuit(k, seed);
        let mut starts = Vec::with_capacity(circuit.len() + 1);
        for word in &circuit {
            starts.push(arena.len() as u32);
            arena.add(vocabulary[usize::from(*word)].as_bytes());
        }
        starts.push(arena.len() as u32);
        let words = vocabulary.iter().map(|w| arena.add(w.as_bytes())).collect();
        let mut rng = seed.stream(Stream::PromptText);
        // Near the golden ratio of the number of places, so that neighbouring codes lie far apart.
        let multiplier = ((circuit.len() as f64 * 0.618_034) as u64) | 1;
        Corpus { starts, words, multiplier, offset: rng.next_u64() }
    }

    /// Codes below this have a place of their own; larger ones are told apart by words behind its first two.
    pub fn direct_codes(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    /// Appends the spans of the first `tokens` tokens of the text of `code`.
    pub fn spans(&self, code: u64, tokens: u32, out: &mut Vec<Span>) {
        let places = self.direct_codes();
        let mut left = tokens as usize;
        let mut place = ((code % places).wrapping_mul(self.multiplier).wrapping_add(self.offset) % places) as usize;
        let mut high = code / places;
        if high > 0 {
            // The digits stand behind the place's own pair: in front of it they could spell another place's text.
            self.run(&mut place, &mut left, 2, out);
        }
        while high > 0 && left > 0 {
            let radix = self.words.len() as u64;
            out.push(self.words[(high % radix) as usize]);
            high /= radix;
            left -= 1;
        }
        while left > 0 {
            self.run(&mut place, &mut left, usize::MAX, out);
        }
    }

    /// Appends the span of at most `most` words from `place` on, up to the end of the circuit, and moves on.
    fn run(&self, place: &mut usize, left: &mut usize, most: usize, out: &mut Vec<Span>) {
        let places = self.starts.len() - 1;
        let end = place.saturating_add(most.min(*left)).min(places);
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
        let corpus = Corpus::build(&mut arena, Seed(seed), codes);
        (arena, corpus)
    }

    fn text(arena: &Arena, corpus: &Corpus, code: u64, tokens: u32) -> String {
        let mut spans = Vec::new();
        corpus.spans(code, tokens, &mut spans);
        spans.iter().map(|s| std::str::from_utf8(arena.slice(*s)).unwrap()).collect()
    }

    #[test]
    fn the_vocabulary_is_words_of_three_to_five_letters_once_each() {
        let words: Vec<&str> = WORDS.lines().collect();
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), WORDS_MAX);
        assert!(words.iter().all(|w| (3..=5).contains(&w.len()) && w.bytes().all(|b| b.is_ascii_lowercase())));
    }

    #[test]
    fn every_pair_of_neighbours_occurs_once() {
        let c = circuit(64, Seed(3));
        let pairs: HashSet<(u16, u16)> = (0..c.len()).map(|i| (c[i], c[(i + 1) % c.len()])).collect();
        assert_eq!((c.len(), pairs.len()), (64 * 64, 64 * 64));
    }

    #[test]
    fn a_prompt_has_its_tokens_exactly_and_a_shorter_one_is_its_prefix() {
        let (arena, corpus) = corpus(1, 10);
        for tokens in [1, 2, 3, 511, 512, 65_535, 65_536, 65_537, 200_000] {
            for code in [0, 9, 65_535, 65_536, 1 << 40] {
                let full = text(&arena, &corpus, code, tokens);
                assert_eq!(count_builtin(&full), tokens as usize, "code {code}");
                assert!(full.starts_with(&text(&arena, &corpus, code, tokens / 2)));
            }
        }
    }

    #[test]
    fn different_codes_differ_in_their_first_two_tokens() {
        let (arena, corpus) = corpus(2, 100_000);
        assert_eq!(corpus.direct_codes(), 512 * 512);
        let firsts: HashSet<String> = (0..corpus.direct_codes()).map(|c| text(&arena, &corpus, c, 2)).collect();
        assert_eq!(firsts.len() as u64, corpus.direct_codes());
    }

    #[test]
    fn codes_without_a_place_of_their_own_differ_in_their_first_six_tokens() {
        let (arena, corpus) = corpus(2, 1);
        let codes = 5 * corpus.direct_codes();
        let firsts: HashSet<String> = (0..codes).map(|c| text(&arena, &corpus, c, 6)).collect();
        assert_eq!(firsts.len() as u64, codes);
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
}
