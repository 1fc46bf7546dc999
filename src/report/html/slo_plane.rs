//! The plane of limits → its figure: where attainment reaches which share, and a corner that can be moved to any limits.
//!
//! Invariants: the picture and its sentence stand without a script, at the run's own objective; the counts travel with the figure,
//! so that what the script says is exact. Not here: the counts ([`crate::analysis::plane`]), the moving (`page.js`).

use std::fmt::Write as _;

use crate::analysis::plane::Plane;
use crate::metrics::Summary;
use crate::record::manifest::Manifest;
use crate::report::number::{count, number, percent};

use super::axis::Axis;
use super::escape::escape;
use super::figure::{Figure, Key, no_data, with_legend};
use super::svg::Chart;

const HEADING: &str = "Goodput for any limits on TTFT and ITL";
/// Shares of attainment whose regions are drawn, and how.
const SHARES: [(f64, Key); 3] = [
    (0.5, Key::area("s4 faint", "50 % or more meet them")),
    (0.9, Key::area("s4", "90 %")),
    (0.99, Key::area("s1", "99 %")),
];

/// The bounds that the objective sets on TTFT and on ITL.
pub(super) fn bounds_ms(manifest: &Manifest) -> [Option<f64>; 2] {
    ["time_to_first_token", "inter_token_latency"]
        .map(|metric| manifest.slo.iter().find(|s| s.metric == metric).map(|s| s.bound))
}

/// The figure.
pub(super) fn figure(plane: Option<&Plane>, manifest: &Manifest, summary: &Summary) -> Figure {
    let Some(plane) = plane else {
        return no_data(HEADING, "No completed request has both a TTFT and an ITL.");
    };
    let met = plane.met();
    let columns = plane.ttft_ms.len();
    let bounds = bounds_ms(manifest);
    let corner = [(&plane.ttft_ms, bounds[0]), (&plane.itl_ms, bounds[1])].map(|(limits, bound)| place(limits, bound));
    let [x, y] = [plane.ttft_ms[corner[0]], plane.itl_ms[corner[1]]];
    let caption = caption(plane, manifest);
    let log = |label: &str, limits: &[f64]| Axis::log(label, limits.iter().copied());
    let axes = (log("TTFT limit, ms, log scale", &plane.ttft_ms), log("ITL limit, ms, log scale", &plane.itl_ms));
    let mut chart = Chart::new(HEADING, &caption, axes, 1);
    let mut keys = Vec::new();
    for (share, key) in SHARES {
        let edge = edge(plane, &met, share);
        if !edge.is_empty() {
            chart.upper_right(key.class, &edge);
            keys.push(key);
        }
    }
    if let [Some(ttft), Some(itl)] = bounds {
        let met = met[corner[1] * columns + corner[0]] as f64 / plane.ended.max(1) as f64;
        chart.reference_x("slo", ttft, &format!("SLO {} ms, {} ms: {}", number(ttft), number(itl), percent(met)));
        chart.reference_y("slo", itl, "");
    }
    chart.corner((x, y));
    let n = met[corner[1] * columns + corner[0]];
    let rate = match summary.window_s {
        s if s > 0.0 => format!("{} good req/s, ", number(n as f64 / s)),
        _ => String::new(),
    };
    let says = format!(
        "TTFT at most {} ms and ITL at most {} ms: {rate}attainment {} ({} of {})",
        number(x),
        number(y),
        percent(n as f64 / plane.ended.max(1) as f64),
        count(n),
        count(plane.ended)
    );
    let join = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    let (at_x, at_y) = chart.places(&plane.ttft_ms, &plane.itl_ms);
    let data = format!(
        "data-plane=\"{} {} {} {}\" data-x=\"{}\" data-y=\"{}\" data-at-x=\"{at_x}\" data-at-y=\"{at_y}\" data-base=\"{}\" \
         data-cells=\"{}\"",
        plane.ended.max(1),
        summary.window_s,
        corner[0],
        corner[1],
        join(&plane.ttft_ms),
        join(&plane.itl_ms),
        chart.base(),
        cells(plane)
    );
    with_legend(HEADING, &keys, chart, &format!("<output>{}</output>", escape(&says)), &caption, &data)
}

fn caption(plane: &Plane, manifest: &Manifest) -> String {
    let pairs: u64 = plane.cells.iter().sum();
    let others = manifest.slo.len() - bounds_ms(manifest).iter().flatten().count().min(manifest.slo.len());
    let others = match others {
        0 => "",
        _ => " The objective's other bounds are not in it.",
    };
    format!(
        "Completed requests whose TTFT (from sent) and mean ITL are at most the limits, exact at {} × {} limits. n = {} with \
         both, of {} that ended; one without either counts as not good.{others}",
        plane.ttft_ms.len(),
        plane.itl_ms.len(),
        count(pairs),
        count(plane.ended)
    )
}

/// The place of a bound among the limits; without one, of a limit in the upper third.
fn place(limits: &[f64], bound: Option<f64>) -> usize {
    bound.and_then(|bound| limits.iter().position(|l| *l == bound)).unwrap_or((limits.len() - 1) * 2 / 3)
}

/// For each limit of TTFT, with which some limit of ITL keeps `share`: that TTFT and the least such ITL.
fn edge(plane: &Plane, met: &[u64], share: f64) -> Vec<(f64, f64)> {
    let columns = plane.ttft_ms.len();
    let least = |x: usize| {
        let y = (0..plane.itl_ms.len()).find(|y| met[y * columns + x] as f64 >= share * plane.ended as f64)?;
        Some((plane.ttft_ms[x], plane.itl_ms[y]))
    };
    (0..columns).filter_map(least).collect()
}

/// The cells that hold requests: steps from the one before, and their numbers.
fn cells(plane: &Plane) -> String {
    let mut text = String::new();
    let mut last = 0;
    for (i, n) in plane.cells.iter().enumerate().filter(|(_, n)| **n > 0) {
        let _ = write!(text, "{}x{n} ", i - last);
        last = i;
    }
    text
}
