//! Turns the CSV files of Azure's public LLM inference traces into traces: dates and lengths, one request per row.
//!
//! In: the columns `TIMESTAMP,ContextTokens,GeneratedTokens` (2023 and 2024), and `NumImages` (the multimodal trace of 2025),
//! found by name. Out: a [`Trace`] without prefix blocks or sessions, as the files have none. Rows without an answer are left
//! out and counted; images are not sent, and counted.
//!
//! The files are those of Azure/AzurePublicDataset; their dates have up to seven digits of a second's fraction, and a time
//! zone since 2024.

use std::io::BufRead;

use super::bad_rows::{BadRows, RowProblem, shown};
use super::csv_rows::{CsvRow, CsvRows, header_of, names_all};
use super::decimal::ONE;
use super::dialect::Dialect;
use super::draft::Draft;
use super::row::Row;
use super::time_axis::UnitRule;
use super::{ReadOptions, Trace, TraceFormat, number, wall_clock};
use crate::error::Result;

const TIME: &str = "TIMESTAMP";
const INPUT: &str = "ContextTokens";
const OUTPUT: &str = "GeneratedTokens";

const DIALECT: Dialect = Dialect { unit: UnitRule::Dates, ..Dialect::plain(TIME, INPUT) };

/// Azure's LLM inference traces.
pub struct Azure;

impl TraceFormat for Azure {
    fn name(&self) -> &'static str {
        "azure_trace"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["azure"]
    }

    fn summary(&self) -> &'static str {
        "Azure's CSV with TIMESTAMP, ContextTokens and GeneratedTokens (2023, 2024, multimodal 2025)"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        names_all(&header_of(head), &[TIME, INPUT])
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut rows = CsvRows::open(input, &bad)?;
        let (time, input, output) = (rows.column(TIME)?, rows.column(INPUT)?, rows.column(OUTPUT)?);
        let images = rows.find("NumImages");
        let (mut unanswered, mut with_images) = (0_u64, 0_u64);
        let mut draft = Draft::new(&DIALECT);
        draft.read_csv(&mut rows, &mut bad, |draft, row, line| {
            let Some(output_tokens) = number::tokens_or_none(OUTPUT, row.field(output))? else {
                unanswered += 1;
                return Ok(());
            };
            with_images += u64::from(row.optional(images).is_some_and(|count| count != "0"));
            let row = Row {
                line,
                time: Some(date(row, time)?),
                input_tokens: number::tokens(INPUT, row.field(input))?,
                output_tokens: Some(output_tokens),
                ..Row::default()
            };
            draft.add(row, |_, _| Ok(()))
        })?;
        if unanswered > 0 {
            draft.note(format!("{unanswered} rows have {OUTPUT} 0, which is a failed request; they are left out"));
        }
        if with_images > 0 {
            draft.note(format!("{with_images} rows have images, which are not sent"));
        }
        draft.finish(&mut bad, options)
    }
}

fn date(row: &CsvRow<'_>, column: super::csv_rows::Column) -> std::result::Result<i128, RowProblem> {
    let text = row.field(column);
    wall_clock::unix_ns(text).map(|ns| i128::from(ns) * ONE).ok_or_else(|| {
        let problem = format!("{} is no date", shown(text));
        RowProblem::field(TIME, problem, "write it like 2023-11-16 18:15:46.6805900, with or without a time zone")
    })
}

#[cfg(test)]
mod tests {
    use crate::trace::{ReadOptions, Trace, parse};

    fn accepted(file: &str) -> Trace {
        let trace = parse(&mut file.as_bytes(), "t.csv", &ReadOptions::default()).unwrap();
        trace.check().unwrap();
        trace
    }

    #[test]
    fn rows_of_2023_have_naive_dates_with_seven_digits() {
        let trace = accepted(
            "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
             2023-11-16 18:15:46.6805900,374,44\r\n\
             2023-11-16 18:15:50.9951690,396,109",
        );
        let rows: Vec<_> =
            trace.entries.iter().map(|e| (e.arrival_ns, e.input_tokens, e.output_tokens, e.line)).collect();
        assert_eq!(rows, [(Some(0), 374, Some(44), 2), (Some(4_314_579_000), 396, Some(109), 3)]);
        assert_eq!(
            trace.notes,
            [
                "times are read as dates (in UTC where no zone is given); the first, 2023-11-16 18:15:46.680590 UTC, is now 0"
            ]
        );
    }

    #[test]
    fn rows_of_2024_and_2025_have_a_zone_and_images() {
        let trace = accepted(
            "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n\
             2024-10-15 00:00:00+00:00,2,1500,44\n\
             2024-10-15 00:00:00.000100+00:00,0,12,0\n\
             2024-10-15 00:00:00.250000+00:00,0,12,7\n",
        );
        assert_eq!(trace.entries.iter().map(|e| e.arrival_ns).collect::<Vec<_>>(), [Some(0), Some(250_000_000)]);
        assert_eq!(
            trace.notes[1..],
            [
                "1 rows have GeneratedTokens 0, which is a failed request; they are left out",
                "1 rows have images, which are not sent"
            ]
        );
    }
}
