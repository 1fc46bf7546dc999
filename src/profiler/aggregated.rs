//! Predicts TTFT and TPOT of an engine that prefills and decodes in the same passes, in a closed loop.
//!
//! In: a [`Deployment`]; then an [`AggregatedLoad`]. Out: a [`Prediction`] of stage [`Stage::Aggregated`].
//! A mean-field schedule: while a sequence gets its `o` tokens, each of the other `C − 1` has one prompt prefilled, in passes
//! that decode too. What an engine adds to its passes is a handful of constants per backend, the [`Law`] (`data/aggregated.csv`).
//! Not here: HTTP, router and network of a deployment; percentiles and bursts, which need the simulation.

use std::sync::OnceLock;

use super::backend::Backend;
use super::cost::{CostModel, StepLoad};
use super::deployment::Deployment;
use super::gpu::Gpu;
use super::memory;
use super::prediction::{Band, Prediction, Stage};
use crate::error::{Error, Result};

/// A closed loop: `concurrency` clients that each send the next request when the last one is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregatedLoad {
    /// Prompt tokens.
    pub isl: u32,
    /// Answer tokens.
    pub osl: u32,
    /// Requests under way at any time, on one replica.
    pub concurrency: u32,
    /// How the lengths of requests were drawn.
    pub lengths: Lengths,
}

/// How the lengths of a benchmark's requests lie around those that it states. Requests that are all alike, and begin together, end
/// together and meet again in the queue; others drift apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lengths {
    /// Not known.
    #[default]
    Any,
    /// Between 80 and 100 % of what is stated, as InferenceX's client draws them.
    Drawn,
    /// All as stated.
    Alike,
}

impl Lengths {
    const ALL: [Lengths; 3] = [Lengths::Any, Lengths::Drawn, Lengths::Alike];

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Lengths::Any => "any",
            Lengths::Drawn => "drawn",
            Lengths::Alike => "alike",
        }
    }
}

/// What the law makes a time of; all in seconds but the first three.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Requests under way.
    pub clients: f64,
    /// Those of them that have room in the cache.
    pub running: f64,
    /// Answer tokens.
    pub osl: f64,
    /// A pass in which all that run get a token.
    pub decode_s: f64,
    /// What one prompt adds to a full pass.
    pub prompt_s: f64,
    /// A pass with the own prompt, behind the rest of a decode pass.
    pub own_s: f64,
}

/// Tokens of one forward pass, prompts and answers together, at most: the engines' usual default.
const MAX_BATCHED_TOKENS: u32 = 8192;
/// Prompts that arrive together at most where a round of answers ends at the same time.
const COHORT: f64 = 8.0;
/// Requests of a run that wait for room in the cache: all but the first round.
const WAITING_SHARE: f64 = 0.9;

/// What a backend adds to its passes; named as in METHODOLOGY.md.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Constants {
    /// Time of a decode pass beside the predicted one.
    pass: f64,
    /// Host time of a pass, s.
    host_s: f64,
    /// Host time of a pass for each sequence, s.
    sequence_s: f64,
    /// Time of the prompts in a pass beside the predicted one.
    prompts: f64,
    /// TTFT: time of the own prompt's pass beside the predicted one.
    own: f64,
    /// TTFT: host time of a request, s.
    request_s: f64,
    /// TTFT: share of all other prompts that are in front.
    queue: f64,
    /// TTFT: share of a cohort's prompts that are in front.
    cohort: f64,
    tpot: Band,
    ttft: Band,
}

/// A deployment whose closed loop can be predicted.
#[derive(Clone, Copy, Debug)]
pub struct Aggregated {
    cost: CostModel,
    backend: Backend,
    kv_tokens: f64,
    /// By [`Lengths`].
    constants: [Constants; 3],
}

impl Aggregated {
    /// The closed loop of a deployment.
    ///
    /// # Errors
    /// [`Error::Usage`] where its passes cannot be predicted ([`CostModel::of`]) or its weights do not fit.
    pub fn new(deployment: &Deployment) -> Result<Aggregated> {
        Aggregated::by(Law::built_in(), deployment)
    }

    /// The same by constants of another fit.
    ///
    /// # Errors
    /// Those of [`Aggregated::new`], and [`Error::Usage`] where the law has no constants for it.
    pub fn by(law: &Law, deployment: &Deployment) -> Result<Aggregated> {
        let Deployment { model, gpu, backend, layout, .. } = *deployment;
        let cost = CostModel::of(deployment)?;
        let kv_tokens = memory::kv_tokens_of(deployment).ok_or_else(|| {
            Error::Usage(format!("the weights of {} do not fit on {} x {}", model.names[0], layout.gpus(), gpu.name))
        })?;
        let [any, drawn, alike] =
            Lengths::ALL.map(|lengths| law.lookup(backend, gpu, model.experts.is_some(), lengths));
        let constants = [any?, drawn?, alike?];
        Ok(Aggregated { cost, backend, kv_tokens: kv_tokens as f64, constants })
    }

    /// Mean TTFT and TPOT of a closed loop.
    pub fn predict(&self, load: AggregatedLoad) -> Prediction {
        let c = &self.constants[load.lengths as usize];
        let Terms { clients, running, osl, decode_s, prompt_s, own_s } = self.terms(load);
        let tpot_s = c.pass * decode_s + c.host_s + c.sequence_s * running + c.prompts * running / osl * prompt_s;
        let others = running - 1.0;
        let in_front = c.queue * others + c.cohort * others.min(COHORT) / 2.0;
        let served_s = c.own * own_s + c.request_s + in_front * prompt_s;
        // Who finds no room waits for a request to end.
        let wait_s = WAITING_SHARE * (clients / running - 1.0) * (served_s + osl * tpot_s);
        Prediction {
            stage: Stage::Aggregated,
            ttft_ms: (served_s + wait_s) * 1e3,
            tpot_ms: tpot_s * 1e3,
            ttft_band: c.ttft,
            tpot_band: c.tpot,
        }
    }

    /// What the law makes its times of.
    pub fn terms(&self, load: AggregatedLoad) -> Terms {
        let (isl, osl, clients) = (f64::from(load.isl), f64::from(load.osl.max(1)), f64::from(load.concurrency.max(1)));
        // TensorRT-LLM keeps room for the whole answer, the others for what there is of it.
        let kept = if self.backend == Backend::TrtLlm { osl } else { osl / 2.0 };
        let running = clients.min((self.kv_tokens / (isl + kept)).max(1.0));
        let decoding = StepLoad::decode(running.round() as u32, load.isl + load.osl / 2);
        let decode_s = self.cost.step_s(&decoding);
        let with = |prompts: u32, base: StepLoad| {
            let mut pass = base;
            (0..prompts).for_each(|_| pass.add_prefill(0, load.isl));
            self.cost.step_s(&pass)
        };
        // A prompt's share of a full pass beside the decoding.
        let together = (MAX_BATCHED_TOKENS / load.isl.max(1)).clamp(1, running.round() as u32);
        let alone_s = with(1, StepLoad::default());
        let prompt_s = match self.backend {
            // SGLang prefills in passes of their own.
            Backend::SgLang => alone_s,
            _ => (with(together, decoding) - decode_s) / f64::from(together),
        };
        Terms { clients, running, osl, decode_s, prompt_s, own_s: with(1, decoding) + decode_s / 2.0 }
    }
}

/// A row of `data/aggregated.csv`: what it is for, and its constants.
#[derive(Debug)]
struct Row {
    backend: Backend,
    generation: Generation,
    experts: bool,
    lengths: Lengths,
    constants: Constants,
}

/// The constants of all engines.
#[derive(Debug)]
pub struct Law(Vec<Row>);

/// GPUs that a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Up to Hopper.
    Hopper,
    /// From Blackwell on.
    Blackwell,
}

impl Generation {
    /// That of a GPU.
    pub fn of(gpu: &Gpu) -> Generation {
        if gpu.fp4_flops > 0.0 { Generation::Blackwell } else { Generation::Hopper }
    }

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Generation::Hopper => "hopper",
            Generation::Blackwell => "blackwell",
        }
    }
}

impl Law {
    /// That of the tree.
    pub fn built_in() -> &'static Law {
        static LAW: OnceLock<Law> = OnceLock::new();
        // A file of this tree that does not parse is a broken build; the unit tests read it.
        LAW.get_or_init(|| Law::parse(include_str!("data/aggregated.csv")).unwrap_or_else(|why| panic!("{why}")))
    }

    /// Reads a data file: `#` comments, a header, and rows of `backend,generation,model,lengths` and twelve numbers.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(text: &str) -> std::result::Result<Law, String> {
        parse(text).map(Law)
    }

    /// The constants of an engine; those of any lengths where there are none of these.
    fn lookup(&self, backend: Backend, gpu: &Gpu, experts: bool, lengths: Lengths) -> Result<Constants> {
        let generation = Generation::of(gpu);
        let of = |r: &&Row| (r.backend, r.generation, r.experts) == (backend, generation, experts);
        let with = |lengths: Lengths| self.0.iter().filter(of).find(move |r| r.lengths == lengths);
        let row = with(lengths).or_else(|| with(Lengths::Any));
        let kind = if experts { "experts" } else { "dense" };
        row.map(|r| r.constants).ok_or_else(|| {
            Error::Usage(format!("no constants of {} on {}, {kind}", backend.as_str(), generation.as_str()))
        })
    }
}

fn parse(text: &str) -> std::result::Result<Vec<Row>, String> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.starts_with('#')).skip(1);
    lines
        .map(|(line, number)| {
            let wrong = |what: &str| format!("aggregated.csv: line {number}: {what}");
            let cells: Vec<&str> = line.split(',').collect();
            let [backend, generation, model, lengths, numbers @ ..] = &cells[..] else {
                return Err(wrong("too few cells"));
            };
            let numbers: Vec<f64> = numbers
                .iter()
                .map(|n| n.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("not a number"))?;
            let &[pass, host_ms, sequence_us, prompts, own, request_ms, queue, cohort, a, b, c, d] = &numbers[..]
            else {
                return Err(wrong("not 12 numbers"));
            };
            let constants = Constants {
                pass,
                host_s: host_ms * 1e-3,
                sequence_s: sequence_us * 1e-6,
                prompts,
                own,
                request_s: request_ms * 1e-3,
                queue,
                cohort,
                tpot: Band { low: a, high: b },
                ttft: Band { low: c, high: d },
            };
            let generation = match *generation {
                "hopper" => Generation::Hopper,
                "blackwell" => Generation::Blackwell,
                _ => return Err(wrong("unknown generation")),
            };
            let experts = match *model {
                "dense" => false,
                "experts" => true,
                _ => return Err(wrong("unknown kind of model")),
            };
            let lengths = Lengths::ALL.into_iter().find(|l| l.as_str() == *lengths);
            let lengths = lengths.ok_or_else(|| wrong("unknown lengths"))?;
            let backend = Backend::parse(backend).map_err(|_| wrong("unknown backend"))?;
            Ok(Row { backend, generation, experts, lengths, constants })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::deployment::Layout;
    use crate::profiler::gpu::GPUS;
    use crate::profiler::model::MODELS;
    use crate::profiler::precision::Precision;
    use crate::profiler::{gpu, model};

    fn qwen3_32b(backend: Backend, tp: u32) -> Aggregated {
        let (model, gpu) = (model::lookup("Qwen/Qwen3-32B").unwrap(), gpu::lookup("h200_sxm").unwrap());
        let layout = Layout::tensor(tp);
        Aggregated::new(&Deployment { model, gpu, backend, precision: Precision::BF16, layout }).unwrap()
    }

    #[test]
    fn more_clients_wait_longer_and_get_more_done() {
        for backend in Backend::ALL {
            let loop_ = qwen3_32b(backend, 2);
            let at =
                |concurrency| loop_.predict(AggregatedLoad { isl: 2048, osl: 256, concurrency, lengths: Lengths::Any });
            let mut before = at(1);
            for clients in [2, 8, 32, 128, 200] {
                let now = at(clients);
                assert!(before.ttft_ms < now.ttft_ms && before.tpot_ms < now.tpot_ms, "{clients}: {before:?} {now:?}");
                assert!(before.requests_per_s(1, 256) > now.requests_per_s(1, 256));
                before = now;
            }
        }
    }

    #[test]
    fn who_finds_no_room_in_the_cache_waits() {
        let loop_ = qwen3_32b(Backend::TrtLlm, 1);
        let at =
            |concurrency| loop_.predict(AggregatedLoad { isl: 2048, osl: 256, concurrency, lengths: Lengths::Any });
        let (room, none) = (at(100), at(200));
        assert!(none.ttft_ms > 10.0 * room.ttft_ms, "{room:?} {none:?}");
        // No more run at once than have room.
        assert!(none.tpot_ms < 1.3 * room.tpot_ms, "{room:?} {none:?}");
    }

    #[test]
    fn requests_that_are_alike_wait_longer_for_each_other() {
        let loop_ = qwen3_32b(Backend::Vllm, 2);
        let at = |lengths| loop_.predict(AggregatedLoad { isl: 2048, osl: 256, concurrency: 64, lengths });
        let (drawn, any, alike) = (at(Lengths::Drawn), at(Lengths::Any), at(Lengths::Alike));
        assert!(drawn.ttft_ms < any.ttft_ms && any.ttft_ms < alike.ttft_ms, "{drawn:?} {any:?} {alike:?}");
        assert_eq!(drawn.tpot_ms, alike.tpot_ms);
    }

    #[test]
    fn every_backend_has_constants_on_every_gpu_for_every_kind_of_model() {
        for (gpu, backend) in GPUS.iter().flat_map(|g| Backend::ALL.map(|b| (g, b))) {
            for model in &MODELS {
                for lengths in Lengths::ALL {
                    let c = Law::built_in().lookup(backend, gpu, model.experts.is_some(), lengths).unwrap();
                    assert!(c.tpot.low <= 1.1 && c.tpot.high >= 0.9 && c.ttft.low < c.ttft.high, "{c:?}");
                }
            }
        }
    }

    #[test]
    fn a_broken_row_is_named() {
        let error = |row: &str| parse(&format!("header\n{row}")).err().unwrap();
        assert!(error("vllm,hopper,dense,any,1").contains("line 2: not 12 numbers"));
        assert!(error("vllm,volta,dense,any,1,1,1,1,1,1,1,1,1,1,1,1").contains("unknown generation"));
        assert!(error("vllm,hopper,dense,odd,1,1,1,1,1,1,1,1,1,1,1,1").contains("unknown lengths"));
        assert!(error("vllm,hopper,dense,any,1,1,1,1,1,1,1,1,1,1,1,-1").contains("not a number"));
        let law = Law::parse("header\nvllm,hopper,dense,any,1,1,1,1,1,1,1,1,1,1,1,1").unwrap();
        let gpu = gpu::lookup("h200_sxm").unwrap();
        assert!(law.lookup(Backend::Vllm, gpu, false, Lengths::Drawn).is_ok());
        assert!(law.lookup(Backend::Vllm, gpu, true, Lengths::Any).unwrap_err().to_string().contains("experts"));
    }
}
