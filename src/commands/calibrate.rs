//! `loadline calibrate`: measures, writes the file, and tells.

use std::path::Path;

use crate::calibration::{self, Calibration, Citation};
use crate::cli::calibrate::CalibrateConfig;
use crate::error::{Error, ExitCode, Result};
use crate::record::manifest::Host;
use crate::report::calibration::{Steps, render};
use crate::report::out;
use crate::report::terminal::Style;

/// Runs a calibration to its end.
///
/// # Errors
/// Those of [`calibration::run`] and [`Calibration::write`].
pub fn run(config: &CalibrateConfig, style: Style) -> Result<ExitCode> {
    let steps = Steps::on_stderr();
    let measured = calibration::run(config.options, &mut |progress| steps.begin(progress));
    drop(steps);
    let calibration = measured?;
    calibration.write(&config.output)?;
    out::stdout(&render(&calibration, style))?;
    out::stderr(&format!("Written to {}\n", config.output.display()))?;
    Ok(ExitCode::Ok)
}

/// What a run on `host` cites: the calibration at `path`, if there is one. One that cannot be read is told of, and the run
/// goes on without it.
pub(super) fn cited(path: Option<&Path>, host: &Host) -> Option<Citation> {
    let path = path?;
    match Calibration::load(path) {
        Ok(calibration) => Some(calibration.cite(path, host)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            // Nobody can be told that telling failed.
            let _ = out::stderr(&format!("The run cites no calibration: {error}\n"));
            None
        }
    }
}
