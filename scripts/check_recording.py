#!/usr/bin/env python3
# /// script
# dependencies = ["duckdb"]
# ///
"""The numbers of a run from its Parquet files alone, by DuckDB, against those that loadline exported.

usage: check_recording.py RUN_DIR
"""

import json
import math
import sys
from pathlib import Path

import duckdb

SQL = """
WITH valid AS (
    SELECT request_id,
           (first_token_ns - sent_ns) / 1e6 AS ttft_ms,
           CASE WHEN output_tokens > 1 THEN (last_token_ns - first_token_ns) / 1e6 / (output_tokens - 1) END AS itl_ms,
           (last_token_ns - sent_ns) / 1e6 AS latency_ms
    FROM read_parquet('{dir}/requests.parquet')
    WHERE phase = 'profiling' AND outcome = 'completed'
)
SELECT avg(ttft_ms), quantile_cont(ttft_ms, 0.99), avg(itl_ms), quantile_cont(itl_ms, 0.5), avg(latency_ms),
       count(*) FILTER (ttft_ms <= {ttft} AND itl_ms <= {itl}), count(*)
FROM valid
"""

GAPS = """
WITH content AS (
    SELECT request_id, seen_ns - lag(seen_ns) OVER (PARTITION BY request_id ORDER BY seq) AS gap_ns
    FROM (SELECT *, coalesce(kernel_ns, t_ns) AS seen_ns FROM read_parquet('{dir}/tokens.parquet')) AS tokens
    JOIN read_parquet('{dir}/requests.parquet') AS requests USING (request_id)
    WHERE kind IN ('output', 'reasoning', 'tool_call') AND phase = 'profiling' AND outcome = 'completed'
)
SELECT avg(gap_ns) / 1e6, count(gap_ns) FROM content
"""


def main(run_dir: Path) -> int:
    exported = json.loads((run_dir / "profile_export_aiperf.json").read_text())
    slo = {b["metric"]: b["bound"] for b in json.loads((run_dir / "run.json").read_text())["slo"]}
    bounds = {"ttft": slo.get("time_to_first_token", math.inf), "itl": slo.get("inter_token_latency", math.inf)}
    bounds = {k: "1e300" if math.isinf(v) else v for k, v in bounds.items()}
    ttft, ttft_p99, itl, itl_p50, latency, good, n = duckdb.sql(SQL.format(dir=run_dir, **bounds)).fetchall()[0]
    gap, gaps = duckdb.sql(GAPS.format(dir=run_dir)).fetchall()[0]
    pairs = [
        ("time_to_first_token", "avg", ttft),
        ("time_to_first_token", "p99", ttft_p99),
        ("inter_token_latency", "avg", itl),
        ("inter_token_latency", "p50", itl_p50),
        ("request_latency", "avg", latency),
        ("inter_chunk_latency", "avg", gap),
        ("inter_chunk_latency", "count", gaps),
        ("request_count", "avg", n),
    ]
    if slo:
        pairs.append(("good_request_count", "avg", good))
    wrong = 0
    for name, stat, ours in pairs:
        theirs = exported[name][stat]
        same = math.isclose(ours, theirs, rel_tol=1e-9)
        wrong += not same
        print(f"{'same' if same else 'DIFFERENT':9} {name} {stat}: DuckDB {ours:.9g}, loadline {theirs:.9g}")
    print(f"{len(pairs) - wrong} passed, {wrong} failed")
    return 1 if wrong or n == 0 else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
