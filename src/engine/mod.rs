//! The data plane: one thread per core, nothing shared but the plan, obeying the schedule and recording what it saw.
//!
//! In: a [`Plan`], a [`Target`], one [`Recorder`] per worker. Out: rows (through the recorders) and a report of how
//! the workers fared. It computes no metric and prints nothing; a viewer is told of progress through a callback.

pub mod affinity;
pub mod agenda;
mod conversations;
pub mod dial;
pub mod flight;
pub mod http1;
pub mod http2;
pub mod interference;
mod kernel_clock;
pub mod lane;
pub mod limits;
pub mod live;
pub mod pace;
mod places;
pub mod realtime;
pub(crate) mod recv;
mod reply;
pub mod reuse;
pub mod simulated;
pub mod spread;
pub mod stamped;
pub mod stream;
pub mod target;
pub mod tasked;
pub mod stop;
pub mod tls;
pub mod transport;
pub mod worker;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::{Context, Waker};
use std::time::Duration;

use http1::Http1;
use http2::Http2;
use interference::{CpuTimes, Interference};
use lane::Lane;
use live::{LiveCounters, LiveSnapshot, LiveSpreads};
use pace::Pacing;
use stop::{FailedMax, StopSwitch};
use target::{Protocol, Target};
use transport::Transport;
use worker::{PhaseShare, Worker, WorkerSpec};

use crate::error::{Error, Result};
use crate::outcome::{OutcomeClass, OutcomeCounts, Phase};
use crate::record::manifest::{PhaseWindow, TransmitStamps, WorkerSummary};
use crate::record::ring::Recorder;
use crate::schedule::Plan;
use crate::time::{Clock, MILLISECOND_NS, SystemClock};

/// How far ahead of now a phase starts, so that every worker is ready when it does.
const PHASE_LEAD_NS: i64 = 2 * MILLISECOND_NS;
/// How often a viewer is told of progress.
const TICK: Duration = Duration::from_millis(100);

/// Who speaks HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HttpClient {
    /// Our own lane.
    #[default]
    Lane,
    /// hyper, which the lane is measured and tested against.
    Hyper,
}

impl HttpClient {
    /// The name in flags and files.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpClient::Lane => "lane",
            HttpClient::Hyper => "hyper",
        }
    }
}

/// What an engine is given.
#[derive(Debug)]
pub struct EngineSpec {
    /// The schedule.
    pub plan: Arc<Plan>,
    /// Where requests go.
    pub target: Target,
    /// Who speaks HTTP/1.1.
    pub client: HttpClient,
    /// How the time before a send is spent.
    pub pacing: Pacing,
    /// Whether the workers run under the kernel's real-time policy; see [`realtime`].
    pub realtime: bool,
    /// The run's clock.
    pub clock: SystemClock,
    /// Time from a request's send to its giving up.
    pub timeout_ns: i64,
    /// Names this run in `X-Request-Id`.
    pub run_id: String,
    /// The cores to run on, one worker each.
    pub cores: Vec<u32>,
    /// One recorder for each worker.
    pub recorders: Vec<Recorder>,
    /// The stop switch.
    pub stop: Arc<StopSwitch>,
    /// How many requests of the measurement may fail before the run is stopped.
    pub failed_max: Option<FailedMax>,
    /// Time that each worker spins away after every body signal, to be as busy as that makes it; 0 but for calibration.
    pub burn_ns: i64,
}

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct EngineReport {
    /// Requests scheduled, warm-up included.
    pub scheduled: u64,
    /// How they ended.
    pub outcomes: OutcomeCounts,
    /// The warm-up's window.
    pub warmup: Option<PhaseWindow>,
    /// The measurement's window.
    pub profiling: Option<PhaseWindow>,
    /// The workers.
    pub workers: Vec<WorkerSummary>,
    /// Token rows that found a ring full.
    pub tokens_lost: u64,
    /// Whether more of the measurement's requests failed than may.
    pub too_many_failed: bool,
}

/// Progress of a run, for a viewer.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// The phase.
    pub phase: Phase,
    /// Time since its start.
    pub elapsed_ns: i64,
    /// The counters of all workers, warm-up included.
    pub live: LiveSnapshot,
    workers: &'a [Arc<LiveCounters>],
}

impl Tick<'_> {
    /// The durations of all workers so far, warm-up included.
    pub fn spreads(&self) -> LiveSpreads {
        let mut sum = LiveSpreads::default();
        self.workers.iter().for_each(|live| live.add_spreads_to(&mut sum));
        sum
    }
}

/// Runs every phase of the plan to its end.
pub fn run(spec: EngineSpec, on_tick: &mut dyn FnMut(Tick<'_>)) -> Result<EngineReport> {
    let phases: Vec<Phase> = spec.plan.phases.iter().map(|p| p.phase).collect();
    let crew = Crew::muster(spec)?;
    let mut report = EngineReport::default();
    for (index, phase) in phases.into_iter().enumerate() {
        let window = Some(crew.run_phase((index, phase), &mut report, on_tick)?);
        match phase {
            Phase::Warmup => report.warmup = window,
            Phase::Profiling => report.profiling = window,
        }
    }
    crew.dismiss(&mut report)?;
    Ok(report)
}

/// A worker's thread, as the leader holds it.
struct Member {
    starts: Sender<(usize, i64)>,
    thread: std::thread::JoinHandle<std::io::Result<(WorkerSummary, u64)>>,
}

/// All workers, and what they say.
struct Crew {
    members: Vec<Member>,
    live: Vec<Arc<LiveCounters>>,
    done: Receiver<PhaseShare>,
    clock: SystemClock,
    stop: Arc<StopSwitch>,
    failed_max: Option<FailedMax>,
}

impl Crew {
    /// Starts the workers' threads; each waits for its first phase.
    fn muster(spec: EngineSpec) -> Result<Crew> {
        let (done_tx, done) = channel();
        let workers = spec.recorders.len() as u32;
        let (mut members, mut published) = (Vec::new(), Vec::new());
        for (number, (recorder, core)) in (0u32..).zip(spec.recorders.into_iter().zip(spec.cores.iter().cycle())) {
            let live = Arc::new(LiveCounters::default());
            let (starts, start_rx) = channel();
            let job = Job {
                spec: WorkerSpec {
                    worker: number,
                    workers,
                    timeout_ns: spec.timeout_ns,
                    run_id: spec.run_id.clone(),
                    burn_ns: spec.burn_ns,
                },
                plan: spec.plan.clone(),
                target: spec.target.clone(),
                client: spec.client,
                pacing: spec.pacing,
                realtime: spec.realtime,
                clock: spec.clock,
                core: *core,
                recorder,
                live: live.clone(),
                stop: spec.stop.clone(),
                starts: start_rx,
                done: done_tx.clone(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || job.run())
                .map_err(|e| Error::Internal(format!("worker {number} cannot start: {e}")))?;
            members.push(Member { starts, thread });
            published.push(live);
        }
        let (stop, failed_max) = (spec.stop, spec.failed_max);
        Ok(Crew { members, live: published, done, clock: spec.clock, stop, failed_max })
    }

    /// Starts one phase on all workers and waits until all have ended it. Gives the phase's window.
    fn run_phase(
        &self,
        (index, phase): (usize, Phase),
        report: &mut EngineReport,
        on_tick: &mut dyn FnMut(Tick<'_>),
    ) -> Result<PhaseWindow> {
        let start_ns = self.clock.now_ns() + PHASE_LEAD_NS;
        let mut window = PhaseWindow { start_ns, end_ns: start_ns };
        for member in &self.members {
            // A worker that has died is found out below, by its missing share.
            let _ = member.starts.send((index, start_ns));
        }
        let (mut missing, before) = (self.members.len(), self.snapshot());
        let mut outcomes = OutcomeCounts::default();
        let failed_max = self.failed_max.filter(|_| phase == Phase::Profiling);
        while missing > 0 {
            match self.done.recv_timeout(TICK) {
                Ok(share) => {
                    report.scheduled += share.scheduled;
                    report.outcomes.merge(&share.outcomes);
                    outcomes.merge(&share.outcomes);
                    window.end_ns = window.end_ns.max(share.end_ns);
                    missing -= 1;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let live = self.snapshot();
                    let since = |class| live.of_class(class) - before.of_class(class);
                    let (failed, completed) = (since(OutcomeClass::Failed), since(OutcomeClass::Completed));
                    if failed_max.is_some_and(|most| most.is_exceeded(failed, completed)) {
                        self.stop.give_up();
                    }
                    let elapsed_ns = self.clock.now_ns() - start_ns;
                    on_tick(Tick { phase, elapsed_ns, live, workers: &self.live });
                    // One dead worker's share would be waited for in vain.
                    if self.members.iter().any(|m| m.thread.is_finished()) {
                        return Err(Error::Internal("a worker ended before the run did".into()));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Internal("every worker ended before the run did".into()));
                }
            }
        }
        let (failed, completed) = (outcomes.of_class(OutcomeClass::Failed), outcomes.of_class(OutcomeClass::Completed));
        report.too_many_failed |= failed_max.is_some_and(|most| most.is_exceeded(failed, completed));
        Ok(window)
    }

    /// The counters of all workers.
    fn snapshot(&self) -> LiveSnapshot {
        let snapshots = self.live.iter().map(|live| live.snapshot());
        snapshots.fold(LiveSnapshot::default(), LiveSnapshot::merge)
    }

    /// Lets the workers go and takes their reports.
    fn dismiss(self, report: &mut EngineReport) -> Result<()> {
        for Member { starts, thread, .. } in self.members {
            drop(starts);
            let summary = thread.join().map_err(|_| Error::Internal("a worker panicked".into()))?;
            let (summary, tokens_lost) = summary.map_err(|e| Error::Internal(format!("a worker cannot run: {e}")))?;
            report.tokens_lost += tokens_lost;
            report.workers.push(summary);
        }
        Ok(())
    }
}

/// What a worker's thread takes along.
struct Job {
    spec: WorkerSpec,
    plan: Arc<Plan>,
    target: Target,
    client: HttpClient,
    pacing: Pacing,
    realtime: bool,
    clock: SystemClock,
    core: u32,
    recorder: Recorder,
    live: Arc<LiveCounters>,
    stop: Arc<StopSwitch>,
    starts: Receiver<(usize, i64)>,
    done: Sender<PhaseShare>,
}

impl Job {
    fn run(self) -> std::io::Result<(WorkerSummary, u64)> {
        let pinned = affinity::pin_to(self.core);
        if self.realtime {
            realtime::enter()?;
        }
        let (worker, core, live) = (self.spec.worker, self.core, self.live.clone());
        let mut ran = Ran::default();
        let (target, clock) = (self.target.clone(), self.clock);
        match (target.protocol, self.client) {
            (Protocol::Http1, HttpClient::Lane) => {
                let lane = Lane::new(&target, clock, self.pacing)?;
                at_once(self.work(lane, &mut ran, |lane, ran| {
                    ran.spun_ns = lane.spun_ns();
                    ran.clock_steps = lane.clock_steps();
                    ran.transmit = lane.transmit_stamps();
                }));
            }
            (Protocol::Http1, HttpClient::Hyper) => {
                on_tokio(async {
                    self.work(Http1::transport(target, clock)?, &mut ran, |t, ran| ran.clock_steps = t.clock_steps())
                        .await;
                    Ok(())
                })?;
            }
            (Protocol::Http2 { .. }, _) => {
                on_tokio(async {
                    self.work(Http2::transport(target, clock)?, &mut ran, |t, ran| ran.clock_steps = t.clock_steps())
                        .await;
                    Ok(())
                })?;
            }
        }
        let cpu = CpuTimes::of_this_thread();
        let seen = live.snapshot();
        let summary = WorkerSummary {
            worker,
            core: pinned.then_some(core),
            sent: seen.sent,
            events: seen.events,
            in_flight_max: ran.in_flight_max,
            connections: ran.connections,
            stall_max_ns: seen.dispatch_lag_max_ns,
            cpu_ns: cpu.cpu_ns,
            spun_ns: ran.spun_ns,
            clock_steps: ran.clock_steps,
            transmit: ran.transmit,
            replies_stood_in: ran.replies_stood_in,
            gap_max_ns: ran.interference.as_ref().map_or(0, Interference::gap_max_ns),
            run_delay_ns: cpu.run_delay_ns,
            timeline: ran.interference.map(Interference::windows).unwrap_or_default(),
        };
        Ok((summary, ran.tokens_lost))
    }

    /// Works through the phases that the leader starts. `ask` takes what only this transport knows, at the end.
    async fn work<T: Transport>(self, transport: T, ran: &mut Ran, ask: impl FnOnce(&T, &mut Ran)) {
        let mut worker =
            Worker::new(self.spec, self.plan, (self.clock, transport), self.recorder, (self.live, self.stop));
        while let Ok((phase, start_ns)) = self.starts.recv() {
            let share = worker.run_phase(phase, start_ns).await;
            ran.in_flight_max = ran.in_flight_max.max(share.in_flight_max);
            // A leader that is gone has given the run up; the next start then fails too.
            let _ = self.done.send(share);
        }
        ran.connections = worker.transport().connections();
        ran.tokens_lost = worker.tokens_lost();
        ran.replies_stood_in = worker.replies_stood_in();
        ask(worker.transport(), ran);
        ran.interference = Some(worker.into_interference());
    }
}

/// What a worker saw of itself.
#[derive(Debug, Default)]
struct Ran {
    in_flight_max: u64,
    connections: u64,
    tokens_lost: u64,
    spun_ns: i64,
    clock_steps: u64,
    transmit: Option<TransmitStamps>,
    replies_stood_in: u64,
    interference: Option<Interference>,
}

/// Runs a future on a runtime of this thread alone.
fn on_tokio(work: impl Future<Output = std::io::Result<()>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Runs a future that never waits for anything but its own thread.
fn at_once(work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    while work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
}
