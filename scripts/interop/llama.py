"""llama.cpp's real server: it closes the connection after every stream without saying so, and holds the headers back until
the first token."""

import json
import sys
from contextlib import contextmanager
from pathlib import Path

import model
from runs import whole
from servers import answers, free_port, running

SLOTS = 8
CONTEXT = 2048


@contextmanager
def server(folder):
    """Gives (port, the tokenizer's folder)."""
    tokenizer = model.hub(folder / "hf")
    model.random_gguf(tokenizer, folder / "tiny.gguf", SLOTS * CONTEXT)
    port = free_port()
    argv = [sys.executable, Path(__file__).with_name("llama_server.py"), folder / "tiny.gguf", port, SLOTS, CONTEXT]
    # It listens before it has loaded its model, and answers 503 until then.
    ready = lambda: answers(f"http://127.0.0.1:{port}/health")  # noqa: E731
    with running(argv, folder / "llama.log", ready):
        yield port, tokenizer


def conversations(file, sessions=6, turns=4):
    """A trace of conversations whose turns follow each other."""
    rows = [{"session_id": f"s{s}", "input_length": 40 if turn == 0 else 15, "output_length": 12, **({"delay": 5} if turn else {})}
            for turn in range(turns) for s in range(sessions)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def check(checks, loadline, folder):
    with server(folder) as (port, tokenizer):
        url = f"http://127.0.0.1:{port}"
        # The random model would end an answer where it likes.
        exact = ["--tokenizer", tokenizer, "--extra-inputs", "ignore_eos:true"]
        asked = [*exact, "--isl", 60, "--osl", 20]

        run = loadline.profile(url, *asked, "--concurrency", 6, "--request-count", 120)
        whole(checks, "chat, 6 at once", run, 120)
        checks.equal("chat, 6 at once: a new connection for each stream, none broken", run.connections, 120)
        late = run.one("SELECT count(*) FROM requests WHERE head_ns > first_token_ns")
        checks.equal("chat, 6 at once: tokens before their head", late, 0)
        tokens = run.one("SELECT count(*) FILTER (kind = 'output') - (SELECT sum(output_tokens) FROM requests) FROM tokens")
        # What is half a character is held back until its other half is there.
        checks.that("chat, 6 at once: an output event per token, less held back bytes", -120 * 20 // 4 < tokens <= 0, tokens)

        run = loadline.profile(url, *asked, "--concurrency", 4 * SLOTS, "--request-count", 120)
        whole(checks, "chat, more at once than it has places", run, 120)
        head, rest = run.one("SELECT median(head_ns - sent_ns) / 1e6, median(first_token_ns - head_ns) / 1e6 FROM requests")
        checks.that("chat, more at once than it has places: the wait is before the head", rest < head / 4, f"{head:.2f} and {rest:.2f} ms")

        run = loadline.profile(url, *asked, "--request-rate", 40, "--request-count", 120)
        whole(checks, "chat, 40 a second", run, 120)
        over = run.one("SELECT count(*) FROM requests WHERE sent_ns < scheduled_ns")
        checks.equal("chat, 40 a second: requests before their time", over, 0)

        run = loadline.profile(url, *asked, "--endpoint-type", "completions", "--concurrency", 6, "--request-count", 120)
        whole(checks, "completions, 6 at once", run, 120)
        checks.equal("completions: prompts that the server counts differently",
                     run.one("SELECT count(*) FILTER (prompt_tokens <> input_tokens) FROM requests"), 0)

        run = loadline.profile(url, *asked, "--isl-counts", "rendered", "--concurrency", 6, "--request-count", 60)
        checks.equal("chat with its template: prompts that the server counts differently",
                     run.one("SELECT count(*) FILTER (prompt_tokens <> input_tokens) FROM requests"), 0)

        run = loadline.profile(url, *asked, "--concurrency", 6, "--request-count", 60, streaming=False)
        whole(checks, "in one piece", run, 60)

        for history in ("planned", "live"):
            trace = folder / "conversations.jsonl"
            rows = conversations(trace)
            run = loadline.profile(url, *exact, "--input-file", trace, "--custom-dataset-type", "mooncake_trace", "--history", history,
                                   "--concurrency", 4)
            whole(checks, f"conversations, {history} answers", run, rows)
            early = run.one("""SELECT count(*) FROM requests a JOIN requests b USING (session_id)
                               WHERE b.turn = a.turn + 1 AND b.sent_ns < a.end_ns + 5e6""")
            checks.equal(f"conversations, {history} answers: turns before the answer and the pause", early, 0)
            grown = run.one("""SELECT count(*) FROM requests a JOIN requests b USING (session_id)
                               WHERE b.turn = a.turn + 1 AND b.cached_tokens < a.prompt_tokens // 2""")
            checks.that(f"conversations, {history} answers: later turns are read from the server's prefix cache",
                        grown <= rows // 8, f"{grown} of {rows} not")

        run = loadline.profile(url, *exact, "--isl", 60, "--osl", 400, "--concurrency", 6, "--request-count", 40,
                               "--request-cancellation-rate", 50, "--request-cancellation-delay", 0.05)
        ended = run.outcomes()
        checks.that("half given up after 50 ms", 5 < ended.get("cancelled", 0) < 35 and set(ended) == {"cancelled", "completed"},
                    ended)
        checks.that("half given up: every request in one outcome", run.conserved())

        run = loadline.profile(url, *exact, "--isl", 3000, "--osl", 10, "--request-count", 10)
        checks.equal("prompts beyond the context", run.outcomes(), {"http_error": 10})
        status, text = run.one("SELECT DISTINCT http_status, error FROM requests")
        checks.that("prompts beyond the context: status and the server's words", status == 400 and "context size" in text, text)
