"""Dynamo's frontend and its mocker: keep-alive comments, `event:` lines, cached tokens, errors inside a 200, status 529, and a
worker that dies in mid-stream, over every protocol that it speaks; the server's own account is the truth."""

import http.client
import json
import ssl
import threading
import time

import model
from dynamo_server import Deployment
from proxies import certificate
from runs import whole

DEBIAN = ("openssl",)
VENVS = ("dynamo",)
KEEP_ALIVE_MS = 2
BLOCK = 64


def check(checks, loadline, folder):
    certificate(folder)
    dynamo = Deployment(folder)
    keep_alive = {"DYN_HTTP_SSE_KEEP_ALIVE_INTERVAL_MS": str(KEEP_ALIVE_MS)}
    limits = ["--router-mode", "kv", "--active-decode-blocks-threshold", "0.5", "--active-prefill-tokens-threshold", "2000"]
    with (dynamo.mocker(8) as worker, dynamo.frontend("plain") as plain, dynamo.frontend("tls", tls=folder, env=keep_alive) as tls,
          dynamo.frontend("limited", *limits) as limited):
        ask = Ask(loadline, dynamo)
        # The first requests of an engine wait for its tables.
        ask(plain, "--request-count", 4)
        protocols(checks, ask, folder, plain, tls)
        events(checks, ask, dynamo, plain)
        prefixes(checks, ask, dynamo, folder, plain)
        given_up(checks, ask, plain)
        refused(checks, ask, plain, limited)
        dies(checks, ask, plain, worker)


class Ask:
    """Runs loadline with the flags that all runs share, and counts the requests to each URL."""

    def __init__(self, loadline, dynamo):
        self.loadline, self.dynamo, self.asked = loadline, dynamo, {}

    def __call__(self, url, *arguments, isl=100, osl=12):
        lengths = ["--isl", isl, "--osl", osl] if isl else []
        run = self.loadline.profile(url, "--tokenizer", self.dynamo.tokenizer, *lengths, *arguments, model=model.NAME)
        self.asked[url] = self.asked.get(url, 0) + run.counts["scheduled"]
        return run


def protocols(checks, ask, folder, plain, tls):
    """HTTP/1.1 and HTTP/2, clear and with TLS; the TLS one sends a comment each 2 ms."""
    named, ca = tls.replace("127.0.0.1", "localhost"), ["--tls-ca-file", folder / "cert.pem"]
    runs = {}
    for way, url, arguments in (
        ("HTTP/1.1", plain, []),
        ("h2c", plain, ["--http-version", "2"]),
        ("h2 over TLS", named, ca),
        ("HTTP/1.1 over TLS", named, [*ca, "--http-version", "1.1"]),
    ):
        runs[way] = run = ask(url, *arguments, "--concurrency", 4, "--request-count", 40)
        whole(checks, way, run, 40)
        checks.equal(f"{way}: protocol", run.protocol, "h2" if "h2" in way else "http/1.1")
        checks.that(f"{way}: connections are used again", run.connections < 40, run.connections)
    comments = comments_in_a_stream(tls)
    checks.that("keep-alive comments are in the TLS server's streams", comments > 0, f"{comments} in one")
    more = [runs[way].one("SELECT sum(bytes_received) FROM requests") for way in ("HTTP/1.1", "HTTP/1.1 over TLS")]
    checks.that("keep-alive comments reach loadline too, as bytes", more[1] > more[0] + 40 * 3, more)
    kinds = [run.sql("SELECT kind, count(*) FROM tokens GROUP BY kind ORDER BY kind") for run in runs.values()]
    checks.that("they make no event", all(k == kinds[0] for k in kinds), dict(kinds[0]))


def comments_in_a_stream(tls):
    """SSE comments that a plain reader sees in one answer."""
    connection = http.client.HTTPSConnection(tls.removeprefix("https://"), context=ssl._create_unverified_context(), timeout=30)
    body = {"model": model.NAME, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    return sum(line.startswith(b":") for line in connection.getresponse().read().split(b"\n"))


def events(checks, ask, dynamo, plain):
    """Completions, and streams with named events whose payload is a comment."""
    run = ask(plain, "--endpoint-type", "completions", "--concurrency", 4, "--request-count", 40)
    whole(checks, "completions", run, 40)
    checks.equal("completions: prompts that the server counts differently",
                 run.one("SELECT count(*) FILTER (prompt_tokens <> input_tokens) FROM requests"), 0)
    nvext = json.dumps({"nvext": {"annotations": ["token_ids", "formatted_prompt"]}})
    run = ask(plain, "--extra-inputs", nvext, "--concurrency", 4, "--request-count", 40)
    whole(checks, "named events", run, 40)
    checks.equal("named events: tokens are events of their own", run.one("SELECT count(*) FROM tokens WHERE kind = 'output'"), 40 * 12)
    checks.equal("rendered prompts that the server counts differently",
                 ask(plain, "--isl-counts", "rendered", "--request-count", 10).one(
                     "SELECT count(*) FILTER (prompt_tokens <> input_tokens) FROM requests"), 0)


def prefixes(checks, ask, dynamo, folder, plain):
    """A trace whose prompts share blocks: what the row says of the cache is what the server says."""
    rows = [{"timestamp": 150 * i, "input_length": 1024 + 16 * (i + 1), "output_length": 8, "hash_ids": [i % 3, 10 + i % 3, 100 + i]}
            for i in range(12)]
    trace = folder / "prefixes.jsonl"
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = ask.asked[plain]
    run = ask(plain, "--input-file", trace, "--custom-dataset-type", "mooncake_trace", "--fixed-schedule", "--endpoint-type",
              "completions", isl=None)
    whole(checks, "shared prefixes", run, len(rows))
    ours = run.sql("SELECT prompt_tokens, cached_tokens, output_tokens FROM requests ORDER BY ALL")
    theirs = sorted((r["input_tokens"], r["cached_tokens"], r["output_tokens"]) for r in dynamo.account("plain", before + len(rows))[before:])
    checks.that("shared prefixes: tokens of prompt, cache and answer are those of the server's account, row by row", ours == theirs,
                f"{sum(o[1] for o in ours)} cached of {sum(o[0] for o in ours)}")
    hits = run.one("SELECT count(*) FROM requests WHERE cached_tokens >= 1024")
    checks.equal("shared prefixes: every request but the first of each prefix finds it", hits, len(rows) - 3)


def given_up(checks, ask, plain):
    """Answers that the client gives up are given up by the server too."""
    run = ask(plain, "--concurrency", 4, "--request-count", 20, "--request-cancellation-rate", 50, "--request-cancellation-delay",
              0.2, osl=200)
    ended = run.outcomes()
    checks.that("half given up after 0.2 s", set(ended) == {"cancelled", "completed"} and sum(ended.values()) == 20, ended)
    checks.equal("half given up: the server saw as many clients go", disconnected(plain, ended.get("cancelled")), ended.get("cancelled"))


def disconnected(plain, wanted):
    """How many clients went away, by the server's metrics, which take a moment."""
    for _ in range(50):
        connection = http.client.HTTPConnection(plain.removeprefix("http://"), timeout=30)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        seen = sum(int(line.split()[-1]) for line in lines if line.startswith("dynamo_frontend_disconnected_clients"))
        if seen == wanted:
            break
        time.sleep(0.1)
    return seen


def refused(checks, ask, plain, limited):
    """A prompt beyond the context is an error inside a 200; overload is a 529 with a body of its own kind."""
    run = ask(plain, "--request-count", 3, isl=42_000)
    seen = run.sql("SELECT DISTINCT outcome, http_status, error FROM requests")
    checks.equal("a prompt beyond the context", seen, [("stream_error", 200, "Internal server error")])
    run = ask(limited, "--concurrency", 16, "--request-count", 48, isl=2000, osl=30)
    ended = run.outcomes()
    checks.that("overload: some complete, the others are refused", set(ended) == {"completed", "http_error"}, ended)
    seen = run.sql("SELECT DISTINCT http_status, error FROM requests WHERE outcome = 'http_error'")
    checks.equal("overload: status and the server's words", seen, [(529, "Service temporarily overloaded")])
    checks.that("overload: every request in one outcome", run.conserved())


def dies(checks, ask, plain, worker):
    """The engine is killed under way: streams end with an error event, later requests with a status."""
    killer = threading.Timer(1.5, worker.kill)
    killer.start()
    run = ask(plain, "--request-rate", 20, "--arrival-pattern", "constant", "--request-count", 60, osl=100)
    killer.join()
    ended = run.outcomes()
    checks.that("the engine dies: answers before, error events in it, statuses after",
                {"completed", "stream_error", "http_error"} >= set(ended) and len(ended) == 3, ended)
    checks.that("the engine dies: every request in one outcome", run.conserved())
    unexplained = run.one("SELECT count(*) FROM requests WHERE outcome <> 'completed' AND (error IS NULL OR error = '')")
    checks.equal("the engine dies: failures without a reason", unexplained, 0)
