//! `run.json`: what a run was, so that its recording can be read, judged and repeated without anything else.
//!
//! Written once when the run starts (state `running`) and again when it ends. Secrets never reach it: the resolved
//! configuration is stored with its secret fields already replaced.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::outcome::{OutcomeClass, OutcomeCounts};
use crate::time::Anchor;

/// Version of `run.json` and of both Parquet schemas. Readers refuse a version they do not know.
pub const SCHEMA_VERSION: u32 = 2;

/// Whether recordings of that schema version can be read.
pub fn is_readable(version: u32) -> bool {
    (1..=SCHEMA_VERSION).contains(&version)
}
/// The manifest's file name.
pub const FILE_NAME: &str = "run.json";

/// Whether the run got to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Not ended, or killed: nothing was written after the start.
    Running,
    /// Ended as planned.
    Complete,
    /// Ended early, on the user's request; everything seen was written.
    Interrupted,
}

/// The machine that ran it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system and kernel release.
    pub kernel: String,
    /// Processor model.
    pub cpu_model: String,
    /// Processors that this process may use.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// What became of the schedule: the law of conservation, and what the recorder lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests in the schedule (of closed-loop load bounded by time: requests released).
    pub scheduled: u64,
    /// Whole answers.
    pub completed: u64,
    /// Sent, ended by an error.
    pub failed: u64,
    /// Given up by the client.
    pub cancelled: u64,
    /// Not sent.
    pub not_sent: u64,
    /// Rows of `tokens.parquet`.
    pub tokens_recorded: u64,
    /// Token rows that found the ring full and are missing.
    pub tokens_lost: u64,
    /// Requests whose body and answer were to be kept and had no room.
    #[serde(default)]
    pub exchanges_lost: u64,
}

impl Counts {
    /// Counts of a schedule of `scheduled` requests that ended as `outcomes` say.
    pub fn new(scheduled: u64, outcomes: &OutcomeCounts) -> Self {
        Counts {
            scheduled,
            completed: outcomes.of_class(OutcomeClass::Completed),
            failed: outcomes.of_class(OutcomeClass::Failed),
            cancelled: outcomes.of_class(OutcomeClass::Cancelled),
            not_sent: outcomes.of_class(OutcomeClass::NotSent),
            ..Counts::default()
        }
    }

    /// Requests with an outcome; the law of conservation says that this equals `scheduled`.
    pub fn accounted(&self) -> u64 {
        self.completed + self.failed + self.cancelled + self.not_sent
    }
}

/// The time that one phase covered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseWindow {
    /// Start of the phase.
    pub start_ns: i64,
    /// End of its last request.
    pub end_ns: i64,
}

/// How one worker thread fared: the client's own interference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerSummary {
    /// The worker's number.
    pub worker: u32,
    /// The core it was pinned to.
    pub core: Option<u32>,
    /// Requests sent.
    pub sent: u64,
    /// Stream events received.
    pub events: u64,
    /// Most requests in flight at once.
    pub in_flight_max: u64,
    /// Connections opened.
    pub connections: u64,
    /// Longest time between two checks of the schedule while a slot was due.
    pub stall_max_ns: i64,
    /// CPU time of the thread.
    pub cpu_ns: i64,
    /// Of that, what was spun away before sends.
    pub spun_ns: i64,
    /// How often the wall clock jumped while kernel time stamps were converted.
    pub clock_steps: u64,
    /// The kernel's transmit stamps of a sample of requests; null where the transport takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transmit: Option<TransmitStamps>,
    /// Answers that later turns were to be sent with, and for which the planned ones stood in.
    pub replies_stood_in: u64,
    /// Longest time without a look at the schedule.
    pub gap_max_ns: i64,
    /// Time that the thread could have run but waited for its core.
    pub run_delay_ns: i64,
    /// How gaps and lags went over time.
    pub timeline: WorkerWindows,
}

/// How far the kernel's transmit stamps (TX_SOFTWARE) of a sample of requests lie behind their `sent_ns`, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransmitStamps {
    /// One request in so many was stamped.
    pub one_in: u32,
    /// Stamps that were read.
    pub count: u64,
    /// Median distance.
    pub p50_ns: i64,
    /// 99th percentile.
    pub p99_ns: i64,
    /// Largest distance.
    pub max_ns: i64,
}

/// A worker's interference over time: windows of equal length from `t0` on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerWindows {
    /// Length of a window.
    pub window_ns: i64,
    /// The windows.
    pub windows: Vec<InterferenceWindow>,
}

/// One window of a worker's interference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterferenceWindow {
    /// Longest time without a look at the schedule.
    pub gap_max_ns: i64,
    /// Longest time between a slot's time and its dispatch.
    pub lag_max_ns: i64,
}

/// Whether the numbers can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Nothing speaks against them.
    Valid,
    /// Something does; the reasons say what.
    Suspect,
    /// They are not what they claim to be.
    Invalid,
}

/// A judgement with its reasons, each of which names its remedy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The judgement.
    pub judgement: Judgement,
    /// Why, worst first; empty when valid.
    pub reasons: Vec<String>,
}

/// One bound of the service-level objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloBound {
    /// A metric's name, e.g. `time_to_first_token`.
    pub metric: String,
    /// The bound in the metric's display unit (milliseconds for latencies).
    pub bound: f64,
}

/// The whole manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of the program.
    pub loadline_version: String,
    /// 16 hex digits, unique among runs.
    pub run_id: String,
    /// The command line, without secrets.
    pub command: Vec<String>,
    /// The resolved configuration, without secrets.
    pub config: serde_json::Value,
    /// The seed of every draw.
    pub seed: u64,
    /// The model asked for.
    pub model: String,
    /// The endpoint's base URL.
    pub url: String,
    /// `chat` or `completions`.
    pub endpoint_type: String,
    /// Whether answers were streamed.
    pub streaming: bool,
    /// The service-level objective; empty when none was given.
    pub slo: Vec<SloBound>,
    /// The machine.
    pub host: Host,
    /// The run's place in the world's time.
    pub anchor: Anchor,
    /// How far it got.
    pub state: RunState,
    /// What became of the schedule.
    pub counts: Counts,
    /// The warm-up, if there was one and it ended.
    pub warmup: Option<PhaseWindow>,
    /// The measurement, once it ended.
    pub profiling: Option<PhaseWindow>,
    /// The workers.
    pub workers: Vec<WorkerSummary>,
    /// Time of all processors that a hypervisor gave to others while the run lasted.
    #[serde(default)]
    pub steal_ns: i64,
    /// The verdict, once it is known.
    pub verdict: Option<Verdict>,
}

impl Manifest {
    /// Writes `run.json` in `dir`, whole or not at all.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE_NAME);
        let partial = dir.join("run.json.partial");
        let mut text = serde_json::to_string_pretty(self).map_err(|e| Error::Internal(e.to_string()))?;
        text.push('\n');
        std::fs::write(&partial, text).map_err(Error::io(&partial))?;
        std::fs::rename(&partial, &path).map_err(Error::io(&path))
    }

    /// Reads `run.json` from `dir`.
    pub fn read(dir: &Path) -> Result<Manifest> {
        let path = dir.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        Manifest::parse(&text).map_err(|problem| {
            Error::Input(crate::error::InputError::of_file(
                path.display().to_string(),
                problem,
                "give a run directory that this version of loadline wrote",
            ))
        })
    }

    /// Parses the text of a `run.json`.
    pub fn parse(text: &str) -> std::result::Result<Manifest, String> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let v: Version = serde_json::from_str(text).map_err(|e| format!("is not a run manifest: {e}"))?;
        if !is_readable(v.schema_version) {
            return Err(format!("has schema version {}, this program reads 1 to {SCHEMA_VERSION}", v.schema_version));
        }
        serde_json::from_str(text).map_err(|e| format!("is not a run manifest: {e}"))
    }
}
