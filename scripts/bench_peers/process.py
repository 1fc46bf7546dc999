"""Turns a command line into what it cost: wall time, CPU time and peak memory of its whole process tree.

CPU time is the kernel's own account (wait4), children included, orphans too. Not here: what the command means.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
# Peak memory of one process is the kernel's; of a tree it is the largest sum seen at this period.
SAMPLE_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Cost:
    """What a run of a program cost. Times in nanoseconds of CLOCK_MONOTONIC, CPU in seconds, memory in bytes."""

    started_ns: int
    ended_ns: int
    cpu_s: float
    peak_rss: int
    code: int


def adopt_orphans():
    """Makes this process the parent of its children's orphans, so that their CPU time is not lost."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(argv, cores, **streams):
    """Starts a program on `cores`, in a session of its own. Affinity is inherited, so no wrapper runs before it."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        return subprocess.Popen(argv, start_new_session=True, **streams)
    finally:
        os.sched_setaffinity(0, own)


def session_members(session):
    """(pid, parent, resident bytes) of the processes of a session, zombies with 0 bytes."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                # After the name, which may hold anything: state, parent, group, session; resident pages is field 24.
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                yield int(entry.name), int(fields[1]), int(fields[21]) * PAGE


def high_water(pid):
    """Peak resident bytes of one living process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class MemoryWatch(threading.Thread):
    """Samples the memory of a session until it is stopped. A lone process is asked for its own high-water mark.

    The kernel's account at the end (ru_maxrss) would need no samples, but counts the memory of whoever started the
    program as well, which is more than small tools use.
    """

    def __init__(self, pid, tree):
        super().__init__(daemon=True)
        self.pid, self.tree, self.peak, self.over = pid, tree, 0, threading.Event()

    def run(self):
        while not self.over.wait(SAMPLE_S if self.tree else SAMPLE_S / 5):
            try:
                now = sum(rss for _, _, rss in session_members(self.pid)) if self.tree else high_water(self.pid)
            except OSError:
                continue
            self.peak = max(self.peak, now)


def run(argv, env, cores, output, tree, timeout_s):
    """Runs a program to its end, its output into the file `output`. Past `timeout_s` it is killed (code < 0)."""
    with open(output, "wb") as out:
        started_ns = time.monotonic_ns()
        child = start(argv, cores, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env)
    watch = MemoryWatch(child.pid, tree)
    watch.start()
    alarm = threading.Timer(timeout_s, os.killpg, (child.pid, signal.SIGKILL))
    alarm.start()
    _, status, usage = os.wait4(child.pid, 0)
    ended_ns = time.monotonic_ns()
    alarm.cancel()
    watch.over.set()
    watch.join()
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu_s = usage.ru_utime + usage.ru_stime + reap(child.pid)
    # Where a program is larger than this one, the kernel's account is its own, and exact.
    own = high_water(os.getpid())
    exact = usage.ru_maxrss * 1024
    peak = max(watch.peak, exact) if exact > own else watch.peak
    return Cost(started_ns, ended_ns, cpu_s, peak, child.returncode)


def reap(session):
    """Ends what a program left behind in its session. Returns its CPU seconds."""
    cpu_s = 0.0
    for pid, parent, _ in list(session_members(session)):
        try:
            os.kill(pid, signal.SIGKILL)
            if parent == os.getpid():
                usage = os.wait4(pid, 0)[2]
                cpu_s += usage.ru_utime + usage.ru_stime
        except OSError:
            continue
    return cpu_s
