//! Requests that were not completed → a table of their kinds, most frequent first.
//!
//! In: rows whose outcome is another. Out: [`ErrorCount`]s. Invariant: at most one line for each outcome, status and
//! [`Cause`], so the table is bounded; its text is that of the request with the lowest id.

use std::collections::BTreeMap;

use super::ErrorCount;
use crate::outcome::{ABORTED, DROPPED, ON_REQUEST, Outcome};
use crate::record::row::RequestRow;

/// Why a request was not sent or was given up, as far as the reason's own beginning tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// It was dropped for want of room.
    Dropped,
    /// An overload ended the run.
    Aborted,
    /// The user wanted it cancelled.
    OnRequest,
    Other,
}

impl Cause {
    fn of(row: &RequestRow) -> Cause {
        let begins = |prefix| row.error.as_ref().is_some_and(|text| text.starts_with(prefix));
        match row.outcome {
            Outcome::NotSent if begins(DROPPED) => Cause::Dropped,
            Outcome::NotSent if begins(ABORTED) => Cause::Aborted,
            Outcome::Cancelled if begins(ON_REQUEST) => Cause::OnRequest,
            _ => Cause::Other,
        }
    }
}

/// Requests by outcome, status and cause. Mergeable.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorTable {
    kinds: BTreeMap<(Outcome, Option<u16>, Cause), Kind>,
}

#[derive(Clone, Debug)]
struct Kind {
    first_id: u64,
    message: String,
    count: u64,
}

impl ErrorTable {
    /// Counts one request.
    pub(super) fn add(&mut self, row: &RequestRow) {
        let kind = self.kinds.entry((row.outcome, row.http_status, Cause::of(row))).or_insert_with(|| Kind {
            first_id: row.request_id,
            message: row.error.clone().unwrap_or_default(),
            count: 0,
        });
        kind.count += 1;
    }

    /// Adds another table's counts to these.
    pub(super) fn merge(&mut self, other: ErrorTable) {
        for (key, theirs) in other.kinds {
            match self.kinds.entry(key) {
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(theirs);
                }
                std::collections::btree_map::Entry::Occupied(mut slot) => {
                    let count = slot.get().count + theirs.count;
                    if theirs.first_id < slot.get().first_id {
                        slot.insert(theirs);
                    }
                    slot.get_mut().count = count;
                }
            }
        }
    }

    /// The table, most frequent first; equal counts in the order of [`Outcome::ALL`], then of status.
    pub(super) fn finish(self) -> Vec<ErrorCount> {
        let mut errors: Vec<ErrorCount> = self
            .kinds
            .into_iter()
            .map(|((outcome, http_status, _), kind)| ErrorCount {
                outcome,
                http_status,
                message: kind.message,
                count: kind.count,
            })
            .collect();
        errors.sort_by_key(|e| std::cmp::Reverse(e.count)); // Stable: ties stay in the map's order.
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(request_id: u64, outcome: Outcome, http_status: Option<u16>, text: &str) -> RequestRow {
        RequestRow { outcome, http_status, error: Some(text.into()), ..RequestRow::scheduled(request_id, 0) }
    }

    #[test]
    fn what_was_asked_for_stands_apart_from_what_went_wrong() {
        let mut table = ErrorTable::default();
        let reasons = [
            (Outcome::NotSent, format!("{DROPPED}4 were in flight")),
            (Outcome::NotSent, "the run was interrupted".into()),
            (Outcome::NotSent, format!("{DROPPED}5 were in flight")),
            (Outcome::Cancelled, format!("{ON_REQUEST}0.5 s")),
            (Outcome::Cancelled, "still in flight".into()),
        ];
        (0..).zip(&reasons).for_each(|(id, (outcome, text))| table.add(&failure(id, *outcome, None, text)));
        let counts: Vec<u64> = table.finish().iter().map(|e| e.count).collect();
        assert_eq!(counts, [2, 1, 1, 1]);
    }

    #[test]
    fn kinds_are_counted_and_the_first_text_survives_a_merge_in_any_order() {
        let rows = [
            failure(1, Outcome::Timeout, None, "slow"),
            failure(2, Outcome::HttpError, Some(429), "first"),
            failure(3, Outcome::HttpError, Some(500), "boom"),
            failure(4, Outcome::HttpError, Some(429), "second"),
        ];
        let table = |rows: &[RequestRow]| {
            let mut t = ErrorTable::default();
            rows.iter().for_each(|r| t.add(r));
            t
        };
        let whole = table(&rows).finish();
        let lines: Vec<_> = whole.iter().map(|e| (e.http_status, e.message.as_str(), e.count)).collect();
        assert_eq!(lines, [(Some(429), "first", 2), (Some(500), "boom", 1), (None, "slow", 1)]);
        let mut late = table(&rows[2..]);
        late.merge(table(&rows[..2]));
        assert_eq!(late.finish(), whole);
    }
}
