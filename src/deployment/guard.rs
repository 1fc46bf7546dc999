//! A group of processes → its end, where this process is killed before it could end the group itself.
//!
//! Nothing can be done by a process that gets SIGKILL. So a shell, in a group of its own, waits for a line on a pipe whose other end this
//! process alone holds: where the pipe ends without a line, this process is gone, and the shell ends the group as [`super::process`] would
//! have done. The kernel's own signal at a parent's death (PR_SET_PDEATHSIG) would reach the first process alone, and follows the thread
//! that started it; what that process has started would be left.
//! Not guarded: what has left the group, and what kubectl has put into a cluster.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::Pid;

/// `$1` is the group, `$2` seconds between asking it to end and ending it. A number that no group has any more is not signalled twice: the
/// loop ends where nothing of the group is left.
const SCRIPT: &str = r#"
read -r _ && exit
kill -s TERM -- "-$1" || exit
waited=0
while kill -s 0 -- "-$1" && [ "$waited" -lt "$2" ]; do
    sleep 1
    waited=$((waited + 1))
done
kill -s KILL -- "-$1"
"#;

/// Whoever waits. Dropping it dismisses it.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Child,
    line: Option<ChildStdin>,
}

impl Guard {
    /// Guards a group. `None` where this machine has no shell.
    pub(super) fn of(group: Pid, patience_s: u64) -> Option<Guard> {
        let arguments = [group.as_raw_nonzero().to_string(), patience_s.to_string()];
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The terminal's Ctrl-C is not for it.
            .process_group(0)
            .spawn()
            .ok()?;
        let line = shell.stdin.take();
        Some(Guard { shell, line })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            // A shell that is gone guards nothing any more, and that is what is wanted.
            let _ = line.write_all(b"\n");
        }
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::test_kill_process_group;

    use super::super::process::pause;
    use super::*;
    use crate::time::{Clock, SECOND_NS, SystemClock};

    fn group(script: &str) -> (Child, Pid) {
        let child = Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
        let group = Pid::from_child(&child);
        (child, group)
    }

    #[test]
    fn a_pipe_that_ends_without_a_line_ends_the_group_and_all_that_it_started() {
        let (mut child, pid) = group("trap '' TERM; (sleep 1000 & sleep 1000) & sleep 1000");
        let mut guard = Guard::of(pid, 1).unwrap();
        drop(guard.line.take());
        let clock = SystemClock::starting_in(0);
        while test_kill_process_group(pid).is_ok() {
            assert!(clock.now_ns() < 20 * SECOND_NS, "it goes on");
            let _ = child.try_wait();
            pause();
        }
    }

    #[test]
    fn a_guard_that_is_dismissed_leaves_the_group_alone() {
        let (mut child, pid) = group("sleep 1000");
        drop(Guard::of(pid, 0).unwrap());
        assert!(test_kill_process_group(pid).is_ok() && child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
