//! How a deployment of one tensor-parallel size is come by → its URL while it runs, and its end.
//!
//! In: a [`Recipe`] and a [`Slot`], what is to stand in its place. Out: a [`Running`] one that answers, with the file its words went
//! to. Invariants: what was started here is stopped here, on every way out (dropping it stops it; a guard does where this process is
//! killed); what was given is left alone;
//! nothing is started twice, and nothing again after it failed.
//! Not here: what is asked of it, and what the asking looks like (the caller looks, [`Watch`]).

mod guard;
pub mod kubernetes;
pub mod launched;
pub mod process;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::time::{Clock, SystemClock};

/// Where a deployment comes from.
#[derive(Clone, Debug)]
pub enum Recipe {
    /// It is simulated in this process; there is no URL.
    Simulated,
    /// It is there.
    Given(String),
    /// A command line starts it.
    Launched(launched::Template),
    /// kubectl puts it into a cluster.
    Kubernetes(kubernetes::Manifest),
}

/// What is to be deployed.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The model, as requests name it.
    pub model: &'a str,
    /// Tensor-parallel size.
    pub tp: u32,
    /// The directory that the log goes to; it is there.
    pub dir: &'a Path,
}

/// How it is waited for.
pub struct Watch<'a> {
    /// Longest time until it is ready, ns.
    pub ready_ns: i64,
    /// Longest time between asking it to end and ending it, ns.
    pub stop_ns: i64,
    /// Whether the user has asked to stop.
    pub is_stopped: &'a dyn Fn() -> bool,
    /// Looks at a URL: whether the model answers there; if not, why.
    pub look: &'a dyn Fn(&str) -> std::result::Result<(), String>,
}

impl Watch<'_> {
    /// Looks again and again until `url` answers. `Ok(false)` where the user stopped it; what `ended` says, at once, where the
    /// deployment has ended.
    fn until_ready(&self, url: &str, ended: &mut dyn FnMut() -> Option<String>) -> std::result::Result<bool, String> {
        let clock = SystemClock::starting_in(0);
        loop {
            if (self.is_stopped)() {
                return Ok(false);
            }
            if let Some(how) = ended() {
                return Err(how);
            }
            let Err(why) = (self.look)(url) else { return Ok(true) };
            if clock.now_ns() >= self.ready_ns {
                return Err(format!("not ready within {:.1} s: {why}", self.ready_ns as f64 / 1e9));
            }
            process::pause();
        }
    }
}

/// A deployment that answers.
#[derive(Debug)]
pub enum Running {
    /// In this process.
    Simulated,
    /// Somebody else's.
    Given(String),
    /// A group of processes of ours.
    Launched(launched::Launched),
    /// Objects of ours in a cluster.
    Kubernetes(kubernetes::Applied),
}

impl Recipe {
    /// Starts it and waits until it is ready; `None` where the user stopped that.
    ///
    /// # Errors
    /// [`crate::error::Error::Endpoint`] with the reason and the log where it does not get ready; files that cannot be written.
    pub fn start(&self, slot: Slot<'_>, watch: &Watch<'_>) -> Result<Option<Running>> {
        match self {
            Recipe::Simulated => Ok(Some(Running::Simulated)),
            Recipe::Given(url) => Ok(Some(Running::Given(url.clone()))),
            Recipe::Launched(template) => Ok(template.start(slot, watch)?.map(Running::Launched)),
            Recipe::Kubernetes(manifest) => Ok(manifest.start(slot, watch)?.map(Running::Kubernetes)),
        }
    }

    /// What it is, in a word for files.
    pub fn kind(&self) -> &'static str {
        match self {
            Recipe::Simulated => "simulated",
            Recipe::Given(_) => "endpoint",
            Recipe::Launched(_) => "launched",
            Recipe::Kubernetes(_) => "kubernetes",
        }
    }
}

impl Running {
    /// Where it answers; none where it is simulated.
    pub fn url(&self) -> Option<&str> {
        match self {
            Running::Simulated => None,
            Running::Given(url) => Some(url),
            Running::Launched(launched) => Some(&launched.url),
            Running::Kubernetes(applied) => Some(&applied.url),
        }
    }

    /// The file with its words, where there is one.
    pub fn log(&self) -> Option<PathBuf> {
        match self {
            Running::Simulated | Running::Given(_) => None,
            Running::Launched(launched) => Some(launched.log().to_owned()),
            Running::Kubernetes(applied) => Some(applied.log().to_owned()),
        }
    }

    /// How its process ended, where it has one that did.
    pub fn ended(&mut self) -> Option<String> {
        match self {
            Running::Simulated | Running::Given(_) => None,
            Running::Launched(launched) => launched.ended(),
            Running::Kubernetes(applied) => applied.ended(),
        }
    }

    /// Ends what was started; what is not ended by then is told.
    ///
    /// # Errors
    /// [`crate::error::Error::Endpoint`] where something of it still runs.
    pub fn stop(self) -> Result<()> {
        match self {
            Running::Simulated | Running::Given(_) => Ok(()),
            Running::Launched(launched) => launched.stop(),
            Running::Kubernetes(applied) => applied.stop(),
        }
    }
}
