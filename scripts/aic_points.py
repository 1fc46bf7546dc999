#!/usr/bin/env python3
"""Adds AI Configurator's predictions to a table of aggregated serving: columns aic_ttft_ms and aic_tpot_ms.

    pip install aiconfigurator==0.12.0
    scripts/aic_points.py measured.csv with_aic.csv [--jobs 2] [--only Qwen3-32B,Llama-3.1-70B] [--ids]
    loadline sweep --points with_aic.csv --regret

Each row is one call of cli_estimate (mode agg, ctx_tokens = isl, the newest tables), a second or so. Rows that it cannot predict, and
those that --only leaves out, keep both cells empty; how many and why is told at the end. With --ids only id and the two columns are written,
of the rows that were predicted.
"""

import argparse
import collections
import contextlib
import csv
import io
import logging
import multiprocessing

# Ids under which it brings the models' configurations with it; others are fetched from the network.
BUNDLED = {
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
}


def number(row, column):
    return int(float(row.get(column) or 0)) or 1


def predict(row):
    """(ttft, tpot, None), or (None, None, why)."""
    logging.disable(logging.CRITICAL)
    from aiconfigurator.cli.api import cli_estimate

    model = row["model_path"]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            answer = cli_estimate(
                BUNDLED.get(model, model),
                row["system"],
                mode="agg",
                backend_name=row["backend"],
                isl=number(row, "isl"),
                osl=number(row, "osl"),
                ctx_tokens=number(row, "isl"),
                batch_size=number(row, "batch_size"),
                tp_size=number(row, "tp_size"),
                gemm_quant_mode=row.get("gemm_quant_mode") or None,
            )
    except (Exception, SystemExit) as e:
        return None, None, str(e).split(" with ")[0][:100].replace("\n", " ")
    return answer.ttft, answer.tpot, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("output")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--ids", action="store_true")
    args = parser.parse_args()
    with open(args.table, newline="") as file:
        rows = list(csv.DictReader(file))
    only = set(filter(None, args.only.split(",")))

    def is_wanted(row):
        return row.get("mode", "agg") == "agg" and (not only or row["model_path"].split("/")[-1] in only)

    wanted = [row for row in rows if is_wanted(row)]
    refused = collections.Counter()
    with multiprocessing.Pool(args.jobs) as pool:
        for row, (ttft, tpot, why) in zip(wanted, pool.imap(predict, wanted, chunksize=16)):
            if why is None:
                row["aic_ttft_ms"], row["aic_tpot_ms"] = f"{ttft:.3f}", f"{tpot:.4f}"
            else:
                refused[why] += 1
    columns = ["id"] if args.ids else [c for c in rows[0] if not c.startswith("aic_t")]
    with open(args.output, "w", newline="") as file:
        writer = csv.DictWriter(file, columns + ["aic_ttft_ms", "aic_tpot_ms"], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if not args.ids or "aic_ttft_ms" in row)
    for why, count in refused.most_common():
        print(f"{count} rows not predicted: {why}")


if __name__ == "__main__":
    main()
