//! The phases of a plan in simulated time: one worker, on this thread, whose clock its transport moves.
//!
//! In: a [`Plan`], a clock that stands still, a [`Transport`] that moves it. Out: the rows and the report of a run, as
//! from [`super::run`]; of the machine's own doing (cores, gaps, CPU) there is none to tell.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::live::LiveCounters;
use super::stop::StopSwitch;
use super::transport::Transport;
use super::worker::{Worker, WorkerSpec};
use super::{EngineReport, PHASE_LEAD_NS, Tick};
use crate::error::{Error, Result};
use crate::outcome::Phase;
use crate::record::manifest::{PhaseWindow, WorkerSummary};
use crate::record::ring::Recorder;
use crate::schedule::Plan;
use crate::time::{Clock, SimClock};

/// What a run in simulated time is given.
#[derive(Debug)]
pub struct SimulatedSpec<T> {
    /// The schedule.
    pub plan: Arc<Plan>,
    /// The network, and what answers behind it.
    pub transport: T,
    /// The clock that it moves.
    pub clock: SimClock,
    /// The one worker's recorder.
    pub recorder: Recorder,
    /// Time from a request's send to its giving up.
    pub timeout_ns: i64,
    /// Names this run in `X-Request-Id`.
    pub run_id: String,
    /// The stop switch.
    pub stop: Arc<StopSwitch>,
}

/// Runs every phase of the plan to its end. A viewer is told of progress at the ends of phases.
///
/// # Errors
/// [`Error::Internal`] for a transport that waits for anything but the clock.
pub fn run<T: Transport>(mut spec: SimulatedSpec<T>, on_tick: &mut dyn FnMut(Tick<'_>)) -> Result<EngineReport> {
    spec.recorder.wait_for_room();
    let phases: Vec<Phase> = spec.plan.phases.iter().map(|p| p.phase).collect();
    let worker = WorkerSpec { worker: 0, workers: 1, timeout_ns: spec.timeout_ns, run_id: spec.run_id, burn_ns: 0 };
    let live = Arc::new(LiveCounters::default());
    let clock = spec.clock;
    let mut worker =
        Worker::new(worker, spec.plan, (clock.clone(), spec.transport), spec.recorder, (live.clone(), spec.stop));
    let mut report = EngineReport::default();
    let mut in_flight_max = 0;
    for (index, phase) in phases.into_iter().enumerate() {
        let start_ns = clock.now_ns() + PHASE_LEAD_NS;
        let share = at_once(worker.run_phase(index, start_ns))?;
        let elapsed_ns = clock.now_ns() - start_ns;
        on_tick(Tick { phase, elapsed_ns, live: live.snapshot(), workers: std::slice::from_ref(&live) });
        report.scheduled += share.scheduled;
        report.outcomes.merge(&share.outcomes);
        in_flight_max = in_flight_max.max(share.in_flight_max);
        let window = Some(PhaseWindow { start_ns, end_ns: share.end_ns.max(start_ns) });
        match phase {
            Phase::Warmup => report.warmup = window,
            Phase::Profiling => report.profiling = window,
        }
    }
    let seen = live.snapshot();
    report.tokens_lost = worker.tokens_lost();
    report.workers = vec![WorkerSummary {
        sent: seen.sent,
        events: seen.events,
        in_flight_max,
        connections: worker.transport().connections(),
        stall_max_ns: seen.dispatch_lag_max_ns,
        replies_stood_in: worker.replies_stood_in(),
        ..WorkerSummary::default()
    }];
    Ok(report)
}

fn at_once<T>(work: impl Future<Output = T>) -> Result<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(Error::Internal("a simulated network waited for the real world".into())),
    }
}
