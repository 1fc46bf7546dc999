//! Text from outside → text that is safe in HTML content, in quoted attributes and in inline SVG.

use crate::report::text::{fit, plain};

/// Escapes markup, and shows control and invisible characters instead of passing them on. The only way in which text
/// that did not come from this program enters the page.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The same, cut to `columns` first, so that no input can grow the page.
pub(super) fn escape_cut(text: &str, columns: usize) -> String {
    escape(&fit(text, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_opens_markup_is_left() {
        assert_eq!(escape("<a href=\"x\" id='y'>&\0"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;\\u{0}");
        assert_eq!(escape_cut("<<<<", 3), "&lt;&lt;…");
    }
}
