//! Marks on two axes → one inline SVG drawing.
//!
//! In: axes, marks in data units, texts of this program. Out: the inside of an `<svg>`, with a title and a description; its
//! colours come from the page's style sheet by class.
//! Invariants: labels never overlap (ticks that would are left out, each reference line has a row of its own);
//! coordinates are rounded, so that equal data gives equal bytes; texts are escaped here.
//! Not here: which data, which colours.

use std::fmt::Write as _;

use super::axis::Axis;
use super::escape::escape;

/// Width of a drawing, in points.
pub(super) const WIDTH: f64 = 460.0;
/// Height of a drawing, in points.
pub(super) const HEIGHT: f64 = 236.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
/// Room for the label of the y axis.
const TOP: f64 = 22.0;
/// Room for tick texts and the label of the x axis.
const BOTTOM: f64 = 36.0;
/// Height of one row of reference labels.
const ROW: f64 = 14.0;
/// Mean width of a character at the size of tick texts, on the wide side.
const CHAR_WIDTH: f64 = 6.6;

/// A drawing in progress.
#[derive(Debug)]
pub(super) struct Chart {
    title: String,
    description: String,
    x: Axis,
    y: Axis,
    top: f64,
    marks: String,
    labels: String,
    references_drawn: u32,
    /// Where lines bend and dots lie, for labels to keep out of their way.
    bends: Vec<(f64, f64)>,
}

/// From, to, and what holds between them.
pub(super) type Interval<T> = (f64, f64, T);

/// A bar, or a part of the plot that tells its numbers when the pointer rests on it.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    /// Left edge.
    pub(super) from: f64,
    /// Right edge.
    pub(super) to: f64,
    /// Height of the bar; of no meaning to [`Chart::hover`].
    pub(super) height: f64,
    /// What the pointer tells.
    pub(super) note: String,
}

impl Chart {
    /// An empty plot with room for `references` vertical reference lines.
    pub(super) fn new(title: &str, description: &str, axes: (Axis, Axis), references: u32) -> Chart {
        Chart {
            title: title.into(),
            description: description.into(),
            x: axes.0,
            y: axes.1,
            top: TOP + ROW * f64::from(references),
            marks: String::new(),
            labels: String::new(),
            references_drawn: 0,
            bends: Vec::new(),
        }
    }

    fn x_at(&self, value: f64) -> f64 {
        LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_at(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - BOTTOM - self.top)
    }

    /// A curve that rises at each point to its value: an empirical CDF.
    pub(super) fn rise(&mut self, class: &str, points: &[(f64, f64)]) {
        let Some(first) = points.first() else { return };
        let mut path = format!("M{:.1} {:.1}", self.x_at(first.0), self.y_at(0.0));
        for &(x, y) in points {
            let _ = write!(path, "H{:.1}V{:.1}", self.x_at(x), self.y_at(y));
        }
        let _ = write!(self.marks, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// A curve that falls from 1 at each point to what is left of its share: the share of values above each.
    pub(super) fn fall(&mut self, class: &str, cdf: &[(f64, f64)]) {
        let Some(first) = cdf.first() else { return };
        let mut path = format!("M{:.1} {:.1}", self.x_at(first.0), self.y_at(1.0));
        for &(x, share) in cdf {
            let _ = write!(path, "H{:.1}V{:.1}", self.x_at(x), self.y_at(1.0 - share));
        }
        let _ = write!(self.marks, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// A line through all points, in their order.
    pub(super) fn curve(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            let at = (self.x_at(x), self.y_at(y));
            let _ = write!(path, "{}{:.1} {:.1}", if i == 0 { "M" } else { "L" }, at.0, at.1);
            self.bends.push(at);
        }
        let _ = write!(self.marks, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// A level for each interval `(from, to, value)`; a missing value leaves a gap.
    pub(super) fn steps(&mut self, class: &str, intervals: &[Interval<Option<f64>>]) {
        let mut path = String::new();
        let mut drawing = false;
        for &(from, to, value) in intervals {
            if let Some(value) = value {
                let (x, y) = (self.x_at(from), self.y_at(value));
                let _ = if drawing { write!(path, "V{y:.1}") } else { write!(path, "M{x:.1} {y:.1}") };
                let _ = write!(path, "H{:.1}", self.x_at(to));
            }
            drawing = value.is_some();
        }
        let _ = write!(self.marks, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// The area between two levels of each interval `(from, to, low and high)`; a missing pair leaves a gap.
    pub(super) fn band(&mut self, class: &str, intervals: &[Interval<Option<(f64, f64)>>]) {
        let mut path = String::new();
        for stretch in intervals.split(|i| i.2.is_none()).filter(|s| !s.is_empty()) {
            let levels = || stretch.iter().filter_map(|&(from, to, pair)| pair.map(|p| (from, to, p)));
            let _ = write!(path, "M{:.1} {:.1}", self.x_at(stretch[0].0), self.y_at(stretch[0].2.map_or(0.0, |p| p.1)));
            for (_, to, (_, high)) in levels() {
                let _ = write!(path, "V{:.1}H{:.1}", self.y_at(high), self.x_at(to));
            }
            for (from, _, (low, _)) in levels().rev() {
                let _ = write!(path, "V{:.1}H{:.1}", self.y_at(low), self.x_at(from));
            }
            path.push('Z');
        }
        let _ = write!(self.marks, "<path class=\"band {class}\" d=\"{path}\"/>");
    }

    /// Bars that stand on the x axis.
    pub(super) fn bars(&mut self, class: &str, bars: &[Slice]) {
        let base = self.y_at(0.0);
        for bar in bars.iter().filter(|b| b.height > 0.0) {
            let (x0, x1, y) = (self.x_at(bar.from), self.x_at(bar.to), self.y_at(bar.height));
            let _ = write!(
                self.marks,
                "<rect class=\"bar {class}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
                 <title>{}</title></rect>",
                x0 + 0.5,
                (x1 - x0 - 1.0).max(0.5),
                base - y,
                escape(&bar.note)
            );
        }
    }

    /// Upright strokes at each of `xs`, between two levels.
    pub(super) fn strokes(&mut self, class: &str, levels: (f64, f64), xs: impl Iterator<Item = f64>) {
        let (y0, y1) = (self.y_at(levels.0), self.y_at(levels.1));
        let mut path = String::new();
        for x in xs {
            let _ = write!(path, "M{:.1} {y0:.1}V{y1:.1}", self.x_at(x));
        }
        if !path.is_empty() {
            let _ = write!(self.marks, "<path class=\"line {class}\" d=\"{path}\"/>");
        }
    }

    /// A row between two levels that tells its numbers when the pointer rests on it.
    pub(super) fn hover_row(&mut self, levels: (f64, f64), note: &str) {
        let (bottom, top) = (self.y_at(levels.0), self.y_at(levels.1));
        let _ = write!(
            self.labels,
            "<rect class=\"hover\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{}\" height=\"{:.1}\"><title>{}</title></rect>",
            WIDTH - LEFT - RIGHT,
            bottom - top,
            escape(note)
        );
    }

    /// All above and to the right of a staircase that falls from left to right.
    pub(super) fn upper_right(&mut self, class: &str, edge: &[(f64, f64)]) {
        let Some(first) = edge.first() else { return };
        let mut path = format!("M{:.1} {:.1}", self.x_at(first.0), self.top);
        for &(x, y) in edge {
            let _ = write!(path, "H{:.1}V{:.1}", self.x_at(x), self.y_at(y));
        }
        let _ = write!(self.marks, "<path class=\"band {class}\" d=\"{path}H{:.1}V{:.1}Z\"/>", WIDTH - RIGHT, self.top);
    }

    /// The corner of a pair of limits, and what lies within them.
    pub(super) fn corner(&mut self, at: (f64, f64)) {
        let (x, y) = (self.x_at(at.0), self.y_at(at.1));
        let _ = write!(
            self.labels,
            "<rect class=\"reach\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             <circle class=\"corner\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>",
            x - LEFT,
            self.base() - y
        );
    }

    /// Where the x axis lies.
    pub(super) fn base(&self) -> f64 {
        HEIGHT - BOTTOM
    }

    /// Where values of both axes lie, as texts.
    pub(super) fn places(&self, x: &[f64], y: &[f64]) -> (String, String) {
        let join = |places: Vec<String>| places.join(" ");
        (
            join(x.iter().map(|v| format!("{:.1}", self.x_at(*v))).collect()),
            join(y.iter().map(|v| format!("{:.1}", self.y_at(*v))).collect()),
        )
    }

    /// A dot on a curve that tells its numbers.
    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), note: &str) {
        self.bends.push((self.x_at(at.0), self.y_at(at.1)));
        let _ = write!(
            self.marks,
            "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}</title></circle>",
            self.x_at(at.0),
            self.y_at(at.1),
            escape(note)
        );
    }

    /// Invisible slices over the whole height that tell their numbers. Drawn last, they lie on top.
    pub(super) fn hover(&mut self, slices: &[Slice]) {
        for slice in slices {
            let (x0, x1) = (self.x_at(slice.from), self.x_at(slice.to));
            let _ = write!(
                self.labels,
                "<rect class=\"hover\" x=\"{x0:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
                 <title>{}</title></rect>",
                self.top,
                (x1 - x0).max(0.1),
                HEIGHT - BOTTOM - self.top,
                escape(&slice.note)
            );
        }
    }

    /// A vertical line at `value` with its label above the plot. Call from the lowest value to the highest, so that
    /// no line crosses another's label.
    pub(super) fn reference_x(&mut self, class: &str, value: f64, label: &str) {
        let x = self.x_at(value);
        let y = TOP + 4.0 + ROW * f64::from(self.references_drawn);
        self.references_drawn += 1;
        let bottom = HEIGHT - BOTTOM;
        let _ = write!(self.marks, "<path class=\"line {class}\" d=\"M{x:.1} {:.1}V{bottom}\"/>", y - 10.0);
        let fits = x + 4.0 + label.chars().count() as f64 * CHAR_WIDTH < WIDTH;
        let (anchor, at) = if fits { ("start", x + 4.0) } else { ("end", x - 4.0) };
        let _ = write!(
            self.labels,
            "<text class=\"note\" text-anchor=\"{anchor}\" x=\"{at:.1}\" y=\"{y:.1}\">{}</text>",
            escape(label)
        );
    }

    /// A horizontal line at `value`, its label at the right end, or at the left where lines or dots that are drawn already lie on the right one alone.
    pub(super) fn reference_y(&mut self, class: &str, value: f64, label: &str) {
        let y = self.y_at(value);
        let right = WIDTH - RIGHT;
        let _ = write!(self.marks, "<path class=\"line {class}\" d=\"M{LEFT} {y:.1}H{right}\"/>");
        let width = label.chars().count() as f64 * CHAR_WIDTH;
        let is_free = |from: f64| {
            let lies = |at: &(f64, f64)| (from..=from + width).contains(&at.0) && (y - ROW..=y).contains(&at.1);
            // Between two bends a line is straight, and lies over the label between its ends there.
            let passes = |pair: &[(f64, f64)]| {
                let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
                let (low, high) = (x0.max(from), x1.min(from + width));
                let at = |x: f64| y0 + (x - x0) / (x1 - x0) * (y1 - y0);
                low < high && at(low).max(at(high)) >= y - ROW && at(low).min(at(high)) <= y
            };
            !self.bends.iter().any(lies) && !self.bends.windows(2).any(passes)
        };
        let (anchor, x) =
            if !is_free(right - width) && is_free(LEFT + 4.0) { ("start", LEFT + 4.0) } else { ("end", right) };
        let _ = write!(
            self.labels,
            "<text class=\"note\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{:.1}\">{}</text>",
            y - 4.0,
            escape(label)
        );
    }

    /// The inside of the drawing's `<svg>`.
    pub(super) fn finish(self) -> String {
        let mut svg = format!("<title>{}</title><desc>{}</desc>", escape(&self.title), escape(&self.description));
        self.write_axes(&mut svg);
        svg + &self.marks + &self.labels
    }

    fn write_axes(&self, svg: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for (value, text) in self.y.ticks() {
            let y = self.y_at(value);
            // Left of the axis there is room for six characters: 400,000 is written as 400k.
            let text = text.strip_suffix(",000").filter(|_| text.len() > 6).map_or(text.clone(), |t| format!("{t}k"));
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{text}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let mut free_from = 0.0;
        for (value, text) in self.x.ticks() {
            let x = self.x_at(value);
            let half = text.chars().count() as f64 * CHAR_WIDTH / 2.0;
            let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} {:.1}V{bottom}\"/>", self.top);
            if x - half < free_from || x + half > WIDTH {
                continue;
            }
            free_from = x + half + CHAR_WIDTH;
            let _ = write!(
                svg,
                "<text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>",
                bottom + 14.0
            );
        }
        let _ = write!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {:.1}V{bottom}H{right}\"/>\
             <text class=\"label\" x=\"2\" y=\"12\">{}</text>\
             <text class=\"label\" text-anchor=\"end\" x=\"{right}\" y=\"{:.1}\">{}</text>",
            self.top,
            escape(&self.y.label),
            HEIGHT - 5.0,
            escape(&self.x.label)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart::new("T", "D", (Axis::up_to("x", 10.0), Axis::up_to("y", 1.0)), 0)
    }

    #[test]
    fn a_curve_goes_through_its_points_in_plot_coordinates() {
        let mut c = chart();
        c.rise("a", &[(0.0, 0.5), (10.0, 1.0)]);
        assert_eq!(c.marks, "<path class=\"line a\" d=\"M48.0 200.0H48.0V111.0H448.0V22.0\"/>");
    }

    #[test]
    fn a_tail_falls_at_each_value_to_the_share_above_it() {
        let axes = (Axis::up_to("x", 10.0), Axis::log("y", [0.1, 1.0]));
        let mut c = Chart::new("T", "D", axes, 0);
        c.fall("a", &[(0.0, 0.0), (5.0, 0.9), (10.0, 1.0)]);
        let (one, tenth, bottom) = (c.y_at(1.0), c.y_at(0.1), c.base());
        assert_eq!(
            c.marks,
            format!("<path class=\"line a\" d=\"M48.0 {one:.1}H48.0V{one:.1}H248.0V{tenth:.1}H448.0V{bottom:.1}\"/>")
        );
    }

    #[test]
    fn a_missing_interval_leaves_a_gap_in_lines_and_bands() {
        let mut c = chart();
        c.steps("a", &[(0.0, 2.5, Some(0.0)), (2.5, 5.0, None), (5.0, 10.0, Some(1.0))]);
        assert_eq!(c.marks, "<path class=\"line a\" d=\"M48.0 200.0H148.0M248.0 22.0H448.0\"/>");
        c.marks.clear();
        c.band("b", &[(0.0, 5.0, Some((0.0, 1.0))), (5.0, 10.0, None)]);
        assert_eq!(c.marks, "<path class=\"band b\" d=\"M48.0 22.0V22.0H248.0V200.0H48.0Z\"/>");
    }

    #[test]
    fn tick_texts_that_would_overlap_are_left_out() {
        let svg = Chart::new("T", "D", (Axis::log("x", [1e5, 9e7]), Axis::up_to("y", 1.0)), 0).finish();
        let mut ends = f64::MIN;
        let mut n = 0;
        for part in svg.split("text-anchor=\"middle\" x=\"").skip(1) {
            let (x, rest) = part.split_once('"').unwrap();
            let text = rest.split(['>', '<']).nth(1).unwrap();
            let (x, half): (f64, f64) = (x.parse().unwrap(), text.len() as f64 * CHAR_WIDTH / 2.0);
            assert!(x - half > ends, "{text} overlaps its neighbour");
            ends = x + half;
            n += 1;
        }
        assert!((4..9).contains(&n), "{n} of 9 texts are left");
    }

    #[test]
    fn large_values_of_the_y_axis_fit_beside_it() {
        let texts = |high: f64| Chart::new("T", "D", (Axis::up_to("x", 1.0), Axis::from_zero("y", high)), 0).finish();
        assert!(texts(400_000.0).contains(">400k<") && !texts(400_000.0).contains(">400,000<"));
        assert!(texts(50_000.0).contains(">50,000<"));
    }

    #[test]
    fn each_reference_line_has_a_row_and_stays_on_the_drawing() {
        let mut c = Chart::new("T", "D", (Axis::up_to("x", 10.0), Axis::up_to("y", 1.0)), 2);
        c.reference_x("r", 9.9, "p50 long label");
        c.reference_x("r", 10.0, "p99");
        assert!(
            c.labels.contains("text-anchor=\"end\"")
                && c.labels.contains("y=\"26.0\"")
                && c.labels.contains("y=\"40.0\"")
        );
    }

    #[test]
    fn the_label_of_a_horizontal_line_goes_to_the_end_that_is_free() {
        let label = |points: &[(f64, f64)]| {
            let mut c = chart();
            c.curve("a", points);
            c.reference_y("r", 0.5, "bound");
            c.labels
        };
        assert!(label(&[(0.0, 0.1), (10.0, 0.2)]).contains("text-anchor=\"end\" x=\"448\""));
        assert!(label(&[(0.0, 0.1), (9.0, 0.1), (10.0, 0.9)]).contains("text-anchor=\"start\" x=\"52\""));
        assert!(label(&[(0.0, 0.52), (10.0, 0.52)]).contains("text-anchor=\"end\""), "neither is free");
    }

    #[test]
    fn texts_are_escaped() {
        let mut c = Chart::new("<t>", "<d>", (Axis::up_to("<x>", 1.0), Axis::up_to("<y>", 1.0)), 1);
        c.reference_x("r", 0.5, "<r>");
        c.dot("d", (0.5, 0.5), "<n>");
        let svg = c.finish();
        for raw in ["<t>", "<d>", "<x>", "<y>", "<r>", "<n>"] {
            assert!(!svg.contains(raw) && svg.contains(&escape(raw)), "{raw}");
        }
    }
}
