//! The flags of `profile` that say what conversations open with → [`OpeningSpec`]. aiperf's.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::prompt::IslCounts;
use super::resolve::usage;
use crate::error::{Error, Result};
use crate::schedule::opening::{Marker, MarkerPlace, OpeningSpec, SystemPrompt};

/// Most tokens of one text.
const TOKENS_MAX: i64 = 16_000_000;

/// Flags about what stands in front of a conversation's own prompts. Their tokens come on top of --isl.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "What conversations open with")]
pub struct OpeningArgs {
    /// Text that every conversation has as its system message; for completions it begins the prompt.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["system_prompt_file", "shared_system_prompt_length"])]
    pub system_prompt: Option<String>,

    /// File that holds such a text.
    #[arg(long, value_name = "PATH", conflicts_with = "shared_system_prompt_length")]
    pub system_prompt_file: Option<PathBuf>,

    /// Length of a drawn system message that every conversation has; the warm-up has it, too.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..=TOKENS_MAX))]
    pub shared_system_prompt_length: Option<u32>,

    /// Length of a drawn message of the user, each conversation's own, between the system message and the first prompt.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..=TOKENS_MAX))]
    pub user_context_prompt_length: Option<u32>,

    /// Different prefixes, one of which, drawn, stands before the first prompt of each drawn conversation.
    #[arg(long, visible_aliases = ["prompt-prefix-pool-size", "prefix-prompt-pool-size"], value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub num_prefix_prompts: u32,

    /// Length of each prefix.
    #[arg(long, visible_alias = "prompt-prefix-length", value_name = "TOKENS", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=TOKENS_MAX))]
    pub prefix_prompt_length: u32,

    /// Put a marker of eight tokens there that no two conversations share, so that a prefix cache knows nothing from it on; or,
    /// with warmup-isolation, one that all conversations of the warm-up and none of the measurement have. Of drawn texts it
    /// is a part, to given ones it is added.
    #[arg(long, value_enum, default_value_t = CacheBustArg::None)]
    pub cache_bust: CacheBustArg,
}

/// Places of a marker, as typed; aiperf's spelling with an underscore too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CacheBustArg {
    /// No marker.
    None,
    /// At the start of the system message.
    #[value(alias = "system_prefix")]
    SystemPrefix,
    /// At its end.
    #[value(alias = "system_suffix")]
    SystemSuffix,
    /// At the start of the first prompt.
    #[value(alias = "first_turn_prefix")]
    FirstTurnPrefix,
    /// At its end.
    #[value(alias = "first_turn_suffix")]
    FirstTurnSuffix,
    /// At the start of the system message, in the warm-up.
    #[value(alias = "warmup_isolation_system")]
    WarmupIsolationSystem,
    /// At the start of the first prompt, in the warm-up.
    #[value(alias = "warmup_isolation_first_turn")]
    WarmupIsolationFirstTurn,
}

impl OpeningArgs {
    /// What conversations open with; `drawn` where there is no trace.
    ///
    /// # Errors
    /// A usage error where flags contradict each other, or a file that cannot be read.
    pub(super) fn resolve(&self, drawn: bool, chat: bool, counts: IslCounts) -> Result<OpeningSpec> {
        let system = match (&self.system_prompt, &self.system_prompt_file, self.shared_system_prompt_length) {
            (Some(text), ..) => Some(SystemPrompt::Text(text.clone())),
            (_, Some(path), _) => Some(SystemPrompt::Text(std::fs::read_to_string(path).map_err(Error::io(path))?)),
            (.., length) => length.map(SystemPrompt::Drawn),
        };
        if (self.num_prefix_prompts > 0) != (self.prefix_prompt_length > 0) {
            return usage("--num-prefix-prompts and --prefix-prompt-length need each other");
        }
        let context_tokens = self.user_context_prompt_length.unwrap_or(0);
        if self.num_prefix_prompts > 0 && (self.shared_system_prompt_length.is_some() || context_tokens > 0) {
            return usage(
                "--num-prefix-prompts does not go with --shared-system-prompt-length and --user-context-prompt-length",
            );
        }
        if !drawn && (self.num_prefix_prompts > 0 || context_tokens > 0) {
            return usage(
                "--num-prefix-prompts and --user-context-prompt-length are of drawn requests; what those of --input-file share is \
                 theirs",
            );
        }
        let marker = self.marker();
        let at_system = marker.is_some_and(|m| matches!(m.place, MarkerPlace::SystemStart | MarkerPlace::SystemEnd));
        if at_system && system.is_none() {
            return usage(
                "--cache-bust at the system message needs one: --system-prompt or --shared-system-prompt-length",
            );
        }
        if chat && counts == IslCounts::Rendered && (system.is_some() || context_tokens > 0) {
            return usage(
                "--isl-counts rendered counts what the chat template puts around one message of a user; with messages in front of \
                 it, use --isl-counts prompt",
            );
        }
        Ok(OpeningSpec {
            system,
            context_tokens,
            prefixes: self.num_prefix_prompts,
            prefix_tokens: self.prefix_prompt_length,
            marker,
        })
    }

    fn marker(&self) -> Option<Marker> {
        let marker = |place| Some(Marker { place, warmup_only: false });
        let of_warmup = |place| Some(Marker { place, warmup_only: true });
        match self.cache_bust {
            CacheBustArg::None => None,
            CacheBustArg::SystemPrefix => marker(MarkerPlace::SystemStart),
            CacheBustArg::SystemSuffix => marker(MarkerPlace::SystemEnd),
            CacheBustArg::FirstTurnPrefix => marker(MarkerPlace::FirstTurnStart),
            CacheBustArg::FirstTurnSuffix => marker(MarkerPlace::FirstTurnEnd),
            CacheBustArg::WarmupIsolationSystem => of_warmup(MarkerPlace::SystemStart),
            CacheBustArg::WarmupIsolationFirstTurn => of_warmup(MarkerPlace::FirstTurnStart),
        }
    }
}

/// For `run.json`; a given system prompt stands in the bodies, and only its length here.
pub(super) fn to_json(opening: &OpeningSpec) -> Value {
    let (text_bytes, drawn_tokens) = match &opening.system {
        Some(SystemPrompt::Text(text)) => (Some(text.len()), None),
        Some(SystemPrompt::Drawn(tokens)) => (None, Some(*tokens)),
        None => (None, None),
    };
    json!({
        "system_prompt_bytes": text_bytes,
        "shared_system_prompt_tokens": drawn_tokens,
        "user_context_tokens": opening.context_tokens,
        "prefixes": opening.prefixes,
        "prefix_tokens": opening.prefix_tokens,
        "marker": opening.marker.map(|m| format!("{:?}{}", m.place, if m.warmup_only { " of the warm-up" } else { "" })),
    })
}
