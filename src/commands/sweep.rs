//! `loadline sweep`: predicts, prints, and writes the files.

use std::path::Path;

use crate::cli::sweep::{SweepConfig, SweepFormat};
use crate::error::{Error, ExitCode, Result};
use crate::export::sweep as export;
use crate::profiler::recommend::Recommendation;
use crate::report::terminal::Style;
use crate::report::{out, sweep as report};

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

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, bytes).map_err(Error::io(&path))
}
