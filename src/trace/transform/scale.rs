//! Turns a trace into one with longer or shorter prompts and answers.
//!
//! In: factors. Out: the same requests, their lengths multiplied. Prompts are scaled by scaling the block: a block of 512 tokens
//! at 0.25 becomes one of 128, every prompt keeps its ids, and two prompts that shared k whole blocks share the same k blocks, so
//! that what a prefix cache can hit scales with the lengths. A block has whole tokens, so the factor of a trace with blocks is
//! that of the nearest whole block; a factor that no block comes near is refused.
//! Not here: literal prompts, which stay as they are.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::trace::Trace;

/// The longest prompt and the longest answer that readers accept.
const MAX_TOKENS: f64 = (16 << 20) as f64;
/// How far the factor of whole blocks may be from what was asked for.
const OFF: f64 = 0.05;

/// Factors on the lengths.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scale {
    /// On prompts.
    pub input: f64,
    /// On answers.
    pub output: f64,
}

impl Scale {
    pub(super) fn apply(&self, trace: &mut Trace) -> Result<()> {
        for (flag, factor) in [("--scale-isl", self.input), ("--scale-osl", self.output)] {
            if !(1e-3..=1e3).contains(&factor) {
                return Err(Error::Usage(format!("{flag} must be a number from 0.001 to 1000")));
            }
        }
        if self.input != 1.0 {
            scale_inputs(trace, self.input)?;
        }
        if self.output != 1.0 {
            let mut count = 0_u64;
            for tokens in trace.entries.iter_mut().filter_map(|e| e.output_tokens.as_mut()) {
                *tokens = scaled(*tokens, self.output, "--scale-osl")?;
                count += 1;
            }
            trace.notes.push(format!("scale-osl {}: {count} answers", self.output));
        }
        Ok(())
    }
}

fn scale_inputs(trace: &mut Trace, asked: f64) -> Result<()> {
    let old = trace.block_size;
    let mut note = format!("scale-isl {asked}");
    let factor = if trace.block_ids.is_empty() {
        asked
    } else {
        trace.block_size = whole_block(old, asked)?;
        note += &format!(": blocks of {old} tokens are now of {}", trace.block_size);
        f64::from(trace.block_size) / f64::from(old)
    };
    if factor != asked {
        note += &format!(", a factor of {factor:.4}");
    }
    let (mut before, mut after, mut literal) = (0, 0, 0_u64);
    for entry in &mut trace.entries {
        if entry.content.is_some() {
            // Its ids speak of blocks of the old size; its text says itself what it shares.
            entry.blocks_len = 0;
            literal += 1;
            continue;
        }
        before += u64::from(entry.input_tokens);
        entry.input_tokens = match trace.block_ids.is_empty() {
            true => scaled(entry.input_tokens, factor, "--scale-isl")?,
            false => {
                // Whole blocks stay whole, and a partial last block partial.
                let (whole, tail) = (entry.input_tokens / old, entry.input_tokens % old);
                let tail = if tail == 0 { 0 } else { scaled(tail, factor, "--scale-isl")? };
                let tokens = u64::from(whole) * u64::from(trace.block_size) + u64::from(tail);
                within_bounds(tokens as f64, "--scale-isl")?
            }
        };
        after += u64::from(entry.input_tokens);
    }
    note += &format!("; {before} prompt tokens are now {after}");
    if literal > 0 {
        note += &format!("; {literal} literal prompts stay as they are");
        trace.renumber();
    }
    trace.notes.push(note);
    Ok(())
}

/// The block that is nearest to `factor` times the old one.
fn whole_block(old: u32, factor: f64) -> Result<u32> {
    let exact = f64::from(old) * factor;
    let new = exact.round().max(1.0);
    if (new / exact - 1.0).abs() > OFF {
        let (below, above) = (exact.floor(), exact.floor() + 1.0);
        let lower = if below >= 1.0 { format!("{} or ", below / f64::from(old)) } else { String::new() };
        return Err(Error::Usage(format!(
            "--scale-isl {factor} would make blocks of {exact} tokens out of the trace's {old}; use {lower}{}",
            above / f64::from(old)
        )));
    }
    within_bounds(new, "--scale-isl")
}

fn scaled(tokens: u32, factor: f64, flag: &str) -> Result<u32> {
    within_bounds((f64::from(tokens) * factor).round().max(1.0), flag)
}

fn within_bounds(tokens: f64, flag: &str) -> Result<u32> {
    if tokens > MAX_TOKENS {
        return Err(Error::Usage(format!("{flag} makes a length of {tokens:.0} tokens; 16 million are the most")));
    }
    Ok(tokens as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Content;
    use crate::trace::transform::fixture::trace;

    fn by(input: f64, output: f64) -> Result<Trace> {
        let mut trace = trace();
        trace.entries[0].output_tokens = Some(30);
        Scale { input, output }.apply(&mut trace)?;
        trace.check().unwrap();
        Ok(trace)
    }

    fn inputs(trace: &Trace) -> Vec<u32> {
        trace.entries.iter().map(|e| e.input_tokens).collect()
    }

    #[test]
    fn blocks_scale_and_keep_their_ids() {
        let quarter = by(0.25, 1.0).unwrap();
        assert_eq!((quarter.block_size, inputs(&quarter)), (128, vec![150, 150, 10, 150, 10, 3]));
        assert_eq!(quarter.block_ids, trace().block_ids);
        assert_eq!(
            quarter.notes.last().unwrap(),
            "scale-isl 0.25: blocks of 512 tokens are now of 128; 1890 prompt tokens are now 473"
        );
        let third = by(0.3, 1.0).unwrap();
        assert_eq!((third.block_size, third.entries[0].input_tokens), (154, 154 + 26));
        assert!(third.notes.last().unwrap().contains("of 154, a factor of 0.3008; "), "{:?}", third.notes);
        assert_eq!(inputs(&by(3.0, 1.0).unwrap()), [1800, 1800, 120, 1800, 120, 30]);
    }

    #[test]
    fn without_blocks_the_factor_is_exact_and_nothing_becomes_empty() {
        let mut trace = trace();
        trace.entries.iter_mut().for_each(|e| e.blocks_len = 0);
        trace.renumber();
        Scale { input: 0.003, output: 1.0 }.apply(&mut trace).unwrap();
        trace.check().unwrap();
        assert_eq!((trace.block_size, inputs(&trace)), (512, vec![2, 2, 1, 2, 1, 1]));
    }

    #[test]
    fn answers_scale_and_keep_at_least_a_token() {
        assert_eq!(by(1.0, 1.5).unwrap().entries[0].output_tokens, Some(45));
        let short = by(1.0, 0.001).unwrap();
        assert_eq!((short.entries[0].output_tokens, short.entries[1].output_tokens), (Some(1), None));
        assert_eq!(short.notes.last().unwrap(), "scale-osl 0.001: 1 answers");
    }

    #[test]
    fn literal_prompts_stay() {
        let mut trace = trace();
        trace.entries[0].content = Some(Content::Text("as it is".into()));
        Scale { input: 2.0, output: 1.0 }.apply(&mut trace).unwrap();
        trace.check().unwrap();
        assert_eq!((trace.entries[0].input_tokens, trace.entries[1].input_tokens), (600, 1200));
        assert!(trace.notes.last().unwrap().ends_with("; 1 literal prompts stay as they are"), "{:?}", trace.notes);
    }

    #[test]
    fn factors_that_cannot_be_are_refused() {
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-4] {
            assert!(by(factor, 1.0).is_err() && by(1.0, factor).is_err(), "{factor}");
        }
        let refused = by(0.001, 1.0).unwrap_err().to_string();
        assert_eq!(
            refused,
            "--scale-isl 0.001 would make blocks of 0.512 tokens out of the trace's 512; use 0.001953125"
        );
        let mut long = trace();
        long.entries[0].input_tokens = 1 << 20;
        assert!(Scale { input: 17.0, output: 1.0 }.apply(&mut long).unwrap_err().to_string().contains("16 million"));
    }
}
