//! A run directory → what it holds: its files, rows, phases and outcomes, and whether anything is missing.
//!
//! In: an opened [`Recording`] and its directory. Out: [`Contents`]. Invariant: nothing is computed from the stream events,
//! so that a large recording is described at once. Not here: metrics, and whether to trust them.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::error::{Error, Result};
use crate::outcome::{Outcome, OutcomeCounts, Phase};
use crate::record::manifest::Manifest;
use crate::record::reader::{Recording, Rows};
use crate::record::row::RequestRow;
use crate::time::SECOND_NS;

/// What a run directory holds.
#[derive(Clone, Debug)]
pub struct Contents {
    /// What the run was.
    pub manifest: Manifest,
    /// Names and lengths in bytes of the files, by name.
    pub files: Vec<(String, u64)>,
    /// The phases that have rows.
    pub phases: Vec<PhaseContents>,
    /// Request rows.
    pub request_rows: u64,
    /// Scheduled requests without a row.
    pub lost_rows: u64,
    /// Rows of stream events.
    pub token_rows: u64,
    /// Whether a file lacked its end and was read up to its last flush.
    pub recovered: bool,
    /// Conversations that rows belong to.
    pub sessions: u64,
}

/// The rows of one phase.
#[derive(Clone, Debug)]
pub struct PhaseContents {
    /// Which phase.
    pub phase: Phase,
    /// How its requests ended; the sum is their number.
    pub outcomes: OutcomeCounts,
    /// From the first time that a request was due to the last that anything happened, in nanoseconds since `t0`.
    pub covered_ns: (i64, i64),
    /// Stream events by the requests' own count.
    pub events: u64,
}

impl PhaseContents {
    fn empty(phase: Phase) -> PhaseContents {
        PhaseContents { phase, outcomes: OutcomeCounts::default(), covered_ns: (i64::MAX, i64::MIN), events: 0 }
    }

    fn add(&mut self, row: &RequestRow) {
        self.outcomes.add(row.outcome);
        self.events += u64::from(row.events);
        let (first_ns, last_ns) = &mut self.covered_ns;
        *first_ns = row.scheduled_ns.min(*first_ns);
        *last_ns = row.end_ns.unwrap_or(row.scheduled_ns).max(*last_ns);
    }
}

impl Contents {
    /// Describes the recording in `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory cannot be listed.
    pub fn of(dir: &Path, recording: &Recording) -> Result<Contents> {
        let (mut phases, mut sessions) = ([Phase::Warmup, Phase::Profiling].map(PhaseContents::empty), HashSet::new());
        for row in recording.requests() {
            if let Some(contents) = phases.iter_mut().find(|contents| contents.phase == row.phase) {
                contents.add(&row);
            }
            sessions.extend(row.session_id);
        }
        Ok(Contents {
            manifest: recording.manifest().clone(),
            files: files(dir).map_err(Error::io(dir))?,
            phases: phases.into_iter().filter(|contents| contents.outcomes.total() > 0).collect(),
            request_rows: recording.request_rows(),
            lost_rows: recording.lost_rows(),
            token_rows: recording.token_rows(),
            recovered: recording.is_recovered(),
            sessions: sessions.len() as u64,
        })
    }

    /// The contents for programs.
    pub fn to_json(&self) -> Json {
        let m = &self.manifest;
        let phases = self.phases.iter().map(|p| {
            let outcomes = Outcome::ALL.into_iter().map(|o| (o.as_str().to_owned(), json!(p.outcomes.of(o))));
            let seconds = |ns: i64| ns as f64 / SECOND_NS as f64;
            json!({
                "phase": p.phase.as_str(),
                "requests": p.outcomes.total(),
                "outcomes": outcomes.filter(|(_, n)| *n != 0).collect::<serde_json::Map<_, _>>(),
                "from_s": seconds(p.covered_ns.0),
                "to_s": seconds(p.covered_ns.1),
                "events": p.events,
            })
        });
        let files = self.files.iter().map(|(name, bytes)| json!({"name": name, "bytes": bytes}));
        json!({
            "run_id": m.run_id,
            "schema_version": m.schema_version,
            "loadline_version": m.loadline_version,
            "state": m.state,
            "model": m.model,
            "url": m.url,
            "seed": m.seed,
            "t0_unix_ns": m.anchor.t0_unix_ns,
            "request_rows": self.request_rows,
            "lost_request_rows": self.lost_rows,
            "token_rows": self.token_rows,
            "lost_token_rows": m.counts.tokens_lost,
            "recovered": self.recovered,
            "sessions": self.sessions,
            "phases": phases.collect::<Vec<_>>(),
            "files": files.collect::<Vec<_>>(),
        })
    }
}

fn files(dir: &Path) -> std::io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), about.len()));
        }
    }
    files.sort();
    Ok(files)
}
