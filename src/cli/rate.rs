//! Turns an expression of time that stands for a rate or a share into a [`Curve`] that is one at every time of a run.
//!
//! In: the flag's name, its text, the run's length. Out: a curve, or a usage error that says where it leaves its bounds.

use crate::arrival::curve::Curve;
use crate::error::{Error, Result};

/// The highest rate, in requests per second.
const MAX_RATE_RPS: f64 = 1e6;

/// A rate in requests per second: nowhere negative over `[0, duration_s)`, not 0 all the time, and 0 afterwards.
///
/// # Errors
/// A usage error with the place and the remedy.
pub fn rate(flag: &str, text: &str, duration_s: f64) -> Result<Curve> {
    let curve = parsed(flag, text)?;
    let problem = match curve.require_within(0.0, MAX_RATE_RPS, duration_s) {
        Ok(()) if curve.integral(duration_s) > 0.0 => return Ok(curve.until(duration_s)),
        Ok(()) => format!("{flag} {text:?} makes no requests; use a rate above 0"),
        Err(None) => swings_too_often(flag),
        Err(Some(found)) if found.value < 0.0 => format!(
            "{flag} falls to {:.4} at {:.3} s, and no rate is negative; add at least {:.4} to it",
            found.value, found.at_s, -found.value
        ),
        Err(Some(found)) => format!(
            "{flag} rises to {:e} at {:.3} s; use at most {MAX_RATE_RPS:e} requests per second",
            found.value, found.at_s
        ),
    };
    Err(Error::Usage(problem))
}

/// A share: from 0 to 1 over `[0, duration_s)`.
///
/// # Errors
/// A usage error with the place and the remedy.
pub fn share(flag: &str, text: &str, duration_s: f64) -> Result<Curve> {
    let curve = parsed(flag, text)?;
    let problem = match curve.require_within(0.0, 1.0, duration_s) {
        Ok(()) => return Ok(curve),
        Err(None) => swings_too_often(flag),
        Err(Some(found)) => {
            format!("{flag} is {:.4} at {:.3} s; a share is from 0 to 1 at every time", found.value, found.at_s)
        }
    };
    Err(Error::Usage(problem))
}

fn parsed(flag: &str, text: &str) -> Result<Curve> {
    Curve::parse(text).map_err(|e| Error::Usage(format!("{flag} {text:?}: {e}")))
}

fn swings_too_often(flag: &str) -> String {
    format!("{flag} swings too often to be looked through over so long a time; use longer periods")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rate_and_no_share_is_told_with_its_place() {
        let told = |result: Result<Curve>| result.unwrap_err().to_string();
        for (text, message) in [
            (
                "3 + sin(amplitude=5, period=60s)",
                "--r falls to -2.0000 at 45.000 s, and no rate is negative; add at least 2.0000 to it",
            ),
            (
                "9 - ramp(to=10, end=100s)",
                "--r falls to -1.0000 at 100.000 s, and no rate is negative; add at least 1.0000 to it",
            ),
            ("2e6", "--r rises to 2e6 at 0.000 s; use at most 1e6 requests per second"),
            ("0 * sin(period=1s)", "--r \"0 * sin(period=1s)\" makes no requests; use a rate above 0"),
            (
                "3 + sin(amplitude=4, period=0.001ms)",
                "--r swings too often to be looked through over so long a time; use longer periods",
            ),
            (
                "10 +",
                "--r \"10 +\": at character 5: a term is missing (end with a number, a function or a parenthesis)",
            ),
        ] {
            assert_eq!(told(rate("--r", text, 120.0)), message);
        }
        assert!(rate("--r", "9 - ramp(to=10, end=100s)", 80.0).is_ok(), "only the run's own length counts");
        let message = "--s is 1.1000 at 2.250 s; a share is from 0 to 1 at every time";
        assert_eq!(told(share("--s", "0.5 + sin(amplitude=0.6, period=9s)", 60.0)), message);
    }
}
