#!/usr/bin/env python3
"""Reads a directory of aiperf's artifacts with aiperf's own models, and fails where one does not fit.

    PYTHON_WITH_AIPERF scripts/read_aiperf.py DIR...

PYTHON_WITH_AIPERF is the interpreter of an environment that has the package aiperf (0.13.0). Each DIR is a run, or holds
runs: a sweep, several runs, golden files of aiperf itself. Every file of a known name below it is read, whoever wrote it;
nothing is treated apart. Beside the models: JSON has no NaN or Infinity and no key twice, CSV has the columns that it
announces, and a whole run opens in the loader of `aiperf plot`. Prints a line for each file. Exit code 1 where something
does not fit, 2 where there is nothing to read.
"""

import csv
import json
import logging
import math
import re
import sys
from pathlib import Path

from pydantic import TypeAdapter

from aiperf.common.models import MetricRecordInfo, RawRecordInfo
from aiperf.common.models.dataset_models import InputsFile
from aiperf.common.models.export_models import JsonExportData, JsonMetricResult, TimesliceCollectionExportData
from aiperf.common.models.record_models import MetricValue
from aiperf.common.models.server_metrics_models import ServerMetricsExportData, ServerMetricsResults
from aiperf.config.resolution.plan import BenchmarkRun
from aiperf.orchestrator.jsonl_loader import iter_profiling_records
from aiperf.plot.core.data_loader import DataLoader
from aiperf.post_processors.outputs_json_record_processor import OutputFragment

CSV_STATS = "Metric,avg,min,max,sum,p1,p5,p10,p25,p50,p75,p90,p95,p99,std".split(",")
SLICE_COLUMNS = "Timeslice,Start_NS,End_NS,Metric,Unit,Stat,Value".split(",")
AGGREGATE_COLUMNS = "metric,mean,std,min,max,cv,se,ci_low,ci_high,t_critical,unit".split(",")
AGGREGATE_STATS = {"mean", "std", "min", "max", "cv", "se", "ci_low", "ci_high", "t_critical", "unit"}


class Unfit(Exception):
    """A file is not what aiperf's readers expect."""


def strict_json(text):
    """JSON as RFC 8259 has it, which Python alone does not insist on."""

    def unique(pairs):
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise Unfit(f"a key stands twice in one object: {sorted(k for k in keys if keys.count(k) > 1)[0]}")
        return dict(pairs)

    def refuse(constant):
        raise Unfit(f"{constant} is not JSON")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


def check_metrics(document):
    """Objects with a unit are metrics: known statistics, finite, in order. Gives how many there are."""
    metrics = {k: v for k, v in document.items() if isinstance(v, dict) and "unit" in v}
    fields = set(JsonMetricResult.model_fields)
    for tag, metric in metrics.items():
        unknown = set(metric) - fields
        if unknown:
            raise Unfit(f"{tag} has {sorted(unknown)}, which is no statistic of aiperf's")
        stats = JsonMetricResult.model_validate(metric)
        numbers = {k: v for k, v in stats.model_dump(exclude_none=True).items() if k != "unit"}
        if not numbers:
            raise Unfit(f"{tag} has a unit and no number")
        if not all(math.isfinite(v) for v in numbers.values()):
            raise Unfit(f"{tag} has a number that is not finite")
        if {"min", "avg", "max"} <= set(numbers):
            slack = 1e-9 * max(abs(numbers["min"]), abs(numbers["max"]))
            if not numbers["min"] - slack <= numbers["avg"] <= numbers["max"] + slack:
                raise Unfit(f"{tag}: min ≤ avg ≤ max does not hold")
        ladder = [numbers[p] for p in ("min", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "max") if p in numbers]
        if any(b < a - 1e-9 * abs(a) for a, b in zip(ladder, ladder[1:])):
            raise Unfit(f"{tag}: its percentiles go down")
    return len(metrics)


def summary(path):
    document = strict_json(path.read_text())
    model = JsonExportData.model_validate(document)
    if model.schema_version != JsonExportData.SCHEMA_VERSION:
        raise Unfit(f"schema version {model.schema_version}, aiperf's is {JsonExportData.SCHEMA_VERSION}")
    if model.input_config is None or model.start_time is None or model.end_time is None:
        raise Unfit("input_config, start_time or end_time is missing")
    if model.start_time.tzinfo is not None:
        raise Unfit("start_time has a zone, aiperf's has none")
    count = check_metrics(document)
    warm = check_metrics(document.get("warmup_metrics") or {})
    phases = ", ".join(f"{p.name} {p.type}" for p in model.input_config.phases)
    errors = sum(e.count for e in model.error_summary or [])
    return f"{count} metrics, {warm} of the warm-up, {errors} errors; {phases}"


def summary_csv(path):
    text = path.read_bytes().decode()
    if "\r\n" not in text:
        raise Unfit("lines do not end in CR LF")
    blocks = [list(csv.reader(block.splitlines())) for block in text.split("\r\n\r\n")]
    blocks = [block for block in blocks if block]
    if blocks[0][0] == CSV_STATS:
        for row in blocks.pop(0)[1:]:
            if len(row) != len(CSV_STATS):
                raise Unfit(f"row {row[0]} has {len(row)} columns")
            [float(cell) for cell in row[1:] if cell]
    if not blocks or blocks[0][0] != ["Metric", "Value"]:
        raise Unfit("the block `Metric,Value` is missing")
    for row in blocks[0][1:]:
        float(row[1])
    return f"{len(text.splitlines())} lines"


def lines_of(path, model):
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            document = strict_json(line)
            yield document, model.model_validate(document)
        except ValueError as error:
            raise Unfit(f"line {number}: {error}") from error


def records(path):
    known = set(MetricRecordInfo.model_fields["metadata"].annotation.model_fields)
    total, failed, phases = 0, 0, {}
    for document, record in lines_of(path, MetricRecordInfo):
        unknown = set(document["metadata"]) - known
        if unknown:
            raise Unfit(f"metadata has {sorted(unknown)}")
        for tag, value in record.metrics.items():
            numbers = value.value if isinstance(value.value, list) else [value.value]
            if not all(math.isfinite(n) for n in numbers):
                raise Unfit(f"{tag} is not finite")
        total += 1
        failed += record.error is not None
        phases[str(record.metadata.benchmark_phase)] = phases.get(str(record.metadata.benchmark_phase), 0) + 1
    read = sum(1 for _ in iter_profiling_records(path.parent, path.name))
    for tag_values in iter_profiling_records(path.parent, path.name):
        TypeAdapter(dict[str, MetricValue]).validate_python(tag_values)
    return f"{total} records ({phases}), {failed} with an error, {read} that aiperf's aggregation takes"


def raw_records(path):
    total, messages = 0, 0
    for document, record in lines_of(path, RawRecordInfo):
        if document.get("payload") is None:
            raise Unfit("a record has no payload")
        for response in record.responses:
            messages += 1
            for packet in getattr(response, "packets", []):
                if packet.name == "data" and packet.value not in (None, "[DONE]"):
                    strict_json(packet.value)
        total += 1
    return f"{total} records, {messages} messages"


def inputs(path):
    file = InputsFile.model_validate(strict_json(path.read_text()))
    return f"{len(file.data)} sessions, {sum(len(s.payloads) for s in file.data)} payloads"


def outputs(path):
    document = strict_json(path.read_text())
    if document["schema_version"] != "1.0":
        raise Unfit(f"schema version {document['schema_version']}, aiperf's is 1.0")
    for entry in document["data"]:
        OutputFragment.model_validate(entry)
        if set(entry) != set(OutputFragment.model_fields):
            raise Unfit(f"an entry has {sorted(entry)}")
    return f"{len(document['data'])} answers"


def timeslices(path):
    document = strict_json(path.read_text())
    model = TimesliceCollectionExportData.model_validate(document)
    for one in document["timeslices"]:
        check_metrics(one)
        if not one["start_ns"] < one["end_ns"]:
            raise Unfit("a slice ends before it starts")
    if any(s.is_complete is False for s in model.timeslices[:-1]):
        raise Unfit("a slice before the last one is not complete")
    return f"{len(model.timeslices)} slices"


def timeslices_csv(path):
    rows = list(csv.reader(path.read_text().splitlines()))
    if rows[0] != SLICE_COLUMNS:
        raise Unfit(f"columns {rows[0]}")
    for row in rows[1:]:
        [int(cell) for cell in row[:3]], float(row[6])
    return f"{len(rows) - 1} values"


def manifest(path):
    document = strict_json(path.read_text())
    for phase in document["phases"]:
        for key in ("metrics_json", "metrics_csv", "server_metrics_json"):
            if phase.get(key) and not (path.parent / phase[key]).is_file():
                raise Unfit(f"{phase[key]} is not there")
        if phase["total_request_count"] != phase["successful_request_count"] + phase["error_request_count"]:
            raise Unfit(f"the counts of {phase['phase_name']} do not add up")
    return ", ".join(f"{p['phase_name']} {p['total_request_count']}" for p in document["phases"])


def aggregate(path):
    document = strict_json(path.read_text())
    meta = document["metadata"]
    if meta["aggregation_type"] != "confidence" or meta["num_successful_runs"] + len(meta["failed_runs"]) != meta["num_profile_runs"]:
        raise Unfit("its metadata do not add up")
    for key, stats in document["metrics"].items():
        if set(stats) != AGGREGATE_STATS:
            raise Unfit(f"{key} has {sorted(stats)}")
        if not stats["ci_low"] <= stats["mean"] <= stats["ci_high"]:
            raise Unfit(f"{key} lies outside of its interval")
    run = DataLoader().load_run(path.parent)
    return f"{meta['num_profile_runs']} runs, {len(document['metrics'])} statistics of {len(run.aggregated['metrics'])} metrics"


def aggregate_csv(path):
    rows = list(csv.reader(path.read_text().splitlines()))
    if rows[0] != AGGREGATE_COLUMNS:
        raise Unfit(f"columns {rows[0]}")
    body = rows[1 : rows.index([]) if [] in rows else len(rows)]
    if any(len(row) != len(AGGREGATE_COLUMNS) for row in body):
        raise Unfit("a row has another number of columns")
    return f"{len(body)} statistics"


def sweep(path):
    document = strict_json(path.read_text())
    meta, cells = document["metadata"], document["per_combination_metrics"]
    names = {p["name"] for p in meta["sweep_parameters"]}
    if len(cells) != meta["num_combinations"] or any(set(c["parameters"]) != names for c in cells):
        raise Unfit("its combinations are not those that it announces")
    points = [c["parameters"] for c in cells]
    if any(point not in points for point in document["pareto_optimal"]):
        raise Unfit("a Pareto-optimal point is none of its combinations")
    for cell in cells:
        for tag, stats in cell["metrics"].items():
            if not {"mean", "unit", "ci_low", "ci_high"} <= set(stats):
                raise Unfit(f"{tag} has {sorted(stats)}")
    return f"{len(cells)} combinations of {sorted(names)}, {len(document['pareto_optimal'])} Pareto-optimal"


def sweep_csv(path):
    rows = list(csv.reader(path.read_text().splitlines()))
    width = len(rows[0])
    body = rows[1 : rows.index([])]
    if any(len(row) != width for row in body):
        raise Unfit("a row has another number of columns")
    return f"{len(body)} combinations, {width} columns"


def ready(path):
    document = strict_json(path.read_text())
    if set(document) != {"ready", "was_cancelled", "partial"}:
        raise Unfit(f"keys {sorted(document)}")
    return json.dumps(document)


def server_metrics(path):
    document = ServerMetricsExportData.model_validate(strict_json(path.read_text()))
    return f"{len(document.metrics)} metrics of the server"


def phase_server_metrics(path):
    document = strict_json(path.read_text())
    if document["schema_version"] != 1 or document["phase"]["phase_name"] != path.parent.name:
        raise Unfit(f"it is of {document['phase']}")
    results = ServerMetricsResults.model_validate(document["data"])
    return f"{sum(len(e.metrics) for e in results.endpoint_summaries.values())} metrics of {len(results.endpoint_summaries)} endpoints"


def run_config(path):
    run = BenchmarkRun.model_validate(strict_json(path.read_text()))
    return f"{run.label}, trial {run.trial}, {run.variation.label}"


def passed_over(_):
    return "not read: aiperf has no model of it"


# What the end of a file's name says of what is in it; the first that fits counts.
READERS = [
    (r"(^|_)server_metrics_export\.json", server_metrics),
    (r"^server_metrics\.json", phase_server_metrics),
    (r"run_config\.json", run_config),
    (r"(^|_)server_metrics(_export\.(csv|jsonl)|\.json)", passed_over),
    (r"(^|_)timeslices\.json", timeslices),
    (r"(^|_)timeslices\.csv", timeslices_csv),
    (r"profile_export_aiperf_aggregate\.json", aggregate),
    (r"profile_export_aiperf_aggregate\.csv", aggregate_csv),
    (r"profile_export_aiperf_sweep\.json", sweep),
    (r"profile_export_aiperf_sweep\.csv", sweep_csv),
    (r"phase_manifest\.json", manifest),
    (r"\.aiperf_results_ready\.json", ready),
    (r"inputs\.json", inputs),
    (r"outputs\.json", outputs),
    (r"profile_export_aiperf\.json", summary),
    (r"profile_export_aiperf\.csv", summary_csv),
    (r"_raw\.jsonl", raw_records),
    (r"profile_export\.jsonl", records),
]


def reader_of(path):
    for pattern, read in READERS:
        if re.search(pattern + "$", path.name):
            return read
    # A prefix gives the files of a run other names: PREFIX.json, .csv, .jsonl.
    if path.suffix == ".jsonl" and path.with_suffix(".json").is_file():
        return records
    if path.suffix in (".json", ".csv") and path.with_suffix(".jsonl").is_file():
        return summary if path.suffix == ".json" else summary_csv
    return None


def load_with_plot(directory):
    """The loader of `aiperf plot`, which wants a run whole."""
    run = DataLoader().load_run(directory)
    columns = 0 if run.requests is None else len(run.requests.columns)
    return f"opens in aiperf plot: model {run.metadata.model}, concurrency {run.metadata.concurrency}, {columns} columns of requests"


def main(directories):
    logging.disable(logging.WARNING)
    seen, failures = 0, 0

    def report(path, read):
        nonlocal seen, failures
        seen += 1
        try:
            print(f"ok   {path}: {read(path)}")
        except Exception as error:  # noqa: BLE001: whatever a reader throws is what a user of it would see
            failures += 1
            print(f"FAIL {path}: {type(error).__name__}: {error}")

    for directory in map(Path, directories):
        for path in sorted(p for p in directory.rglob("*") if p.is_file()):
            read = reader_of(path)
            if read:
                report(path, read)
            if path.name == "profile_export_aiperf.json" and (path.parent / "profile_export.jsonl").is_file():
                report(path.parent, load_with_plot)
    if not seen:
        print("nothing to read", file=sys.stderr)
        return 2
    print(f"{seen} files read, {failures} do not fit")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    sys.exit(main(sys.argv[1:]))
