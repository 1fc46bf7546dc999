//! Row groups of tokens, each in order of requests → the events of one request after the other.
//!
//! In: a tokens file, and the ids that are asked for, in growing order. Out: all events of each, ordered by `seq`.
//! Invariants: a row group is open only while the ids that it spans pass by, so memory is bounded by the groups that
//! overlap, not by the file; an event is found wherever a group's statistics allow it to be, else there is an error.
//! Not here: which requests there are ([`super::reader`]).

use std::collections::VecDeque;

use parquet::errors::Result;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use super::decode::TokenCursor;
use super::row::TokenRow;
use super::source::{TableFile, bad};

/// Most events of one request.
const REQUEST_EVENTS_MAX: usize = 1 << 24;

/// A walk through a tokens file.
pub(super) struct TokenMerge<'f> {
    file: &'f TableFile,
    /// Groups that are not open yet: least request id and number, least first.
    ahead: VecDeque<(u64, usize)>,
    open: Vec<TokenCursor>,
    /// Whether every request is asked for, and every column.
    whole: bool,
}

impl<'f> TokenMerge<'f> {
    /// A walk that stands before the first row.
    pub(super) fn new(file: &'f TableFile) -> TokenMerge<'f> {
        let groups = file.metadata().row_groups().iter();
        let mut ahead: Vec<_> = groups.map(least_request_id).zip(0..).collect();
        ahead.sort_unstable();
        TokenMerge { file, ahead: ahead.into(), open: Vec::new(), whole: true }
    }

    /// The same for a few requests: groups that hold none of them by their statistics are not opened, and the columns of
    /// sizes are not read.
    pub(super) fn of_few(file: &'f TableFile) -> TokenMerge<'f> {
        TokenMerge { whole: false, ..TokenMerge::new(file) }
    }

    /// Puts the events of `request_id` into `rows`, in order. Ids must be asked for in growing order; events of ids
    /// that are left out are passed over.
    pub(super) fn take(&mut self, request_id: u64, rows: &mut Vec<TokenRow>) -> Result<()> {
        rows.clear();
        while self.ahead.front().is_some_and(|(least, _)| *least <= request_id) {
            self.open_next(request_id)?;
        }
        for cursor in &mut self.open {
            cursor.skip_before(request_id)?;
            cursor.take_run(request_id, REQUEST_EVENTS_MAX, rows)?;
        }
        self.open.retain(|cursor| cursor.peek().is_some());
        // Groups follow each other in time, so this is nearly always in order already.
        rows.sort_by_key(|row| row.seq);
        if rows.windows(2).any(|pair| pair[0].seq == pair[1].seq) {
            return Err(bad(format!("request {request_id} has two events of one number")));
        }
        Ok(())
    }

    fn open_next(&mut self, request_id: u64) -> Result<()> {
        let Some((least, group)) = self.ahead.pop_front() else { return Ok(()) };
        if !self.whole && greatest_request_id(self.file.metadata().row_group(group)) < request_id {
            return Ok(());
        }
        let cursor = TokenCursor::open(self.file, group, self.whole)?;
        let Some(first) = cursor.peek() else { return Ok(()) };
        if first.request_id < least {
            return Err(bad("a row group's statistics are wrong"));
        }
        self.open.push(cursor);
        Ok(())
    }
}

/// The greatest request id of a group by its statistics; the last of all, which is never too early, if it has none.
fn greatest_request_id(group: &RowGroupMetaData) -> u64 {
    match group.columns().first().and_then(|column| column.statistics()) {
        Some(Statistics::Int64(s)) => s.max_opt().map_or(u64::MAX, |greatest| *greatest as u64),
        _ => u64::MAX,
    }
}

/// The least request id of a group by its statistics; 0, which is never too late, if it has none.
fn least_request_id(group: &RowGroupMetaData) -> u64 {
    match group.columns().first().and_then(|column| column.statistics()) {
        Some(Statistics::Int64(s)) => s.min_opt().map_or(0, |least| *least as u64),
        _ => 0,
    }
}
