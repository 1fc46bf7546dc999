//! The flags of `profile` that say how prompts are counted and made → [`PromptConfig`].

use clap::ValueEnum;
use serde_json::{Value, json};

use super::resolve::drawn_seed;

/// The salt of a run that asks for a new one.
pub(super) const SALT_RUN: &str = "run";
/// No salt.
const SALT_NONE: &str = "none";

/// Flags about the text of prompts and the length of answers.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Prompts")]
pub struct PromptArgs {
    /// Tokenizer that prompts are exact in: a tokenizer.json of this machine or its folder, tiktoken:ENCODING (o200k_base,
    /// o200k_harmony, cl100k_base), or builtin: words that are one token each in the big model families. Nothing is
    /// downloaded.
    #[arg(long, value_name = "PATH|tiktoken:ENCODING|builtin", default_value = "builtin")]
    pub tokenizer: String,

    /// What the asked input lengths count: the prompt's text alone, or all that the server tokenises, with the chat template
    /// of the tokenizer's folder (or, of completions, its BOS token) around the text.
    #[arg(long, value_enum, default_value_t = IslCounts::Prompt)]
    pub isl_counts: IslCounts,

    /// What the text of prompts depends on beside the seed: a salt drawn for this run, so that the server's prefix cache
    /// cannot know it from an earlier one; none, so that equal seeds give equal text; or a text of yours, e.g. the salt that
    /// run.json names. Texts that the trace gives are sent as they are.
    #[arg(long, value_name = "run|none|TEXT", default_value = SALT_RUN)]
    pub cache_salt: String,

    /// Have answers exactly as long as asked: sends ignore_eos, and min_tokens beside the limit. vLLM, SGLang and TensorRT-LLM
    /// know both; other servers may refuse them.
    #[arg(long)]
    pub force_osl: bool,
}

/// What input lengths count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IslCounts {
    /// The prompt's text.
    Prompt,
    /// What the server makes of it.
    Rendered,
}

/// How prompts are counted and made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptConfig {
    /// The tokenizer's name.
    pub tokenizer: String,
    /// What input lengths count.
    pub isl_counts: IslCounts,
    /// The salt of the text.
    pub cache_salt: Option<String>,
    /// Whether answers are held to their length.
    pub force_osl: bool,
}

impl PromptArgs {
    /// Draws a salt where this run is to have its own.
    pub(super) fn resolve(&self) -> PromptConfig {
        PromptConfig {
            tokenizer: self.tokenizer.clone(),
            isl_counts: self.isl_counts,
            cache_salt: match self.cache_salt.as_str() {
                SALT_RUN => Some(format!("{:014x}", drawn_seed().0)),
                SALT_NONE => None,
                text => Some(text.into()),
            },
            force_osl: self.force_osl,
        }
    }
}

impl PromptConfig {
    /// For `run.json`.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "tokenizer": self.tokenizer,
            "isl_counts": match self.isl_counts {
                IslCounts::Prompt => "prompt",
                IslCounts::Rendered => "rendered",
            },
            "cache_salt": self.cache_salt,
            "force_osl": self.force_osl,
        })
    }
}
