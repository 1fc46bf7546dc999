//! Turns a trace into the one that is to be replayed: a part of it, a longer, faster or smoother one.
//!
//! In: a [`Trace`], what is asked for ([`Transforms`]), and a seed. Out: the same trace, changed, with a note on each change and its
//! counts. The changes are made in the order of [`Transforms`]'s fields, whatever the order of the flags: what is asked of the file
//! first (filter, window, limits), then what is made of it.
//! Invariants: those of every trace hold afterwards ([`Trace::check`]); entries keep their order; equal blocks stay equal; an entry
//! is left out only where a note counts it; draws have a stream of their own for each change.
//! Not here: rates that replace the trace's own times (`arrival`).

mod filter;
#[cfg(test)]
mod fixture;
mod limit;
mod pauses;
mod repeat;
mod scale;
mod select;
mod speed;
mod spread;
mod synthesis;
mod target_rate;
#[cfg(test)]
mod tests;
mod window;

pub use filter::Filter;
pub use limit::Limit;
pub use pauses::Pauses;
pub use repeat::{Prefixes, Repeat, RepeatUntil};
pub use scale::Scale;
pub use synthesis::Synthesis;
pub use target_rate::{RateBy, TargetRate};
pub use window::Window;

use serde::Serialize;

use super::Trace;
use super::bucketing::Bucketing;
use crate::error::{Error, Result};
use crate::rng::{Seed, Stream};
use crate::time::SECOND_NS;

/// What is to be done to a trace, in the order in which it is done; nothing by default. As the manifest keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Transforms {
    /// Keep the requests of some models and kinds.
    pub filter: Option<Filter>,
    /// Keep what arrives in a part of the trace's time.
    pub window: Option<Window>,
    /// Leave longer prompts out and cut longer answers.
    pub limit: Option<Limit>,
    /// Make prompts and answers longer or shorter.
    pub scale: Option<Scale>,
    /// Make what prompts share, and the rest, longer or shorter.
    pub synthesis: Option<Synthesis>,
    /// Spread arrivals that the recorder rounded into buckets.
    pub spread_buckets: bool,
    /// Replay so many times as fast.
    pub speed: Option<f64>,
    /// Reach a mean rate.
    pub target_rate: Option<TargetRate>,
    /// Cut pauses.
    pub pauses: Option<Pauses>,
    /// Begin again at the end.
    pub repeat: Option<Repeat>,
}

impl Transforms {
    /// Makes the changes.
    ///
    /// # Errors
    /// A usage error where a change has no meaning for this trace, would leave nothing of it, or make it too large.
    pub fn apply(&self, trace: &mut Trace, seed: Seed) -> Result<()> {
        let bucketing = self.spread_buckets.then(|| Bucketing::of(trace.arrivals_ns()));
        if let Some(filter) = &self.filter {
            filter.apply(trace)?;
        }
        if let Some(window) = &self.window {
            window.apply(trace)?;
        }
        if let Some(limit) = &self.limit {
            limit.apply(trace)?;
        }
        if let Some(scale) = &self.scale {
            scale.apply(trace)?;
        }
        if let Some(synthesis) = &self.synthesis {
            synthesis.apply(trace, &mut seed.stream(Stream::Family))?;
        }
        if let Some(bucketing) = &bucketing {
            spread::spread(trace, bucketing, &mut seed.stream(Stream::Spread));
        }
        if let Some(factor) = self.speed {
            speed::speed(trace, factor)?;
        }
        if let Some(target_rate) = &self.target_rate {
            target_rate.apply(trace, seed)?;
        }
        if let Some(pauses) = &self.pauses {
            pauses.apply(trace);
        }
        if let Some(repeat) = &self.repeat {
            repeat.apply(trace)?;
        }
        Ok(())
    }
}

fn require_times(trace: &Trace, what: &str) -> Result<()> {
    if trace.arrivals_ns().next().is_some() {
        return Ok(());
    }
    Err(Error::Usage(format!("the trace has no times, so {what} means nothing; send it at a rate instead")))
}

/// From the first arrival to the last.
fn span_ns(trace: &Trace) -> i64 {
    let mut times = trace.arrivals_ns();
    let first_ns = times.next().unwrap_or(0);
    times.last().unwrap_or(first_ns) - first_ns
}

fn seconds(t_ns: i64) -> f64 {
    t_ns as f64 / SECOND_NS as f64
}
