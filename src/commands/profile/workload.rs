//! The configuration of a run → what the schedule is built from: the trace, and the load of each phase.

use crate::arrival::{self, ArrivalParams};
use crate::cli::config::{LoadConfig, ProfileConfig, SourceConfig, WarmupConfig};
use crate::cli::dataset::PoolConfig;
use crate::cli::prompt::IslCounts;
use crate::error::Result;
use crate::outcome::Phase;
use crate::prompt::source::{Around, TextSource, salted};
use crate::prompt::tokenizer::Tokenizer;
use crate::rng::Stream;
use crate::schedule::dataset::{Dataset, DatasetLaws};
use crate::schedule::graph;
use crate::schedule::spec::{Load, PhaseSpec, PlanSpec, Source, Users};
use crate::time::SECOND_NS;
use crate::trace::bucketing::Bucketing;
use crate::trace::{self, Trace};

/// Requests of a run that nothing else bounds; aiperf's default.
const REQUESTS_DEFAULT: u64 = 10;
/// Different requests of a run that time alone bounds; aiperf's default.
const POOL_DEFAULT: u64 = 100;

/// Reads the trace, where the source is one, and transforms it.
pub(in crate::commands) fn read_trace(config: &ProfileConfig) -> Result<Option<Trace>> {
    let SourceConfig::Trace { path, options, transforms } = &config.source else { return Ok(None) };
    let mut trace = trace::read(path, options)?;
    let bucketing = Bucketing::of(trace.arrivals_ns());
    let at_its_times = matches!(config.load, LoadConfig::FromTrace | LoadConfig::Recorded);
    if bucketing.detected && at_its_times && !transforms.spread_buckets {
        trace
            .notes
            .push(format!("warning: {bucketing}; their bursts are the recorder's: --spread-buckets takes them apart"));
    }
    transforms.apply(&mut trace, config.seed)?;
    Ok(Some(trace))
}

/// The configuration once its trace is known, and that trace: one without times is sent at the concurrency.
pub(in crate::commands) fn settled(config: &ProfileConfig) -> Result<(ProfileConfig, Option<Trace>)> {
    let trace = read_trace(config)?;
    let mut config = config.clone();
    if config.load == LoadConfig::FromTrace {
        let timed = trace.as_ref().is_some_and(|t| t.arrivals_ns().next().is_some());
        config.load =
            if timed { LoadConfig::Recorded } else { LoadConfig::Lanes(config.caps.in_flight_max.take().unwrap_or(1)) };
    }
    Ok((config, trace))
}

/// Gives each phase its load. Both are as [`settled`] gives them.
pub(in crate::commands) fn plan_spec(config: &ProfileConfig, trace: Option<Trace>) -> Result<PlanSpec> {
    let resolved = Resolved::new(config, trace.as_ref());
    let mut phases = Vec::new();
    if let Some(warmup) = &config.warmup {
        phases.push(resolved.warmup(warmup)?);
    }
    phases.push(resolved.profiling()?);
    let source = match (trace, &config.source) {
        (Some(trace), _) => Source::Trace(trace),
        (None, SourceConfig::Synthetic(laws)) => Source::Synthetic(resolved.dataset(laws, &phases)),
        (None, SourceConfig::Trace { .. }) => unreachable!("a trace was read above"),
    };
    Ok(PlanSpec {
        seed: config.seed,
        request: config.request.clone(),
        source,
        sampling: config.pool.sampling,
        output: config.output,
        opening: config.opening.clone(),
        history: config.history,
        phases,
    })
}

/// Opens the tokenizer, and draws nothing: the text's seed is the run's and its salt.
pub(in crate::commands) fn text_source(config: &ProfileConfig) -> Result<TextSource> {
    let tokenizer = Tokenizer::open(&config.prompt.tokenizer)?;
    let around = match config.prompt.isl_counts {
        IslCounts::Prompt => Around::Uncounted,
        IslCounts::Rendered => Around::of(&tokenizer, config.request.endpoint.has_messages())?,
    };
    TextSource::new(tokenizer, around, salted(config.seed, config.prompt.cache_salt.as_deref()))
}

/// The load, with what the trace says of it.
struct Resolved<'a> {
    config: &'a ProfileConfig,
    /// Requests of the trace.
    requests: Option<u64>,
    /// Conversations of the trace: single requests, and groups of those that wait for each other.
    conversations: Option<u64>,
}

impl<'a> Resolved<'a> {
    fn new(config: &'a ProfileConfig, trace: Option<&Trace>) -> Self {
        let conversations = trace.map(|t| match graph::groups_of(t) {
            groups if groups.is_empty() => t.entries.len() as u64,
            groups => (0u32..).zip(&groups).filter(|(entry, group)| entry == *group).count() as u64,
        });
        let requests = trace.map(|t| t.entries.len() as u64);
        Resolved { config, requests, conversations }
    }

    fn profiling(&self) -> Result<PhaseSpec> {
        let config = self.config;
        let load = match &config.load {
            LoadConfig::FromTrace | LoadConfig::Recorded => Load::Recorded,
            LoadConfig::Rate { process, params } => {
                let begun = config.request_count.into_iter().chain(config.pool.conversations).min();
                let count = match (begun, config.duration_ns) {
                    (None, None) => Some(self.conversations.unwrap_or(REQUESTS_DEFAULT)),
                    (count, _) => count,
                };
                self.at_rate(process, params, Stream::Arrival, (count, config.duration_ns))?
            }
            LoadConfig::Lanes(lanes) => {
                let otherwise = match (config.duration_ns, config.pool.conversations) {
                    (None, None) => Some(self.requests.unwrap_or(REQUESTS_DEFAULT)),
                    _ => None,
                };
                Load::Lanes { lanes: *lanes, requests: config.request_count.or(otherwise) }
            }
            LoadConfig::Users { users, rate_rps } => users_load(*users, *rate_rps),
        };
        let unbounded = config.duration_ns.is_none() && config.pool.conversations.is_none() && self.requests.is_none();
        Ok(PhaseSpec {
            requests_max: config.request_count.or(unbounded.then_some(REQUESTS_DEFAULT)),
            conversations_max: config.pool.conversations.or_else(|| self.trace_once(&load)),
            caps: config.caps,
            duration_ns: config.duration_ns,
            grace_ns: config.grace_ns,
            on_overload: config.on_overload,
            cancellation: config.cancellation,
            ..PhaseSpec::new(Phase::Profiling, load)
        })
    }

    fn warmup(&self, warmup: &WarmupConfig) -> Result<PhaseSpec> {
        let load = match &warmup.load {
            LoadConfig::Rate { process, params } => {
                let count = warmup.requests.into_iter().chain(warmup.sessions).min();
                self.at_rate(process, params, Stream::WarmupArrival, (count, warmup.duration_ns))?
            }
            LoadConfig::Lanes(lanes) => Load::Lanes { lanes: *lanes, requests: warmup.requests },
            LoadConfig::FromTrace | LoadConfig::Recorded => Load::Lanes { lanes: 1, requests: warmup.requests },
            LoadConfig::Users { users, rate_rps } => users_load(*users, *rate_rps),
        };
        Ok(PhaseSpec {
            requests_max: warmup.requests,
            conversations_max: warmup.sessions,
            caps: warmup.caps,
            duration_ns: warmup.duration_ns,
            grace_ns: warmup.grace_ns,
            ..PhaseSpec::new(Phase::Warmup, load)
        })
    }

    /// Users go through a trace once, where nothing else bounds them.
    fn trace_once(&self, load: &Load) -> Option<u64> {
        let bounded = self.config.duration_ns.is_some() || self.config.request_count.is_some();
        self.conversations.filter(|_| matches!(load, Load::Users(_)) && !bounded)
    }

    /// The times of as many conversations as there may be, or of all before the end.
    fn at_rate(
        &self,
        process: &str,
        params: &ArrivalParams,
        stream: Stream,
        bounds: (Option<u64>, Option<i64>),
    ) -> Result<Load> {
        let mut process = arrival::build(process, params)?;
        let mut rng = self.config.seed.stream(stream);
        Ok(Load::Times(match bounds {
            (Some(n), end_ns) => {
                let mut times = arrival::first(n as usize, &mut *process, &mut rng);
                times.retain(|t| *t < end_ns.unwrap_or(i64::MAX));
                times
            }
            (None, end_ns) => arrival::before(end_ns.unwrap_or(0), &mut *process, &mut rng),
        }))
    }

    /// The dataset to draw: as large as the user says, or of as many conversations as are sent, as far as that is known.
    fn dataset(&self, laws: &DatasetLaws, phases: &[PhaseSpec]) -> Dataset {
        let conversations = |p: &PhaseSpec| match &p.load {
            Load::Times(times) => times.len() as u64,
            Load::Lanes { requests: Some(n), .. } => *n,
            // Each user has a conversation at any time.
            Load::Users(of) => p.conversations_max.unwrap_or(POOL_DEFAULT.max(u64::from(of.seats))),
            Load::Lanes { requests: None, .. } | Load::Recorded => p.conversations_max.unwrap_or(POOL_DEFAULT),
        };
        let requests = |p: &PhaseSpec| match &p.load {
            Load::Lanes { requests: Some(n), .. } => *n,
            _ => p.requests_max.unwrap_or(u64::MAX),
        };
        let PoolConfig { entries, conversations: asked, .. } = self.config.pool;
        let drawn = || phases.iter().map(conversations).max().unwrap_or(REQUESTS_DEFAULT).max(1);
        Dataset {
            laws: laws.clone(),
            conversations: entries.or(asked).unwrap_or_else(drawn),
            requests: phases.iter().map(requests).max().unwrap_or(u64::MAX).max(1),
            repeats: entries.is_some(),
        }
    }
}

fn users_load(users: u32, rate_rps: f64) -> Load {
    let gap_ns = (f64::from(users) / rate_rps * SECOND_NS as f64).round() as i64;
    Load::Users(Users { seats: users, gap_ns: gap_ns.max(1) })
}
