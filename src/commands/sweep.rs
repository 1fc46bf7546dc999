//! `loadline sweep`: predicts, prints, and writes the files; or scores a table of points.

use std::path::Path;

use crate::cli::sweep::{SweepConfig, SweepFormat};
use crate::error::{Error, ExitCode, Result};
use crate::export::sweep as export;
use crate::profiler::recommend::Recommendation;
use crate::report::terminal::Style;
use crate::report::{out, points as report_of_points, sweep as report};

/// Answers a sweep. Exit code 1 where nothing meets the SLA.
///
/// # Errors
/// Those of [`crate::profiler::sweep::Spec::sweep`], and [`Error::Io`] for files that cannot be written.
pub fn run(config: &SweepConfig, style: Style) -> Result<ExitCode> {
    let (spec, price) = (&config.spec, config.gpu_hour_price);
    let sweep = spec.sweep()?;
    let json = export::json(spec, &sweep, price, &config.notes)?;
    let json = serde_json::to_string_pretty(&json).map_err(|e| Error::Internal(e.to_string()))? + "\n";
    let csv = export::csv(spec, &sweep);
    if let Some(dir) = &config.output_dir {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        write(dir, "sweep.json", json.as_bytes())?;
        write(dir, "sweep.csv", csv.as_bytes())?;
        out::stderr(&format!("Written to {}\n", dir.display()))?;
    }
    out::stdout(&match config.format {
        SweepFormat::Text => report::render(spec, &sweep, price, &config.notes, style),
        SweepFormat::Json => json,
        SweepFormat::Csv => csv,
    })?;
    Ok(match sweep.recommendation {
        Recommendation::Deploy { .. } => ExitCode::Ok,
        Recommendation::Infeasible { .. } => ExitCode::ThresholdFailed,
    })
}

/// Scores a table of points: prints the errors, and writes the table to `output`, or prints it where there is none.
///
/// # Errors
/// A file that cannot be read or written, or that is no table of points.
pub fn score(points: &Path, output: Option<&Path>, style: Style) -> Result<ExitCode> {
    let text = std::fs::read_to_string(points).map_err(Error::io(points))?;
    let scored = crate::profiler::points::score(&points.display().to_string(), &text)?;
    if let Some(path) = output {
        std::fs::write(path, &scored.csv).map_err(Error::io(path))?;
        let written = path.display().to_string();
        out::stdout(&report_of_points::render(&scored, Some(&written), style))?;
    } else {
        out::stdout(&scored.csv)?;
        out::stderr(&report_of_points::render(&scored, None, style))?;
    }
    Ok(ExitCode::Ok)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, bytes).map_err(Error::io(&path))
}
