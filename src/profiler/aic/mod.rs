//! AI Configurator's measured kernels, as its package has them → times of the kernels of a deployment, by interpolation.
//!
//! In: a folder with `data/<gpu>/<operator>/<backend>/<version>/*.parquet`. Out: [`KernelTables`] of one GPU and backend, which a [`Gpu`]
//! then bears ([`Gpu::tabled`]) and which [`super::cost`] asks before its own constants.
//! The tables are AI Configurator's (Apache-2.0) and not part of this tree; the way from points to values is this program's own.
//! Not here: experts and latent attention, which stay with the constants, and formulas of element-wise kernels.

pub(super) mod curve;
mod read;
mod version;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::backend::Backend;
use super::gpu::Gpu;
use super::precision::Format;
use crate::error::{Error, InputError, Result};
use crate::record::foreign::ForeignTable;
use curve::{Grid, Growth, Line};

/// Operators that the tables may speak for: folder, and name of the file in it.
const OPERATORS: [(&str, &str); 4] = [
    ("gemm", "gemm_perf.parquet"),
    ("attention", "context_attention_perf.parquet"),
    ("attention", "generation_attention_perf.parquet"),
    ("comm", "custom_allreduce_perf.parquet"),
];
/// Sites that speak for a product that was not measured.
pub(super) const NEIGHBOURS: usize = 4;
/// Where the folder of the GPUs may lie below what was named.
const BELOW: [&str; 4] = ["aiconfigurator_core/systems/data", "systems/data", "data", "."];

/// What attention is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AttentionKey {
    pub(super) query: u32,
    pub(super) kv: u32,
    pub(super) width: u32,
    pub(super) window: u32,
    /// Multiplied in FP8.
    pub(super) fp8: bool,
    /// Cached in FP8.
    pub(super) fp8_cache: bool,
}

/// Products with weights of `n` × `k` that were measured, over rows.
#[derive(Debug, PartialEq)]
pub(super) struct Site {
    pub(super) n: f64,
    pub(super) k: f64,
    pub(super) line: Line,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Source {
    /// Name of the file: its operator.
    pub table: &'static str,
    /// Version of the serving engine that was measured.
    pub version: String,
}

/// The measured kernels of one GPU and backend.
#[derive(PartialEq)]
pub struct KernelTables {
    /// The folder of the GPU.
    pub dir: PathBuf,
    /// The serving engine.
    pub backend: Backend,
    /// What was read.
    pub sources: Vec<Source>,
    gemms: HashMap<Format, Vec<Site>>,
    context: HashMap<AttentionKey, Grid>,
    generation: HashMap<AttentionKey, Grid>,
    reduces: HashMap<u32, Line>,
}

impl std::fmt::Debug for KernelTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelTables").field("dir", &self.dir).field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl KernelTables {
    /// Reads the newest tables of a GPU and a backend below `dir`: site-packages, the package, its `systems` or their `data`.
    ///
    /// # Errors
    /// [`Error::Usage`] where there are none, [`Error::Input`] where one cannot be read.
    pub fn read(dir: &Path, gpu: &Gpu, backend: Backend) -> Result<KernelTables> {
        let systems = BELOW.map(|below| dir.join(below).join(gpu.name));
        let Some(dir) = systems.into_iter().find(|d| d.is_dir()) else {
            return Err(Error::Usage(format!(
                "--aic-tables {}: no tables of {} below it; name the folder that aiconfigurator_core lies in, or its systems/data",
                dir.display(),
                gpu.name
            )));
        };
        let mut tables = KernelTables {
            dir,
            backend,
            sources: Vec::new(),
            gemms: HashMap::new(),
            context: HashMap::new(),
            generation: HashMap::new(),
            reduces: HashMap::new(),
        };
        for (folder, name) in OPERATORS {
            let Some((version, path)) = version::newest(&tables.dir.join(folder).join(backend.as_str()), name)? else {
                continue;
            };
            tables.take(name, &path).map_err(|why| {
                InputError::of_file(path.display().to_string(), why, "install aiconfigurator-core 0.12 anew")
            })?;
            tables.sources.push(Source { table: name, version });
        }
        if tables.sources.is_empty() {
            let (dir, backend) = (tables.dir.display(), backend.as_str());
            return Err(Error::Usage(format!("--aic-tables: {dir} has no tables of {backend}")));
        }
        Ok(tables)
    }

    fn take(&mut self, name: &str, path: &Path) -> std::result::Result<(), String> {
        let table = ForeignTable::open(path).map_err(|e| e.to_string())?;
        match name {
            "gemm_perf.parquet" => self.gemms = read::gemms(&table)?,
            "context_attention_perf.parquet" => self.context = read::attention(&table, Growth::Square)?,
            "generation_attention_perf.parquet" => self.generation = read::attention(&table, Growth::Straight)?,
            _ => self.reduces = read::reduces(&table)?,
        }
        Ok(())
    }

    /// The measured products that speak for one of `n` × `k`, and the share of each: the product itself where it was measured, else the
    /// nearest by the logarithms of both widths, weighted by the inverse square of their distance.
    pub(super) fn gemm(&self, format: Format, n: f64, k: f64) -> Vec<(f64, &Site)> {
        let Some(sites) = self.gemms.get(&format) else { return Vec::new() };
        let distance = |s: &Site| (s.n / n).ln().powi(2) + (s.k / k).ln().powi(2);
        let mut near: Vec<(f64, &Site)> = sites.iter().map(|s| (distance(s), s)).collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.truncate(NEIGHBOURS);
        if let Some((0.0, site)) = near.first() {
            return vec![(1.0, site)];
        }
        let whole: f64 = near.iter().map(|(d, _)| 1.0 / d).sum();
        near.into_iter().map(|(d, site)| (1.0 / d / whole, site)).collect()
    }

    /// Attention of prompts: batches × lengths.
    pub(super) fn context(&self, key: AttentionKey) -> Option<&Grid> {
        self.context.get(&key)
    }

    /// Attention of next tokens: batches × contexts. It is multiplied in BF16 whatever the cache is kept in.
    pub(super) fn generation(&self, key: AttentionKey) -> Option<&Grid> {
        self.generation.get(&key).or_else(|| self.generation.get(&AttentionKey { fp8: !key.fp8, ..key }))
    }

    /// An all-reduce over so many GPUs: bytes.
    pub(super) fn reduce(&self, gpus: u32) -> Option<&Line> {
        self.reduces.get(&gpus)
    }
}

/// Which operators of a deployment the tables speak for, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Spoken {
    /// By the tables.
    pub tables: Vec<&'static str>,
    /// By the constants of this program.
    pub constants: Vec<&'static str>,
}

impl Spoken {
    /// Adds an operator, once.
    pub(super) fn add(&mut self, operator: &'static str, tabled: bool) {
        let (one, other) =
            if tabled { (&mut self.tables, &self.constants) } else { (&mut self.constants, &self.tables) };
        if !one.contains(&operator) && !other.contains(&operator) {
            one.push(operator);
        }
    }
}
