//! A command line → a group of processes of its own, its words in a file; and the end of all of them.
//!
//! The group does not get the terminal's Ctrl-C: whoever started it decides when it ends. It is asked (SIGTERM), given time, and then
//! ended (SIGKILL), together with whatever it has started that is still in its group. Where this process is killed, its guard does that.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::guard::Guard;
use crate::error::{Error, Result};
use crate::time::{Clock, SECOND_NS, SystemClock};

/// Time between two looks.
const TICK: Duration = Duration::from_millis(50);
/// How long the kernel may take to clear away what was killed, ns.
const KILLED_NS: i64 = 5 * SECOND_NS;
/// Bytes of a log's end that are told.
const TAIL_BYTES: u64 = 2048;
/// Lines of it.
const TAIL_LINES: usize = 5;

/// Waits for a moment.
pub(super) fn pause() {
    // Nobody unparks this thread: it is a pause, and a look follows.
    std::thread::park_timeout(TICK);
}

/// A group of processes. Dropping it ends it.
#[derive(Debug)]
pub struct Group {
    child: Child,
    group: Pid,
    log: PathBuf,
    stop_ns: i64,
    is_stopped: bool,
    /// Dropped last, after the group has ended.
    _guard: Option<Guard>,
}

impl Group {
    /// Starts words, the program first, with settings of the environment; what it says is added to `log`.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such program, [`Error::Io`] where the log cannot be written.
    pub fn start(words: &[String], settings: &[(String, String)], log: &Path, stop_ns: i64) -> Result<Group> {
        let (program, arguments) =
            words.split_first().ok_or_else(|| Error::Usage("there is no command to start".into()))?;
        let file = File::options().create(true).append(true).open(log).map_err(Error::io(log))?;
        let twin = file.try_clone().map_err(Error::io(log))?;
        let child = Command::new(program)
            .args(arguments)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(twin)
            .process_group(0)
            .spawn()
            .map_err(|e| Error::Usage(format!("`{program}` cannot be started: {e}; is it on the PATH?")))?;
        let group = Pid::from_child(&child);
        let guard = Guard::of(group, (stop_ns / SECOND_NS).unsigned_abs() + 1);
        Ok(Group { child, group, log: log.to_owned(), stop_ns, is_stopped: false, _guard: guard })
    }

    /// How its first process ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(format!("it ended ({status})")),
            Err(e) => Some(format!("it cannot be waited for: {e}")),
        }
    }

    /// Whether its first process ended well; `None` while it runs.
    pub(super) fn succeeded(&mut self) -> Option<bool> {
        self.child.try_wait().map_or(Some(false), |status| status.map(|s| s.success()))
    }

    /// The file with its words.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Ends the group.
    ///
    /// # Errors
    /// [`Error::Endpoint`] where something of it is still there.
    pub fn stop(mut self) -> Result<()> {
        if self.end() {
            return Ok(());
        }
        Err(Error::Endpoint(format!(
            "process group {} could not be ended; its log is {}",
            self.group.as_raw_nonzero(),
            self.log.display()
        )))
    }

    /// Whether nothing of it is left.
    fn end(&mut self) -> bool {
        if self.is_stopped {
            return true;
        }
        for (signal, patience_ns) in [(Signal::TERM, self.stop_ns), (Signal::KILL, KILLED_NS)] {
            // A group that is gone cannot be signalled, and that is what is wanted.
            let _ = kill_process_group(self.group, signal);
            let clock = SystemClock::starting_in(0);
            while !self.is_gone() && clock.now_ns() < patience_ns {
                pause();
            }
            if self.is_gone() {
                self.is_stopped = true;
                return true;
            }
        }
        false
    }

    /// Whether no process of the group is left. The first is ours to collect, or it would stay for ever.
    fn is_gone(&mut self) -> bool {
        let _ = self.child.try_wait();
        test_kill_process_group(self.group).is_err()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// The end of a log in one line, for an error; empty where there is none.
pub(super) fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Group {
        let words = ["sh", "-c", script].map(String::from);
        Group::start(&words, &[("LOADLINE_TEST".into(), "set".into())], log, SECOND_NS / 2).unwrap()
    }

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("loadline-group-{name}-{}", std::process::id()))
    }

    fn until(what: &mut dyn FnMut() -> bool) {
        let clock = SystemClock::starting_in(0);
        while !what() {
            assert!(clock.now_ns() < 20 * SECOND_NS, "it never came");
            pause();
        }
    }

    #[test]
    fn the_whole_group_ends_even_where_it_does_not_heed_the_first_signal() {
        let log = log("deaf");
        let mut group = shell("trap '' TERM; echo \"$LOADLINE_TEST\"; (sleep 1000 & sleep 1000)", &log);
        until(&mut || tail(&log) == "set");
        assert_eq!(group.ended(), None);
        let pid = group.group;
        assert!(test_kill_process_group(pid).is_ok());
        group.stop().unwrap();
        assert!(test_kill_process_group(pid).is_err(), "something is left of it");
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn dropping_a_group_ends_it_and_one_that_ended_says_how() {
        let log = log("drop");
        let pid = {
            let group = shell("sleep 1000", &log);
            group.group
        };
        assert!(test_kill_process_group(pid).is_err());
        let mut group = shell("echo no room for the model >&2; exit 3", &log);
        until(&mut || group.ended().is_some());
        assert!(group.ended().unwrap().contains("exit status: 3"));
        assert_eq!(tail(&log), "no room for the model");
        group.stop().unwrap();
        let missing = Group::start(&["no-such-program-9".into()], &[], &log, 0).unwrap_err().to_string();
        assert!(missing.contains("`no-such-program-9` cannot be started") && missing.contains("PATH"), "{missing}");
        std::fs::remove_file(log).unwrap();
    }
}
