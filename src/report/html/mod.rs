//! A recording and its numbers → one HTML page that needs nothing else: no network, no other file.
//!
//! In: rows (read once), summary, fidelity, verdict. Out: the page's text.
//! Invariants: a content security policy forbids loading, and any script and style but the page's own by their hashes; text
//! from outside passes `escape`; the size is bounded whatever the number of requests; equal input gives equal bytes; a
//! page without its script lacks conveniences and no number.
//! Not here: metrics, and any threshold.

mod axis;
pub mod comparison;
mod distributions;
mod escape;
mod fidelity;
mod figure;
pub mod goodput;
pub mod inspection;
mod over_time;
pub mod picture;
mod policy;
mod raster;
pub mod runs;
mod sections;
mod server;
mod shell;
mod slo_plane;
mod svg;
pub mod sweep;
mod table;
pub mod validation;

use crate::analysis::fidelity::Fidelity;
use crate::analysis::measured::Measured;
use crate::analysis::server::over_time::ServerOverTime;
use crate::analysis::{plane, raster as streams, spread, timeline};
use crate::error::Result;
use crate::metrics::Summary;
use crate::record::manifest::Verdict;
use crate::record::reader::Rows;
use crate::record::server::ServerRecording;
use crate::report::text::{fit, plain};
use crate::report::words;

use escape::escape_cut;
use figure::Figure;
use picture::Picture;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Intervals over time on a figure that is 400 points wide.
const BINS_MAX: usize = 120;
/// Below this many requests in a mean interval, its percentiles and rates are noise, and longer intervals are taken.
const REQUESTS_PER_BIN: usize = 6;
const BINS_MIN: usize = 30;

/// A page, of whatever kind.
#[derive(Debug)]
pub struct Page {
    /// The HTML document.
    pub text: String,
    figures: Vec<Figure>,
    /// What its numbers are of, and which program made it, in one line.
    source: String,
}

impl Page {
    /// A page with a title of any length and content.
    fn new(title: &str, body: &str, figures: impl IntoIterator<Item = Figure>) -> Page {
        Page {
            text: document(title, body),
            figures: figures.into_iter().collect(),
            source: format!("{}; by loadline {}:", fit(&plain(title), 120), env!("CARGO_PKG_VERSION")),
        }
    }

    /// Each plot of the page as a picture of its own, in the page's order. Its caption ends with what the numbers are of and `command`,
    /// the line that made them.
    pub fn pictures(&self, command: &[String]) -> Vec<Picture> {
        picture::pictures(&self.figures, &self.source, &shell::line(command))
    }
}

/// The page of one run, with the streams of the requests that are `asked` for beside those that are always drawn.
///
/// # Errors
/// Whatever the recording's reader reports.
pub fn render(
    rows: &dyn Rows,
    scrapes: Option<&ServerRecording>,
    asked: &[u64],
    summary: &Summary,
    fidelity: &Fidelity,
    verdict: &Verdict,
) -> Result<Page> {
    let manifest = rows.manifest();
    let measured = Measured::read(rows)?;
    let bins_max = (measured.requests.len() / REQUESTS_PER_BIN).clamp(BINS_MIN, BINS_MAX);
    let spread = spread::build(&measured);
    let timeline = timeline::build(&measured, bins_max);
    let plane = plane::build(&measured, slo_plane::bounds_ms(manifest));
    let streams = streams::build(rows, &measured, typical_gap_ms(summary), asked)?;
    let distributions = distributions::figures(&spread, manifest, summary);
    let tails = distributions::tails_and_lengths(&spread, manifest);
    let limits = [slo_plane::figure(plane.as_ref(), manifest, summary), raster::figure(streams.as_ref())];
    let expected = fidelity.prefixes.as_ref().and_then(|hits| hits.expected_share);
    let mut over_time = Vec::from(over_time::figures(&timeline, manifest));
    over_time.extend(over_time::failures(&timeline));
    over_time.extend(over_time::prefix_hits(&timeline, expected));
    let server = scrapes.map(|scrapes| ServerOverTime::of(scrapes, &timeline)).transpose()?;
    over_time.extend(server.iter().flat_map(|server| server::figures(server, &timeline)));
    let to_plan = fidelity::figures(fidelity, &timeline);
    let body = [
        sections::header(manifest, verdict),
        "<main>\n".into(),
        sections::verdict(verdict),
        sections::key_numbers(manifest, summary),
        format!(
            "<div class=\"pair\">\n{}{}</div>\n",
            sections::configuration(manifest, summary),
            sections::outcomes(manifest, summary)
        ),
        sections::metrics(summary),
        section("Distributions", &distributions),
        section("Tails and lengths", &tails),
        section("Limits and streams", &limits),
        section("Over time", &over_time),
        fidelity::section(fidelity, &to_plan),
        "</main>\n".into(),
        sections::footer(manifest),
    ];
    let figures = distributions.into_iter().chain(tails).chain(limits).chain(over_time).chain(to_plan);
    let page = Page::new(&manifest.model, &body.concat(), figures);
    // The version is that of the program that ran, not of this one.
    Ok(Page { source: sections::source(manifest), ..page })
}

/// The larger of the median ITL and the median gap between events: of a server that sends several tokens at once, the latter.
fn typical_gap_ms(summary: &Summary) -> f64 {
    let median = |name| words::stats(summary, name).map_or(0.0, |s| words::percentile(s, 50.0));
    median("inter_token_latency").max(median("inter_chunk_latency"))
}

/// A whole document around its body.
fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{} · loadline</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}<script>{SCRIPT}</script>\n</body>\n\
         </html>\n",
        policy::policy(STYLE, SCRIPT),
        escape_cut(title, 80),
    )
}

fn section(heading: &str, figures: &[Figure]) -> String {
    let figures: String = figures.iter().map(Figure::html).collect();
    format!("<section><h2>{heading}</h2><div class=\"figures\">\n{figures}</div></section>\n")
}

#[cfg(test)]
mod tests;
