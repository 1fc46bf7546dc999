"""loadline and aiperf replay the same trace against the same third-party server, and the server's own account is the truth.
One reader reads both tools' files."""

import json
import random
from statistics import fmean

import aiperf_tool
import model
from aiperf_tool import INPUT, ITL, LATENCY, OUTPUT, TTFT
from dynamo_server import Deployment

VENVS = ("dynamo", "aiperf")
REQUESTS, RATE, BLOCK = 40, 3.5, 512
# How far a tool's mean may be from the server's: a part of it, and a time for the way through HTTP on a busy machine.
PART, MS = 0.05, {TTFT: 8.0, ITL: 0.5, LATENCY: 16.0}


def trace(file):
    """Mooncake's kind: Poisson arrivals, prompts that share their first blocks, all from a seed."""
    draw, at, rows = random.Random(7), 0.0, []
    for i in range(REQUESTS):
        # The last block is cut to its length, which aiperf allows to no block that is shared.
        blocks = draw.randint(2, 3)
        rows.append({"timestamp": round(at * 1e3), "input_length": BLOCK * (blocks - 1) + draw.randint(64, BLOCK),
                     "output_length": draw.randint(16, 64), "hash_ids": [i % 4, *(1000 + 10 * i + b for b in range(1, blocks))]})
        at += draw.expovariate(RATE)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def check(checks, loadline, folder):
    rows = trace(folder / "trace.jsonl")
    asked = ["--input-file", folder / "trace.jsonl", "--custom-dataset-type", "mooncake_trace", "--fixed-schedule",
             "--extra-inputs", "ignore_eos:true"]
    dynamo = Deployment(folder)
    with dynamo.mocker(8), dynamo.frontend("plain") as url:
        # The first requests of an engine wait for its tables.
        loadline.profile(url, "--isl", 2000, "--osl", 5, "--request-count", 4, model=model.NAME)
        run = loadline.profile(url, *asked, "--tokenizer", dynamo.tokenizer, model=model.NAME)
        ours = aiperf_tool.Exports(run.folder)
        theirs = aiperf_tool.profile(url, folder / "aiperf", dynamo.home, *asked)
        account = dynamo.account("plain", 4 + 2 * REQUESTS)[4:]
    tools = {"loadline": (ours, account[:REQUESTS]), "aiperf": (theirs, account[REQUESTS:])}
    show(tools)
    for name, (tool, truth) in tools.items():
        counts = (len(tool.records), tool.failed, len(truth))
        checks.equal(f"{name}: records, failures, requests by the server", counts, (REQUESTS, 0, REQUESTS))
        for tag, key in ((INPUT, "input_tokens"), (OUTPUT, "output_tokens")):
            same = sorted(tool.column(tag)) == sorted(r[key] for r in truth)
            checks.that(f"{name}: {tag} of every request is the server's", same, f"{sum(tool.column(tag)):.0f} in all")
        asked_for = sorted(row["output_length"] for row in rows)
        checks.that(f"{name}: answers are as long as the trace asks", sorted(tool.column(OUTPUT)) == asked_for, sum(asked_for))
        for tag in (TTFT, ITL, LATENCY):
            checks.that(f"{name}: the summary's {tag} is that of the records", tool.summed_up_right(tag))
    checks.equal("both: tokens of answers", sum(ours.column(OUTPUT)), sum(theirs.column(OUTPUT)))
    prompts = sum(ours.column(INPUT)), sum(theirs.column(INPUT))
    # aiperf's prompts are no exact number of tokens by construction; here they happen to be.
    checks.that("both: tokens of prompts, to 0.1 %", abs(prompts[0] - prompts[1]) <= 0.001 * prompts[0], prompts)
    for tag, by_server in server_means(account[:REQUESTS]).items():
        off = abs(ours.mean(tag) - by_server)
        checks.that(f"loadline: mean {tag} within {PART:.0%} and {MS[tag]} ms of the server's", off <= PART * by_server + MS[tag],
                    f"{off:.2f} ms of {by_server:.2f} ms")
    lengths = [row["input_length"] for row in rows]
    overhead = {int(got - asked) for got, asked in zip(sorted(ours.column(INPUT)), sorted(lengths))}
    checks.that("loadline: prompts are as long as the trace asks, and the template around them", len(overhead) == 1, overhead)


def server_means(truth):
    """The server's own mean times, in ms. Its latency ends with the stream, which is a moment after the last token."""
    return {TTFT: fmean(r["ttft_ms"] for r in truth), ITL: fmean(r["avg_itl_ms"] for r in truth if r["output_tokens"] > 1),
            LATENCY: fmean(r["total_time_ms"] for r in truth)}


def show(tools):
    """The two tools and the server's account of what each did to it."""
    print(f"      {'':22}" + "".join(f"{name:>12}{'server':>12}{'error':>9}" for name in tools))
    for tag in (TTFT, ITL, LATENCY):
        line = f"      {tag:22}"
        for tool, truth in tools.values():
            seen, by_server = tool.mean(tag), server_means(truth)[tag]
            line += f"{seen:9.2f} ms{by_server:9.2f} ms{(seen - by_server) / by_server:+9.2%}"
        print(line)
    for tag, key in ((INPUT, "input_tokens"), (OUTPUT, "output_tokens")):
        line = f"      {tag:22}"
        for tool, truth in tools.values():
            line += f"{sum(tool.column(tag)):12.0f}{sum(r[key] for r in truth):12.0f}{'':9}"
        print(line)
