#!/usr/bin/env python3
"""One trace through Dynamo's offline replay (its mock engine, timed by aiconfigurator) and through loadline's simulated engine:
Qwen3-32B with vLLM on H200 at TP 1, 2, 4 and 8, with as many KV blocks as Dynamo's own estimate.

    ~/.cache/loadline-ci/dynamo/bin/python scripts/beside_dynamo.py TRACE LOADLINE     # scripts/interop/run dynamo installs it

TRACE has Mooncake's lines, timestamps in milliseconds. Dynamo 1.5.1 and aiconfigurator-core 0.12.0 were used. Goodput is of requests
with TTFT <= 5000 ms and TPOT <= 50 ms.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

from dynamo._core import MockEngineArgs, run_mocker_trace_replay
from dynamo._internal.aic import estimate_num_gpu_blocks

MODEL, GPU, VLLM, BLOCK, BATCH_TOKENS = "Qwen/Qwen3-32B", "h200_sxm", "0.24.0", 64, 8192
TTFT_MS, TPOT_MS = 5000, 50


def dynamo(trace, tp):
    """Blocks of its cache, mean TTFT and TPOT, their p99 and good requests/s, and the wall time of the replay."""
    blocks = estimate_num_gpu_blocks(
        backend_name="vllm", system=GPU, model_path=MODEL, tp_size=tp, block_size=BLOCK, max_num_batched_tokens=BATCH_TOKENS,
        gpu_memory_utilization=0.9, mem_fraction_static=0.88, free_gpu_memory_fraction=None, backend_version=VLLM,
        moe_tp_size=None, moe_ep_size=None, attention_dp_size=None)
    engine = MockEngineArgs.from_json(json.dumps({
        "engine_type": "vllm", "block_size": BLOCK, "num_gpu_blocks": blocks, "max_num_seqs": 256,
        "max_num_batched_tokens": BATCH_TOKENS, "aic_backend": "vllm", "aic_system": GPU, "aic_backend_version": VLLM,
        "aic_tp_size": tp, "aic_model_path": MODEL}))
    start = time.monotonic()
    report = run_mocker_trace_replay([trace], extra_engine_args=engine, trace_block_size=512, sla_ttft_ms=TTFT_MS, sla_itl_ms=TPOT_MS)
    wall = time.monotonic() - start
    summary = report.summary if isinstance(report.summary, dict) else json.loads(report.summary)
    keys = ["mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p99_tpot_ms", "goodput_request_throughput_rps"]
    return blocks, [summary[k] for k in keys], wall


def loadline(program, trace, tp, blocks):
    """The same of loadline; the wall time is of the whole command, with recording and reports."""
    with tempfile.TemporaryDirectory() as out:
        start = time.monotonic()
        subprocess.run(
            [program, "profile", "--simulate", "--streaming", "--input-file", trace, "--custom-dataset-type", "mooncake_trace",
             "--time-unit", "ms", "--fixed-schedule", "--model", MODEL, "--gpu", GPU, "--backend", "vllm", "--tp", str(tp),
             "--kv-cache-tokens", str(blocks * BLOCK), "--goodput", f"time_to_first_token:{TTFT_MS} inter_token_latency:{TPOT_MS}",
             "--random-seed", "1", "--output-artifact-dir", out], check=True, capture_output=True)
        wall = time.monotonic() - start
        run = json.loads((pathlib.Path(out) / "profile_export_aiperf.json").read_text())
    ttft, itl = run["time_to_first_token"], run["inter_token_latency"]
    return [ttft["avg"], ttft["p99"], itl["avg"], itl["p99"], run["goodput"]["avg"]], wall


def main():
    trace, program = sys.argv[1:]
    print("| TP | | mean TTFT | p99 | mean TPOT | p99 | goodput | wall |\n|---|---|---|---|---|---|---|---|")
    for tp in (1, 2, 4, 8):
        blocks, theirs, their_wall = dynamo(trace, tp)
        ours, our_wall = loadline(program, trace, tp, blocks)
        for name, (t, t99, i, i99, good), wall in (("Dynamo", theirs, their_wall), ("loadline", ours, our_wall)):
            print(f"| {tp} | {name} | {t:,.0f} ms | {t99:,.0f} | {i:.1f} ms | {i99:,.0f} | {good:.3f}/s | {wall:.2f} s |")
        print(f"| | | {ours[0] / theirs[0] - 1:+.1%} | {ours[1] / theirs[1] - 1:+.1%} | {ours[2] / theirs[2] - 1:+.1%} | "
              f"{ours[3] / theirs[3] - 1:+.1%} | {ours[4] / theirs[4] - 1:+.1%} | |")


main()
