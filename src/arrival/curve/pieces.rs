//! Turns waves that begin and end into one function of time, and two such functions into their sum or product.
//!
//! In: waves with the second at which they begin. Out: [`Pieces`]. Invariants: the first piece begins at 0, starts ascend, the last
//! piece never ends; a piece is continuous, and holds from its start up to, not including, the next one's.
//! Not here: what people write, which is `expression`.

use super::wave::Wave;

/// Bounds on what a curve may grow to.
const MAX_PIECES: usize = 10_000;
const MAX_WAVES: usize = 256;
const MAX_DEGREE: usize = 8;

/// From `start_s` on, the sum of these waves.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) start_s: f64,
    pub(super) waves: Vec<Wave>,
}

/// A function of time from 0 on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pieces(Vec<Piece>);

impl Piece {
    pub(super) fn value(&self, t_s: f64) -> f64 {
        self.waves.iter().map(|w| w.value(t_s - self.start_s)).sum()
    }

    /// The integral over `[start, t]`.
    pub(super) fn integral(&self, t_s: f64) -> f64 {
        self.waves.iter().map(|w| w.integral(t_s - self.start_s)).sum()
    }

    fn waves_from(&self, start_s: f64) -> Vec<Wave> {
        self.waves.iter().map(|w| w.shifted(start_s - self.start_s)).collect()
    }
}

impl Pieces {
    /// The sum of the same waves for all time.
    pub(super) fn always(waves: Vec<Wave>) -> Pieces {
        Pieces(vec![Piece { start_s: 0.0, waves }])
    }

    /// The same up to `end_s`, and 0 from there on.
    pub(super) fn until(mut self, end_s: f64) -> Pieces {
        self.0.retain(|p| p.start_s < end_s);
        self.0.push(Piece { start_s: end_s, waves: vec![Wave::polynomial(vec![0.0])] });
        self
    }

    /// Polynomials that follow each other, each in seconds since its own start, the first holding before its start too; what
    /// lies before 0 is cut off. Starts must ascend.
    pub(super) fn polynomials(parts: Vec<(f64, Vec<f64>)>) -> Pieces {
        let mut pieces: Vec<Piece> = Vec::new();
        for (start_s, coefficients) in parts {
            let piece = Piece { start_s, waves: vec![Wave::polynomial(coefficients)] };
            if start_s <= 0.0 {
                pieces.clear();
            }
            pieces.push(piece);
        }
        if let Some(first) = pieces.first_mut() {
            first.waves = first.waves_from(0.0);
            first.start_s = 0.0;
        }
        Pieces(pieces)
    }

    pub(super) fn as_slice(&self) -> &[Piece] {
        &self.0
    }

    /// The index of the piece that holds at `t_s`.
    pub(super) fn at(&self, t_s: f64) -> usize {
        self.0.partition_point(|p| p.start_s <= t_s).max(1) - 1
    }

    /// # Errors
    /// What grew too large, in words.
    pub(super) fn plus(&self, other: &Pieces) -> Result<Pieces, &'static str> {
        self.combined(other, |mut a, b| {
            a.extend(b);
            a
        })
    }

    /// # Errors
    /// What grew too large, in words.
    pub(super) fn times(&self, other: &Pieces) -> Result<Pieces, &'static str> {
        self.combined(other, |a, b| a.iter().flat_map(|a| b.iter().flat_map(|b| a.product(b))).collect())
    }

    fn combined(
        &self,
        other: &Pieces,
        join: impl Fn(Vec<Wave>, Vec<Wave>) -> Vec<Wave>,
    ) -> Result<Pieces, &'static str> {
        let mut starts: Vec<f64> = self.0.iter().chain(&other.0).map(|p| p.start_s).collect();
        starts.sort_by(f64::total_cmp);
        starts.dedup();
        if starts.len() > MAX_PIECES {
            return Err("is made of too many pieces");
        }
        let mut pieces = Vec::with_capacity(starts.len());
        for start_s in starts {
            let [a, b] = [self, other].map(|pieces| pieces.0[pieces.at(start_s)].waves_from(start_s));
            if a.len() * b.len() > 4 * MAX_WAVES {
                return Err("is a sum of too many products");
            }
            let waves = gathered(join(a, b));
            if waves.len() > MAX_WAVES {
                return Err("is a sum of too many products");
            }
            if waves.iter().any(|w| w.degree() > MAX_DEGREE) {
                return Err("multiplies too many ramps");
            }
            if !waves.iter().all(Wave::is_finite) {
                return Err("is too large a number");
            }
            pieces.push(Piece { start_s, waves });
        }
        Ok(Pieces(pieces))
    }
}

/// All polynomials in one.
fn gathered(waves: Vec<Wave>) -> Vec<Wave> {
    let mut sum = Wave::polynomial(vec![0.0]);
    let mut rest: Vec<Wave> = waves.into_iter().filter_map(|w| sum.absorb(w)).collect();
    rest.insert(0, sum);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_before_zero_is_cut_off() {
        let ramp = Pieces::polynomials(vec![(-20.0, vec![1.0]), (-10.0, vec![0.0, 0.5]), (10.0, vec![10.0])]);
        let starts: Vec<f64> = ramp.as_slice().iter().map(|p| p.start_s).collect();
        assert_eq!(starts, [0.0, 10.0]);
        assert_eq!([0.0, 4.0, 10.0].map(|t| ramp.as_slice()[ramp.at(t)].value(t)), [5.0, 7.0, 10.0]);
        let later = Pieces::polynomials(vec![(7.0, vec![3.0]), (8.0, vec![4.0])]);
        assert_eq!(later.as_slice()[later.at(0.0)].value(0.0), 3.0, "the first holds before its start");
    }

    #[test]
    fn sums_and_products_are_those_of_the_values_on_either_side_of_every_start() {
        let a = Pieces::polynomials(vec![(0.0, vec![1.0, 2.0]), (5.0, vec![3.0])]);
        let b = Pieces::always(vec![Wave::new(vec![2.0], 1.5, 0.3)]);
        let c = Pieces::polynomials(vec![(0.0, vec![2.0]), (3.0, vec![0.0, 1.0])]);
        let value = |p: &Pieces, t: f64| p.as_slice()[p.at(t)].value(t);
        let all = a.plus(&b).unwrap().times(&c).unwrap();
        for t in [0.0, 2.9, 3.0, 4.9, 5.0, 40.0] {
            let expected = (value(&a, t) + value(&b, t)) * value(&c, t);
            assert!((value(&all, t) - expected).abs() < 1e-9, "at {t}");
        }
    }

    #[test]
    fn growth_is_bounded() {
        let wave = |n: u32| Pieces::always(vec![Wave::new(vec![1.0], f64::from(n), 0.0)]);
        let mut product = wave(1);
        let grown =
            (2..20).try_for_each(|n| wave(n * n).plus(&wave(n)).and_then(|w| product.times(&w)).map(|p| product = p));
        assert_eq!(grown, Err("is a sum of too many products"));
        let ramp = Pieces::polynomials(vec![(0.0, vec![0.0, 1.0])]);
        let mut power = ramp.clone();
        let grown = (0..9).try_for_each(|_| power.times(&ramp).map(|p| power = p));
        assert_eq!(grown, Err("multiplies too many ramps"));
    }
}
