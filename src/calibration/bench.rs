//! Drives one load from one worker of the engine into a simulated server in this process, and brings together what the two
//! saw.
//!
//! In: a [`Load`]. Out: [`Seen`], the client's rows beside the server's own times.
//! Invariants: client and server have a core each where there are two; rows are taken from the ring by a thread of their
//! own, as in a run, so that the ring's chunks circulate.
//! Not here: what the numbers mean.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Uri, header};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::endpoint::{EndpointType, RequestOptions};
use crate::engine::dial::{Dialer, Peer};
use crate::engine::pace::Pacing;
use crate::engine::stop::StopSwitch;
use crate::engine::target::{Protocol, SESSION_HEADER, Target};
use crate::engine::{self, EngineReport, EngineSpec, HttpClient, affinity};
use crate::error::{Error, Result};
use crate::outcome::{Outcome, Phase};
use crate::record::manifest::PhaseWindow;
use crate::record::ring::{Intake, Parcel, ring};
use crate::record::row::{RequestRow, TokenRow};
use crate::rng::Seed;
use crate::schedule::conversation::History;
use crate::schedule::dataset::Dataset;
use crate::schedule::opening::OpeningSpec;
use crate::schedule::order::Sampling;
use crate::schedule::spec::{LengthLaw, Load as Release, PhaseSpec, PlanSpec, Source};
use crate::schedule::{Caps, Plan};
use crate::sim::config::{ServeConfig, Timing};
use crate::sim::oracle::Oracle;
use crate::sim::server;
use crate::time::{Anchor, SECOND_NS, SystemClock};

/// Parcels on the way from the worker to the collector; a run's ring has as many.
const RING_PARCELS: usize = 8192;
/// Longest sleep of a collector that has nothing to do.
const IDLE: Duration = Duration::from_millis(2);
/// Tokens of every prompt.
const PROMPT_TOKENS: f64 = 8.0;
/// A request that takes longer has failed.
const TIMEOUT_NS: i64 = 30 * SECOND_NS;
/// Descriptors that are not connections: the runtimes', the listener, the standard three.
const DESCRIPTORS_BESIDE: u64 = 96;

/// Where client and server run, and how many connections they may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bench {
    /// The worker's core.
    pub(super) client_core: u32,
    /// The server's, where there is a second one.
    pub(super) server_core: Option<u32>,
    /// Descriptors that this process may have.
    pub(super) descriptors: u64,
}

/// Open-loop load, streamed.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Times of the warm-up's requests since its start; may be empty.
    pub(super) warmup_ns: Vec<i64>,
    /// Times of the measured requests since theirs.
    pub(super) times_ns: Vec<i64>,
    /// Tokens of every answer.
    pub(super) output_tokens: u32,
    /// The server's times.
    pub(super) timing: Timing,
    /// Requests in flight, at most.
    pub(super) in_flight_max: Option<u32>,
    /// Time that the worker spins away after every body signal.
    pub(super) burn_ns: i64,
}

/// What both sides saw.
#[derive(Debug)]
pub(super) struct Seen {
    /// Requests of the measurement.
    pub(super) requests: Vec<RequestRow>,
    /// Stream events of all requests, by request and number.
    pub(super) tokens: Vec<TokenRow>,
    /// The server's side.
    pub(super) oracle: Oracle,
    /// The axis of the client's times.
    pub(super) anchor: Anchor,
    /// What the engine says of itself.
    pub(super) report: EngineReport,
}

impl Bench {
    /// The first core for the client, the last for the server, as in a run; the limit of descriptors raised to what the
    /// system grants.
    pub(super) fn here() -> Bench {
        let cores = affinity::allowed_cores();
        let limit = getrlimit(Resource::Nofile);
        // A refusal leaves the limit that is there, which is then the one to keep to.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        Bench {
            client_core: cores[0],
            server_core: cores[1..].last().copied(),
            descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        }
    }

    /// Connections that can be open at once: each has both its ends in this process.
    pub(super) fn connections_max(&self) -> u32 {
        u32::try_from(self.descriptors.saturating_sub(DESCRIPTORS_BESIDE) / 2).unwrap_or(u32::MAX)
    }

    /// Runs the load to its end.
    ///
    /// # Errors
    /// [`Error::Internal`] where the system refuses a thread or a socket.
    pub(super) fn drive(&self, load: &Load) -> Result<Seen> {
        let core = self.server_core.map(|core| core as usize);
        let config = ServeConfig { timing: load.timing, oracle: true, core, ..ServeConfig::default() };
        let server = server::spawn(&config)?;
        let clock = SystemClock::starting_in(0);
        let (recorder, intake) = ring(RING_PARCELS);
        let spec = EngineSpec {
            plan: Arc::new(plan(load, &config.model)?),
            target: target(server.addr())?,
            client: HttpClient::default(),
            pacing: Pacing::default(),
            realtime: false,
            clock,
            timeout_ns: TIMEOUT_NS,
            run_id: "calibrate".into(),
            cores: vec![self.client_core],
            recorders: vec![recorder],
            stop: Arc::new(StopSwitch::default()),
            failed_max: None,
            burn_ns: load.burn_ns,
        };
        let collector = std::thread::Builder::new().name("collector".into()).spawn(move || collect(intake));
        let collector = collector.map_err(|e| Error::Internal(format!("cannot start a thread: {e}")))?;
        let report = engine::run(spec, &mut |_| {});
        let rows = collector.join().map_err(|_| Error::Internal("the collector panicked".into()))?;
        let (mut requests, mut tokens) = rows;
        requests.retain(|r| r.phase == Phase::Profiling);
        requests.sort_unstable_by_key(|r| r.request_id);
        tokens.sort_unstable_by_key(|t| (t.request_id, t.seq));
        Ok(Seen { requests, tokens, oracle: server.finish()?, anchor: clock.anchor(), report: report? })
    }
}

impl Seen {
    /// The time that the CPU times are of: warm-up and measurement.
    pub(super) fn window_ns(&self) -> i64 {
        let windows = [self.report.warmup, self.report.profiling];
        let start_ns = windows.iter().flatten().map(|w: &PhaseWindow| w.start_ns).min().unwrap_or(0);
        windows.iter().flatten().map(|w| w.end_ns).max().unwrap_or(0) - start_ns
    }

    /// CPU time of the client's worker.
    pub(super) fn client_cpu_ns(&self) -> i64 {
        self.report.workers.iter().map(|w| w.cpu_ns).sum()
    }

    /// Of that, what it spun away before sends.
    pub(super) fn client_spun_ns(&self) -> i64 {
        self.report.workers.iter().map(|w| w.spun_ns).sum()
    }

    /// Most requests in flight at once.
    pub(super) fn in_flight_max(&self) -> u64 {
        self.report.workers.iter().map(|w| w.in_flight_max).sum()
    }

    /// Measured requests that did not complete.
    pub(super) fn failed(&self) -> u64 {
        self.requests.iter().filter(|r| r.outcome != Outcome::Completed).count() as u64
    }
}

fn plan(load: &Load, model: &str) -> Result<Plan> {
    let phase = |phase, times: &Vec<i64>| PhaseSpec {
        caps: Caps { in_flight_max: load.in_flight_max, ..Caps::default() },
        ..PhaseSpec::new(phase, Release::Times(times.clone()))
    };
    let mut phases = vec![phase(Phase::Profiling, &load.times_ns)];
    if !load.warmup_ns.is_empty() {
        phases.insert(0, phase(Phase::Warmup, &load.warmup_ns));
    }
    PlanSpec {
        seed: Seed(0),
        request: RequestOptions {
            endpoint: EndpointType::Chat,
            model: model.into(),
            streaming: true,
            extra: serde_json::Map::new(),
            force_output: false,
            legacy_max_tokens: false,
        },
        source: Source::Synthetic(Dataset::single_turns(
            LengthLaw::exactly(PROMPT_TOKENS),
            load.times_ns.len().max(1) as u64,
        )),
        sampling: Sampling::Sequential,
        output: Some(LengthLaw::exactly(f64::from(load.output_tokens))),
        opening: OpeningSpec::default(),
        history: History::Planned,
        phases,
    }
    .build()
}

/// Chat completions of the server at `address`.
pub(super) fn target(address: std::net::SocketAddr) -> Result<Target> {
    let internal = |e: &dyn std::fmt::Display| Error::Internal(format!("{address} makes no request: {e}"));
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_str(&address.to_string()).map_err(|e| internal(&e))?);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let uri = Uri::try_from(EndpointType::Chat.path("")).map_err(|e| internal(&e))?;
    let dialer = Dialer::new(Peer::Tcp(vec![address]), Vec::new());
    Ok(Target {
        dialer,
        tls: None,
        protocol: Protocol::Http1,
        uri,
        headers,
        session_header: SESSION_HEADER,
        streaming: true,
        reuse: true,
    })
}

/// Takes everything out of the ring until its worker has ended.
fn collect(mut intake: Intake) -> (Vec<RequestRow>, Vec<TokenRow>) {
    let (mut requests, mut tokens) = (Vec::new(), Vec::new());
    loop {
        match intake.pop() {
            Some(Parcel::Tokens(chunk)) => {
                tokens.extend(chunk.rows());
                intake.recycle(chunk);
            }
            Some(Parcel::Request(row)) => requests.push(*row),
            // It asks for none.
            Some(Parcel::Run(_) | Parcel::Exchange(_)) => {}
            None if intake.is_closed() => return (requests, tokens),
            None => std::thread::park_timeout(IDLE),
        }
    }
}
