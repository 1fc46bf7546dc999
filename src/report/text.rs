//! Text from outside → text that cannot move the cursor, hide itself or break the layout.
//!
//! Invariant: what comes out has no control character and no character that reorders or hides others.

use std::fmt::Write as _;

/// `text` with its control, bidirectional and invisible characters written as escapes.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff
        | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
}

/// Columns that `text` takes on a terminal. East Asian wide characters and emoji take two.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60
        | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd);
    if wide { 2 } else { 1 }
}

/// `text` cut to `columns`, with an ellipsis where something was cut.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.into();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += char_width(c);
        if used > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// `text` padded with spaces on the right to `columns`.
pub(super) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// `text` in lines of at most `columns`, broken between words, and within a word only where it is longer than a line.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        if used > 0 && used + 1 + width(word) > columns {
            lines.push(String::new());
            used = 0;
        }
        for c in (if used > 0 { " " } else { "" }).chars().chain(word.chars()) {
            if used > 0 && used + char_width(c) > columns {
                lines.push(String::new());
                used = 0;
            }
            used += char_width(c);
            lines.last_mut().expect("it starts with one line").push(c);
        }
    }
    lines
}

/// Cells as lines: the first column to the left, the others to the right.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let widest = |c: usize| rows.iter().map(|r| width(&r[c])).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(widest);
    let line = |r: &[String; N]| {
        let cells = r.iter().zip(&widths).enumerate().map(|(c, (text, columns))| match c {
            0 => pad(text, *columns),
            _ => format!("  {}{text}", " ".repeat(columns - width(text))),
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_can_move_the_cursor_or_hide() {
        assert_eq!(
            plain("a\x1b[2Jb\r\n\u{9b}31m\u{202e}c\u{200b}é漢"),
            "a\\u{1b}[2Jb\\r\\n\\u{9b}31m\\u{202e}c\\u{200b}é漢"
        );
    }

    #[test]
    fn cutting_and_wrapping_keep_to_the_columns() {
        assert_eq!(
            (fit("abcdef", 6), fit("abcdef", 5), fit("漢字漢字", 6)),
            ("abcdef".into(), "abcd…".into(), "漢字…".into())
        );
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("a abcdefgh b", 3), ["a", "abc", "def", "gh", "b"]);
        assert_eq!(wrap("", 3), [""]);
        assert_eq!(width(&pad("漢", 5)), 5);
    }
}
