//! `loadline report`, and the end of `profile`: a run directory → table, artifacts, page.
//!
//! Both verbs end here, with nothing but the files in hand; that is why they give the same numbers.

use std::path::{Path, PathBuf};

use super::plots;
use crate::analysis::fidelity::{self, Fidelity};
use crate::analysis::measured::Measured;
use crate::analysis::server::ServerMetrics;
use crate::analysis::verdict::judge;
use crate::cli::{FailOn, ReportArgs};
use crate::error::{Error, ExitCode, Result};
use crate::export::server::Scraped;
use crate::export::{self, ExportLevel};
use crate::metrics::{self, Summary};
use crate::outcome::Phase;
use crate::record::manifest::{Judgement, Manifest, Verdict};
use crate::record::reader::{Recording, Rows};
use crate::record::server::ServerRecording;
use crate::report::runs::{self, Run};
use crate::report::terminal::{self, Style};
use crate::report::{html, out};

/// The page's file name.
const PAGE: &str = "report.html";

/// What a report is to have beside what every one has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Where each plot of the page goes as a picture.
    pub plots: Option<&'a Path>,
    /// Requests whose streams are drawn, by number or by `X-Request-Id`.
    pub requests: &'a [String],
}

/// Reports on a run directory.
pub fn run(args: &ReportArgs, command: &[String], style: Style) -> Result<ExitCode> {
    let [run_dir] = &args.run_dirs[..] else { return several(args, command, style) };
    let into = args.output_dir.as_deref().unwrap_or(run_dir);
    std::fs::create_dir_all(into).map_err(Error::io(into))?;
    let extras = Extras { plots: args.plots.dir.as_deref(), requests: &args.requests };
    Ok(exit_code(&conclude(run_dir, into, extras, Some(style))?, args.fail_on))
}

/// Lays several runs over each other.
fn several(args: &ReportArgs, command: &[String], style: Style) -> Result<ExitCode> {
    if !args.requests.is_empty() {
        return Err(Error::Usage("--request is for one run: give the one that has the request".into()));
    }
    let read = |dir: &PathBuf| -> Result<Run> {
        let recording = Recording::open(dir)?;
        Ok(Run::new(dir.display().to_string(), recording.manifest(), Measured::read(&recording)?))
    };
    let runs: Vec<Run> = args.run_dirs.iter().map(read).collect::<Result<_>>()?;
    out::stdout(&runs::render(&runs, style))?;
    let page = html::runs::render(&runs);
    if let Some(dir) = &args.output_dir {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let path = dir.join("runs.html");
        std::fs::write(&path, &page.text).map_err(Error::io(&path))?;
        out::stderr(&format!("Written to {}\n", path.display()))?;
    }
    if let Some(dir) = &args.plots.dir {
        plots::write(&page, command, dir)?;
    }
    let codes = runs.iter().filter_map(|run| run.verdict.as_ref()).map(|verdict| exit_code(verdict, args.fail_on));
    Ok(codes.max_by_key(|code| *code as i32).unwrap_or(ExitCode::Ok))
}

/// Reads the recording in `run_dir`, judges it, writes artifacts and page into `into`, and prints the table; without a style it
/// prints nothing.
pub fn conclude(run_dir: &Path, into: &Path, extras: Extras<'_>, style: Option<Style>) -> Result<Verdict> {
    let recording = Recording::open(run_dir)?;
    let asked = ids(&recording, extras.requests)?;
    let level = ExportLevel::of(recording.manifest());
    // The lines of single requests take as long as their summing up and the page, and need none of it.
    let (found, listed) = std::thread::scope(|scope| {
        let listed = scope.spawn(|| export::write_rows(into, &recording, level));
        let found =
            findings(&recording).and_then(|findings| Ok((page(run_dir, &recording, &asked, &findings)?, findings)));
        (found, listed.join())
    });
    listed.map_err(|_| Error::Internal("the thread that lists requests panicked".into()))??;
    let (page, findings) = found?;
    let written = write(run_dir, &recording, &findings, &page, (into, extras.plots))?;
    let Findings { summary, fidelity, verdict } = findings;
    if let Some(style) = style {
        out::stdout(&terminal::render(recording.manifest(), &summary, &fidelity, &verdict, style))?;
        out::stderr(&terminal::files(&written, style))?;
    }
    if recording.is_recovered() {
        let lost = recording.lost_rows();
        out::stderr(&format!("The run was cut off: {lost} of its requests were never flushed and are missing.\n"))?;
    }
    Ok(verdict)
}

/// The requests of these numbers or names, in their order.
fn ids(recording: &Recording, wanted: &[String]) -> Result<Vec<u64>> {
    let mut found = vec![None; wanted.len()];
    if !wanted.is_empty() {
        recording.for_each_row(&mut |row| {
            let number = row.request_id.to_string();
            let is_it = |name: &String| *name == row.x_request_id || *name == number;
            wanted
                .iter()
                .zip(&mut found)
                .filter(|(name, _)| is_it(name))
                .for_each(|(_, id)| *id = Some(row.request_id));
        })?;
    }
    let missing = |name: &String| {
        Error::Usage(format!(
            "--request: the run has no request {}; give its number (session_num in profile_export.jsonl) or its X-Request-Id",
            name.escape_default()
        ))
    };
    wanted.iter().zip(found).map(|(name, id)| id.ok_or_else(|| missing(name))).collect()
}

/// What a recording's rows say, as numbers.
struct Findings {
    summary: Summary,
    fidelity: Fidelity,
    verdict: Verdict,
}

/// All that is computed from a recording, in one pass over its rows.
fn findings(recording: &Recording) -> Result<Findings> {
    let manifest = recording.manifest();
    let (mut numbers, mut fidelity) = (metrics::Fold::new(manifest)?, fidelity::Fold::default());
    recording.for_each_request(&mut |row, tokens| {
        numbers.add(row, tokens);
        fidelity.add(row);
    })?;
    let (summary, fidelity) = (numbers.finish(), fidelity.finish(manifest));
    let verdict = judge(manifest, &summary, &fidelity);
    Ok(Findings { summary, fidelity, verdict })
}

fn page(run_dir: &Path, recording: &Recording, asked: &[u64], findings: &Findings) -> Result<html::Page> {
    let Findings { summary, fidelity, verdict } = findings;
    html::render(recording, ServerRecording::open(run_dir)?.as_ref(), asked, summary, fidelity, verdict)
}

fn write(
    run_dir: &Path,
    recording: &Recording,
    findings: &Findings,
    page: &html::Page,
    (into, plots_dir): (&Path, Option<&Path>),
) -> Result<Vec<PathBuf>> {
    let level = ExportLevel::of(recording.manifest());
    // Before the file that says that all are there.
    let of_server = server_metrics(run_dir, recording.manifest(), into)?;
    let artifacts = export::write_all(into, recording, &findings.summary, level)?;
    let fidelity = export::fidelity::write(into, &findings.fidelity)?;
    let path = into.join(PAGE);
    std::fs::write(&path, &page.text).map_err(Error::io(&path))?;
    let mut written = vec![path];
    if let Some(dir) = plots_dir {
        plots::write(page, &recording.manifest().command, dir)?;
    }
    written.extend(artifacts);
    written.push(fidelity);
    written.extend(of_server);
    written.extend(export::vllm_json::write(into, recording, &findings.summary)?);
    Ok(written)
}

/// The files of what the server said of itself, where it was asked.
fn server_metrics(run_dir: &Path, manifest: &Manifest, into: &Path) -> Result<Vec<PathBuf>> {
    let Some(recording) = ServerRecording::open(run_dir)? else { return export::server::write(into, manifest, None) };
    let of = |phase| ServerMetrics::of(&recording, manifest, phase);
    let warmup = manifest.warmup.map(|_| of(Phase::Warmup)).transpose()?;
    let scraped = Scraped { profiling: of(Phase::Profiling)?, warmup, recording: &recording };
    export::server::write(into, manifest, Some(&scraped))
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
