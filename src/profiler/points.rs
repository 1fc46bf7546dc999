//! Scores a table of points: rows of operating points, measured or not → the same rows with what is predicted for each.
//!
//! In: the text of a CSV file whose header says which kind of points it has ([`KINDS`]). Out: [`Scored`]: the file with columns added,
//! and the errors where a row says what was measured. A row that cannot be predicted says why in its `status` and stays.
//! Invariants: pure; every row comes back, in order; a table is bounded.

mod forward;
pub mod scenarios;
mod serving;
mod table;

use std::collections::BTreeMap;

use super::aggregated::Law;
use super::prediction::{Band, Stage};
use crate::error::{InputError, Result};
pub use serving::terms;
use table::Table;

/// A kind of table, told from its header.
#[derive(Debug)]
pub struct Kind {
    /// What its points are.
    pub name: &'static str,
    /// Columns that its header must have.
    pub required: &'static [&'static str],
    /// Names of what is predicted, and the columns with what was measured.
    pub quantities: &'static [Quantity],
    predict: fn(&Row) -> std::result::Result<Predicted, String>,
}

/// One number of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// What it is called in tables.
    pub name: &'static str,
    /// The column that it is written to.
    pub predicted: &'static str,
    /// The columns that may say what was measured, the first that is there.
    pub measured: &'static [&'static str],
}

/// Every kind of table; a new one is a file and a row here.
pub const KINDS: [&Kind; 2] = [&forward::KIND, &serving::KIND];

/// The largest size of a layout that is believed.
const GPUS_MAX: u32 = 1024;

/// The status of a row that was predicted as it stands.
pub const PREDICTED: &str = "predicted";

/// What a kind makes of a row: its stage, a value and its band for each quantity, and what its status adds.
struct Predicted {
    stage: Stage,
    values: Vec<(f64, Band)>,
    note: Option<String>,
}

/// The cells of one row, by the names of their columns.
struct Row<'t> {
    table: &'t Table,
    index: usize,
    /// What aggregated serving is predicted by.
    law: &'t Law,
}

impl Row<'_> {
    /// A cell without blanks around it; `None` where the column is not there or the cell is empty.
    fn text(&self, column: &str) -> Option<&str> {
        self.table.cell(self.index, column).map(str::trim).filter(|text| !text.is_empty() && *text != "nan")
    }

    /// A cell that must be there.
    fn required(&self, column: &str) -> std::result::Result<&str, String> {
        self.text(column).ok_or_else(|| format!("`{column}` is empty"))
    }

    /// A positive number.
    fn number(&self, column: &str) -> Option<f64> {
        self.text(column)?.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)
    }

    /// A whole number from 1 to a million; `2.0` is one.
    fn count(&self, column: &str) -> std::result::Result<u32, String> {
        let text = self.required(column)?;
        let number = text.parse().ok().filter(|n: &f64| (1.0..=1e6).contains(n) && n.fract() == 0.0);
        number.map(|n| n as u32).ok_or_else(|| format!("`{column}` is {text:?}, not a whole number from 1 to 1000000"))
    }

    /// A number of GPUs: a whole number from 1 to 1024, or 1 where there is none (or, as some tables have it, 0).
    fn gpus(&self, column: &str) -> std::result::Result<u32, String> {
        match self.count(column) {
            Ok(gpus) if gpus > GPUS_MAX => Err(format!("`{column}` is {gpus}, over {GPUS_MAX}")),
            Ok(gpus) => Ok(gpus),
            Err(_) => Ok(1),
        }
    }
}

/// How far the predictions of some rows were off.
#[derive(Clone, Debug, PartialEq)]
pub struct Errors {
    /// Rows with a predicted and a measured value.
    pub rows: usize,
    /// Mean of |predicted / measured − 1|.
    pub mape: f64,
    /// Median of the same.
    pub median: f64,
    /// Mean of predicted / measured − 1.
    pub bias: f64,
}

impl Errors {
    fn of(relative: &[f64]) -> Option<Errors> {
        let rows = relative.len();
        let mut sizes: Vec<f64> = relative.iter().map(|e| e.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let median = f64::midpoint(*sizes.get(rows.checked_sub(1)? / 2)?, sizes[rows / 2]);
        let n = rows as f64;
        Some(Errors { rows, mape: sizes.iter().sum::<f64>() / n, median, bias: relative.iter().sum::<f64>() / n })
    }
}

/// The errors of the rows with one model, GPU and backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Model, GPU and backend, as the rows spell them; empty for all rows together.
    pub of: [String; 3],
    /// The errors of each quantity of the kind; `None` where no row has both values.
    pub errors: Vec<Option<Errors>>,
}

/// A table with predictions.
#[derive(Debug)]
pub struct Scored {
    /// The kind of its points.
    pub kind: &'static Kind,
    /// The file, with columns added.
    pub csv: String,
    /// Its rows.
    pub rows: usize,
    /// Rows with a prediction.
    pub predicted: usize,
    /// Why the others have none, and how many of each; the most frequent first.
    pub refused: Vec<(String, usize)>,
    /// All rows together, then each model, GPU and backend; empty where nothing was measured.
    pub groups: Vec<Group>,
}

/// Scores the points of a file; `file` is its name, for errors.
///
/// # Errors
/// [`crate::error::Error::Input`] for a file that is no table, too large, or of no known kind.
pub fn score(file: &str, text: &str) -> Result<Scored> {
    score_by(Law::built_in(), file, text)
}

/// The same, with aggregated serving by constants of another fit.
///
/// # Errors
/// As [`score`].
pub fn score_by(law: &Law, file: &str, text: &str) -> Result<Scored> {
    let mut table = Table::parse(file, text)?;
    let known = |kind: &&&Kind| kind.required.iter().all(|column| table.column(column).is_some());
    let kind: &'static Kind = KINDS.iter().find(known).copied().ok_or_else(|| {
        let wanted = KINDS.map(|k| format!("{}: {}", k.name, k.required.join(", "))).join("; ");
        let what = format!("its columns are of no known kind of points; known are {wanted}");
        InputError::of_file(file, what, "name the columns of one kind in the first line, in any order")
    })?;
    let rows = table.rows();
    let outcomes: Vec<_> = (0..rows).map(|index| (kind.predict)(&Row { table: &table, index, law })).collect();
    let groups = groups(kind, &table, &outcomes);
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    for why in outcomes.iter().filter_map(|o| o.as_ref().err()) {
        *refused.entry(why).or_default() += 1;
    }
    let mut refused: Vec<(String, usize)> = refused.into_iter().map(|(why, n)| (why.to_string(), n)).collect();
    refused.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let predicted = outcomes.iter().filter(|o| o.is_ok()).count();
    write(kind, &mut table, &outcomes);
    Ok(Scored { kind, csv: table.to_csv(), rows, predicted, refused, groups })
}

type Outcome = std::result::Result<Predicted, String>;

/// Adds the columns of the predictions; a column of that name that was there is replaced.
fn write(kind: &Kind, table: &mut Table, outcomes: &[Outcome]) {
    let of = |f: &dyn Fn(&Predicted) -> String| {
        outcomes.iter().map(|o| o.as_ref().map_or_else(|_| String::new(), f)).collect::<Vec<_>>()
    };
    for (i, quantity) in kind.quantities.iter().enumerate() {
        table.set(quantity.predicted, of(&|p| ms(p.values[i].0)));
        for (suffix, at) in [("low", 0), ("high", 1)] {
            let bound = of(&|p| ms(p.values[i].1.around(p.values[i].0)[at]));
            table.set(&format!("{}_{suffix}", quantity.predicted), bound);
        }
    }
    table.set("stage", of(&|p| p.stage.as_str().into()));
    let status = outcomes.iter().map(|outcome| match outcome {
        Ok(Predicted { note: None, .. }) => PREDICTED.into(),
        Ok(Predicted { note: Some(note), .. }) => format!("{PREDICTED} ({note})"),
        Err(why) => format!("not predicted: {why}"),
    });
    table.set("status", status.collect());
}

/// A time as it is written: to the tenth of a microsecond.
fn ms(value: f64) -> String {
    format!("{value:.4}")
}

fn groups(kind: &Kind, table: &Table, outcomes: &[Outcome]) -> Vec<Group> {
    let mut all = vec![Vec::new(); kind.quantities.len()];
    let mut apart: BTreeMap<[String; 3], Vec<Vec<f64>>> = BTreeMap::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let Ok(predicted) = outcome else { continue };
        let row = Row { table, index, law: Law::built_in() };
        for (i, quantity) in kind.quantities.iter().enumerate() {
            let Some(measured) = quantity.measured.iter().find_map(|c| row.number(c)) else { continue };
            let error = predicted.values[i].0 / measured - 1.0;
            all[i].push(error);
            let name = |columns: &[&str]| columns.iter().find_map(|c| row.text(c)).unwrap_or("").to_string();
            let key = [name(&["model", "model_path"]), name(&["system"]), name(&["backend"])];
            apart.entry(key).or_insert_with(|| vec![Vec::new(); kind.quantities.len()])[i].push(error);
        }
    }
    if all.iter().all(Vec::is_empty) {
        return Vec::new();
    }
    let group = |(of, errors): ([String; 3], Vec<Vec<f64>>)| Group {
        of,
        errors: errors.iter().map(|e| Errors::of(e)).collect(),
    };
    std::iter::once((<_>::default(), all)).chain(apart).map(group).collect()
}

/// What the fuzz target asks: any text is scored or refused, and a table that is scored has as many rows as before.
pub fn fuzz_points(bytes: &[u8]) {
    let Ok(scored) = std::str::from_utf8(bytes).map_err(|_| ()).and_then(|text| score("points", text).map_err(|_| ()))
    else {
        return;
    };
    let again = Table::parse("scored", &scored.csv).expect("what was written can be read");
    assert_eq!(again.rows(), scored.rows);
}

#[cfg(test)]
mod tests;
