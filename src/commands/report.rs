//! `loadline report`, and the end of `profile`: a run directory → table, artifacts, page.
//!
//! Both verbs end here, with nothing but the files in hand; that is why they give the same numbers.

use std::path::{Path, PathBuf};

use crate::analysis::verdict::judge;
use crate::cli::{FailOn, ReportArgs};
use crate::error::{Error, ExitCode, Result};
use crate::export::{self, ExportLevel};
use crate::metrics::{self, Summary};
use crate::record::manifest::{Judgement, Verdict};
use crate::record::reader::{Recording, Rows};
use crate::report::terminal::{self, Style};
use crate::report::{html, out};

/// The page's file name.
const PAGE: &str = "report.html";

/// Reports on a run directory.
pub fn run(args: &ReportArgs, style: Style) -> Result<ExitCode> {
    let into = args.output_dir.as_deref().unwrap_or(&args.run_dir);
    std::fs::create_dir_all(into).map_err(Error::io(into))?;
    Ok(exit_code(&conclude(&args.run_dir, into, style)?, args.fail_on))
}

/// Reads the recording in `run_dir`, judges it, writes artifacts and page into `into`, and prints the table.
pub fn conclude(run_dir: &Path, into: &Path, style: Style) -> Result<Verdict> {
    let recording = Recording::open(run_dir)?;
    let summary = metrics::summarise(&recording)?;
    let verdict = judge(recording.manifest(), &summary);
    let written = write(&recording, &summary, &verdict, into)?;
    out::stdout(&terminal::render(recording.manifest(), &summary, &verdict, style))?;
    out::stderr(&terminal::files(&written, style))?;
    if recording.is_recovered() {
        let lost = recording.lost_rows();
        out::stderr(&format!("The run was cut off: {lost} of its requests were never flushed and are missing.\n"))?;
    }
    Ok(verdict)
}

fn write(recording: &Recording, summary: &Summary, verdict: &Verdict, into: &Path) -> Result<Vec<PathBuf>> {
    let artifacts = export::write_all(into, recording, summary, ExportLevel::of(recording.manifest()))?;
    let page = html::render(recording, summary, verdict)?;
    let path = into.join(PAGE);
    std::fs::write(&path, page).map_err(Error::io(&path))?;
    let mut written = vec![path];
    written.extend(artifacts);
    Ok(written)
}

/// What a verdict makes the program end with.
pub fn exit_code(verdict: &Verdict, fail_on: Option<FailOn>) -> ExitCode {
    let worst_allowed = match fail_on {
        None => return ExitCode::Ok,
        Some(FailOn::Suspect) => Judgement::Valid,
        Some(FailOn::Invalid) => Judgement::Suspect,
    };
    if verdict.judgement > worst_allowed { ExitCode::ThresholdFailed } else { ExitCode::Ok }
}
