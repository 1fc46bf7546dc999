//! Turns the load of one forward pass into its time: a roofline per operator, corrected by what was measured of its kernels.
//!
//! In: a [`Deployment`]; then a [`StepLoad`]. Out: seconds.
//! Per layer: the GEMMs around attention, attention, two add-norms, the feed-forward layer or router and experts, the
//! all-reduces; once: embedding and logits. The formulas are in `operators.rs`, what they are corrected by in
//! `kernels.rs`; METHODOLOGY.md has the table of errors.
//! Not here: host time, scheduling, sampling, HTTP.

use super::aic::Spoken;
use super::backend::Backend;
use super::deployment::{Deployment, Layout};
use super::gpu::Gpu;
use super::kernels;
use super::model::ModelShape;
use super::operators::{
    ACTIVATION_BYTES, AllReduce, ContextAttention, ExpertGemms, Gemm, GenerationAttention, Heads, LatentGeneration,
    Source, elementwise_s,
};
use super::precision::Format;
use crate::error::{Error, Result};

/// The tensor-parallel sizes that all-reduces were measured for.
pub const TP_SIZES: [u32; 4] = [1, 2, 4, 8];
/// Launches of element-wise kernels beside a prompt's attention: rotary embedding and the writing of the cache.
const CONTEXT_LAUNCHES: f64 = 4.4;
/// The same where queries and keys are normalised. Both as aiconfigurator assumes them.
const CONTEXT_LAUNCHES_NORMED: f64 = 13.2;

/// What one forward pass has to do. Prefill and decode may share a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepLoad {
    prefill_tokens: f64,
    /// Σ (b² − a²) over the chunks, where a chunk takes its sequence from `a` to `b` tokens.
    prefill_squares: f64,
    prefill_chunks: f64,
    decode_sequences: f64,
    decode_context_tokens: f64,
}

impl StepLoad {
    /// A pass that prefills `batch` whole prompts of `tokens` each.
    pub fn prefill(batch: u32, tokens: u32) -> StepLoad {
        let (batch, tokens) = (f64::from(batch), f64::from(tokens));
        let squares = batch * tokens * tokens;
        StepLoad {
            prefill_tokens: batch * tokens,
            prefill_squares: squares,
            prefill_chunks: batch,
            ..StepLoad::default()
        }
    }

    /// A pass that gives each of `batch` sequences, of `context` tokens each, one more token.
    pub fn decode(batch: u32, context: u32) -> StepLoad {
        let batch = f64::from(batch);
        StepLoad { decode_sequences: batch, decode_context_tokens: batch * f64::from(context), ..StepLoad::default() }
    }

    /// Adds a chunk of `new_tokens` of a prompt whose first `past_tokens` are already in the cache.
    pub fn add_prefill(&mut self, past_tokens: u32, new_tokens: u32) {
        let (a, b) = (f64::from(past_tokens), f64::from(past_tokens) + f64::from(new_tokens));
        self.prefill_tokens += b - a;
        self.prefill_squares += b * b - a * a;
        self.prefill_chunks += 1.0;
    }

    /// How many chunks of prompts there are, and where they begin and end in the mean, as if all were alike; `None` without one.
    pub fn mean_chunk(&self) -> Option<(f64, f64, f64)> {
        if self.prefill_chunks <= 0.0 || self.prefill_tokens <= 0.0 {
            return None;
        }
        // b − a, and (b² − a²) / (b − a) = a + b.
        let (length, ends) = (self.prefill_tokens / self.prefill_chunks, self.prefill_squares / self.prefill_tokens);
        Some((self.prefill_chunks, (ends - length) / 2.0, f64::midpoint(ends, length)))
    }

    /// How many sequences get a next token, and their tokens in the cache together.
    pub fn decoding(&self) -> (f64, f64) {
        (self.decode_sequences, self.decode_context_tokens)
    }

    /// Adds one sequence of `context_tokens` that gets its next token.
    pub fn add_decode(&mut self, context_tokens: u32) {
        self.decode_sequences += 1.0;
        self.decode_context_tokens += f64::from(context_tokens);
    }
}

/// The products around attention.
#[expect(clippy::large_enum_variant, reason = "one per deployment, and a box would cost it being Copy")]
#[derive(Clone, Copy, Debug)]
enum Projections {
    Grouped { in_: Gemm, out: Gemm },
    Latent { down: Gemm, queries: Gemm, keys_values: Gemm, out: Gemm },
}

/// Attention to the cache, where it grows with the context.
#[expect(clippy::large_enum_variant, reason = "one per deployment, and a box would cost it being Copy")]
#[derive(Clone, Copy, Debug)]
enum Generation {
    /// With a window, the second is that of the layers that have it.
    Grouped(GenerationAttention, Option<GenerationAttention>),
    Latent(LatentGeneration),
}

/// A gated feed-forward layer.
#[derive(Clone, Copy, Debug)]
struct FeedForward {
    up: Gemm,
    down: Gemm,
    width: f64,
}

impl FeedForward {
    fn new(source: Source, format: Format, hidden: f64, width: f64) -> Option<FeedForward> {
        let (up, down) = (Gemm::new(source, format, 2.0 * width, hidden)?, Gemm::new(source, format, hidden, width)?);
        Some(FeedForward { up, down, width })
    }

    fn seconds(&self, gpu: &Gpu, rows: f64) -> f64 {
        // The activation reads two halves and writes one.
        let activation = elementwise_s(gpu, 1.0, 3.0 * ACTIVATION_BYTES * self.width * rows);
        self.up.seconds(rows) + self.down.seconds(rows) + activation
    }
}

/// The router and the experts behind it.
#[derive(Clone, Copy, Debug)]
struct Routed {
    router: Gemm,
    experts: ExpertGemms,
    shared: Option<FeedForward>,
    /// Gathers what the attention ranks have, and sums up what the experts made of it.
    exchange: Option<AllReduce>,
}

/// The time of forward passes of one deployment.
#[derive(Clone, Copy, Debug)]
pub struct CostModel {
    gpu: &'static Gpu,
    backend: Backend,
    hidden: f64,
    layers: f64,
    growing_layers: f64,
    expert_layers: f64,
    attention_ranks: f64,
    projections: Projections,
    context: ContextAttention,
    context_window: Option<ContextAttention>,
    context_launches: f64,
    generation: Generation,
    dense: Option<FeedForward>,
    routed: Option<Routed>,
    reduce: Option<AllReduce>,
    logits: Gemm,
    prefill_factor: f64,
}

impl CostModel {
    /// The cost model of a deployment of the published weights by tensor parallelism alone.
    ///
    /// # Errors
    /// As [`CostModel::of`].
    pub fn new(model: &ModelShape, gpu: &'static Gpu, backend: Backend, tp: u32) -> Result<CostModel> {
        let layout = Layout::tensor(tp);
        CostModel::of(&Deployment { model, gpu, backend, precision: model.precision, layout })
    }

    /// The cost model of a deployment.
    ///
    /// # Errors
    /// [`Error::Usage`] where the layout cannot be predicted for the model, or where the GPU cannot run the precision.
    pub fn of(deployment: &Deployment) -> Result<CostModel> {
        check(deployment)?;
        let Deployment { model, gpu, backend, .. } = *deployment;
        kernels::of(gpu)
            .and_then(|kernels| CostModel::assemble(deployment, Source { kernels, gpu, backend }))
            .ok_or_else(|| {
                let (model, backend, gpu) = (model.names[0], backend.as_str(), gpu.name);
                Error::Usage(format!(
                    "{model} needs kernels that were measured neither with {backend} nor any other on {gpu}"
                ))
            })
    }

    fn assemble(deployment: &Deployment, source: Source) -> Option<CostModel> {
        let Deployment { model: m, gpu, backend, precision, layout } = *deployment;
        let (tp, hidden, heads) = (f64::from(layout.tp), f64::from(m.hidden), f64::from(m.heads / layout.tp));
        let gemm = |n: f64, k: f64| Gemm::new(source, precision.dense, n, k);
        let (projections, context, context_window, generation) = if let Some(l) = &m.latent {
            let f = f64::from;
            let projections = Projections::Latent {
                down: gemm(f(l.q_rank + l.kv_rank + l.rope), hidden)?,
                queries: gemm(heads * f(l.nope + l.rope), f(l.q_rank))?,
                keys_values: gemm(heads * f(l.nope + l.value), f(l.kv_rank))?,
                out: gemm(hidden, heads * f(l.value))?,
            };
            let generation = Generation::Latent(LatentGeneration::new(source, l, heads, precision.kv_bytes)?);
            (projections, ContextAttention::latent(source, heads)?, None, generation)
        } else {
            let kv = f64::from((m.kv_heads / layout.tp).max(1));
            let heads = Heads { query: heads, kv, width: f64::from(m.head_dim) };
            let projections = Projections::Grouped {
                in_: gemm((heads.query + 2.0 * kv) * heads.width, hidden)?,
                out: gemm(hidden, heads.query * heads.width)?,
            };
            // vLLM multiplies in BF16 whatever the cache is kept in; the others in FP8 where the cache is.
            let fp8 = precision.kv_bytes == 1 && backend != Backend::Vllm && gpu.fp8_flops > 0.0;
            let context = |window| ContextAttention::grouped(source, heads, window, fp8);
            let generation = |window| GenerationAttention::new(source, heads, window, precision.kv_bytes);
            let windowed = (m.window > 0).then_some(m.window);
            let (context_window, generation_window) = match windowed {
                Some(w) => (Some(context(w)?), Some(generation(w)?)),
                None => (None, None),
            };
            (projections, context(0)?, context_window, Generation::Grouped(generation(0)?, generation_window))
        };
        let dense = (m.expert_layers() < m.layers)
            .then(|| FeedForward::new(source, precision.dense, hidden, f64::from(m.intermediate) / tp));
        let routed = m.experts.map(|e| {
            let shared =
                (e.shared > 0).then(|| FeedForward::new(source, precision.dense, hidden, f64::from(e.shared) / tp));
            let experts = ExpertGemms::new(source, precision.experts, hidden, &e, (layout.moe_tp, layout.moe_ep))?;
            Some(Routed {
                router: Gemm::new(source, Format::Bf16, f64::from(e.count), hidden)?,
                experts,
                shared: shared.map_or(Some(None), |s| s.map(Some))?,
                exchange: AllReduce::new(source, layout.tp * layout.dp),
            })
        });
        Some(CostModel {
            gpu,
            backend,
            hidden,
            layers: f64::from(m.layers),
            growing_layers: f64::from(m.layers - m.linear_layers.min(m.layers)),
            expert_layers: f64::from(m.expert_layers()),
            attention_ranks: f64::from(layout.dp),
            projections,
            context,
            context_window,
            context_launches: if m.qk_norm { CONTEXT_LAUNCHES_NORMED } else { CONTEXT_LAUNCHES },
            generation,
            dense: dense.map_or(Some(None), |d| d.map(Some))?,
            routed: routed.map_or(Some(None), |r| r.map(Some))?,
            reduce: AllReduce::new(source, layout.tp),
            logits: Gemm::new(source, Format::Bf16, f64::from(m.vocab) / tp, hidden)?,
            prefill_factor: 1.0,
        })
    }

    /// The same, where prompts take `factor` times as long as the kernels alone: a calibration's. In a shared pass it counts by
    /// the share of rows that are of prompts.
    #[must_use]
    pub fn with_prefill_factor(self, factor: f64) -> CostModel {
        CostModel { prefill_factor: factor, ..self }
    }

    /// The serving engine that it is the cost of.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Layers of the model.
    pub fn layers(&self) -> f64 {
        self.layers
    }

    /// Whether measured tables speak for its operators, or the constants of this program.
    pub fn spoken_by(&self, spoken: &mut Spoken) {
        match &self.projections {
            Projections::Grouped { in_, .. } => spoken.add("GEMMs", in_.is_tabled()),
            Projections::Latent { down, .. } => spoken.add("GEMMs", down.is_tabled()),
        }
        spoken.add("attention of prompts", self.context.is_tabled());
        spoken.add(
            "attention of answers",
            match &self.generation {
                Generation::Grouped(all, None) => all.is_tabled(),
                Generation::Grouped(all, Some(window)) => all.is_tabled() && window.is_tabled(),
                Generation::Latent(_) => false,
            },
        );
        if let Some(reduce) = &self.reduce {
            spoken.add("all-reduces", reduce.is_tabled());
        }
        if self.routed.is_some() {
            spoken.add("experts", false);
        }
    }

    /// Seconds of one forward pass; 0 for an empty load.
    pub fn step_s(&self, load: &StepLoad) -> f64 {
        let total_rows = load.prefill_tokens + load.decode_sequences;
        if total_rows == 0.0 {
            return 0.0;
        }
        // With data-parallel attention each rank has its share of the requests.
        let rows = total_rows / self.attention_ranks;
        let message = ACTIVATION_BYTES * self.hidden * rows;
        let reduce_s = self.reduce.as_ref().map_or(0.0, |r| r.seconds(message));
        // An add-norm reads input and residual and writes both.
        let norms = elementwise_s(self.gpu, 2.0, 8.0 * ACTIVATION_BYTES * self.hidden * rows);
        let every = self.projections_s(load, rows) + norms;
        let attention = self.context_attention_s(load) + self.generation_attention_s(load);
        let dense = self.dense.as_ref().map_or(0.0, |d| d.seconds(self.gpu, rows) + 2.0 * reduce_s);
        let routed = self.routed.as_ref().map_or(0.0, |r| self.routed_s(r, rows, total_rows) + reduce_s);
        let heads = (load.prefill_chunks + load.decode_sequences) / self.attention_ranks;
        let embedding = elementwise_s(self.gpu, 1.0, 2.0 * message) + reduce_s;
        let pass = self.layers * every
            + self.growing_layers * attention
            + (self.layers - self.expert_layers) * dense
            + self.expert_layers * routed
            + self.logits.seconds(heads)
            + embedding;
        pass * (1.0 + (self.prefill_factor - 1.0) * load.prefill_tokens / total_rows)
    }

    fn projections_s(&self, load: &StepLoad, rows: f64) -> f64 {
        match &self.projections {
            Projections::Grouped { in_, out } => in_.seconds(rows) + out.seconds(rows),
            Projections::Latent { down, queries, keys_values, out } => {
                let prefilled = load.prefill_tokens / self.attention_ranks;
                let unfolded = if prefilled > 0.0 { keys_values.seconds(prefilled) } else { 0.0 };
                down.seconds(rows) + queries.seconds(rows) + unfolded + out.seconds(rows)
            }
        }
    }

    fn routed_s(&self, routed: &Routed, rows: f64, total_rows: f64) -> f64 {
        // Experts see the tokens of all attention ranks.
        let exchange = routed.exchange.as_ref().map_or(0.0, |e| e.seconds(ACTIVATION_BYTES * self.hidden * total_rows));
        let shared = routed.shared.as_ref().map_or(0.0, |s| s.seconds(self.gpu, rows));
        routed.router.seconds(rows) + routed.experts.seconds(total_rows) + shared + exchange
    }

    fn context_attention_s(&self, load: &StepLoad) -> f64 {
        if load.prefill_tokens == 0.0 {
            return 0.0;
        }
        let share = |x: f64| x / self.attention_ranks;
        let (tokens, squares) = (share(load.prefill_tokens), share(load.prefill_squares));
        let chunks = share(load.prefill_chunks).max(1.0);
        let whole = self.context.seconds(tokens, squares, chunks);
        let all = self.context_window.map_or(whole, |w| f64::midpoint(whole, w.seconds(tokens, squares, chunks)));
        all + elementwise_s(self.gpu, self.context_launches, 0.0)
    }

    fn generation_attention_s(&self, load: &StepLoad) -> f64 {
        if load.decode_sequences == 0.0 {
            return 0.0;
        }
        let context = load.decode_context_tokens / load.decode_sequences;
        let sequences = load.decode_sequences / self.attention_ranks;
        match &self.generation {
            Generation::Latent(latent) => latent.seconds(sequences, context),
            Generation::Grouped(all, None) => all.seconds(sequences, context),
            Generation::Grouped(all, Some(window)) => {
                f64::midpoint(all.seconds(sequences, context), window.seconds(sequences, context))
            }
        }
    }
}

/// Whether a deployment is one that can be predicted.
fn check(deployment: &Deployment) -> Result<()> {
    let Deployment { model, gpu, precision, layout, .. } = *deployment;
    let (name, heads, tp) = (model.names[0], model.heads, layout.tp);
    let refuse = |why: String| Err(Error::Usage(why));
    if !TP_SIZES.contains(&tp) || !heads.is_multiple_of(tp) {
        return refuse(format!(
            "tensor-parallel size {tp} cannot be predicted for {name} ({heads} heads); use 1, 2, 4 or 8"
        ));
    }
    if layout.pp != 1 {
        return refuse(format!("{} pipeline stages cannot be predicted; use 1", layout.pp));
    }
    if layout.dp == 0 || model.experts.is_none() && layout.dp > 1 {
        return refuse(format!("{name} has no experts: predict one of {} replicas", layout.dp));
    }
    if let Some(experts) = model.experts {
        let (moe, attention) = (layout.moe_tp * layout.moe_ep, tp * layout.dp);
        if moe != attention {
            return refuse(format!(
                "the experts of {name} lie on {moe} GPUs and its attention on {attention}; make them equal"
            ));
        }
        if layout.moe_ep > experts.count {
            return refuse(format!("{} experts of {name} cannot be spread over {} GPUs", experts.count, layout.moe_ep));
        }
    }
    for format in [precision.dense, precision.experts] {
        if !format.runs_on(gpu) {
            return refuse(format!("{} has no arithmetic for {}", gpu.name, format.as_str()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
