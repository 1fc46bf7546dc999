"""Programs that serve: started on a free loopback port, waited for, and ended with all that they have started."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

STARTS_WITHIN_S = 120


def free_port():
    """A port that nobody listens on. Another program may take it first; then the server does not start, and the run fails."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def answers(url, has=""):
    """Whether a GET of this gives a 2xx whose body has the text `has`. Certificates are not looked at."""
    trusting = ssl._create_unverified_context()
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2, context=trusting) as response:
        return response.status < 300 and has in response.read().decode()
    return False


def listens(port):
    """Whether a connection can be made."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(argv, log, ready, env=None, cwd=None):
    """A server until the end of the block; `ready` says when it is one. Its output goes into the file `log`."""
    with open(log, "wb") as out:
        child = subprocess.Popen([str(a) for a in argv], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                 env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True)
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not ready():
            if child.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{argv[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield child
    finally:
        end(child)


def end(child):
    """Ends a server and what it started: it was given a session of its own."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, way)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
