//! Turns a trace into one whose prompts and answers are not longer than a limit.
//!
//! In: limits in tokens. Out: the trace without the requests whose prompt is longer, and with longer answers cut to the limit, as
//! aiperf's `--synthesis-max-isl` and `--synthesis-max-osl` do: a prompt that is cut is another prompt, and what followed its
//! beginning never happened, but an answer that is cut is what every server does. With a request goes what depends on it: the
//! later turns of its session, which would continue a conversation that was not held, and what waits for it.

use serde::Serialize;

use super::select::select;
use crate::error::{Error, Result};
use crate::trace::Trace;

/// The longest prompt and the longest answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Tokens of prompt; requests that ask for more are left out.
    pub input_tokens_max: Option<u32>,
    /// Tokens of answer; more are not asked for.
    pub output_tokens_max: Option<u32>,
}

impl Limit {
    pub(super) fn apply(&self, trace: &mut Trace) -> Result<()> {
        if self.input_tokens_max == Some(0) || self.output_tokens_max == Some(0) {
            return Err(Error::Usage("--max-isl and --max-osl must be at least 1 token".into()));
        }
        if let Some(most) = self.input_tokens_max {
            limit_inputs(trace, most)?;
        }
        if let Some(most) = self.output_tokens_max {
            let longer = trace.entries.iter_mut().filter_map(|e| e.output_tokens.as_mut()).filter(|o| **o > most);
            let cut = longer.map(|tokens| *tokens = most).count();
            trace.notes.push(format!("max-osl {most}: {cut} longer answers are cut to it"));
        }
        Ok(())
    }
}

fn limit_inputs(trace: &mut Trace, most: u32) -> Result<()> {
    let (all, mut longer) = (trace.entries.len(), 0);
    let unknown = trace.entries.iter().filter(|e| e.input_tokens == 0).count();
    let gone = select(trace, |entry, before| {
        let fits = entry.input_tokens <= most;
        longer += usize::from(!fits);
        fits && before.all_stay
    });
    if gone == all {
        return Err(Error::Usage(format!("--max-isl {most} leaves no request; use a larger number")));
    }
    let mut note = format!("max-isl {most}: {} of {all} requests; {longer} are longer", all - gone);
    if gone > longer {
        note += &format!(", and {} that follow them go with them", gone - longer);
    }
    if unknown > 0 {
        note += &format!("; the lengths of {unknown} literal prompts are not known, and they stay");
    }
    trace.notes.push(note);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::transform::fixture::trace;

    fn limited(isl: Option<u32>, osl: Option<u32>) -> Result<Trace> {
        let mut trace = trace();
        for (entry, output) in trace.entries.iter_mut().zip([10, 20, 30, 40]) {
            entry.output_tokens = Some(output);
        }
        Limit { input_tokens_max: isl, output_tokens_max: osl }.apply(&mut trace)?;
        trace.check().unwrap();
        Ok(trace)
    }

    #[test]
    fn a_longer_prompt_goes_with_what_follows_it() {
        let short = limited(Some(599), None).unwrap();
        assert_eq!(short.entries.iter().map(|e| e.line).collect::<Vec<_>>(), [6]);
        let note = "max-isl 599: 1 of 6 requests; 3 are longer, and 2 that follow them go with them";
        assert_eq!(short.notes.last().unwrap(), note);
        let all = limited(Some(600), None).unwrap();
        assert_eq!(all.notes.last().unwrap(), "max-isl 600: 6 of 6 requests; 0 are longer");
    }

    #[test]
    fn longer_answers_are_cut() {
        let cut = limited(None, Some(25)).unwrap();
        let outputs: Vec<_> = cut.entries.iter().map(|e| e.output_tokens).collect();
        assert_eq!(outputs, [Some(10), Some(20), Some(25), Some(25), None, None]);
        assert_eq!(cut.notes.last().unwrap(), "max-osl 25: 2 longer answers are cut to it");
    }

    #[test]
    fn limits_that_leave_nothing_are_refused() {
        assert!(limited(Some(9), None).unwrap_err().to_string().contains("leaves no request"));
        assert!(limited(Some(0), None).unwrap_err().to_string().contains("at least 1 token"));
        assert!(limited(None, Some(0)).is_err());
    }
}
