//! Measures what the engine costs above the least that a client can do, in the same run: when its requests arrive next to those
//! of a loop that spins and sends, and what a token costs it next to a loop that receives and throws away.
//!
//! Engine and loop take turns (A B B A), each with the same schedule against a fresh server of the same times.
//! Arrival is the kernel's time of the request at the server.

use serde::{Deserialize, Serialize};

use super::bare::{self, Ask};
use super::bench::{Bench, Load};
use super::spread::{Spread, ratio};
use super::streams::{ITL_NS, TTFT_NS, times_ns};
use crate::arrival::{self, ArrivalParams};
use crate::error::{Error, Result};
use crate::rng::{Seed, Stream};
use crate::sim::config::{ServeConfig, Timing};
use crate::sim::server;
use crate::time::MILLISECOND_NS;

/// Rates, and tokens of each answer: of one they are sends alone, of more also tokens to be read between them.
const SENDS: [(u32, u32); 3] = [(1_000, 1), (10_000, 1), (10_000, 3)];
/// Between tokens of those answers.
const SENDS_ITL_NS: i64 = 3 * MILLISECOND_NS;
/// Streams whose tokens are received.
const STREAMS: u32 = 1_000;
/// Engine and loop, in turn.
const TURNS: [Turn; 4] = [Turn::Engine, Turn::Bare, Turn::Bare, Turn::Engine];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Engine,
    Bare,
}

/// The engine beside bare loops.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// When requests arrive.
    pub arrivals: Vec<ArrivalFloor>,
    /// What a token costs.
    pub tokens: Option<TokenFloor>,
}

/// Arrival at the server minus scheduled time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArrivalFloor {
    /// Requests per second, Poisson.
    pub rate_rps: u32,
    /// Tokens per second that come back at the same time, on the same core.
    pub tokens_per_s: u32,
    /// The engine's.
    pub engine: Spread,
    /// A loop's that spins and sends.
    pub bare: Spread,
}

/// CPU time for each token of so many streams, one token a packet, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenFloor {
    /// Concurrent streams.
    pub streams: u32,
    /// The engine's, everything included but what it spins away before sends.
    pub engine_ns: f64,
    /// A loop's that receives and throws away.
    pub bare_ns: f64,
    /// Tokens per CPU second of the engine over those of the loop.
    pub ratio: f64,
}

/// Measures all of it, `seconds` for each turn of sends.
///
/// # Errors
/// [`Error::Internal`] where the system refuses a thread or a socket, or the kernel stamped no arrival.
pub(super) fn measure(bench: &Bench, seconds: f64, output_tokens: u32) -> Result<Floor> {
    let mut floor = Floor::default();
    for (rate_rps, tokens) in SENDS {
        floor.arrivals.push(arrivals(bench, (rate_rps, tokens), seconds)?);
    }
    if STREAMS <= bench.connections_max() {
        floor.tokens = Some(of_tokens(bench, output_tokens)?);
    }
    Ok(floor)
}

fn arrivals(bench: &Bench, (rate_rps, output_tokens): (u32, u32), seconds: f64) -> Result<ArrivalFloor> {
    let params = ArrivalParams { rate_rps: Some(f64::from(rate_rps)), ..ArrivalParams::default() };
    let count = (f64::from(rate_rps) * seconds).ceil() as usize;
    let times_ns =
        arrival::first(count, &mut *arrival::build("poisson", &params)?, &mut Seed(0).stream(Stream::Arrival));
    let load = Load {
        warmup_ns: Vec::new(),
        times_ns,
        output_tokens,
        timing: Timing::Constant { ttft_ns: 0, itl_ns: SENDS_ITL_NS },
        in_flight_max: None,
        burn_ns: 0,
    };
    let (mut engine, mut bare) = (Vec::new(), Vec::new());
    for turn in TURNS {
        match turn {
            Turn::Engine => engine.extend(engine_arrivals(bench, &load)?),
            Turn::Bare => bare.extend(bare_arrivals(bench, &load)?),
        }
    }
    let spread = |values| Spread::of(values).ok_or_else(|| Error::Internal("the kernel stamped no arrival".into()));
    Ok(ArrivalFloor {
        rate_rps,
        tokens_per_s: if output_tokens > 1 { rate_rps * output_tokens } else { 0 },
        engine: spread(engine)?,
        bare: spread(bare)?,
    })
}

fn engine_arrivals(bench: &Bench, load: &Load) -> Result<Vec<i64>> {
    let seen = bench.drive(load)?;
    let truth = seen.oracle.by_id();
    let late = |row: &crate::record::row::RequestRow| {
        let arrived_ns = truth.get(row.x_request_id.as_str())?.arrived_ns?;
        Some(seen.anchor.from_monotonic(arrived_ns) - row.scheduled_ns)
    };
    Ok(seen.requests.iter().filter_map(late).collect())
}

fn bare_arrivals(bench: &Bench, load: &Load) -> Result<Vec<i64>> {
    let (config, server) = serve(bench, load.timing)?;
    let ask = Ask {
        address: server.addr(),
        model: &config.model,
        output_tokens: load.output_tokens,
        core: bench.client_core,
    };
    let anchor = bare::send(ask, &load.times_ns)?;
    let oracle = server.finish()?;
    let truth = oracle.by_id();
    let late = |(n, at_ns): (usize, &i64)| {
        let arrived_ns = truth.get(bare::id_of(n).as_str())?.arrived_ns?;
        Some(anchor.from_monotonic(arrived_ns) - at_ns)
    };
    Ok(load.times_ns.iter().enumerate().filter_map(late).collect())
}

fn of_tokens(bench: &Bench, output_tokens: u32) -> Result<TokenFloor> {
    let load = Load {
        warmup_ns: Vec::new(),
        times_ns: times_ns(STREAMS, output_tokens),
        output_tokens,
        timing: Timing::Constant { ttft_ns: TTFT_NS, itl_ns: ITL_NS },
        in_flight_max: None,
        burn_ns: 0,
    };
    let (mut engine_ns, mut bare_ns) = (0, 0);
    for turn in TURNS {
        if turn == Turn::Engine {
            let seen = bench.drive(&load)?;
            engine_ns += seen.client_cpu_ns() - seen.client_spun_ns();
        } else {
            let (config, server) = serve(bench, load.timing)?;
            let ask = Ask { address: server.addr(), model: &config.model, output_tokens, core: bench.client_core };
            bare_ns += bare::discard(ask, &load.times_ns)?;
            server.finish()?;
        }
    }
    let tokens = 2.0 * f64::from(STREAMS) * f64::from(output_tokens);
    let each = |total_ns: i64| (total_ns as f64 / tokens).round();
    Ok(TokenFloor {
        streams: STREAMS,
        engine_ns: each(engine_ns),
        bare_ns: each(bare_ns),
        ratio: ratio(bare_ns as f64, engine_ns as f64),
    })
}

fn serve(bench: &Bench, timing: Timing) -> Result<(ServeConfig, server::ServerHandle)> {
    let core = bench.server_core.map(|core| core as usize);
    let config = ServeConfig { timing, oracle: true, core, ..ServeConfig::default() };
    let server = server::spawn(&config)?;
    Ok((config, server))
}
