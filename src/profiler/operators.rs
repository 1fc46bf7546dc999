//! The operators of a layer, each narrowed to one deployment's widths: what a pass asks of them → seconds.
//!
//! Each is a roofline by the datasheet (`F` FLOP/s, `BW` memory and `NV` link bytes/s) times the correction that was measured
//! for its shape ([`super::kernels`]). `q`, `kv`: query and key/value heads on this GPU; `hd` the width of a head.
//! Not here: which operators a model has; that is [`super::cost`].

use super::aic::curve::{Grid, Line};
use super::aic::{AttentionKey, KernelTables, NEIGHBOURS};
use super::backend::Backend;
use super::gpu::Gpu;
use super::kernels::{self, Kernels, Operator};
use super::model::{Experts, Latent};
use super::precision::Format;
use super::surface::{Curve, Plane, narrow};

/// Bytes of a BF16 number, in which activations are kept.
pub(super) const ACTIVATION_BYTES: f64 = 2.0;
/// Element-wise kernels: share of the memory bandwidth that they reach. Assumed by aiconfigurator, not measured.
const ELEMENTWISE_MEMORY: f64 = 0.8;
/// Element-wise kernels: launch, s. Assumed by aiconfigurator, not measured.
const ELEMENTWISE_LAUNCH_S: f64 = 3e-6;
/// What the measured launches of generation attention lie around, s.
const GENERATION_BASE_S: f64 = 4e-6;
/// What the measured launches of the experts lie around, s.
const EXPERTS_BASE_S: f64 = 8e-6;
/// What the measured launches of an all-reduce lie around, s.
const REDUCE_BASE_S: f64 = 2e-6;
/// Latent attention reads a compressed cache of this many numbers per token at DeepSeek's widths (512 + 64).
pub(super) const LATENT_WIDTH: f64 = 576.0;

/// Where kernels are looked up, and on what they run.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) kernels: &'a Kernels,
    pub(super) gpu: &'static Gpu,
    pub(super) backend: Backend,
}

impl Source<'_> {
    /// What was measured of this GPU and backend, where the tables of that were given.
    fn tables(self) -> Option<&'static KernelTables> {
        self.gpu.tables.filter(|tables| tables.backend == self.backend)
    }
}

impl Format {
    /// FLOP/s of its arithmetic on a GPU.
    fn flops(self, gpu: &Gpu) -> f64 {
        match self {
            Format::Fp8 | Format::Fp8Block => gpu.fp8_flops,
            Format::Nvfp4 => gpu.fp4_flops,
            // Dequantised on the way in; multiplied in FP8 where FP4 weights have kernels of their own, in BF16 elsewhere.
            Format::Mxfp4 if gpu.fp4_flops > 0.0 => gpu.fp8_flops,
            Format::Bf16 | Format::Mxfp4 => gpu.bf16_flops,
        }
    }

    /// Whether a GPU can multiply in it.
    pub(super) fn runs_on(self, gpu: &Gpu) -> bool {
        self.flops(gpu) > 0.0
    }

    /// Bytes of a number that goes into the multiplication.
    fn input_bytes(self) -> f64 {
        match self {
            Format::Bf16 | Format::Mxfp4 => 2.0,
            _ => self.bytes(),
        }
    }

    /// The format of its dense GEMMs: MXFP4 checkpoints quantise experts alone.
    fn gemm(self) -> Format {
        if self == Format::Mxfp4 { Format::Bf16 } else { self }
    }

    /// The variants whose measurements speak for it, nearest first.
    fn variants(self) -> &'static [&'static str] {
        match self {
            Format::Bf16 => &["bf16"],
            Format::Fp8 => &["fp8", "fp8_block", "bf16"],
            Format::Fp8Block => &["fp8_block", "fp8", "bf16"],
            Format::Nvfp4 => &["nvfp4", "fp8", "fp8_block", "bf16"],
            Format::Mxfp4 => &["mxfp4", "nvfp4", "fp8_block", "bf16"],
        }
    }
}

/// A matrix product of `M` rows with weights of `N` × `K`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gemm {
    roofline: GemmRoofline,
    correction: GemmCorrection,
}

/// `max(2MNK/F, (MK + NK + MN bytes)/BW)`, s.
#[derive(Clone, Copy, Debug)]
struct GemmRoofline {
    compute_s: f64,
    row_s: f64,
    weights_s: f64,
}

impl GemmRoofline {
    fn new(gpu: &Gpu, format: Format, n: f64, k: f64) -> GemmRoofline {
        GemmRoofline {
            compute_s: 2.0 * n * k / format.flops(gpu),
            row_s: (format.input_bytes() * k + ACTIVATION_BYTES * n) / gpu.hbm_bytes_per_s,
            weights_s: format.bytes() * n * k / gpu.hbm_bytes_per_s,
        }
    }

    fn seconds(&self, rows: f64) -> f64 {
        (self.compute_s * rows).max(self.row_s * rows + self.weights_s)
    }
}

/// What a product takes beside its roofline.
#[derive(Clone, Copy, Debug)]
enum GemmCorrection {
    Fitted(Curve<{ kernels::ROWS.len() }>),
    /// As measured products take beside theirs: the share of each, its roofline and its times.
    Tabled([Option<(f64, GemmRoofline, &'static Line)>; NEIGHBOURS]),
}

impl Gemm {
    pub(super) fn new(source: Source, format: Format, n: f64, k: f64) -> Option<Gemm> {
        let format = format.gemm();
        let roofline = GemmRoofline::new(source.gpu, format, n, k);
        let near = source.tables().map(|tables| tables.gemm(format, n, k)).unwrap_or_default();
        if !near.is_empty() {
            let mut sites = [None; NEIGHBOURS];
            for (place, (share, site)) in sites.iter_mut().zip(near) {
                *place = Some((share, GemmRoofline::new(source.gpu, format, site.n, site.k), &site.line));
            }
            return Some(Gemm { roofline, correction: GemmCorrection::Tabled(sites) });
        }
        let (_, table) = source.kernels.find(source.backend, Operator::Gemm, format.variants())?;
        let table = narrow(&narrow(table, kernels::DEPTH, k.log2()), kernels::COLUMNS, n.log2());
        Some(Gemm { roofline, correction: GemmCorrection::Fitted(Curve::new(kernels::ROWS, &table)?) })
    }

    pub(super) fn is_tabled(&self) -> bool {
        matches!(self.correction, GemmCorrection::Tabled(_))
    }

    /// `max(2MNK/F, (MK + NK + MN bytes)/BW) · correction(M; N, K)`, s.
    pub(super) fn seconds(&self, rows: f64) -> f64 {
        let rows = rows.max(1.0);
        let correction = match &self.correction {
            GemmCorrection::Fitted(curve) => curve.at(rows.log2()),
            GemmCorrection::Tabled(sites) => {
                let ln = |(share, roofline, line): &(f64, GemmRoofline, &Line)| {
                    let inside = line.inside(rows);
                    share * (line.at(inside) / roofline.seconds(inside)).ln()
                };
                sites.iter().flatten().map(ln).sum::<f64>().exp()
            }
        };
        self.roofline.seconds(rows) * correction
    }
}

/// Attention of prompts to themselves and what is cached of them, without and with a latent cache.
///
/// `launch + c₁·Σ(b²−a²) + c₂·Σ(b−a) + c₃·chunks`: a chunk from `a` to `b` adds to the chunks before it what the whole prompt costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContextAttention {
    launch_s: f64,
    square_s: f64,
    token_s: f64,
    chunk_s: f64,
    /// Tokens that each token sees at most; 0 for all.
    window: f64,
    tabled: Option<&'static Grid>,
}

impl ContextAttention {
    pub(super) fn is_tabled(&self) -> bool {
        self.tabled.is_some()
    }

    pub(super) fn grouped(source: Source, heads: Heads, window: u32, fp8: bool) -> Option<ContextAttention> {
        let width = heads.tabled_width();
        let names = ["fp8", "bf16"].map(|f| [format!("{f}/{width}/{window}"), format!("{f}/{width}/0")]);
        let all = [&names[0][0], &names[1][0], &names[0][1], &names[1][1]].map(String::as_str);
        let variants: &[&str] = if fp8 { &all } else { &[all[1], all[3]] };
        let (variant, c) = source.kernels.find(source.backend, Operator::Context, variants)?;
        let flops = if variant.starts_with("fp8") { source.gpu.fp8_flops } else { source.gpu.bf16_flops };
        let (q, kv, hd) = (heads.query, heads.kv, heads.width);
        let bandwidth = source.gpu.hbm_bytes_per_s;
        Some(ContextAttention {
            launch_s: c[0] * 1e-6,
            square_s: c[1] * 2.0 * q * hd / flops,
            token_s: 2.0 * hd * (c[2] * q + c[3] * kv) / bandwidth,
            chunk_s: c[4] * q * 1e-9,
            window: f64::from(window),
            tabled: source.tables().and_then(|tables| {
                let caches = if fp8 { &[(true, true), (false, true), (false, false)][..] } else { &[(false, false)] };
                caches.iter().find_map(|&(fp8, cache)| tables.context(heads.key(window, fp8, cache)))
            }),
        })
    }

    pub(super) fn latent(source: Source, query_heads: f64) -> Option<ContextAttention> {
        let (_, c) = source.kernels.find(source.backend, Operator::LatentContext, &["bf16"])?;
        let bandwidth = source.gpu.hbm_bytes_per_s;
        Some(ContextAttention {
            launch_s: c[0] * 1e-6,
            // Keys are 192 wide, values 128.
            square_s: c[1] * 320.0 * query_heads / source.gpu.bf16_flops,
            token_s: 2.0 * (c[2] * 320.0 * query_heads + c[3] * LATENT_WIDTH) / bandwidth,
            chunk_s: c[4] * query_heads * 1e-9,
            window: 0.0,
            tabled: None,
        })
    }

    /// Seconds for `tokens` in `chunks` whose squares add up to `squares`.
    pub(super) fn seconds(&self, tokens: f64, squares: f64, chunks: f64) -> f64 {
        if let Some(grid) = self.tabled {
            return grid_s(grid, tokens, squares);
        }
        let squares = if self.window > 0.0 { squares.min(2.0 * tokens * self.window) } else { squares };
        self.launch_s + self.square_s * squares + self.token_s * tokens + self.chunk_s * chunks
    }
}

/// What a grid over batches and lengths of prompts says of `tokens` whose squares add up to `squares`: as many prompts of one length have both.
/// A chunk is a part of such a prompt.
fn grid_s(grid: &Grid, tokens: f64, squares: f64) -> f64 {
    let length = squares / tokens;
    let prompts = tokens / length;
    let quadratic = |batch: f64, length: f64| batch * length * length;
    let whole = grid.at(prompts, length, quadratic);
    let launch = grid.first();
    if prompts < 1.0 { launch + prompts * (whole - launch).max(0.0) } else { whole }
}

/// Heads on one GPU, and their width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) query: f64,
    pub(super) kv: f64,
    pub(super) width: f64,
}

impl Heads {
    /// The width whose kernels speak for it.
    fn tabled_width(self) -> u32 {
        if self.width <= 64.0 { 64 } else { 128 }
    }

    fn key(self, window: u32, fp8: bool, fp8_cache: bool) -> AttentionKey {
        let [query, kv, width] = [self.query, self.kv, self.width].map(|n| n as u32);
        AttentionKey { query, kv, width, window, fp8, fp8_cache }
    }
}

/// Attention of each sequence's next token to its cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct GenerationAttention {
    sequence_s: f64,
    token_s: f64,
    window: f64,
    correction: Plane<{ kernels::SEQUENCES.len() }, { kernels::CONTEXT.len() }>,
    tabled: Option<&'static Grid>,
}

impl GenerationAttention {
    pub(super) fn is_tabled(&self) -> bool {
        self.tabled.is_some()
    }

    pub(super) fn new(source: Source, heads: Heads, window: u32, kv_bytes: u32) -> Option<GenerationAttention> {
        let width = heads.tabled_width();
        let format = if kv_bytes == 1 { "fp8" } else { "bf16" };
        let names = [format!("{format}/{width}/{window}"), format!("bf16/{width}/{window}"), format!("bf16/{width}/0")];
        let variants = names.each_ref().map(String::as_str);
        let (_, table) = source.kernels.find(source.backend, Operator::Generation, &variants)?;
        let (q, kv, hd) = (heads.query, heads.kv, heads.width);
        let table = narrow(&narrow(table, kernels::GROUP, (q / kv).log2()), kernels::KV_HEADS, kv.log2());
        let bandwidth = source.gpu.hbm_bytes_per_s;
        Some(GenerationAttention {
            sequence_s: 4.0 * q * hd / bandwidth,
            token_s: 2.0 * kv * hd * f64::from(kv_bytes) / bandwidth,
            window: f64::from(window),
            correction: Plane::new(kernels::SEQUENCES, kernels::CONTEXT, &table)?,
            tabled: source.tables().and_then(|tables| tables.generation(heads.key(window, false, kv_bytes == 1))),
        })
    }

    /// `(4 µs + B·(4·q·hd + 2·kv·hd·S·bytes)/BW) · correction(B, S; q, kv)`, s, for `sequences` of mean context `context`.
    pub(super) fn seconds(&self, sequences: f64, context: f64) -> f64 {
        let roofline = |sequences: f64, context: f64| {
            let seen = if self.window > 0.0 { context.min(self.window) } else { context };
            GENERATION_BASE_S + sequences * (self.sequence_s + self.token_s * seen)
        };
        let base = roofline(sequences, context);
        if let Some(grid) = self.tabled {
            return grid.at(sequences, context, roofline);
        }
        let context = if self.window > 0.0 { context.min(self.window) } else { context };
        base * self.correction.at(sequences.max(1.0).log2(), context.max(1.0).log2())
    }
}

/// The same over a latent cache, in the absorbed form: every head reads the one compressed cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct LatentGeneration {
    memory_s: f64,
    compute_s: f64,
    absorb_s: f64,
    absorb_row_s: f64,
    correction: Plane<{ kernels::SEQUENCES.len() }, { kernels::CONTEXT.len() }>,
}

impl LatentGeneration {
    pub(super) fn new(source: Source, latent: &Latent, query_heads: f64, kv_bytes: u32) -> Option<LatentGeneration> {
        let (_, table) = source.kernels.find(source.backend, Operator::LatentGeneration, &["bf16"])?;
        let table = narrow(table, kernels::LATENT_HEADS, query_heads.log2());
        let (gpu, rank, nope) = (source.gpu, f64::from(latent.kv_rank), f64::from(latent.nope));
        // An FP8 cache halves the bytes; measured, it saves a quarter.
        let bytes = if kv_bytes == 1 { 0.75 } else { 1.0 };
        Some(LatentGeneration {
            memory_s: 2.0 * LATENT_WIDTH * bytes / gpu.hbm_bytes_per_s,
            compute_s: 2.0 * query_heads * (2.0 * rank + f64::from(latent.rope)) * bytes / gpu.bf16_flops,
            absorb_s: 2.0 * (ELEMENTWISE_LAUNCH_S + 2.0 * query_heads * nope * rank / gpu.hbm_bytes_per_s),
            absorb_row_s: 4.0 * query_heads * (nope + rank) / gpu.hbm_bytes_per_s,
            correction: Plane::new(kernels::SEQUENCES, kernels::CONTEXT, &table)?,
        })
    }

    /// `(4 µs + B·S·max(2·576/BW, 2·q·1088/F)) · correction(B, S; q)` and the two products that fold the heads in and out, s.
    pub(super) fn seconds(&self, sequences: f64, context: f64) -> f64 {
        let base = GENERATION_BASE_S + sequences * context * self.memory_s.max(self.compute_s);
        base * self.correction.at(sequences.max(1.0).log2(), context.max(1.0).log2())
            + self.absorb_s
            + self.absorb_row_s * sequences
    }
}

/// The routed experts of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpertGemms {
    per_expert: f64,
    all: f64,
    parallel: f64,
    log_idle: f64,
    top_k: f64,
    compute_s: f64,
    weights_s: f64,
    assignment_s: f64,
    correction: Curve<{ kernels::EXPERT_TOKENS.len() }>,
}

impl ExpertGemms {
    pub(super) fn new(
        source: Source,
        format: Format,
        hidden: f64,
        experts: &Experts,
        (moe_tp, moe_ep): (u32, u32),
    ) -> Option<ExpertGemms> {
        let (_, table) = source.kernels.find(source.backend, Operator::Experts, format.variants())?;
        let (all, top_k) = (f64::from(experts.count), f64::from(experts.top_k));
        let (width, parallel) = (f64::from(experts.intermediate) / f64::from(moe_tp), f64::from(moe_ep));
        let table = narrow(table, kernels::EXPERT_PARALLEL, parallel.log2());
        let table = narrow(&table, kernels::EXPERT_SIZE, (hidden * width).log2());
        let table = narrow(&table, kernels::EXPERTS, all.log2());
        let gpu = source.gpu;
        Some(ExpertGemms {
            per_expert: top_k / all,
            all,
            parallel,
            log_idle: (1.0 - 1.0 / all).ln(),
            top_k,
            compute_s: 6.0 * hidden * width / format.flops(gpu),
            weights_s: 3.0 * hidden * width * format.bytes() / gpu.hbm_bytes_per_s,
            assignment_s: 2.0 * (2.0 * hidden + 3.0 * width) / gpu.hbm_bytes_per_s,
            correction: Curve::new(kernels::EXPERT_TOKENS, &table)?,
        })
    }

    /// `(8 µs + max(6·A·H·I/F, (3·H·I·active + A·…)/BW)) · correction(M·k/E; E, H·I, ep)`, s, with `A = M·k/ep` assignments and
    /// `active = E/ep·(1 − (1 − 1/E)^(M·k))` experts that get a token at all.
    pub(super) fn seconds(&self, tokens: f64) -> f64 {
        let tokens = tokens.max(1e-3);
        let assignments = tokens * self.top_k / self.parallel;
        let active = (self.all / self.parallel).max(1.0) * (1.0 - (self.log_idle * tokens * self.top_k).exp());
        let active = active.min(assignments);
        let memory = self.weights_s * active + self.assignment_s * assignments;
        let base = (self.compute_s * assignments).max(memory) + EXPERTS_BASE_S;
        base * self.correction.at((tokens * self.per_expert).log2())
    }
}

/// The sum over GPUs of what each of them has of a result.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllReduce {
    byte_s: f64,
    correction: Curve<{ kernels::MESSAGE.len() }>,
    tabled: Option<&'static Line>,
}

impl AllReduce {
    pub(super) fn is_tabled(&self) -> bool {
        self.tabled.is_some()
    }

    /// `None` on one GPU, where there is nothing to do, and where it was not measured.
    pub(super) fn new(source: Source, gpus: u32) -> Option<AllReduce> {
        let variant = match gpus {
            0 | 1 => return None,
            2 => "2",
            3..=5 => "4",
            _ => "8",
        };
        let (_, table) = source.kernels.find(source.backend, Operator::Reduce, &[variant])?;
        let tabled = source.tables().and_then(|tables| tables.reduce(gpus));
        let gpus = f64::from(gpus);
        Some(AllReduce {
            tabled,
            byte_s: 2.0 * (gpus - 1.0) / gpus / source.gpu.nvlink_bytes_per_s,
            correction: Curve::new(kernels::MESSAGE, table)?,
        })
    }

    /// `(2 µs + 2(t−1)/t·bytes/NV) · correction(bytes; t)`, s.
    pub(super) fn seconds(&self, bytes: f64) -> f64 {
        let base = |bytes: f64| REDUCE_BASE_S + self.byte_s * bytes;
        match self.tabled {
            Some(line) => {
                let inside = line.inside(bytes);
                line.at(inside) * base(bytes.max(inside)) / base(inside)
            }
            None => base(bytes) * self.correction.at(bytes.max(1.0).log2()),
        }
    }
}

/// `launches·3 µs + bytes/(0.8·BW)`, s, of element-wise kernels.
pub(super) fn elementwise_s(gpu: &Gpu, launches: f64, bytes: f64) -> f64 {
    launches * ELEMENTWISE_LAUNCH_S + bytes / (gpu.hbm_bytes_per_s * ELEMENTWISE_MEMORY)
}
