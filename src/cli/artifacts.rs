//! The arguments about aiperf's files: their names, and which there are.

use super::profile::OUTPUT;
use super::resolve::{positive_ns, usage};
use crate::error::Result;

/// Names that files of ours have already.
const TAKEN: [&str; 8] = ["run", "requests", "tokens", "report", "fidelity", "inputs", "outputs", "phase_manifest"];

/// Which files aiperf's readers find.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ArtifactArgs {
    /// Name of aiperf's files without their ends: NAME.json, NAME.csv, NAME.jsonl, NAME_timeslices.json … [default: aiperf's
    /// own names]
    #[arg(long, alias = "profile-export-file", value_name = "NAME", help_heading = OUTPUT)]
    pub profile_export_prefix: Option<String>,

    /// Also compute the metrics of each slice of the measurement of this length (profile_export_aiperf_timeslices.json and
    /// .csv). A request belongs to the slice that it was sent in.
    #[arg(long, value_name = "SECONDS", help_heading = OUTPUT)]
    pub slice_duration: Option<f64>,

    /// Also write what the server said to each request (outputs.json).
    #[arg(long, help_heading = OUTPUT)]
    pub export_outputs_json: bool,
}

/// The same, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArtifactConfig {
    /// What files are called.
    pub prefix: Option<String>,
    /// Length of a slice.
    pub slice_ns: Option<i64>,
    /// Whether answers' texts are written.
    pub outputs: bool,
}

impl ArtifactArgs {
    pub(super) fn resolve(&self) -> Result<ArtifactConfig> {
        let prefix = self.profile_export_prefix.as_deref().map(prefix).transpose()?;
        let slice_ns = self.slice_duration.map(|s| positive_ns("--slice-duration", s)).transpose()?;
        Ok(ArtifactConfig { prefix, slice_ns, outputs: self.export_outputs_json })
    }
}

fn prefix(text: &str) -> Result<String> {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.starts_with('.') || !text.chars().all(plain) || TAKEN.contains(&text) {
        return usage(&format!(
            "--profile-export-prefix {text}: give a file name of letters, digits, `-`, `_` and `.` that is none of {}; \
             directories go into --artifact-dir",
            TAKEN.join(", ")
        ));
    }
    Ok(text.into())
}
