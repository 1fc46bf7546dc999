//! `loadline profile`: wires trace, schedule, engine and recording together, then reports on the files.

mod control;
mod destination;
mod probe;
mod run_dir;
pub(super) mod series;
mod server_metrics;
mod viewer;
pub(super) mod workload;

use std::path::Path;
use std::sync::Arc;

pub(super) use control::answers;
use destination::Destined;
use viewer::Viewer;

use super::interrupt::Interrupts;
use super::{calibrate, report};
use crate::cli::calibrate::default_path;
use crate::cli::config::ProfileConfig;
use crate::endpoint::EndpointType;
use crate::engine::pace::Pacing;
use crate::engine::simulated::{self, SimulatedSpec};
use crate::engine::stop::{Stop, StopSwitch};
use crate::engine::{self, EngineReport, EngineSpec, Tick, affinity, limits, realtime};
use crate::error::{Error, ExitCode, Result};
use crate::export::remove_stale;
use crate::prompt::arena::Pieces;
use crate::record::exchange;
use crate::record::host::steal_ns;
use crate::record::manifest::{Counts, Host, Manifest, RunState, SCHEMA_VERSION};
use crate::record::ring::{Intake, Recorder, ring};
use crate::record::writer::{Writer, WriterOptions, WriterReport};
use crate::report::out;
use crate::report::progress::Progress;
use crate::report::terminal::Style;
use crate::schedule::Plan;
use crate::schedule::conversation::History;
use crate::sim::ask::Api;
use crate::sim::config::ServeConfig;
use crate::sim::offline::Offline;
use crate::time::{SimClock, SystemClock};

/// Parcels on the way from one worker to the writer: room for the 55 ms that encoding a full row group takes, at a
/// million events per second.
const RING_PARCELS: usize = 8192;
/// Workers that are used unless more are asked for: one drives tens of thousands of requests per second.
const WORKERS_MAX: usize = 8;

/// Runs a profile to its end and reports on it. `command` is the command line, without secrets.
pub fn run(config: &ProfileConfig, command: Vec<String>, style: Style) -> Result<ExitCode> {
    let (config, trace) = workload::settled(config)?;
    let config = &config;
    let spec = workload::plan_spec(config, trace)?;
    let text = workload::text_source(config)?;
    let plan = Arc::new(spec.build_with(&text)?);
    if config.realtime {
        realtime::try_out().map_err(|e| refused_realtime(&e))?;
    }
    let cores = affinity::allowed_cores();
    let open_files = limits::raise_open_files();
    let destined = control::ready(config, &cores)?;
    let dir = run_dir::create(config)?;
    let clock = SystemClock::starting_in(0);
    let mut manifest = manifest(config, command, &destined, &plan, clock)?;
    let citation = calibrate::cited(default_path().as_deref(), &manifest.host);
    manifest.config["calibration"] = serde_json::to_value(citation).map_err(|e| Error::Internal(e.to_string()))?;
    manifest.config["prompt"]["text"] = text.to_json();
    // Its vocabulary is in the plan by now, and no text is tokenised from here on.
    drop(text);
    manifest.config["network"]["protocol"] = String::from_utf8_lossy(destined.target.protocol.alpn()).into();
    manifest.config["network"]["open_files_max"] = open_files.into();
    manifest.write(&dir)?;
    run_dir::write_inputs(&dir, &plan, config)?;
    let stop = Arc::new(StopSwitch::default());
    let title = if manifest.url.contains(&manifest.model) {
        manifest.url.clone()
    } else {
        format!("{} at {}", manifest.model, manifest.url)
    };
    let progress = Progress::on_stderr(config.ui, style.color);
    let mut viewer = Viewer::new(progress, title, stop.clone(), &plan);
    let tell = if viewer.shows_notices() { tell_nothing } else { tell_stop };
    let interrupts = Interrupts::listen(stop.clone(), tell)?;
    if !config.quiet {
        announce(&manifest, &plan, &dir)?;
    }
    warn(config, &destined, &plan, open_files)?;
    control::before(config, &destined)?;
    let workers = if config.simulate { 1 } else { workers(config, &plan, cores.len()) };
    let (recorders, intakes) = rings(config, workers, &dir)?;
    let writer = Writer::spawn(&dir, &manifest.run_id, intakes, WriterOptions::default(), clock)?;
    let unused = destined.unused_cores(&cores, workers as usize);
    let scraper = server_metrics::start(config, &destined, (&dir, &manifest.run_id), clock, unused)?;
    let spec = EngineSpec {
        plan: plan.clone(),
        target: destined.target.clone(),
        client: config.client,
        pacing: config.pacing,
        realtime: config.realtime,
        clock,
        timeout_ns: config.timeout_ns,
        run_id: manifest.run_id.clone(),
        cores,
        recorders,
        stop: stop.clone(),
        failed_max: config.failed_max,
        burn_ns: 0,
    };
    let stolen_before_ns = steal_ns();
    let on_tick = &mut |tick: Tick<'_>| viewer.on_tick(&tick);
    let ran = match &destined.offline {
        Some(deployment) => simulate(deployment, config, spec, on_tick),
        None => engine::run(spec, on_tick),
    };
    manifest.steal_ns = steal_ns() - stolen_before_ns;
    control::after(config, &destined)?;
    manifest.config["server_metrics"]["scraped"] = server_metrics::finish(scraper)?;
    drop(viewer);
    drop(interrupts);
    // What follows reads the recording, and needs the memory.
    drop(plan);
    // The recorders are closed by now, whatever happened: the writer ends, and says if it lost something.
    let written = writer.finish();
    let ran = ran?;
    complete(&mut manifest, &ran, written.as_ref().ok().copied(), stop.asked());
    manifest.write(&dir)?;
    written?;
    check_conservation(&manifest.counts)?;
    drop(destined);
    let verdict = report::conclude(&dir, &dir, report::Extras::default(), (!config.quiet).then_some(style))?;
    if let Some(asked) = &config.result_file {
        run_dir::copy_result(&dir, &asked.path(&manifest))?;
    }
    let code = report::exit_code(&verdict, config.fail_on);
    manifest.verdict = Some(verdict);
    manifest.write(&dir)?;
    ended(config, &ran, manifest.counts.exchanges_lost, &stop)?;
    Ok(if ran.too_many_failed { ExitCode::ThresholdFailed } else { code })
}

/// A ring for each worker; what an earlier run in the directory kept of what was said goes.
fn rings(config: &ProfileConfig, workers: u32, dir: &Path) -> Result<(Vec<Recorder>, Vec<Intake>)> {
    remove_stale(&dir.join(exchange::FILE_NAME))?;
    let (mut recorders, intakes): (Vec<_>, _) = (0..workers).map(|_| ring(RING_PARCELS)).unzip();
    if config.keeps_exchanges() {
        recorders.iter_mut().for_each(Recorder::keep_exchanges);
    }
    Ok((recorders, intakes))
}

/// Tells of what found no room, and of a run that was stopped, or failed, by a bound that the user set.
fn ended(config: &ProfileConfig, ran: &EngineReport, exchanges_lost: u64, stop: &StopSwitch) -> Result<()> {
    if exchanges_lost > 0 {
        out::stderr(&format!(
            "warning: the bodies and answers of {exchanges_lost} requests had no room and are not in the files\n"
        ))?;
    }
    if ran.too_many_failed {
        let share = config.failed_max.map_or(0.0, |most| most.share);
        let stopped = if stop.is_given_up() { "the run was stopped: " } else { "" };
        out::stderr(&format!(
            "{stopped}more than {share} of its requests failed (--failed-request-threshold); their reasons stand in the report\n"
        ))?;
        return Ok(());
    }
    if stop.is_aborted() {
        return Err(Error::Endpoint(
            "the run was stopped because a request was due and found no room (its reason stands in the report); raise \
             --max-in-flight or the file limits, lower the load, or choose --on-overload queue or drop"
                .into(),
        ));
    }
    Ok(())
}

/// Runs the engine's plan against a deployment in simulated time.
fn simulate(
    deployment: &ServeConfig,
    config: &ProfileConfig,
    mut spec: EngineSpec,
    on_tick: &mut dyn FnMut(Tick<'_>),
) -> Result<EngineReport> {
    let api = match config.request.endpoint {
        EndpointType::Chat => Api::Chat,
        EndpointType::Completions => Api::Completions,
        other => {
            let name = other.as_str();
            return Err(Error::Usage(format!(
                "--simulate answers chats and completions; {name} need a server (serve)"
            )));
        }
    };
    let clock = SimClock::default();
    let mut transport = Offline::new(deployment, api, clock.clone())?;
    let recorder = spec.recorders.pop().ok_or_else(|| Error::Internal("a run without a recorder".into()))?;
    let EngineSpec { plan, timeout_ns, run_id, stop, .. } = spec;
    if plan.history != History::Live {
        transport.read_ahead(bodies(plan.clone()));
    }
    simulated::run(SimulatedSpec { plan, transport, clock, recorder, timeout_ns, run_id, stop }, on_tick)
}

/// The bodies of a plan whose requests hold nothing that the server says.
fn bodies(plan: Arc<Plan>) -> impl Iterator<Item = Pieces> + Send {
    (0..plan.phases.len()).flat_map(move |i| {
        let plan = plan.clone();
        let slots = plan.phases[i].slots.len() as u64;
        (0..slots).map(move |ordinal| plan.body(&plan.phases[i], ordinal, None))
    })
}

/// Tells of what is allowed and yet likely to be regretted.
fn warn(config: &ProfileConfig, destined: &Destined, plan: &Plan, open_files: u64) -> Result<()> {
    if config.network.tls_insecure {
        out::stderr(
            "warning: --tls-insecure: the server's certificate is not verified; whoever is in between sees all\n",
        )?;
    }
    if let (true, Pacing::Spin, Some(share)) = (config.realtime, config.pacing, realtime::longest_share()) {
        out::stderr(&format!(
            "warning: --rt --pacing spin: the kernel lets real-time threads have {:.0} % of a core (sched_rt_runtime_us) and stops \
             a worker that spins for the rest; --pacing auto sleeps where it can\n",
            100.0 * share
        ))?;
    }
    let in_flight = plan.phases.iter().map(|p| p.lanes.max(p.caps.in_flight_max.unwrap_or(0))).max().unwrap_or(0);
    match limits::shortage(open_files, in_flight, destined.streams_per_connection(), destined.ends()) {
        Some(text) => out::stderr(&format!("warning: {text}\n")),
        None => Ok(()),
    }
}

fn refused_realtime(error: &std::io::Error) -> Error {
    Error::Usage(format!(
        "--rt: the kernel refuses real-time scheduling ({error}); it takes root, CAP_SYS_NICE (setcap cap_sys_nice+ep), or a limit \
         of real-time priority of at least 10 (ulimit -r)"
    ))
}

/// As many workers as there are cores for them, and work for them.
fn workers(config: &ProfileConfig, plan: &Plan, cores: usize) -> u32 {
    let asked = config.workers.map_or_else(|| (cores - 1).clamp(1, WORKERS_MAX), |n| n as usize);
    let caps =
        plan.phases.iter().flat_map(|p| [(p.lanes > 0).then_some(p.lanes), p.caps.in_flight_max, p.caps.prefill_max]);
    let most = caps.flatten().min().unwrap_or(u32::MAX) as usize;
    asked.min(most).max(1) as u32
}

fn manifest(
    config: &ProfileConfig,
    command: Vec<String>,
    destined: &Destined,
    plan: &Plan,
    clock: SystemClock,
) -> Result<Manifest> {
    let mut resolved = config.to_json();
    resolved["notes"] = plan.notes.clone().into();
    if !plan.ends_by_time() {
        resolved["expected_cached_tokens"] = plan.expected_cached_tokens().into();
        resolved["expected_cached_course"] = serde_json::json!(plan.expected_course());
    }
    let anchor = clock.anchor();
    let run_id = crate::rng::mix(anchor.t0_unix_ns as u64 ^ (u64::from(std::process::id()) << 40));
    Ok(Manifest {
        schema_version: SCHEMA_VERSION,
        loadline_version: env!("CARGO_PKG_VERSION").into(),
        run_id: format!("{run_id:016x}"),
        command,
        config: resolved,
        seed: config.seed.0,
        model: config.request.model.clone(),
        url: destined.url.clone(),
        endpoint_type: config.request.endpoint.as_str().into(),
        streaming: config.request.streaming,
        slo: config.slo.clone(),
        host: Host::detect(),
        anchor,
        state: RunState::Running,
        counts: Counts { scheduled: if plan.ends_by_time() { 0 } else { plan.len() }, ..Counts::default() },
        warmup: None,
        profiling: None,
        workers: Vec::new(),
        steal_ns: 0,
        verdict: None,
    })
}

fn complete(manifest: &mut Manifest, ran: &EngineReport, written: Option<WriterReport>, asked: Stop) {
    manifest.counts = Counts::new(ran.scheduled, &ran.outcomes);
    manifest.counts.tokens_recorded = written.map_or(0, |w| w.tokens_written);
    manifest.counts.tokens_lost = ran.tokens_lost;
    manifest.counts.exchanges_lost = written.map_or(0, |w| w.exchanges_lost);
    manifest.warmup = ran.warmup;
    manifest.profiling = ran.profiling;
    manifest.workers.clone_from(&ran.workers);
    manifest.state = if asked == Stop::No { RunState::Complete } else { RunState::Interrupted };
}

/// The law of conservation. A run that breaks it has a bug, and its numbers must not be believed.
fn check_conservation(counts: &Counts) -> Result<()> {
    if counts.accounted() == counts.scheduled {
        return Ok(());
    }
    Err(Error::Internal(format!(
        "{} requests were scheduled, but {} have an outcome",
        counts.scheduled,
        counts.accounted()
    )))
}

fn announce(manifest: &Manifest, plan: &Plan, dir: &Path) -> Result<()> {
    let mut text = String::new();
    for note in &plan.notes {
        text.push_str(&format!("{note}\n"));
    }
    let requests =
        if plan.ends_by_time() { "requests until time is up".into() } else { format!("{} requests", plan.len()) };
    text.push_str(&format!(
        "{requests} to {} ({}), seed {}, into {}\n",
        manifest.url,
        manifest.model,
        manifest.seed,
        dir.display()
    ));
    out::stderr(&text)
}

fn tell_stop(switch: &StopSwitch) {
    // Nobody can be told that telling failed.
    let _ = viewer::notice(switch.asked()).map(|text| out::stderr(&format!("\n{text}\n")));
}

/// A dashboard tells of stops itself.
fn tell_nothing(_: &StopSwitch) {}
