//! Bodies that are known before they are sent → what they ask for, read by a thread of its own while others are answered.
//!
//! In: bodies, about in the order in which they will be sent. Out: what each asks for, where it was read by the time it is sent.
//! Invariants: what comes of a body is what [`Asked::read`] gives, and whether it was read ahead changes nothing but the time that
//! it takes; at most [`AHEAD_MAX`] wait to be sent and as many to be forgotten, and nobody waits for them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

use super::ask::{Api, Ask, BadAsk};
use super::content::Content;
use crate::prompt::arena::Pieces;

/// Bodies that are read and not sent yet, at most.
const AHEAD_MAX: usize = 64;
/// A sleep of the thread that is far enough ahead.
const PAUSE: Duration = Duration::from_micros(200);

/// What a body asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Without the tokens, of which the content speaks.
    pub(super) ask: Ask<'static>,
    pub(super) content: Content,
}

impl Asked {
    /// Reads a body.
    ///
    /// # Errors
    /// Those of [`Ask::read`].
    pub(super) fn read(body: &Pieces, (api, max_model_tokens): (Api, u32)) -> Result<Asked, BadAsk> {
        let bytes = body.to_vec();
        let ask = Ask::read(api, &bytes, max_model_tokens)?;
        let content = Content::of(&ask.tokens);
        let model = ask.model.map(|model| Cow::Owned(model.into_owned()));
        Ok(Asked { ask: Ask { model, tokens: Vec::new(), ..ask }, content })
    }
}

type Entry = (Pieces, Result<Asked, BadAsk>);

#[derive(Debug)]
struct Shared {
    read: ArrayQueue<Entry>,
    /// Where it is of use to read on: what stands before that is sent by now.
    from: AtomicUsize,
    is_over: AtomicBool,
}

/// Bodies that are being read. Dropping it ends that.
#[derive(Debug)]
pub(super) struct ReadAhead {
    shared: Arc<Shared>,
    /// What was read and passed over, since another one was sent first.
    passed: VecDeque<Entry>,
    sent: usize,
    thread: Option<JoinHandle<()>>,
}

impl ReadAhead {
    /// Begins to read. Where there can be no thread for it, nothing is read ahead.
    pub(super) fn new(bodies: impl Iterator<Item = Pieces> + Send + 'static, by: (Api, u32)) -> ReadAhead {
        let shared = Arc::new(Shared {
            read: ArrayQueue::new(AHEAD_MAX),
            from: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let reader = Arc::clone(&shared);
        let body = move || {
            for (_, body) in bodies.enumerate().filter(|(n, _)| *n >= reader.from.load(Ordering::Relaxed)) {
                let read = Asked::read(&body, by);
                let mut entry = (body, read);
                while let Err(back) = reader.read.push(entry) {
                    if reader.is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    entry = back;
                    std::thread::park_timeout(PAUSE);
                }
            }
        };
        let thread = std::thread::Builder::new().name("prompts".into()).spawn(body).ok();
        ReadAhead { shared, passed: VecDeque::new(), sent: 0, thread }
    }

    /// What a body asks for that is sent now, if it was read.
    pub(super) fn take(&mut self, body: &Pieces) -> Option<Result<Asked, BadAsk>> {
        self.sent += 1;
        let passed = self.passed.iter().position(|(other, _)| other.is_same(body));
        if let Some((_, read)) = passed.and_then(|i| self.passed.remove(i)) {
            return Some(read);
        }
        while let Some((other, read)) = self.shared.read.pop() {
            if other.is_same(body) {
                return Some(read);
            }
            if self.passed.len() == AHEAD_MAX {
                self.passed.pop_front();
            }
            self.passed.push_back((other, read));
        }
        // This one is read by who sends it, and perhaps the next one.
        self.shared.from.store(self.sent + 1, Ordering::Relaxed);
        None
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while self.shared.read.pop().is_some() {}
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of its is of no interest: whatever it did not read was read by others.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::arena::Arena;

    fn bodies(n: usize) -> Vec<Pieces> {
        let mut arena = Arena::default();
        let (open, close) = (arena.add(br#"{"prompt":"a b "#), arena.add(br#"","max_tokens":7}"#));
        let words: Vec<_> = (0..n).map(|i| arena.add(format!("{i} ").repeat(20 + i).as_bytes())).collect();
        let arena = Arc::new(arena);
        words.into_iter().map(|words| Pieces::new(arena.clone(), vec![open, words, close])).collect()
    }

    #[test]
    fn what_is_read_ahead_is_what_is_read_in_place_in_any_order() {
        let by = (Api::Completions, 100_000);
        let sent = bodies(300);
        for (stride, least) in [(1, AHEAD_MAX), (7, AHEAD_MAX / 7), (299, 1)] {
            let mut ahead = ReadAhead::new(sent.clone().into_iter(), by);
            while !ahead.shared.read.is_full() {
                std::thread::yield_now();
            }
            let mut found = 0;
            for i in 0..sent.len() {
                let body = &sent[i * stride % sent.len()];
                if let Some(read) = ahead.take(body) {
                    assert_eq!(read, Asked::read(body, by));
                    found += 1;
                }
            }
            assert!(found >= least, "{found} were found ahead at strides of {stride}");
        }
    }

    #[test]
    fn it_ends_however_far_it_is_and_a_body_of_nobody_is_not_found() {
        for n in [0, 1, 500] {
            let mut ahead = ReadAhead::new(bodies(n).into_iter(), (Api::Completions, 100_000));
            assert_eq!(ahead.take(&bodies(3)[2]), None);
        }
    }
}
