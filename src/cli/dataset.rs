//! The flags of `profile` that say how many different requests there are and in which order they are taken → [`PoolConfig`].

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use serde_json::{Value, json};

use super::profile::INPUT;
use super::resolve::usage;
use crate::error::Result;
use crate::schedule::order::Sampling;

/// Most different conversations that are drawn.
const CONVERSATIONS_MAX: u64 = 10_000_000;

/// The pool that requests are taken from.
#[derive(Clone, Debug, clap::Args)]
pub struct DatasetArgs {
    /// Different conversations to draw (of one turn each, unless --conversation-turn-mean says otherwise). When they are used
    /// up they are sent again, as they were, so that a prefix cache knows them. [default: --num-conversations, else as
    /// many as are sent, each a text of its own; 100 lengths where only time bounds the run]
    #[arg(long, visible_alias = "num-prompts", value_name = "N", value_parser = count(), help_heading = INPUT)]
    pub num_dataset_entries: Option<u64>,

    /// Conversations to send in all, each to its end: drawn ones, or a trace's sessions and single requests.
    #[arg(long, visible_aliases = ["num-sessions", "conversation-num"], value_name = "N", value_parser = count(), help_heading = INPUT)]
    pub num_conversations: Option<u64>,

    /// Order in which conversations are taken, drawn ones or a trace's: as they stand, any one each time, or all in an order
    /// drawn anew for each pass. It means nothing at the trace's own times.
    #[arg(long, value_enum, default_value_t = SamplingArg::Sequential, help_heading = INPUT)]
    pub dataset_sampling_strategy: SamplingArg,
}

fn count() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=CONVERSATIONS_MAX)
}

/// Orders, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SamplingArg {
    /// As they stand.
    Sequential,
    /// Any one.
    Random,
    /// In an order of their own each time.
    Shuffle,
}

/// The pool that requests are taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolConfig {
    /// Different conversations to draw, where the user says how many.
    pub entries: Option<u64>,
    /// Conversations to send.
    pub conversations: Option<u64>,
    /// Their order.
    pub sampling: Sampling,
}

impl DatasetArgs {
    /// The pool; `drawn` where there is no trace.
    ///
    /// # Errors
    /// A usage error where a trace's entries are to be as many as the user says.
    pub(super) fn resolve(&self, drawn: bool) -> Result<PoolConfig> {
        if !drawn && self.num_dataset_entries.is_some() {
            return usage(
                "--num-dataset-entries is of drawn requests; of a trace, --num-conversations or --request-count send a part",
            );
        }
        Ok(PoolConfig {
            entries: self.num_dataset_entries,
            conversations: self.num_conversations,
            sampling: match self.dataset_sampling_strategy {
                SamplingArg::Sequential => Sampling::Sequential,
                SamplingArg::Random => Sampling::Random,
                SamplingArg::Shuffle => Sampling::Shuffle,
            },
        })
    }
}

impl PoolConfig {
    /// For `run.json`.
    pub(super) fn to_json(self) -> Value {
        json!({
            "entries": self.entries,
            "conversations": self.conversations,
            "sampling": self.sampling.as_str(),
        })
    }
}
