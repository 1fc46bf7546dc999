//! Rows of one worker → the writer thread, through a bounded ring.
//!
//! In: chunks of token stamps and request rows, from the worker's thread. Out: [`Parcel`]s, on the writer's.
//! Invariants: the worker never waits (unless it is told to) and, once its chunks circulate, never allocates for a token; a chunk that finds
//! the ring full is counted in `tokens_lost`; a request row is never lost; exchanges that wait are
//! bounded by their bytes, and one without room is counted in `exchanges_lost`; what was pushed before the end is popped
//! before the intake says that it is closed.
//! Not here: files, and the engine's live counters.

use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_queue::ArrayQueue;

use super::exchange::{Exchange, WAITING_BYTES_MAX};
use super::row::{RequestRow, TokenChunk, TokenRun};

/// What travels from a worker to the writer.
#[derive(Debug)]
pub enum Parcel {
    /// Consecutive events of one request.
    Tokens(Box<TokenChunk>),
    /// The same of events that are alike.
    Run(Box<TokenRun>),
    /// A request whose outcome is known.
    Request(Box<RequestRow>),
    /// What a request and its answer said.
    Exchange(Box<Exchange>),
}

#[derive(Debug)]
struct Shared {
    /// Worker to writer.
    full: ArrayQueue<Parcel>,
    /// Writer to worker: emptied chunks.
    empty: ArrayQueue<Box<TokenChunk>>,
    /// What was still waiting for a place when the worker ended.
    remainder: Mutex<VecDeque<Parcel>>,
    tokens_lost: AtomicU64,
    /// Bytes of exchanges that were pushed and not popped.
    exchange_bytes: AtomicU64,
    exchanges_lost: AtomicU64,
    closed: AtomicBool,
}

/// A ring for at most `capacity` parcels on the way. `capacity` is at least 1.
pub fn ring(capacity: usize) -> (Recorder, Intake) {
    let capacity = capacity.max(1);
    let shared = Arc::new(Shared {
        full: ArrayQueue::new(capacity),
        empty: ArrayQueue::new(capacity),
        remainder: Mutex::default(),
        tokens_lost: AtomicU64::new(0),
        exchange_bytes: AtomicU64::new(0),
        exchanges_lost: AtomicU64::new(0),
        closed: AtomicBool::new(false),
    });
    let recorder = Recorder {
        shared: Arc::clone(&shared),
        spare: None,
        waiting: VecDeque::new(),
        chunks_allocated: 0,
        waits_for_room: false,
        keeps_exchanges: false,
        one_thread: PhantomData,
    };
    (recorder, Intake { shared })
}

/// The worker's end. Dropping it closes the ring.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    /// The chunk of the last lost tokens, for the next caller.
    spare: Option<Box<TokenChunk>>,
    /// Request rows and exchanges that found the ring full, oldest first. Bounded by the schedule and by bytes.
    waiting: VecDeque<Parcel>,
    chunks_allocated: u64,
    waits_for_room: bool,
    keeps_exchanges: bool,
    one_thread: PhantomData<Cell<()>>,
}

impl Recorder {
    /// Has the worker wait for the writer rather than lose a token: for simulated time, which stands still meanwhile.
    pub fn wait_for_room(&mut self) {
        self.waits_for_room = true;
    }

    /// Has the worker keep what requests and answers say.
    pub fn keep_exchanges(&mut self) {
        self.keeps_exchanges = true;
    }

    /// Whether what requests and answers say is kept.
    #[inline]
    pub fn keeps_exchanges(&self) -> bool {
        self.keeps_exchanges
    }

    /// An empty chunk: one that the writer has emptied, else a new one.
    #[inline]
    pub fn chunk(&mut self) -> Box<TokenChunk> {
        if let Some(chunk) = self.spare.take().or_else(|| self.shared.empty.pop()) {
            return chunk;
        }
        self.chunks_allocated += 1;
        TokenChunk::empty()
    }

    /// Hands a chunk over. If the ring is full, its tokens are lost and counted.
    #[inline]
    pub fn push_tokens(&mut self, chunk: Box<TokenChunk>) {
        if let Some(Parcel::Tokens(mut chunk)) = self.push(Parcel::Tokens(chunk)) {
            self.lose_tokens(chunk.stamps.len());
            chunk.stamps.clear();
            self.spare = Some(chunk);
        }
    }

    /// Hands events over that are alike. If the ring is full, they are lost and counted.
    pub fn push_run(&mut self, run: TokenRun) {
        if let Some(Parcel::Run(run)) = self.push(Parcel::Run(Box::new(run))) {
            self.lose_tokens(run.t_ns.len());
        }
    }

    /// Hands a parcel over behind those that wait; it comes back where there is no room.
    #[inline]
    fn push(&mut self, mut parcel: Parcel) -> Option<Parcel> {
        self.flush();
        while let Err(back) = self.shared.full.push(parcel) {
            if !self.waits_for_room {
                return Some(back);
            }
            std::thread::yield_now();
            parcel = back;
        }
        None
    }

    fn lose_tokens(&self, count: usize) {
        self.shared.tokens_lost.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Hands a request's row over; if the ring is full, it waits here for a later call.
    pub fn push_request(&mut self, row: RequestRow) {
        self.waiting.push_back(Parcel::Request(Box::new(row)));
        self.flush();
    }

    /// Hands over what a request and its answer said; `None` if it had no room. It goes before the request's row.
    pub fn push_exchange(&mut self, exchange: Option<Exchange>) {
        let Some(exchange) = exchange else { return self.lose_exchange() };
        let bytes = exchange.bytes();
        // Only this thread adds.
        while self.shared.exchange_bytes.load(Ordering::Relaxed).saturating_add(bytes) > WAITING_BYTES_MAX {
            if !self.waits_for_room || bytes > WAITING_BYTES_MAX {
                return self.lose_exchange();
            }
            self.flush();
            std::thread::yield_now();
        }
        self.shared.exchange_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.waiting.push_back(Parcel::Exchange(Box::new(exchange)));
        self.flush();
    }

    fn lose_exchange(&self) {
        self.shared.exchanges_lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands over the request rows and exchanges that wait, as far as there is room.
    #[inline]
    pub fn flush(&mut self) {
        while let Some(parcel) = self.waiting.pop_front() {
            if let Err(parcel) = self.shared.full.push(parcel) {
                self.waiting.push_front(parcel);
                return;
            }
        }
    }

    /// Ends the recording of this worker. What still waits goes to the writer all the same.
    pub fn close(self) {}

    /// Chunks that had to be allocated since the start: stays still once they circulate.
    pub fn chunks_allocated(&self) -> u64 {
        self.chunks_allocated
    }

    /// Token rows that found the ring full.
    pub fn tokens_lost(&self) -> u64 {
        self.shared.tokens_lost.load(Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
        let waiting = std::mem::take(&mut self.waiting);
        *self.shared.remainder.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
        self.shared.closed.store(true, Ordering::Release);
    }
}

/// The writer's end.
#[derive(Debug)]
pub struct Intake {
    shared: Arc<Shared>,
}

impl Intake {
    /// The oldest parcel.
    pub fn pop(&mut self) -> Option<Parcel> {
        // The flag is read first: whatever was pushed before it was set is then visible in the queue.
        let closed = self.shared.closed.load(Ordering::Acquire);
        let parcel = self.shared.full.pop().or_else(|| {
            let mut remainder = closed.then(|| self.remainder())?;
            remainder.pop_front()
        })?;
        if let Parcel::Exchange(exchange) = &parcel {
            self.shared.exchange_bytes.fetch_sub(exchange.bytes(), Ordering::Relaxed);
        }
        Some(parcel)
    }

    /// Whether the worker has ended and everything of it was popped.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire) && self.shared.full.is_empty() && self.remainder().is_empty()
    }

    /// Gives an emptied chunk back to the worker.
    pub fn recycle(&self, mut chunk: Box<TokenChunk>) {
        chunk.stamps.clear();
        // A full return queue means that more chunks circulate than the ring holds: this one may go.
        let _ = self.shared.empty.push(chunk);
    }

    /// Token rows that found the ring full so far.
    pub fn tokens_lost(&self) -> u64 {
        self.shared.tokens_lost.load(Ordering::Relaxed)
    }

    /// Exchanges that found no room so far.
    pub fn exchanges_lost(&self) -> u64 {
        self.shared.exchanges_lost.load(Ordering::Relaxed)
    }

    fn remainder(&self) -> std::sync::MutexGuard<'_, VecDeque<Parcel>> {
        self.shared.remainder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::EventKind;
    use crate::record::exchange::Answer;
    use crate::record::row::TokenStamp;

    fn stamp(t_ns: i64) -> TokenStamp {
        TokenStamp { t_ns, kernel_ns: None, read: 0, bytes: 1, tokens: None, kind: EventKind::Output }
    }

    fn tokens(recorder: &mut Recorder, request_id: u64, n: usize) {
        let mut chunk = recorder.chunk();
        assert!(chunk.stamps.is_empty(), "a recycled chunk must be empty");
        (chunk.request_id, chunk.first_seq) = (request_id, 0);
        chunk.stamps.extend((0..n as i64).map(stamp));
        recorder.push_tokens(chunk);
    }

    #[test]
    fn chunks_circulate_without_new_ones() {
        let (mut recorder, mut intake) = ring(4);
        for round in 0..1000 {
            tokens(&mut recorder, round, 3);
            tokens(&mut recorder, round, 3);
            while let Some(Parcel::Tokens(chunk)) = intake.pop() {
                assert_eq!((chunk.request_id, chunk.stamps.len()), (round, 3));
                intake.recycle(chunk);
            }
        }
        assert_eq!(recorder.chunks_allocated(), 2, "two chunks were ever on the way at once");
        assert_eq!(recorder.tokens_lost(), 0);
    }

    #[test]
    fn a_full_ring_loses_tokens_and_counts_them_but_no_request() {
        let (mut recorder, mut intake) = ring(2);
        for id in 0..5 {
            tokens(&mut recorder, id, 7);
            recorder.push_request(RequestRow::scheduled(id, 0));
        }
        assert_eq!(intake.tokens_lost(), 4 * 7, "only the first chunk found room");
        recorder.close();
        let (mut requests, mut stamps) = (Vec::new(), 0);
        while let Some(parcel) = intake.pop() {
            match parcel {
                Parcel::Tokens(chunk) => stamps += chunk.stamps.len(),
                Parcel::Request(row) => requests.push(row.request_id),
                Parcel::Run(_) | Parcel::Exchange(_) => unreachable!(),
            }
        }
        assert_eq!((requests, stamps), (vec![0, 1, 2, 3, 4], 7));
        assert!(intake.is_closed());
    }

    #[test]
    fn waiting_requests_go_before_later_tokens() {
        let (mut recorder, mut intake) = ring(1);
        recorder.push_request(RequestRow::scheduled(0, 0));
        recorder.push_request(RequestRow::scheduled(1, 0));
        assert!(matches!(intake.pop(), Some(Parcel::Request(r)) if r.request_id == 0));
        tokens(&mut recorder, 9, 1);
        assert!(matches!(intake.pop(), Some(Parcel::Request(r)) if r.request_id == 1));
        assert_eq!(intake.tokens_lost(), 1, "the waiting row took the only place");
        assert!(intake.pop().is_none() && !intake.is_closed());
        drop(recorder);
        assert!(intake.is_closed());
    }

    #[test]
    fn exchanges_wait_within_their_bound_and_those_beyond_it_are_counted() {
        let (mut recorder, mut intake) = ring(1);
        let of =
            |request_id, bytes: u64| Exchange { request_id, body: vec![0; bytes as usize], answer: Answer::default() };
        recorder.push_exchange(Some(of(0, 10)));
        recorder.push_exchange(Some(of(1, WAITING_BYTES_MAX)));
        recorder.push_exchange(Some(of(2, WAITING_BYTES_MAX / 2)));
        recorder.push_exchange(Some(of(3, WAITING_BYTES_MAX / 2)));
        recorder.push_exchange(None);
        recorder.push_request(RequestRow::scheduled(2, 0));
        assert_eq!(intake.exchanges_lost(), 3, "1 and 3 had no room, and one was cut");
        assert!(matches!(intake.pop(), Some(Parcel::Exchange(e)) if e.request_id == 0));
        recorder.flush();
        assert!(matches!(intake.pop(), Some(Parcel::Exchange(e)) if e.request_id == 2));
        recorder.push_exchange(Some(of(4, WAITING_BYTES_MAX / 2)));
        drop(recorder);
        assert!(matches!(intake.pop(), Some(Parcel::Request(_))), "in the order in which they were pushed");
        assert!(matches!(intake.pop(), Some(Parcel::Exchange(e)) if e.request_id == 4) && intake.is_closed());
    }

    #[test]
    fn everything_arrives_across_threads() {
        let (mut recorder, mut intake) = ring(8);
        let worker = std::thread::spawn(move || {
            for id in 0..2000 {
                tokens(&mut recorder, id, 2);
                recorder.push_request(RequestRow::scheduled(id, 0));
            }
            recorder.tokens_lost()
        });
        let (mut requests, mut stamps) = (0, 0);
        while !intake.is_closed() {
            match intake.pop() {
                Some(Parcel::Tokens(chunk)) => {
                    stamps += chunk.stamps.len() as u64;
                    intake.recycle(chunk);
                }
                Some(Parcel::Request(row)) => {
                    assert_eq!(row.request_id, requests, "request rows keep their order");
                    requests += 1;
                }
                Some(Parcel::Run(_) | Parcel::Exchange(_)) => unreachable!(),
                None => std::thread::yield_now(),
            }
        }
        assert_eq!(requests, 2000);
        assert_eq!(stamps + worker.join().unwrap(), 4000);
    }
}
