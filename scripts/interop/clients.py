"""Other people's clients against `loadline serve`: OpenAI's own library, and aiperf; and what the same 100 requests cost aiperf
and loadline."""

import os
import sys
from pathlib import Path

import openai

import aiperf_tool
import model
from nginx import serve

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench_peers import machine, process  # noqa: E402

VENVS = ("aiperf",)
REQUESTS, STREAMS, ISL, OSL = 100, 8, 64, 20
MEMORY, CPU, OVER_S = 20, 50, 0.3


def check(checks, loadline, folder):
    with serve(loadline, folder, "--tp", "4") as host:
        url = f"http://{host}"
        library(checks, url)
        hundred(checks, loadline, folder, url)


def library(checks, url):
    """openai's client: streams, whole answers, errors as its exceptions."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30)
    who = f"openai {openai.__version__}"
    checks.equal(f"{who}: models", [m.id for m in client.models.list()], [model.NAME])
    checks.equal(f"{who}: one model", client.models.retrieve(model.NAME).id, model.NAME)
    asked = {"model": model.NAME, "messages": [{"role": "user", "content": "say hello to the world"}]}

    chunks = list(client.chat.completions.create(**asked, max_tokens=8, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    checks.equal(f"{who}: words of a streamed chat of 8 tokens", len(text.split()), 8)
    checks.equal(f"{who}: its finish reason", [c.choices[0].finish_reason for c in chunks if c.choices][-1], "length")
    usage = [c.usage for c in chunks if c.usage]
    checks.that(f"{who}: its usage, once, at the end", len(usage) == 1 and chunks[-1].usage and usage[0].completion_tokens == 8
                and usage[0].total_tokens == usage[0].prompt_tokens + 8, usage)
    checks.that(f"{who}: without being asked, no usage",
                not any(c.usage for c in client.chat.completions.create(**asked, max_tokens=2, stream=True)))
    with client.chat.completions.stream(**asked, max_tokens=4) as stream:
        try:
            whole = stream.get_final_completion()
        except openai.LengthFinishReasonError as at_its_limit:
            # All answers here end at their limit, which this accumulator holds to be an error.
            whole = at_its_limit.completion
    checks.equal(f"{who}: its own accumulator of a stream", len(whole.choices[0].message.content.split()), 4)

    whole = client.chat.completions.create(**asked, max_completion_tokens=5)
    checks.equal(f"{who}: a whole chat", (len(whole.choices[0].message.content.split()), whole.usage.completion_tokens), (5, 5))
    whole = client.completions.create(model=model.NAME, prompt="say hello", max_tokens=6)
    checks.equal(f"{who}: a whole completion", (len(whole.choices[0].text.split()), whole.usage.prompt_tokens), (6, 2))
    parts = list(client.completions.create(model=model.NAME, prompt="say hello", max_tokens=6, stream=True))
    checks.equal(f"{who}: a streamed completion", len("".join(p.choices[0].text for p in parts if p.choices).split()), 6)

    for what, bad, error in (("a model that is not there", {"model": "nope"}, openai.NotFoundError),
                             ("max_tokens that is no number", {"max_tokens": "x"}, openai.BadRequestError),
                             ("max_tokens 0", {"max_tokens": 0}, openai.BadRequestError),
                             ("two answers", {"n": 2}, openai.BadRequestError)):
        try:
            client.chat.completions.create(**{**asked, **bad})
            seen = "accepted"
        except openai.OpenAIError as e:
            seen = type(e)
        checks.equal(f"{who}: {what}", seen, error)


def hundred(checks, loadline, folder, url):
    """The same 100 requests by both tools, one after the other, and what each cost."""
    process.adopt_orphans()
    cores = os.sched_getaffinity(0)
    home = folder / "hf"
    model.hub(home)
    asked = ["--concurrency", STREAMS, "--request-count", REQUESTS, "--isl", ISL, "--osl", OSL]
    out = folder / "aiperf"
    argv = aiperf_tool.command(url, out, *asked, "--extra-inputs", "ignore_eos:true")
    theirs = process.run(argv, aiperf_tool.environment(home), cores, folder / "aiperf.txt", True, aiperf_tool.TIMEOUT_S)
    if not checks.equal("aiperf's exit code", theirs.code, 0):
        print((folder / "aiperf.txt").read_text(errors="replace")[-2000:])
        return
    exports = aiperf_tool.Exports(out)
    checks.equal("aiperf: records and failures", (len(exports.records), exports.failed), (REQUESTS, 0))
    checks.equal("aiperf: tokens of each answer", set(exports.column(aiperf_tool.OUTPUT)), {OSL})

    run = folder / "loadline"
    argv = [loadline.binary, "profile", "--url", url, "--model", model.NAME, "--streaming", *map(str, asked), "--random-seed", "7",
            "--artifact-dir", str(run)]
    ours = process.run(argv, dict(os.environ), cores, folder / "loadline.txt", False, aiperf_tool.TIMEOUT_S)
    exports = aiperf_tool.Exports(run)
    checks.equal("loadline: records and failures", (len(exports.records), exports.failed), (REQUESTS, 0))
    checks.equal("loadline: tokens of each answer", set(exports.column(aiperf_tool.OUTPUT)), {OSL})
    load_s = exports.summary["benchmark_duration"]["avg"]
    wall_s = {"loadline": (ours.ended_ns - ours.started_ns) / 1e9, "aiperf": (theirs.ended_ns - theirs.started_ns) / 1e9}
    table(checks, ours, theirs, wall_s, load_s)


def table(checks, ours, theirs, wall_s, load_s):
    """What it cost, as Markdown, and what is claimed of it."""
    mib = 1024 * 1024
    rows = [f"| {REQUESTS} requests, {STREAMS} at once, {ISL} tokens in, {OSL} out | loadline | aiperf 0.13.0 | ratio |", "|---|---|---|---|"]
    for name, form, a, b in (
        ("from start to end", "{:.2f} s", wall_s["loadline"], wall_s["aiperf"]),
        ("CPU time", "{:.3f} s", ours.cpu_s, theirs.cpu_s),
        ("peak resident memory, all processes", "{:.1f} MiB", ours.peak_rss / mib, theirs.peak_rss / mib),
    ):
        rows.append(f"| {name} | {form.format(a)} | {form.format(b)} | {b / a:.0f} |")
    rows.append(f"| of loadline's time, the load | {load_s:.2f} s | | |")
    print("\n".join(f"      {row}" for row in rows))
    if checks.results:
        at = machine.state()
        told = (f"{at['at']}, {machine.of_file('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, load average "
                f"{at['load'][0]:.1f}: others may have worked on this machine.")
        checks.results.write_text(
            "# What 100 requests cost\n\n`scripts/interop/run --results FILE clients`: the same job by loadline and by aiperf, one after\n"
            "the other, against `loadline serve --tp 4` on the same cores. Process trees are accounted for as in\n"
            "[scripts/README.md](../../scripts/README.md).\n\n" + "\n".join(rows) + f"\n\n{told}\n")
    over = wall_s["loadline"] - load_s
    checks.that(f"loadline ends within {OVER_S} s of its load", over <= OVER_S, f"{over:.3f} s")
    checks.that(f"aiperf's peak memory is at least {MEMORY} times loadline's", theirs.peak_rss >= MEMORY * ours.peak_rss,
                f"{theirs.peak_rss / ours.peak_rss:.0f}")
    checks.that(f"aiperf's CPU time is at least {CPU} times loadline's", theirs.cpu_s >= CPU * ours.cpu_s,
                f"{theirs.cpu_s / ours.cpu_s:.0f}")
