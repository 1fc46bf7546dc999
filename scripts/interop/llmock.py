"""LLMock breaks answers on purpose and judges the client: every fault must end as the outcome that it is, and the judge
must find nothing but that a load generator does not repeat requests behind the user's back."""

import json
import urllib.request
from contextlib import contextmanager

import install
from servers import answers, free_port, running

MODEL = "gpt-4o"
# Requests of a scenario: so many are broken, and a few before and after are not.
BROKEN, WHOLE = 4, 4

# Each: what LLMock does, the outcome of the row, its status, words of its error, and what the judge may say.
FAULTS = {
    "429 with Retry-After": ({"type": "fail", "status": 429, "retry_after": 1}, "http_error", 429, "Rate limit", "gave_up"),
    "503": ({"type": "fail", "status": 503}, "http_error", 503, "Service unavailable", "gave_up"),
    "400": ({"type": "fail", "status": 400, "message": "no such thing"}, "http_error", 400, "no such thing", None),
    "disconnect": ({"type": "stream_fault", "kind": "disconnect", "after_chunks": 2}, "reset", 200, "", "gave_up"),
    "disconnect at once": ({"type": "stream_fault", "kind": "disconnect", "after_chunks": 0}, "reset", 200, "", "gave_up"),
    "truncate": ({"type": "stream_fault", "kind": "truncate", "after_chunks": 2}, "truncated", 200, "", "truncated_stream_accepted"),
    "malformed": ({"type": "stream_fault", "kind": "malformed", "after_chunks": 2}, "protocol_error", 200, "",
                  "malformed_chunk_ignored"),
    "stall beyond the time limit": ({"type": "stream_fault", "kind": "stall", "after_chunks": 2, "stall_seconds": 3}, "timeout", 200,
                                    "", None),
    "stall within the time limit": ({"type": "stream_fault", "kind": "stall", "after_chunks": 3, "stall_seconds": 0.3}, "completed",
                                    200, "", None),
    "slow first token": ({"type": "slow_first_token", "seconds": 0.3}, "completed", 200, "", None),
    "first token beyond the time limit": ({"type": "slow_first_token", "seconds": 3}, "timeout", 200, "", None),
    "slow answer in all": ({"type": "delay", "seconds": 0.3}, "completed", 200, "", None),
    "tool call": ({"type": "reply", "tool_calls": [{"name": "look_up", "arguments": {"word": "x"}}]}, "completed", 200, "", None),
}


class Mock:
    """LLMock's control interface."""

    def __init__(self, url):
        self.url = url

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_llmock/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def next_requests(self, behaviour, times):
        """Forgets what was, and breaks so many of the chats that come; a look at /metrics is none."""
        self.call("POST", "reset")
        self.call("POST", "scenario", {"behaviors": [{**behaviour, "times": times, "match": {"path": "/v1/chat/completions"}}]})

    def findings(self):
        """What the judge found, as (severity, code) with counts."""
        found = {}
        for f in self.call("GET", "verdict")["findings"]:
            found[f["severity"], f["code"]] = found.get((f["severity"], f["code"]), 0) + 1
        return found


@contextmanager
def server(folder):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [install.venv("interop") / "bin" / "llmock", "serve", "-h", "127.0.0.1", "-p", port, "--response-style", "varied",
            "--stream-chunk-delay-ms", 2, "--log-level", "warning"]
    with running(argv, folder / "llmock.log", lambda: answers(f"{url}/_llmock/requests")):
        yield Mock(url)


def check(checks, loadline, folder):
    with server(folder) as mock:
        for what, (behaviour, outcome, status, words, code) in FAULTS.items():
            one(checks, loadline, mock, what, behaviour, (outcome, status, words), code)
        repeated(checks, loadline, mock, folder)


def one(checks, loadline, mock, what, behaviour, expected, code):
    """A run in which the first requests are broken."""
    outcome, status, words = expected
    mock.next_requests(behaviour, BROKEN)
    run = loadline.profile(mock.url, "--isl", 20, "--concurrency", 2, "--request-count", BROKEN + WHOLE,
                           "--request-timeout-seconds", 1 if outcome == "timeout" else 60, model=MODEL)
    wanted = {"completed": WHOLE} if outcome != "completed" else {"completed": WHOLE + BROKEN}
    if outcome != "completed":
        wanted[outcome] = BROKEN
    checks.equal(what, run.outcomes(), dict(sorted(wanted.items())))
    checks.that(f"{what}: every request in one outcome", run.conserved())
    if outcome != "completed":
        seen = run.sql(f"SELECT DISTINCT http_status, error FROM requests WHERE outcome = '{outcome}'")
        checks.that(f"{what}: the rows say why", all(s == status and e and words in e for s, e in seen), seen)
    if behaviour["type"] in ("slow_first_token", "delay") and outcome == "completed":
        late = run.one(f"SELECT count(*) FROM requests WHERE first_token_ns - sent_ns >= {behaviour['seconds']}e9")
        checks.equal(f"{what}: first tokens so late", late, BROKEN)
    if behaviour.get("kind") == "stall" and outcome == "completed":
        gaps = run.one(f"""SELECT count(*) FROM (SELECT t_ns - lag(t_ns) OVER (PARTITION BY request_id ORDER BY seq) AS gap FROM tokens)
                           WHERE gap >= {behaviour['stall_seconds']}e9 * 0.99""")
        checks.equal(f"{what}: gaps so long between tokens", gaps, BROKEN)
    if "tool_calls" in behaviour:
        calls = run.one("SELECT count(DISTINCT request_id) FROM tokens WHERE kind = 'tool_call'")
        checks.equal(f"{what}: answers with tool call events", calls, BROKEN)
    found = mock.findings()
    allowed = {c for c in (code,) if c}
    checks.that(f"{what}: the judge says {code or 'nothing'}", {c for _, c in found} == allowed, found)


def repeated(checks, loadline, mock, folder):
    """A trace that holds the same request again, a second later: the judge takes it for the repeat it asks for."""
    trace = folder / "twice.jsonl"
    trace.write_text("".join(json.dumps({"timestamp": at, "text_input": "say it again", "output_length": 20}) + "\n" for at in (0, 1300)))
    for what in ("truncate", "429 with Retry-After", "503", "disconnect"):
        behaviour, outcome = FAULTS[what][:2]
        mock.next_requests(behaviour, 1)
        run = loadline.profile(mock.url, "--input-file", trace, "--fixed-schedule", model=MODEL)
        checks.equal(f"{what}, and the trace asks again", run.outcomes(), dict(sorted({"completed": 1, outcome: 1}.items())))
        checks.equal(f"{what}, and the trace asks again: the judge says nothing", mock.findings(), {})
