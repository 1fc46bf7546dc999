"""Runs loadline, and reads what it recorded: the manifest as JSON, the rows by DuckDB."""

import json
import subprocess
import tempfile
from pathlib import Path

import duckdb

TIMEOUT_S = 180


class Run:
    """A run directory."""

    def __init__(self, folder, table):
        self.folder, self.table = Path(folder), table
        self.manifest = json.loads((self.folder / "run.json").read_text())
        self.counts = self.manifest["counts"]
        self.connections = sum(w["connections"] for w in self.manifest["workers"])
        self.protocol = self.manifest["config"]["network"]["protocol"]

    def sql(self, query):
        """Rows of a query over the views `requests` and `tokens`."""
        with duckdb.connect() as db:
            for name in ("requests", "tokens"):
                db.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{self.folder / name}.parquet')")
            return db.execute(query).fetchall()

    def one(self, query):
        """The only row; of a row with one value, the value."""
        (row,) = self.sql(query)
        return row[0] if len(row) == 1 else row

    def outcomes(self):
        """How many requests ended how."""
        return dict(self.sql("SELECT outcome, count(*) FROM requests GROUP BY outcome ORDER BY outcome"))

    def errors(self):
        """Distinct errors, for a claim that fails."""
        return self.sql("SELECT outcome, http_status, error, count(*) FROM requests WHERE error IS NOT NULL GROUP BY ALL LIMIT 3")

    def conserved(self):
        """scheduled = completed + failed + cancelled + not sent, in the manifest and in the rows."""
        c = self.counts
        rows = self.one("SELECT count(*) FROM requests")
        return c["scheduled"] == c["completed"] + c["failed"] + c["cancelled"] + c["not_sent"] == rows


class Loadline:
    """The binary under test."""

    def __init__(self, binary, folder):
        self.binary, self.folder = str(binary), folder

    def profile(self, url, *arguments, model="tiny", streaming=True, code=0):
        """A run of `loadline profile`. Raises where its exit code is not `code`."""
        folder = tempfile.mkdtemp(dir=self.folder, prefix="run-")
        line = [self.binary, "profile", "--url", url, "--model", model, "--artifact-dir", folder, "--random-seed", "7",
                *(["--streaming"] if streaming else []), *map(str, arguments)]
        ran = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_S)
        if ran.returncode != code:
            raise RuntimeError(f"{' '.join(line)}: exit code {ran.returncode}\n{ran.stderr[-2000:]}")
        return Run(folder, ran.stdout)


def whole(checks, what, run, requests, cut_max=0):
    """The claims that hold of every run in which nothing went wrong, but for `cut_max` answers of 200 that a proxy cut short."""
    cut = run.one("SELECT count(*) FROM requests WHERE outcome IN ('protocol_error', 'truncated') AND http_status = 200")
    lost = min(cut, cut_max)
    completed = run.outcomes().get("completed", 0)
    checks.that(f"{what}: all completed" + (f", but {lost} cut short" if lost else ""), completed == requests - lost, run.outcomes())
    if run.counts["failed"]:
        print(f"      {run.errors()}")
    checks.that(f"{what}: every request in one outcome", run.conserved())
    off = run.one("SELECT count(*) FILTER (output_tokens_source <> 'usage' OR max_tokens <> output_tokens) FROM requests")
    checks.equal(f"{what}: requests whose tokens are not the server's count, or not as many as asked for", off, lost)
