//! One request's rows → the few readings that several metrics share.
//!
//! In: a [`RequestRow`] and its stream events. Out: nanoseconds and token counts, null where the request has none.
//! Invariants: a request that was not streamed has no token times; a gap between events is reported only where no
//! event between them is missing from the recording.
//! Not here: which requests count (that is [`super::fold`]).

use crate::outcome::EventKind;
use crate::record::manifest::Manifest;
use crate::record::row::{RequestRow, TokenRow};

/// A request as metrics see it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its row.
    pub row: &'a RequestRow,
    /// Its stream events, in order.
    pub tokens: &'a [TokenRow],
    /// Whether the run asked for streams; without, no event has a time of its own.
    pub streaming: bool,
    /// Whether the run asked for usage in every event, and so for the tokens of each.
    pub per_chunk_usage: bool,
}

/// Whether a run asked for usage in every event.
pub(super) fn counts_chunks(manifest: &Manifest) -> bool {
    manifest.config["per_chunk_usage"] == true
}

/// Milliseconds of nanoseconds.
pub(crate) fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

/// Milliseconds from one time to another. A damaged recording may hold any two, so this must not overflow.
pub(crate) fn between_ms(from_ns: i64, to_ns: i64) -> f64 {
    ms(to_ns.saturating_sub(from_ns))
}

impl<'a> Request<'a> {
    /// A request of a run.
    pub fn of(manifest: &Manifest, row: &'a RequestRow, tokens: &'a [TokenRow]) -> Request<'a> {
        Request { row, tokens, streaming: manifest.streaming, per_chunk_usage: counts_chunks(manifest) }
    }

    /// Tokens of the first event with output: as its usage says, where that was asked for and can be; else 1.
    pub(crate) fn first_event_tokens(&self) -> u32 {
        let first = self.tokens.iter().find(|t| t.kind.is_content()).filter(|_| self.per_chunk_usage);
        let counted = first.and_then(|t| t.tokens).map(u32::from);
        counted.filter(|&n| n > 0 && self.row.output_tokens.is_some_and(|all| n < all)).unwrap_or(1)
    }

    /// Events with output of the kinds that are `wanted`; null unless streamed, and where events are missing from the recording.
    pub(crate) fn content_events(&self, wanted: impl Fn(EventKind) -> bool) -> Option<u32> {
        let whole = self.streaming && self.tokens.len() == self.row.events as usize;
        whole.then(|| self.tokens.iter().filter(|t| t.kind.is_content() && wanted(t.kind)).count() as u32)
    }

    /// First event with output of any kind; null unless streamed.
    pub(crate) fn first_token_ns(&self) -> Option<i64> {
        self.row.first_token_ns.filter(|_| self.streaming)
    }

    /// First event with output that is not reasoning; null unless streamed.
    pub(crate) fn first_output_ns(&self) -> Option<i64> {
        self.row.first_output_ns.filter(|_| self.streaming)
    }

    /// The moment at which the user had the whole answer: the last event with output, or the end if not streamed.
    pub(crate) fn answered_ns(&self) -> Option<i64> {
        if self.streaming { self.row.last_token_ns } else { self.row.end_ns }
    }

    /// Milliseconds from sending until `t_ns`.
    pub(crate) fn since_sent_ms(&self, t_ns: Option<i64>) -> Option<f64> {
        Some(between_ms(self.row.sent_ns?, t_ns?))
    }

    /// Milliseconds from the scheduled time until `t_ns`.
    pub(crate) fn since_scheduled_ms(&self, t_ns: Option<i64>) -> Option<f64> {
        Some(between_ms(self.row.scheduled_ns, t_ns?))
    }

    /// Tokens of prompt: the server's count, or else what was asked for. Null where neither is known.
    pub(crate) fn input_tokens(&self) -> Option<u32> {
        self.row.prompt_tokens.or(Some(self.row.input_tokens)).filter(|&n| n > 0)
    }

    /// Gaps between consecutive content events, in nanoseconds; empty unless streamed.
    pub(crate) fn content_gaps_ns(&self) -> impl Iterator<Item = i64> + use<'a> {
        let events = if self.streaming { self.tokens } else { &[] };
        let mut next_seq = None;
        let mut last_content = None;
        events.iter().filter_map(move |event| {
            if next_seq != Some(event.seq) {
                last_content = None; // Events before this one were lost: the gap to them is unknown.
            }
            next_seq = event.seq.checked_add(1);
            if !event.kind.is_content() {
                return None;
            }
            let seen_ns = event.seen_ns();
            last_content.replace(seen_ns).map(|before: i64| seen_ns.saturating_sub(before))
        })
    }

    /// How long after the kernel had received them the client read some bytes, in nanoseconds: one value for each read
    /// that the kernel stamped. Empty unless streamed.
    pub(crate) fn client_delays_ns(&self) -> impl Iterator<Item = i64> + use<'a> {
        let events = if self.streaming { self.tokens } else { &[] };
        let first_of_read = |i: usize| i == 0 || events[i - 1].read != events[i].read;
        let stamped = move |(i, event): (usize, &TokenRow)| {
            let kernel_ns = event.kernel_ns.filter(|_| first_of_read(i))?;
            Some(event.t_ns.saturating_sub(kernel_ns))
        };
        events.iter().enumerate().filter_map(stamped)
    }

    /// The share of content events that came in one read with another: their gaps are the network's and the client's
    /// doing, and say nothing of the server's pace. Null without content events.
    pub(crate) fn coalesced_share(&self) -> Option<f64> {
        let events = if self.streaming { self.tokens } else { &[] };
        let (mut content, mut shared) = (0u32, 0u32);
        for read in events.chunk_by(|a, b| a.read == b.read) {
            let n = read.iter().filter(|event| event.kind.is_content()).count() as u32;
            content += n;
            shared += if n > 1 { n } else { 0 };
        }
        (content > 0).then(|| f64::from(shared) / f64::from(content))
    }

    /// Gap between the first and the second content event, in nanoseconds.
    pub(crate) fn first_gap_ns(&self) -> Option<i64> {
        let events = if self.streaming { self.tokens } else { &[] };
        let mut content = events
            .iter()
            .enumerate()
            .take_while(|(i, event)| event.seq as usize == *i)
            .filter(|(_, event)| event.kind.is_content())
            .map(|(_, event)| event.seen_ns());
        let first = content.next()?;
        Some(content.next()?.saturating_sub(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u32, t_ns: i64, kind: EventKind) -> TokenRow {
        TokenRow { request_id: 0, seq, t_ns, kernel_ns: None, read: seq, kind, bytes: 1, tokens: None }
    }

    #[test]
    fn events_without_content_are_skipped_and_lost_events_break_the_chain() {
        let row = RequestRow::scheduled(0, 0);
        let tokens = [
            event(0, 5, EventKind::Role),
            event(1, 10, EventKind::Output),
            event(2, 11, EventKind::Other),
            event(3, 17, EventKind::ToolCall),
            // 4 and 5 are lost.
            event(6, 90, EventKind::Output),
            event(7, 91, EventKind::Output),
        ];
        let request = Request { row: &row, tokens: &tokens, streaming: true, per_chunk_usage: false };
        assert_eq!(request.content_gaps_ns().collect::<Vec<_>>(), [7, 1]);
        assert_eq!(request.first_gap_ns(), Some(7));
        assert_eq!(Request { tokens: &tokens[3..], ..request }.first_gap_ns(), None, "its first events are lost");
        assert_eq!(Request { streaming: false, ..request }.content_gaps_ns().count(), 0);
    }

    #[test]
    fn the_kernels_times_come_first_and_the_distance_to_the_reads_is_told_once_a_read() {
        let row = RequestRow::scheduled(0, 0);
        let stamped = |seq, t_ns, kernel_ns, read| TokenRow { kernel_ns, read, ..event(seq, t_ns, EventKind::Output) };
        let tokens = [
            stamped(0, 50, Some(10), 0),
            stamped(1, 50, Some(10), 0),
            stamped(2, 51, Some(30), 1),
            stamped(3, 60, None, 2),
        ];
        let request = Request { row: &row, tokens: &tokens, streaming: true, per_chunk_usage: false };
        assert_eq!(request.content_gaps_ns().collect::<Vec<_>>(), [0, 20, 30]);
        assert_eq!(request.client_delays_ns().collect::<Vec<_>>(), [40, 21]);
        assert_eq!(request.coalesced_share(), Some(0.5));
        assert_eq!(Request { tokens: &[], ..request }.coalesced_share(), None);
    }

    #[test]
    fn the_servers_count_of_the_prompt_comes_first() {
        let mut row = RequestRow::scheduled(0, 0);
        let count =
            |row: &RequestRow| Request { row, tokens: &[], streaming: true, per_chunk_usage: false }.input_tokens();
        assert_eq!(count(&row), None, "0 means unknown");
        row.input_tokens = 7;
        assert_eq!(count(&row), Some(7));
        row.prompt_tokens = Some(9);
        assert_eq!(count(&row), Some(9));
    }
}
