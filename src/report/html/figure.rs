//! A drawing, its legend and its numbers → one `<figure>`; or a box that says why there is none.
//!
//! Not here: which drawings a page has ([`super::distributions`], [`super::over_time`]); the picture of its own that a
//! figure becomes ([`super::picture`]).

use std::borrow::Cow;

use super::escape::escape;
use super::svg::{Chart, HEIGHT, WIDTH};

/// One entry of a legend: the class of the mark, whether it is an area, and its name.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Class that the marks are drawn with.
    pub(super) class: &'static str,
    /// Whether the mark is an area and not a line.
    pub(super) area: bool,
    /// What it shows.
    pub(super) name: Cow<'static, str>,
}

impl Key {
    /// A line.
    pub(super) const fn line(class: &'static str, name: &'static str) -> Key {
        Key { class, area: false, name: Cow::Borrowed(name) }
    }

    /// A line whose name is the user's.
    pub(super) fn named(class: &'static str, name: String) -> Key {
        Key { class, area: false, name: Cow::Owned(name) }
    }

    /// An area.
    pub(super) const fn area(class: &'static str, name: &'static str) -> Key {
        Key { class, area: true, name: Cow::Borrowed(name) }
    }

    /// The mark, 22 × 9 points large.
    pub(super) fn mark(&self) -> String {
        let class = self.class;
        if self.area {
            format!("<rect class=\"band {class}\" width=\"22\" height=\"9\"/>")
        } else {
            format!("<path class=\"line {class}\" d=\"M0 4.5H22\"/>")
        }
    }
}

/// A figure of a page. The caption carries n and units.
#[derive(Debug)]
pub(super) struct Figure {
    /// What it shows.
    pub(super) heading: String,
    /// What its marks mean.
    pub(super) keys: Vec<Key>,
    /// The inside of the drawing's `<svg>`; none where there are no data.
    pub(super) drawing: Option<String>,
    /// The numbers in words, or why there are none.
    pub(super) caption: String,
    /// Markup of this program below the drawing.
    below: String,
    /// Attributes of this program on the element.
    attributes: String,
}

impl Figure {
    /// As part of a page.
    pub(super) fn html(&self) -> String {
        let (heading, caption) = (escape(&self.heading), escape(&self.caption));
        let Some(drawing) = &self.drawing else {
            return format!(
                "<figure><h3>{heading}</h3><p class=\"empty\">no data</p><figcaption>{caption}</figcaption></figure>\n"
            );
        };
        let space = if self.attributes.is_empty() { "" } else { " " };
        format!(
            "<figure{space}{}><h3>{heading}</h3><p class=\"legend\">{}</p>\
             <svg class=\"chart\" role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">{drawing}</svg>{}\
             <figcaption>{caption}</figcaption></figure>\n",
            self.attributes,
            self.keys.iter().map(legend_entry).collect::<String>(),
            self.below
        )
    }
}

/// A figure with its heading, legend and caption.
pub(super) fn figure(heading: &str, keys: &[Key], chart: Chart, caption: &str) -> Figure {
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
) -> Figure {
    Figure {
        heading: heading.into(),
        keys: keys.into(),
        drawing: Some(chart.finish()),
        caption: caption.into(),
        below: below.into(),
        attributes: attributes.into(),
    }
}

/// A figure without data.
pub(super) fn no_data(heading: &str, reason: &str) -> Figure {
    Figure {
        heading: heading.into(),
        keys: Vec::new(),
        drawing: None,
        caption: reason.into(),
        below: String::new(),
        attributes: String::new(),
    }
}

fn legend_entry(key: &Key) -> String {
    format!(
        "<span><svg class=\"key\" viewBox=\"0 0 22 9\" aria-hidden=\"true\">{}</svg>{}</span> ",
        key.mark(),
        escape(&key.name)
    )
}
