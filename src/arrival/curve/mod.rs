//! Turns an expression of time into a curve that knows its value, its integral and its inverse.
//!
//! In: text (`10 + sin(amplitude=5, period=60s)`). Out: a [`Curve`]. Invariant: the integral of every sum and product is a closed
//! form; nothing is stepped or sampled, except where the lowest and the highest point are looked for.
//! Not here: the random part of arrivals, which is `rescaled`.

mod expression;
mod functions;
mod pieces;
mod series;
mod wave;

use std::f64::consts::TAU;

pub use expression::ExpressionError;
use pieces::{Piece, Pieces};
use wave::Wave;

/// Beyond this time, in seconds, nothing is looked for: longer than any trace.
const END_OF_TIME_S: f64 = 1e10;
/// Samples per shortest swing where extremes are looked for, and the most samples in all.
const SAMPLES_PER_SWING: f64 = 32.0;
const MAX_SAMPLES: f64 = 4e6;

/// A function of time from 0 on: a rate in requests per second, or a share.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    text: String,
    pieces: Pieces,
    /// The integral up to the start of each piece.
    before: Vec<f64>,
}

/// Where a curve leaves its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excursion {
    /// When, in seconds.
    pub at_s: f64,
    /// What it is there: the local extreme.
    pub value: f64,
}

impl Curve {
    /// Reads an expression; its grammar stands in `curve/expression.rs`, its functions in METHODOLOGY.md.
    ///
    /// # Errors
    /// The first fault, with its place and a remedy.
    pub fn parse(text: &str) -> Result<Curve, ExpressionError> {
        Ok(Curve::new(text, expression::parse(text)?))
    }

    /// `middle + amplitude cos(2 pi t / period + phase)`.
    pub(super) fn cosine(middle: f64, amplitude: f64, period_s: f64, phase_rad: f64) -> Curve {
        let waves = vec![Wave::polynomial(vec![middle]), Wave::new(vec![amplitude], TAU / period_s, phase_rad)];
        let text = format!("{middle} + {amplitude} cos(2 pi t / {period_s} + {phase_rad})");
        Curve::new(&text, Pieces::always(waves))
    }

    /// The same curve up to `end_s`, and 0 from there on.
    pub fn until(self, end_s: f64) -> Curve {
        Curve::new(&self.text, self.pieces.until(end_s))
    }

    fn new(text: &str, pieces: Pieces) -> Curve {
        let mut before = vec![0.0];
        for pair in pieces.as_slice().windows(2) {
            before.push(before[before.len() - 1] + pair[0].integral(pair[1].start_s));
        }
        Curve { text: text.to_owned(), pieces, before }
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its value at `t_s` seconds.
    pub fn value(&self, t_s: f64) -> f64 {
        self.piece(t_s).1.value(t_s)
    }

    /// Its integral over `[0, t_s)`: of a rate, the number of requests to be expected.
    pub fn integral(&self, t_s: f64) -> f64 {
        let (index, piece) = self.piece(t_s);
        self.before[index] + piece.integral(t_s)
    }

    fn piece(&self, t_s: f64) -> (usize, &Piece) {
        let index = self.pieces.at(t_s);
        (index, &self.pieces.as_slice()[index])
    }

    /// The first time from `from_s` on at which the integral is `area`, to the resolution of a nanosecond; null where it
    /// never is. The integral at `from_s` must not be above `area`, and the curve must not be negative from there on.
    pub(super) fn time_of_integral(&self, area: f64, from_s: f64) -> Option<f64> {
        let mut index = self.pieces.at(from_s);
        while self.before.get(index + 1).is_some_and(|&before| before < area) {
            index += 1;
        }
        let piece = &self.pieces.as_slice()[index];
        let excess = |t_s: f64| piece.integral(t_s) - (area - self.before[index]);
        let end_s = self.pieces.as_slice().get(index + 1).map_or(END_OF_TIME_S, |next| next.start_s);
        // A bracket: on from what is known, by steps that double.
        let mut low = from_s.max(piece.start_s);
        let first = -excess(low) / piece.value(low);
        let mut step = if first > 0.0 && first.is_finite() { first } else { 1e-3 };
        let mut high = (low + step).min(end_s);
        while excess(high) < 0.0 {
            if high >= end_s {
                return (end_s < END_OF_TIME_S).then_some(end_s);
            }
            low = high;
            step *= 2.0;
            high = (low + step).min(end_s);
        }
        // Newton where it stays inside the bracket; bisection where the rate is too small for it.
        let mut t_s = f64::midpoint(low, high);
        for _ in 0..200 {
            let over = excess(t_s);
            if over > 0.0 {
                high = t_s;
            } else {
                low = t_s;
            }
            let newton = t_s - over / piece.value(t_s);
            let resolution_s = 1e-11 + 4.0 * f64::EPSILON * t_s;
            if (newton - t_s).abs() < resolution_s || high - low < resolution_s {
                break;
            }
            t_s = if newton > low && newton < high { newton } else { f64::midpoint(low, high) };
        }
        Some(t_s)
    }

    /// Checks that all values over `[0, duration_s)` are from `least` to `most`, within a billionth of the curve's size.
    ///
    /// # Errors
    /// The first extreme beyond them that was found; in the second place, null where the curve swings too often to be looked
    /// through.
    pub fn require_within(&self, least: f64, most: f64, duration_s: f64) -> Result<(), Option<Excursion>> {
        let mut samples = 0.0;
        for (index, piece) in self.pieces.as_slice().iter().enumerate() {
            let end_s = self.pieces.as_slice().get(index + 1).map_or(duration_s, |next| next.start_s.min(duration_s));
            let length_s = end_s - piece.start_s;
            if length_s <= 0.0 {
                continue;
            }
            let bounds: Vec<(f64, f64)> = piece.waves.iter().map(|w| w.bounds(length_s)).collect();
            let size: f64 = bounds.iter().map(|(low, high)| low.abs().max(high.abs())).sum();
            let (low, high) = bounds.iter().fold((0.0, 0.0), |(a, b), (low, high)| (a + low, b + high));
            let tolerance = 1e-9 * size;
            if low >= least - tolerance && high <= most + tolerance {
                continue;
            }
            let omega = piece.waves.iter().map(Wave::omega).fold(0.0, f64::max);
            let degree = piece.waves.iter().map(Wave::degree).max().unwrap_or(0);
            let count = (omega * length_s / TAU * SAMPLES_PER_SWING).ceil() + SAMPLES_PER_SWING * (degree + 1) as f64;
            samples += count;
            if samples > MAX_SAMPLES {
                return Err(None);
            }
            let inside = |value: f64| value >= least - tolerance && value <= most + tolerance;
            if let Some(found) = excursion(piece, length_s, count as u32, &inside) {
                return Err(Some(found));
            }
        }
        Ok(())
    }
}

/// The first extreme of a piece over `[0, length]` that is not inside.
fn excursion(piece: &Piece, length_s: f64, count: u32, inside: &dyn Fn(f64) -> bool) -> Option<Excursion> {
    let at = |i: u32| piece.start_s + length_s * f64::from(i) / f64::from(count);
    for i in 0..=count {
        let around = (at(i.saturating_sub(1)), at((i + 1).min(count)));
        let [left, middle, right] = [around.0, at(i), around.1].map(|t_s| piece.value(t_s));
        for sign in [1.0, -1.0] {
            if sign * middle < sign * left || sign * middle < sign * right {
                continue;
            }
            let at_s = peak(piece, sign, around);
            let value = piece.value(at_s);
            if !inside(value) {
                return Some(Excursion { at_s, value });
            }
        }
    }
    None
}

/// The highest point (the lowest, with a sign of -1) between two times, by golden-section search.
fn peak(piece: &Piece, sign: f64, (mut low, mut high): (f64, f64)) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let value = |t_s| sign * piece.value(t_s);
    let ends = (low, high);
    for _ in 0..60 {
        let (a, b) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        if value(a) < value(b) { low = a } else { high = b }
    }
    [ends.0, ends.1].into_iter().fold(f64::midpoint(low, high), |best, t| if value(t) > value(best) { t } else { best })
}

/// The property that fuzzing tries to break: any bytes give an error whose place is inside the text, or a curve whose values are
/// numbers where it was found to be a rate, and whose inverse then undoes its integral.
///
/// # Panics
/// Where the property is broken.
pub fn fuzz_curve(data: &[u8]) {
    const DURATION_S: f64 = 1000.0;
    let Ok(text) = std::str::from_utf8(data) else { return };
    // An expression of very many points is longer than may be written.
    if let Some(series) = Curve::series(text).ok().filter(|series| series.text().len() < 60_000) {
        assert_eq!(series, Curve::parse(series.text()).unwrap_or_else(|e| panic!("{text}: {e}")));
    }
    let curve = match Curve::parse(text) {
        Ok(curve) => curve,
        Err(e) => {
            assert!((1..=text.chars().count() + 1).contains(&e.at), "{e}");
            return;
        }
    };
    if curve.require_within(0.0, super::MAX_RATE_RPS, DURATION_S).is_err() {
        return;
    }
    let curve = curve.until(DURATION_S);
    let all = curve.integral(DURATION_S);
    let mut from_s = 0.0;
    for i in 1..10 {
        let area = all * f64::from(i) / 10.0;
        let Some(t_s) = curve.time_of_integral(area, from_s) else {
            assert!(all < 1e-6, "{text}: {area} is never reached");
            return;
        };
        assert!(t_s >= from_s && curve.value(t_s).is_finite(), "{text}: {t_s} after {from_s}");
        from_s = t_s;
    }
}

#[cfg(test)]
mod tests;
