//! `loadline compare`: reads what is known of each method, judges, prints and writes what came of it.

use std::path::Path;

use super::plots;
use crate::cli::compare::{CompareConfig, Format};
use crate::comparison::criteria::{Decision, criteria};
use crate::comparison::judgement::Comparison;
use crate::error::{Error, ExitCode, Result};
use crate::evidence;
use crate::export::{comparison as export, comparison_table as table};
use crate::report::terminal::Style;
use crate::report::{comparison as report, html, out, sweep::log_time};
use crate::time::realtime_ns;

/// Compares. Exit code 1 where a criterion failed and that was to fail.
///
/// # Errors
/// Those of reading results, and [`Error::Io`] for a file that cannot be written.
pub fn run(config: &CompareConfig, command: &[String], style: Style) -> Result<ExitCode> {
    let target = config.question.target;
    let methods = config.sources.iter().map(|s| evidence::read(s, target)).collect::<Result<Vec<_>>>()?;
    let comparison = Comparison::new(config.question.clone(), &methods);
    let json = export::json(&comparison, &log_time(realtime_ns()));
    let json = serde_json::to_string_pretty(&json).map_err(|e| Error::Internal(e.to_string()))? + "\n";
    let dir = &config.output_dir;
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(Error::io(&path))
    };
    write(export::FILE_NAME, json.as_bytes())?;
    write("summary.txt", report::render(&comparison, Style::default()).as_bytes())?;
    let rows = table::rows(&comparison);
    write("comparison.csv", table::csv(&rows).as_bytes())?;
    write("comparison.parquet", &table::parquet(&rows)?)?;
    let page = html::comparison::render(&comparison);
    write("comparison.html", page.text.as_bytes())?;
    out::stdout(&match config.format {
        Format::Text => report::render(&comparison, style),
        Format::Json => json,
    })?;
    out::stderr(&written(dir))?;
    if let Some(dir) = &config.plots {
        plots::write(&page, command, dir)?;
    }
    let has_failed = |m| criteria(&comparison, m).iter().any(|c| c.decision == Decision::Fail);
    let fails = config.fail_on_criteria && comparison.choosers().any(has_failed);
    Ok(if fails { ExitCode::ThresholdFailed } else { ExitCode::Ok })
}

fn written(dir: &Path) -> String {
    format!("Written to {}: comparison_results.json, summary.txt, comparison.html, .csv, .parquet\n", dir.display())
}
