//! What was said: the body of a request as it was sent, and its answer as it was received → `exchanges.bin`, and back.
//!
//! Kept only where it is asked for. The file is a row of frames, each of little-endian numbers: `request_id` (8 bytes), the lengths
//! of the body and of the text (4 each), the number of events (4; `DOCUMENT` for an answer that is no stream), then 13 bytes for
//! each event (`t_ns` 8, its end in the text 4, the length of its name 1), the body, the text. An event's part of the text is its
//! name, then its data.
//! Invariants: a frame that was cut off by a kill ends the file; a length is checked against the file before room is
//! made for it. Not here: what an event means.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

/// The file's name.
pub const FILE_NAME: &str = "exchanges.bin";
/// Most bytes of one answer that are kept. An exchange with a larger one is given up whole, and counted.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Most bytes of exchanges of one worker that wait for the writer. One that finds no room is given up, and counted.
pub const WAITING_BYTES_MAX: u64 = 128 << 20;
/// Stands for the number of events of an answer that is no stream.
const DOCUMENT: u32 = u32::MAX;
const HEAD_BYTES: usize = 20;
const EVENT_BYTES: usize = 13;

/// One event within an [`Exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpan {
    /// When it was seen, on the run's clock.
    pub t_ns: i64,
    /// Where it ends in the text; it begins where the one before it ends.
    pub end: u32,
    /// Bytes of its name, with which it begins.
    pub name_len: u8,
}

/// An answer as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The events of a stream; `None` for a document or an error page.
    pub events: Option<Vec<EventSpan>>,
    /// Names and data of all events, or the document.
    pub text: Vec<u8>,
}

impl Answer {
    /// Adds an event of a stream. False if it does not fit, and the answer can no more be whole.
    pub fn push(&mut self, name: &[u8], data: &[u8], t_ns: i64) -> bool {
        let end = self.text.len() + name.len() + data.len();
        let (Ok(name_len), true) = (u8::try_from(name.len()), end <= ANSWER_BYTES_MAX) else { return false };
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(data);
        self.events.get_or_insert_default().push(EventSpan { t_ns, end: end as u32, name_len });
        true
    }

    /// The events: when, name, data.
    pub fn events(&self) -> impl Iterator<Item = (i64, &[u8], &[u8])> {
        let mut start = 0;
        self.events.iter().flatten().map(move |event| {
            let all = &self.text[start..event.end as usize];
            start = event.end as usize;
            let (name, data) = all.split_at(usize::from(event.name_len).min(all.len()));
            (event.t_ns, name, data)
        })
    }
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The request.
    pub request_id: u64,
    /// Its body.
    pub body: Vec<u8>,
    /// What came back.
    pub answer: Answer,
}

impl Exchange {
    /// Memory that it takes on its way to the writer.
    pub fn bytes(&self) -> u64 {
        let events = self.answer.events.as_ref().map_or(0, Vec::len);
        (HEAD_BYTES + self.body.len() + self.answer.text.len() + events * size_of::<EventSpan>()) as u64
    }

    /// Writes it as one frame.
    ///
    /// # Errors
    /// As `out`'s.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let events = self.answer.events.as_deref();
        let mut head = Vec::with_capacity(HEAD_BYTES + events.map_or(0, <[_]>::len) * EVENT_BYTES);
        head.extend_from_slice(&self.request_id.to_le_bytes());
        let count = events.map_or(DOCUMENT, |events| events.len() as u32);
        for number in [self.body.len() as u32, self.answer.text.len() as u32, count] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        for event in events.unwrap_or_default() {
            head.extend_from_slice(&event.t_ns.to_le_bytes());
            head.extend_from_slice(&event.end.to_le_bytes());
            head.push(event.name_len);
        }
        out.write_all(&head)?;
        out.write_all(&self.body)?;
        out.write_all(&self.answer.text)
    }
}

/// Where the parts of a frame lie.
#[derive(Clone, Copy, Debug)]
struct Frame {
    start: u64,
    body_len: u32,
    text_len: u32,
    events: u32,
}

impl Frame {
    fn read(head: &[u8; HEAD_BYTES], start: u64) -> (u64, Frame) {
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let id = u64::from(number(0)) | u64::from(number(4)) << 32;
        (id, Frame { start, body_len: number(8), text_len: number(12), events: number(16) })
    }

    fn spans_bytes(&self) -> u64 {
        if self.events == DOCUMENT { 0 } else { u64::from(self.events) * EVENT_BYTES as u64 }
    }

    fn end(&self) -> u64 {
        self.start + HEAD_BYTES as u64 + self.spans_bytes() + u64::from(self.body_len) + u64::from(self.text_len)
    }
}

/// The exchanges of a run directory. Memory: 32 bytes for each request, and one exchange at a time.
#[derive(Debug)]
pub struct Exchanges {
    file: File,
    path: std::path::PathBuf,
    frames: HashMap<u64, Frame>,
}

impl Exchanges {
    /// Opens the file in a run directory; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Io`] where it is there and cannot be read.
    pub fn open(dir: &Path) -> Result<Option<Exchanges>> {
        let path = dir.join(FILE_NAME);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(Error::io(&path))?,
        };
        let length = file.metadata().map_err(Error::io(&path))?.len();
        let frames = scan(&file, length).map_err(Error::io(&path))?;
        Ok(Some(Exchanges { file, path, frames }))
    }

    /// The exchange of a request; `None` where it was not kept.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, or holds what no frame holds.
    pub fn of(&self, request_id: u64) -> Result<Option<Exchange>> {
        let Some(frame) = self.frames.get(&request_id) else { return Ok(None) };
        let read = frame.read_whole(request_id, |part, at| self.file.read_exact_at(part, at));
        read.map(Some).map_err(Error::io(&self.path))
    }
}

impl Frame {
    /// Reads the exchange; `read_at` fills a slice from a position.
    fn read_whole(&self, request_id: u64, read_at: impl Fn(&mut [u8], u64) -> io::Result<()>) -> io::Result<Exchange> {
        let mut at = self.start + HEAD_BYTES as u64;
        let mut next = |len: u64| {
            let mut part = vec![0; len as usize];
            read_at(&mut part, at)?;
            at += len;
            io::Result::Ok(part)
        };
        let spans = next(self.spans_bytes())?;
        let (body, text) = (next(self.body_len.into())?, next(self.text_len.into())?);
        let mut last = 0;
        let mut span = |bytes: &[u8; EVENT_BYTES]| {
            let [a, b, c, d, e, f, g, h, i, j, k, l, name_len] = *bytes;
            let (t_ns, end) = (i64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]));
            if end < last || end as usize > text.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an event lies outside its answer"));
            }
            last = end;
            Ok(EventSpan { t_ns, end, name_len })
        };
        let spans: Vec<EventSpan> = spans.as_chunks().0.iter().map(&mut span).collect::<io::Result<_>>()?;
        let events = (self.events != DOCUMENT).then_some(spans);
        Ok(Exchange { request_id, body, answer: Answer { events, text } })
    }
}

/// Finds the whole frames of a file; of two of one request, the last one.
fn scan(file: impl Read + Seek, length: u64) -> io::Result<HashMap<u64, Frame>> {
    let (mut file, mut start, mut frames) = (BufReader::new(file), 0, HashMap::new());
    let mut head = [0; HEAD_BYTES];
    while start + HEAD_BYTES as u64 <= length {
        file.read_exact(&mut head)?;
        let (id, frame) = Frame::read(&head, start);
        let end = frame.end();
        if end > length {
            break;
        }
        frames.insert(id, frame);
        file.seek(SeekFrom::Start(end))?;
        start = end;
    }
    Ok(frames)
}

/// Reads any bytes as a file of exchanges, and gives how many it holds.
///
/// # Panics
/// Where an exchange that was read does not write the bytes that it was read from.
pub fn fuzz_exchanges(bytes: &[u8]) -> usize {
    let Ok(frames) = scan(io::Cursor::new(bytes), bytes.len() as u64) else { return 0 };
    let copy = |part: &mut [u8], at: u64| {
        part.copy_from_slice(&bytes[at as usize..][..part.len()]);
        Ok(())
    };
    let mut read = 0;
    for (id, frame) in frames {
        let Ok(exchange) = frame.read_whole(id, copy) else { continue };
        let mut again = Vec::new();
        let written = exchange.write(&mut again);
        assert!(written.is_ok() && again == bytes[frame.start as usize..frame.end() as usize], "{exchange:?}");
        let texts: usize = exchange.answer.events().map(|(_, name, data)| name.len() + data.len()).sum();
        assert!(texts <= exchange.answer.text.len(), "{exchange:?}");
        read += 1;
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Seed, Stream};
    use rand::RngExt;

    const CORPUS: &str = "fuzz/corpus/exchanges";

    fn corpus() -> Vec<Vec<u8>> {
        let files: Vec<_> = std::fs::read_dir(CORPUS).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 4, "{CORPUS} has only {} files", files.len());
        files.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    #[test]
    fn the_fuzz_corpus_is_read_and_no_change_of_it_is_a_panic() {
        assert_eq!(corpus().iter().map(|bytes| fuzz_exchanges(bytes)).max(), Some(3));
        let mut rng = Seed(11).stream(Stream::Simulation);
        for bytes in corpus().iter().filter(|bytes| !bytes.is_empty()) {
            for round in 0..300 {
                let mut broken = bytes.clone();
                for _ in 0..rng.random_range(1..4) {
                    let at = rng.random_range(0..broken.len());
                    broken[at] = if rng.random() { rng.random() } else { 0xff };
                }
                broken.truncate(rng.random_range(0..=broken.len()));
                let read = std::panic::catch_unwind(|| fuzz_exchanges(&broken));
                assert!(read.is_ok(), "round {round}: {}", broken.escape_ascii());
            }
        }
    }

    #[test]
    #[ignore = "writes the seeds of the fuzzer"]
    fn write_the_corpus() {
        let document = Answer { events: None, text: b"busy".to_vec() };
        let all = [exchange(7), Exchange { request_id: 1 << 40, body: b"{}".to_vec(), answer: document }, exchange(9)];
        let mut bytes = Vec::new();
        all.iter().for_each(|e| e.write(&mut bytes).unwrap());
        let mut outside = bytes.clone();
        outside[HEAD_BYTES + 8] = 200;
        let mut huge = bytes.clone();
        huge[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        std::fs::create_dir_all(CORPUS).unwrap();
        let cut = bytes[..bytes.len() - 3].to_vec();
        for (name, bytes) in [("whole", bytes), ("cut", cut), ("outside", outside), ("huge", huge), ("empty", vec![])] {
            std::fs::write(format!("{CORPUS}/{name}"), bytes).unwrap();
        }
    }

    fn exchange(request_id: u64) -> Exchange {
        let mut answer = Answer::default();
        assert!(answer.push(b"", b"{\"a\":1}", 10) && answer.push(b"ping", b"", 11) && answer.push(b"", b"[DONE]", 12));
        Exchange { request_id, body: format!("{{\"n\":{request_id}}}").into_bytes(), answer }
    }

    fn directory(name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("loadline-exchange-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(FILE_NAME), bytes).unwrap();
        dir
    }

    #[test]
    fn what_was_written_is_read_in_any_order_and_a_cut_frame_is_none() {
        let document = Answer { events: None, text: b"busy".to_vec() };
        let empty = Exchange { request_id: 3, body: Vec::new(), answer: Answer { events: Some(vec![]), text: vec![] } };
        let all = [exchange(7), Exchange { request_id: 1 << 40, body: b"{}".to_vec(), answer: document }, empty];
        let mut bytes = Vec::new();
        all.iter().for_each(|e| e.write(&mut bytes).unwrap());
        let whole = bytes.len();
        exchange(9).write(&mut bytes).unwrap();
        for cut in [whole, whole + 5, bytes.len() - 1] {
            let dir = directory(&cut.to_string(), &bytes[..cut]);
            let read = Exchanges::open(&dir).unwrap().unwrap();
            for one in all.iter().rev() {
                assert_eq!(read.of(one.request_id).unwrap().as_ref(), Some(one), "cut at {cut}");
            }
            assert_eq!(read.of(9).unwrap(), None);
            std::fs::remove_dir_all(dir).unwrap();
        }
        let heard = exchange(7).answer;
        let heard: Vec<_> = heard.events().collect();
        assert_eq!(heard, [(10, &b""[..], &b"{\"a\":1}"[..]), (11, b"ping", b""), (12, b"", b"[DONE]")]);
    }

    #[test]
    fn an_answer_without_room_and_a_hostile_frame_are_refused() {
        let mut answer = Answer::default();
        assert!(answer.push(b"", &vec![b'x'; ANSWER_BYTES_MAX], 0) && !answer.push(b"", b"y", 0));
        let mut bytes = Vec::new();
        exchange(1).write(&mut bytes).unwrap();
        bytes[HEAD_BYTES + 8] = 200;
        let dir = directory("hostile", &bytes);
        let told = Exchanges::open(&dir).unwrap().unwrap().of(1).unwrap_err().to_string();
        assert!(told.contains("outside its answer"), "{told}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
