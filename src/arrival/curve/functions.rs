//! Turns the parameters of a named function of time into [`Pieces`]; the table of all of them.
//!
//! In: numbers, times in seconds. Out: pieces, or what is wrong with the numbers. A new function is one line in [`FUNCTIONS`].

use std::f64::consts::{FRAC_PI_2, TAU};

use super::pieces::Pieces;
use super::wave::Wave;

/// A parameter, as written `name=value`.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) is_time: bool,
    /// Its value where it is not given; without one it must be.
    pub(super) default: Option<f64>,
}

/// Time in seconds, and the value there.
pub(super) type Point = (f64, f64);

/// Pieces, or what is wrong.
type Built = Result<Pieces, &'static str>;

/// How a function is made.
#[derive(Clone, Copy)]
pub(super) enum Build {
    /// From its parameters, in the order of the table.
    Parameters(fn(&[f64]) -> Built),
    /// From points of time and value.
    Points(fn(&[Point]) -> Built),
}

/// A name that expressions may use.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) build: Build,
}

const fn time(name: &'static str) -> Parameter {
    Parameter { name, is_time: true, default: None }
}

const fn value(name: &'static str) -> Parameter {
    Parameter { name, is_time: false, default: None }
}

impl Parameter {
    const fn or(self, default: f64) -> Parameter {
        Parameter { default: Some(default), ..self }
    }
}

/// Every function. What they are is told in METHODOLOGY.md and in the help of `synth load`.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "sin",
        parameters: &[time("period"), value("amplitude").or(1.0), value("phase").or(0.0)],
        build: Build::Parameters(sin),
    },
    Function {
        name: "ramp",
        parameters: &[value("from").or(0.0), value("to").or(1.0), time("start").or(0.0), time("end")],
        build: Build::Parameters(ramp),
    },
    Function {
        name: "step",
        parameters: &[time("at"), value("from").or(0.0), value("to").or(1.0)],
        build: Build::Parameters(|p| Ok(Pieces::polynomials(vec![(0.0, vec![p[1]]), (p[0], vec![p[2]])]))),
    },
    Function {
        name: "spike",
        parameters: &[time("at"), time("width"), value("height").or(1.0)],
        build: Build::Parameters(spike),
    },
    Function {
        name: "pulse",
        parameters: &[time("at"), time("width"), value("height").or(1.0)],
        build: Build::Parameters(pulse),
    },
    Function {
        name: "diurnal",
        parameters: &[value("low"), value("high"), time("peak").or(14.0 * 3600.0), time("period").or(86_400.0)],
        build: Build::Parameters(diurnal),
    },
    Function { name: "piecewise", parameters: &[], build: Build::Points(piecewise) },
    Function { name: "steps", parameters: &[], build: Build::Points(steps) },
];

impl Function {
    /// How it is written; what may be left out stands in brackets.
    pub(super) fn usage(&self) -> String {
        let parameter = |p: &Parameter| {
            let written = format!("{}={}", p.name, if p.is_time { "TIME" } else { "NUMBER" });
            if p.default.is_some() { format!("[{written}]") } else { written }
        };
        match self.build {
            Build::Points(_) => format!("{}(TIME:NUMBER, TIME:NUMBER, …)", self.name),
            Build::Parameters(_) => {
                let parameters: Vec<String> = self.parameters.iter().map(parameter).collect();
                format!("{}({})", self.name, parameters.join(", "))
            }
        }
    }
}

/// `amplitude sin(2 pi (t / period + phase))`; the phase is in turns.
fn sin(p: &[f64]) -> Built {
    let &[period_s, amplitude, phase] = p else { return Err("its parameters are not there") };
    if period_s <= 0.0 {
        return Err("a period must be above 0");
    }
    let wave = Wave::new(vec![amplitude], TAU / period_s, TAU * phase - FRAC_PI_2);
    if wave.is_finite() { Ok(Pieces::always(vec![wave])) } else { Err("its parameters are out of range") }
}

/// One value up to the start, another from the end on, a straight line between.
fn ramp(p: &[f64]) -> Built {
    let &[from, to, start_s, end_s] = p else { return Err("its parameters are not there") };
    if start_s >= end_s {
        return Err("it must end after its start");
    }
    piecewise(&[(start_s, from), (end_s, to)])
}

/// A triangle: 0, up to the height in half its width, down again, 0.
fn spike(p: &[f64]) -> Built {
    let &[at_s, width_s, height] = p else { return Err("its parameters are not there") };
    if width_s <= 0.0 {
        return Err("its width must be above 0");
    }
    piecewise(&[(at_s - width_s / 2.0, 0.0), (at_s, height), (at_s + width_s / 2.0, 0.0)])
}

/// A rectangle that begins at `at`.
fn pulse(p: &[f64]) -> Built {
    let &[at_s, width_s, height] = p else { return Err("its parameters are not there") };
    if width_s <= 0.0 {
        return Err("its width must be above 0");
    }
    steps(&[(f64::NEG_INFINITY, 0.0), (at_s, height), (at_s + width_s, 0.0)])
}

/// A day: a raised cosine between two values, highest at `peak`.
fn diurnal(p: &[f64]) -> Built {
    let &[low, high, peak_s, period_s] = p else { return Err("its parameters are not there") };
    if low > high {
        return Err("`low` is above `high`");
    }
    let swing = sin(&[period_s, (high - low) / 2.0, 0.25 - peak_s / period_s])?;
    swing.plus(&Pieces::always(vec![Wave::polynomial(vec![low.midpoint(high)])]))
}

/// Straight lines from point to point, level before the first and after the last.
pub(super) fn piecewise(points: &[Point]) -> Built {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Err("it has no points") };
    let mut parts = vec![(f64::NEG_INFINITY, vec![first.1])];
    for pair in points.windows(2) {
        let [(at_s, from), (next_s, to)] = *pair else { continue };
        let slope = (to - from) / (next_s - at_s);
        if !slope.is_finite() {
            return Err("it is steeper than a number can tell");
        }
        parts.push((at_s, vec![from, slope]));
    }
    parts.push((last.0, vec![last.1]));
    Ok(Pieces::polynomials(parts))
}

/// Each value from its time on, the first before it too.
fn steps(points: &[Point]) -> Built {
    if points.is_empty() {
        return Err("it has no points");
    }
    Ok(Pieces::polynomials(points.iter().map(|&(at_s, value)| (at_s, vec![value])).collect()))
}
