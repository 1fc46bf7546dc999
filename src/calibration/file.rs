//! A calibration as a JSON file: what was measured, where and when; and the few numbers of it that a run cites.
//!
//! Invariant: a file is written whole or not at all; one of another schema is refused.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::burn::BurnStep;
use super::clock::ClockCost;
use super::floor::Floor;
use super::limits::Limits;
use super::sends::SendStep;
use super::streams::StreamStep;
use super::timers::TimerStep;
use crate::error::{Error, InputError, Result};
use crate::record::manifest::Host;

/// Version of the file. Readers refuse a version that they do not know.
pub const SCHEMA_VERSION: u32 = 2;

/// How it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Fewer and shorter steps: a first look.
    pub quick: bool,
    /// The core of the client's worker.
    pub client_core: u32,
    /// The server's core; null where it had to share the client's, which makes everything worse.
    pub server_core: Option<u32>,
    /// Limit of file descriptors.
    pub descriptors: u64,
    /// Share of the machine's CPU time that others took meanwhile, hypervisor included: what is far above 0 made
    /// everything worse. Null where the system does not tell.
    pub others_share: Option<f64>,
}

/// What one host's client can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Version of the program.
    pub loadline_version: String,
    /// When it began, in nanoseconds since 1970.
    pub unix_ns: i64,
    /// The machine.
    pub host: Host,
    /// How it was measured.
    pub setup: Setup,
    /// Cost of the clock.
    pub clock: ClockCost,
    /// Lateness of timers, by rate.
    pub timers: Vec<TimerStep>,
    /// Send lag, by rate.
    pub sends: Vec<SendStep>,
    /// Errors of token times, by number of streams.
    pub streams: Vec<StreamStep>,
    /// Errors of token times, by how busy the client is; empty unless it was asked for.
    pub burn: Vec<BurnStep>,
    /// The engine beside bare loops; null unless it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Floor>,
    /// What follows.
    pub limits: Limits,
}

/// What a run says of the calibration that stands behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// The file.
    pub path: String,
    /// When it was measured, in nanoseconds since 1970.
    pub unix_ns: i64,
    /// Version of the program that measured.
    pub loadline_version: String,
    /// Whether kernel, processor and memory are still those that were measured.
    pub same_host: bool,
    /// Whether it was the quick one.
    pub quick: bool,
    /// Its limits.
    pub limits: Limits,
}

impl Calibration {
    /// Writes the file, and the directories above it.
    ///
    /// # Errors
    /// [`Error::Io`] with the path that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).map_err(|e| Error::Internal(e.to_string()))?;
        text.push('\n');
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        }
        let partial = path.with_added_extension("partial");
        std::fs::write(&partial, text).map_err(Error::io(&partial))?;
        std::fs::rename(&partial, path).map_err(Error::io(path))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Input`] where it is no calibration of this schema.
    pub fn load(path: &Path) -> Result<Calibration> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let parsed = match serde_json::from_str(&text) {
            Ok(Version { schema_version: SCHEMA_VERSION }) => serde_json::from_str(&text).map_err(|e| e.to_string()),
            Ok(Version { schema_version }) => {
                Err(format!("has schema version {schema_version}, this program reads {SCHEMA_VERSION}"))
            }
            Err(e) => Err(format!("is not a calibration: {e}")),
        };
        parsed.map_err(|problem| {
            Error::Input(InputError::of_file(path.display().to_string(), problem, "measure again: loadline calibrate"))
        })
    }

    /// What a run on `host` cites of the calibration that it read from `path`.
    pub fn cite(&self, path: &Path, host: &Host) -> Citation {
        Citation {
            path: path.display().to_string(),
            unix_ns: self.unix_ns,
            loadline_version: self.loadline_version.clone(),
            same_host: self.host == *host,
            quick: self.setup.quick,
            limits: self.limits.clone(),
        }
    }
}
