//! Rows → whether the load that was run is the load that was planned: arrivals, lengths, prefix hits, order of turns.
//!
//! In: every row of the measurement, in order of `request_id` ([`Fold`]), and the manifest. Out: [`Fidelity`], a few numbers;
//! a part of which nothing is known is null.
//! Invariants: pure; from the recording alone, so that `profile` and `report` agree; memory is bounded by the number of
//! requests. Not here: how the server did (that is `metrics`), and what is made of deviations ([`super::verdict`]).

mod arrivals;
mod prefixes;
mod sessions;
mod tokens;

pub use arrivals::{Arrivals, MOVED_LAG_MS_MIN};
pub use prefixes::PrefixHits;
pub use sessions::Causality;
pub use tokens::{InputTokens, OutputTokens};

use serde::Serialize;

use crate::outcome::Phase;
use crate::record::manifest::Manifest;
use crate::record::row::RequestRow;

/// How true a run was to its plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fidelity {
    /// Planned against achieved arrivals; null where nothing was planned.
    pub arrivals: Option<Arrivals>,
    /// Prompt tokens that were asked for against those that the server counted; null where it counted none.
    pub input: Option<InputTokens>,
    /// Answer tokens that were asked for against those that were given; null where no limit was sent.
    pub output: Option<OutputTokens>,
    /// Prefix hits that the plan implies against those that the server told of; null where both are unknown.
    pub prefixes: Option<PrefixHits>,
    /// Whether turns waited for the ones before them; null where no session has a second turn.
    pub sessions: Option<Causality>,
}

/// A fidelity report in the making.
#[derive(Debug, Default)]
pub struct Fold {
    arrivals: arrivals::Fold,
    input: tokens::InputFold,
    output: tokens::OutputFold,
    prefixes: prefixes::Fold,
    sessions: sessions::Fold,
}

impl Fold {
    /// Adds one request; those of the warm-up are passed over.
    pub fn add(&mut self, row: &RequestRow) {
        if row.phase == Phase::Profiling {
            self.arrivals.add(row);
            self.input.add(row);
            self.output.add(row);
            self.prefixes.add(row);
            self.sessions.add(row);
        }
    }

    /// The report on the run that `manifest` describes.
    pub fn finish(self, manifest: &Manifest) -> Fidelity {
        Fidelity {
            arrivals: self.arrivals.finish(),
            input: self.input.finish(),
            output: self.output.finish(),
            prefixes: self.prefixes.finish(manifest),
            sessions: self.sessions.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
