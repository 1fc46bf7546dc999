//! A range of values → where they lie on a drawing, and the round values that are written beside it.
//!
//! Invariants: ticks are 1, 2 or 5 × 10^k apart (or such values, on a log axis) and lie within the range; a range is
//! never empty.

use crate::report::number::tick;

/// Ticks that are aimed at; up to twice as many may come.
const TICKS: f64 = 5.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

/// One axis of a chart.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Names of classes, each one wide, in place of numbers.
    names: Vec<&'static str>,
    /// What is measured, and its unit.
    pub(super) label: String,
}

impl Axis {
    /// From zero to the first round value that is not below `high`.
    pub(super) fn from_zero(label: impl Into<String>, high: f64) -> Axis {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let step = nice_step(high);
        Axis {
            scale: Scale::Linear,
            low: 0.0,
            high: (high / step).ceil() * step,
            names: Vec::new(),
            label: label.into(),
        }
    }

    /// Exactly from zero to `high`.
    pub(super) fn up_to(label: impl Into<String>, high: f64) -> Axis {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        Axis { scale: Scale::Linear, low: 0.0, high, names: Vec::new(), label: label.into() }
    }

    /// Classes side by side, each one wide.
    pub(super) fn named<const N: usize>(label: impl Into<String>, names: [&'static str; N]) -> Axis {
        Axis::classes(label, &names)
    }

    /// The same, for as many as there are.
    pub(super) fn classes(label: impl Into<String>, names: &[&'static str]) -> Axis {
        Axis { names: names.to_owned(), ..Axis::up_to(label, names.len() as f64) }
    }

    /// A logarithmic axis around all of `values`; what is not above zero is drawn at its lower end.
    pub(super) fn log(label: impl Into<String>, values: impl IntoIterator<Item = f64>) -> Axis {
        let positive = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = positive.fold((f64::MAX, f64::MIN_POSITIVE), |(l, h), v| (v.min(l), v.max(h)));
        let (low, high) = if low <= high { (low.log10(), high.log10()) } else { (0.0, 1.0) };
        // Room on both sides, and some range even for a single value.
        let margin = ((high - low) * 0.03).max(0.02);
        Axis {
            scale: Scale::Log,
            low: 10_f64.powf(low - margin),
            high: 10_f64.powf(high + margin),
            names: Vec::new(),
            label: label.into(),
        }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high end, and never outside.
    pub(super) fn share(&self, value: f64) -> f64 {
        let at = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        at.clamp(0.0, 1.0)
    }

    /// Round values within the range (or the middles of classes), with their text, rising.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        if !self.names.is_empty() {
            return self.names.iter().enumerate().map(|(i, name)| (i as f64 + 0.5, (*name).into())).collect();
        }
        match self.scale {
            Scale::Linear => self.linear_ticks(),
            Scale::Log => {
                let ticks = self.log_ticks();
                // A narrow range has no powers of ten in it, but round values all the same.
                if ticks.len() < 3 { self.linear_ticks() } else { ticks }
            }
        }
    }

    fn linear_ticks(&self) -> Vec<(f64, String)> {
        let step = nice_step(self.high - self.low);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * step).map(|v| (v, tick(v, step))).collect()
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let decades = high - low;
        let mantissas: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let every = (decades / (2.0 * TICKS)).ceil().max(1.0) as i32;
        let powers = (low.floor() as i32..=high.ceil() as i32).filter(|k| k.rem_euclid(every) == 0);
        powers
            .flat_map(|k| mantissas.iter().map(move |m| (m * 10_f64.powi(k), 10_f64.powi(k))))
            .filter(|(v, _)| *v >= self.low && *v <= self.high)
            .map(|(v, power)| (v, tick(v, power)))
            .collect()
    }
}

/// The 1, 2 or 5 × 10^k that divides `span` into about [`TICKS`] parts.
fn nice_step(span: f64) -> f64 {
    let raw = span / TICKS;
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= raw * 0.999).unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_the_range_ends_on_one() {
        let axis = Axis::from_zero("", 7.3);
        assert_eq!(texts(&axis), ["0", "2", "4", "6", "8"]);
        assert_eq!((axis.share(0.0), axis.share(4.0), axis.share(99.0)), (0.0, 0.5, 1.0));
        assert_eq!(texts(&Axis::from_zero("", 0.9)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&Axis::from_zero("", 4_321.0)), ["0", "1,000", "2,000", "3,000", "4,000", "5,000"]);
        assert_eq!(texts(&Axis::up_to("", 61.0)), ["0", "20", "40", "60"]);
    }

    #[test]
    fn log_ticks_fit_the_number_of_decades() {
        assert_eq!(texts(&Axis::log("", [12.0, 900.0])), ["20", "50", "100", "200", "500", "1,000"]);
        assert_eq!(texts(&Axis::log("", [0.001, 1_000.0])), ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"]);
        assert_eq!(texts(&Axis::log("", [9.6, 10.4])), ["9.5", "10.0", "10.5"]);
        let axis = Axis::log("", [1.0, 100.0]);
        assert!((axis.share(10.0) - 0.5).abs() < 1e-12);
        assert_eq!(axis.share(0.0), 0.0);
    }

    #[test]
    fn no_range_is_empty_and_no_number_of_ticks_is_large() {
        for high in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-12, 1e-3, 1.0, 3.7e5, 1e18] {
            for axis in [Axis::from_zero("", high), Axis::up_to("", high), Axis::log("", [high, high * 3.0, 1.0])] {
                let ticks = axis.ticks();
                assert!((2..=12).contains(&ticks.len()), "{high}: {ticks:?}");
                assert!(ticks.iter().all(|(v, _)| (0.0..=1.0).contains(&axis.share(*v))));
            }
        }
        assert!(Axis::log("", []).ticks().len() >= 2);
    }
}
