//! Measures this host's client against a truth that is in the same process, and keeps the result for later runs to cite.
//!
//! In: [`Options`]. Out: a [`Calibration`]: cost of the clock ([`clock`]), lateness of timers ([`timers`]), send lag against
//! the request rate ([`sends`]), errors of token times against the server's own ([`streams`]), those of a client that is kept busy
//! ([`burn`], on request), the engine beside loops that do the least ([`floor`], on request), and what follows from them ([`limits`]). `bench` drives a load; `usage` tells
//! whether others were at work; [`mod@file`] reads and writes.
//! Invariants: nothing is asserted that was not measured here and now; a step that cannot run says why.
//! Not here: printing.

mod bare;
mod bench;
pub mod burn;
pub mod clock;
pub mod file;
pub mod floor;
pub mod limits;
pub mod sends;
pub mod spread;
pub mod streams;
pub mod timers;
mod usage;

use serde::{Deserialize, Serialize};

pub use file::{Calibration, Citation, Setup};

use self::bench::Bench;
use self::limits::Limits;
use self::usage::Usage;
use crate::error::Result;
use crate::record::manifest::Host;
use crate::time::realtime_ns;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Fewer and shorter steps.
    pub quick: bool,
    /// Also how token times fare on a client that is kept busy.
    pub burn: bool,
    /// Also what the engine costs above bare loops.
    pub floor: bool,
    /// Bound on the p99 of send lag and of token errors, in nanoseconds.
    pub bound_ns: i64,
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult<T> {
    /// It ran.
    Measured(T),
    /// It could not run: why, and what would let it.
    Skipped(String),
}

/// How far a calibration has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps that are done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// What is measured now.
    pub now: Step,
}

/// One step of a calibration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The clock.
    Clock,
    /// Timers at so many waits per second.
    Timers(u32),
    /// Requests at so many per second.
    Sends(u32),
    /// So many streams.
    Streams(u32),
    /// A client that is kept busy for so many percent of its time.
    Burn(u32),
    /// The engine and bare loops in turn.
    Floor,
}

/// How long the steps are.
struct Extent {
    timer_s: f64,
    rates: &'static [u32],
    rate_s: f64,
    /// Streams, and tokens of each answer.
    streams: &'static [(u32, u32)],
    /// Tokens of each answer to a client that is kept busy.
    burn_tokens: u32,
}

const TIMER_RATES: [u32; 2] = [1_000, 10_000];
const FULL: Extent = Extent {
    timer_s: 1.0,
    rates: &[500, 1_000, 2_000, 5_000, 10_000, 20_000],
    rate_s: 0.8,
    streams: &[(1, 20), (100, 100), (1_000, 100), (4_000, 120)],
    burn_tokens: 200,
};
const QUICK: Extent = Extent {
    timer_s: 0.2,
    rates: &[500, 2_000, 10_000],
    rate_s: 0.3,
    streams: &[(1, 5), (100, 20), (1_000, 30)],
    burn_tokens: 40,
};

impl Extent {
    fn steps(&self, aims: &[u32], floor: bool) -> usize {
        1 + TIMER_RATES.len() + self.rates.len() + self.streams.len() + aims.len() + usize::from(floor)
    }
}

/// Measures everything, one step after another: up to a minute, a tenth of it where `quick`.
///
/// # Errors
/// [`crate::error::Error::Internal`] where the system refuses a thread, a timer or a socket.
pub fn run(options: Options, on_step: &mut dyn FnMut(Progress)) -> Result<Calibration> {
    let extent = if options.quick { QUICK } else { FULL };
    let aims: &[u32] = if options.burn { &burn::AIMS } else { &[] };
    let bench = Bench::here();
    let unix_ns = realtime_ns();
    let before = Usage::now();
    let mut done = 0;
    let mut begin = |now| {
        on_step(Progress { done, total: extent.steps(aims, options.floor), now });
        done += 1;
    };
    begin(Step::Clock);
    let clock = clock::measure();
    let (mut timers, mut sends, mut streams, mut busy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for rate in TIMER_RATES {
        begin(Step::Timers(rate));
        timers.push(timers::measure(rate, extent.timer_s, bench.client_core)?);
    }
    for rate in extent.rates {
        begin(Step::Sends(*rate));
        sends.push(sends::measure(&bench, *rate, extent.rate_s)?);
    }
    for (n, output_tokens) in extent.streams {
        begin(Step::Streams(*n));
        streams.push(streams::measure(&bench, *n, *output_tokens, 0)?);
    }
    for aim in aims {
        begin(Step::Burn(*aim));
        busy.push(burn::at(&bench, *aim, extent.burn_tokens, &busy)?);
    }
    let mut floor = None;
    if options.floor {
        begin(Step::Floor);
        floor = Some(floor::measure(&bench, extent.rate_s, extent.burn_tokens)?);
    }
    Ok(Calibration {
        schema_version: file::SCHEMA_VERSION,
        loadline_version: env!("CARGO_PKG_VERSION").into(),
        unix_ns,
        host: Host::detect(),
        setup: Setup {
            quick: options.quick,
            client_core: bench.client_core,
            server_core: bench.server_core,
            descriptors: bench.descriptors,
            others_share: before.zip(Usage::now()).map(|(before, after)| before.others_share(after)),
        },
        clock,
        timers,
        limits: Limits::of(&sends, &streams, options.bound_ns),
        sends,
        streams,
        burn: busy,
        floor,
    })
}

/// The result of a step that needs more connections than there are descriptors for.
fn skipped<T>(connections: u64, bench: &Bench) -> StepResult<T> {
    StepResult::Skipped(format!(
        "{connections} connections have both their ends in this process, and its limit of {} descriptors has room for {} \
         (raise it: ulimit -Hn, LimitNOFILE)",
        bench.descriptors,
        bench.connections_max()
    ))
}
