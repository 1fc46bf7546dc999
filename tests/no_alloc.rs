//! The hot path allocates nothing per token event: bytes of an answer → events → stamps → the ring, in steady state.
//!
//! Counted is what the test's own thread allocates: the harness's, which watches over it, does as it likes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use loadline::engine::flight::Flight;
use loadline::engine::transport::ReadStamp;
use loadline::record::ring::{Intake, Parcel, Recorder, ring};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system allocator unchanged.
#[expect(unsafe_code, reason = "an allocator that counts can be written in no other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const EVENT: &[u8] =
    b"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795491094,\"model\":\"m\",\
    \"choices\":[{\"index\":0,\"delta\":{\"content\":\" log\"},\"finish_reason\":null}]}\n\n";

/// Feeds `events` events to a flight, cut into pieces of `step` bytes; the writer's side empties the ring.
fn feed(flight: &mut Flight, events: usize, step: usize, recorder: &mut Recorder, intake: &mut Intake) -> u64 {
    let mut seen = 0;
    for n in 0..events {
        for piece in EVENT.chunks(step) {
            let stamp = ReadStamp { t_ns: n as i64, kernel_ns: None, read: n as u32 };
            seen += u64::from(flight.on_body(piece, stamp, recorder));
        }
        while let Some(parcel) = intake.pop() {
            if let Parcel::Tokens(chunk) = parcel {
                intake.recycle(chunk);
            }
        }
    }
    seen
}

#[test]
fn a_token_event_allocates_nothing_however_its_bytes_are_cut() {
    let (mut recorder, mut intake) = ring(64);
    let mut flight = Flight::default();
    for (step, max_tokens) in
        [EVENT.len(), 100, 7].into_iter().flat_map(|s| [None, Some(2_000), Some(20_000)].map(|m| (s, m)))
    {
        flight.begin(0, 0, 0, None);
        // An answer that is kept for later turns, too long for its room or not, allocates when it is asked for, and no more.
        if let Some(max_tokens) = max_tokens {
            flight.keep_reply(Some(max_tokens));
        }
        flight.on_head(200, true);
        feed(&mut flight, 1_000, step, &mut recorder, &mut intake);
        let before = ALLOCATIONS.get();
        let seen = feed(&mut flight, 10_000, step, &mut recorder, &mut intake);
        let allocated = ALLOCATIONS.get() - before;
        assert_eq!((seen, allocated), (10_000, 0), "pieces of {step} bytes");
        let whole = max_tokens == Some(20_000);
        assert_eq!(flight.reply().map(|text| text == b" log".repeat(11_000)), whole.then_some(true));
    }
    // The counter itself: a guard that counts nothing would pass everything.
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Vec::<u8>::with_capacity(10)));
    assert!(ALLOCATIONS.get() > before);
}
