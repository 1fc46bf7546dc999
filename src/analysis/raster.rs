//! Stream events of a few requests → when their tokens came, which came together, and where the stream stood still.
//!
//! In: [`Measured`], and the recording once more for those few requests. Out: [`Raster`].
//! The rule: of the completed requests in order of latency, the [`GROUP`] slowest, the [`GROUP`] in the middle, and up to
//! [`SAMPLE_MAX`] at even steps from the fastest to the slowest.
//! Invariants: the size does not depend on the number of requests, nor on that of their events.
//! Not here: drawing.

use std::collections::BTreeMap;

use super::measured::{Measured, Request};
use crate::error::Result;
use crate::record::reader::Rows;
use crate::record::row::TokenRow;

/// Requests of each group.
pub const GROUP: usize = 8;
/// Most requests of the sample.
pub const SAMPLE_MAX: usize = 200;
/// A gap is a stall from this many times the typical gap on.
pub const STALL_FACTOR: f64 = 3.0;
/// Columns in which the time of a request is told.
pub const COLUMNS: usize = 400;
/// Stalls of one request that are kept, the longest.
const STALLS_MAX: usize = 24;

/// What came in a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// A token or more.
    pub any: bool,
    /// A read that brought several events with tokens at once.
    pub coalesced: bool,
}

/// A request's stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The request.
    pub id: u64,
    /// Its `X-Request-Id`.
    pub name: String,
    /// First token − sent.
    pub ttft_ms: f64,
    /// Whole answer − sent.
    pub latency_ms: f64,
    /// Events with tokens.
    pub events: usize,
    /// Of those, how many came together with others.
    pub coalesced: usize,
    /// Gaps above the limit.
    pub stalls: usize,
    /// The longest of them, in order of time: from and to, in milliseconds since sent.
    pub longest: Vec<(f64, f64)>,
    /// [`COLUMNS`] equal parts of the time from sent to the last token of the line's own scale.
    pub columns: Vec<Column>,
    /// How long all columns together are.
    pub span_ms: f64,
}

/// The streams of some requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster {
    /// From this gap on a stream stands still.
    pub stall_ms: f64,
    /// The slowest requests, the slowest first, on one scale with those in the middle.
    pub slowest: Vec<Line>,
    /// Requests in the middle of all by latency, on the same scale.
    pub typical: Vec<Line>,
    /// Requests at even steps of rank, the fastest first, each on a scale of its own.
    pub sample: Vec<Line>,
    /// Those that were asked for, on the scale of the slowest and on their own.
    pub asked: Vec<[Line; 2]>,
    /// Those that were asked for and did not complete, or have no events.
    pub undrawn: Vec<u64>,
    /// Completed requests that they were taken of.
    pub n: usize,
}

/// The raster of a run whose typical gap between tokens is `typical_gap_ms`, with the requests that are `asked` for; `None` where no completed
/// request has events.
///
/// # Errors
/// Whatever the recording's reader reports.
pub fn build(rows: &dyn Rows, measured: &Measured, typical_gap_ms: f64, asked: &[u64]) -> Result<Option<Raster>> {
    let latency = |r: &&Request| Some((r.latency_ms?, r.ttft_ms?));
    let mut ranked: Vec<&Request> = measured.requests.iter().filter(|r| latency(r).is_some()).collect();
    ranked.sort_by(|a, b| {
        let ms = |r: &Request| r.latency_ms.unwrap_or(0.0);
        ms(a).total_cmp(&ms(b)).then(a.id.cmp(&b.id))
    });
    let n = ranked.len();
    let Some(longest_ms) = ranked.last().and_then(|r| r.latency_ms) else { return Ok(None) };
    let slowest = n.saturating_sub(GROUP)..n;
    let from = (n / 2).saturating_sub(GROUP / 2).min(slowest.start.saturating_sub(GROUP));
    let typical = from..(from + GROUP).min(slowest.start);
    let steps = n.min(SAMPLE_MAX);
    let sample: Vec<usize> = (0..steps).map(|i| i * (n - 1) / (steps - 1).max(1)).collect();
    let mut ids: Vec<u64> =
        slowest.clone().chain(typical.clone()).chain(sample.iter().copied()).map(|i| ranked[i].id).collect();
    ids.extend(asked.iter().filter(|id| ranked.iter().any(|r| r.id == **id)));
    ids.sort_unstable();
    ids.dedup();
    let times: BTreeMap<u64, &Request> = ids.iter().zip(wanted(&ranked, &ids)).map(|(id, r)| (*id, r)).collect();
    let stall_ms = STALL_FACTOR * typical_gap_ms;
    // On one scale with the others, and on its own.
    let mut lines: BTreeMap<u64, [Line; 2]> = BTreeMap::new();
    rows.for_some_requests(&ids, &mut |row, events| {
        if let Some(request) = times.get(&row.request_id).filter(|_| events.iter().any(|e| e.kind.is_content())) {
            let own_ms = request.latency_ms.unwrap_or(longest_ms);
            let line = |span_ms| Line { name: row.x_request_id.clone(), ..line(request, events, span_ms, stall_ms) };
            lines.insert(row.request_id, [longest_ms, own_ms].map(line));
        }
    })?;
    let get = |rank: usize, scale: usize| lines.get(&ranked[rank].id).map(|pair| pair[scale].clone());
    let raster = Raster {
        stall_ms,
        slowest: slowest.rev().filter_map(|i| get(i, 0)).collect(),
        typical: typical.rev().filter_map(|i| get(i, 0)).collect(),
        sample: sample.iter().filter_map(|i| get(*i, 1)).collect(),
        asked: asked.iter().filter_map(|id| lines.get(id).cloned()).collect(),
        undrawn: asked.iter().filter(|id| !lines.contains_key(id)).copied().collect(),
        n,
    };
    Ok((!lines.is_empty()).then_some(raster))
}

/// The requests of `ids`, in their order.
fn wanted<'m>(ranked: &[&'m Request], ids: &[u64]) -> Vec<&'m Request> {
    let mut found: Vec<&Request> = ranked.iter().copied().filter(|r| ids.binary_search(&r.id).is_ok()).collect();
    found.sort_by_key(|r| r.id);
    found
}

fn line(request: &Request, events: &[TokenRow], span_ms: f64, stall_ms: f64) -> Line {
    let sent_ns = request.sent_ns.unwrap_or(request.scheduled_ns);
    let at_ms = |e: &TokenRow| e.seen_ns().saturating_sub(sent_ns) as f64 / 1e6;
    // Each with the number of events that are missing before it: across these, a gap is not known.
    let missing = |(i, e): (usize, &TokenRow)| i64::from(e.seq) - i as i64;
    let tokens: Vec<(i64, &TokenRow)> =
        events.iter().enumerate().filter(|(_, e)| e.kind.is_content()).map(|(i, e)| (missing((i, e)), e)).collect();
    let mut line = Line {
        id: request.id,
        name: String::new(),
        ttft_ms: request.ttft_ms.unwrap_or(0.0),
        latency_ms: request.latency_ms.unwrap_or(0.0),
        events: tokens.len(),
        coalesced: 0,
        stalls: 0,
        longest: Vec::new(),
        columns: vec![Column::default(); COLUMNS],
        span_ms,
    };
    for together in tokens.chunk_by(|a, b| a.1.read == b.1.read) {
        let at = (at_ms(together[0].1) / span_ms * COLUMNS as f64).clamp(0.0, (COLUMNS - 1) as f64) as usize;
        line.columns[at].any = true;
        if together.len() > 1 {
            line.columns[at].coalesced = true;
            line.coalesced += together.len();
        }
    }
    for pair in tokens.windows(2) {
        let (from, to) = (at_ms(pair[0].1), at_ms(pair[1].1));
        if to - from > stall_ms && pair[0].0 == pair[1].0 {
            line.stalls += 1;
            line.longest.push((from, to));
            if line.longest.len() > STALLS_MAX {
                let length = |i: &usize| line.longest[*i].1 - line.longest[*i].0;
                let least = (0..line.longest.len()).min_by(|a, b| length(a).total_cmp(&length(b)));
                least.map(|i| line.longest.remove(i));
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{answered, manifest};
    use crate::outcome::EventKind;
    use crate::record::reader::MemoryRows;

    /// A request sent at 0 with a token at each of `at_ms`, those with one `read` together.
    fn streamed(id: u64, at_ms: &[(f64, u32)]) -> (crate::record::row::RequestRow, Vec<TokenRow>) {
        let ns = |ms: f64| (ms * 1e6) as i64;
        let mut row = answered(id, 0.0, 0.0, at_ms[0].0, 0.0, at_ms.len() as u32);
        row.last_token_ns = Some(ns(at_ms[at_ms.len() - 1].0));
        row.end_ns = row.last_token_ns;
        let event = |(seq, &(ms, read)): (usize, &(f64, u32))| TokenRow {
            request_id: id,
            seq: seq as u32,
            t_ns: ns(ms),
            kernel_ns: None,
            read,
            kind: EventKind::Output,
            bytes: 1,
            tokens: None,
        };
        (row, at_ms.iter().enumerate().map(event).collect())
    }

    fn raster(rows: Vec<(crate::record::row::RequestRow, Vec<TokenRow>)>) -> Option<Raster> {
        let rows = MemoryRows { manifest: manifest(), rows };
        build(&rows, &Measured::read(&rows).unwrap(), 10.0, &[250, 3, 777]).unwrap()
    }

    #[test]
    fn ticks_reads_and_stalls_are_those_of_the_events() {
        let r = raster(vec![streamed(7, &[(100.0, 0), (110.0, 1), (140.0, 2), (171.0, 3), (400.0, 4), (400.0, 4)])])
            .unwrap();
        let line = &r.slowest[0];
        assert_eq!((line.id, line.ttft_ms, line.latency_ms, line.span_ms), (7, 100.0, 400.0, 400.0));
        assert_eq!((line.events, line.coalesced, r.stall_ms), (6, 2, 30.0));
        assert_eq!((line.stalls, &line.longest[..]), (2, &[(140.0, 171.0), (171.0, 400.0)][..]), "30 ms is none yet");
        let columns = |of: fn(&Column) -> bool| (0..COLUMNS).filter(|i| of(&line.columns[*i])).collect::<Vec<_>>();
        assert_eq!(columns(|c| c.any), [100, 110, 140, 171, 399]);
        assert_eq!(columns(|c| c.coalesced), [399]);
    }

    #[test]
    fn the_slowest_the_middle_and_an_even_sample_are_taken() {
        // Request i takes 1000 − i ms.
        let r = raster((0..500).map(|i| streamed(i, &[(10.0, 0), (1_000.0 - i as f64, 1)])).collect()).unwrap();
        let ids = |lines: &[Line]| lines.iter().map(|l| l.id).collect::<Vec<_>>();
        assert_eq!(ids(&r.slowest), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(ids(&r.typical), [246, 247, 248, 249, 250, 251, 252, 253]);
        assert_eq!((r.sample.len(), r.sample[0].id, r.sample[199].id, r.n), (200, 499, 0, 500));
        assert!(r.slowest.iter().chain(&r.typical).all(|l| l.span_ms == 1_000.0));
        assert_eq!(r.sample[0].span_ms, 501.0);
        let asked: Vec<_> = r.asked.iter().map(|[one, own]| (one.id, one.span_ms, own.id, own.span_ms)).collect();
        assert_eq!(asked, [(250, 1_000.0, 250, 750.0), (3, 1_000.0, 3, 997.0)], "as they were asked for");
        assert_eq!(r.undrawn, [777]);
    }

    #[test]
    fn few_requests_and_many_stalls_stay_within_bounds() {
        for n in [1, 2, 7, 9, 17] {
            let r = raster((0..n).map(|i| streamed(i, &[(10.0, 0), (50.0 + i as f64, 1)])).collect()).unwrap();
            assert_eq!(r.slowest.len() + r.typical.len(), (n as usize).min(2 * GROUP), "{n}");
            assert_eq!(r.sample.len(), n as usize);
        }
        let many: Vec<(f64, u32)> = (0..90).map(|i| (f64::from(i * i), i)).collect();
        let r = raster(vec![streamed(0, &many)]).unwrap();
        assert_eq!((r.slowest[0].stalls, r.slowest[0].longest.len()), (74, STALLS_MAX));
        assert!(r.slowest[0].longest.is_sorted_by(|a, b| a.0 < b.0) && r.slowest[0].longest[0].0 == f64::from(65 * 65));
        assert_eq!(raster(vec![]), None);
        assert_eq!(raster(vec![(answered(0, 0.0, 0.0, 1.0, 1.0, 5), vec![])]), None, "no events were recorded");
    }
}
