//! The arguments about sessions: requests of one conversation, each of which waits for the one before it.

use clap::ValueEnum;

use super::profile::INPUT;
use crate::schedule::conversation::History;

/// How the turns of a session are sent.
#[derive(Clone, Debug, clap::Args)]
pub struct SessionArgs {
    /// What a session's later turns hold of the answers before them, where the trace gives only what each turn adds: a
    /// planned text of the planned length, exact to the token, or the server's real reply. Where the trace's prompts hold the
    /// whole conversation, nothing goes in front of them.
    #[arg(long, value_enum, default_value_t = HistoryArg::Planned, help_heading = INPUT)]
    pub history: HistoryArg,
}

/// Histories, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HistoryArg {
    /// As planned.
    Planned,
    /// As answered.
    Live,
}

impl SessionArgs {
    pub(super) fn history(&self) -> History {
        match self.history {
            HistoryArg::Planned => History::Planned,
            HistoryArg::Live => History::Live,
        }
    }
}
