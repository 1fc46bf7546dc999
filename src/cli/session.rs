//! The arguments about sessions: requests of one conversation, each of which waits for the one before it.

use clap::ValueEnum;

use super::profile::INPUT;
use super::resolve::{non_negative_ns, usage};
use crate::error::Result;
use crate::schedule::conversation::History;
use crate::schedule::dataset::PauseLaw;
use crate::schedule::spec::LengthLaw;

/// Most turns of a drawn conversation, and most milliseconds of its pauses.
const TURNS_MAX: f64 = 10_000.0;
const PAUSE_MAX_MS: f64 = 1e9;

/// How the turns of a session are sent.
#[derive(Clone, Debug, clap::Args)]
pub struct SessionArgs {
    /// What a session's later turns hold of the answers before them, where the trace gives only what each turn adds: a
    /// planned text of the planned length, exact to the token, or the server's real reply. Where the trace's prompts hold the
    /// whole conversation, nothing goes in front of them.
    #[arg(long, value_enum, default_value_t = HistoryArg::Planned, help_heading = INPUT)]
    pub history: HistoryArg,

    /// Mean number of turns of drawn conversations. Each adds a prompt of --isl tokens to what was said so far.
    #[arg(long, visible_alias = "session-turns-mean", value_name = "TURNS", default_value_t = 1.0, help_heading = INPUT)]
    pub conversation_turn_mean: f64,

    /// Standard deviation of the number of turns.
    #[arg(long, visible_alias = "session-turns-stddev", value_name = "TURNS", default_value_t = 0.0, help_heading = INPUT)]
    pub conversation_turn_stddev: f64,

    /// Mean pause between the end of a turn and the next turn of a drawn conversation.
    #[arg(long, visible_alias = "session-turn-delay-mean", value_name = "MILLISECONDS", default_value_t = 0.0, help_heading = INPUT)]
    pub conversation_turn_delay_mean: f64,

    /// Standard deviation of that pause.
    #[arg(long, visible_alias = "session-turn-delay-stddev", value_name = "MILLISECONDS", default_value_t = 0.0, help_heading = INPUT)]
    pub conversation_turn_delay_stddev: f64,

    /// Multiply those pauses, once drawn; 0 for none.
    #[arg(long, visible_alias = "session-delay-ratio", value_name = "FACTOR", default_value_t = 1.0, help_heading = INPUT)]
    pub conversation_turn_delay_ratio: f64,
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

    /// Turns of a drawn conversation, and the pauses between them, of which none is longer than `longest_ns`.
    ///
    /// # Errors
    /// A usage error where no conversation could be so.
    pub(super) fn laws(&self, longest_ns: i64) -> Result<(LengthLaw, Option<PauseLaw>)> {
        let (mean, stddev) = (self.conversation_turn_mean, self.conversation_turn_stddev);
        if !((1.0..=TURNS_MAX).contains(&mean) && (0.0..=TURNS_MAX).contains(&stddev)) {
            return usage(
                "--conversation-turn-mean must be from 1 to 10,000 turns, and its standard deviation not negative",
            );
        }
        let (pause_ms, stddev_ms) = (self.conversation_turn_delay_mean, self.conversation_turn_delay_stddev);
        if [pause_ms, stddev_ms].iter().any(|ms| !(0.0..=PAUSE_MAX_MS).contains(ms)) {
            return usage("--conversation-turn-delay-mean and -stddev must be milliseconds, from 0 to 1e9");
        }
        if pause_ms == 0.0 && stddev_ms > 0.0 {
            return usage("--conversation-turn-delay-stddev needs --conversation-turn-delay-mean");
        }
        let ratio = self.conversation_turn_delay_ratio;
        non_negative_ns("--conversation-turn-delay-ratio", ratio)?;
        let pauses = PauseLaw { ms: LengthLaw::normal(pause_ms, stddev_ms), ratio, longest_ns };
        Ok((LengthLaw::normal(mean, stddev), (pause_ms > 0.0 && ratio > 0.0).then_some(pauses)))
    }

    /// Whether anything is asked of drawn conversations.
    pub(super) fn asks_for_turns(&self) -> bool {
        let counts = [self.conversation_turn_mean, self.conversation_turn_delay_ratio];
        let others =
            [self.conversation_turn_stddev, self.conversation_turn_delay_mean, self.conversation_turn_delay_stddev];
        counts != [1.0; 2] || others != [0.0; 3]
    }
}
