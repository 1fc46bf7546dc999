//! Turns an expression of time into [`Pieces`]: `10 + sin(amplitude=5, period=60s) * ramp(from=1, to=2, end=5m)`.
//!
//! In: text. Out: pieces, or the first fault with its place and its remedy. A pure function of the text. The grammar:
//!
//! ```text
//! sum     := product (("+" | "-") product)*
//! product := factor ("*" factor)*
//! factor  := number | "-" factor | "(" sum ")" | name "(" [given ("," given)*] ")"
//! given   := parameter "=" ["-"] number [unit]  |  ["-"] number unit ":" ["-"] number      unit := ms | s | m | h | d
//! ```
//!
//! Not here: whether the values make sense as a rate or as a share.

use std::fmt;

use super::functions::{Build, FUNCTIONS, Function, Point};
use super::pieces::Pieces;
use super::wave::Wave;

/// The longest expression, in bytes, and how deep its parentheses go.
const MAX_BYTES: usize = 64 << 10;
const MAX_DEPTH: usize = 64;
/// Units of time, in seconds; the longest name first.
const UNITS: [(&str, f64); 5] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    /// Place of the fault: the number of its character, from 1.
    pub at: usize,
    /// What is wrong.
    pub problem: String,
    /// What can be done.
    pub remedy: String,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {} ({})", self.at, self.problem, self.remedy)
    }
}

type Parsed<T> = Result<T, ExpressionError>;

/// Reads a whole expression.
pub(super) fn parse(text: &str) -> Parsed<Pieces> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if text.len() > MAX_BYTES {
        return parser.fault(0, "the expression is longer than 64 KiB", "write fewer points");
    }
    let pieces = parser.sum()?;
    if parser.peek().is_some() {
        let remedy = "join terms with +, - or *; a function is a name and its parameters in parentheses";
        return parser.fault(parser.at, format!("{} does not belong here", parser.shown()), remedy);
    }
    Ok(pieces)
}

struct Parser<'a> {
    text: &'a str,
    /// Bytes read.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn sum(&mut self) -> Parsed<Pieces> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fault(self.at, "the parentheses go too deep", "multiply the terms out");
        }
        let mut sum = self.product()?;
        while let Some(sign @ ('+' | '-')) = self.peek() {
            let place = self.at;
            self.at += 1;
            let mut term = self.product()?;
            if sign == '-' {
                term = self.grown(place, negated(&term))?;
            }
            sum = self.grown(place, sum.plus(&term))?;
        }
        self.depth -= 1;
        Ok(sum)
    }

    fn product(&mut self) -> Parsed<Pieces> {
        let mut product = self.factor()?;
        while self.peek() == Some('*') {
            let place = self.at;
            self.at += 1;
            let factor = self.factor()?;
            product = self.grown(place, product.times(&factor))?;
        }
        Ok(product)
    }

    fn factor(&mut self) -> Parsed<Pieces> {
        let place = self.at;
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let inside = self.sum()?;
                self.expect(')', "close the parenthesis")?;
                Ok(inside)
            }
            Some('-') => {
                self.at += 1;
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return self.fault(place, "there are too many signs", "write one");
                }
                let factor = self.factor()?;
                self.depth -= 1;
                self.grown(place, negated(&factor))
            }
            Some(c) if c.is_ascii_digit() || c == '.' => {
                let (value, is_time) = self.number()?;
                if is_time {
                    let remedy = "a time stands only inside a function's parentheses";
                    return self.fault(place, "a time is no rate", remedy);
                }
                Ok(Pieces::always(vec![Wave::polynomial(vec![value])]))
            }
            Some(c) if c.is_ascii_alphabetic() => self.call(),
            Some(_) => {
                let problem = format!("{} cannot begin a term", self.shown());
                self.fault(self.at, problem, "a term is a number, a function or a parenthesis")
            }
            None => self.fault(self.at, "a term is missing", "end with a number, a function or a parenthesis"),
        }
    }

    fn call(&mut self) -> Parsed<Pieces> {
        let (place, name) = self.word();
        let Some(function) = FUNCTIONS.iter().find(|f| f.name == name) else {
            let known: Vec<_> = FUNCTIONS.iter().map(|f| f.name).collect();
            return self.fault(place, format!("`{name}` is no function"), format!("use one of {}", known.join(", ")));
        };
        self.expect('(', &format!("write {}", function.usage()))?;
        let built = match function.build {
            Build::Parameters(build) => build(&self.parameters(function)?),
            Build::Points(build) => build(&self.points(function)?),
        };
        match built {
            Ok(pieces) => Ok(pieces),
            Err(problem) => self.fault(place, format!("`{name}`: {problem}"), format!("write {}", function.usage())),
        }
    }

    /// The values of a function's parameters, in its own order, up to and with the closing parenthesis.
    fn parameters(&mut self, function: &Function) -> Parsed<Vec<f64>> {
        let mut given = vec![None; function.parameters.len()];
        while self.peek() != Some(')') {
            if given.iter().any(Option::is_some) {
                self.expect(',', &format!("write {}", function.usage()))?;
            }
            self.peek();
            let (place, name) = self.word();
            let Some(index) = function.parameters.iter().position(|p| p.name == name) else {
                let problem = match name {
                    "" => format!("{} is no parameter of `{}`", self.shown(), function.name),
                    name => format!("`{name}` is no parameter of `{}`", function.name),
                };
                return self.fault(place, problem, format!("write {}", function.usage()));
            };
            if given[index].is_some() {
                return self.fault(place, format!("`{name}` is given twice"), "leave one out");
            }
            self.expect('=', &format!("write {}", function.usage()))?;
            let place = self.at;
            let (value, has_unit) = self.signed()?;
            if has_unit && !function.parameters[index].is_time {
                return self.fault(place, format!("`{name}` is no time"), "leave the unit out");
            }
            given[index] = Some(value);
        }
        let end = self.at;
        self.at += 1;
        let values = given.iter().zip(function.parameters).map(|(value, parameter)| value.or(parameter.default));
        match values.clone().zip(function.parameters).find(|(value, _)| value.is_none()) {
            Some((_, missing)) => self.fault(
                end,
                format!("`{}` of `{}` is missing", missing.name, function.name),
                format!("write {}", function.usage()),
            ),
            None => Ok(values.flatten().collect()),
        }
    }

    /// Points `time:value`, up to and with the closing parenthesis.
    fn points(&mut self, function: &Function) -> Parsed<Vec<Point>> {
        let mut points: Vec<Point> = Vec::new();
        while self.peek() != Some(')') {
            if !points.is_empty() {
                self.expect(',', &format!("write {}", function.usage()))?;
                self.peek();
            }
            let place = self.at;
            let (at_s, _) = self.signed()?;
            if points.last().is_some_and(|(before_s, _)| at_s <= *before_s) {
                return self.fault(place, "this time is not after the one before it", "give points in order of time");
            }
            self.expect(':', &format!("write {}", function.usage()))?;
            let place = self.at;
            let (value, is_time) = self.signed()?;
            if is_time {
                return self.fault(place, "a time is no value", "a point is time:value, such as 90s:20");
            }
            points.push((at_s, value));
        }
        self.at += 1;
        Ok(points)
    }

    fn signed(&mut self) -> Parsed<(f64, bool)> {
        let negative = self.peek() == Some('-');
        self.at += usize::from(negative);
        let (value, is_time) = self.number()?;
        Ok((if negative { -value } else { value }, is_time))
    }

    /// A number, in seconds where it has a unit, and whether it has one.
    fn number(&mut self) -> Parsed<(f64, bool)> {
        self.peek();
        let place = self.at;
        let digits = |parser: &mut Self| parser.skip(|c| c.is_ascii_digit() || c == '.');
        digits(self);
        // The e of an exponent is followed by a digit or a sign.
        let rest = &self.text.as_bytes()[self.at..];
        if self.at > place
            && matches!(rest, [b'e' | b'E', b'0'..=b'9', ..] | [b'e' | b'E', b'+' | b'-', b'0'..=b'9', ..])
        {
            self.at += 2;
            digits(self);
        }
        let Some(value) = self.text[place..self.at].parse::<f64>().ok().filter(|v| v.is_finite()) else {
            let problem = match &self.text[place..self.at] {
                "" => format!("{} is no number", self.shown()),
                digits => format!("`{digits}` is no number"),
            };
            return self.fault(place, problem, "write a number such as 5, 0.5 or 1e3");
        };
        let unit_place = self.at;
        self.skip(|c| c.is_ascii_alphanumeric() || c == '_');
        match &self.text[unit_place..self.at] {
            "" => Ok((value, false)),
            unit => match UNITS.iter().find(|(name, _)| *name == unit) {
                Some((_, seconds)) => Ok((value * seconds, true)),
                None => self.fault(unit_place, format!("`{unit}` is no unit of time"), "use ms, s, m, h or d"),
            },
        }
    }

    /// A name and its place; nothing where none begins.
    fn word(&mut self) -> (usize, &'a str) {
        let place = self.at;
        self.skip(|c| c.is_ascii_alphanumeric() || c == '_');
        (place, &self.text[place..self.at])
    }

    fn skip(&mut self, belongs: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    }

    /// The next character that is no blank, which stays unread.
    fn peek(&mut self) -> Option<char> {
        self.skip(char::is_whitespace);
        self.text[self.at..].chars().next()
    }

    fn expect(&mut self, wanted: char, remedy: &str) -> Parsed<()> {
        if self.peek() == Some(wanted) {
            self.at += 1;
            return Ok(());
        }
        self.fault(self.at, format!("`{wanted}` is expected before {}", self.shown()), remedy)
    }

    /// What stands at the place, for an error.
    fn shown(&self) -> String {
        match self.text[self.at..].chars().next() {
            Some(c) => format!("`{}`", c.escape_debug()),
            None => "the end".to_owned(),
        }
    }

    fn grown(&self, place: usize, pieces: Result<Pieces, &'static str>) -> Parsed<Pieces> {
        let remedy = "write a simpler expression";
        pieces.or_else(|what| self.fault(place, format!("what is joined here {what}"), remedy))
    }

    fn fault<T>(&self, byte: usize, problem: impl Into<String>, remedy: impl Into<String>) -> Parsed<T> {
        let at = self.text[..byte].chars().count() + 1;
        Err(ExpressionError { at, problem: problem.into(), remedy: remedy.into() })
    }
}

fn negated(pieces: &Pieces) -> Result<Pieces, &'static str> {
    pieces.times(&Pieces::always(vec![Wave::polynomial(vec![-1.0])]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, t_s: f64) -> f64 {
        let pieces = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        pieces.as_slice()[pieces.at(t_s)].value(t_s)
    }

    #[test]
    fn expressions_have_the_values_that_they_say() {
        for (text, t_s, expected) in [
            ("10", 3.0, 10.0),
            (" 2 * (3 + 4) - 1.5e1 ", 0.0, -1.0),
            ("-(2 - 5)*-2", 0.0, -6.0),
            ("sin(period=60s, amplitude=5)", 15.0, 5.0),
            ("sin(amplitude = 5 , period = 1m , phase = 0.25)", 30.0, -5.0),
            ("ramp(from=1, to=3, end=10)", 5.0, 2.0),
            ("ramp(to=4, start=1m, end=2m)", 59.0, 0.0),
            ("ramp(to=4, start=1m, end=2m)", 500.0, 4.0),
            ("step(at=500ms, to=7)", 0.49, 0.0),
            ("step(at=500ms, to=7)", 0.5, 7.0),
            ("spike(at=10s, width=4s, height=8)", 9.0, 4.0),
            ("spike(at=10s, width=4s, height=8)", 11.5, 2.0),
            ("spike(at=1s, width=4s, height=8)", 0.0, 4.0),
            ("pulse(at=10s, width=4s, height=8)", 13.9, 8.0),
            ("pulse(at=10s, width=4s, height=8)", 14.0, 0.0),
            ("diurnal(low=2, high=20, peak=14h)", 2.0 * 3600.0, 2.0),
            ("diurnal(low=2, high=20, peak=14h)", 38.0 * 3600.0, 20.0),
            ("piecewise(10s:1, 20s:3, 40s:-1)", 30.0, 1.0),
            ("piecewise(10s:1, 20s:3, 40s:-1)", 5.0, 1.0),
            ("piecewise(10s:1, 20s:3, 40s:-1)", 90.0, -1.0),
            ("steps(0:1, 20:3, 1h:5)", 19.9, 1.0),
            ("steps(0:1, 20:3, 1h:5)", 1e9, 5.0),
        ] {
            assert!((value(text, t_s) - expected).abs() < 1e-9, "{text} at {t_s}: {}", value(text, t_s));
        }
    }

    #[test]
    fn faults_are_told_with_their_place_and_a_remedy() {
        let told: Vec<String> = [
            "",
            "10 +",
            "10 + sn(period=60s)",
            "10 + sin(perod=60s)",
            "10 + sin(amplitude=5)",
            "sin(period=60s, period=50s)",
            "sin(period=60q)",
            "sin(period=0s)",
            "sin(period=60s, amplitude=5s)",
            "sin(60s)",
            "sin period",
            "sin(period=60s",
            "(1 + 2",
            "5 5",
            "60s",
            "1..2",
            "µ",
            "1 + ramp(end=5s, start=9s)",
            "piecewise()",
            "piecewise(5s:1, 5s:2)",
            "piecewise(5s=1)",
            "piecewise(5s:1s)",
            "1e999",
            "spike(at=5s, width=-1s)",
        ]
        .iter()
        .map(|text| format!("{text:?} {}", parse(text).unwrap_err()))
        .collect();
        assert_eq!(told, FAULTS.trim().lines().collect::<Vec<_>>());
    }

    const FAULTS: &str = r#"
"" at character 1: a term is missing (end with a number, a function or a parenthesis)
"10 +" at character 5: a term is missing (end with a number, a function or a parenthesis)
"10 + sn(period=60s)" at character 6: `sn` is no function (use one of sin, ramp, step, spike, pulse, diurnal, piecewise, steps)
"10 + sin(perod=60s)" at character 10: `perod` is no parameter of `sin` (write sin(period=TIME, [amplitude=NUMBER], [phase=NUMBER]))
"10 + sin(amplitude=5)" at character 21: `period` of `sin` is missing (write sin(period=TIME, [amplitude=NUMBER], [phase=NUMBER]))
"sin(period=60s, period=50s)" at character 17: `period` is given twice (leave one out)
"sin(period=60q)" at character 14: `q` is no unit of time (use ms, s, m, h or d)
"sin(period=0s)" at character 1: `sin`: a period must be above 0 (write sin(period=TIME, [amplitude=NUMBER], [phase=NUMBER]))
"sin(period=60s, amplitude=5s)" at character 27: `amplitude` is no time (leave the unit out)
"sin(60s)" at character 5: `60s` is no parameter of `sin` (write sin(period=TIME, [amplitude=NUMBER], [phase=NUMBER]))
"sin period" at character 5: `(` is expected before `p` (write sin(period=TIME, [amplitude=NUMBER], [phase=NUMBER]))
"sin(period=60s" at character 15: `,` is expected before the end (write sin(period=TIME, [amplitude=NUMBER], [phase=NUMBER]))
"(1 + 2" at character 7: `)` is expected before the end (close the parenthesis)
"5 5" at character 3: `5` does not belong here (join terms with +, - or *; a function is a name and its parameters in parentheses)
"60s" at character 1: a time is no rate (a time stands only inside a function's parentheses)
"1..2" at character 1: `1..2` is no number (write a number such as 5, 0.5 or 1e3)
"µ" at character 1: `µ` cannot begin a term (a term is a number, a function or a parenthesis)
"1 + ramp(end=5s, start=9s)" at character 5: `ramp`: it must end after its start (write ramp([from=NUMBER], [to=NUMBER], [start=TIME], end=TIME))
"piecewise()" at character 1: `piecewise`: it has no points (write piecewise(TIME:NUMBER, TIME:NUMBER, …))
"piecewise(5s:1, 5s:2)" at character 17: this time is not after the one before it (give points in order of time)
"piecewise(5s=1)" at character 13: `:` is expected before `=` (write piecewise(TIME:NUMBER, TIME:NUMBER, …))
"piecewise(5s:1s)" at character 14: a time is no value (a point is time:value, such as 90s:20)
"1e999" at character 1: `1e999` is no number (write a number such as 5, 0.5 or 1e3)
"spike(at=5s, width=-1s)" at character 1: `spike`: its width must be above 0 (write spike(at=TIME, width=TIME, [height=NUMBER]))
"#;

    #[test]
    fn depth_is_bounded() {
        for open in ["(", "-", "-("] {
            let deep = format!("{}1", open.repeat(20_000));
            assert!(parse(&deep).is_err());
        }
    }
}
