"""Describes the machine and its state, so that a figure can be judged: cores, kernel, versions, load, stolen time."""

import os
import platform
import subprocess
import time
from pathlib import Path


def cache():
    """Where installed programs are kept, outside of the tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loadline-bench"


def state():
    """What may differ between the start of the bench and its end."""
    ticks = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return {"at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), "load": os.getloadavg(),
            "ticks": sum(ticks), "idle": ticks[3], "steal": ticks[7]}


def of_file(path, key):
    """The value of the first line of a /proc file that begins with `key`."""
    lines = Path(path).read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "unknown")


def describe(root, options, versions, before, after):
    """Text for machine.txt."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True).stdout
    ticks = max(1, after["ticks"] - before["ticks"])
    idle, steal = ((after[k] - before[k]) / ticks for k in ("idle", "steal"))
    rows = [
        ("processor", f"{of_file('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores"),
        ("memory", of_file("/proc/meminfo", "MemTotal")),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("commit", (commit.strip() or "unknown") + (", of the scripts; the binaries were given" if options.given else "")),
        ("server", f"core {options.server_core}, alone on it as far as this bench goes"),
        ("clients", f"cores {','.join(map(str, sorted(options.client_cores)))}"),
        ("started", before["at"]),
        ("ended", after["at"]),
        ("load average", f"{before['load'][0]:.2f} before, {after['load'][0]:.2f} after"),
        ("all cores", f"idle {idle:.1%}, stolen by the host {steal:.2%}, from start to end"),
        *((name, version) for name, version in versions.items()),
    ]
    return "\n".join(f"{name:14}{value}" for name, value in rows) + "\n"


def noise(before, after):
    """A sentence on how far the figures can be trusted."""
    load = max(before["load"][0], after["load"][0])
    said = f"The load average was {before['load'][0]:.1f} before and {after['load'][0]:.1f} after, on {os.cpu_count()} cores. "
    # The bench itself keeps the server's core half busy and the client's up to full.
    if load > os.cpu_count() + 0.5:
        return said + "Others worked on this machine meanwhile: compare ratios and their ranges, not the figures themselves."
    return said + "The bench had the machine to itself; ratios are still steadier than figures."
