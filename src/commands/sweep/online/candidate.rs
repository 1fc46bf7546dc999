//! One size: its deployment, the runs of `profile` against it, and its end.

use crate::cli::base_url::BaseUrl;
use crate::cli::config::{Destination, ProfileConfig};
use crate::cli::online::{Asked, CandidateConfig, OnlineConfig};
use crate::commands::profile;
use crate::comparison::capacity_search::{self, End, Loaded};
use crate::comparison::levels::Load;
use crate::comparison::measured_sweep::{MeasuredPoint, MeasuredPrefill};
use crate::comparison::profiled::{Profiled, Spent, State, Task};
use crate::comparison::round::Round;
use crate::comparison::steady_state::{Measured, measure};
use crate::deployment::{Running, Slot, Watch};
use crate::engine::stop::{Stop, StopSwitch};
use crate::error::{Error, Result};
use crate::record::manifest::{Judgement, RunState};
use crate::record::reader::{Recording, Rows};
use crate::report::out;
use crate::report::terminal::Style;
use crate::time::{SECOND_NS, realtime_ns};

/// One run, and the share of a whole measurement that it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// What it asks.
    pub(super) task: Task,
    /// In (0, 1].
    pub(super) effort: f64,
}

impl Look {
    pub(super) fn whole(task: Task) -> Look {
        Look { task, effort: 1.0 }
    }

    fn clients(self) -> u32 {
        match self.task {
            Task::Prefill { .. } => 1,
            Task::Decode { clients } => clients,
        }
    }

    /// The directory of its run: a shorter one has one of its own.
    fn dir(self, tp: u32) -> String {
        let whole = self.task.dir(tp);
        if self.effort < 1.0 { format!("{whole}_effort_{:.3}", self.effort) } else { whole }
    }
}

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
    /// How long requests took on the deployment that is being measured.
    pub(super) round: Round,
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
            round: Round::new(config.osl),
        }
    }

    /// Measures one size. What fails of its deployment, or the user's stop, is in the answer.
    ///
    /// # Errors
    /// What is wrong with all of them: a program that is not there, files that cannot be written.
    pub(super) fn measure(&mut self, candidate: &CandidateConfig) -> Result<Profiled> {
        let (mut profiled, mut running) = self.open(candidate)?;
        let measured = match &mut running {
            Some(running) => self.runs(candidate, running, &mut profiled),
            None => Ok(()),
        };
        self.close(&mut profiled, running, measured)?;
        Ok(profiled)
    }

    /// Brings a deployment up. None is running where it failed or the user stopped it, which the first half of the answer tells.
    ///
    /// # Errors
    /// As [`Measuring::measure`].
    pub(super) fn open(&mut self, candidate: &CandidateConfig) -> Result<(Profiled, Option<Running>)> {
        let tp = candidate.tp;
        let mut profiled = Profiled::not_measured(candidate.size(), candidate.recipe.kind(), "");
        (profiled.reason, profiled.state) = (None, State::Measured);
        let dir = self.config.output_dir.join(format!("tp{tp}"));
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        profiled.started_ns = self.now_ns(&profiled);
        self.round = Round::new(self.config.osl);
        out::stderr(&format!("TP{tp}: {} deployment …\n", candidate.recipe.kind()))?;
        let slot = Slot { model: &self.config.model, tp, dir: &dir };
        let watch = Watch {
            ready_ns: self.config.ready_ns,
            stop_ns: self.config.stop_ns,
            is_stopped: &|| self.is_stopped(),
            look: &|url| look(&candidate.base, url),
        };
        match candidate.recipe.start(slot, &watch) {
            Ok(Some(running)) => {
                profiled.url = running.url().map(str::to_owned);
                profiled.log = running.log().map(|path| path.display().to_string());
                profiled.ready_at_ns = Some(self.now_ns(&profiled));
                return Ok((profiled, Some(running)));
            }
            Ok(None) => interrupt(&mut profiled),
            Err(Error::Endpoint(why)) => fail(&mut profiled, why),
            Err(error) => return Err(error),
        }
        Ok((profiled, None))
    }

    /// Ends a deployment, and says what it cost and how it went.
    ///
    /// # Errors
    /// That of `measured`, unless it is the deployment's.
    pub(super) fn close(
        &mut self,
        profiled: &mut Profiled,
        running: Option<Running>,
        measured: Result<()>,
    ) -> Result<()> {
        let tp = profiled.tp;
        self.spend(profiled);
        // What was measured is worth keeping even where its deployment does not end.
        if let Some(Err(error)) = running.map(Running::stop) {
            self.notes.push(format!("TP{tp}: {error}."));
        }
        profiled.ended_ns = self.now_ns(profiled);
        match measured {
            Err(Error::Endpoint(why)) => fail(profiled, why),
            other => other?,
        }
        match &profiled.reason {
            Some(reason) => out::stderr(&format!("TP{tp}: {reason}\n")),
            None => Ok(()),
        }
    }

    /// Whether the user has asked to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.switch.asked() != Stop::No
    }

    /// The time on the wall, or of the simulation, ns since 1970.
    pub(super) fn clock_ns(&self, is_simulated: bool) -> i64 {
        if is_simulated { self.began_ns + self.simulated_ns } else { realtime_ns() }
    }

    /// Says how long a request is expected to take with so many clients.
    pub(super) fn expect(&mut self, clients: u32, ttft_ms: f64, itl_ms: f64) {
        self.round = Round::new(self.config.osl);
        self.round.note(clients, ttft_ms, Some(itl_ms));
    }

    /// The time on the candidate's clock, ns since 1970.
    fn now_ns(&self, profiled: &Profiled) -> i64 {
        self.clock_ns(profiled.is_simulated())
    }

    /// What it has cost until now.
    fn spend(&self, profiled: &mut Profiled) {
        let now_ns = self.now_ns(profiled);
        let ready_ns = profiled.ready_at_ns.unwrap_or(now_ns);
        let seconds = |ns: i64| ns as f64 / SECOND_NS as f64;
        // A deployment that is there costs nothing to wait for.
        let is_started = profiled.log.is_some() || profiled.ready_at_ns.is_none();
        profiled.spent = Spent {
            gpus: profiled.spent.gpus,
            ready_s: if is_started { seconds(ready_ns - profiled.started_ns) } else { 0.0 },
            measure_s: seconds(now_ns - ready_ns),
        };
    }

    /// Both sweeps.
    fn runs(&mut self, candidate: &CandidateConfig, running: &mut Running, profiled: &mut Profiled) -> Result<()> {
        let url = running.url().map(str::to_owned);
        for isl in &self.config.prefill_isl {
            let task = Task::Prefill { isl: *isl };
            let Some(m) = self.one(candidate, url.as_deref(), Look::whole(task))? else {
                interrupt(profiled);
                return Ok(());
            };
            let (tp, gpus) = candidate.size();
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
        let limits = self.config.limits;
        let found = capacity_search::search(&limits, &mut |clients| {
            let look = Look::whole(Task::Decode { clients });
            let Some(point) = self.load(candidate, url.as_deref(), look)? else { return Ok(None) };
            points.push(point);
            let MeasuredPoint { ttft_ms, itl_ms, tokens_per_s, .. } = point;
            Ok(Some(Loaded { clients, ttft_ms, itl_ms, tokens_per_s }))
        });
        points.sort_by_key(|p| p.batch);
        profiled.points = points;
        let found = found?;
        (profiled.capacity, profiled.is_saturated, profiled.end) =
            (found.capacity, found.is_saturated, Some(found.end));
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

    /// One run under load; `None` where the user stopped it.
    pub(super) fn load(
        &mut self,
        candidate: &CandidateConfig,
        url: Option<&str>,
        look: Look,
    ) -> Result<Option<MeasuredPoint>> {
        let Some(m) = self.one(candidate, url, look)? else { return Ok(None) };
        let requests_per_s = m.request_rps.unwrap_or(0.0);
        let point = MeasuredPoint {
            tp: candidate.tp,
            gpus: candidate.gpus,
            batch: look.clients(),
            ttft_ms: m.ttft.as_ref().map(|s| s.mean),
            itl_ms: m.itl.as_ref().map(|s| s.mean),
            requests_per_s,
            tokens_per_s: requests_per_s * f64::from(self.config.osl),
            requests: m.requests,
            is_steady: m.is_steady,
        };
        if let Some((ttft_ms, itl_ms)) = point.ttft_ms.zip(point.itl_ms) {
            self.round.note(point.batch, ttft_ms, Some(itl_ms));
        }
        Ok(Some(point))
    }

    /// One run; `None` where the user stopped it.
    fn one(&mut self, candidate: &CandidateConfig, url: Option<&str>, look: Look) -> Result<Option<Measured>> {
        if self.is_stopped() {
            return Ok(None);
        }
        let tp = candidate.tp;
        let says = match look.task {
            Task::Prefill { isl } => format!("prompts of {isl} tokens"),
            Task::Decode { clients } => format!("{clients} in flight"),
        };
        out::stderr(&format!("TP{tp}: {says} …\n"))?;
        let dir = self.config.output_dir.join(look.dir(tp));
        let clients = look.clients();
        let ramp_ns = self.round.ramp_ns(clients);
        let asked = Asked { task: look.task, effort: look.effort, ramp_ns, dir: dir.clone() };
        profile::run(&self.config.run(candidate, url, asked)?, self.command.to_vec(), self.style)?;
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
        measure(&recording, Load::Clients(clients)).map(Some)
    }
}

/// Whether the model answers at `url`; if not, why.
fn look(base: &ProfileConfig, url: &str) -> std::result::Result<(), String> {
    let url = BaseUrl::parse(url).map_err(|e| e.to_string())?;
    profile::answers(&ProfileConfig { destination: Destination::Server(url), ..base.clone() })
}

/// What to say where nothing was answered.
pub(super) fn unanswered(running: &mut Running, task: Task) -> Error {
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

pub(super) fn interrupt(profiled: &mut Profiled) {
    (profiled.state, profiled.reason) = (State::Interrupted, Some("the sweep was interrupted at it".into()));
}
