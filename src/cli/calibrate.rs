//! The arguments of `loadline calibrate`, and where calibrations are kept.

use std::path::PathBuf;

use crate::calibration::Options;
use crate::error::{Error, Result};
use crate::time::MILLISECOND_NS;

/// Measure what this host's client can be believed at.
///
/// One worker of the engine is driven against a simulated server in this process that keeps the time of all it receives
/// and sends, on the same clock: the truth that the client's own times are compared with. Measured are the cost of
/// the clock, the lateness of timers, the send lag at up to 20,000 requests per second, and the error of token times,
/// TTFT and ITL at up to 4,000 concurrent streams. It takes up to a minute, and two cores that nobody else uses.
///
/// Later runs on this host cite the result in their run.json.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Before a campaign, on an idle machine:
    loadline calibrate

  A first look, kept elsewhere:
    loadline calibrate --quick --output quick.json

  How token times fare while the client's core is busy:
    loadline calibrate --burn --output busy.json")]
pub struct CalibrateArgs {
    /// Where to write the result, as JSON; by default loadline/calibration.json in XDG_CACHE_HOME or ~/.cache, where
    /// `profile` looks for it.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Fewer and shorter steps, in under 10 seconds.
    #[arg(long)]
    pub quick: bool,

    /// Also keep the client's core busy, up to 95 % of its time, and measure what becomes of token times.
    #[arg(long)]
    pub burn: bool,

    /// Also what the engine costs above loops that only spin and send, or receive and throw away.
    #[arg(long)]
    pub floor: bool,

    /// Bound on the p99 of send lag and of token times' errors that the limits are told for.
    #[arg(long, value_name = "MS", default_value_t = 1.0)]
    pub bound_ms: f64,
}

/// A calibration as it is meant.
#[derive(Clone, Debug)]
pub struct CalibrateConfig {
    /// Where to write.
    pub output: PathBuf,
    /// What to measure.
    pub options: Options,
}

impl CalibrateArgs {
    /// Checks the arguments and finds the file's place.
    ///
    /// # Errors
    /// [`Error::Usage`] for a bound that cannot be, or where there is no place for the file.
    pub fn resolve(&self) -> Result<CalibrateConfig> {
        if !(self.bound_ms > 0.0 && self.bound_ms <= 60_000.0) {
            return Err(Error::Usage("--bound-ms must be above 0 and at most 60000".into()));
        }
        let output = self.output.clone().or_else(default_path).ok_or_else(|| {
            Error::Usage("neither XDG_CACHE_HOME nor HOME is set; say where to write with --output".into())
        })?;
        let bound_ns = ((self.bound_ms * MILLISECOND_NS as f64).round() as i64).max(1);
        Ok(CalibrateConfig {
            output,
            options: Options { quick: self.quick, burn: self.burn, floor: self.floor, bound_ns },
        })
    }
}

/// Where a host's calibration is kept unless the user says otherwise; `None` without a home.
#[expect(clippy::disallowed_methods, reason = "cli is where the environment is read")]
pub fn default_path() -> Option<PathBuf> {
    let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = directory("XDG_CACHE_HOME").or_else(|| directory("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("loadline").join("calibration.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_time_and_is_kept_in_nanoseconds() {
        let with = |bound_ms| {
            CalibrateArgs { output: Some("x".into()), quick: true, burn: false, floor: false, bound_ms }.resolve()
        };
        let config = with(0.25).unwrap();
        assert_eq!((config.options.bound_ns, config.output), (250_000, PathBuf::from("x")));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(with(bad).unwrap_err().to_string().contains("--bound-ms"), "{bad}");
        }
    }
}
