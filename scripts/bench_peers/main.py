"""The bench's command line: runs every tool on every load, interleaved and repeated, and writes what came out."""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from . import machine, process, tables, tools, truth
from .tools import Load

ROOT = Path(__file__).resolve().parents[2]
# Streams, and requests for each: the matrix that vllm-bench publishes its own error for.
FULL = {1: 5, 10: 30, 100: 300, 500: 1000, 1000: 2000}
QUICK = {1: 3, 10: 20, 100: 200, 1000: 1000}
SHORT_STREAMS = 64
TIMEOUT_S = 300


def arguments():
    parser = argparse.ArgumentParser(prog="bench-peers", description=__doc__, epilog="See scripts/README.md.")
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer loads, one repeat: under two minutes")
    add("--install", action="store_true", help="install wrk, oha and aiperf (into --cache), and end")
    add("--repeats", type=int, help="runs of each tool on each load [3; 1 with --quick]")
    add("--streams", help="stream counts, e.g. 1,100 [1,10,100,500,1000]")
    add("--tools", help="only these, e.g. loadline,wrk")
    add("--ttft-ms", type=float, default=50.0, help="time to the first token that the server gives [50]")
    add("--itl-ms", type=float, default=10.0, help="time between tokens that the server gives [10]")
    add("--tokens", type=int, default=100, help="tokens of an answer [100]")
    add("--server-core", type=int, help="core of the server [the last one]")
    add("--loadline", metavar="PATH", help="binary to measure [target/release/loadline, built]")
    add("--truth-server", metavar="PATH", help="server's binary [target/release/examples/truth_server, built]")
    add("--vllm-bench", metavar="PATH", help="vllm-bench's binary")
    add("--cache", type=Path, default=machine.cache(), help="where --install puts programs [%(default)s]")
    add("--out", type=Path, help="where results go [benches/results/DATE]")
    options = parser.parse_args()
    if options.streams:
        try:
            options.levels = {int(n): FULL.get(int(n), 2 * int(n)) for n in options.streams.split(",")}
        except ValueError:
            parser.error(f"--streams takes numbers with commas between, not {options.streams}")
    else:
        options.levels = QUICK if options.quick else FULL
    options.repeats = options.repeats or (1 if options.quick else 3)
    cores = sorted(os.sched_getaffinity(0))
    options.server_core = cores[-1] if options.server_core is None else options.server_core
    options.client_cores = set(cores) - {options.server_core}
    if not options.client_cores:
        parser.error("the bench needs two cores: one for the server, the others for the client")
    return options


def build(options):
    """Builds what is measured, unless binaries were given."""
    options.given = bool(options.loadline or options.truth_server)
    if options.loadline and options.truth_server:
        return
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bins", "--examples"], cwd=ROOT, check=True)
    described = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"], cwd=ROOT,
                               check=True, capture_output=True, text=True).stdout
    target = Path(json.loads(described)["target_directory"]) / "release"
    options.loadline = options.loadline or str(target / "loadline")
    options.truth_server = options.truth_server or str(target / "examples" / "truth_server")


class Cell:
    """One load against one setting of the server, and who takes part."""

    def __init__(self, kind, load, server_flags, only=None):
        self.kind, self.load, self.server_flags, self.only = kind, load, server_flags, only

    def takes(self, tool):
        if self.only:
            return tool.name in self.only
        return self.kind == "stream" or not tool.streams_only


def cells(options):
    """All loads, in order. Of a kind, the first is the base from which the cost of a further request is taken."""
    seats = ["--max-num-seqs", "8192"]
    told = subprocess.run([options.truth_server, "--help"], capture_output=True, text=True, check=True).stdout
    options.constant = "--constant-ttft-ms" in told
    timing = ["--tp", "8"]
    if options.constant:
        timing = ["--constant-ttft-ms", f"{options.ttft_ms:g}", "--constant-itl-ms", f"{options.itl_ms:g}"]
    else:
        print("this server has no constant times yet: its cost model's are used; errors are against its log all the same")
    answer_s = (options.ttft_ms + (options.tokens - 1) * options.itl_ms) / 1e3

    def stream(kind, streams, requests, only=None):
        seconds = -(-requests // streams) * answer_s
        return Cell(kind, Load(streams, requests, options.tokens, True, seconds), timing + seats, only)

    out = [stream("stream", streams, requests) for streams, requests in sorted(options.levels.items())]
    if not options.quick and not options.streams:
        out += [stream("ceiling", streams, streams, ["loadline"]) for streams in (2000, 4000)]
    instant = ["--tp", "8", "--speedup", "1000000", *seats]
    for requests, seconds in ((5_000, 1), (50_000, 2)):
        out.append(Cell("short", Load(SHORT_STREAMS, requests, 1, False, seconds), instant))
    return out


def measure(cell, tool, options, folder):
    """One run of a tool on a load. Returns its record, or one that says why there is none."""
    out = Path(tempfile.mkdtemp(dir=folder))
    said = out / "output.txt"
    server = truth.Server(options.truth_server, cell.server_flags, options.server_core, out / "log", cell.load.output_tokens)
    with server:
        argv = tool.command(cell.load, server.url, out)
        cost = process.run(argv, tool.environment(), options.client_cores, said, tool.tree, TIMEOUT_S)
        # Tools that stamp by the wall clock are put on the server's axis by the distance now.
        to_monotonic = time.monotonic_ns() - time.time_ns()
    folders = [(str(out), "RUN"), (str(machine.cache()), "CACHE"), (f"{Path.cwd()}/", "")]

    def shown(words):
        line = shlex.join(map(str, words))
        for folder, name in folders:
            line = line.replace(folder, name)
        return line

    given = [f"{k}={v}" for k, v in tool.environment().items() if os.environ.get(k) != v]
    record = {"kind": cell.kind, "tool": tool.name, "load": asdict(cell.load), "cost": asdict(cost),
              "server": shown(["truth_server", *server.argv[1:]]), "command": shown([*given, *argv])}
    true = server.truth
    text = said.read_text(errors="replace")
    try:
        if cost.code != 0:
            raise ValueError(f"exit code {cost.code}")
        reported = tool.read(cell.load, out, text)
    except (OSError, ValueError, KeyError, AttributeError, IndexError) as why:
        record["failure"] = f"{type(why).__name__}: {why}"
        record["output_tail"] = text[-600:]
        return record
    first_tokens, sends = true.first_tokens, reported.sends
    pairs = [(*sends[name], *first_tokens[name]) for name in sends.keys() & first_tokens.keys()]
    before = [(arrived - sent - to_monotonic) / 1e6 for sent, _, arrived, _ in pairs]
    after = [(seen + to_monotonic - given) / 1e6 for _, seen, _, given in pairs]
    record["truth"] = {k: v for k, v in asdict(true).items() if k != "first_tokens"}
    record["truth"] |= {"load_s": true.load_s, "server_busy": true.server_busy}
    record["reported"] = {k: v for k, v in asdict(reported).items() if k != "sends"}
    record["send_to_server"] = asdict(truth.Distribution.of(before))
    record["server_to_stamp"] = asdict(truth.Distribution.of(after))
    return record


def run_cell(cell, present, options, folder):
    """All repeats of a load: A B B A and so on, so that a drift of the machine hits all alike."""
    takers = [tool for tool in present if cell.takes(tool)]
    repeats = options.repeats if cell.kind != "ceiling" else 1
    for repeat in range(repeats):
        for tool in takers if repeat % 2 == 0 else reversed(takers):
            started = time.monotonic()
            record = measure(cell, tool, options, folder)
            record["repeat"] = repeat
            end = record.get("failure", "")
            print(f"  {cell.kind:8}{cell.load.streams:6}{tool.name:>12}  repeat {repeat + 1}"
                  f"{time.monotonic() - started:7.1f} s  {end}", flush=True)
            yield record


def commands(records):
    """The command lines of each tool on each load, once."""
    seen, lines = set(), []
    for record in records:
        key = (record["kind"], record["load"]["streams"], record["load"]["requests"], record["tool"])
        if key not in seen:
            seen.add(key)
            lines.append(f"# {key[0]}, {key[1]} streams, {key[2]} requests: {key[3]}")
            lines += [record["server"], record["command"], ""]
    return "\n".join(["# Every run has a folder of its own, RUN, and a port of its own.\n", *lines])


def write(out, records, described, text, noise):
    out.mkdir(parents=True, exist_ok=True)
    (out / "machine.txt").write_text(described)
    (out / "commands.txt").write_text(commands(records))
    kept = [{k: v for k, v in record.items() if k not in ("command", "server")} for record in records]
    (out / "raw.json").write_text("[\n" + ",\n".join(json.dumps(rounded(r)) for r in kept) + "\n]\n")
    (out / "README.md").write_text(
        f"# Load generators beside each other, {out.name}\n\n```text\n{text}\n```\n\n"
        "[machine.txt](machine.txt) tells on what and under which load, [commands.txt](commands.txt) the exact command\n"
        "lines, [raw.json](raw.json) every run.\n\n"
        f"{noise}\n")


def rounded(value):
    """Floats to a tenth of a microsecond, or of whatever their unit is."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def main():
    options = arguments()
    if options.install:
        tools.install(options.cache)
        return 0
    build(options)
    process.adopt_orphans()
    wanted = options.tools.split(",") if options.tools else [tool.name for tool in tools.ALL]
    present, versions = [], {}
    for kind in tools.ALL:
        tool = kind(options.cache, options)
        if tool.name not in wanted:
            continue
        if tool.path:
            present.append(tool)
            versions[tool.name] = tool.version()
        else:
            print(f"{tool.name} is not here, and left out. To have it: {tool.install}")
    todo = cells(options)
    before = machine.state()
    records = []
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        warm = Cell("stream", Load(10, 10, options.tokens, True, 1), todo[0].server_flags)
        for tool in present:
            measure(warm, tool, options, folder)
        for cell in todo:
            records += run_cell(cell, present, options, folder)
    after = machine.state()
    described = machine.describe(ROOT, options, versions, before, after)
    text = tables.text(records, options)
    print("\n" + text)
    out = options.out or ROOT / "benches" / "results" / datetime.date.today().isoformat()
    write(out, records, described, text, machine.noise(before, after))
    print(f"\nResults are in {out}")
    return 1 if any("failure" in record for record in records) else 0
