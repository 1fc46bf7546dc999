//! The oracle as Parquet files, of the schema of every recording: what the server got and sent, by its own clock.
//!
//! In: an [`Oracle`]. Out: `requests.parquet` and `tokens.parquet`. Their times are nanoseconds of CLOCK_MONOTONIC: a client's are
//! the same less the `t0_monotonic_ns` of its `run.json`. `scheduled_ns` is when the kernel had the request (or, where it does not
//! stamp, the server), `sent_ns` when the server had read it; token rows are events, when they were handed to the socket.
//! Requests are joined to a client's by `x_request_id`.

use std::path::Path;

use super::oracle::{Oracle, OracleRequest};
use crate::error::{Error, Result};
use crate::outcome::{EventKind, Outcome, TokenSource};
use crate::record::ring::{Recorder, ring};
use crate::record::row::{CHUNK_STAMPS, RequestRow, TokenStamp};
use crate::record::writer::{Writer, WriterOptions};
use crate::time::{Anchor, SystemClock};

/// Parcels on the way to the writer.
const RING_PARCELS: usize = 1024;

/// Writes both files into `dir`, which is made where it is missing.
///
/// # Errors
/// Those of the files.
pub fn write(oracle: &Oracle, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let (mut recorder, intake) = ring(RING_PARCELS);
    recorder.wait_for_room();
    let clock = SystemClock::at(Anchor { t0_unix_ns: 0, t0_monotonic_ns: 0 });
    let writer = Writer::spawn(dir, "oracle", vec![intake], WriterOptions::default(), clock)?;
    for (id, request) in (0..).zip(&oracle.requests) {
        push_events(&mut recorder, id, request);
        recorder.push_request(row(id, request));
    }
    recorder.close();
    writer.finish().map(|_| ())
}

fn push_events(recorder: &mut Recorder, id: u64, request: &OracleRequest) {
    for (chunk_number, times_ns) in (0..).zip(request.events_ns.chunks(CHUNK_STAMPS)) {
        let first_seq = chunk_number * CHUNK_STAMPS as u32;
        let mut chunk = recorder.chunk();
        (chunk.request_id, chunk.first_seq) = (id, first_seq);
        chunk.stamps.extend((first_seq..).zip(times_ns).map(|(seq, t_ns)| TokenStamp {
            t_ns: *t_ns,
            kernel_ns: None,
            read: seq,
            bytes: 0,
            tokens: None,
            kind: request.kind(seq),
        }));
        recorder.push_tokens(chunk);
    }
}

fn row(id: u64, request: &OracleRequest) -> RequestRow {
    let times_of =
        |kind| (0..).zip(&request.events_ns).filter(move |(seq, _)| request.kind(*seq) == kind).map(|(_, t)| *t);
    let first_token_ns = times_of(EventKind::Output).next();
    let mut row = RequestRow::scheduled(id, request.start_ns());
    row.x_request_id.clone_from(&request.x_request_id);
    row.sent_ns = Some(request.received_ns);
    row.head_ns = request.events_ns.first().copied();
    (row.first_token_ns, row.first_output_ns) = (first_token_ns, first_token_ns);
    row.last_token_ns = times_of(EventKind::Output).last();
    row.end_ns = Some(request.events_ns.last().copied().unwrap_or(request.received_ns));
    row.outcome = if request.completed { Outcome::Completed } else { Outcome::Cancelled };
    row.http_status = Some(200);
    row.input_tokens = request.prompt_tokens;
    row.prompt_tokens = Some(request.prompt_tokens);
    row.cached_tokens = Some(request.cached_tokens);
    row.max_tokens = Some(request.output_tokens);
    row.output_tokens = request.completed.then_some(request.output_tokens);
    row.output_tokens_source = TokenSource::Usage;
    row.events = request.events_ns.len() as u32;
    row
}
