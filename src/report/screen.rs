//! Lines → a block on a terminal that replaces itself, and is gone when this is dropped.
//!
//! Only the cursor is moved: no mode of the terminal is changed, so that nothing is left to restore, however the program ends.
//! Invariants: a frame is one write; it is never higher than the terminal.
//! Not here: what the lines say.

use std::io::Write;

/// A block of lines at the bottom of a terminal.
#[derive(Debug)]
pub(super) struct Screen<W: Write> {
    out: W,
    /// Lines of the frame that stands there now.
    shown: usize,
}

impl<W: Write> Screen<W> {
    /// An empty block.
    pub(super) fn new(out: W) -> Screen<W> {
        Screen { out, shown: 0 }
    }

    /// Replaces the block by these lines, as many as `rows` rows have room for.
    pub(super) fn draw(&mut self, lines: &[String], rows: usize) {
        // The cursor stands in the row below the block.
        let lines = &lines[..lines.len().min(rows.saturating_sub(1).max(1))];
        let mut frame = self.to_the_top();
        for line in lines {
            frame.push_str(line);
            // What the line before it left, and what stood below.
            frame.push_str("\x1b[K\n");
        }
        frame.push_str("\x1b[J");
        self.shown = lines.len();
        // A terminal that is gone is no reason to end a run.
        let _ = self.out.write_all(frame.as_bytes()).and_then(|()| self.out.flush());
    }

    fn to_the_top(&self) -> String {
        if self.shown > 0 { format!("\x1b[{}F", self.shown) } else { String::new() }
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        if self.shown > 0 {
            let clear = self.to_the_top() + "\x1b[J";
            let _ = self.out.write_all(clear.as_bytes()).and_then(|()| self.out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_replaces_the_one_before_and_the_last_one_is_cleared() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out);
        screen.draw(&["a".into(), "b".into(), "c".into()], 24);
        screen.draw(&["d".into(), "e".into(), "f".into()], 3);
        drop(screen);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "a\x1b[K\nb\x1b[K\nc\x1b[K\n\x1b[J\x1b[3Fd\x1b[K\ne\x1b[K\n\x1b[J\x1b[2F\x1b[J");
    }

    #[test]
    fn a_screen_without_a_frame_writes_nothing() {
        let mut out = Vec::new();
        drop(Screen::new(&mut out));
        assert!(out.is_empty());
    }
}
