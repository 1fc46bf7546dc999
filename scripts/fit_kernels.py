#!/usr/bin/env python3
"""Fits src/profiler/data/GPU.csv from the operator tables of aiconfigurator-core 0.12.0 (Apache-2.0).

    python3 -m venv v && v/bin/pip install aiconfigurator-core==0.12.0 numpy scipy pandas pyarrow
    v/bin/python scripts/fit_kernels.py OUT_DIR [GPU...]

Each table is a regression of ln(measured / roofline) on a grid over logarithmic axes (those of src/profiler/kernels.rs): multilinear, with a
penalty on curvature and slope, re-weighted against outliers. Context attention is four coefficients, by non-negative least squares of the
relative error. Prints the mean absolute error of each fit. Whole models are never looked at.
"""

import glob
import itertools
import os
import sys

import numpy as np
import pandas as pd
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from scipy.optimize import nnls

BACKENDS = {"trtllm": "1.3.0rc20", "vllm": "0.24.0", "sglang": "0.5.14"}
OF_A100 = {"trtllm": "1.0.0", "vllm": "0.14.0", "sglang": "0.5.10"}
# BF16, FP8 and FP4 FLOP/s, memory and link bytes/s, as in src/profiler/gpu.rs.
GPUS = {
    "h200_sxm": (989e12, 1978e12, 0, 4.8e12, 450e9),
    "h100_sxm": (989e12, 1978e12, 0, 3.35e12, 450e9),
    "a100_sxm": (312e12, 312e12, 0, 2.039e12, 300e9),
    "b200_sxm": (2250e12, 4500e12, 9000e12, 7.7e12, 900e9),
    "l40s": (362.05e12, 733e12, 0, 0.864e12, 32e9),
}
# FLOP/s of the format, bytes of a weight and of an input.
FORMATS = {"bfloat16": (0, 2, 2), "fp8": (1, 1, 1), "fp8_block": (1, 1, 1), "nvfp4": (2, 0.5625, 0.5625)}
NAMES = {"bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block", "nvfp4": "nvfp4"}

log2 = lambda *values: np.log2(np.array(values, float))
ROWS = log2(1, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096, 8192, 16384, 32768)
COLUMNS = log2(128, 512, 1024, 2048, 4096, 8192, 16384, 65536)
DEPTH = log2(128, 512, 2048, 4096, 8192, 32768)
SEQUENCES = log2(1, 4, 16, 64, 256, 1024)
CONTEXT = log2(128, 512, 2048, 8192, 32768)
KV_HEADS = log2(1, 2, 8)
GROUP = log2(1, 4, 8, 16)
LATENT_HEADS = log2(1, 4, 16, 64, 128)
MESSAGE = log2(*[2**p for p in (10, 13, 15, 17, 18, 19, 20, 22, 24, 26, 28)])
EXPERT_TOKENS = np.arange(-6.0, 11.0, 2.0)
EXPERTS = log2(32, 128, 512)
EXPERT_SIZE = np.array([18, 19.5, 21, 22.5, 24])
EXPERT_PARALLEL = log2(1, 4, 16)


def table(gpu, operator, backend, name, version=None):
    import aiconfigurator_core

    root = os.path.join(os.path.dirname(aiconfigurator_core.__file__), "systems", "data")
    version = version or (OF_A100 if gpu == "a100_sxm" else BACKENDS)[backend]
    files = sorted(glob.glob(f"{root}/{gpu}/{operator}/{backend}/{version}/{name}.parquet"))
    return pd.read_parquet(files[-1]) if files else None


def basis(points, axes):
    """The weights with which each point is a mean of the knots around it."""
    n, dims = len(points[0]), [len(a) for a in axes]
    low, share = [], []
    for x, axis in zip(points, axes):
        x = np.clip(x, axis[0], axis[-1])
        i = np.clip(np.searchsorted(axis, x, "right") - 1, 0, max(len(axis) - 2, 0))
        low.append(i)
        share.append((x - axis[i]) / (axis[i + 1] - axis[i]) if len(axis) > 1 else np.zeros(n))
    rows, columns, values = [], [], []
    for corner in itertools.product((0, 1), repeat=len(axes)):
        if any(c and d == 1 for c, d in zip(corner, dims)):
            continue
        at, weight = np.zeros(n, int), np.ones(n)
        for d, c in enumerate(corner):
            at = at * dims[d] + low[d] + c
            weight = weight * (share[d] if c else 1 - share[d])
        rows.append(np.arange(n)), columns.append(at), values.append(weight)
    index = (np.concatenate(rows), np.concatenate(columns))
    return sp.csr_matrix((np.concatenate(values), index), shape=(n, int(np.prod(dims))))


def roughness(axes):
    dims = [len(a) for a in axes]
    size, out = int(np.prod(dims)), []
    for d, n in enumerate(dims):
        along = np.moveaxis(np.arange(size).reshape(dims), d, 0)
        for order, factor in (([1, -2, 1], 1.0), ([1, -1], 0.1)):
            if n < len(order):
                continue
            knots = [along[k : n - len(order) + 1 + k].ravel() for k in range(len(order))]
            m = len(knots[0])
            index = (np.tile(np.arange(m), len(order)), np.concatenate(knots))
            out.append(factor * sp.csr_matrix((np.repeat(np.array(order, float), m), index), shape=(m, size)))
    return sp.vstack(out)


def fit(points, y, axes, weights, stiffness):
    matrix, penalty = basis(points, axes), roughness(axes) * stiffness
    robust = weights
    for _ in range(3):
        w = sp.diags(np.sqrt(robust))
        whole = sp.vstack([w @ matrix, penalty]).tocsr()
        target = np.concatenate([np.sqrt(robust) * y, np.zeros(penalty.shape[0])])
        normal = (whole.T @ whole).tocsc() + 1e-9 * sp.eye(whole.shape[1], format="csc")
        knots = sla.spsolve(normal, whole.T @ target)
        robust = weights / np.sqrt(1 + (np.abs(y - matrix @ knots) / 0.15) ** 2)
    return knots, np.expm1(matrix @ knots - y)


def gemm(gpu, backend, format_):
    d = table(gpu, "gemm", backend, "gemm_perf")
    d = d[d.gemm_dtype == format_]
    if d.empty:
        return None
    d = d.groupby(["m", "n", "k"]).latency.min().reset_index()
    m, n, k = (d[c].values.astype(float) for c in "mnk")
    flops, weight, activation = FORMATS[format_]
    roofline = np.maximum(2 * m * n * k / GPUS[gpu][flops], (activation * m * k + weight * n * k + 2 * m * n) / GPUS[gpu][3])
    # Shapes of real models, and the batch sizes that engines capture graphs for.
    weights = np.where((n >= 512) & (k >= 512), 1, 0.05) * np.where(d.m.isin(np.round(2**ROWS)), 4, 1)
    knots, error = fit([np.log2(x) for x in (m, n, k)], np.log(d.latency.values * 1e-3 / roofline), [ROWS, COLUMNS, DEPTH], weights, 0.3)
    return knots, error[(n >= 768) & (k >= 768) & (m <= 16384)]


def attention(gpu, backend, name, width, window):
    d = table(gpu, "attention", backend, f"{name}_attention_perf")
    if (gpu, backend) == ("b200_sxm", "sglang"):
        d = d[d.kernel_source == "trtllm_mha"]
    if "window_size" in d.columns:
        d = d[d.window_size == window]
    elif window:
        return None
    return d[d.head_dim == width]


def coefficients(parts, t):
    weights = np.ones(len(t))
    for _ in range(6):
        c, _ = nnls(parts / t[:, None] * weights[:, None], weights)
        error = parts @ c / t - 1
        weights = 1 / np.sqrt(1 + (error / 0.1) ** 2) ** 0.5
    return c * [1e6, 1, 1, 1, 1], error


def context(gpu, backend, width, window, format_):
    d = attention(gpu, backend, "context", width, window)
    if d is None:
        return None
    d = d[d.attn_dtype == format_]
    if format_ == "bfloat16" and (d.kv_cache_dtype == "bfloat16").any():
        d = d[d.kv_cache_dtype == "bfloat16"]
    if len(d) < 20:
        return None
    b, s, q, kv, t = (d[c].values.astype(float) for c in ("batch_size", "isl", "num_heads", "num_key_value_heads", "latency"))
    kv, t = np.where(kv == 0, q, kv), t * 1e-3
    pairs = b * np.where(s > (window or 1e9), (2 * s - (window or 1e9)) * (window or 1e9), s * s)
    flops, bandwidth = GPUS[gpu][format_ == "fp8"], GPUS[gpu][3]
    parts = np.stack([np.ones_like(t), 2 * pairs * q * width / flops, 2 * b * s * q * width / bandwidth, 2 * b * s * kv * width / bandwidth, b * q * 1e-9], 1)
    ok = (s >= 64) & (q >= 2) & (q <= 96) & (s <= 32768) & (q >= kv)
    return coefficients(parts[ok], t[ok])


def held(points, y, weights, axis):
    """Beyond the largest measured batch, the correction stands still."""
    frame = pd.DataFrame({i: x for i, x in enumerate(points)} | {"y": y})
    rest = list(range(1, len(points)))
    more = [(b, *(top[i] for i in rest), top.y) for _, g in frame.groupby(rest) for top in [g.loc[g[0].idxmax()]] for b in axis[axis > top[0] + 0.5]]
    if more:
        more = np.array(more)
        points = [np.concatenate([x, more[:, i]]) for i, x in enumerate(points)]
        y, weights = np.concatenate([y, more[:, -1]]), np.concatenate([weights, np.full(len(more), 0.3)])
    return points, y, weights


def generation(gpu, backend, width, window, format_):
    d = attention(gpu, backend, "generation", width, window)
    if d is None:
        return None
    d = d[d.kv_cache_dtype == format_]
    if len(d) < 50:
        return None
    b, q, kv, t = (d[c].values.astype(float) for c in ("batch_size", "num_heads", "num_key_value_heads", "latency"))
    s, kv, t = (d.isl + d.step).values.astype(float), np.where(kv == 0, q, kv), t * 1e-3
    seen, bytes_ = np.minimum(s, window or np.inf), 1 if format_ == "fp8" else 2
    memory = b * (4 * q * width + 2 * kv * width * seen * bytes_) / GPUS[gpu][3]
    y = np.log(np.maximum(t, memory) / (4e-6 + memory))  # no kernel beats the memory
    ok = (s >= 32) & (s <= 70000) & (kv <= 16) & (q >= kv) & (q / kv <= 32)
    points = [np.log2(x)[ok] for x in (b, seen, kv, q / kv)]
    points, values, weights = held(points, y[ok], np.where(s[ok] >= 128, 1, 0.2), SEQUENCES)
    knots, error = fit(points, values, [SEQUENCES, log2(window) if window else CONTEXT, KV_HEADS, GROUP], weights, 0.2)
    return knots, error[: ok.sum()][s[ok] >= 128]


def reduce_(gpu, backend, gpus):
    versions = (None, *BACKENDS.values(), *OF_A100.values())
    d = next((d for v in versions if (d := table(gpu, "comm", backend, "custom_allreduce_perf", v)) is not None), None)
    if d is None:
        return None
    if d.kernel_source.str.contains("graph").any():
        d = d[d.kernel_source.str.contains("graph")]
    d = d[d.num_gpus == gpus].groupby("message_size").latency.min().reset_index()
    if d.empty:
        return None
    size = d.message_size.values * 2.0
    y = np.log(d.latency.values * 1e-3 / (2e-6 + 2 * (gpus - 1) / gpus * size / GPUS[gpu][4]))
    return fit([np.log2(size)], y, [MESSAGE], np.ones(len(y)), 0.05)


def experts(gpu, backend, format_):
    flops, weight = {"w4a16_mxfp4": (0, 0.53125), "w4a8_mxfp4_mxfp8": (1, 0.53125)}.get(format_) or FORMATS[format_][:2]
    d = table(gpu, "moe", backend, "moe_perf")
    if d is None:
        return None
    d = d[(d.moe_dtype == format_) & ~d.kernel_source.str.contains("nongated|situ")]
    if d.empty:
        return None
    if backend == "sglang" and d.kernel_source.nunique() > 1:
        d = d[d.kernel_source == d.kernel_source.value_counts().index[0]]
    routed = "power_law_1.2" if (d.distribution == "power_law_1.2").sum() >= 20 else "power_law_1.01"
    keys = ["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"]
    d = d[d.distribution == routed].groupby(keys).latency.min().reset_index()
    m, h, i, k, e, tp, ep = (d[c].values.astype(float) for c in keys)
    a, local, width = m * k / ep, np.maximum(e / ep, 1), i / tp
    active = np.minimum(local * (1 - (1 - 1 / e) ** (m * k)), np.maximum(a, 1e-9))
    memory = (3 * h * width * active * weight + a * 2 * (2 * h + 3 * width)) / GPUS[gpu][3]
    y = np.log(d.latency.values * 1e-3 / (np.maximum(6 * a * h * width / GPUS[gpu][flops], memory) + 8e-6))
    usual = np.where((ep <= 32) & (tp <= 8) & (k >= 2) & (e >= 32), 1.0, 0.1)
    points = [np.log2(m * k / e), np.log2(e), np.log2(h * width), np.log2(ep)]
    knots, error = fit(points, y, [EXPERT_TOKENS, EXPERTS, EXPERT_SIZE, EXPERT_PARALLEL], usual, 0.3)
    return knots, error[(ep <= 16) & (tp <= 8) & (k >= 4) & (e >= 64)]


def latent(gpu, backend, name):
    d = table(gpu, "mla", backend, f"{name}_mla_perf", "*")
    if d is None:
        return None
    d = d[(d.mla_dtype == "bfloat16") & (d.kv_cache_dtype == "bfloat16")]
    q, b, t = (d[c].values.astype(float) for c in ("num_heads", "batch_size", "latency"))
    flops, bandwidth, t = GPUS[gpu][0], GPUS[gpu][3], t * 1e-3
    if name == "context":
        s = d.isl.values.astype(float)
        parts = np.stack([np.ones_like(t), b * s * s * q * 320 / flops, 2 * b * s * q * 320 / bandwidth, 2 * b * s * 576 / bandwidth, b * q * 1e-9], 1)
        ok = (s >= 64) & (q >= 4)
        return coefficients(parts[ok], t[ok])
    s = (d.isl + d.step).values.astype(float)
    y = np.log(t / (4e-6 + np.maximum(2 * b * s * 576 / bandwidth, 2 * b * s * q * 1088 / flops)))
    ok = s >= 32
    points, values, weights = held([np.log2(x)[ok] for x in (b, s, q)], y[ok], np.ones(ok.sum()), SEQUENCES)
    knots, error = fit(points, values, [SEQUENCES, CONTEXT, LATENT_HEADS], weights, 0.2)
    return knots, error[: ok.sum()][s[ok] >= 128]


def rows(gpu):
    grid = lambda knots: " ".join(str(round(100 * x)) for x in knots)
    plain = lambda c: " ".join(f"{x:.4g}" for x in c)
    for backend in BACKENDS:
        jobs = [("gemm", NAMES[f], grid, gemm, (f,)) for f in FORMATS]
        for width, window in ((128, 0), (64, 0), (64, 128)):
            for f in ("bfloat16", "fp8") if width == 128 else ("bfloat16",):
                variant = f"{NAMES[f]}/{width}/{window}"
                jobs.append(("context", variant, plain, context, (width, window, f)))
                jobs.append(("generation", variant, grid, generation, (width, window, f)))
        jobs += [("reduce", str(n), grid, reduce_, (n,)) for n in (2, 4, 8)]
        jobs += [("experts", NAMES[f], grid, experts, (f,)) for f in FORMATS]
        mxfp4 = "w4a8_mxfp4_mxfp8" if gpu == "b200_sxm" else "w4a16_mxfp4"
        jobs.append(("experts", "mxfp4", grid, experts, (mxfp4,)))
        jobs.append(("latent_context", "bf16", plain, latent, ("context",)))
        jobs.append(("latent_generation", "bf16", grid, latent, ("generation",)))
        for operator, variant, written, job, of in jobs:
            fitted = job(gpu, backend, *of)
            if fitted is not None:
                values, error = fitted
                print(f"{gpu} {backend} {operator} {variant}: {100 * np.abs(error).mean():.1f} % of {len(error)} points")
                yield f"{backend},{operator},{variant},{written(values)}\n"


def main():
    out, *gpus = sys.argv[1:] or sys.exit(__doc__)
    for gpu in gpus or GPUS:
        versions = "TensorRT-LLM {trtllm}, vLLM {vllm}, SGLang {sglang}".format(**(OF_A100 if gpu == "a100_sxm" else BACKENDS))
        with open(os.path.join(out, f"{gpu}.csv"), "w") as f:
            f.write(f"""# What was measured of kernels on {gpu}, as corrections of a roofline by the datasheet.
# Source: operator tables of aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0), measured with {versions}.
# Fitted by least squares over the axes of kernels.rs (METHODOLOGY.md, "Predictions"); values are 100 ln(measured / roofline), those of
# context attention its coefficients. Only operators were fitted, never a whole model.
backend,operator,variant,values
""")
            f.writelines(rows(gpu))


if __name__ == "__main__":
    main()
