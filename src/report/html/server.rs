//! What the server said of itself over the run → figures on the run's own time axis, of what it told only.
//!
//! Not here: which series those are ([`crate::analysis::server::over_time`]).

use crate::analysis::server::over_time::{Quantity, ServerOverTime};
use crate::analysis::timeline::Timeline;
use crate::report::number::count;

use super::figure::{Figure, Key};
use super::over_time::{Track, tracks};

/// The figures, those without a value left out.
pub(super) fn figures(server: &ServerOverTime, timeline: &Timeline) -> Vec<Figure> {
    let track = |key: Key, quantity| -> Track { (key, server.values(quantity).to_vec()) };
    let told = |tracks: Vec<Track>| tracks.into_iter().filter(|t| !t.1.is_empty()).collect::<Vec<_>>();
    let n = format!("told by the server in n = {} scrapes", count(server.scrapes));
    let requests = told(vec![
        track(Key::line("s1", "running"), Quantity::Running),
        track(Key::line("s2 dash", "waiting"), Quantity::Waiting),
    ]);
    let cache = told(vec![track(Key::line("s1", "in use"), Quantity::CacheUsage)]);
    let tokens = told(vec![
        track(Key::line("s4 wide", "prompt"), Quantity::PromptTokens),
        track(Key::line("s1", "output"), Quantity::OutputTokens),
    ]);
    let lines = |heading, label, of: &[Track], caption: &str| {
        tracks(timeline, heading, label, of, &format!("{caption}, {n}"), None)
    };
    [
        lines(
            "Server: requests running and waiting",
            "requests",
            &requests,
            "Requests in the server's batch and in its queue",
        ),
        lines("Server: KV cache in use", "share", &cache, "Share of the KV cache in use"),
        lines("Server: tokens over time", "tokens/s", &tokens, "Tokens/s of prompts and of answers"),
    ]
    .into_iter()
    .flatten()
    .collect()
}
