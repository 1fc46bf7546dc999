//! A tokenizer, a way of counting and a salt → what the prompts of a run are made of.
//!
//! Tokens *asked for* are those of the prompt's text, or those of what the server makes of it, by its chat template or
//! its special tokens; the difference is one number for the whole run, and this is where it is found.
//! Not here: the prompts themselves (`schedule`).

use serde_json::{Value, json};

use super::template::ChatTemplate;
use super::tokenizer::Tokenizer;
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::rng::{Seed, mix};

/// Lengths of prompts, in words, at which what a server adds is measured.
const MEASURED_WORDS: [usize; 3] = [1, 2, 17];
/// First words of prompts at which it is.
const MEASURED_OPENERS: usize = 16;

/// What a server puts around a prompt and counts with it.
#[derive(Debug)]
pub enum Around {
    /// It is not counted.
    Uncounted,
    /// The tokenizer's special tokens (BOS): completions.
    Specials,
    /// The chat template.
    Template(Box<ChatTemplate>),
}

impl Around {
    /// What the model of a tokenizer's folder puts around a message, or around a completion's prompt.
    ///
    /// # Errors
    /// The tokenizer has no folder, or that has no template that can be used.
    pub fn of(tokenizer: &Tokenizer, chat: bool) -> Result<Around> {
        match (tokenizer.folder(), chat) {
            (Some(_), false) => Ok(Around::Specials),
            (Some(folder), true) => Ok(Around::Template(Box::new(ChatTemplate::of_folder(folder)?))),
            (None, _) => Err(Error::Usage(format!(
                "--isl-counts rendered needs the model's own tokenizer and chat template: give its folder as --tokenizer ({} has \
                 none)",
                tokenizer.name()
            ))),
        }
    }
}

/// What the prompts of a run are made of.
#[derive(Debug)]
pub struct TextSource {
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    around: Around,
    around_tokens: u32,
    seed: Seed,
}

impl TextSource {
    /// The built-in words.
    pub fn builtin(seed: Seed) -> TextSource {
        TextSource {
            tokenizer: Tokenizer::builtin(),
            vocabulary: Vocabulary::builtin(),
            around: Around::Uncounted,
            around_tokens: 0,
            seed,
        }
    }

    /// Words of that tokenizer. `seed` is the text's own: see [`salted`].
    ///
    /// # Errors
    /// The tokenizer has too few words that stay one token each, or what the server adds differs from prompt to prompt.
    pub fn new(tokenizer: Tokenizer, around: Around, seed: Seed) -> Result<TextSource> {
        let vocabulary = Vocabulary::of(&tokenizer)?;
        let mut source = TextSource { tokenizer, vocabulary, around, around_tokens: 0, seed };
        source.around_tokens = source.measured()?;
        Ok(source)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The words of prompts.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Seed of the text.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// Tokens that the server adds to each prompt and that are counted with it.
    pub fn around_tokens(&self) -> u32 {
        self.around_tokens
    }

    /// Tokens of a request whose prompt is `text`, counted as they are asked for.
    ///
    /// # Errors
    /// The chat template refuses the text.
    pub fn count(&self, text: &str) -> Result<u32> {
        let tokens = match &self.around {
            Around::Uncounted => self.tokenizer.count(text),
            Around::Specials => self.tokenizer.count_with_specials(text),
            Around::Template(template) => {
                let rendered = template.render(text);
                self.tokenizer.count(&rendered.map_err(|e| Error::Usage(format!("--isl-counts rendered: {e}")))?)
            }
        };
        Ok(tokens as u32)
    }

    /// What it is, for `run.json`.
    pub fn to_json(&self) -> Value {
        json!({
            "tokenizer": self.tokenizer.name(),
            "tokenizer_sha256": self.tokenizer.sha256(),
            "words": self.vocabulary.len(),
            "around_tokens": self.around_tokens,
        })
    }

    /// What the server adds: the same number at every length and for every first word.
    fn measured(&self) -> Result<u32> {
        if matches!(self.around, Around::Uncounted) {
            return Ok(0);
        }
        let openers: Vec<&str> = self.vocabulary.words().take(self.vocabulary.radix().openers as usize).collect();
        let step = (openers.len() / MEASURED_OPENERS).max(1);
        let mut found: Option<u32> = None;
        for (n, opener) in openers.iter().step_by(step).enumerate() {
            let words = MEASURED_WORDS[n % MEASURED_WORDS.len()];
            let space = if self.vocabulary.leading_space() { " " } else { "" };
            let text = format!("{space}{opener}{}", format!(" {}", openers[0]).repeat(words - 1));
            let added = self.count(&text)?.checked_sub(self.tokenizer.count(&text) as u32);
            match (added, found) {
                (Some(added), None) => found = Some(added),
                (Some(added), Some(before)) if added == before => {}
                _ => {
                    return Err(Error::Usage(format!(
                        "--isl-counts rendered: what the chat template adds to a prompt differs from prompt to prompt (around \
                         {text:?}); count prompts alone with --isl-counts prompt"
                    )));
                }
            }
        }
        Ok(found.unwrap_or(0))
    }
}

/// The seed of a run's text: that of the run, or, with a salt, one that only the same seed and salt give.
pub fn salted(seed: Seed, salt: Option<&str>) -> Seed {
    let Some(salt) = salt else { return seed };
    let folded = salt.bytes().fold(salt.len() as u64, |folded, byte| mix(folded ^ u64::from(byte)));
    Seed(seed.hash(folded))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn salts_change_the_seed_of_the_text() {
        let seeds = [None, Some(""), Some("a"), Some("b"), Some("ab"), Some("ba")].map(|salt| salted(Seed(1), salt).0);
        assert_eq!(seeds[0], 1);
        assert_eq!(seeds.iter().collect::<std::collections::HashSet<_>>().len(), 6);
        assert_ne!(salted(Seed(2), Some("a")), salted(Seed(1), Some("a")));
    }

    #[test]
    fn what_a_template_adds_is_counted_and_must_not_vary() {
        let around =
            |source: &str| Around::Template(Box::new(ChatTemplate::new(source.into(), BTreeMap::new()).unwrap()));
        let open = |around| TextSource::new(Tokenizer::open("tiktoken:o200k_base").unwrap(), around, Seed(1));
        let trims = "user\n{{ messages[0].content | trim }}\nassistant\n";
        let source = open(around(trims)).unwrap();
        assert_eq!(source.around_tokens(), 4);
        assert_eq!(source.count(" the the").unwrap(), 6);
        let longer = "{{ messages[0].content }}{{ messages[0].content }}";
        assert!(open(around(longer)).unwrap_err().to_string().contains("--isl-counts prompt"));
    }

    #[test]
    fn rendered_counts_need_a_model() {
        let error = Around::of(&Tokenizer::builtin(), true).unwrap_err().to_string();
        assert!(error.contains("--tokenizer"), "{error}");
    }
}
