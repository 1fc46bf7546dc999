//! The arguments of `profile` → what is meant: every check across flags, every default, every environment variable.
//!
//! Out: a [`ProfileConfig`].

use serde_json::{Map, Value};

use super::base_url::BaseUrl;
use super::config::{Destination, LoadConfig, ProfileConfig, SourceConfig};
use super::profile::{ClientArg, ExportLevelArg, OverloadArg, PacingArg, PatternArg, ProfileArgs, UiArg};
use super::ramp::growing;
use super::rate::rate;
use super::secret::Secret;
use super::serve;
use crate::arrival::ArrivalParams;
use crate::endpoint::{EndpointType, RequestOptions};
use crate::engine::HttpClient;
use crate::engine::pace::Pacing;
use crate::engine::stop::FailedMax;
use crate::error::{Error, Result};
use crate::export::ExportLevel;
use crate::metrics;
use crate::profiler::backend::Backend;
use crate::report::progress::Ui;
use crate::rng::Seed;
use crate::schedule::Overload;
use crate::schedule::dataset::DatasetLaws;
use crate::schedule::spec::{Cancellation, LengthLaw};
use crate::sim::config::ServeConfig;
use crate::time::SECOND_NS;
use crate::trace::transform::Transforms;

impl ProfileArgs {
    /// Asks for usage in every event, beside what the user asks of a stream.
    fn ask_for_chunk_usage(extra: &mut Map<String, Value>) -> Result<()> {
        let options = extra.entry("stream_options").or_insert_with(|| Map::new().into());
        let Some(options) = options.as_object_mut() else {
            return usage("--extra-inputs: stream_options is not an object, and --per-chunk-usage adds to it");
        };
        options.entry("include_usage").or_insert(true.into());
        options.insert("continuous_usage_stats".into(), true.into());
        Ok(())
    }

    /// Checks the arguments against each other and gives them their meaning. Draws a seed where none was given.
    pub fn resolve(&self) -> Result<ProfileConfig> {
        let destination = self.destination()?;
        let network = self.network.resolve(match &destination {
            Destination::Server(url) => Some(url),
            Destination::Simulated(_) => None,
        })?;
        let request = self.request(&destination)?;
        let chats = request.endpoint == EndpointType::Chat;
        let load = self.load()?;
        let caps =
            self.caps(self.max_in_flight.or(self.concurrency.filter(|_| !matches!(load, LoadConfig::Lanes(_)))))?;
        Ok(ProfileConfig {
            quiet: false,
            readiness: self.readiness(&destination)?,
            destination,
            simulate: self.simulate,
            request,
            session_header: session_header(&self.session_header)?,
            headers: self.header.iter().map(|h| header(h)).collect::<Result<_>>()?,
            api_key: self.api_key.clone().or_else(key_from_environment),
            source: self.source()?,
            pool: self.dataset.resolve(self.trace.input_file.is_none())?,
            opening: self.opening.resolve(self.trace.input_file.is_none(), chats, self.prompt.isl_counts)?,
            output: self.output()?,
            history: self.session.history(),
            prompt: self.prompt.resolve(),
            warmup: self.warmup(&load, &caps)?,
            caps,
            on_overload: self.on_overload.into(),
            cancellation: self.cancellation()?,
            failed_max: self.failed_max()?,
            load,
            request_count: self.request_count,
            duration_ns: self.benchmark_duration.map(|s| positive_ns("--benchmark-duration", s)).transpose()?,
            grace_ns: non_negative_ns("--benchmark-grace-period", self.benchmark_grace_period)?,
            timeout_ns: positive_ns("--request-timeout-seconds", self.request_timeout_seconds)?,
            network,
            telemetry: self.telemetry.resolve()?,
            client: match self.http_client {
                ClientArg::Lane => HttpClient::Lane,
                ClientArg::Hyper => HttpClient::Hyper,
            },
            pacing: match self.pacing {
                PacingArg::Auto => Pacing::Auto,
                PacingArg::Sleep => Pacing::Sleep,
                PacingArg::Spin => Pacing::Spin,
            },
            realtime: self.rt,
            result_file: self.result_file.resolve()?,
            seed: self.random_seed.map_or_else(drawn_seed, Seed),
            artifact_dir: self.artifact_dir.clone(),
            export_level: match self.export_level {
                ExportLevelArg::Summary => ExportLevel::Summary,
                ExportLevelArg::Records => ExportLevel::Records,
                ExportLevelArg::Raw => ExportLevel::Raw,
            },
            series: None,
            artifacts: self.artifacts.resolve()?,
            server_counts_alone: self.use_server_token_count,
            per_chunk_usage: self.per_chunk_usage,
            slo: if self.goodput.is_empty() { Vec::new() } else { metrics::parse_goodput(&self.goodput.join(" "))? },
            workers: match self.workers {
                Some(0) => return usage("--workers must be at least 1"),
                workers => workers,
            },
            fail_on: self.fail_on,
            ui: self.ui.map(|ui| match ui {
                UiArg::Dashboard => Ui::Dashboard,
                UiArg::Simple => Ui::Simple,
                UiArg::None => Ui::None,
            }),
        })
    }

    /// What all requests have in common.
    fn request(&self, destination: &Destination) -> Result<RequestOptions> {
        let endpoint = EndpointType::from(self.endpoint_type);
        if self.streaming && !endpoint.gives_tokens() {
            let name = endpoint.as_str();
            return usage(&format!("--endpoint-type {name} gives its answers in one piece; leave out --streaming"));
        }
        let model = match (&self.model, destination) {
            (Some(model), _) => model.clone(),
            (None, Destination::Simulated(config)) => config.model.clone(),
            (None, Destination::Server(_)) => {
                return usage("--url needs --model: the name that the server knows the model by");
            }
        };
        let mut extra = extra_fields(&self.extra_inputs)?;
        if self.per_chunk_usage {
            if !(self.streaming && self.use_server_token_count && endpoint == EndpointType::Chat) {
                return usage("--per-chunk-usage needs --streaming, --use-server-token-count and --endpoint-type chat");
            }
            Self::ask_for_chunk_usage(&mut extra)?;
        }
        Ok(RequestOptions {
            endpoint,
            model,
            streaming: self.streaming,
            extra,
            force_output: self.prompt.force_osl,
            legacy_max_tokens: self.use_legacy_max_tokens,
        })
    }

    fn destination(&self) -> Result<Destination> {
        if self.url.as_ref().is_some_and(|url| url.matches("://").count() > 1) {
            return usage(
                "--url takes one endpoint a run; put a load balancer in front of several, or run one process for each",
            );
        }
        if self.model.as_ref().is_some_and(|model| model.contains(',')) {
            return usage("--model takes one model a run; run once for each");
        }
        match &self.url {
            Some(url) => Ok(Destination::Server(BaseUrl::parse(url)?)),
            None => Ok(Destination::Simulated(Box::new(self.engines.fill(ServeConfig {
                model: self.model.clone().unwrap_or_else(|| serve::DEFAULT_MODEL.into()),
                gpu: self.hardware.gpu.clone(),
                backend: Backend::parse(&self.hardware.backend)?,
                tp: self.hardware.tp,
                ..ServeConfig::default()
            })?))),
        }
    }

    fn source(&self) -> Result<SourceConfig> {
        let (options, transforms) = (self.trace.read_options(), self.trace.transforms()?);
        let Some(path) = self.trace.input_file.clone() else {
            if self.fixed_schedule || options.format.is_some() || transforms != Transforms::default() {
                return usage(
                    "--fixed-schedule, --custom-dataset-type and what changes a trace (--from, --to, --speed …) need --input-file",
                );
            }
            return Ok(SourceConfig::Synthetic(self.laws()?));
        };
        if self.texts.asks_for_texts(self.endpoint_type.into()) {
            return usage(
                "--prompt-batch-size and --endpoint-type …_rankings draw requests of several texts; leave out --input-file",
            );
        }
        if self.lengths.seq_dist.is_some() {
            return usage("--seq-dist draws lengths; those of --input-file are as they are");
        }
        if self.session.asks_for_turns() {
            return usage(
                "--conversation-turn-mean and its like draw conversations; those of --input-file are as they are",
            );
        }
        Ok(SourceConfig::Trace { path, options, transforms: Box::new(transforms) })
    }

    /// The laws of drawn requests.
    fn laws(&self) -> Result<DatasetLaws> {
        let (mean, stddev) = (self.synthetic_input_tokens_mean, self.synthetic_input_tokens_stddev);
        let (turns, pauses) = self.session.laws(self.trace.longest_pause_ns()?.unwrap_or(i64::MAX))?;
        let input = self.lengths.ranged_input(law("--synthetic-input-tokens-mean", mean, stddev)?)?;
        let (texts, pairs) = (self.texts.laws(self.endpoint_type.into(), input)?, self.lengths.pairs()?);
        let opens = || Ok::<_, Error>(!self.opening.resolve(true, false, self.prompt.isl_counts)?.is_empty());
        if texts.is_some() && (self.session.asks_for_turns() || !pairs.is_empty() || opens()?) {
            return usage(
                "requests of several texts are no conversations: leave out --conversation-turn-mean, --seq-dist, \
                 --shared-system-prompt-length, --cache-bust and their like",
            );
        }
        Ok(DatasetLaws { input, pairs, texts, turns, pauses })
    }

    fn output(&self) -> Result<Option<LengthLaw>> {
        match self.output_tokens_mean {
            Some(mean) => {
                self.lengths.ranged_output(law("--output-tokens-mean", mean, self.output_tokens_stddev)?).map(Some)
            }
            None if self.output_tokens_stddev > 0.0 => usage("--output-tokens-stddev needs --output-tokens-mean"),
            None => Ok(None),
        }
    }

    fn load(&self) -> Result<LoadConfig> {
        if self.concurrency == Some(0) || self.max_in_flight == Some(0) {
            return usage("--concurrency and --max-in-flight must be at least 1");
        }
        if self.request_count == Some(0) {
            return usage("--request-count must be at least 1");
        }
        let burst = self.arrival_pattern == PatternArg::ConcurrencyBurst;
        let timed =
            self.rate_profile.is_some() || self.user_centric_rate.is_some() || self.ramp.request_rate_series.is_some();
        if burst && (self.request_rate.is_some() || timed || self.fixed_schedule) {
            return usage(
                "--arrival-pattern concurrency_burst has no times; leave it out, or --request-rate, --rate-profile or --fixed-schedule",
            );
        }
        if let (Some(rate_rps), Some(users)) = (self.user_centric_rate, self.num_users) {
            if !(rate_rps > 0.0 && rate_rps <= 1e6) {
                return usage("--user-centric-rate must be above 0, and at most 1e6 requests per second");
            }
            return Ok(LoadConfig::Users { users, rate_rps });
        }
        let series = self.series()?;
        let has_rate = self.request_rate.is_some() || self.rate_profile.is_some() || series.is_some();
        if self.arrival_smoothness.is_some() && !has_rate {
            return usage("--arrival-smoothness needs --request-rate or --rate-profile");
        }
        if self.fixed_schedule {
            return Ok(LoadConfig::Recorded);
        }
        if has_rate {
            let (process, smoothness) = process(self.arrival_pattern, self.arrival_smoothness)?;
            let duration_s = self.benchmark_duration.unwrap_or(0.0);
            let curve = |text: &String| rate("--rate-profile", text, duration_s);
            let curve = self.rate_profile.as_ref().map(curve).transpose()?.or(series);
            let params = ArrivalParams { rate_rps: self.request_rate, smoothness, curve };
            crate::arrival::build(process, &params)?;
            let ramp_s = self.ramp.request_rate_ramp_duration;
            let params = growing("--request-rate-ramp-duration", params, ramp_s)?;
            return Ok(LoadConfig::Rate { process, params });
        }
        if self.trace.input_file.is_some() && !self.no_fixed_schedule && !burst {
            return Ok(LoadConfig::FromTrace);
        }
        if self.max_in_flight.is_some() {
            return usage("--max-in-flight caps a rate or a trace's times; closed-loop load has --concurrency");
        }
        Ok(LoadConfig::Lanes(self.concurrency.unwrap_or(1)))
    }

    fn failed_max(&self) -> Result<Option<FailedMax>> {
        let Some(share) = self.failed_request_threshold else { return Ok(None) };
        if !(0.0..=1.0).contains(&share) {
            return usage("--failed-request-threshold is a share, from 0 to 1");
        }
        let concurrency = self.concurrency.or(self.max_in_flight).unwrap_or(0);
        Ok(Some(FailedMax { share, from_requests: u64::from(concurrency.max(10)) }))
    }

    fn cancellation(&self) -> Result<Option<Cancellation>> {
        let percent = self.request_cancellation_rate;
        if !(0.0..=100.0).contains(&percent) {
            return usage("--request-cancellation-rate must be from 0 to 100 per cent");
        }
        let after_ns = non_negative_ns("--request-cancellation-delay", self.request_cancellation_delay)?;
        Ok((percent > 0.0).then_some(Cancellation { share: percent / 100.0, after_ns }))
    }
}

impl From<OverloadArg> for Overload {
    fn from(typed: OverloadArg) -> Overload {
        match typed {
            OverloadArg::Queue => Overload::Queue,
            OverloadArg::Drop => Overload::Drop,
            OverloadArg::Abort => Overload::Abort,
        }
    }
}

/// The arrival process of a pattern, and its smoothness.
pub(super) fn process(pattern: PatternArg, smoothness: Option<f64>) -> Result<(&'static str, Option<f64>)> {
    match (pattern, smoothness) {
        (PatternArg::Constant, None) => Ok(("constant", None)),
        (PatternArg::Constant, Some(_)) => usage("--arrival-smoothness has no meaning for constant arrivals"),
        (PatternArg::Poisson, None) => Ok(("poisson", None)),
        // A smoothness alone asks for gamma arrivals, as in aiperf.
        (PatternArg::Gamma | PatternArg::Poisson, smoothness) => Ok(("gamma", smoothness)),
        (PatternArg::ConcurrencyBurst, _) => usage("--arrival-pattern concurrency_burst has no rate"),
    }
}

pub(super) fn usage<T>(text: &str) -> Result<T> {
    Err(Error::Usage(text.into()))
}

pub(super) fn law(flag: &str, mean_tokens: f64, stddev_tokens: f64) -> Result<LengthLaw> {
    if !(1.0..=16e6).contains(&mean_tokens) || !(0.0..=16e6).contains(&stddev_tokens) {
        return usage(&format!("{flag} must be from 1 to 16 million tokens, and its standard deviation not negative"));
    }
    Ok(LengthLaw::normal(mean_tokens, stddev_tokens))
}

pub(super) fn positive_ns(flag: &str, seconds: f64) -> Result<i64> {
    match non_negative_ns(flag, seconds)? {
        0 => usage(&format!("{flag} must be more than 0 seconds")),
        ns => Ok(ns),
    }
}

/// Seconds as nanoseconds, at most a century.
pub(super) fn non_negative_ns(flag: &str, seconds: f64) -> Result<i64> {
    if seconds.is_nan() || seconds < 0.0 {
        return usage(&format!("{flag} must be a number of seconds, 0 or more"));
    }
    Ok((seconds.min(3.2e9) * SECOND_NS as f64).round() as i64)
}

fn header(text: &str) -> Result<(String, String)> {
    match text.split_once(':') {
        Some((name, value)) if http::HeaderName::try_from(name.trim()).is_ok() => {
            let value = value.trim();
            http::HeaderValue::try_from(value)
                .map_err(|_| Error::Usage(format!("--header {name}: the value has characters that HTTP forbids")))?;
            Ok((name.trim().to_string(), value.to_string()))
        }
        _ => usage("--header must be NAME:VALUE"),
    }
}

fn session_header(name: &str) -> Result<http::HeaderName> {
    http::HeaderName::try_from(name)
        .map_err(|_| Error::Usage(format!("--session-header {name:?}: HTTP allows no such name of a header")))
}

/// `name:value` pairs and JSON objects, merged in order.
fn extra_fields(inputs: &[String]) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    for input in inputs {
        if input.trim_start().starts_with('{') {
            match serde_json::from_str::<Value>(input) {
                Ok(Value::Object(object)) => fields.extend(object),
                Ok(_) => return usage("--extra-inputs: the JSON is not an object"),
                Err(e) => return usage(&format!("--extra-inputs: not JSON: {e}")),
            }
        } else if let Some((name, value)) = input.split_once(':') {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            fields.insert(name.to_string(), value);
        } else {
            return usage(&format!("--extra-inputs {input}: must be NAME:VALUE or a JSON object"));
        }
    }
    Ok(fields)
}

#[expect(clippy::disallowed_methods, reason = "cli is where the environment is read")]
fn key_from_environment() -> Option<Secret> {
    let read = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
    read("LOADLINE_API_KEY").or_else(|| read("OPENAI_API_KEY")).map(Secret::new)
}

/// A seed nobody chose: the clock's nanoseconds and the process id, mixed. It is recorded, so that the run can be
/// repeated.
pub fn drawn_seed() -> Seed {
    let salt = u64::from(std::process::id()) << 32;
    // 53 bits, so that JSON readers that know doubles alone keep it exactly.
    Seed(crate::rng::mix(crate::time::realtime_ns() as u64 ^ salt) >> 11)
}

#[cfg(test)]
pub(super) mod tests;
