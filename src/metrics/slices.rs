//! A measurement → the numbers of its slices of equal length, one after the other.
//!
//! In: the rows of a recording. Out: [`Slice`]s. As aiperf slices: the first begins at the first sending, a request belongs to
//! the slice that it was sent in, with all that it got later, and rates divide by the slice; what is averaged over time is
//! that of all requests within the slice. The last slice ends with the last request, and a slice in which nothing was sent is
//! left out. Invariant: at most [`SLICES_MAX`].

use super::Summary;
use super::fold::PhaseFold;
use crate::error::{Error, Result};
use crate::outcome::Phase;
use crate::record::manifest::PhaseWindow;
use crate::record::reader::Rows;

/// Most slices of a run; each holds the distributions of all metrics.
pub const SLICES_MAX: i64 = 10_000;

/// One slice.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Its time, in nanoseconds since the run's `t0`.
    pub window: PhaseWindow,
    /// Whether it has the whole length.
    pub is_complete: bool,
    /// Its numbers.
    pub summary: Summary,
}

/// Slices the measurement. Empty if nothing was sent.
///
/// # Errors
/// As the source's; [`Error::Usage`] if there would be more than [`SLICES_MAX`].
pub fn sliced(rows: &dyn Rows, slice_ns: i64) -> Result<Vec<Slice>> {
    let Some((first_ns, last_ns)) = extent(rows)? else { return Ok(Vec::new()) };
    let count = last_ns.saturating_sub(first_ns) / slice_ns.max(1) + 1;
    if count > SLICES_MAX {
        return Err(Error::Usage(format!(
            "--slice-duration would make {count} slices of this run, more than {SLICES_MAX}: give longer ones"
        )));
    }
    let manifest = rows.manifest();
    let window = |n: i64| PhaseWindow {
        start_ns: first_ns + n * slice_ns,
        end_ns: (first_ns + (n + 1) * slice_ns).min(last_ns),
    };
    let mut folds = (0..count).map(|_| None).collect::<Vec<Option<PhaseFold>>>();
    let mut whole = PhaseFold::new(manifest, manifest.profiling)?;
    let mut failure = None;
    rows.for_each_request(&mut |row, tokens| {
        let Some(sent_ns) = row.sent_ns.filter(|_| row.phase == Phase::Profiling) else { return };
        let n = sent_ns.saturating_sub(first_ns) / slice_ns.max(1);
        let Some(fold) = folds.get_mut(n as usize) else { return };
        if fold.is_none() {
            match PhaseFold::new(manifest, Some(window(n))) {
                Ok(new) => *fold = Some(new),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(fold) = fold {
            fold.add(row, tokens);
        }
        whole.sweep(row, tokens);
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    let windows: Vec<_> = folds.iter().map(|fold| fold.as_ref().map_or((0, 0), PhaseFold::window_ns)).collect();
    let courses = whole.courses(&windows);
    let slices = (0..).zip(folds.into_iter().zip(&courses)).filter_map(|(n, (fold, courses))| {
        let summary = fold?.finish_with(courses);
        Some(Slice { window: window(n), is_complete: first_ns + (n + 1) * slice_ns <= last_ns, summary })
    });
    Ok(slices.collect())
}

/// The first sending and the last end of the measurement.
fn extent(rows: &dyn Rows) -> Result<Option<(i64, i64)>> {
    let mut extent: Option<(i64, i64)> = None;
    rows.for_each_row(&mut |row| {
        let Some(sent_ns) = row.sent_ns.filter(|_| row.phase == Phase::Profiling) else { return };
        let end_ns = row.end_ns.unwrap_or(sent_ns).max(sent_ns);
        let (first, last) = extent.unwrap_or((sent_ns, end_ns));
        extent = Some((first.min(sent_ns), last.max(end_ns)));
    })?;
    Ok(extent)
}
