//! What was measured of kernels: tables per GPU, backend, operator and variant, read from `data/*.csv`.
//!
//! In: the files of this tree. Out: [`Kernels`], of which an operator takes the table that speaks for it.
//! The parser is strict: an unknown word, a wrong number of values or a repeated row fails the first use, and the unit tests.
//! Where the tables come from and how they were fitted stands at the head of each file and in METHODOLOGY.md.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::backend::Backend;
use super::gpu::Gpu;

/// Axes, as base-2 logarithms. Rows of a GEMM.
pub(super) const ROWS: &[f64; 17] =
    &[0.0, 3.0, 4.0, 5.0, 6.0, LOG_96, 7.0, LOG_192, 8.0, LOG_384, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
const LOG_96: f64 = 6.584_962_500_721_156;
const LOG_192: f64 = LOG_96 + 1.0;
const LOG_384: f64 = LOG_96 + 2.0;
/// Columns of a GEMM's result.
pub(super) const COLUMNS: &[f64; 8] = &[7.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 16.0];
/// Length that a GEMM sums over.
pub(super) const DEPTH: &[f64; 6] = &[7.0, 9.0, 11.0, 12.0, 13.0, 15.0];
/// Sequences that get their next token.
pub(super) const SEQUENCES: &[f64; 6] = &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0];
/// Their mean context, tokens.
pub(super) const CONTEXT: &[f64; 5] = &[7.0, 9.0, 11.0, 13.0, 15.0];
/// Key/value heads on one GPU.
pub(super) const KV_HEADS: &[f64; 3] = &[0.0, 1.0, 3.0];
/// Query heads per key/value head.
pub(super) const GROUP: &[f64; 4] = &[0.0, 2.0, 3.0, 4.0];
/// Query heads on one GPU, of latent attention.
pub(super) const LATENT_HEADS: &[f64; 5] = &[0.0, 2.0, 4.0, 6.0, 7.0];
/// Message of an all-reduce, bytes.
pub(super) const MESSAGE: &[f64; 11] = &[10.0, 13.0, 15.0, 17.0, 18.0, 19.0, 20.0, 22.0, 24.0, 26.0, 28.0];
/// Tokens per expert.
pub(super) const EXPERT_TOKENS: &[f64; 9] = &[-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0];
/// Experts of a layer.
pub(super) const EXPERTS: &[f64; 3] = &[5.0, 7.0, 9.0];
/// Hidden size × width of an expert on one GPU.
pub(super) const EXPERT_SIZE: &[f64; 5] = &[18.0, 19.5, 21.0, 22.5, 24.0];
/// Expert-parallel size.
pub(super) const EXPERT_PARALLEL: &[f64; 3] = &[0.0, 2.0, 4.0];

/// An operator whose kernels were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operator {
    Gemm,
    Context,
    Generation,
    Reduce,
    Experts,
    LatentContext,
    LatentGeneration,
}

impl Operator {
    fn parse(name: &str) -> Option<Operator> {
        Some(match name {
            "gemm" => Operator::Gemm,
            "context" => Operator::Context,
            "generation" => Operator::Generation,
            "reduce" => Operator::Reduce,
            "experts" => Operator::Experts,
            "latent_context" => Operator::LatentContext,
            "latent_generation" => Operator::LatentGeneration,
            _ => return None,
        })
    }

    /// How many numbers a row of it has.
    fn values(self, variant: &str) -> usize {
        match self {
            Operator::Gemm => ROWS.len() * COLUMNS.len() * DEPTH.len(),
            Operator::Context | Operator::LatentContext => 5,
            Operator::Generation if variant.ends_with("/128") => SEQUENCES.len() * KV_HEADS.len() * GROUP.len(),
            Operator::Generation => SEQUENCES.len() * CONTEXT.len() * KV_HEADS.len() * GROUP.len(),
            Operator::Reduce => MESSAGE.len(),
            Operator::Experts => EXPERT_TOKENS.len() * EXPERTS.len() * EXPERT_SIZE.len() * EXPERT_PARALLEL.len(),
            Operator::LatentGeneration => SEQUENCES.len() * CONTEXT.len() * LATENT_HEADS.len(),
        }
    }
}

type Key = (Backend, Operator, String);

/// The tables of one GPU.
#[derive(Debug)]
pub(super) struct Kernels {
    tables: HashMap<Key, Vec<f64>>,
}

const FILES: [(&str, &str); 5] = [
    ("a100_sxm", include_str!("data/a100_sxm.csv")),
    ("h100_sxm", include_str!("data/h100_sxm.csv")),
    ("h200_sxm", include_str!("data/h200_sxm.csv")),
    ("b200_sxm", include_str!("data/b200_sxm.csv")),
    ("l40s", include_str!("data/l40s.csv")),
];

/// The tables of the GPU that speaks for `gpu`; `None` where there is none.
pub(super) fn of(gpu: &Gpu) -> Option<&'static Kernels> {
    static ALL: [OnceLock<Kernels>; FILES.len()] = [const { OnceLock::new() }; FILES.len()];
    let index = FILES.iter().position(|(name, _)| *name == gpu.measured_as)?;
    // A file of this tree that does not parse is a broken build; the unit tests read them all.
    Some(ALL[index].get_or_init(|| parse(FILES[index].1).unwrap_or_else(|why| panic!("{}: {why}", FILES[index].0))))
}

/// Reads a data file: `#` comments, a header, and rows `backend,operator,variant,values`.
fn parse(text: &str) -> Result<Kernels, String> {
    let mut tables = HashMap::new();
    let rows = text.lines().zip(1..).filter(|(line, _)| !line.starts_with('#')).skip(1);
    for (line, number) in rows {
        let wrong = |what: &str| format!("line {number}: {what}");
        let cells: Vec<&str> = line.split(',').collect();
        let [backend, operator, variant, values] = cells[..] else { return Err(wrong("not 4 cells")) };
        let backend = Backend::parse(backend).map_err(|_| wrong("unknown backend"))?;
        let operator = Operator::parse(operator).ok_or_else(|| wrong("unknown operator"))?;
        let values: Vec<f64> = values
            .split(' ')
            .map(|v| v.parse().ok().filter(|v: &f64| v.is_finite()))
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("not a number"))?;
        if values.len() != operator.values(variant) {
            return Err(wrong(&format!("{} values for {}", values.len(), operator.values(variant))));
        }
        if tables.insert((backend, operator, variant.to_string()), values).is_some() {
            return Err(wrong("a row for the second time"));
        }
    }
    Ok(Kernels { tables })
}

impl Kernels {
    /// The table of an operator: the first of `variants` that was measured with `backend`, or else with another backend.
    pub(super) fn find<'v>(
        &self,
        backend: Backend,
        operator: Operator,
        variants: &[&'v str],
    ) -> Option<(&'v str, &[f64])> {
        let others = [Backend::TrtLlm, Backend::Vllm, Backend::SgLang];
        std::iter::once(backend).chain(others).find_map(|b| {
            variants
                .iter()
                .find_map(|v| self.tables.get(&(b, operator, (*v).to_string())).map(|values| (*v, values.as_slice())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::gpu::GPUS;

    #[test]
    fn every_gpu_has_gemms_attention_and_reduces_for_every_backend() {
        for gpu in &GPUS {
            let kernels = of(gpu).unwrap_or_else(|| panic!("{}", gpu.name));
            for backend in Backend::ALL {
                for (operator, variant) in
                    [(Operator::Gemm, "bf16"), (Operator::Context, "bf16/128/0"), (Operator::Generation, "bf16/128/0")]
                {
                    let own = kernels.tables.contains_key(&(backend, operator, variant.to_string()));
                    assert!(own, "{} {} {operator:?}", gpu.name, backend.as_str());
                }
            }
        }
    }

    #[test]
    fn a_broken_row_is_named() {
        let head = "# source\nbackend,operator,variant,values\n";
        let error = |row: &str| parse(&format!("{head}{row}")).unwrap_err();
        assert!(error("tgi,reduce,2,1").contains("line 3: unknown backend"));
        assert!(error("vllm,reduce,2,1 2").contains("2 values for 11"));
        assert!(error("vllm,reduce,2,a").contains("not a number"));
        let row = format!("vllm,reduce,2,{}", ["1"; 11].join(" "));
        assert!(error(&format!("{row}\n{row}")).contains("line 4: a row for the second time"));
    }
}
