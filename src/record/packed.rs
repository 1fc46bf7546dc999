//! Request rows → a few tens of bytes each, in memory.
//!
//! In: rows in any order. Out: the same rows, in order of `request_id`, each made anew when it is asked for.
//! The form: numbers as variable-length integers, times as their distance from the time before, texts as what they do not
//! share with the first of their column. Of a row of 400 bytes and three texts, 70 to 100 bytes are left.
//! Invariant: what comes out is what went in. Not here: files; nothing of this form is ever written.

use super::row::RequestRow;
use crate::outcome::{Outcome, Phase, TokenSource};

/// Bytes that are taken from the allocator at once: a vector that grows would need its old room beside its new one.
const CHUNK_BYTES: usize = 1 << 20;
/// Different error texts and finish reasons that are kept once for all rows.
const KNOWN_TEXTS_MAX: usize = 64;

/// Where a row is.
#[derive(Clone, Copy, Debug)]
struct Place {
    request_id: u64,
    chunk: u32,
    at: u32,
}

/// Packed rows.
#[derive(Debug, Default)]
pub(super) struct PackedRows {
    places: Vec<Place>,
    chunks: Vec<Vec<u8>>,
    /// The first `x_request_id` and the first `session_id`.
    firsts: [Option<String>; 2],
    known: Vec<String>,
    scratch: Vec<u8>,
}

impl PackedRows {
    /// No rows, with room for the places of so many.
    pub(super) fn with_capacity(rows: usize) -> PackedRows {
        PackedRows { places: Vec::with_capacity(rows), ..PackedRows::default() }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: &RequestRow) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        self.pack(row, &mut bytes);
        if self.chunks.last().is_none_or(|chunk| chunk.len() + bytes.len() > CHUNK_BYTES) {
            self.chunks.push(Vec::with_capacity(CHUNK_BYTES.max(bytes.len())));
        }
        let chunk = self.chunks.len() - 1;
        self.places.push(Place {
            request_id: row.request_id,
            chunk: chunk as u32,
            at: self.chunks[chunk].len() as u32,
        });
        self.chunks[chunk].extend_from_slice(&bytes);
        self.scratch = bytes;
    }

    /// Puts the rows in order. A request that has two rows is the error.
    pub(super) fn sort(&mut self) -> Result<(), u64> {
        self.places.sort_unstable_by_key(|place| place.request_id);
        match self.places.windows(2).find(|pair| pair[0].request_id == pair[1].request_id) {
            Some(pair) => Err(pair[0].request_id),
            None => Ok(()),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The rows.
    pub(super) fn iter(&self) -> impl Iterator<Item = RequestRow> {
        self.places.iter().map(|place| self.unpack(*place))
    }

    /// Those rows whose ids are `wanted`.
    pub(super) fn iter_some(&self, wanted: impl Fn(u64) -> bool) -> impl Iterator<Item = RequestRow> {
        self.places.iter().filter(move |place| wanted(place.request_id)).map(|place| self.unpack(*place))
    }

    fn pack(&mut self, row: &RequestRow, into: &mut Vec<u8>) {
        let r = row;
        let times = [
            r.released_ns,
            r.dialed_ns,
            r.connected_ns,
            r.sent_ns,
            r.written_ns,
            r.head_ns,
            r.first_token_ns,
            r.first_output_ns,
            r.last_token_ns,
            r.end_ns,
        ];
        let counts = [
            r.http_status.map(u32::from),
            r.prompt_tokens,
            r.cached_tokens,
            r.max_tokens,
            r.output_tokens,
            r.reasoning_tokens,
        ];
        let there = times.iter().map(Option::is_some).chain(counts.iter().map(Option::is_some));
        let mut flags = 0;
        there.for_each(|is_some| flags = flags << 1 | u64::from(is_some));
        let texts = [r.session_id.is_some(), r.error.is_some(), r.finish_reason.is_some()];
        texts.iter().for_each(|is_some| flags = flags << 1 | u64::from(*is_some));
        put(into, flags);
        into.extend([r.phase as u8, index(&Outcome::ALL, r.outcome), index(&TokenSource::ALL, r.output_tokens_source)]);
        put_signed(into, r.scheduled_ns);
        let mut before = r.scheduled_ns;
        for time in times.into_iter().flatten() {
            put_signed(into, time.wrapping_sub(before));
            before = time;
        }
        for count in counts.into_iter().flatten().chain([r.turn, r.shard, r.worker, r.input_tokens, r.events]) {
            put(into, u64::from(count));
        }
        for count in [r.bytes_received, r.bytes_sent, r.writes.into(), r.reads.into()] {
            put(into, count);
        }
        self.put_name(into, 0, &r.x_request_id);
        if let Some(session) = &r.session_id {
            self.put_name(into, 1, session);
        }
        for text in [&r.error, &r.finish_reason].into_iter().flatten() {
            self.put_known(into, text);
        }
    }

    /// A name that begins as the first one of its column does: how much of it, and the rest.
    fn put_name(&mut self, into: &mut Vec<u8>, column: usize, name: &str) {
        let first = self.firsts[column].get_or_insert_with(|| name.to_owned());
        let same = first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        // Not within a character.
        let same = (0..=same).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        put(into, same as u64);
        put_text(into, &name[same..]);
    }

    /// One of the texts that are known, by its number; or 0, and the text.
    fn put_known(&mut self, into: &mut Vec<u8>, text: &str) {
        let known = self.known.iter().position(|known| known == text);
        let known = known.or_else(|| {
            (self.known.len() < KNOWN_TEXTS_MAX).then(|| {
                self.known.push(text.to_owned());
                self.known.len() - 1
            })
        });
        match known {
            Some(number) => put(into, number as u64 + 1),
            None => {
                put(into, 0);
                put_text(into, text);
            }
        }
    }

    fn unpack(&self, place: Place) -> RequestRow {
        let mut from = &self.chunks[place.chunk as usize][place.at as usize..];
        let from = &mut from;
        let flags = take(from);
        let mut bit = 19;
        let mut is_there = || {
            bit -= 1;
            flags >> bit & 1 == 1
        };
        let [phase, outcome, source] = [0; 3].map(|_: u8| take_byte(from));
        let scheduled_ns = take_signed(from);
        let mut row = RequestRow::scheduled(place.request_id, scheduled_ns);
        row.phase = if phase == Phase::Warmup as u8 { Phase::Warmup } else { Phase::Profiling };
        row.outcome = Outcome::ALL.get(usize::from(outcome)).copied().unwrap_or(Outcome::NotSent);
        row.output_tokens_source = TokenSource::ALL.get(usize::from(source)).copied().unwrap_or(TokenSource::Events);
        let mut before = scheduled_ns;
        for time in [
            &mut row.released_ns,
            &mut row.dialed_ns,
            &mut row.connected_ns,
            &mut row.sent_ns,
            &mut row.written_ns,
            &mut row.head_ns,
            &mut row.first_token_ns,
            &mut row.first_output_ns,
            &mut row.last_token_ns,
            &mut row.end_ns,
        ] {
            *time = is_there().then(|| {
                before = before.wrapping_add(take_signed(from));
                before
            });
        }
        row.http_status = is_there().then(|| take(from) as u16);
        for count in [
            &mut row.prompt_tokens,
            &mut row.cached_tokens,
            &mut row.max_tokens,
            &mut row.output_tokens,
            &mut row.reasoning_tokens,
        ] {
            *count = is_there().then(|| take(from) as u32);
        }
        for count in [&mut row.turn, &mut row.shard, &mut row.worker, &mut row.input_tokens, &mut row.events] {
            *count = take(from) as u32;
        }
        row.bytes_received = take(from);
        row.bytes_sent = take(from);
        row.writes = take(from) as u32;
        row.reads = take(from) as u32;
        row.x_request_id = self.take_name(from, 0);
        row.session_id = is_there().then(|| self.take_name(from, 1));
        row.error = is_there().then(|| self.take_known(from));
        row.finish_reason = is_there().then(|| self.take_known(from));
        row
    }

    fn take_name(&self, from: &mut &[u8], column: usize) -> String {
        let same = take(from) as usize;
        let first = self.firsts[column].as_deref().unwrap_or_default();
        [first.get(..same).unwrap_or_default(), &take_text(from)].concat()
    }

    fn take_known(&self, from: &mut &[u8]) -> String {
        match take(from) {
            0 => take_text(from).into_owned(),
            number => self.known.get(number as usize - 1).cloned().unwrap_or_default(),
        }
    }
}

fn index<T: PartialEq + Copy>(all: &[T], value: T) -> u8 {
    all.iter().position(|other| *other == value).unwrap_or(all.len()) as u8
}

fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Small numbers of either sign become small ones without.
fn put_signed(into: &mut Vec<u8>, value: i64) {
    put(into, (value << 1 ^ value >> 63) as u64);
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    put(into, text.len() as u64);
    into.extend_from_slice(text.as_bytes());
}

fn take_byte(from: &mut &[u8]) -> u8 {
    let Some((first, rest)) = from.split_first() else { return 0 };
    *from = rest;
    *first
}

fn take(from: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take_byte(from);
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 || shift > 63 {
            return value;
        }
    }
}

fn take_signed(from: &mut &[u8]) -> i64 {
    let value = take(from);
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn take_text<'b>(from: &mut &'b [u8]) -> std::borrow::Cow<'b, str> {
    let length = (take(from) as usize).min(from.len());
    let (text, rest) = from.split_at(length);
    *from = rest;
    String::from_utf8_lossy(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(request_id: u64) -> RequestRow {
        RequestRow {
            x_request_id: format!("run-{request_id:08x}"),
            session_id: Some(format!("café {request_id}")),
            turn: 3,
            phase: Phase::Warmup,
            shard: 1,
            worker: u32::MAX,
            released_ns: Some(i64::MIN),
            sent_ns: Some(i64::MAX),
            written_ns: Some(-1),
            connected_ns: Some(0),
            head_ns: Some(1),
            first_token_ns: Some(2),
            first_output_ns: Some(3),
            last_token_ns: Some(4),
            end_ns: Some(5),
            outcome: Outcome::StreamError,
            http_status: Some(u16::MAX),
            error: Some(format!("error {request_id}")),
            finish_reason: Some("stop".into()),
            input_tokens: 6,
            prompt_tokens: Some(7),
            cached_tokens: Some(8),
            max_tokens: Some(9),
            output_tokens: Some(10),
            output_tokens_source: TokenSource::Tokenizer,
            reasoning_tokens: Some(11),
            events: 12,
            bytes_received: u64::MAX,
            dialed_ns: Some(13),
            bytes_sent: 14,
            writes: 15,
            reads: 16,
            ..RequestRow::scheduled(request_id, -17)
        }
    }

    #[test]
    fn rows_come_out_as_they_went_in_and_in_order() {
        // More error texts than are kept apart, names that part within a character, and every field there or not.
        let mut rows: Vec<RequestRow> = (0..200).map(full).collect();
        rows[7].session_id = Some("cafè".into());
        rows[8].x_request_id = String::new();
        rows.extend((200..260).map(|id| RequestRow::scheduled(id, id as i64)));
        rows.extend(Outcome::ALL.iter().zip(300..).map(|(outcome, id)| {
            let row = full(id);
            RequestRow { outcome: *outcome, phase: Phase::Profiling, error: None, sent_ns: None, ..row }
        }));
        rows.extend(TokenSource::ALL.iter().zip(400..).map(|(source, id)| RequestRow {
            output_tokens_source: *source,
            session_id: None,
            prompt_tokens: None,
            ..full(id)
        }));
        let mut packed = PackedRows::with_capacity(10);
        rows.iter().rev().for_each(|row| packed.push(row));
        packed.sort().unwrap();
        assert_eq!(packed.iter().collect::<Vec<_>>(), rows);
        assert_eq!(packed.iter_some(|id| id == 7 || id == 401).count(), 2);
        packed.push(&rows[5]);
        assert_eq!((packed.len(), packed.sort()), (rows.len() + 1, Err(5)));
    }

    #[test]
    fn a_usual_row_takes_less_than_a_hundred_bytes() {
        const S: i64 = 1_000_000_000;
        let mut packed = PackedRows::default();
        for id in 0..20_000 {
            let sent = 1_000 * S + id as i64 * S / 60;
            packed.push(&RequestRow {
                x_request_id: format!("fa7f0e884d8f76b8-{id:08x}"),
                sent_ns: Some(sent + 3_000),
                written_ns: Some(sent + 9_000),
                head_ns: Some(sent + S / 5),
                first_token_ns: Some(sent + S / 5 + 1_000),
                first_output_ns: Some(sent + S / 5 + 1_000),
                last_token_ns: Some(sent + 4 * S),
                end_ns: Some(sent + 4 * S + 20_000),
                outcome: Outcome::Completed,
                http_status: Some(200),
                finish_reason: Some("length".into()),
                input_tokens: 2048,
                prompt_tokens: Some(2060),
                cached_tokens: Some(512),
                max_tokens: Some(256),
                output_tokens: Some(256),
                output_tokens_source: TokenSource::Usage,
                events: 258,
                bytes_received: 60_000,
                bytes_sent: 9_000,
                writes: 1,
                reads: 258,
                ..RequestRow::scheduled(id, sent)
            });
        }
        let bytes = packed.chunks.iter().map(Vec::len).sum::<usize>() + packed.len() * size_of::<Place>();
        assert!(bytes < 100 * packed.len(), "{} bytes a row", bytes / packed.len());
    }
}
