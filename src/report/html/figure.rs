//! A drawing, its legend and its numbers → one `<figure>`; or a box that says why there is none.
//!
//! Not here: which drawings a page has ([`super::distributions`], [`super::over_time`]).

use super::escape::escape;
use super::svg::Chart;

/// One entry of a legend: the class of the mark, whether it is an area, and its name.
pub(super) struct Key {
    /// Class that the marks are drawn with.
    pub(super) class: &'static str,
    /// Whether the mark is an area and not a line.
    pub(super) area: bool,
    /// What it shows.
    pub(super) name: &'static str,
}

impl Key {
    /// A line.
    pub(super) const fn line(class: &'static str, name: &'static str) -> Key {
        Key { class, area: false, name }
    }

    /// An area.
    pub(super) const fn area(class: &'static str, name: &'static str) -> Key {
        Key { class, area: true, name }
    }
}

/// A figure with its heading, legend and caption. The caption carries n and units.
pub(super) fn figure(heading: &str, keys: &[Key], chart: Chart, caption: &str) -> String {
    with_legend(heading, keys, chart, "", caption, "")
}

/// The same with markup of this program below the drawing, and attributes of this program on the figure.
pub(super) fn with_legend(
    heading: &str,
    keys: &[Key],
    chart: Chart,
    below: &str,
    caption: &str,
    attributes: &str,
) -> String {
    let legend: String = keys.iter().map(legend_entry).collect();
    let space = if attributes.is_empty() { "" } else { " " };
    format!(
        "<figure{space}{attributes}><h3>{}</h3><p class=\"legend\">{legend}</p>{}{below}<figcaption>{}</figcaption></figure>\n",
        escape(heading),
        chart.finish(),
        escape(caption)
    )
}

/// A figure without data.
pub(super) fn no_data(heading: &str, reason: &str) -> String {
    format!(
        "<figure><h3>{}</h3><p class=\"empty\">no data</p><figcaption>{}</figcaption></figure>\n",
        escape(heading),
        escape(reason)
    )
}

fn legend_entry(key: &Key) -> String {
    let (class, name) = (key.class, escape(key.name));
    let mark = if key.area {
        format!("<rect class=\"band {class}\" width=\"22\" height=\"9\"/>")
    } else {
        format!("<path class=\"line {class}\" d=\"M0 4.5H22\"/>")
    };
    format!("<span><svg class=\"key\" viewBox=\"0 0 22 9\" aria-hidden=\"true\">{mark}</svg>{name}</span> ")
}
