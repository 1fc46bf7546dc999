"""Dynamo's frontend with its mocker behind it: a third party's simulation of Qwen3-32B on H200 GPUs, with a trace of its own of
what it did. No etcd, no NATS."""

import json
import time
from contextlib import contextmanager

import install
import model
from servers import answers, free_port, running

# Timed by aiconfigurator-core's measurements of vLLM.
ENGINE = ["--aic-perf-model", "--aic-system", "h200_sxm", "--aic-backend", "vllm", "--aic-backend-version", "0.24.0",
          "--max-model-len", "40960"]


class Deployment:
    """Programs of one deployment: they find each other by a folder."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "hf"
        self.tokenizer = model.hub(self.home)
        self.python = install.venv("dynamo") / "bin" / "python"
        (folder / "kv").mkdir()
        self.env = {
            "DYN_DISCOVERY_BACKEND": "file", "DYN_FILE_KV": str(folder / "kv"), "DYN_REQUEST_PLANE": "tcp",
            "DYN_EVENT_PLANE": "zmq", "DYN_TCP_RPC_HOST": "127.0.0.1", "DYN_TCP_RESPONSE_STREAM_HOST": "lo",
            "HF_HOME": str(self.home), "HF_HUB_OFFLINE": "1", "DYN_SELF_HOST_METADATA": "0",
            "DYN_SDK_DISABLE_ANSI_LOGGING": "1", "PYTHONDONTWRITEBYTECODE": "",
        }

    @contextmanager
    def mocker(self, tp, *arguments):
        """The engine. Gives its process."""
        argv = [self.python, "-m", "dynamo.mocker", "--model-path", model.NAME, "--model-name", model.NAME, *ENGINE,
                "--aic-tp-size", tp, *arguments]
        with running(argv, self.folder / "mocker.log", lambda: True, env=self.env) as child:
            yield child

    @contextmanager
    def frontend(self, name, *arguments, tls=None, env=None):
        """An HTTP server for it. Gives its URL once it knows the model; `account(name)` has what it says of requests."""
        port = free_port()
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        argv = [self.python, "-m", "dynamo.frontend", "--http-host", "127.0.0.1", "--http-port", port, *arguments]
        if tls:
            argv += ["--tls-cert-path", tls / "cert.pem", "--tls-key-path", tls / "key.pem"]
        trace = {"DYN_REQUEST_TRACE": "1", "DYN_REQUEST_TRACE_SINKS": "file", "DYN_REQUEST_TRACE_FILE_FORMAT": "jsonl",
                 "DYN_REQUEST_TRACE_RECORDS": "request_end", "DYN_REQUEST_TRACE_FILE_PATH": str(self.folder / f"{name}.jsonl")}
        ready = lambda: answers(f"{url}/v1/models", has='"id"')  # noqa: E731
        with running(argv, self.folder / f"{name}.log", ready, env={**self.env, **trace, **(env or {})}):
            yield url

    def account(self, name, requests):
        """What that frontend says of its first `requests` requests, in the order of their ends; it writes a moment later."""
        lines, until = [], time.monotonic() + 30
        while len(lines) < requests and time.monotonic() < until:
            time.sleep(0.2)
            lines = (self.folder / f"{name}.jsonl").read_text().splitlines()
        return [json.loads(line)["event"]["request"] for line in lines]
