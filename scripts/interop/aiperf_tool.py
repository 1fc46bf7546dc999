"""Runs aiperf as its manual says, with what only costs it time turned off, and reads what it and loadline both write."""

import json
import os
import subprocess
from statistics import fmean

import install
import model

TIMEOUT_S = 300
TTFT, ITL, LATENCY = "time_to_first_token", "inter_token_latency", "request_latency"
INPUT, OUTPUT = "input_sequence_length", "output_sequence_length"


def command(url, out, *arguments):
    """aiperf's command line. Token counts are the server's, as loadline's are."""
    return [str(install.venv("aiperf") / "bin" / "aiperf"), "profile", "--model", model.NAME, "--url", url, "--endpoint-type", "chat",
            "--streaming", "--tokenizer", model.NAME, "--use-server-token-count", "--random-seed", "7", "--no-server-metrics",
            "--no-gpu-telemetry", "--ui", "none", "--artifact-dir", str(out), *map(str, arguments)]


def environment(home):
    """In which the model's name is found in `home` and nowhere else."""
    return {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def profile(url, out, home, *arguments):
    """A run of aiperf; raises where it fails."""
    line = command(url, out, *arguments)
    ran = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(home), cwd=out.parent)
    if ran.returncode != 0:
        raise RuntimeError(f"{' '.join(line)}: exit code {ran.returncode}\n{(ran.stdout + ran.stderr)[-2000:]}")
    return Exports(out)


class Exports:
    """profile_export.jsonl and profile_export_aiperf.json, whichever tool wrote them."""

    def __init__(self, folder):
        lines = (folder / "profile_export.jsonl").read_text().splitlines()
        records = [r for r in map(json.loads, lines) if r["metadata"]["benchmark_phase"] == "profiling"]
        self.failed = sum("error" in r and r["error"] is not None for r in records)
        self.records = [r["metrics"] for r in records if r.get("error") is None]
        self.summary = json.loads((folder / "profile_export_aiperf.json").read_text())

    def column(self, tag):
        """A metric's values, of the records that have it."""
        return [r[tag]["value"] for r in self.records if tag in r]

    def mean(self, tag):
        """Its mean, from the records."""
        return fmean(self.column(tag))

    def summed_up_right(self, tag):
        """Whether the summary's mean is that of the records."""
        return abs(self.summary[tag]["avg"] - self.mean(tag)) <= 1e-6 * self.mean(tag)
