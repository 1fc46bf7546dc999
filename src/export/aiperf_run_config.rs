//! The manifest of one run of several → `run_config.json`, as aiperf's orchestrator hands a run to its process.
//!
//! Its `cfg` is the `input_config` of `profile_export_aiperf.json`. Not here: what runs a run again; that is `--print-config`.

use std::io::Write;

use serde_json::{Value as Json, json};

use super::aiperf_config::input_config;
use super::aiperf_json::cli_command;
use crate::error::{Error, Result};
use crate::metrics::Summary;
use crate::record::manifest::Manifest;
use crate::record::reader::Rows;

pub(super) const FILE_NAME: &str = "run_config.json";

/// Whether the run is one of several.
pub(super) fn is_wanted(manifest: &Manifest) -> bool {
    manifest.config["series"].is_object()
}

/// Writes the file.
pub(super) fn write(rows: &dyn Rows, summary: &Summary, out: &mut dyn Write) -> Result<()> {
    let document = document(rows.manifest(), summary);
    serde_json::to_writer_pretty(&mut *out, &document).map_err(|e| Error::io(FILE_NAME)(e.into()))?;
    out.write_all(b"\n").map_err(Error::io(FILE_NAME))
}

fn document(manifest: &Manifest, summary: &Summary) -> Json {
    let place = &manifest.config["series"];
    json!({
        "benchmark_id": manifest.run_id,
        "cfg": input_config(manifest, summary),
        "variation": {
            "index": place["variation_index"],
            "label": place["variation_label"],
            "values": place["variation_values"],
        },
        "trial": place["trial"],
        // The directory that the file lies in, wherever it is moved to.
        "artifact_dir": ".",
        "label": place["run_label"],
        "cli_command": cli_command(manifest),
        "random_seed": manifest.seed,
        "variables": {},
    })
}
