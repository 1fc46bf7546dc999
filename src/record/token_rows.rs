//! Events in the order in which workers hand them over → in the order in which they stand in a row group.
//!
//! In: chunks of stamps, and runs of events that are alike. Out: [`Piece`]s, sorted by request and number.
//! Holds the stamps of many chunks, so that the chunks can go back at once. Not here: bytes ([`super::encode`]).

use super::row::{TokenChunk, TokenRun, TokenStamp};

/// Some consecutive events of one request.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The request.
    pub request_id: u64,
    /// Number of the first.
    pub first_seq: u32,
    /// The events.
    pub events: Events<'a>,
}

/// The events of a [`Piece`].
#[derive(Clone, Copy, Debug)]
pub enum Events<'a> {
    /// Each for itself.
    Stamps(&'a [TokenStamp]),
    /// Alike.
    Run(&'a TokenRun),
}

impl Piece<'_> {
    /// How many they are.
    pub(super) fn len(&self) -> usize {
        match self.events {
            Events::Stamps(stamps) => stamps.len(),
            Events::Run(run) => run.t_ns.len(),
        }
    }
}

/// Where the events of a piece are kept.
#[derive(Clone, Copy, Debug)]
enum Place {
    Stamps { start: usize, len: usize },
    Run(usize),
}

/// Token rows on their way into a row group.
#[derive(Debug, Default)]
pub struct TokenRows {
    places: Vec<(u64, u32, Place)>,
    stamps: Vec<TokenStamp>,
    runs: Vec<TokenRun>,
    rows: usize,
}

impl TokenRows {
    /// Adds a chunk's rows.
    pub fn push(&mut self, chunk: &TokenChunk) {
        let (start, len) = (self.stamps.len(), chunk.stamps.len());
        self.places.push((chunk.request_id, chunk.first_seq, Place::Stamps { start, len }));
        self.stamps.extend_from_slice(&chunk.stamps);
        self.rows += len;
    }

    /// Adds a run's rows.
    pub fn push_run(&mut self, run: TokenRun) {
        self.places.push((run.request_id, run.first_seq, Place::Run(self.runs.len())));
        self.rows += run.t_ns.len();
        self.runs.push(run);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Forgets all rows and keeps the memory of stamps.
    pub fn clear(&mut self) {
        self.places.clear();
        self.stamps.clear();
        self.runs.clear();
        self.rows = 0;
    }

    /// Puts the rows of a request together and in order, and the requests in order of their ids.
    pub fn sort(&mut self) {
        self.places.sort_unstable_by_key(|(request_id, first_seq, _)| (*request_id, *first_seq));
    }

    /// All rows, in the order of the last sort.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.places.iter().map(|&(request_id, first_seq, place)| {
            let events = match place {
                Place::Stamps { start, len } => Events::Stamps(&self.stamps[start..start + len]),
                Place::Run(run) => Events::Run(&self.runs[run]),
            };
            Piece { request_id, first_seq, events }
        })
    }
}
