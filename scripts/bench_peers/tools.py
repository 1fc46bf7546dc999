"""The load generators: where each is found, how it is told what to do, and how its own output is read.

Every tool gets the same number of requests, the same short prompt, the same connections, kept alive, and its defaults
for the rest; where a flag is added, it makes the tool do less. To add one: a class, and its name in `ALL`.
"""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .truth import MODEL, Distribution

PROMPT_TOKENS = 8
REVISION = "0" * 39 + "1"


@dataclass
class Load:
    """What a tool is asked to do: closed loop, `streams` at once. `seconds` is what the answers take at best."""

    streams: int
    requests: int
    output_tokens: int
    streaming: bool
    seconds: float

    def body(self):
        """The request that tools send which make none of their own; as loadline's."""
        words = "one two three four five six seven eight"
        body = {"model": MODEL, "messages": [{"role": "user", "content": words}], "stream": self.streaming,
                "max_completion_tokens": self.output_tokens}
        if self.streaming:
            body["stream_options"] = {"include_usage": True}
        return json.dumps(body)


@dataclass
class Reported:
    """What a tool says, in milliseconds; None where it says nothing. `sends`: by request id, (sent, first token) as
    nanoseconds since 1970."""

    requests: int
    ttft: Distribution = field(default_factory=Distribution)
    itl: Distribution = field(default_factory=Distribution)
    e2e: Distribution = field(default_factory=Distribution)
    sends: dict = field(default_factory=dict)


class Tool:
    """A load generator. `tree`: it runs as many processes. `streams_only`: it has nothing to say on short replies."""

    name = install = None
    tree = streams_only = False

    def __init__(self, cache, options):
        self.cache = cache
        self.path = self.find(options)

    def find(self, options):
        return shutil.which(self.name)

    def version(self):
        """The first line with a digit that the tool says of itself."""
        said = subprocess.run([self.path, "--version"], capture_output=True, text=True, timeout=120)
        lines = [line.strip() for line in (said.stdout + said.stderr).splitlines()]
        return next((line for line in lines if re.search(r"\d", line)), "unknown")

    def environment(self):
        return dict(os.environ)


def export_json(out):
    """What aiperf, and loadline in aiperf's place, wrote."""
    said = json.loads((out / "profile_export_aiperf.json").read_text())
    of = lambda name: Distribution(*(said.get(name, {}).get(k) for k in ("avg", "p50", "p99")))  # noqa: E731
    sends = {}
    records = out / "profile_export.jsonl"
    for line in records.read_text().splitlines() if records.exists() else []:
        record = json.loads(line)
        ttft = record["metrics"].get("time_to_first_token")
        if ttft:
            sent = record["metadata"]["request_start_ns"]
            sends[record["metadata"]["x_request_id"]] = (sent, sent + round(ttft["value"] * 1e6))
    count = said.get("request_count", {}).get("avg", 0)
    return Reported(int(count), of("time_to_first_token"), of("inter_token_latency"), of("request_latency"), sends)


class Loadline(Tool):
    name = "loadline"
    install = "cargo build --release"

    def find(self, options):
        return options.loadline

    def command(self, load, url, out):
        # Of short replies the others write no file for each request.
        how = ["--streaming"] if load.streaming else ["--export-level", "summary"]
        return [self.path, "profile", "--model", MODEL, "--url", url, *how, "--concurrency", str(load.streams),
                "--request-count", str(load.requests), "--isl", str(PROMPT_TOKENS), "--osl", str(load.output_tokens),
                "--artifact-dir", str(out)]

    def read(self, load, out, said):
        return export_json(out)


class Aiperf(Tool):
    name = "aiperf"
    install = "scripts/bench-peers --install, or: python3 -m venv DIR && DIR/bin/pip install aiperf"
    tree = streams_only = True

    def find(self, options):
        own = self.cache / "aiperf" / "bin" / "aiperf"
        return str(own) if own.exists() and hub(self.cache).exists() else None

    def environment(self):
        return {**os.environ, **offline(self.cache)}

    def command(self, load, url, out):
        # Telemetry, metrics scraping and the dashboard are off: they would only cost it time.
        return [self.path, "profile", "--model", MODEL, "--url", url, "--endpoint-type", "chat", "--streaming",
                "--tokenizer", MODEL, "--concurrency", str(load.streams), "--request-count", str(load.requests),
                "--isl", str(PROMPT_TOKENS), "--osl", str(load.output_tokens), "--extra-inputs", "ignore_eos:true",
                "--use-server-token-count", "--no-server-metrics", "--no-gpu-telemetry", "--ui", "none",
                "--artifact-dir", str(out)]

    def read(self, load, out, said):
        return export_json(out)


class Wrk(Tool):
    name = "wrk"
    install = "apt-get install wrk"

    def version(self):
        said = subprocess.run([self.path, "-v"], capture_output=True, text=True, timeout=60).stdout
        return said.splitlines()[0].partition(" Copyright")[0]

    def command(self, load, url, out):
        # wrk knows no number of requests, only whole seconds; what it did is counted at the server.
        (out / "post.lua").write_text(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f"wrk.body = [==[{load.body()}]==]\n"
            "function done(summary, latency, requests)\n"
            "  io.write(string.format('RESULT {\"requests\":%d,\"mean\":%.3f,\"p50\":%.3f,\"p99\":%.3f}\\n',\n"
            "    summary.requests, latency.mean / 1e3, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))\n"
            "end\n")
        return [self.path, "-t", "1", "-c", str(load.streams), "-d", f"{max(1, round(load.seconds))}s", "--timeout", "60s",
                "-s", str(out / "post.lua"), f"{url}/v1/chat/completions"]

    def read(self, load, out, said):
        found = json.loads(re.search(r"RESULT (.*)", said).group(1))
        return Reported(found["requests"], e2e=Distribution(found["mean"], found["p50"], found["p99"]))


class Oha(Tool):
    name = "oha"
    install = "scripts/bench-peers --install, or: cargo install oha"

    def find(self, options):
        own = self.cache / "oha" / "bin" / "oha"
        return str(own) if own.exists() else shutil.which("oha")

    def command(self, load, url, out):
        (out / "body.json").write_text(load.body())
        return [self.path, "-m", "POST", "-T", "application/json", "-D", str(out / "body.json"), "-c", str(load.streams),
                "-n", str(load.requests), "--no-tui", "--output-format", "json", "--output", str(out / "oha.json"),
                f"{url}/v1/chat/completions"]

    def read(self, load, out, said):
        found = json.loads((out / "oha.json").read_text())
        at = found["latencyPercentiles"]
        mean = found["summary"]["average"]
        requests = sum(found["statusCodeDistribution"].values())
        return Reported(requests, e2e=Distribution(mean * 1e3, at["p50"] * 1e3, at["p99"] * 1e3))


class VllmBench(Tool):
    name = "vllm-bench"
    install = "build it from its source, and give the binary: --vllm-bench PATH"
    streams_only = True

    def find(self, options):
        return options.vllm_bench

    def environment(self):
        return {**os.environ, **offline(self.cache)}

    def command(self, load, url, out):
        return [self.path, "--backend", "openai-chat", "--base-url", url, "--model", MODEL, "--tokenizer",
                str(hub(self.cache)), "--dataset-name", "random", "--random-input-len", str(PROMPT_TOKENS),
                "--random-output-len", str(load.output_tokens), "--num-prompts", str(load.requests),
                "--max-concurrency", str(load.streams), "--ignore-eos", "--disable-tqdm",
                "--percentile-metrics", "ttft,itl,e2el", "--metric-percentiles", "50,99",
                "--save-result", "--result-dir", str(out), "--result-filename", "result.json"]

    def read(self, load, out, said):
        found = json.loads((out / "result.json").read_text())
        of = lambda m: Distribution(*(found.get(f"{k}_{m}_ms") for k in ("mean", "median", "p99")))  # noqa: E731
        return Reported(found["completed"], of("ttft"), of("itl"), of("e2el"))


class Guidellm(Tool):
    name = "guidellm"
    install = "pip install guidellm (5.9 GB), then have it on PATH"
    tree = streams_only = True

    def environment(self):
        return {**os.environ, **offline(self.cache)}

    def command(self, load, url, out):
        return [self.path, "run", "--backend",
                f"kind=openai_http,target={url},model={MODEL},request_format=/v1/chat/completions",
                "--profile", f"kind=concurrent,streams={load.streams}",
                "--constraint", f"kind=max_requests,count={load.requests}",
                "--data", f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={load.output_tokens}",
                "--tokenizer", f"kind=huggingface_auto,model={hub(self.cache)}",
                "--output", f"kind=json,path={out / 'benchmarks.json'}", "--disable-console"]

    def read(self, load, out, said):
        metrics = json.loads((out / "benchmarks.json").read_text())["benchmarks"][0]["metrics"]

        def of(name, factor=1.0):
            found = metrics[name]["successful"]
            at = found["percentiles"]
            return Distribution(found["mean"] * factor, at["p50"] * factor, at["p99"] * factor)

        count = metrics["request_latency"]["successful"]["count"]
        return Reported(count, of("time_to_first_token_ms"), of("inter_token_latency_ms"), of("request_latency", 1e3))


# loadline first: the others are compared with it.
ALL = [Loadline, Wrk, Oha, VllmBench, Aiperf, Guidellm]


def hub(cache):
    """The folder of the tokenizer that tools need which tokenize."""
    return cache / "hub" / "hub" / "models--Qwen--Qwen3-32B" / "snapshots" / REVISION


def offline(cache):
    """The environment in which Hugging Face's libraries find that tokenizer by its model's name, and nothing else."""
    return {"HF_HOME": str(cache / "hub"), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def install(cache):
    """Installs what can be installed, into `cache`. Each line of output is a command that was run."""
    cache.mkdir(parents=True, exist_ok=True)
    venv, train = cache / "aiperf", Path(__file__).with_name("tokenizer.py")
    steps = []
    if not shutil.which("wrk"):
        steps += [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "wrk"]]
    if not (cache / "oha" / "bin" / "oha").exists():
        steps += [["nice", "-n", "19", "cargo", "install", "oha", "--locked", "--root", str(cache / "oha")]]
    if not (venv / "bin" / "aiperf").exists():
        steps += [["python3", "-m", "venv", str(venv)], [str(venv / "bin" / "pip"), "install", "--quiet", "aiperf"]]
    if not hub(cache).exists():
        steps += [[str(venv / "bin" / "python"), str(train), str(hub(cache))]]
    for step in steps:
        print("+", " ".join(step), flush=True)
        started = time.monotonic()
        if subprocess.run(step).returncode != 0:
            print(f"  failed after {time.monotonic() - started:.0f} s")
