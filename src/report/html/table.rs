//! Heads and rows of text → one section with a table, which the page's script lets one sort and copy.
//!
//! Invariants: every cell is escaped; the first of a row is its head.

use super::escape::escape;

/// A section with one table. Each row has as many cells as there are heads.
pub(super) fn table(heading: &str, note: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = heads.iter().map(|h| format!("<th scope=\"col\">{}</th>", escape(h))).collect();
    let row = |cells: &Vec<String>| {
        let mut text = format!("<tr><th scope=\"row\">{}</th>", escape(&cells[0]));
        text.extend(cells[1..].iter().map(|c| format!("<td>{}</td>", escape(c))));
        text + "</tr>"
    };
    format!(
        "<section><h2>{}</h2><p class=\"small\">{}</p><div class=\"scroll\"><table class=\"numbers\"><thead><tr>{head}</tr></thead>\
         <tbody>{}</tbody></table></div></section>\n",
        escape(heading),
        escape(note),
        rows.iter().map(row).collect::<String>()
    )
}
