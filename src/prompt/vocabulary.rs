//! A tokenizer → words of which any k in a row, in any order, are k tokens.
//!
//! A word qualifies if it is one token with the space before it, and the same token at the beginning of a text as in its
//! middle. That no merge crosses from one word into the next is not assumed: every word is tokenised between others here,
//! every pair of the corpus's words once the corpus stands ([`Vocabulary::check`]), and prompts of the run after that.
//! *Openers* are words that are one token at a text's beginning with and without the space before them: chat templates
//! that trim a message take that space away. They stand first, and prompts begin with them.
//! Not here: the texts that are made of them ([`super::corpus`]).

use std::collections::{HashMap, HashSet};

use super::arena::Arena;
use super::corpus::Corpus;
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// Words of three to nine letters that are one token, with the space before them, in the vocabularies of Qwen3, Llama 2,
/// Llama 3, DeepSeek V3, gpt-oss (o200k), cl100k and Gemma 3, and which no merge joins.
static WORDS: &str = include_str!("words.txt");

/// So many of them, the first, are openers in all of these but Llama 2, where a text never begins with a space of its own.
const OPENERS_LISTED: usize = 3215;
/// Fewest openers that are worth keeping to.
const OPENERS_MIN: usize = 256;

/// Fewest words that prompts can be made of.
const WORDS_MIN: usize = 32;
/// Most words of a vocabulary; a bound of memory, above what the known tokenizers have.
const WORDS_MAX: usize = 65_536;
/// Words that are tokenised at once.
const CHUNK: usize = 64;
/// Words of the corpus that are tokenised at once: some hundreds of kilobytes.
const CHECKED_AT_ONCE: usize = 1 << 16;

/// How many words there are to tell texts apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Radix {
    /// Words of the vocabulary. Codes that differ modulo this number begin with different words.
    pub words: u32,
    /// The first so many of them are openers.
    pub openers: u32,
}

impl Radix {
    /// Of the codes from `end` on whose first word is an opener, the `n`th, from 0. As many neighbours as there are openers
    /// differ in that word.
    pub fn opening_code(self, end: u32, n: u64) -> u64 {
        let (words, openers) = (u64::from(self.words), u64::from(self.openers));
        let below = u64::from(end) / words * openers + (u64::from(end) % words).min(openers);
        let n = below + n;
        n / openers * words + n % openers
    }
}

/// The words of prompts.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    words: Vec<Box<str>>,
    /// The first so many are openers.
    openers: usize,
    leading_space: bool,
}

impl Vocabulary {
    /// The words of the built-in tokenizer.
    pub fn builtin() -> Vocabulary {
        Vocabulary { words: WORDS.lines().map(Box::from).collect(), openers: OPENERS_LISTED, leading_space: true }
    }

    /// The words that are single tokens of `tokenizer`: of the built-in list, then of the tokenizer's own vocabulary.
    ///
    /// # Errors
    /// Too few such words.
    pub fn of(tokenizer: &Tokenizer) -> Result<Vocabulary> {
        if tokenizer.is_builtin() {
            return Ok(Vocabulary::builtin());
        }
        let candidates = candidates(tokenizer);
        let tried = [true, false].map(|leading_space| {
            let probe = Probe { tokenizer, leading_space };
            let words = candidates.chunks(CHUNK).flat_map(|chunk| probe.exact(chunk)).take(WORDS_MAX).collect();
            probe.openers_first(words)
        });
        let [with, without] = tried;
        let best = if with.len() >= WORDS_MIN { with } else { without };
        if best.len() < WORDS_MIN {
            return Err(Error::Usage(format!(
                "--tokenizer {}: only {} of its words are one token each wherever they stand, and prompts that are exact to the \
                 token take {WORDS_MIN}; use --tokenizer builtin, and compare with the server's own count (prompt_tokens)",
                tokenizer.name(),
                best.len()
            )));
        }
        Ok(best)
    }

    /// How many words it has.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// How many there are to tell texts apart by.
    pub fn radix(&self) -> Radix {
        Radix { words: self.words.len() as u32, openers: self.openers as u32 }
    }

    /// The words, without spaces.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|w| &**w)
    }

    /// Whether a prompt begins with the space of its first word; where the tokenizer puts one there itself, it does not.
    pub fn leading_space(&self) -> bool {
        self.leading_space
    }

    #[cfg(test)]
    pub(super) fn without_leading_space(self) -> Vocabulary {
        Vocabulary { leading_space: false, ..self }
    }

    /// Tokenises the corpus, in which every two of its words are neighbours, and holds it to one token for each word.
    ///
    /// # Errors
    /// A piece with another number of tokens: a merge crosses from one word into the next.
    pub fn check(tokenizer: &Tokenizer, corpus: &Corpus, arena: &Arena) -> Result<()> {
        if tokenizer.is_builtin() {
            return Ok(());
        }
        let text =
            std::str::from_utf8(arena.slice(corpus.circuit_span())).map_err(|e| Error::Internal(e.to_string()))?;
        let mut rest = text;
        while !rest.is_empty() {
            let mut ends = rest.match_indices(' ').skip(1).map(|(at, _)| at);
            let end = ends.nth(CHECKED_AT_ONCE - 1).unwrap_or(rest.len());
            // One word more than the next piece leaves out: the pair of both belongs to this one.
            let after = rest[end..].match_indices(' ').nth(1).map_or(rest.len(), |(at, _)| end + at);
            let mut first = super::arena::Span { start: 0, len: after };
            corpus.begin_prompt(&mut first);
            let piece = &rest[first.start..after];
            let (words, tokens) = (super::count_builtin(piece), tokenizer.count(piece));
            if words != tokens {
                return Err(Error::Usage(format!(
                    "--tokenizer {}: {words} words, each of them one token, are {tokens} tokens together: it merges across \
                     words, and prompts cannot be exact to the token; use --tokenizer builtin, and compare with the server's \
                     own count (prompt_tokens)",
                    tokenizer.name()
                )));
            }
            rest = &rest[end..];
        }
        Ok(())
    }
}

/// A word of a tokenizer's vocabulary, and its id there.
struct Candidate {
    word: Box<str>,
    id: u32,
}

/// The tokenizer's words of lower-case letters, those of the built-in list first, then by id.
fn candidates(tokenizer: &Tokenizer) -> Vec<Candidate> {
    let own = tokenizer.words();
    let ids: HashMap<&str, u32> = own.iter().map(|(word, id)| (&**word, *id)).collect();
    let listed = WORDS.lines().filter_map(|word| ids.get(word).map(|id| Candidate { word: word.into(), id: *id }));
    let known: HashSet<&str> = WORDS.lines().collect();
    let others = own.iter().filter(|(word, _)| !known.contains(&**word));
    listed.chain(others.map(|(word, id)| Candidate { word: word.clone(), id: *id })).collect()
}

/// How words are tried.
struct Probe<'a> {
    tokenizer: &'a Tokenizer,
    leading_space: bool,
}

impl Probe<'_> {
    /// Those of the words that are their own tokens, at the beginning and between others.
    fn exact(&self, candidates: &[Candidate]) -> Vec<Box<str>> {
        if self.fits(candidates) {
            return candidates.iter().map(|c| c.word.clone()).collect();
        }
        if let [_] | [] = candidates {
            return Vec::new();
        }
        let (left, right) = candidates.split_at(candidates.len() / 2);
        let mut words = self.exact(left);
        words.extend(self.exact(right));
        words
    }

    /// The words as a vocabulary. Where next to none is an opener, a text's beginning is no different: all are.
    fn openers_first(&self, words: Vec<Box<str>>) -> Vocabulary {
        let is_opener = |word: &str| ["", " "].iter().all(|s| self.tokenizer.count(&format!("{s}{word}")) == 1);
        let (openers, others): (Vec<_>, Vec<_>) = words.iter().partition(|word| is_opener(word));
        if openers.len() < OPENERS_MIN {
            return Vocabulary { openers: words.len(), words, leading_space: self.leading_space };
        }
        let ordered = openers.iter().chain(&others).map(|w| (*w).clone()).collect();
        Vocabulary { openers: openers.len(), words: ordered, leading_space: self.leading_space }
    }

    fn fits(&self, candidates: &[Candidate]) -> bool {
        // Twice over, so that each stands between two others, and a word alone stands behind itself.
        let twice = || candidates.iter().chain(candidates);
        let text: String = twice().flat_map(|c| [" ", &*c.word]).collect();
        let text = if self.leading_space { &text } else { text.trim_start() };
        self.tokenizer.ids(text).into_iter().eq(twice().map(|c| c.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_words_are_of_three_to_nine_letters_once_each() {
        let words: HashSet<&str> = WORDS.lines().collect();
        assert_eq!((words.len(), Vocabulary::builtin().len()), (8192, 8192));
        assert!(OPENERS_LISTED < words.len());
        assert!(words.iter().all(|w| (3..=9).contains(&w.len()) && w.bytes().all(|b| b.is_ascii_lowercase())));
    }
}
