//! One size: its deployment, the runs of `profile` against it, and its end.

use crate::cli::base_url::BaseUrl;
use crate::cli::config::{Destination, ProfileConfig};
use crate::cli::online::{CandidateConfig, OnlineConfig};
use crate::commands::profile;
use crate::comparison::capacity_search::{self, End, Loaded};
use crate::comparison::levels::Load;
use crate::comparison::measured_sweep::{MeasuredPoint, MeasuredPrefill};
use crate::comparison::profiled::{Profiled, Spent, State, Task};
use crate::comparison::steady_state::{Measured, measure};
use crate::deployment::{Running, Slot, Watch};
use crate::engine::stop::{Stop, StopSwitch};
use crate::error::{Error, Result};
use crate::record::manifest::{Judgement, RunState};
use crate::record::reader::{Recording, Rows};
use crate::report::out;
use crate::report::terminal::Style;
use crate::time::{SECOND_NS, realtime_ns};

/// What all sizes are measured with.
pub(super) struct Measuring<'a> {
    config: &'a OnlineConfig,
    command: &'a [String],
    style: Style,
    switch: &'a StopSwitch,
    /// Simulated time that has passed, ns.
    simulated_ns: i64,
    /// When the sweep began, ns since 1970.
    began_ns: i64,
    /// What is to be said of runs.
    pub(super) notes: Vec<String>,
    /// Seconds that a request took with so many clients, of the deployment that is being measured.
    latencies_s: Vec<(u32, f64)>,
}

impl<'a> Measuring<'a> {
    pub(super) fn new(
        config: &'a OnlineConfig,
        command: &'a [String],
        style: Style,
        switch: &'a StopSwitch,
    ) -> Measuring<'a> {
        let began_ns = realtime_ns();
        Measuring {
            config,
            command,
            style,
            switch,
            simulated_ns: 0,
            began_ns,
            notes: Vec::new(),
            latencies_s: Vec::new(),
        }
    }

    /// Measures one size. What fails of its deployment, or the user's stop, is in the answer.
    ///
    /// # Errors
    /// What is wrong with all of them: a program that is not there, files that cannot be written.
    pub(super) fn measure(&mut self, candidate: &CandidateConfig) -> Result<Profiled> {
        let tp = candidate.tp;
        let mut profiled = Profiled::not_measured(tp, candidate.recipe.kind(), "");
        (profiled.reason, profiled.state) = (None, State::Measured);
        let dir = self.config.output_dir.join(format!("tp{tp}"));
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        profiled.started_ns = self.now_ns(&profiled);
        out::stderr(&format!("TP{tp}: {} deployment …\n", candidate.recipe.kind()))?;
        let started = {
            let slot = Slot { model: &self.config.model, tp, dir: &dir };
            candidate.recipe.start(
                slot,
                &Watch {
                    ready_ns: self.config.ready_ns,
                    stop_ns: self.config.stop_ns,
                    is_stopped: &|| self.switch.asked() != Stop::No,
                    look: &|url| look(&candidate.base, url),
                },
            )
        };
        match started {
            Ok(Some(mut running)) => {
                profiled.url = running.url().map(str::to_owned);
                profiled.log = running.log().map(|path| path.display().to_string());
                profiled.ready_at_ns = Some(self.now_ns(&profiled));
                let measured = self.runs(candidate, &mut running, &mut profiled);
                self.spend(&mut profiled);
                // What was measured is worth keeping even where its deployment does not end.
                if let Err(error) = running.stop() {
                    self.notes.push(format!("TP{tp}: {error}."));
                }
                match measured {
                    Err(Error::Endpoint(why)) => fail(&mut profiled, why),
                    other => other?,
                }
            }
            Ok(None) => interrupt(&mut profiled),
            Err(Error::Endpoint(why)) => fail(&mut profiled, why),
            Err(error) => return Err(error),
        }
        profiled.ended_ns = self.now_ns(&profiled);
        if profiled.ready_at_ns.is_none() {
            self.spend(&mut profiled);
        }
        if let Some(reason) = &profiled.reason {
            out::stderr(&format!("TP{tp}: {reason}\n"))?;
        }
        Ok(profiled)
    }

    /// The time on the candidate's clock, ns since 1970.
    fn now_ns(&self, profiled: &Profiled) -> i64 {
        if profiled.is_simulated() { self.began_ns + self.simulated_ns } else { realtime_ns() }
    }

    /// What it has cost until now.
    fn spend(&self, profiled: &mut Profiled) {
        let now_ns = self.now_ns(profiled);
        let ready_ns = profiled.ready_at_ns.unwrap_or(now_ns);
        let seconds = |ns: i64| ns as f64 / SECOND_NS as f64;
        // A deployment that is there costs nothing to wait for.
        let is_started = profiled.log.is_some() || profiled.ready_at_ns.is_none();
        profiled.spent = Spent {
            gpus: profiled.tp,
            ready_s: if is_started { seconds(ready_ns - profiled.started_ns) } else { 0.0 },
            measure_s: seconds(now_ns - ready_ns),
        };
    }

    /// Both sweeps.
    fn runs(&mut self, candidate: &CandidateConfig, running: &mut Running, profiled: &mut Profiled) -> Result<()> {
        let mut url = running.url().map(str::to_owned);
        for isl in &self.config.prefill_isl {
            let task = Task::Prefill { isl: *isl };
            let Some(m) = self.one(candidate, url.as_deref(), task)? else {
                interrupt(profiled);
                return Ok(());
            };
            let (tp, gpus) = (candidate.tp, candidate.tp);
            match m.ttft {
                Some(ttft) => profiled.prefill.push(MeasuredPrefill {
                    tp,
                    gpus,
                    isl_tokens: *isl,
                    ttft_ms: ttft.mean,
                    requests: m.requests,
                }),
                None if *isl == self.config.isl => return Err(unanswered(running, task)),
                None => self.notes.push(format!("TP{tp}: no prompt of {isl} tokens was answered.")),
            }
        }
        let mut points: Vec<MeasuredPoint> = Vec::new();
        self.latencies_s.clear();
        let limits = self.config.limits;
        let found = capacity_search::search(&limits, &mut |clients| {
            let Some(m) = self.one(candidate, url.as_deref(), Task::Decode { clients })? else { return Ok(None) };
            let point = self.point(candidate, clients, &m);
            points.push(point);
            let MeasuredPoint { ttft_ms, itl_ms, tokens_per_s, .. } = point;
            self.latencies_s.extend(
                ttft_ms.zip(itl_ms).map(|(ttft, itl)| (clients, (ttft + f64::from(self.config.osl - 1) * itl) / 1e3)),
            );
            Ok(Some(Loaded { clients, ttft_ms, itl_ms, tokens_per_s }))
        });
        points.sort_by_key(|p| p.batch);
        profiled.points = points;
        let found = found?;
        (profiled.capacity, profiled.is_saturated, profiled.end) =
            (found.capacity, found.is_saturated, Some(found.end));
        url.take();
        match found.end {
            End::Interrupted => interrupt(profiled),
            End::Unanswered => {
                let clients = found.points.last().map_or(1, |p| p.clients);
                return Err(unanswered(running, Task::Decode { clients }));
            }
            _ => {}
        }
        Ok(())
    }

    fn point(&self, candidate: &CandidateConfig, clients: u32, m: &Measured) -> MeasuredPoint {
        let requests_per_s = m.request_rps.unwrap_or(0.0);
        MeasuredPoint {
            tp: candidate.tp,
            gpus: candidate.tp,
            batch: clients,
            ttft_ms: m.ttft.as_ref().map(|s| s.mean),
            itl_ms: m.itl.as_ref().map(|s| s.mean),
            requests_per_s,
            tokens_per_s: requests_per_s * f64::from(self.config.osl),
            requests: m.requests,
            is_steady: m.is_steady,
        }
    }

    /// One run; `None` where the user stopped it.
    fn one(&mut self, candidate: &CandidateConfig, url: Option<&str>, task: Task) -> Result<Option<Measured>> {
        if self.switch.asked() != Stop::No {
            return Ok(None);
        }
        let tp = candidate.tp;
        let (says, load) = match task {
            Task::Prefill { isl } => (format!("prompts of {isl} tokens"), Load::Clients(1)),
            Task::Decode { clients } => (format!("{clients} in flight"), Load::Clients(clients)),
        };
        out::stderr(&format!("TP{tp}: {says} …\n"))?;
        let dir = self.config.output_dir.join(task.dir(tp));
        // Clients who begin at once ask at once for ever where all answers are as long: each prompt would wait for all others. The last
        // begins one place in the round before the first asks again.
        let ramp_s = match task {
            Task::Decode { clients } => {
                let round_s = capacity_search::expected_s(&self.latencies_s, clients).unwrap_or(0.0);
                round_s * (1.0 - 1.0 / f64::from(clients))
            }
            Task::Prefill { .. } => 0.0,
        };
        let task_and_ramp = (task, (ramp_s * SECOND_NS as f64) as i64);
        profile::run(&self.config.run(candidate, url, task_and_ramp, dir.clone())?, self.command.to_vec(), self.style)?;
        let recording = Recording::open(&dir)?;
        let manifest = recording.manifest();
        if matches!(candidate.base.destination, Destination::Simulated(_)) {
            let windows = || manifest.warmup.iter().chain(&manifest.profiling);
            let from = windows().map(|w| w.start_ns).min().unwrap_or(0);
            self.simulated_ns += windows().map(|w| w.end_ns).max().unwrap_or(0) - from;
        }
        if manifest.state == RunState::Interrupted {
            return Ok(None);
        }
        if let Some(verdict) = manifest.verdict.as_ref().filter(|v| v.judgement == Judgement::Invalid) {
            self.notes.push(format!("TP{tp}, {says}: the run is invalid: {}.", verdict.reasons.join("; ")));
        }
        measure(&recording, load).map(Some)
    }
}

/// Whether the model answers at `url`; if not, why.
fn look(base: &ProfileConfig, url: &str) -> std::result::Result<(), String> {
    let url = BaseUrl::parse(url).map_err(|e| e.to_string())?;
    profile::answers(&ProfileConfig { destination: Destination::Server(url), ..base.clone() })
}

fn unanswered(running: &mut Running, task: Task) -> Error {
    let what = match task {
        Task::Prefill { isl } => format!("prompt of {isl} tokens"),
        Task::Decode { clients } => format!("request of {clients} in flight"),
    };
    let how = running.ended().map(|how| format!("; {how}")).unwrap_or_default();
    let log = running.log().map(|log| format!("; its log is {}", log.display())).unwrap_or_default();
    Error::Endpoint(format!("no {what} was answered{how}{log}"))
}

fn fail(profiled: &mut Profiled, why: String) {
    (profiled.state, profiled.reason) = (State::Failed, Some(why));
}

fn interrupt(profiled: &mut Profiled) {
    (profiled.state, profiled.reason) = (State::Interrupted, Some("the sweep was interrupted at it".into()));
}
