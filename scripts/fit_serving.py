#!/usr/bin/env python3
"""Fits src/profiler/data/aggregated.csv from published measurements of aggregated serving.

    python3 -m venv v && v/bin/pip install numpy scipy
    cargo run --example serving_terms measured.csv > terms.csv
    v/bin/python scripts/fit_serving.py terms.csv ROWS.csv LEFT_OUT.csv

The law is METHODOLOGY.md's ("Aggregated serving"). Each of its constants is one number for all engines times a factor of the backend, one of the
backend on a GPU generation, and, for `request` and `queue`, one of how the lengths of a benchmark were drawn; `cohort` has none. Logarithms of
factors are drawn towards 0. What is minimised is a robust sum (pseudo-Huber) of squares of predicted / measured - 1, in which every (model, GPU,
backend) counts alike. Dense models and those with experts are fitted apart. ROWS.csv gets the data file's rows, LEFT_OUT.csv those of each (model, GPU, backend) from all others alone, for
tests/accuracy.rs. Prints the errors of both. Rows of GB200 without a precision (several replicas behind a router) are not taken.
"""

import csv
import itertools
import sys

import numpy as np
from scipy.optimize import least_squares

BACKENDS = ["vllm", "trtllm", "sglang"]
GENERATIONS = ["hopper", "blackwell"]
LENGTHS = ["any", "drawn", "alike"]
# Where predicted / measured - 1 stops to be squared.
HUBER = 0.15
# How strongly the logarithm of a factor is drawn to 0, per constant; of what all have in common, hardly.
# Of 0.05, 0.1, 0.2, ... the strongest whose left-out error is within half a point of the least.
COMMON = 0.01
TPOT = {"pass": (1.0, 0.2), "host_ms": (0.2, 0.1), "sequence_ms": (0.003, 0.1), "prompts": (1.0, 0.2)}
TTFT = {"own": (0.6, 0.05), "request_ms": (50.0, 0.05), "queue": (0.06, 0.05), "cohort": (0.15, 0.05)}
FACTORS = {name: "backend generation" for name in [*TPOT, *TTFT]}
FACTORS |= {"request_ms": "lengths backend generation", "queue": "lengths backend generation", "cohort": ""}
# As in src/profiler/aggregated.rs.
COHORT, WAITING_SHARE = 8.0, 0.9


def design(name, backend, generation, lengths):
    """Which factors of a constant a row has."""
    columns = [np.ones(len(backend))]
    if "lengths" in FACTORS[name]:
        columns += [lengths == kind for kind in LENGTHS[1:]]
    if "backend" in FACTORS[name]:
        columns += [backend == b for b in BACKENDS]
        columns += [(backend == b) & (generation == g) for b in BACKENDS for g in GENERATIONS]
    return np.stack(columns, 1).astype(float)


class Rows:
    def __init__(self, path, kind):
        rows = [r for r in csv.DictReader(open(path)) if r["kind"] == kind]
        rows = [r for r in rows if r["system"] != "gb200" or r["precision"]]
        text = lambda name: np.array([r[name] for r in rows])
        number = lambda name: np.array([float(r[name]) for r in rows])
        self.group = np.array([f"{r['model']},{r['system']},{r['backend']}" for r in rows])
        self.backend, self.generation, self.lengths = text("backend"), text("generation"), text("lengths")
        self.clients, self.running, self.osl = number("clients"), number("running"), number("osl")
        self.decode, self.prompt, self.own = number("decode_ms"), number("prompt_ms"), number("own_ms")
        self.ttft, self.tpot = number("ttft_ms"), number("tpot_ms")

    def tpot_terms(self):
        one = np.ones_like(self.decode)
        return np.stack([self.decode, one, self.running, self.running / self.osl * self.prompt], 1)

    def ttft_terms(self):
        others = self.running - 1
        cohort = np.minimum(others, COHORT) / 2
        return np.stack([self.own, np.ones_like(self.own), others * self.prompt, cohort * self.prompt], 1)

    def wait(self, served, tpot):
        return WAITING_SHARE * (self.clients / self.running - 1) * (served + self.osl * tpot)


def constants(law, fitted, backend, generation, lengths):
    """The law's constants of each row."""
    parts = []
    for (name, (start, _)), logs in zip(law.items(), fitted):
        parts.append(start * np.exp(design(name, backend, generation, lengths) @ logs))
    return np.stack(parts, 1)


def fit(rows, law, terms, measured, chosen, tpot=None):
    """The logarithms of the factors, of each constant in turn."""
    designs = [design(name, rows.backend, rows.generation, rows.lengths) for name in law]
    ends = np.cumsum([d.shape[1] for d in designs])
    pull = np.concatenate([[COMMON] + [p] * (d.shape[1] - 1) for d, (_, p) in zip(designs, law.values())])
    weight = np.zeros(len(measured))
    for group in set(rows.group[chosen]):
        of = chosen & (rows.group == group)
        weight[of] = of.sum() ** -0.5
    weight = (weight / np.sqrt((weight**2).sum()))[chosen]

    def residuals(logs):
        served = predict(rows, law, terms, np.split(logs, ends[:-1]), tpot)
        off = served[chosen] / measured[chosen] - 1
        robust = np.sign(off) * np.sqrt(2 * (np.sqrt(1 + (off / HUBER) ** 2) - 1)) * HUBER
        return np.concatenate([weight * robust, pull * logs])

    return np.split(least_squares(residuals, np.zeros(ends[-1])).x, ends[:-1])


def predict(rows, law, terms, fitted, tpot=None, lengths=None):
    lengths = rows.lengths if lengths is None else lengths
    served = (terms * constants(law, fitted, rows.backend, rows.generation, lengths)).sum(1)
    return served if tpot is None else served + rows.wait(served, tpot)


def both(rows, chosen, lengths=None):
    """What is fitted on the chosen rows, and both times of all rows by it; a second time without knowing how lengths were drawn."""
    of_tpot = fit(rows, TPOT, rows.tpot_terms(), rows.tpot, chosen)
    tpot = predict(rows, TPOT, rows.tpot_terms(), of_tpot)
    of_ttft = fit(rows, TTFT, rows.ttft_terms(), rows.ttft, chosen, tpot)
    ttft = lambda lengths: predict(rows, TTFT, rows.ttft_terms(), of_ttft, tpot, lengths)
    return (of_tpot, of_ttft), tpot, ttft(None), ttft(np.full(len(tpot), "any"))


def cell(fitted, backend, generation, lengths):
    key = [np.array([k]) for k in (backend, generation, lengths)]
    values = [constants(law, f, *key)[0] for law, f in zip((TPOT, TTFT), fitted)]
    values[0][2] *= 1e3
    return [f"{value:.4g}" for value in np.concatenate(values)]


def band(rows, backend, generation, lengths, measured, predicted):
    """10 and 90 % quantiles of measured / predicted: of the cell where it has 20 rows, else of more and more of them."""
    drawn = (rows.lengths == lengths) | (lengths == "any")
    of = rows.backend == backend
    for chosen in [of & (rows.generation == generation) & drawn, of & drawn, of, np.ones_like(of)]:
        if chosen.sum() >= 20:
            return [f"{q:.4g}" for q in np.quantile((measured / predicted)[chosen], [0.1, 0.9])]


def tell(rows, times, left_out):
    error = lambda predicted, measured: f"{np.abs(predicted / measured - 1).mean():.4f}"
    for group in ["", *sorted(set(rows.group))]:
        of = (rows.group == group) | (group == "")
        pairs = [(p[name], m) for name, m in (("tpot", rows.tpot), ("ttft", rows.ttft), ("any", rows.ttft)) for p in (left_out, times)]
        print(group or "all", of.sum(), *[error(p[of], m[of]) for p, m in pairs])


def main():
    print("points; left out and not: TPOT, TTFT, TTFT where lengths are not known")
    cells, folds = [], []
    for kind in ("dense", "experts"):
        rows = Rows(sys.argv[1], kind)
        whole, *times = both(rows, np.ones(len(rows.tpot), bool))
        times = dict(zip(("tpot", "ttft", "any"), times))
        left_out = {name: np.zeros(len(rows.tpot)) for name in times}
        for group in sorted(set(rows.group)):
            of = rows.group == group
            fitted, *without = both(rows, ~of)
            for name, time in zip(left_out, without):
                left_out[name][of] = time[of]
            key = (rows.backend[of][0], rows.generation[of][0])
            folds += [[group, *key, kind, lengths, *cell(fitted, *key, lengths), 1, 1, 1, 1] for lengths in LENGTHS]
        for key in itertools.product(BACKENDS, GENERATIONS, LENGTHS):
            served = left_out["any" if key[2] == "any" else "ttft"]
            bands = band(rows, *key, rows.tpot, left_out["tpot"]) + band(rows, *key, rows.ttft, served)
            cells.append([*key[:2], kind, key[2], *cell(whole, *key), *bands])
        tell(rows, times, left_out)
    for path, lines in zip(sys.argv[2:], (cells, folds)):
        with open(path, "w") as file:
            for line in lines:
                print(*line, sep=",", file=file)


if __name__ == "__main__":
    main()
