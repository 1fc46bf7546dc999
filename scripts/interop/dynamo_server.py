"""Dynamo's frontend with its mocker behind it: a third party's simulation of Qwen3-32B on H200 GPUs, with a trace of its own of
what it did. No etcd, no NATS, no network but the loopback device."""

import json
from contextlib import ExitStack, contextmanager

import install
import model
from servers import answers, free_port, running

# From aiconfigurator-core's measurements; TP 8 has the fewest chunks in flight at one time, which two cores can carry.
ENGINE = ["--aic-perf-model", "--aic-system", "h200_sxm", "--aic-backend", "vllm", "--aic-backend-version", "0.24.0",
          "--max-model-len", "40960"]


@contextmanager
def server(folder, *, tp=8, frontend=(), mocker=(), env=None, tls=None, name="dynamo"):
    """Gives its URL. `folder/NAME.jsonl` has what the server says of each request once that has ended."""
    python = install.venv("dynamo") / "bin" / "python"
    home = folder / "hf"
    if not home.exists():
        model.hub(home)
    port = free_port()
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    (folder / f"{name}-kv").mkdir()
    env = {
        "DYN_DISCOVERY_BACKEND": "file", "DYN_FILE_KV": str(folder / f"{name}-kv"), "DYN_REQUEST_PLANE": "tcp",
        "DYN_EVENT_PLANE": "zmq", "DYN_TCP_RPC_HOST": "127.0.0.1", "DYN_TCP_RESPONSE_STREAM_HOST": "lo",
        "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "DYN_SELF_HOST_METADATA": "0", "DYN_SDK_DISABLE_ANSI_LOGGING": "1",
        "DYN_REQUEST_TRACE": "1", "DYN_REQUEST_TRACE_SINKS": "file", "DYN_REQUEST_TRACE_FILE_FORMAT": "jsonl",
        "DYN_REQUEST_TRACE_RECORDS": "request_end", "DYN_REQUEST_TRACE_FILE_PATH": str(folder / f"{name}.jsonl"), **(env or {}),
    }
    certificate = ["--tls-cert-path", tls / "cert.pem", "--tls-key-path", tls / "key.pem"] if tls else []
    front = [python, "-m", "dynamo.frontend", "--http-host", "127.0.0.1", "--http-port", port, *certificate, *frontend]
    back = [python, "-m", "dynamo.mocker", "--model-path", model.NAME, "--model-name", model.NAME, *ENGINE, "--aic-tp-size", tp,
            *mocker]
    with ExitStack() as stack:
        stack.enter_context(running(front, folder / f"{name}-frontend.log", lambda: True, env=env))
        # The model is listed when the mocker has registered it.
        ready = lambda: answers(f"{url}/v1/models", has='"id"')  # noqa: E731
        worker = stack.enter_context(running(back, folder / f"{name}-mocker.log", ready, env=env))
        yield url, worker


def trace(folder, name="dynamo"):
    """The server's own account: a dict for each request that ended, by its X-Request-Id."""
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
