//! A tokenizer by its name → token counts and ids of texts, and the words of its vocabulary.
//!
//! Three kinds: the built-in one, a Hugging Face `tokenizer.json` on this machine, and the tiktoken encodings that come
//! with the program. Nothing is downloaded. Special tokens that a tokenizer puts around a text (BOS, EOS) are in no count
//! unless asked for.
//! Not here: which words make prompts ([`super::vocabulary`]), chat templates ([`super::template`]).

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tiktoken_rs::CoreBPE;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineTokenizer};

use super::{BUILTIN_TOKENIZER, count_builtin};
use crate::error::{Error, InputError, Result};

/// What a tiktoken encoding's name begins with.
const TIKTOKEN: &str = "tiktoken:";
/// Unpacks an encoding, once.
type Load = fn() -> &'static CoreBPE;
/// The tiktoken encodings.
const ENCODINGS: [(&str, Load); 3] = [
    ("o200k_base", tiktoken_rs::o200k_base_singleton),
    ("o200k_harmony", tiktoken_rs::o200k_harmony_singleton),
    ("cl100k_base", tiktoken_rs::cl100k_base_singleton),
];
/// Largest `tokenizer.json` that is read; the largest known has 35 MB.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// Ids without a token that end a vocabulary: some have gaps.
const GAP_MAX: u32 = 4096;

/// A tokenizer.
pub struct Tokenizer {
    name: String,
    kind: Kind,
    /// SHA-256 of its file, as hexadecimal digits.
    sha256: Option<String>,
    folder: Option<PathBuf>,
}

enum Kind {
    Builtin,
    HuggingFace(Box<PipelineTokenizer>),
    Tiktoken(&'static CoreBPE),
}

impl Tokenizer {
    /// The built-in one: a token for each word that white space ends.
    pub fn builtin() -> Tokenizer {
        Tokenizer { name: BUILTIN_TOKENIZER.into(), kind: Kind::Builtin, sha256: None, folder: None }
    }

    /// The tokenizer called `name`: `builtin`, `tiktoken:ENCODING`, a `tokenizer.json`, or the folder that holds one.
    ///
    /// # Errors
    /// There is none of that name, or its file cannot be used.
    pub fn open(name: &str) -> Result<Tokenizer> {
        if name == BUILTIN_TOKENIZER {
            return Ok(Tokenizer::builtin());
        }
        if let Some(encoding) = name.strip_prefix(TIKTOKEN) {
            let found = ENCODINGS.iter().find(|(known, _)| *known == encoding);
            let (_, load) = found.ok_or_else(|| unknown_encoding(name))?;
            return Ok(Tokenizer { name: name.into(), kind: Kind::Tiktoken(load()), sha256: None, folder: None });
        }
        let path = Path::new(name);
        let path = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
        let size = std::fs::metadata(&path).map_err(|_| not_there(name, &path))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unusable(&path, format!("has {size} bytes, more than any tokenizer ({FILE_BYTES_MAX})")));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| unusable(&path, format!("cannot be read: {e}")))?;
        Ok(Tokenizer {
            name: name.into(),
            kind: Kind::HuggingFace(Box::new(parse(&text).map_err(|problem| unusable(&path, problem))?)),
            sha256: Some(Sha256::digest(&text).iter().map(|b| format!("{b:02x}")).collect()),
            folder: path.parent().map(Path::to_path_buf),
        })
    }

    /// Its name, as it was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its file, as hexadecimal digits; null where there is no file.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// The folder that its file is in.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Whether it is the built-in one.
    pub fn is_builtin(&self) -> bool {
        matches!(self.kind, Kind::Builtin)
    }

    /// How many tokens `text` has.
    pub fn count(&self, text: &str) -> usize {
        match &self.kind {
            Kind::Builtin => count_builtin(text),
            _ => self.ids(text).len(),
        }
    }

    /// How many tokens a server counts that puts its special tokens (BOS, EOS) around `text`.
    pub fn count_with_specials(&self, text: &str) -> usize {
        match &self.kind {
            Kind::HuggingFace(pipeline) => encode(pipeline, text, true).len(),
            Kind::Builtin | Kind::Tiktoken(_) => self.count(text),
        }
    }

    /// The ids of `text`'s tokens; none where the tokenizer is the built-in one, whose tokens have no ids.
    pub fn ids(&self, text: &str) -> Vec<u32> {
        match &self.kind {
            Kind::Builtin => Vec::new(),
            Kind::HuggingFace(pipeline) => encode(pipeline, text, false),
            Kind::Tiktoken(bpe) => bpe.encode_ordinary(text),
        }
    }

    /// Its tokens that are words of 2 to 12 lower-case letters with a space before them, without that space, with their
    /// ids, in order of these. Where no token begins with a space (WordPiece), the words alone.
    pub fn words(&self) -> Vec<(Box<str>, u32)> {
        let spelling = |id: u32| match &self.kind {
            Kind::Builtin => None,
            Kind::HuggingFace(pipeline) => pipeline.get_model().id_to_token(id),
            Kind::Tiktoken(bpe) => bpe.decode(&[id]).ok(),
        };
        let (mut spaced, mut plain) = (Vec::new(), Vec::new());
        let (mut id, mut gap) = (0, 0);
        while gap < GAP_MAX {
            gap = match spelling(id) {
                None => gap + 1,
                Some(token) => {
                    match token.strip_prefix(['Ġ', '▁', ' ']) {
                        Some(word) if is_word(word) => spaced.push((word.into(), id)),
                        None if is_word(&token) => plain.push((token.into(), id)),
                        _ => {}
                    }
                    0
                }
            };
            id += 1;
        }
        if spaced.is_empty() { plain } else { spaced }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("name", &self.name).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

fn is_word(text: &str) -> bool {
    (2..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase())
}

/// Reads a `tokenizer.json`, of whatever version, after bringing it to the one that the library reads.
fn parse(text: &str) -> std::result::Result<PipelineTokenizer, String> {
    let mut value = serde_json::from_str(text).map_err(|e| format!("is no tokenizer.json: {e}"))?;
    tokenizers::canonicalize_value(&mut value).map_err(|e| format!("is no tokenizer.json: {e}"))?;
    tokenizers::from_json(&value.to_string()).map_err(|e| format!("is no tokenizer.json that can be used: {e}"))
}

fn encode(pipeline: &PipelineTokenizer, text: &str, add_special_tokens: bool) -> Vec<u32> {
    // Cutting to a model's length and padding to it are for training; a server does neither.
    let options = EncodeOptions {
        add_special_tokens,
        padding: Override::Off,
        truncation: Override::Off,
        ..EncodeOptions::default()
    };
    let mut ids = Vec::new();
    // The only error is a character that the vocabulary has no token for, not even an unknown one.
    if pipeline.encode_into(text, &options, &mut ids).is_err() {
        return Vec::new();
    }
    ids.iter().map(|token| token.id()).collect()
}

fn unknown_encoding(name: &str) -> Error {
    let known: Vec<String> = ENCODINGS.iter().map(|(known, _)| format!("{TIKTOKEN}{known}")).collect();
    Error::Usage(format!("--tokenizer {name}: there are {}", known.join(", ")))
}

fn not_there(name: &str, path: &Path) -> Error {
    Error::Usage(format!(
        "--tokenizer {name}: there is no {}; give a tokenizer.json, its folder (of a downloaded model: \
         ~/.cache/huggingface/hub/models--ORGANISATION--NAME/snapshots/*), tiktoken:ENCODING or builtin: nothing is downloaded",
        path.display()
    ))
}

fn unusable(path: &Path, problem: String) -> Error {
    Error::Input(InputError::of_file(
        path.display().to_string(),
        problem,
        "give the tokenizer.json of a Hugging Face model, tiktoken:ENCODING or builtin",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiktoken_encoding_counts_and_lists_its_words() {
        let tokenizer = Tokenizer::open("tiktoken:cl100k_base").unwrap();
        assert_eq!(tokenizer.ids("hello world"), [15339, 1917]);
        assert_eq!(tokenizer.count(""), 0);
        assert!(tokenizer.words().iter().any(|(word, id)| &**word == "world" && *id == 1917));
    }

    #[test]
    fn what_is_no_tokenizer_is_refused_with_a_remedy() {
        let refused = |name: &str| Tokenizer::open(name).unwrap_err().to_string();
        assert!(refused("tiktoken:x").contains("tiktoken:o200k_base"));
        assert!(refused("Qwen/Qwen3-32B").contains("nothing is downloaded"));
        assert!(refused("Cargo.toml").contains("is no tokenizer.json"));
    }
}
