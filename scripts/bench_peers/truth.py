"""Turns the server's own log of a run into the truth: TTFT, ITL and latency as it gave them, and when it was busy.

The server is examples/truth_server.rs, `loadline serve` with a log, on a core of its own; a fresh one for each run.
"""

import os
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import process

MODEL = "Qwen/Qwen3-32B"
MS = 1e6


@dataclass
class Distribution:
    """A few numbers of a sample, in milliseconds."""

    mean: float = None
    p50: float = None
    p99: float = None

    @staticmethod
    def of(values):
        if not values:
            return Distribution()
        ordered = sorted(values)
        at = lambda q: ordered[min(len(ordered) - 1, int(q * len(ordered)))]  # noqa: E731
        return Distribution(statistics.fmean(ordered), at(0.5), at(0.99))


@dataclass
class Truth:
    """What the server saw and did in one run. Times in nanoseconds of CLOCK_MONOTONIC."""

    requests: int = 0
    events: int = 0
    first_ns: int = 0
    last_ns: int = 0
    peak_events_per_s: float = 0.0
    server_cpu_s: float = 0.0
    # Requests whose arrival the kernel stamped, and how long those waited until the server had read them.
    stamped: int = 0
    queue: Distribution = field(default_factory=Distribution)
    # From the request's arrival, as far as that is known.
    ttft: Distribution = field(default_factory=Distribution)
    itl: Distribution = field(default_factory=Distribution)
    e2e: Distribution = field(default_factory=Distribution)
    # By X-Request-Id: when it had arrived, and when its first token went out.
    first_tokens: dict = field(default_factory=dict)

    @property
    def load_s(self):
        return (self.last_ns - self.first_ns) / 1e9

    @property
    def server_busy(self):
        """The server's CPU time as a share of the load's duration."""
        return self.server_cpu_s / self.load_s if self.load_s else 0.0


class Server:
    """A truth server that runs while this context is open; its truth is there after it."""

    def __init__(self, binary, flags, core, log, output_tokens):
        self.argv = [str(binary), "--port", "0", *flags, "--core", str(core), "--log", str(log)]
        self.core, self.log, self.output_tokens, self.truth = core, Path(log), output_tokens, None

    def __enter__(self):
        self.child = process.start(self.argv, {self.core}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = self.child.stdout.readline().decode().strip()
        if not self.url:
            raise SystemExit(f"the server did not start: {' '.join(self.argv)}")
        return self

    def __exit__(self, kind, value, traceback):
        # The cost of writing the log comes after this reading.
        ticks = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        cpu_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        self.child.stdin.close()
        self.child.stdout.close()
        if self.child.wait() == 0:
            self.truth = read(self.log, cpu_s, self.output_tokens)
            self.log.unlink()
        elif kind is None:
            raise SystemExit("the server failed")


def read(log, server_cpu_s, output_tokens):
    """The truth in a log. Bounded by the log: tens of bytes per event."""
    truth = Truth(server_cpu_s=server_cpu_s)
    ttft, itl, e2e, queue, busy, starts = [], [], [], [], {}, []
    with open(log) as lines:
        for line in lines:
            name, arrived, received, *events = line.split()
            received = int(received)
            if arrived != "-":
                queue.append((received - int(arrived)) / MS)
            start = received if arrived == "-" else int(arrived)
            events = [received + int(e) for e in events]
            truth.requests += 1
            truth.events += len(events)
            starts.append(start)
            if not events:
                continue
            truth.last_ns = max(truth.last_ns, events[-1])
            for event in events:
                slot = event // 100_000_000
                busy[slot] = busy.get(slot, 0) + 1
            # A stream is role, tokens, usage where it was asked for, [DONE]; an answer in one piece is one event. What was
            # cut off (wrk ends by the clock) tells nothing.
            tokens = events[1 : 1 + output_tokens] if len(events) > 1 + output_tokens else []
            if tokens or len(events) == 1:
                e2e.append((events[-1] - start) / MS)
            if tokens:
                ttft.append((tokens[0] - start) / MS)
                truth.first_tokens[name] = (start, tokens[0])
            if len(tokens) > 1:
                itl.append((tokens[-1] - tokens[0]) / (len(tokens) - 1) / MS)
    truth.first_ns = min(starts, default=0)
    truth.peak_events_per_s = max(busy.values(), default=0) * 10
    truth.stamped, truth.queue = len(queue), Distribution.of(queue)
    truth.ttft, truth.itl, truth.e2e = Distribution.of(ttft), Distribution.of(itl), Distribution.of(e2e)
    return truth
