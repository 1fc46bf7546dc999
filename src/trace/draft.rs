//! Turns checked rows into a [`Trace`]: what only the whole file can tell is decided here, and noted.
//!
//! In: rows, one by one, in the file's order, whatever their format. Out: a trace in order of arrival. Invariants: a row that
//! is refused leaves nothing behind; sizes are bounded.
//! Not here: what a row looks like (that is its format's), nor how numbers are written.

use std::io::BufRead;

use super::bad_rows::{BadRows, RowProblem, shown};
use super::blocks;
use super::csv_rows::{CsvRow, CsvRows};
use super::dialect::Dialect;
use super::intern::{BlockNames, Names};
use super::lines::{Lines, MAX_LINE_BYTES};
use super::row::Row;
use super::time_axis::TimeAxis;
use super::{Entry, ReadOptions, Trace, Wait, order};
use crate::error::{Error, Result};

/// The most requests of a trace: nearly ten times those of the largest public one (BurstGPT).
pub(super) const MAX_ROWS: usize = 50_000_000;
/// The most prefix blocks of a trace, all rows together (2 GB).
const MAX_BLOCKS: usize = 500_000_000;

/// A trace in the making.
pub(super) struct Draft {
    dialect: &'static Dialect,
    entries: Vec<Entry>,
    /// Times of the entries, as in [`Row::time`].
    times: Vec<Option<i128>>,
    blocks: Vec<u32>,
    block_names: BlockNames,
    sessions: Names,
    models: Names,
    kinds: Names,
    requests: Names,
    /// Numbers of the entries' own requests, one per entry, or none at all where no row has a name.
    own_request: Vec<u32>,
    /// Which requests a row was read of.
    request_read: Vec<bool>,
    /// What entries wait for; `entry` is the number of a request.
    waits: Vec<Wait>,
    texts_with_blocks: u64,
    block_tokens: Option<u32>,
    notes: Vec<String>,
}

/// The number of a request without a name.
const UNNAMED: u32 = u32::MAX;

impl Draft {
    pub(super) fn new(dialect: &'static Dialect) -> Draft {
        Draft {
            dialect,
            entries: Vec::new(),
            times: Vec::new(),
            blocks: Vec::new(),
            block_names: BlockNames::default(),
            sessions: Names::default(),
            models: Names::default(),
            kinds: Names::default(),
            requests: Names::default(),
            own_request: Vec::new(),
            request_read: Vec::new(),
            waits: Vec::new(),
            texts_with_blocks: 0,
            block_tokens: None,
            notes: Vec::new(),
        }
    }

    /// Hands every line that is not empty to `add`, with its number.
    ///
    /// # Errors
    /// The first line that cannot be used, unless such lines are skipped; a trace beyond all bounds; a failed read.
    pub(super) fn read_lines(
        &mut self,
        input: &mut dyn BufRead,
        bad: &mut BadRows<'_>,
        mut add: impl FnMut(&mut Draft, &[u8], u64) -> std::result::Result<(), RowProblem>,
    ) -> Result<()> {
        let mut lines = Lines::new(input);
        while let Some(line) = lines.next().map_err(Error::io(bad.file()))? {
            let added = match line.bytes {
                Some(bytes) => add(self, bytes, line.number),
                None => Err(RowProblem::row(
                    format!("is longer than {} MiB", MAX_LINE_BYTES >> 20),
                    "write one request per line",
                )),
            };
            self.taken(added, line.number, bad)?;
        }
        Ok(())
    }

    /// Hands every row to `add`, with its line.
    ///
    /// # Errors
    /// As [`Draft::read_lines`].
    pub(super) fn read_csv(
        &mut self,
        rows: &mut CsvRows<'_>,
        bad: &mut BadRows<'_>,
        mut add: impl FnMut(&mut Draft, &CsvRow<'_>, u64) -> std::result::Result<(), RowProblem>,
    ) -> Result<()> {
        while let Some((line, row)) = rows.next()? {
            let added = row.and_then(|row| add(self, &row, line));
            self.taken(added, line, bad)?;
        }
        Ok(())
    }

    /// Reports a row that was not taken in, and that there are too many.
    pub(super) fn taken(
        &self,
        added: std::result::Result<(), RowProblem>,
        line: u64,
        bad: &mut BadRows<'_>,
    ) -> Result<()> {
        if let Err(problem) = added {
            bad.report(line, problem)?;
        }
        self.check_size().map_err(|(problem, remedy)| bad.file_error(problem, remedy).into())
    }

    /// Takes a row in; `blocks` appends the numbers of its prefix blocks.
    pub(super) fn add(
        &mut self,
        row: Row<'_>,
        blocks: impl FnOnce(&mut BlockNames, &mut Vec<u32>) -> std::result::Result<(), RowProblem>,
    ) -> std::result::Result<(), RowProblem> {
        let request = row.request.map_or(Ok(UNNAMED), |name| self.name_request(&name))?;
        let start = self.blocks.len();
        if let Err(problem) = blocks(&mut self.block_names, &mut self.blocks) {
            self.blocks.truncate(start);
            return Err(problem);
        }
        if row.input_tokens == 0 && self.blocks.len() > start {
            // Without a length nobody knows which tokens the blocks cover.
            self.blocks.truncate(start);
            self.texts_with_blocks += 1;
        }
        if request != UNNAMED {
            self.request_read[request as usize] = true;
            self.own_request.resize(self.entries.len(), UNNAMED);
            self.own_request.push(request);
        }
        let waits_start = self.waits.len() as u32;
        for cause in &row.waits {
            let entry = self.requests.number(&cause.request);
            self.waits.push(Wait { entry, event: cause.event, delay_ns: cause.delay_ns });
        }
        self.times.push(row.time);
        self.entries.push(Entry {
            arrival_ns: None,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            blocks_start: start as u32,
            blocks_len: (self.blocks.len() - start) as u32,
            session: row.session.map(|name| self.sessions.number(&name)),
            delay_ns: row.delay_ns,
            content: row.content,
            model: row.model.map(|name| self.models.number(&name)),
            kind: row.kind.map(|name| self.kinds.number(&name)),
            waits_start,
            waits_len: self.waits.len() as u32 - waits_start,
            line: row.line,
        });
        Ok(())
    }

    fn name_request(&mut self, name: &str) -> std::result::Result<u32, RowProblem> {
        let request = self.requests.number(name);
        self.request_read.resize(self.requests.len(), false);
        if self.request_read[request as usize] {
            let problem = format!("\"{}\" is an earlier row's name", shown(name));
            return Err(RowProblem::field("request_id", problem, "give every request a name of its own"));
        }
        Ok(request)
    }

    /// From here on block ids are those of this scope, which is 0 at first.
    pub(super) fn enter_scope(&mut self, scope: u32) {
        self.block_names.enter(scope);
    }

    /// Says what a full block holds, where the file does.
    ///
    /// # Errors
    /// Null is no size, and a file has one size only.
    pub(super) fn state_block_size(&mut self, tokens: u32) -> std::result::Result<(), String> {
        match self.block_tokens.replace(tokens) {
            _ if tokens == 0 => Err("is 0".into()),
            Some(before) if before != tokens => Err(format!("is {tokens}, where earlier rows have {before}")),
            _ => Ok(()),
        }
    }

    /// Takes note of how many rows tell no length of their answer, in a format whose rows should.
    pub(super) fn note_silent(&mut self) {
        let silent = self.entries.iter().filter(|e| e.output_tokens.is_none()).count();
        if silent > 0 {
            self.note(format!("{silent} rows do not tell how long their answers were"));
        }
    }

    /// Takes note of something that the format's reader found out or did.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Keeps memory bounded whatever the file.
    fn check_size(&self) -> std::result::Result<(), (String, &'static str)> {
        if self.entries.len() > MAX_ROWS {
            return Err((format!("has more than {MAX_ROWS} rows"), "cut it into parts"));
        }
        if self.waits.len() > MAX_BLOCKS {
            return Err((format!("has more than {MAX_BLOCKS} {}", self.dialect.waits), "cut it into parts"));
        }
        if self.blocks.len() > MAX_BLOCKS {
            return Err((format!("has more than {MAX_BLOCKS} {}", self.dialect.blocks), "cut it into parts"));
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
        let waits = if self.waits.is_empty() { self.sort(&mut notes) } else { self.sort_by_cause(bad)? };
        self.refuse_if_empty(bad)?;
        let block_size = self.fit_blocks(options, &mut notes);
        notes.append(&mut self.notes);
        if self.texts_with_blocks > 0 {
            notes.push(format!(
                "{} of {} rows of text without a length are not used",
                self.dialect.blocks, self.texts_with_blocks
            ));
        }
        notes.extend(bad.notes());
        let mut trace = Trace {
            entries: self.entries,
            block_ids: self.blocks,
            unique_blocks: 0,
            block_size,
            sessions: self.sessions.into_names(),
            turn_prompt: self.dialect.turn_prompt,
            waits,
            models: self.models.into_names(),
            kinds: self.kinds.into_names(),
            notes,
            skipped_rows: bad.skipped(),
        };
        trace.renumber();
        Ok(trace)
    }

    fn refuse_if_empty(&self, bad: &BadRows<'_>) -> Result<()> {
        if !self.entries.is_empty() {
            return Ok(());
        }
        let problem = match bad.first_reason() {
            Some(reason) => format!("has no usable row; the first problem is {reason}"),
            None => "has no rows".to_owned(),
        };
        Err(bad.file_error(problem, "a trace needs at least one request").into())
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
        let Dialect { time: field, session, .. } = *self.dialect;
        let axis = TimeAxis::find(times, self.dialect.unit, options)
            .map_err(|(problem, remedy)| bad.file_error(problem, remedy))?;
        let mut session_began = vec![false; self.sessions.len()];
        let mut kept = Vec::with_capacity(self.entries.len());
        let mut kept_requests = Vec::with_capacity(self.own_request.len());
        for (at, (mut entry, time)) in std::mem::take(&mut self.entries).into_iter().zip(&self.times).enumerate() {
            let began = entry.session.map(|s| &mut session_began[s as usize]);
            match time {
                Some(time) => entry.arrival_ns = axis.place(*time),
                None if entry.waits_len > 0 || began.as_ref().is_some_and(|b| **b) => {}
                None => {
                    let problem = RowProblem::field(
                        field,
                        "is missing, while other rows have it",
                        format!(
                            "give every row a time; only later turns of a {session} can do with a delay, or without"
                        ),
                    );
                    bad.report(entry.line, problem)?;
                    continue;
                }
            }
            if let (Some(time), None) = (time, entry.arrival_ns) {
                let remedy = "correct the time, or name the unit with --time-unit";
                bad.report(entry.line, RowProblem::field(field, axis.absurdity(*time), remedy))?;
                continue;
            }
            if let Some(began) = began {
                *began = true;
            }
            kept.push(entry);
            kept_requests.extend(self.own_request.get(at));
        }
        self.entries = kept;
        self.own_request = kept_requests;
        notes.push(axis.note);
        Ok(())
    }

    /// Brings rows that wait for nothing but earlier turns in order of arrival.
    fn sort(&mut self, notes: &mut Vec<String>) -> Vec<Wait> {
        let (entries, out_of_order) = order::by_time(std::mem::take(&mut self.entries), self.sessions.len());
        if out_of_order > 0 {
            notes.push(format!("{out_of_order} rows were earlier than a row before them; rows are sorted by time"));
        }
        self.entries = entries;
        Vec::new()
    }

    /// Brings rows that wait for others in order; refuses those that would wait for ever.
    fn sort_by_cause(&mut self, bad: &mut BadRows<'_>) -> Result<Vec<Wait>> {
        let mut place = vec![None; self.requests.len()];
        for (at, &request) in self.own_request.iter().enumerate().filter(|(_, r)| **r != UNNAMED) {
            place[request as usize] = Some(at as u32);
        }
        let causal = order::by_cause(std::mem::take(&mut self.entries), &self.waits, |request| place[request as usize]);
        for stuck in causal.stuck {
            let (problem, remedy) = if stuck.missing {
                ("names a request that no usable row is", "give that request a row, or take it out here")
            } else {
                ("waits for what, in the end, waits for it or cannot be used", "break the circle")
            };
            bad.report(stuck.line, RowProblem::field(self.dialect.waits, problem, remedy))?;
        }
        self.entries = causal.entries;
        Ok(causal.waits)
    }

    /// Finds the block size, and cuts off blocks for which a prompt has no tokens.
    fn fit_blocks(&mut self, options: &ReadOptions, notes: &mut Vec<String>) -> u32 {
        let with_blocks: Vec<(u32, u32)> =
            self.entries.iter().filter(|e| e.blocks_len > 0).map(|e| (e.input_tokens, e.blocks_len)).collect();
        let found = match (options.block_size, self.block_tokens) {
            (None, Some(tokens)) => blocks::BlockSize { tokens, note: None },
            (forced, _) => blocks::find(&with_blocks, self.dialect, forced),
        };
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
                "{cut} rows have more {} than tokens for them; the last ids of those rows are not used",
                self.dialect.blocks
            ));
        }
        found.tokens
    }
}
