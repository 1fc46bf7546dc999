//! Token counts and prefix blocks → request text, exact to the token, without a copy per request.
//!
//! The words are one token each in the vocabularies of the big model families and are joined by nothing but the
//! space that begins each, so that k words are k tokens in any concatenation. All prompts are slices of one
//! [`corpus::Corpus`]: memory is that of the corpus, however long the trace.
//! In: a *code* (which text) and a number of tokens. Out: [`arena::Span`]s of an [`arena::Arena`].
//! Invariants: equal codes give equal tokens, a shorter prompt of a code is a prefix of a longer one; different codes
//! differ within their first two tokens below [`corpus::Corpus::direct_codes`], and within their first six above.
//! Not here: chat templates and tokenizers of a particular model.

pub mod arena;
pub mod corpus;

/// The name of the built-in tokenizer: one token for each word that white space ends.
pub const BUILTIN_TOKENIZER: &str = "builtin";

/// How many tokens the built-in tokenizer counts in `text`.
pub fn count_builtin(text: &str) -> usize {
    text.split_ascii_whitespace().count()
}
