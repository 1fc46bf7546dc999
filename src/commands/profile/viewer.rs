//! The ticks of an engine → frames for whoever watches: rates and distributions over the last seconds.
//!
//! It reads what the workers publish and never makes them wait. Not here: how a frame looks (`report`).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::Tick;
use crate::engine::live::{LiveSnapshot, LiveSpreads};
use crate::engine::spread::Spread;
use crate::engine::stop::{Stop, StopSwitch};
use crate::outcome::{Outcome, Phase};
use crate::report::dashboard::{Frame, Rates, Recent};
use crate::report::progress::Progress;
use crate::schedule::{Plan, Release};
use crate::time::{MILLISECOND_NS, SECOND_NS};

/// The time that rates and distributions are of.
const OVER_NS: i64 = 5 * SECOND_NS;
/// Least time between two readings that are kept.
const READING_NS: i64 = 240 * MILLISECOND_NS;
/// Seconds whose rate of sending is drawn.
const SECONDS: usize = 90;

/// What the user is told of a stop.
pub(super) fn notice(asked: Stop) -> Option<&'static str> {
    match asked {
        Stop::No => None,
        Stop::Drain => Some("Interrupted: nothing more is sent. Interrupt again to give up what is in flight."),
        Stop::Cut => Some("Interrupted again: giving up what is in flight."),
    }
}

/// The run at one moment.
struct Reading {
    elapsed_ns: i64,
    offered: u64,
    live: LiveSnapshot,
    spreads: LiveSpreads,
}

/// What can be expected of a phase.
struct ExpectedPhase {
    phase: Phase,
    /// Requests of this phase and those before it; `None` where time alone bounds it.
    requests: Option<u64>,
    /// Requests of the phases before it.
    before: u64,
    total_s: Option<f64>,
    /// Times of its slots in order, where the clock releases all of them.
    due_ns: Option<Vec<i64>>,
}

impl ExpectedPhase {
    /// Requests that were due by then.
    fn offered(&self, elapsed_ns: i64, sent: u64) -> u64 {
        self.due_ns.as_ref().map_or(sent, |due_ns| self.before + due_ns.partition_point(|t| *t <= elapsed_ns) as u64)
    }
}

/// Watches a run.
pub(super) struct Viewer {
    progress: Progress,
    title: String,
    stop: Arc<StopSwitch>,
    phases: Vec<ExpectedPhase>,
    phase: Option<Phase>,
    /// Readings of the last seconds, oldest first.
    past: VecDeque<Reading>,
    shown_ns: i64,
    sent_by_second: VecDeque<u64>,
    seconds_counted: i64,
    /// Requests sent in them and before.
    sent_counted: u64,
}

impl Viewer {
    pub(super) fn new(progress: Progress, title: String, stop: Arc<StopSwitch>, plan: &Plan) -> Viewer {
        let phases = if progress.interval().is_some() { expected(plan) } else { Vec::new() };
        Viewer {
            progress,
            title,
            stop,
            phases,
            phase: None,
            past: VecDeque::new(),
            shown_ns: i64::MIN,
            sent_by_second: VecDeque::new(),
            seconds_counted: 0,
            sent_counted: 0,
        }
    }

    /// Whether stops are told by the frames.
    pub(super) fn shows_notices(&self) -> bool {
        self.progress.shows_notices()
    }

    /// Takes a tick, and shows it if it is time.
    pub(super) fn on_tick(&mut self, tick: &Tick<'_>) {
        let Some(interval) = self.progress.interval() else { return };
        if self.phase != Some(tick.phase) {
            self.phase = Some(tick.phase);
            self.past.clear();
            self.sent_by_second.clear();
            self.seconds_counted = 0;
            self.sent_counted = tick.live.sent;
            self.shown_ns = i64::MIN;
        }
        let elapsed_ns = tick.elapsed_ns.max(0);
        if elapsed_ns.saturating_sub(self.shown_ns) < interval.as_nanos() as i64 - 50 * MILLISECOND_NS {
            return;
        }
        self.shown_ns = elapsed_ns;
        let expected = self.phases.iter().find(|p| p.phase == tick.phase);
        let offered = expected.map_or(tick.live.sent, |e| e.offered(elapsed_ns, tick.live.sent));
        let reading = Reading { elapsed_ns, offered, live: tick.live, spreads: tick.spreads() };
        self.count_seconds(&reading);
        while self.past.len() > 1 && self.past[1].elapsed_ns <= elapsed_ns - OVER_NS {
            self.past.pop_front();
        }
        let frame = self.frame(tick.phase, &reading);
        self.progress.update(&frame);
        if self.past.back().is_none_or(|last| elapsed_ns - last.elapsed_ns >= READING_NS) {
            self.past.push_back(reading);
        }
    }

    /// Keeps how much was sent in each of the last seconds, to the precision of the ticks.
    fn count_seconds(&mut self, now: &Reading) {
        while self.seconds_counted < now.elapsed_ns / SECOND_NS {
            self.sent_by_second.push_back(now.live.sent - self.sent_counted);
            self.sent_counted = now.live.sent;
            self.seconds_counted += 1;
            if self.sent_by_second.len() > SECONDS {
                self.sent_by_second.pop_front();
            }
        }
    }

    fn frame(&self, phase: Phase, now: &Reading) -> Frame {
        let expected = self.phases.iter().find(|p| p.phase == phase);
        let then = self.past.front();
        let over_s = then.map_or(0.0, |then| (now.elapsed_ns - then.elapsed_ns) as f64 / SECOND_NS as f64);
        let rate = |of: &dyn Fn(&Reading) -> u64| match then {
            Some(then) if over_s > 0.0 => of(now).saturating_sub(of(then)) as f64 / over_s,
            _ => 0.0,
        };
        let recent = |of: &dyn Fn(&LiveSpreads) -> &Spread| {
            let spread = of(&now.spreads);
            recent(&then.map_or_else(|| spread.clone(), |then| spread.since(of(&then.spreads))))
        };
        let others = Outcome::ALL.into_iter().filter(|o| *o != Outcome::Completed);
        Frame {
            title: self.title.clone(),
            warming: phase == Phase::Warmup,
            notice: notice(self.stop.asked()),
            elapsed_s: now.elapsed_ns as f64 / SECOND_NS as f64,
            total_s: expected.and_then(|e| e.total_s),
            scheduled: expected.and_then(|e| e.requests),
            sent: now.live.sent,
            completed: now.live.of(Outcome::Completed),
            in_flight: now.live.in_flight,
            queued: now.offered.saturating_sub(now.live.sent + now.live.of(Outcome::NotSent)),
            others: others.map(|o| (o.as_str(), now.live.of(o))).filter(|(_, n)| *n > 0).collect(),
            rates: Rates {
                offered: rate(&|r| r.offered),
                sent: rate(&|r| r.live.sent),
                completed: rate(&|r| r.live.of(Outcome::Completed)),
                events: rate(&|r| r.live.events),
            },
            over_s,
            ttft: recent(&|s| &s.ttft),
            itl: recent(&|s| &s.itl),
            latency: recent(&|s| &s.latency),
            lag: recent(&|s| &s.lag),
            lag_max_ms: now.live.dispatch_lag_max_ns as f64 / 1e6,
            sent_by_second: self.sent_by_second.iter().copied().collect(),
        }
    }
}

fn recent(spread: &Spread) -> Recent {
    let ms = |p| spread.percentile_ns(p).map_or(0.0, |ns| ns / 1e6);
    Recent { n: spread.count(), percentiles_ms: [50.0, 90.0, 99.0].map(ms) }
}

fn expected(plan: &Plan) -> Vec<ExpectedPhase> {
    let mut before = 0;
    let mut phases = Vec::new();
    for phase in &plan.phases {
        let timed = phase.slots.iter().map(|s| if let Release::At(t) = s.release { Some(t) } else { None });
        let due_ns: Option<Vec<i64>> = timed.clone().collect::<Option<Vec<_>>>().map(|mut due_ns| {
            due_ns.sort_unstable();
            due_ns
        });
        let last_ns = phase.duration_ns.or_else(|| timed.flatten().max());
        let warming = phase.phase == Phase::Warmup;
        let requests = before + phase.slots.len() as u64;
        phases.push(ExpectedPhase {
            phase: phase.phase,
            requests: (warming || !plan.ends_by_time()).then_some(requests),
            before,
            total_s: last_ns.filter(|_| !warming).map(|ns| ns as f64 / SECOND_NS as f64),
            due_ns,
        });
        before = requests;
    }
    phases
}
