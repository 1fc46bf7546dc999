//! `loadline plan`: runs a plan's steps as command lines of this very program, and keeps what they leave.
//!
//! Layout: `DIR/steps/NAME-ADDRESS/` holds `step.json` once the step was answered, `stdout.txt`, `stderr.txt`, and `out/`, which is
//! `{dir}`; `DIR/NAME` is a link to the latest; `DIR/plan.json` the account of the last call.

mod store;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::plan::PlanArgs;
use crate::commands::interrupt::Interrupts;
use crate::engine::stop::{Stop, StopSwitch};
use crate::error::{Error, ExitCode, Result};
use crate::plan::agenda::{Agenda, State};
use crate::plan::file::{Plan, Reading};
use crate::report::out;
use crate::report::plan::{self as page, StepLine};
use crate::report::terminal::Style;
use crate::time::{SECOND_NS, monotonic_ns};
use store::{Answer, Store};

/// What a step printed, below its directory.
const STDOUT: &str = "stdout.txt";
/// How often the stop switch is looked at while steps run.
const TICK: Duration = Duration::from_millis(50);
/// Largest plan that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Runs the plan, or shows it.
///
/// # Errors
/// Those of [`Plan::parse`], and [`Error::Io`] for what cannot be read or written.
pub(super) fn run(args: &PlanArgs, style: Style) -> Result<ExitCode> {
    let size = std::fs::metadata(&args.file).map_err(Error::io(&args.file))?.len();
    if size > FILE_BYTES_MAX {
        return Err(Error::Usage(format!("{} is larger than {FILE_BYTES_MAX} bytes: no plan is", args.file.display())));
    }
    let text = std::fs::read_to_string(&args.file).map_err(Error::io(&args.file))?;
    let how = Reading { is_simulated: args.simulate, set: args.set.clone() };
    let plan = Plan::parse(&args.file.display().to_string(), &text, &how)?;
    let mut store = Store::new(&args.output_dir(), &plan);
    if args.dry_run {
        let agenda = answered(&plan, &mut store)?;
        out::stdout(&page::expected(&lines(&plan, &agenda, &store), style))?;
        return Ok(ExitCode::Ok);
    }
    let jobs = args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let mut execution = Execution { plan: &plan, agenda: answered(&plan, &mut store)?, store, codes: Vec::new() };
    execution.run(jobs)?;
    let lines = lines(&plan, &execution.agenda, &execution.store);
    execution.store.account(&execution.agenda)?;
    out::stdout(&page::account(&lines, style))?;
    for (n, step) in plan.steps.iter().enumerate().filter(|(n, step)| step.is_shown && lines[*n].state.is_answered()) {
        let path = execution.store.dir(n).join(STDOUT);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        out::stdout(&format!("\n{}\n{text}", page::title(&step.name, style)))?;
    }
    if lines.iter().any(|line| line.state == State::Interrupted) {
        out::stderr("Interrupted; the same command line goes on from here.\n")?;
    }
    Ok(execution.code())
}

/// What earlier calls have answered.
fn answered<'a>(plan: &'a Plan, store: &mut Store<'a>) -> Result<Agenda<'a>> {
    let mut agenda = Agenda::new(plan);
    for (n, step) in plan.steps.iter().enumerate() {
        if step.needs.iter().all(|need| agenda.states()[*need].is_answered()) && store.find(n)? {
            agenda.set(n, State::Kept);
        }
    }
    Ok(agenda)
}

fn lines(plan: &Plan, agenda: &Agenda<'_>, store: &Store<'_>) -> Vec<StepLine> {
    let steps = plan.steps.iter().zip(agenda.states()).enumerate();
    steps
        .map(|(n, (step, state))| StepLine {
            name: step.name.clone(),
            on: step.on.clone(),
            state: *state,
            expected_s: step.expected_s,
            wall_s: store.wall_s(n),
            gpus: step.gpus,
            needs: step.needs.iter().map(|need| plan.steps[*need].name.clone()).collect(),
        })
        .collect()
}

/// A plan under way.
struct Execution<'a> {
    plan: &'a Plan,
    agenda: Agenda<'a>,
    store: Store<'a>,
    /// Codes with which steps failed.
    codes: Vec<i32>,
}

/// A step's process has ended.
struct Ended {
    step: usize,
    status: std::io::Result<ExitStatus>,
    wall_s: f64,
}

impl Execution<'_> {
    fn run(&mut self, jobs: usize) -> Result<()> {
        let switch = Arc::new(StopSwitch::default());
        let _interrupts = Interrupts::listen(Arc::clone(&switch), |_| {})?;
        let (ends, ended) = mpsc::channel::<Ended>();
        let mut processes: Vec<(usize, Pid)> = Vec::new();
        let mut heeded = Stop::No;
        loop {
            while switch.asked() == Stop::No && self.agenda.running() < jobs {
                let Some(step) = self.agenda.next() else { break };
                processes.extend(self.start(step, &ends)?.map(|pid| (step, pid)));
            }
            if self.agenda.running() == 0 {
                break;
            }
            if let Ok(end) = ended.recv_timeout(TICK) {
                processes.retain(|(step, _)| *step != end.step);
                self.take(&end, switch.asked() != Stop::No)?;
            }
            if switch.asked() != heeded {
                heeded = switch.asked();
                // Each step has a process group of its own, so that a key press reaches it once, from here.
                for (_, pid) in &processes {
                    let _ = kill_process(*pid, Signal::INT);
                }
            }
        }
        if switch.asked() != Stop::No {
            let waiting = |state: &State| *state == State::Waiting;
            let left: Vec<usize> = (0..self.plan.steps.len()).filter(|n| waiting(&self.agenda.states()[*n])).collect();
            left.into_iter().for_each(|n| self.agenda.set(n, State::Interrupted));
        }
        Ok(())
    }

    /// Starts a step; a step that cannot be started has failed.
    fn start(&mut self, step: usize, ends: &mpsc::Sender<Ended>) -> Result<Option<Pid>> {
        let name = &self.plan.steps[step].name;
        let words = match self.store.prepare(step)? {
            Err(why) => {
                out::stderr(&format!("{name}: {why}\n"))?;
                self.codes.push(ExitCode::Usage as i32);
                self.agenda.set(step, State::Failed);
                return Ok(None);
            }
            Ok(None) => {
                self.agenda.set(step, State::Kept);
                return Ok(None);
            }
            Ok(Some(words)) => words,
        };
        let child = spawn(self.store.dir(step), &words)?;
        out::stderr(&format!("{name}: loadline {}\n", words.join(" ")))?;
        self.agenda.set(step, State::Running);
        let pid = Pid::from_child(&child);
        let ends = ends.clone();
        let start_ns = monotonic_ns();
        std::thread::spawn(move || {
            let mut child = child;
            let status = child.wait();
            let wall_s = (monotonic_ns() - start_ns) as f64 / SECOND_NS as f64;
            // The receiver is there as long as a step runs.
            let _ = ends.send(Ended { step, status, wall_s });
        });
        Ok(Some(pid))
    }

    /// Takes in how a step ended.
    fn take(&mut self, end: &Ended, is_interrupted: bool) -> Result<()> {
        let step = &self.plan.steps[end.step];
        let code = end.status.as_ref().ok().and_then(ExitStatus::code);
        let state = match code {
            // What ends after a signal may have ended because of it.
            _ if is_interrupted => State::Interrupted,
            Some(code) if step.accepted.contains(&code) => {
                self.store.keep(end.step, Answer { exit_code: code, wall_s: end.wall_s })?;
                State::Done
            }
            _ => State::Failed,
        };
        self.agenda.set(end.step, state);
        if state == State::Failed {
            self.codes.push(code.unwrap_or(ExitCode::Internal as i32));
        }
        let why = match (state, code) {
            (State::Failed, code) => {
                let code = code.map_or("was killed".into(), |code| format!("ended with {code}"));
                format!("{code}; its words are in {}", self.store.dir(end.step).join("stderr.txt").display())
            }
            (State::Interrupted, _) => "interrupted".into(),
            _ => format!("done in {:.1} s", end.wall_s),
        };
        out::stderr(&format!("{}: {why}\n", step.name))
    }

    fn code(&self) -> ExitCode {
        if self.agenda.states().contains(&State::Interrupted) {
            return ExitCode::Internal;
        }
        match self.codes.iter().max() {
            None => ExitCode::Ok,
            Some(1) => ExitCode::ThresholdFailed,
            Some(2) => ExitCode::Usage,
            Some(3) => ExitCode::Endpoint,
            Some(_) => ExitCode::Internal,
        }
    }
}

/// Starts a command line of this program.
fn spawn(dir: &Path, words: &[String]) -> Result<Child> {
    use std::os::unix::process::CommandExt;
    let program = std::env::current_exe().map_err(|e| Error::Internal(format!("cannot find this program: {e}")))?;
    let file = |name: &str| -> Result<Stdio> {
        let path: PathBuf = dir.join(name);
        Ok(std::fs::File::create(&path).map_err(Error::io(&path))?.into())
    };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(file(STDOUT)?).stderr(file("stderr.txt")?).process_group(0);
    command.spawn().map_err(|e| Error::Internal(format!("cannot start a step: {e}")))
}
