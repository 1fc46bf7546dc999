//! Turns checked rows into a [`Trace`]: what only the whole file can tell is decided here, and noted.
//!
//! In: lines, one by one, in the file's order. Out: a trace in order of arrival. Invariants: a row that is refused leaves
//! nothing behind; a later turn without a time stays behind the turn before it.

use std::collections::HashMap;

use super::blocks;
use super::row::Row;
use crate::error::{Error, Result};
use crate::trace::bad_rows::{BadRows, RowProblem};
use crate::trace::intern::BlockNames;
use crate::trace::time_axis::TimeAxis;
use crate::trace::{Content, Entry, ReadOptions, Trace};

/// The most requests of a trace: nearly ten times those of the largest public one (BurstGPT).
const MAX_ROWS: usize = 50_000_000;
/// The most prefix blocks of a trace, all rows together (2 GB).
const MAX_BLOCKS: usize = 500_000_000;

/// A trace in the making.
#[derive(Default)]
pub(super) struct Draft {
    entries: Vec<Entry>,
    /// Times in billionths of the file's unit, one per entry.
    times: Vec<Option<i128>>,
    blocks: Vec<u32>,
    block_names: BlockNames,
    session_numbers: HashMap<Box<str>, u32>,
    sessions: Vec<String>,
    rows_with_extra: u64,
    texts_with_blocks: u64,
}

impl Draft {
    /// Reads one line.
    pub(super) fn add(&mut self, line: &[u8], number: u64) -> std::result::Result<(), RowProblem> {
        let row = Row::parse(line)?;
        let start = self.blocks.len();
        if let Err(problem) = row.blocks(&mut self.block_names, &mut self.blocks) {
            self.blocks.truncate(start);
            return Err(problem);
        }
        if row.input_tokens == 0 && self.blocks.len() > start {
            // Without a length nobody knows which tokens the blocks cover.
            self.blocks.truncate(start);
            self.texts_with_blocks += 1;
        }
        self.rows_with_extra += u64::from(row.has_extra);
        self.times.push(row.time);
        self.entries.push(Entry {
            arrival_ns: None,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            blocks_start: start as u32,
            blocks_len: (self.blocks.len() - start) as u32,
            session: row.session.map(|name| number_of(&mut self.session_numbers, &mut self.sessions, &name)),
            delay_ns: row.delay_ns,
            content: row.text.map(Content::Text),
            line: number,
            ..Entry::default()
        });
        Ok(())
    }

    /// Keeps memory bounded whatever the file.
    pub(super) fn check_size(&self) -> std::result::Result<(), (String, &'static str)> {
        if self.entries.len() > MAX_ROWS {
            return Err((format!("has more than {MAX_ROWS} rows"), "cut it into parts"));
        }
        if self.blocks.len() > MAX_BLOCKS {
            return Err((format!("has more than {MAX_BLOCKS} hash_ids"), "cut it into parts"));
        }
        Ok(())
    }

    /// Decides what only the whole file can tell.
    pub(super) fn finish(mut self, bad: &mut BadRows<'_>, options: &ReadOptions) -> Result<Trace> {
        if options.block_size == Some(0) {
            return Err(Error::Usage("--block-size 0 holds no tokens; use a number from 1".into()));
        }
        let mut notes = Vec::new();
        self.place_in_time(bad, options, &mut notes)?;
        if self.entries.is_empty() {
            let problem = match bad.first_reason() {
                Some(reason) => format!("has no usable row; the first problem is {reason}"),
                None => "has no rows".to_owned(),
            };
            return Err(bad.file_error(problem, "a trace needs at least one request").into());
        }
        self.sort(&mut notes);
        let block_size = self.fit_blocks(options, &mut notes);
        if self.rows_with_extra > 0 {
            notes.push(format!("{} rows have `extra` parameters, which are not used", self.rows_with_extra));
        }
        if self.texts_with_blocks > 0 {
            notes.push(format!("hash_ids of {} rows of text without a length are not used", self.texts_with_blocks));
        }
        notes.extend(bad.notes());
        let mut trace = Trace {
            entries: self.entries,
            block_ids: self.blocks,
            unique_blocks: 0,
            block_size,
            sessions: self.sessions,
            notes,
            skipped_rows: bad.skipped(),
            ..Trace::default()
        };
        trace.renumber();
        Ok(trace)
    }

    /// Puts every row on one time axis; drops, or refuses, those that have no place on it.
    fn place_in_time(&mut self, bad: &mut BadRows<'_>, options: &ReadOptions, notes: &mut Vec<String>) -> Result<()> {
        let times: Vec<i128> = self.times.iter().flatten().copied().collect();
        if times.is_empty() {
            if !self.entries.is_empty() {
                notes.push("rows have no times; they can only be sent at a rate or a concurrency".into());
            }
            return Ok(());
        }
        let axis = TimeAxis::find(times, options).map_err(|(problem, remedy)| bad.file_error(problem, remedy))?;
        let mut session_began = vec![false; self.sessions.len()];
        let mut kept = Vec::with_capacity(self.entries.len());
        for (mut entry, time) in std::mem::take(&mut self.entries).into_iter().zip(&self.times) {
            let began = entry.session.map(|s| &mut session_began[s as usize]);
            match time {
                Some(time) => entry.arrival_ns = axis.place(*time),
                None if began.as_ref().is_some_and(|b| **b) => {}
                None => {
                    let problem = RowProblem::field(
                        "timestamp",
                        "is missing, while other rows have it",
                        "give every row a time; only later turns of a session_id can do with a delay, or without",
                    );
                    bad.report(entry.line, problem)?;
                    continue;
                }
            }
            if let (Some(time), None) = (time, entry.arrival_ns) {
                let remedy = "correct the time, or name the unit with --time-unit";
                bad.report(entry.line, RowProblem::field("timestamp", axis.absurdity(*time), remedy))?;
                continue;
            }
            if let Some(began) = began {
                *began = true;
            }
            kept.push(entry);
        }
        self.entries = kept;
        notes.push(axis.note);
        Ok(())
    }

    /// Brings rows in order of arrival. A turn without a time keeps to the turn before it.
    fn sort(&mut self, notes: &mut Vec<String>) {
        let mut session_at = vec![i64::MIN; self.sessions.len()];
        let mut last_ns = i64::MIN;
        let mut out_of_order = 0_u64;
        let mut keyed: Vec<(i64, Entry)> = Vec::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            let before_ns = entry.session.map_or(i64::MIN, |s| session_at[s as usize]);
            let at_ns = entry.arrival_ns.unwrap_or(before_ns);
            if let Some(s) = entry.session {
                session_at[s as usize] = at_ns;
            }
            if entry.arrival_ns.is_some() {
                out_of_order += u64::from(at_ns < last_ns);
                last_ns = last_ns.max(at_ns);
            }
            keyed.push((at_ns, entry));
        }
        if out_of_order > 0 {
            notes.push(format!("{out_of_order} rows were earlier than a row before them; rows are sorted by time"));
        }
        keyed.sort_by_key(|(at_ns, _)| *at_ns);
        self.entries = keyed.into_iter().map(|(_, entry)| entry).collect();
    }

    /// Finds the block size, and cuts off blocks for which a prompt has no tokens.
    fn fit_blocks(&mut self, options: &ReadOptions, notes: &mut Vec<String>) -> u32 {
        let with_blocks: Vec<(u32, u32)> =
            self.entries.iter().filter(|e| e.blocks_len > 0).map(|e| (e.input_tokens, e.blocks_len)).collect();
        let found = blocks::find(&with_blocks, options.block_size);
        notes.extend(found.note);
        let mut cut = 0_u64;
        for entry in &mut self.entries {
            let most = entry.input_tokens.div_ceil(found.tokens);
            if entry.blocks_len > most {
                entry.blocks_len = most;
                cut += 1;
            }
        }
        if cut > 0 {
            notes.push(format!(
                "{cut} rows have more hash_ids than tokens for them; the last ids of those rows are not used"
            ));
        }
        found.tokens
    }
}

fn number_of(numbers: &mut HashMap<Box<str>, u32>, names: &mut Vec<String>, name: &str) -> u32 {
    if let Some(&number) = numbers.get(name) {
        return number;
    }
    let number = names.len() as u32;
    names.push(name.to_owned());
    numbers.insert(name.into(), number);
    number
}
