//! AI Configurator's Parquet files → lines and grids, one operator each.
//!
//! Columns and units as its collectors write them: `latency` in ms (kept in s), all-reduces in elements of BF16 (kept in bytes),
//! generation at a context of `isl + step`. Rows of other formats than ours are left out.

use std::collections::HashMap;
use std::hash::Hash;

use super::curve::{Grid, Growth, Line};
use super::{AttentionKey, Site};
use crate::profiler::precision::Format;
use crate::record::foreign::ForeignTable;

type Read<T> = std::result::Result<T, String>;

/// Bytes of an element of an all-reduce.
const ELEMENT_BYTES: f64 = 2.0;

/// The products: a curve over rows for each pair of widths.
pub(super) fn gemms(table: &ForeignTable) -> Read<HashMap<Format, Vec<Site>>> {
    let formats = Names::of(table, "gemm_dtype")?.map(|name| match name {
        "bfloat16" | "fp8" | "fp8_block" | "nvfp4" => Format::parse(name).ok(),
        _ => None,
    });
    let [m, n, k] = [positive(table, "m")?, positive(table, "n")?, positive(table, "k")?];
    let latency = seconds(table)?;
    let mut points: HashMap<(Format, u32, u32), Vec<(f64, f64)>> = HashMap::new();
    for row in 0..latency.len() {
        if let Some(format) = formats.at(row) {
            points.entry((format, n[row], k[row])).or_default().push((m[row].into(), latency[row]));
        }
    }
    let mut sites: HashMap<Format, Vec<Site>> = HashMap::new();
    for ((format, n, k), points) in points {
        let line = Line::new(points, Growth::Straight);
        sites.entry(format).or_default().extend(line.map(|line| Site { n: n.into(), k: k.into(), line }));
    }
    // Hashing has an order of its own; neighbours at equal distance must not depend on it.
    sites.values_mut().for_each(|s| s.sort_by(|a, b| a.n.total_cmp(&b.n).then(a.k.total_cmp(&b.k))));
    Ok(sites)
}

/// Attention, by heads and formats: batches × tokens.
pub(super) fn attention(table: &ForeignTable, growth: Growth) -> Read<HashMap<AttentionKey, Grid>> {
    let of = |column: &str| -> Read<Picked<bool>> {
        Ok(Names::of(table, column)?.map(|name| match name {
            "bfloat16" | "float16" => Some(false),
            "fp8" => Some(true),
            _ => None,
        }))
    };
    let (arithmetic, cache) = (of("attn_dtype")?, of("kv_cache_dtype")?);
    let [batch, isl] = [positive(table, "batch_size")?, positive(table, "isl")?];
    let [query, kv, width] =
        [positive(table, "num_heads")?, positive(table, "num_key_value_heads")?, positive(table, "head_dim")?];
    let optional = |column: &str| if table.has(column) { whole(table, column) } else { Ok(vec![0; isl.len()]) };
    let (step, window) = (optional("step")?, optional("window_size")?);
    let latency = seconds(table)?;
    let mut points: HashMap<AttentionKey, HashMap<u32, Vec<(f64, f64)>>> = HashMap::new();
    for row in 0..latency.len() {
        let (Some(fp8), Some(fp8_cache)) = (arithmetic.at(row), cache.at(row)) else { continue };
        let (query, kv, width, window) = (query[row], kv[row], width[row], window[row]);
        let key = AttentionKey { query, kv, width, window, fp8, fp8_cache };
        let tokens = f64::from(isl[row]) + f64::from(step[row]);
        points.entry(key).or_default().entry(batch[row]).or_default().push((tokens, latency[row]));
    }
    Ok(each(points, |rows| {
        let lines = rows.into_iter().filter_map(|(batch, points)| Some((batch.into(), Line::new(points, growth)?)));
        Grid::new(lines.collect())
    }))
}

/// All-reduces within a node, by the number of GPUs. Where they were measured with and without CUDA graphs, with them: decoding runs in
/// graphs.
pub(super) fn reduces(table: &ForeignTable) -> Read<HashMap<u32, Line>> {
    let kind = if table.has("backend") { "backend" } else { "kernel_source" };
    let graphs = Names::of(table, kind)?.map(|name| Some(name.contains("graph")));
    let any = (0..graphs.which.len()).any(|row| graphs.at(row) == Some(true));
    let [gpus, elements] = [positive(table, "num_gpus")?, positive(table, "message_size")?];
    let latency = seconds(table)?;
    let mut points: HashMap<u32, Vec<(f64, f64)>> = HashMap::new();
    for row in (0..latency.len()).filter(|row| !any || graphs.at(*row) == Some(true)) {
        points.entry(gpus[row]).or_default().push((f64::from(elements[row]) * ELEMENT_BYTES, latency[row]));
    }
    Ok(each(points, |points| Line::new(points, Growth::Straight)))
}

fn each<K: Eq + Hash, P, T>(points: HashMap<K, P>, make: impl Fn(P) -> Option<T>) -> HashMap<K, T> {
    points.into_iter().filter_map(|(key, points)| Some((key, make(points)?))).collect()
}

/// A column of names.
struct Names {
    names: Vec<String>,
    which: Vec<usize>,
}

/// The same, as what is meant by them.
struct Picked<T> {
    meant: Vec<Option<T>>,
    which: Vec<usize>,
}

impl Names {
    fn of(table: &ForeignTable, column: &str) -> Read<Names> {
        let (names, which) = table.names(column).map_err(|e| e.to_string())?;
        Ok(Names { names, which })
    }

    fn map<T>(self, meaning: impl Fn(&str) -> Option<T>) -> Picked<T> {
        Picked { meant: self.names.iter().map(|name| meaning(name)).collect(), which: self.which }
    }
}

impl<T: Copy> Picked<T> {
    fn at(&self, row: usize) -> Option<T> {
        self.meant[self.which[row]]
    }
}

fn whole(table: &ForeignTable, column: &str) -> Read<Vec<u32>> {
    let values = table.integers(column).map_err(|e| e.to_string())?;
    let one = |v: i64| u32::try_from(v).map_err(|_| format!("`{column}` has {v}, which is no size"));
    values.into_iter().map(one).collect()
}

fn positive(table: &ForeignTable, column: &str) -> Read<Vec<u32>> {
    let values = whole(table, column)?;
    if values.contains(&0) { Err(format!("`{column}` has a 0")) } else { Ok(values) }
}

fn seconds(table: &ForeignTable) -> Read<Vec<f64>> {
    let values = table.numbers("latency").map_err(|e| e.to_string())?;
    match values.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
        Some(wrong) => Err(format!("`latency` has {wrong}, which is no time")),
        None => Ok(values.into_iter().map(|ms| ms / 1e3).collect()),
    }
}
