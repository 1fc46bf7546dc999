#!/usr/bin/env python3
# /// script
# dependencies = ["duckdb", "polars", "pandas", "pyarrow", "datafusion"]
# ///
"""The recipes of docs/analysis.md, run on a recording, against the numbers that loadline exported.

usage: check_analysis.py RUN_DIR LOADLINE

Engines that are not installed are named and left out; DuckDB has to be there. Spark's text is DuckDB's and DataFusion's, and is
run too where pyspark is.
"""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "analysis.md"
QUESTIONS = ["goodput", "itl_by_arrival", "slowest"]


def recipes() -> dict[tuple[str, str], str]:
    blocks = re.findall(r"^```(\w+) ([\w ]+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    return {(language if " " not in name else name.split()[0], name.split()[-1]): text for language, name, text in blocks}


def expected(run_dir: Path) -> dict[str, list[tuple]]:
    """The three answers from what loadline exported, request by request."""
    t0 = json.loads((run_dir / "run.json").read_text())["anchor"]["t0_unix_ns"]
    requests = []
    for line in (run_dir / "profile_export.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("error") is None and record["metadata"]["benchmark_phase"] == "profiling":
            requests.append(record)
    value = lambda record, name: record["metrics"].get(name, {}).get("value")
    good = sum(
        value(r, "time_to_first_token") <= 500 and (value(r, "inter_token_latency") or math.inf) <= 50 for r in requests
    )
    exported = json.loads((run_dir / "profile_export_aiperf.json").read_text())
    seconds: dict[int, list[float]] = {}
    for r in requests:
        if (itl := value(r, "inter_token_latency")) is not None:
            seconds.setdefault((r["metadata"]["credit_issued_ns"] - t0) // 1_000_000_000, []).append(itl)
    slowest = sorted(requests, key=lambda r: -value(r, "request_latency"))[:20]
    return {
        "goodput": [(good, good * exported["request_throughput"]["avg"] / len(requests))],
        "itl_by_arrival": [(s, len(v), sum(v) / len(v)) for s, v in sorted(seconds.items())],
        "slowest": [
            (r["metadata"]["x_request_id"], value(r, "request_latency"), max(value(r, "inter_chunk_latency"), default=None))
            for r in slowest
        ],
    }


def duckdb_answer(run_dir: Path, text: str) -> list[tuple]:
    import duckdb

    connection = duckdb.connect()
    for table in ["requests", "tokens"]:
        connection.sql(f"CREATE VIEW {table} AS FROM read_parquet('{run_dir}/{table}.parquet')")
    return connection.sql(text).fetchall()


def datafusion_answer(run_dir: Path, text: str) -> list[tuple]:
    import datafusion

    context = datafusion.SessionContext()
    for table in ["requests", "tokens"]:
        context.register_parquet(table, f"{run_dir}/{table}.parquet")
    return [tuple(row.values()) for row in context.sql(text).to_pylist()]


def spark_answer(run_dir: Path, text: str) -> list[tuple]:
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    for table in ["requests", "tokens"]:
        spark.read.parquet(f"{run_dir}/{table}.parquet").createOrReplaceTempView(table)
    return [tuple(row) for row in spark.sql(text).collect()]


def polars_answer(run_dir: Path, text: str) -> list[tuple]:
    import polars as pl

    names = {"pl": pl, **{t: pl.scan_parquet(f"{run_dir}/{t}.parquet") for t in ["requests", "tokens"]}}
    exec(text, names)
    return names["answer"]


def pandas_answer(run_dir: Path, text: str) -> list[tuple]:
    import pandas as pd

    read = lambda t: pd.read_parquet(f"{run_dir}/{t}.parquet", dtype_backend="numpy_nullable")
    names = {"pd": pd, **{t: read(t) for t in ["requests", "tokens"]}}
    exec(text, names)
    return names["answer"]


ENGINES = [
    ("duckdb", "sql", duckdb_answer),
    ("datafusion", "sql", datafusion_answer),
    ("pyspark", "sql", spark_answer),
    ("polars", "polars", polars_answer),
    ("pandas", "pandas", pandas_answer),
]


def same(ours: list[tuple], theirs: list[tuple]) -> bool:
    alike = lambda a, b: a == b if isinstance(b, str) or b is None else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return len(ours) == len(theirs) and all(
        len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b)) for a, b in zip(ours, theirs)
    )


def plugin(run_dir: Path, loadline: str, slowest: list[tuple]) -> bool:
    """The example of a verb of one's own names the same requests."""
    path = f"{Path(__file__).resolve().parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run([loadline, "slowest", str(run_dir), "5"], env={**os.environ, "PATH": path}, capture_output=True, text=True)
    names = [line.split(",")[0] for line in ran.stdout.splitlines()[1:]]
    print(ran.stderr, end="")
    return ran.returncode == 0 and names == [row[0] for row in slowest[:5]]


def main(run_dir: Path, loadline: str) -> int:
    texts, truth = recipes(), expected(run_dir)
    phase = json.loads((run_dir / "run.json").read_text())["profiling"]
    window_s = (phase["end_ns"] - phase["start_ns"]) / 1e9
    passed = failed = 0
    for engine, family, answer in ENGINES:
        if importlib.util.find_spec(engine) is None:
            print(f"{engine} is not installed: its recipes were not run")
            failed += engine == "duckdb"
            continue
        for question in QUESTIONS:
            got = answer(run_dir, re.sub(r"window_s", repr(window_s), texts[family, question], flags=re.I))
            right = bool(truth[question]) and same(got, truth[question])
            print(f"{'same' if right else 'DIFFERENT':9} {engine} {question}: {len(got)} rows")
            if not right:
                print(f"  {engine}:   {got[:3]}\n  loadline: {truth[question][:3]}")
            passed, failed = passed + right, failed + (not right)
    right = plugin(run_dir, loadline, truth["slowest"])
    print(f"{'same' if right else 'DIFFERENT':9} loadline slowest")
    passed, failed = passed + right, failed + (not right)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
