//! Turns BurstGPT's CSV files into traces: seconds and lengths, one request per row, with its model and its kind.
//!
//! In: the columns `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, in the third part of the data with
//! `Session ID,Elapsed time` among them; found by name. Out: a [`Trace`] without prefix blocks. `Log Type` is the kind of a
//! request. Rows without an answer are failures; they are left out and counted.
//! A session's later turns have times of their own; their `Request tokens` are what the service counted, the whole prompt.
//!
//! The files are those of HPMLL/BurstGPT.

use std::io::BufRead;

use super::bad_rows::BadRows;
use super::csv_rows::{CsvRows, header_of, names_all};
use super::dialect::Dialect;
use super::draft::Draft;
use super::row::Row;
use super::time_axis::UnitRule;
use super::{ReadOptions, TimeUnit, Trace, TraceFormat, TurnPrompt, number};
use crate::error::Result;

const TIME: &str = "Timestamp";
const INPUT: &str = "Request tokens";
const OUTPUT: &str = "Response tokens";

const DIALECT: Dialect = Dialect {
    unit: UnitRule::Always(TimeUnit::S),
    session: "Session ID",
    turn_prompt: TurnPrompt::Whole,
    ..Dialect::plain(TIME, INPUT)
};

/// BurstGPT.
pub struct BurstGpt;

impl TraceFormat for BurstGpt {
    fn name(&self) -> &'static str {
        "burst_gpt_trace"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["burstgpt"]
    }

    fn summary(&self) -> &'static str {
        "BurstGPT's CSV with Timestamp, Model, Request tokens, Response tokens and Log Type"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        names_all(&header_of(head), &[INPUT, OUTPUT])
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut rows = CsvRows::open(input, &bad)?;
        let (time, input, output) = (rows.column(TIME)?, rows.column(INPUT)?, rows.column(OUTPUT)?);
        let (model, kind, session) = (rows.find("Model"), rows.find("Log Type"), rows.find("Session ID"));
        let mut failures = 0_u64;
        let mut draft = Draft::new(&DIALECT);
        draft.read_csv(&mut rows, &mut bad, |draft, row, line| {
            let Some(output_tokens) = number::tokens_or_none(OUTPUT, row.field(output))? else {
                failures += 1;
                return Ok(());
            };
            let row = Row {
                line,
                time: Some(number::time(TIME, row.field(time), TimeUnit::S)?),
                input_tokens: number::tokens(INPUT, row.field(input))?,
                output_tokens: Some(output_tokens),
                session: row.optional(session).map(Into::into),
                model: row.optional(model).map(Into::into),
                kind: row.optional(kind).map(Into::into),
                ..Row::default()
            };
            draft.add(row, |_, _| Ok(()))
        })?;
        if failures > 0 {
            draft.note(format!("{failures} rows have {OUTPUT} 0, which is a failed request; they are left out"));
        }
        draft.finish(&mut bad, options)
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::{ReadOptions, TimeUnit, Trace, TurnPrompt, parse};

    fn accepted(file: &str, options: &ReadOptions) -> Trace {
        let trace = parse(&mut file.as_bytes(), "t.csv", options).unwrap();
        trace.check().unwrap();
        trace
    }

    const SIX: &str = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
                       5,ChatGPT,472,18,490,Conversation log\n\
                       45,GPT-4,1087,0,1087,API log\n\
                       118,GPT-4,0,0,0,API log\n\
                       118,GPT-4,417,276,693,API log\n";

    #[test]
    fn six_columns_have_models_and_kinds_and_failures_are_left_out() {
        let trace = accepted(SIX, &ReadOptions::default());
        let [a, b] = &trace.entries[..] else { panic!("{:?}", trace.entries) };
        assert_eq!((a.arrival_ns, a.input_tokens, a.output_tokens), (Some(0), 472, Some(18)));
        assert_eq!((b.arrival_ns, b.model, b.kind, b.session), (Some(113_000_000_000), Some(1), Some(1), None));
        assert_eq!(
            (&trace.models[..], &trace.kinds[..]),
            (&["ChatGPT", "GPT-4"].map(String::from)[..], &["Conversation log", "API log"].map(String::from)[..])
        );
        assert_eq!(
            trace.notes,
            [
                "times are read as seconds (the format's unit; --time-unit says otherwise); the first, 5.000 s, is now 0",
                "2 rows have Response tokens 0, which is a failed request; they are left out"
            ]
        );
        let forced = accepted(SIX, &ReadOptions { time_unit: TimeUnit::Ms, ..Default::default() });
        assert_eq!(forced.entries[1].arrival_ns, Some(113_000_000));
    }

    #[test]
    fn eight_columns_have_sessions_where_there_are_any() {
        let trace = accepted(
            "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
             19440110.0,1722ac82,43,GPT-4,906,446,1352,Conversation log\n\
             19440161.0,,2,ChatGPT,36,29,65,API log\n\
             19440192.5,1722ac82,8,GPT-4,1779,123,1902,Conversation log\n",
            &ReadOptions::default(),
        );
        let rows: Vec<_> = trace.entries.iter().map(|e| (e.arrival_ns, e.session, e.input_tokens)).collect();
        assert_eq!(
            rows,
            [(Some(0), Some(0), 906), (Some(51_000_000_000), None, 36), (Some(82_500_000_000), Some(0), 1779)]
        );
        assert_eq!((&trace.sessions[..], trace.turn_prompt), (&["1722ac82".to_owned()][..], TurnPrompt::Whole));
    }
}
