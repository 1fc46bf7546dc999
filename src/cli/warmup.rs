//! The arguments of the warm-up → what it is: the load of the measurement, where they do not say otherwise.
//!
//! A trace's own times, and a rate that changes with time, have no part that could stand for the whole: the warm-up is closed-loop then,
//! unless it is given a rate of its own.

use super::config::{LoadConfig, WarmupConfig};
use super::profile::{PatternArg, ProfileArgs};
use super::ramp::{growing, length_ns, prefill_fits};
use super::resolve::{non_negative_ns, positive_ns, process, usage};
use crate::arrival::{self, ArrivalParams};
use crate::error::Result;
use crate::schedule::Caps;

/// What goes before the measurement.
#[derive(Clone, Debug, clap::Args)]
pub struct WarmupArgs {
    /// Requests to send before the measurement; they are recorded, and in no metric. Like the next two it makes a warm-up,
    /// which has the load of the measurement where the other --warmup flags do not change it.
    #[arg(long, alias = "num-warmup-requests", value_name = "N", help_heading = WARMUP)]
    pub warmup_request_count: Option<u64>,

    /// Conversations to send before the measurement, each whole.
    #[arg(long, value_name = "N", help_heading = WARMUP)]
    pub num_warmup_sessions: Option<u64>,

    /// Send nothing more of the warm-up after this time.
    #[arg(long, value_name = "SECONDS", help_heading = WARMUP)]
    pub warmup_duration: Option<f64>,

    /// Time for what is in flight at the end of --warmup-duration; then it is cancelled. [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", requires = "warmup_duration", help_heading = WARMUP)]
    pub warmup_grace_period: Option<f64>,

    /// The warm-up's --concurrency.
    #[arg(long, value_name = "N", help_heading = WARMUP)]
    pub warmup_concurrency: Option<u32>,

    /// The warm-up's --prefill-concurrency.
    #[arg(long, value_name = "N", requires = "streaming", help_heading = WARMUP)]
    pub warmup_prefill_concurrency: Option<u32>,

    /// The warm-up's --request-rate.
    #[arg(long, value_name = "PER_SECOND", help_heading = WARMUP)]
    pub warmup_request_rate: Option<f64>,

    /// The warm-up's --arrival-pattern.
    #[arg(long, value_enum, value_name = "PATTERN", help_heading = WARMUP)]
    pub warmup_arrival_pattern: Option<PatternArg>,

    /// The warm-up's --concurrency-ramp-duration.
    #[arg(long, value_name = "SECONDS", help_heading = WARMUP)]
    pub warmup_concurrency_ramp_duration: Option<f64>,

    /// The warm-up's --prefill-concurrency-ramp-duration.
    #[arg(long, value_name = "SECONDS", help_heading = WARMUP)]
    pub warmup_prefill_concurrency_ramp_duration: Option<f64>,

    /// The warm-up's --request-rate-ramp-duration.
    #[arg(long, value_name = "SECONDS", help_heading = WARMUP)]
    pub warmup_request_rate_ramp_duration: Option<f64>,
}

const WARMUP: &str = "Warm-up";

impl ProfileArgs {
    /// The warm-up, if one is asked for, before a measurement of this load and these caps.
    pub(super) fn warmup(&self, load: &LoadConfig, caps: &Caps) -> Result<Option<WarmupConfig>> {
        let args = &self.warmup;
        let requests = args.warmup_request_count.filter(|n| *n > 0);
        if requests.is_none() && args.num_warmup_sessions.is_none() && args.warmup_duration.is_none() {
            return if args.shapes() {
                usage("the --warmup flags need --warmup-request-count, --num-warmup-sessions or --warmup-duration")
            } else {
                Ok(None)
            };
        }
        if args.num_warmup_sessions == Some(0) || args.warmup_concurrency == Some(0) {
            return usage("--num-warmup-sessions and --warmup-concurrency must be at least 1");
        }
        let concurrency = args.warmup_concurrency.or(match load {
            LoadConfig::Lanes(lanes) => Some(*lanes),
            _ => caps.in_flight_max,
        });
        let load = self.warmup_load(load, concurrency)?;
        let prefill_max = args.warmup_prefill_concurrency.or(caps.prefill_max);
        prefill_fits(args.warmup_prefill_concurrency, concurrency)?;
        let or = |flag, own, inherited_ns| match own {
            Some(seconds) => length_ns(flag, Some(seconds)),
            None => Ok(inherited_ns),
        };
        Ok(Some(WarmupConfig {
            requests,
            sessions: args.num_warmup_sessions,
            duration_ns: args.warmup_duration.map(|s| positive_ns("--warmup-duration", s)).transpose()?,
            grace_ns: match args.warmup_grace_period {
                Some(seconds) => non_negative_ns("--warmup-grace-period", seconds)?,
                None => i64::MAX,
            },
            caps: Caps {
                in_flight_max: concurrency.filter(|_| !matches!(load, LoadConfig::Lanes(_))),
                ramp_ns: or("--warmup-concurrency-ramp-duration", args.warmup_concurrency_ramp_duration, caps.ramp_ns)?,
                prefill_max,
                prefill_ramp_ns: or(
                    "--warmup-prefill-concurrency-ramp-duration",
                    args.warmup_prefill_concurrency_ramp_duration,
                    caps.prefill_ramp_ns,
                )?,
            },
            load,
        }))
    }

    fn warmup_load(&self, load: &LoadConfig, concurrency: Option<u32>) -> Result<LoadConfig> {
        let args = &self.warmup;
        let changed = args.warmup_request_rate.is_some() || args.warmup_arrival_pattern.is_some();
        if let (LoadConfig::Users { .. }, false) = (load, changed) {
            return Ok(load.clone());
        }
        let inherited = match load {
            LoadConfig::Rate { params, .. } => params.rate_rps,
            _ => None,
        };
        let pattern = args.warmup_arrival_pattern.unwrap_or(self.arrival_pattern);
        let rate_rps = args.warmup_request_rate.or(inherited);
        if pattern == PatternArg::ConcurrencyBurst && args.warmup_request_rate.is_some() {
            return usage("--warmup-arrival-pattern concurrency_burst has no rate; leave out --warmup-request-rate");
        }
        if rate_rps.is_none() || pattern == PatternArg::ConcurrencyBurst {
            if args.warmup_request_rate_ramp_duration.is_some() {
                return usage("--warmup-request-rate-ramp-duration needs a rate: give --warmup-request-rate");
            }
            return Ok(LoadConfig::Lanes(concurrency.unwrap_or(1)));
        }
        // A smoothness belongs to the pattern that it was given with.
        let smoothness = self.arrival_smoothness.filter(|_| args.warmup_arrival_pattern != Some(PatternArg::Constant));
        let (process, smoothness) = process(pattern, smoothness)?;
        let params = ArrivalParams { rate_rps, smoothness, curve: None };
        let ramp_s = args.warmup_request_rate_ramp_duration.or(self.ramp.request_rate_ramp_duration);
        let params = growing("--warmup-request-rate-ramp-duration", params, ramp_s)?;
        arrival::build(process, &ArrivalParams { curve: None, ..params.clone() })?;
        Ok(LoadConfig::Rate { process, params })
    }
}

impl WarmupArgs {
    /// Whether a flag is given that changes a warm-up without making one.
    fn shapes(&self) -> bool {
        let numbers = [self.warmup_concurrency, self.warmup_prefill_concurrency];
        let seconds = [
            self.warmup_request_rate,
            self.warmup_concurrency_ramp_duration,
            self.warmup_prefill_concurrency_ramp_duration,
            self.warmup_request_rate_ramp_duration,
        ];
        numbers.iter().any(Option::is_some)
            || seconds.iter().any(Option::is_some)
            || self.warmup_arrival_pattern.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::resolve::tests::{refused, resolve};
    use crate::time::SECOND_NS;

    #[track_caller]
    fn warmup(line: &str) -> WarmupConfig {
        resolve(line).unwrap().warmup.expect("a warm-up")
    }

    #[test]
    fn a_warm_up_inherits_the_load_and_what_is_given_replaces_its_part() {
        let rate = |process, rate_rps| LoadConfig::Rate {
            process,
            params: ArrivalParams { rate_rps: Some(rate_rps), smoothness: None, curve: None },
        };
        assert!(resolve("--request-rate 5 --concurrency 7").unwrap().warmup.is_none());
        let inherits = warmup("--request-rate 5 --concurrency 7 --warmup-request-count 3");
        assert_eq!(
            (inherits.load, inherits.caps.in_flight_max, inherits.requests),
            (rate("poisson", 5.0), Some(7), Some(3))
        );
        assert_eq!((inherits.grace_ns, inherits.duration_ns, inherits.sessions), (i64::MAX, None, None));
        let own = warmup(
            "--request-rate 5 --warmup-duration 2 --warmup-request-rate 9 --warmup-arrival-pattern constant --warmup-concurrency 4 \
             --warmup-grace-period 0",
        );
        assert_eq!((own.load, own.caps.in_flight_max), (rate("constant", 9.0), Some(4)));
        assert_eq!((own.grace_ns, own.duration_ns), (0, Some(2 * SECOND_NS)));
        let lanes = |line| warmup(line).load;
        assert_eq!(lanes("--concurrency 7 --num-warmup-sessions 2"), LoadConfig::Lanes(7));
        assert_eq!(lanes("--concurrency 7 --warmup-concurrency 2 --warmup-duration 1"), LoadConfig::Lanes(2));
        assert_eq!(lanes("--input-file t --warmup-request-count 2 --max-in-flight 6"), LoadConfig::Lanes(6));
        assert_eq!(lanes("--input-file t --warmup-request-count 2"), LoadConfig::Lanes(1));
        assert_eq!(lanes("--concurrency 2 --warmup-request-rate 5 --warmup-request-count 2"), rate("poisson", 5.0));
        let burst =
            "--request-rate 2 --concurrency 3 --warmup-arrival-pattern concurrency_burst --warmup-request-count 9";
        assert_eq!((warmup(burst).load, warmup(burst).caps.in_flight_max), (LoadConfig::Lanes(3), None));
    }

    #[test]
    fn ramps_are_inherited_too() {
        let line = "--streaming --concurrency 8 --concurrency-ramp-duration 4 --prefill-concurrency 2 \
                    --prefill-concurrency-ramp-duration 3 --warmup-request-count 5";
        let caps = |in_flight_max, ramp_s, prefill_max, prefill_s| Caps {
            in_flight_max,
            ramp_ns: ramp_s * SECOND_NS,
            prefill_max,
            prefill_ramp_ns: prefill_s * SECOND_NS,
        };
        assert_eq!(warmup(line).caps, caps(None, 4, Some(2), 3));
        let own = format!(
            "{line} --warmup-concurrency-ramp-duration 1 --warmup-prefill-concurrency 7 --warmup-prefill-concurrency-ramp-duration 2"
        );
        assert_eq!(warmup(&own).caps, caps(None, 1, Some(7), 2));
        let users = "--user-centric-rate 4 --num-users 2 --conversation-turn-mean 3 --warmup-duration 5";
        assert_eq!(warmup(users).load, LoadConfig::Users { users: 2, rate_rps: 4.0 });
        let rate = warmup("--request-rate 8 --request-rate-ramp-duration 4 --warmup-duration 9");
        let LoadConfig::Rate { params, .. } = rate.load else { panic!("{rate:?}") };
        assert_eq!(params.curve.map(|c| c.value(1.0)), Some(2.0));
    }

    #[test]
    fn a_warm_up_that_cannot_be_is_refused() {
        refused("--warmup-concurrency 4", "--warmup-request-count");
        refused("--warmup-arrival-pattern gamma", "--warmup-duration");
        refused("--warmup-request-count 4 --warmup-grace-period 1", "--warmup-duration");
        refused("--num-warmup-sessions 0", "at least 1");
        refused("--warmup-duration 0", "more than 0");
        refused("--concurrency 2 --warmup-duration 1 --warmup-request-rate-ramp-duration 1", "--warmup-request-rate");
        refused("--warmup-duration 1 --warmup-prefill-concurrency 1", "--streaming");
        refused("--streaming --concurrency 2 --warmup-duration 1 --warmup-prefill-concurrency 3", "give less");
        refused("--warmup-duration 1 --warmup-request-rate 2 --warmup-arrival-pattern concurrency_burst", "no rate");
    }
}
