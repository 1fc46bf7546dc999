//! What a format calls its fields, and what it takes for granted: how the rest of the reader speaks about its rows.
//!
//! In: a format's constants. Out: nothing; errors, notes and defaults of [`super::draft`] are worded by it.

use super::TurnPrompt;
use super::time_axis::UnitRule;

/// One format's words and defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// The field of a row's time.
    pub(super) time: &'static str,
    /// How the unit of that field is known.
    pub(super) unit: UnitRule,
    /// The field of the prompt's length.
    pub(super) input: &'static str,
    /// The field of the prefix blocks.
    pub(super) blocks: &'static str,
    /// Tokens in a block where nothing says otherwise.
    pub(super) block_tokens: u32,
    /// The field that names the session.
    pub(super) session: &'static str,
    /// The field of what a row waits for.
    pub(super) waits: &'static str,
    /// What later turns' prompts hold.
    pub(super) turn_prompt: TurnPrompt,
}

impl Dialect {
    /// A format with these fields and otherwise Mooncake's habits.
    pub(super) const fn plain(time: &'static str, input: &'static str) -> Dialect {
        Dialect {
            time,
            unit: UnitRule::Inferred,
            input,
            blocks: "hash_ids",
            block_tokens: 512,
            session: "session_id",
            waits: "dependencies",
            turn_prompt: TurnPrompt::Added,
        }
    }
}
