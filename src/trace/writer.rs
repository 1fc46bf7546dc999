//! Turns a trace into a file of the Mooncake family, which [`super::mooncake`] and other tools read.
//!
//! In: a [`Trace`]. Out: one JSON object per line, times in milliseconds. Invariant: what is written reads back as the same
//! trace, times to the microsecond.

use std::io::{self, Write};

use super::{Content, Trace};

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// Whole milliseconds, the rest cut off: what older tools expect.
    WholeMs,
    /// Milliseconds with up to three decimals: exact to the microsecond.
    DecimalMs,
}

/// Writes the trace.
///
/// # Errors
/// Those of the writer.
pub fn write(trace: &Trace, form: TimeForm, out: &mut dyn Write) -> io::Result<()> {
    for entry in &trace.entries {
        // Keys in Mooncake's order, then the additions.
        let mut separator = "{";
        let mut key = |out: &mut dyn Write, name: &str| {
            let begun = write!(out, "{separator}\"{name}\": ");
            separator = ", ";
            begun
        };
        if let Some(at_ns) = entry.arrival_ns {
            key(out, "timestamp")?;
            write_ms(at_ns, form, out)?;
        }
        if entry.input_tokens > 0 {
            key(out, "input_length")?;
            write!(out, "{}", entry.input_tokens)?;
        }
        if let Some(tokens) = entry.output_tokens {
            key(out, "output_length")?;
            write!(out, "{tokens}")?;
        }
        if entry.blocks_len > 0 {
            key(out, "hash_ids")?;
            for (i, id) in trace.blocks(entry).iter().enumerate() {
                write!(out, "{}{id}", if i == 0 { "[" } else { ", " })?;
            }
            out.write_all(b"]")?;
        }
        if let Some(session) = entry.session {
            key(out, "session_id")?;
            serde_json::to_writer(&mut *out, &trace.sessions[session as usize])?;
        }
        if let Some(delay_ns) = entry.delay_ns {
            key(out, "delay")?;
            write_ms(delay_ns, form, out)?;
        }
        match &entry.content {
            Some(Content::Text(text)) => {
                key(out, "text_input")?;
                serde_json::to_writer(&mut *out, text)?;
            }
            Some(Content::Messages(json)) => {
                key(out, "messages")?;
                out.write_all(json.as_bytes())?;
            }
            None => {}
        }
        out.write_all(b"}\n")?;
    }
    Ok(())
}

fn write_ms(t_ns: i64, form: TimeForm, out: &mut dyn Write) -> io::Result<()> {
    if form == TimeForm::WholeMs {
        return write!(out, "{}", t_ns / 1_000_000);
    }
    let t_us = (t_ns + 500) / 1000;
    match (t_us / 1000, t_us % 1000) {
        (ms, 0) => write!(out, "{ms}"),
        (ms, us) => write!(out, "{ms}.{}", format!("{us:03}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::rng::{Seed, Stream};
    use crate::trace::{Entry, ReadOptions, TimeOrigin, TimeUnit, parse};

    fn random_trace(seed: u64) -> Trace {
        let mut rng = Seed(seed).stream(Stream::Mix);
        let mut trace =
            Trace { block_size: 512, sessions: vec!["a \"b\"\n".into(), "ü".into()], ..Default::default() };
        for line in 1..=rng.random_range(3..60u64) {
            let tokens = rng.random_range(1..5000u32);
            let blocks = if rng.random_bool(0.7) { tokens.div_ceil(512) } else { 0 };
            let start = trace.block_ids.len() as u32;
            trace.block_ids.extend((0..blocks).map(|_| rng.random_range(0..40u32)));
            trace.entries.push(Entry {
                arrival_ns: Some(line as i64 * 777_001_000),
                input_tokens: tokens,
                output_tokens: rng.random_bool(0.8).then(|| rng.random_range(1..900)),
                blocks_start: start,
                blocks_len: blocks,
                session: rng.random_bool(0.5).then(|| rng.random_range(0..2)),
                delay_ns: rng.random_bool(0.2).then(|| rng.random_range(0..9_000_000) * 1000),
                content: rng.random_bool(0.1).then(|| Content::Text("say \"hi\" \\ \u{1f600}\n".into())),
                line,
                ..Entry::default()
            });
        }
        trace.renumber();
        trace
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for seed in 0..200 {
            let trace = random_trace(seed);
            let mut bytes = Vec::new();
            write(&trace, TimeForm::DecimalMs, &mut bytes).unwrap();
            let options = ReadOptions {
                time_unit: TimeUnit::Ms,
                time_origin: TimeOrigin::Zero,
                block_size: Some(512),
                ..Default::default()
            };
            let again = parse(&mut &bytes[..], "t", &options).unwrap();
            again.check().unwrap();
            assert_eq!(again.entries, trace.entries, "seed {seed}");
            assert_eq!((again.block_ids, again.sessions), (trace.block_ids, trace.sessions), "seed {seed}");
        }
    }

    #[test]
    fn times_have_up_to_three_decimals_or_none() {
        let shown = |t_ns, form| {
            let mut out = Vec::new();
            write_ms(t_ns, form, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (t_ns, decimal, whole) in [
            (0, "0", "0"),
            (1_500_000, "1.5", "1"),
            (12_345_678, "12.346", "12"),
            (2_000_040_000, "2000.04", "2000"),
            (999_999_999, "1000", "999"),
        ] {
            assert_eq!(shown(t_ns, TimeForm::DecimalMs), decimal);
            assert_eq!(shown(t_ns, TimeForm::WholeMs), whole);
        }
    }
}
