//! Iterations timed by tables that a profiler measured, in place of a model of the hardware.
//!
//! In: [`MeasuredTimes`]. Out: a [`StepTime`]. At a point of a table an iteration takes what was measured there; between points, a share
//! of both sides; a prompt's chunks add up to its TTFT. METHODOLOGY.md, "The simulated deployment", has the rules.
//! Invariant: no iteration is quicker than the quickest that was measured.

use super::batch::StepTime;
use crate::profiler::cost::StepLoad;
use crate::profiler::results::timing::MeasuredTimes;

/// Points in order of their first number, which are all different.
type Line = Vec<(f64, f64)>;

/// The tables of one engine.
#[derive(Clone, Debug)]
pub struct TableTime {
    /// Seconds to the first token, by tokens of prompt.
    prefill: Line,
    /// For each context length, seconds of a step by tokens in the KV cache.
    decode: Vec<(f64, Line)>,
    /// The quickest step of all: what the weights and the host take, whatever there is to do.
    least_s: f64,
}

impl TableTime {
    /// Tables that interpolate these points, of which there is one of each kind at least.
    pub fn new(times: &MeasuredTimes) -> TableTime {
        let mut decode: Vec<(f64, Line)> = Vec::new();
        let mut points = times.decode.clone();
        points.sort_by(|a, b| a.context_tokens.total_cmp(&b.context_tokens));
        for p in points {
            let point = (p.active_kv_tokens, p.step_s);
            match decode.last_mut() {
                Some((context, line)) if *context == p.context_tokens => line.push(point),
                _ => decode.push((p.context_tokens, vec![point])),
            }
        }
        for (_, line) in &mut decode {
            *line = in_order(std::mem::take(line));
        }
        let least_s = times.decode.iter().map(|p| p.step_s).fold(f64::INFINITY, f64::min);
        TableTime { prefill: in_order(times.prefill.clone()), decode, least_s }
    }

    /// Seconds that a prompt takes from token `from` to token `to`.
    fn prefill_s(&self, from: f64, to: f64) -> f64 {
        // A line through two measured points may cut the axis anywhere.
        let whole = |tokens: f64| if tokens > 0.0 { along(&self.prefill, tokens).max(0.0) } else { 0.0 };
        whole(to) - whole(from)
    }

    /// Seconds of a step of sequences of this context, in the mean, and these tokens in all.
    fn decode_s(&self, active: f64, context: f64) -> f64 {
        let at = |(_, line): &(f64, Line)| {
            // Fewer tokens than were measured are no quicker, and more are no slower than the line goes on.
            let (first, last) = (line[0], line[line.len() - 1]);
            if active > last.0 { along(line, active).max(last.1) } else { along(line, active.max(first.0)) }
        };
        let above = self.decode.partition_point(|(known, _)| *known < context).min(self.decode.len() - 1);
        let below = above.saturating_sub(1);
        let (low, high) = (self.decode[below].0, self.decode[above].0);
        let share = if high > low { ((context - low) / (high - low)).clamp(0.0, 1.0) } else { 1.0 };
        let (from, to) = (at(&self.decode[below]), at(&self.decode[above]));
        from + share * (to - from)
    }
}

impl StepTime for TableTime {
    fn step_s(&mut self, load: &StepLoad) -> f64 {
        let mut beyond_s = 0.0;
        if let Some((chunks, from, to)) = load.mean_chunk() {
            beyond_s += chunks * (self.prefill_s(from, to) - self.least_s).max(0.0);
        }
        let (sequences, context_tokens) = load.decoding();
        if sequences > 0.0 {
            beyond_s += (self.decode_s(context_tokens, context_tokens / sequences) - self.least_s).max(0.0);
        }
        self.least_s + beyond_s
    }
}

/// Points in order, those of one place as their mean.
fn in_order(mut points: Line) -> Line {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let same = points.chunk_by(|a, b| a.0 == b.0);
    same.map(|these| (these[0].0, these.iter().map(|p| p.1).sum::<f64>() / these.len() as f64)).collect()
}

/// The value at `x`, on the line through the two nearest points.
fn along(line: &Line, x: f64) -> f64 {
    if line.len() == 1 {
        return line[0].1;
    }
    let above = line.partition_point(|(known, _)| *known < x).clamp(1, line.len() - 1);
    let ((x0, y0), (x1, y1)) = (line[above - 1], line[above]);
    // From the nearer end, so that a point's own value comes out as it went in.
    if x - x0 < x1 - x { y0 + (y1 - y0) * ((x - x0) / (x1 - x0)) } else { y1 - (y1 - y0) * ((x1 - x) / (x1 - x0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::results::timing::DecodePoint;

    fn tables() -> TableTime {
        let point =
            |(active_kv_tokens, context_tokens, step_s)| DecodePoint { active_kv_tokens, context_tokens, step_s };
        let decode =
            [(1000.0, 1000.0, 0.010), (8000.0, 1000.0, 0.017), (3000.0, 3000.0, 0.012), (9000.0, 3000.0, 0.018)];
        TableTime::new(&MeasuredTimes {
            prefill: vec![(2000.0, 0.110), (1000.0, 0.050), (4000.0, 0.250)],
            decode: decode.into_iter().map(point).collect(),
            ..MeasuredTimes::default()
        })
    }

    #[track_caller]
    fn check(load: &StepLoad, expect_s: f64) {
        let s = tables().step_s(load);
        assert!((s - expect_s).abs() < 1e-12, "{s} instead of {expect_s}");
    }

    #[test]
    fn at_its_points_an_iteration_takes_what_was_measured_and_between_them_a_share_of_both() {
        check(&StepLoad::prefill(1, 1000), 0.050);
        check(&StepLoad::prefill(1, 2000), 0.110);
        check(&StepLoad::prefill(1, 4000), 0.250);
        check(&StepLoad::prefill(1, 1500), 0.080);
        check(&StepLoad::prefill(1, 5000), 0.320);
        check(&StepLoad::decode(1, 1000), 0.010);
        check(&StepLoad::decode(8, 1000), 0.017);
        check(&StepLoad::decode(3, 3000), 0.018);
        check(&StepLoad::decode(4, 1000), 0.013);
        // 2 sequences of 2000: halfway between 0.013 (4000 tokens at 1000) and 0.013 (4000 at 3000).
        check(&StepLoad::decode(2, 2000), 0.013);
        check(&StepLoad::decode(1, 10), 0.010);
        check(&StepLoad::decode(16, 1000), 0.025);
    }

    #[test]
    fn chunks_add_up_to_their_prompt_and_what_shares_an_iteration_shares_its_least_time() {
        let mut chunks = [StepLoad::default(), StepLoad::default()];
        chunks[0].add_prefill(0, 1200);
        chunks[1].add_prefill(1200, 2800);
        let sum: f64 = chunks.iter().map(|chunk| tables().step_s(chunk)).sum();
        assert!((sum - 0.250).abs() < 1e-12, "{sum}");
        let mut mixed = StepLoad::prefill(1, 1000);
        mixed.add_decode(1000);
        check(&mixed, 0.050);
        mixed.add_decode(1000);
        check(&mixed, 0.050 + 0.001);
        check(&StepLoad::prefill(2, 1000), 0.050 + 0.040);
        // A chunk of nearly nothing is still a pass.
        let mut little = StepLoad::default();
        little.add_prefill(1999, 1);
        check(&little, 0.010);
    }
}
