//! Token counts and prefix blocks → request text, exact to the token, without a copy per request.
//!
//! A [`tokenizer`] gives a [`vocabulary`] of words of which any k in a row are k tokens; all prompts are slices of one
//! [`corpus`] of them: memory is that of the corpus, however long the trace. [`codes`] numbers prefix blocks, [`template`]
//! renders what a server puts around a prompt, and a [`source`] is all that a run's prompts are made of.
//! In: a *code* (which text) and a number of tokens. Out: [`arena::Span`]s of an [`arena::Arena`].
//! Invariants: equal codes give equal tokens, a shorter prompt of a code is a prefix of a longer one; different codes
//! differ within their first [`corpus::Corpus::digits`] tokens, and blocks that part from the same prefix in their first.

pub mod arena;
pub mod codes;
pub mod corpus;
pub mod source;
pub mod template;
pub mod tokenizer;
pub mod vocabulary;

/// The name of the built-in tokenizer: one token for each word that white space ends.
pub const BUILTIN_TOKENIZER: &str = "builtin";

/// How many tokens the built-in tokenizer counts in `text`.
pub fn count_builtin(text: &str) -> usize {
    text.split_ascii_whitespace().count()
}
