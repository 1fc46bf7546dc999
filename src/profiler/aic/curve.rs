//! What was measured at some points → what it is between them and beyond.
//!
//! In: points of one table. Out: [`Line`] over one variable, [`Grid`] over two, ragged where a row was not measured to its end.
//! Between points a straight line (or the square of one, for attention over prompts, which is quadratic in their length); beyond the
//! last one, what a roofline grows by.

/// How a quantity grows between two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::profiler) enum Growth {
    /// As a straight line.
    Straight,
    /// As the square of one.
    Square,
}

/// A quantity over one variable.
#[derive(Debug, PartialEq)]
pub(in crate::profiler) struct Line {
    points: Vec<(f64, f64)>,
    growth: Growth,
}

impl Line {
    /// Of points in any order; of several at one place, the smallest: engines take the fastest kernel. `None` of none.
    pub(super) fn new(mut points: Vec<(f64, f64)>, growth: Growth) -> Option<Line> {
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        points.dedup_by(|later, first| later.0 == first.0);
        (!points.is_empty()).then_some(Line { points, growth })
    }

    /// The nearest place within what was measured.
    pub(in crate::profiler) fn inside(&self, x: f64) -> f64 {
        x.clamp(self.points[0].0, self.points[self.points.len() - 1].0)
    }

    /// The quantity at `x`; beyond the ends, that of the end.
    pub(in crate::profiler) fn at(&self, x: f64) -> f64 {
        let x = self.inside(x);
        let above = self.points.partition_point(|p| p.0 < x).min(self.points.len() - 1);
        let (right, high) = self.points[above];
        if above == 0 || right <= x {
            return high;
        }
        let (left, low) = self.points[above - 1];
        let share = (x - left) / (right - left);
        match self.growth {
            Growth::Straight => low + share * (high - low),
            Growth::Square => (low.sqrt() + share * (high.sqrt() - low.sqrt())).powi(2),
        }
    }
}

/// A quantity over rows and a variable along each.
#[derive(Debug, PartialEq)]
pub(in crate::profiler) struct Grid {
    rows: Vec<(f64, Line)>,
}

impl Grid {
    /// Of rows in any order, each there once. `None` of none.
    pub(super) fn new(mut rows: Vec<(f64, Line)>) -> Option<Grid> {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        (!rows.is_empty()).then_some(Grid { rows })
    }

    /// The smallest measured value: what a launch takes.
    pub(in crate::profiler) fn first(&self) -> f64 {
        self.rows[0].1.points[0].1
    }

    /// The quantity at (`row`, `x`); beyond the last row or the end of a row it grows as `base` does.
    pub(in crate::profiler) fn at(&self, row: f64, x: f64, base: impl Fn(f64, f64) -> f64) -> f64 {
        let along = |(row, line): &(f64, Line)| {
            let inside = line.inside(x);
            line.at(inside) * if x > inside { base(*row, x) / base(*row, inside) } else { 1.0 }
        };
        let inside = row.clamp(self.rows[0].0, self.rows[self.rows.len() - 1].0);
        let above = self.rows.partition_point(|r| r.0 < inside).min(self.rows.len() - 1);
        let high = &self.rows[above];
        let value = if above == 0 || high.0 <= inside {
            along(high)
        } else {
            let low = &self.rows[above - 1];
            let share = (inside - low.0) / (high.0 - low.0);
            along(low) + share * (along(high) - along(low))
        };
        value * if row > inside { base(row, x) / base(inside, x) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_at_its_points_and_its_ends_and_takes_the_fastest_of_two() {
        let points = vec![(4.0, 16.0), (1.0, 4.0), (1.0, 1.0)];
        let straight = Line::new(points.clone(), Growth::Straight).unwrap();
        assert_eq!([0.0, 1.0, 2.0, 4.0, 9.0].map(|x| straight.at(x)), [1.0, 1.0, 6.0, 16.0, 16.0]);
        let square = Line::new(points, Growth::Square).unwrap();
        assert_eq!([1.0, 2.0, 3.0, 4.0].map(|x| square.at(x)), [1.0, 4.0, 9.0, 16.0]);
        assert!(Line::new(Vec::new(), Growth::Square).is_none());
    }

    #[test]
    fn a_ragged_grid_is_exact_for_what_is_linear_and_goes_on_as_its_roofline() {
        let f = |row: f64, x: f64| 3.0 + row * (2.0 + 5.0 * x);
        let row =
            |r: f64, xs: &[f64]| (r, Line::new(xs.iter().map(|x| (*x, f(r, *x))).collect(), Growth::Straight).unwrap());
        let grid =
            Grid::new(vec![row(8.0, &[1.0, 16.0]), row(1.0, &[1.0, 8.0, 64.0]), row(32.0, &[1.0, 4.0])]).unwrap();
        assert_eq!(grid.first(), f(1.0, 1.0));
        for (r, x) in [(1.0, 64.0), (3.0, 7.0), (8.0, 5.0), (20.0, 2.0), (32.0, 100.0), (100.0, 100.0)] {
            let got = grid.at(r, x, f);
            assert!((got / f(r, x) - 1.0).abs() < 1e-12, "{r} {x}: {got} {}", f(r, x));
        }
        assert_eq!(grid.at(0.5, 0.5, f), f(1.0, 1.0), "below what was measured it stands still");
    }
}
