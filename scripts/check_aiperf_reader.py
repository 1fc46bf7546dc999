#!/usr/bin/env python3
"""Runs loadline in every way that shapes its artifacts, and reads each run with aiperf's own models.

    scripts/check_aiperf_reader.py PYTHON_WITH_AIPERF [LOADLINE] [DIR...]

LOADLINE is the binary (target/release/loadline, else target/debug/loadline). Runs go to simulated deployments on this
host's loopback, and to a server of this script that fails on purpose; they take a few seconds together. A DIR beside
them is read too: aiperf's golden runs pass the same reader. Exit code 0 if all fits.
"""

import http.server
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
TINY = "--streaming --isl 40 --osl 6 --random-seed 7"


class Faulty(http.server.BaseHTTPRequestHandler):
    """Answers in turn: well, with 429, with a stream that is cut, with an error inside it, with no content. Knows no `nobody`."""

    protocol_version = "HTTP/1.1"
    count = 0
    lock = threading.Lock()

    def do_POST(self):  # noqa: N802
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["model"] == "nobody":
            return self.refuse()
        with Faulty.lock:
            turn = Faulty.count % 5
            Faulty.count += 1
        if turn == 1:
            return self.refuse()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        delta = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "word "}}]}
        if turn != 4:
            self.event(json.dumps(delta))
            self.event(json.dumps(delta))
        if turn == 2:
            self.close_connection = True
            return None
        if turn == 3:
            self.event(json.dumps({"error": {"message": "out of luck", "code": 500}}))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")
        return None

    def refuse(self):
        body = b'{"error": {"message": "busy \\u00e9", "type": "server_error"}}'
        self.send_response(429)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def event(self, data):
        piece = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_):
        pass


def traces(scratch):
    """Small traces: rows with times, and sessions."""
    timed, sessions = scratch / "timed.jsonl", scratch / "sessions.jsonl"
    rows = [{"timestamp": 15 * n, "input_length": 30 + n, "output_length": 4} for n in range(12)]
    timed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"session_id": f"s{n % 3}", "input_length": 20, "output_length": 3, "delay": 5} for n in range(9)]
    sessions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return timed, sessions


def runs(scratch, faulty_url):
    """Names, and the arguments of `profile`."""
    timed, sessions = traces(scratch)
    mooncake = "--custom-dataset-type mooncake_trace --streaming"
    faulty = f"--url {faulty_url} --model faulty"
    return {
        "concurrency": f"{TINY} --concurrency 4 --request-count 12",
        "unstreamed": "--isl 40 --osl 6 --concurrency 2 --request-count 6",
        "completions": f"{TINY} --endpoint-type completions --concurrency 2 --request-count 6",
        "rate": f"{TINY} --request-rate 60 --request-count 20 --warmup-request-count 5 --goodput time_to_first_token:500 --slice-duration 0.1",
        "gamma": f"{TINY} --request-rate 60 --arrival-pattern gamma --arrival-smoothness 2 --concurrency 8 --benchmark-duration 1",
        "expression": f"{TINY} --benchmark-duration 1 --rate-profile 20+sin(amplitude=5,period=1s)",
        "schedule": f"{mooncake} --input-file {timed} --fixed-schedule --warmup-request-count 2",
        "sessions": f"{mooncake} --input-file {sessions} --no-fixed-schedule --concurrency 2 --history live",
        "errors": f"{TINY} {faulty} --concurrency 2 --request-count 15",
        "cancelled": "--streaming --isl 40 --osl 200 --concurrency 4 --request-count 16 --request-cancellation-rate 50 --request-cancellation-delay 0.05",
        "all-fail": f"{TINY} --url {faulty_url} --model nobody --concurrency 1 --request-count 2",
        "prefix": f"{TINY} --concurrency 2 --request-count 4 --profile-export-prefix foo --slice-duration 1",
        "repeats": f"{TINY} --concurrency 2 --request-count 6 --warmup-request-count 2 --num-profile-runs 3",
        "sweep": f"{TINY} --concurrency 1,2 --request-count 6",
        "sweep-repeats": "--streaming --isl 20,40 --osl 4 --request-rate 40,80 --sweep-type zip --request-count 6 --num-profile-runs 2",
        "raw": f"{TINY} --concurrency 2 --request-count 6 --warmup-request-count 2 --export-level raw --export-outputs-json",
        "raw-unstreamed": "--isl 40 --osl 6 --concurrency 2 --request-count 6 --export-level raw --export-outputs-json",
        "raw-errors": f"{TINY} {faulty} --concurrency 2 --request-count 15 --export-level raw --export-outputs-json",
        "raw-messages": f"{TINY} --endpoint-type messages --concurrency 2 --request-count 4 --export-level raw",
        "summary-level": f"{TINY} --concurrency 2 --request-count 4 --export-level summary",
    }


def main(arguments):
    python, loadline, directories = arguments[0], None, []
    if len(arguments) > 1:
        loadline, directories = arguments[1], arguments[2:]
    if loadline is None:
        loadline = next(p for p in ("target/release/loadline", "target/debug/loadline") if Path(p).is_file())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    failures = []
    with tempfile.TemporaryDirectory(prefix="loadline-aiperf-") as scratch:
        scratch = Path(scratch)
        for name, line in runs(scratch, f"http://127.0.0.1:{server.server_port}").items():
            words = [loadline, "profile", *line.split(), "--artifact-dir", str(scratch / name)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=120)
            if done.returncode != 0:
                failures.append(name)
                print(f"FAIL {name}: exit code {done.returncode}\n{done.stderr}")
        read = subprocess.run([python, str(HERE / "read_aiperf.py"), str(scratch), *directories], check=False)
    server.shutdown()
    return 1 if failures or read.returncode else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    sys.exit(main(sys.argv[1:]))
