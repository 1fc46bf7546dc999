//! The arguments that let a load grow at its start, and the cap on requests without a token → what is meant.

use std::io::Read;
use std::path::PathBuf;

use super::profile::{LOAD, ProfileArgs};
use super::resolve::{positive_ns, usage};
use crate::arrival::ArrivalParams;
use crate::arrival::curve::Curve;
use crate::error::{Error, Result};
use crate::schedule::Caps;

/// Longest file of a rate.
const SERIES_BYTES_MAX: u64 = 4 << 20;

/// How a load grows.
#[derive(Clone, Debug, clap::Args)]
pub struct RampArgs {
    /// Let --concurrency grow from 1 to what it is over this time, in equal steps.
    #[arg(long, value_name = "SECONDS", help_heading = LOAD)]
    pub concurrency_ramp_duration: Option<f64>,

    /// Let --request-rate grow from 0 to what it is over this time, in a straight line.
    #[arg(long, value_name = "SECONDS", requires = "request_rate", help_heading = LOAD)]
    pub request_rate_ramp_duration: Option<f64>,

    /// Requests per second as straight lines between points: a JSON file {"points": [{"time_s": 0, "qps": 5}, …]}, level before the
    /// first and after the last. Needs --request-count or --benchmark-duration; the warm-up is closed-loop then.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["request_rate", "rate_profile", "fixed_schedule"], help_heading = LOAD)]
    pub request_rate_series: Option<PathBuf>,

    /// Most requests in flight that have no token yet; a request that is due while they are as many waits for the first token
    /// of one of them. Needs --streaming.
    #[arg(long, value_name = "N", requires = "streaming", help_heading = LOAD)]
    pub prefill_concurrency: Option<u32>,

    /// Let --prefill-concurrency grow from 1 to what it is over this time.
    #[arg(long, value_name = "SECONDS", requires = "prefill_concurrency", help_heading = LOAD)]
    pub prefill_concurrency_ramp_duration: Option<f64>,
}

impl ProfileArgs {
    /// The rate of `--request-rate-series`.
    pub(super) fn series(&self) -> Result<Option<Curve>> {
        let Some(path) = &self.ramp.request_rate_series else { return Ok(None) };
        if self.request_count.is_none() && self.benchmark_duration.is_none() {
            return usage("--request-rate-series needs --request-count or --benchmark-duration: when the run ends");
        }
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        file.take(SERIES_BYTES_MAX).read_to_string(&mut text).map_err(Error::io(path))?;
        let curve = Curve::series(&text)
            .map_err(|problem| Error::Usage(format!("--request-rate-series {}: {problem}", path.display())))?;
        Ok(Some(curve))
    }

    /// The caps beside a load; `in_flight_max` is that of open-loop load.
    pub(super) fn caps(&self, in_flight_max: Option<u32>) -> Result<Caps> {
        let ramp = &self.ramp;
        if ramp.concurrency_ramp_duration.is_some() && self.concurrency.is_none() && self.max_in_flight.is_none() {
            return usage("--concurrency-ramp-duration needs --concurrency: what is to grow");
        }
        prefill_fits(ramp.prefill_concurrency, self.concurrency.or(self.max_in_flight))?;
        Ok(Caps {
            in_flight_max,
            ramp_ns: length_ns("--concurrency-ramp-duration", ramp.concurrency_ramp_duration)?,
            prefill_max: ramp.prefill_concurrency,
            prefill_ramp_ns: length_ns("--prefill-concurrency-ramp-duration", ramp.prefill_concurrency_ramp_duration)?,
        })
    }
}

/// Checks a cap on requests without a token against that on all requests.
pub(super) fn prefill_fits(prefill_max: Option<u32>, in_flight_max: Option<u32>) -> Result<()> {
    match (prefill_max, in_flight_max) {
        (Some(0), _) => usage("--prefill-concurrency must be at least 1"),
        (Some(most), Some(all)) if most > all => {
            usage(&format!("--prefill-concurrency {most} never comes into play beside --concurrency {all}; give less"))
        }
        _ => Ok(()),
    }
}

/// The length of a ramp; 0 for none.
pub(super) fn length_ns(flag: &str, seconds: Option<f64>) -> Result<i64> {
    seconds.map_or(Ok(0), |s| positive_ns(flag, s))
}

/// A steady rate that begins at 0 and grows to what it is over `ramp_s`, where that is given.
pub(super) fn growing(flag: &str, mut params: ArrivalParams, ramp_s: Option<f64>) -> Result<ArrivalParams> {
    if let (Some(rate), Some(ramp_s)) = (params.rate_rps, ramp_s) {
        positive_ns(flag, ramp_s)?;
        let text = format!("{rate} * ramp(end={ramp_s}s)");
        params.curve = Some(Curve::parse(&text).map_err(|e| Error::Usage(format!("{flag} {ramp_s}: {e}")))?);
    }
    Ok(params)
}
