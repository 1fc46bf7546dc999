//! Turns a trace into a verdict on its own promises, for tests, fuzzing and readers of new formats.
//!
//! In: a [`Trace`]. Out: the first broken promise in words.

use super::{FORMATS, OnBadRow, ReadOptions, Trace, parse};

impl Trace {
    /// Checks what the module promises of every trace: order, ranges, dense ids, blocks that fit their prompts.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn check(&self) -> Result<(), String> {
        if self.entries.is_empty() || self.block_size == 0 {
            return Err(format!("{} entries, block size {}", self.entries.len(), self.block_size));
        }
        let timed = self.entries.iter().any(|e| e.arrival_ns.is_some());
        let (mut last_ns, mut next_block, mut next_start, mut next_wait) = (i64::MIN, 0, 0, 0);
        let (mut models, mut kinds) = (0, 0);
        let mut began = vec![false; self.sessions.len()];
        for (index, e) in self.entries.iter().enumerate() {
            let wrong = |what: &str| Err(format!("line {}: {what}", e.line));
            if let Some(at_ns) = e.arrival_ns {
                if at_ns < last_ns.max(0) {
                    return wrong("its time goes back");
                }
                last_ns = at_ns;
            } else if timed && e.waits_len == 0 && e.session.is_none_or(|s| began.get(s as usize) != Some(&true)) {
                return wrong("a first turn has no time");
            }
            match e.session.map(|s| began.get_mut(s as usize)) {
                Some(Some(began)) => *began = true,
                Some(None) => return wrong("its session has no name"),
                None => {}
            }
            if e.input_tokens == 0 && e.content.is_none()
                || e.output_tokens == Some(0)
                || e.delay_ns.is_some_and(|d| d < 0)
            {
                return wrong("a length or a delay is out of range");
            }
            if e.blocks_start != next_start || e.blocks_len > e.input_tokens.div_ceil(self.block_size) {
                return wrong("its blocks do not fit");
            }
            for (id, known, names) in [(e.model, &mut models, &self.models), (e.kind, &mut kinds, &self.kinds)] {
                if id.is_some_and(|id| id > *known || id as usize >= names.len()) {
                    return wrong("its model or its kind has no name, or is not numbered in order");
                }
                *known = (*known).max(id.map_or(0, |id| id + 1));
            }
            if e.waits_start != next_wait || (e.waits_start + e.waits_len) as usize > self.waits.len() {
                return wrong("what it waits for is not there");
            }
            next_wait += e.waits_len;
            if self.waits(e).iter().any(|w| w.entry as usize >= index || w.delay_ns < 0) {
                return wrong("it waits for what comes later");
            }
            next_start += e.blocks_len;
            let Some(blocks) = self.block_ids.get(e.blocks_start as usize..next_start as usize) else {
                return wrong("its blocks are not there");
            };
            for &id in blocks {
                if id > next_block {
                    return wrong("block ids are not dense");
                }
                next_block = next_block.max(id + 1);
            }
        }
        if models as usize != self.models.len() || kinds as usize != self.kinds.len() {
            return Err("models or kinds are left over".into());
        }
        if next_start as usize != self.block_ids.len()
            || next_wait as usize != self.waits.len()
            || next_block != self.unique_blocks
            || began.contains(&false)
        {
            return Err("blocks or sessions are left over, or miscounted".into());
        }
        Ok(())
    }
}

/// The property that fuzzing tries to break: any bytes give an error or a sound trace, and never a panic; rows that are
/// skipped are counted.
///
/// # Panics
/// Where the property is broken.
pub fn fuzz_parse(data: &[u8]) {
    for on_bad_row in [OnBadRow::Fail, OnBadRow::Skip] {
        // Names are given so that any first byte reaches every format's rows.
        for format in FORMATS.iter().map(|f| Some(f.name().to_owned())).chain([None]) {
            let options = ReadOptions { on_bad_row, format, ..Default::default() };
            let mut bytes = data;
            if let Ok(trace) = parse(&mut bytes, "fuzz", &options) {
                assert_eq!(trace.check(), Ok(()));
                assert!(on_bad_row == OnBadRow::Skip || trace.skipped_rows == 0);
            }
        }
    }
}
