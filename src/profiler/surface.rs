//! Tables over logarithmic axes: corrections of a roofline, interpolated linearly between knots and held constant beyond them.
//!
//! In: a row of numbers from a data file, in C order over its axes. Out: the correction at a point, `e^(value/100)`.
//! A table is first narrowed to what one deployment needs (its widths are fixed, only batch and length vary), so that a step
//! interpolates over one or two axes only.

/// Where `x` lies on an axis: the knot below it, and how far it is to the next, in 0..=1.
fn place(axis: &[f64], x: f64) -> (usize, f64) {
    if axis.len() < 2 || x <= axis[0] {
        return (0, 0.0);
    }
    let last = axis.len() - 1;
    if x >= axis[last] {
        return (last - 1, 1.0);
    }
    let above = axis.partition_point(|knot| *knot <= x);
    (above - 1, (x - axis[above - 1]) / (axis[above] - axis[above - 1]))
}

/// Fixes the last axis of a table at `x`: the table over the remaining axes.
pub(super) fn narrow(values: &[f64], axis: &[f64], x: f64) -> Vec<f64> {
    let (low, share) = place(axis, x);
    let high = (low + 1).min(axis.len() - 1);
    values.chunks_exact(axis.len()).map(|row| row[low] + share * (row[high] - row[low])).collect()
}

/// A correction over one axis of `N` knots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve<const N: usize> {
    axis: &'static [f64; N],
    values: [f64; N],
}

impl<const N: usize> Curve<N> {
    /// `None` unless there is one value per knot.
    pub(super) fn new(axis: &'static [f64; N], values: &[f64]) -> Option<Curve<N>> {
        Some(Curve { axis, values: values.try_into().ok()? })
    }

    /// The correction at `x`, a factor.
    pub(super) fn at(&self, x: f64) -> f64 {
        let (low, share) = place(self.axis, x);
        let high = (low + 1).min(N - 1);
        ((self.values[low] + share * (self.values[high] - self.values[low])) / 100.0).exp()
    }
}

/// A correction over two axes, of `R` and `C` knots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane<const R: usize, const C: usize> {
    rows: &'static [f64; R],
    columns: &'static [f64; C],
    values: [[f64; C]; R],
}

impl<const R: usize, const C: usize> Plane<R, C> {
    /// `values` has one number per knot of `columns` for each knot of `rows`, or one for each knot of `rows` that holds for the
    /// whole of `columns`; `None` for any other number.
    pub(super) fn new(rows: &'static [f64; R], columns: &'static [f64; C], values: &[f64]) -> Option<Plane<R, C>> {
        let mut table = [[0.0; C]; R];
        let whole = values.len() == R * C;
        if !whole && values.len() != R {
            return None;
        }
        for (r, row) in table.iter_mut().enumerate() {
            for (c, cell) in row.iter_mut().enumerate() {
                *cell = if whole { values[r * C + c] } else { values[r] };
            }
        }
        Some(Plane { rows, columns, values: table })
    }

    /// The correction at (`row`, `column`), a factor.
    pub(super) fn at(&self, row: f64, column: f64) -> f64 {
        let ((low, share), (left, part)) = (place(self.rows, row), place(self.columns, column));
        let (high, right) = ((low + 1).min(R - 1), (left + 1).min(C - 1));
        let along = |r: usize| self.values[r][left] + part * (self.values[r][right] - self.values[r][left]);
        ((along(low) + share * (along(high) - along(low))) / 100.0).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: &[f64; 3] = &[0.0, 2.0, 3.0];

    #[test]
    fn between_knots_it_is_a_line_and_beyond_them_it_stands_still() {
        let curve = Curve::new(AXIS, &[0.0, 100.0, 50.0]).unwrap();
        let ln = |x| 100.0 * curve.at(x).ln();
        for (x, y) in [(-5.0, 0.0), (0.0, 0.0), (1.0, 50.0), (2.0, 100.0), (2.5, 75.0), (3.0, 50.0), (9.0, 50.0)] {
            assert!((ln(x) - y).abs() < 1e-9, "{x}: {}", ln(x));
        }
    }

    #[test]
    fn a_plane_is_a_curve_wherever_one_axis_is_fixed() {
        let values: Vec<f64> = (0..9).map(|i| f64::from(i * i)).collect();
        let plane = Plane::new(AXIS, AXIS, &values).unwrap();
        for column in [-1.0, 0.0, 0.7, 2.0, 2.4, 5.0] {
            let curve = Curve::new(AXIS, &narrow(&values, AXIS, column)).unwrap();
            for row in [0.0, 1.3, 2.9] {
                assert!((plane.at(row, column) / curve.at(row) - 1.0).abs() < 1e-12, "{row} {column}");
            }
        }
    }

    #[test]
    fn a_value_for_each_row_holds_for_all_columns_and_any_other_number_is_refused() {
        let plane = Plane::new(AXIS, AXIS, &[0.0, 10.0, 20.0]).unwrap();
        assert!((plane.at(2.0, 99.0) - 0.1f64.exp()).abs() < 1e-12);
        assert!(Plane::new(AXIS, AXIS, &[0.0; 4]).is_none() && Curve::new(AXIS, &[0.0; 2]).is_none());
    }
}
