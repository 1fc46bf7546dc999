//! Latency tables → what they say of one length and load: linear between neighbours, the value at the end beyond the ends.

use super::tables::{DecodeTable, PrefillTable};

impl PrefillTable {
    /// TTFT of a prompt of `isl` tokens, ms. `None` of an empty table.
    pub fn ttft_ms_at(&self, isl: f64) -> Option<f64> {
        between(self.isl.iter().copied().zip(self.ttft_ms.iter().copied()).collect(), isl)
    }
}

impl DecodeTable {
    /// ITL of `batch` sequences of `context` tokens in the mean, ms: in the contexts on both sides by the share of the KV cache that is in
    /// use, then by the context. `None` of an empty table.
    pub fn itl_ms_at(&self, batch: f64, context: f64) -> Option<f64> {
        let mut contexts = self.context_tokens.clone();
        contexts.sort_by(f64::total_cmp);
        contexts.dedup();
        let usage = batch * context / self.max_kv_tokens;
        let of = |context: f64| {
            let points = (0..self.itl_ms.len()).filter(|i| self.context_tokens[*i] == context);
            between(points.map(|i| (self.kv_usage[i], self.itl_ms[i])).collect(), usage)
        };
        between(contexts.into_iter().filter_map(|c| Some((c, of(c)?))).collect(), context)
    }
}

fn between(mut points: Vec<(f64, f64)>, x: f64) -> Option<f64> {
    points.retain(|p| p.0.is_finite() && p.1.is_finite());
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, last) = (points.first()?, points.last()?);
    if !x.is_finite() {
        return None;
    }
    if x <= first.0 {
        return Some(first.1);
    }
    if x >= last.0 {
        return Some(last.1);
    }
    let at = points.partition_point(|p| p.0 <= x);
    let (a, b) = (points[at - 1], points[at]);
    Some(a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_hit_middles_are_middles_and_ends_hold() {
        let table = PrefillTable { isl: vec![100.0, 300.0], ttft_ms: vec![10.0, 30.0], ..PrefillTable::default() };
        let at = [50.0, 100.0, 200.0, 300.0, 900.0].map(|isl| table.ttft_ms_at(isl).unwrap());
        assert_eq!(at, [10.0, 10.0, 20.0, 30.0, 30.0]);
        assert_eq!((PrefillTable::default().ttft_ms_at(1.0), table.ttft_ms_at(f64::NAN)), (None, None));
        let decode = DecodeTable {
            kv_usage: vec![0.0, 1.0, 0.0, 1.0],
            context_tokens: vec![100.0, 100.0, 200.0, 200.0],
            itl_ms: vec![10.0, 20.0, 30.0, 40.0],
            tokens_per_s_per_gpu: Vec::new(),
            max_kv_tokens: 1000.0,
        };
        // Five sequences of 150 tokens are 75 % of the cache: 17.5 ms at 100 tokens, 37.5 ms at 200.
        assert_eq!(decode.itl_ms_at(5.0, 150.0), Some(27.5));
        assert_eq!(DecodeTable::default().itl_ms_at(1.0, 1.0), None);
    }
}
