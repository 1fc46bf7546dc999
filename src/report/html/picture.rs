//! A figure of a page → a picture that stands alone: SVG with its legend, caption and command, and PNG of that.
//!
//! In: figures. Out: for each with a drawing a name, an SVG document in the page's light colours on white, and on request
//! its PNG, three dots to a point. Invariants: the SVG needs no style sheet and no font file; the PNG is drawn with the
//! font in `font/` and no other, so that equal data gives equal pixels on every host.
//! Not here: what a figure shows.

use std::sync::Arc;

use resvg::{tiny_skia, usvg};

use crate::error::{Error, Result};
use crate::report::text::fit;

use super::STYLE;
use super::escape::escape;
use super::figure::{Figure, Key};
use super::svg::{HEIGHT, WIDTH};

/// DejaVu Sans Condensed 2.37, cut down to Latin, Greek and what numbers need; `font/LICENSE`.
const FONT: &[u8] = include_bytes!("font/DejaVuSansCondensed-subset.ttf");
const FONT_NAME: &str = "DejaVu Sans Condensed";
const MARGIN: f64 = 12.0;
/// Dots of a PNG to each point of the SVG.
const SCALE: f32 = 3.0;
const HEADING_SIZE: f64 = 14.0;
const CAPTION_SIZE: f64 = 10.0;
/// Mean advance of a character, in parts of the font's size, on the wide side.
const ADVANCE: f64 = 0.52;
const LINE: f64 = 14.0;
/// Longest command of a caption, in characters.
const COMMAND_MAX: usize = 400;

/// A plot of a page, on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// A name for its files, without an extension: lower-case letters, digits and hyphens.
    pub name: String,
    /// The SVG document.
    pub svg: String,
}

impl Picture {
    /// The picture as a PNG file of 1452 dots in width.
    ///
    /// # Errors
    /// [`Error::Internal`] if the drawing is not one that can be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        let failed =
            |what: &dyn std::fmt::Display| Error::Internal(format!("the plot {} is not drawn: {what}", self.name));
        let tree = usvg::Tree::from_str(&self.svg, &options()).map_err(|e| failed(&e))?;
        let size = tree.size().to_int_size().scale_by(SCALE).ok_or_else(|| failed(&"its size"))?;
        let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).ok_or_else(|| failed(&"its size"))?;
        resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
        pixels.encode_png().map_err(|e| failed(&e))
    }
}

fn options() -> usvg::Options<'static> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FONT_NAME);
    usvg::Options { font_family: FONT_NAME.into(), fontdb: Arc::new(fonts), ..usvg::Options::default() }
}

/// The pictures of all figures that have a drawing, in their order. Each says below itself where its numbers come from.
pub(super) fn pictures(figures: &[Figure], source: &str, command: &str) -> Vec<Picture> {
    let mut pictures: Vec<Picture> = Vec::new();
    for figure in figures {
        let Some(drawing) = &figure.drawing else { continue };
        let slug = slug(&figure.heading);
        let twins = pictures
            .iter()
            .filter(|p| p.name.strip_prefix(&slug).is_some_and(|rest| !rest.contains(char::is_alphabetic)));
        let name = match twins.count() {
            0 => slug,
            n => format!("{slug}-{}", n + 1),
        };
        pictures.push(Picture { name, svg: document(figure, drawing, source, command) });
    }
    pictures
}

fn document(figure: &Figure, drawing: &str, source: &str, command: &str) -> String {
    let mut y = MARGIN + HEADING_SIZE;
    let mut body = text("title", &figure.heading, y);
    let (legend, legend_end) = legend(&figure.keys, y + 8.0);
    body += &legend;
    y = legend_end;
    body += &format!("<g class=\"chart\" transform=\"translate({MARGIN} {y:.1})\">{drawing}</g>");
    y += HEIGHT + 4.0;
    let paragraphs = [figure.caption.as_str(), source, &fit(command, COMMAND_MAX)];
    for line in paragraphs.into_iter().flat_map(wrapped) {
        y += LINE;
        body += &text("caption", &line, y);
    }
    let (width, height) = (WIDTH + 2.0 * MARGIN, (y + MARGIN).ceil());
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>text{{font-family:Arial,Helvetica,sans-serif}}.title{{font-size:{HEADING_SIZE}px;fill:#1c1d1f}}\
         .caption,.legend{{font-size:{CAPTION_SIZE}px;fill:#5b5f64}}{}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}\n</svg>\n",
        style()
    )
}

fn text(class: &str, text: &str, y: f64) -> String {
    format!("<text class=\"{class}\" x=\"{MARGIN}\" y=\"{y:.1}\">{}</text>\n", escape(text))
}

/// The legend from `y` on, and where it ends.
fn legend(keys: &[Key], mut y: f64) -> (String, f64) {
    let mut marks = String::new();
    let mut x = MARGIN;
    for key in keys {
        let width = 28.0 + key.name.chars().count() as f64 * CAPTION_SIZE * ADVANCE + 12.0;
        if x > MARGIN && x + width > WIDTH + 2.0 * MARGIN {
            (x, y) = (MARGIN, y + LINE);
        }
        marks += &format!(
            "<g transform=\"translate({x:.1} {y:.1})\">{}<text class=\"legend\" x=\"27\" y=\"8\">{}</text></g>\n",
            key.mark(),
            escape(&key.name)
        );
        x += width;
    }
    (marks, if keys.is_empty() { y } else { y + LINE })
}

/// A paragraph in lines that fit the width; a word that does not is broken.
fn wrapped(paragraph: &str) -> Vec<String> {
    let most = (WIDTH / (CAPTION_SIZE * ADVANCE)) as usize;
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for part in letters.chunks(most) {
            let part: String = part.iter().collect();
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + part.chars().count() <= most => {
                    line.push(' ');
                    line.push_str(&part);
                }
                _ => lines.push(part),
            }
        }
    }
    lines
}

/// The page's rules for drawings, with its light colours in place of variables.
fn style() -> String {
    let between = |from: &str, to: &str| {
        STYLE.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map_or("", |(rules, _)| rules).to_owned()
    };
    let colours = between(":root {", "}");
    let mut rules = between("/* Drawings */", "/* End of drawings */");
    for colour in colours.split(';') {
        if let Some((name, value)) = colour.split_once(':') {
            rules = rules.replace(&format!("var({})", name.trim()), value.trim());
        }
    }
    rules
}

fn slug(heading: &str) -> String {
    let words: Vec<String> = heading
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fixture::{Memory, fidelity_of, run_of, summary_of};
    use crate::analysis::verdict::judge;
    use crate::report::html;

    fn page(run: &Memory) -> html::Page {
        let (summary, fidelity) = (summary_of(run), fidelity_of(run));
        html::render(run, None, &[], &summary, &fidelity, &judge(&run.manifest, &summary, &fidelity)).unwrap()
    }

    fn dark_dots(png: &[u8]) -> usize {
        let pixels = tiny_skia::Pixmap::decode_png(png).unwrap();
        pixels.pixels().iter().filter(|p| p.red() < 200 && p.green() < 200 && p.blue() < 200).count()
    }

    #[test]
    fn every_plot_of_the_page_has_a_picture_with_its_caption_and_the_command() {
        let mut run = run_of(300, 1);
        run.manifest.command = ["loadline", "profile", "--header", "<x> & 'y'"].map(str::to_owned).to_vec();
        let page = page(&run);
        let pictures = page.pictures(&run.manifest.command);
        assert_eq!(pictures.len(), page.text.matches("<svg class=\"chart\"").count());
        let mut names: Vec<&str> = pictures.iter().map(|p| p.name.as_str()).collect();
        assert!(names.contains(&"time-to-first-token-distribution"), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), pictures.len(), "each has a name of its own");
        let drawn: Vec<&Figure> = page.figures.iter().filter(|f| f.drawing.is_some()).collect();
        for (picture, figure) in pictures.iter().zip(drawn) {
            let texts: Vec<&str> = picture.svg.split("<text class=\"caption\"").skip(1).collect();
            let texts: Vec<&str> = texts.iter().map(|t| t.split(['>', '<']).nth(1).unwrap()).collect();
            let said = texts.join(" ");
            assert!(said.starts_with(&escape(&figure.caption)), "{said}");
            assert!(
                said.ends_with(
                    "loadline profile --header &#39;&lt;x&gt; &amp; &#39;\\&#39;&#39;y&#39;\\&#39;&#39;&#39;"
                ),
                "{said}"
            );
            assert!(said.contains(&run.manifest.run_id) && said.contains(&escape(&run.manifest.model)));
            assert!(figure.keys.iter().all(|k| picture.svg.contains(&escape(&k.name))));
            assert!(!picture.svg.contains("var(") && picture.svg.contains("#0072b2"), "colours are written out");
        }
    }

    #[test]
    fn a_png_has_three_dots_to_a_point_and_holds_the_texts() {
        let pictures = page(&run_of(120, 2)).pictures(&[]);
        let picture = pictures.iter().find(|p| p.name == "requests-in-flight-over-time").unwrap();
        let png = picture.png().unwrap();
        let pixels = tiny_skia::Pixmap::decode_png(&png).unwrap();
        let height: u32 = picture.svg.split(" height=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        assert_eq!((pixels.width(), pixels.height()), (1452, 3 * height));
        assert_eq!(png, picture.png().unwrap(), "the same at every drawing");
        let blank =
            Picture { svg: picture.svg.replace("<text", "<desc").replace("</text", "</desc"), ..picture.clone() };
        let (all, without) = (dark_dots(&png), dark_dots(&blank.png().unwrap()));
        assert!(all > without + 5_000 && without > 1_000, "{all} dark dots, {without} of them not of texts");
        let broken = Picture { svg: "<svg".into(), ..picture.clone() };
        assert!(broken.png().unwrap_err().to_string().contains("requests-in-flight-over-time"));
    }

    #[test]
    fn long_words_are_broken_and_lines_stay_within_the_picture() {
        let long = format!("{} and {}", "x".repeat(300), "word ".repeat(60));
        let lines = wrapped(&long);
        let most = (WIDTH / (CAPTION_SIZE * ADVANCE)) as usize;
        assert!(lines.len() > 6 && lines.iter().all(|l| l.chars().count() <= most), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), long.replace(' ', ""));
        assert!(wrapped("").is_empty());
    }
}
