"""The command line: which checks run, how long each took, and whether all that they claim holds."""

import argparse
import ctypes
import fcntl
import importlib
import os
import signal
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

import install
from checks import Checks
from runs import Loadline

ROOT = Path(__file__).resolve().parents[2]
# What CI runs, in this order.
CI = ["nginx", "llama", "proxies", "llmock", "dynamo", "beside_aiperf", "clients"]
CLONE_NEWNET, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8914, 1


def alone():
    """Goes into a network namespace of its own, with a loopback device and nothing else, where that is allowed: some
    servers listen on more addresses than they are told. Returns whether it did."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket() as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    return True


def main():
    parser = argparse.ArgumentParser(prog="scripts/interop/run", description="See docs/interop.md.")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    parser.add_argument("--loadline", type=Path, default=target / "release" / "loadline", metavar="BINARY")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write what 100 requests cost here too (clients)")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CI)} [all of these]")
    options = parser.parse_args()
    names = options.names or CI
    for name in set(names) - set(CI):
        parser.error(f"there is no check {name}; there are {', '.join(CI)}")
    if not options.loadline.exists():
        parser.error(f"there is no {options.loadline}: cargo build --release --locked")
    modules = {name: importlib.import_module(name) for name in names}
    install.debian(*(p for m in modules.values() for p in getattr(m, "DEBIAN", ())))
    for m in modules.values():
        for venv in getattr(m, "VENVS", ()):
            install.venv(venv)
    print("alone with a loopback device" if alone() else "no network namespace is allowed: on the machine's own network")
    # A run that is told to end takes its servers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = 0
    for name, module in modules.items():
        started = time.monotonic()
        checks = Checks(name, options.results)
        with tempfile.TemporaryDirectory(prefix=f"interop-{name}-") as folder:
            module.check(checks, Loadline(options.loadline.resolve(), folder), Path(folder))
        print(f"{name}: {checks.passed} passed, {checks.failed} failed, {time.monotonic() - started:.0f} s\n", flush=True)
        failed += checks.failed + (checks.passed == 0)
    return 1 if failed else 0
