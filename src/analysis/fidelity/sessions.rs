//! Turns of sessions → whether each was sent after the one before it had ended.
//!
//! Rows come in order of `request_id`, in which a session's turns stand in order; where a session is played again, its turns
//! start from 0 again.

use std::collections::HashMap;

use serde::Serialize;

use crate::record::row::RequestRow;

/// Whether turns waited.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Causality {
    /// Sessions.
    pub sessions: u64,
    /// Turns after the first that were sent and whose previous turn has a row.
    pub turns: u64,
    /// Of those, how many were sent before that had ended.
    pub early: u64,
    /// By how much the worst of them, in milliseconds; null where none was, or where its previous turn never ended.
    pub early_max_ms: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct Fold {
    /// Of each session's last row: its turn, and when it ended.
    last: HashMap<String, (u32, Option<i64>)>,
    numbers: Causality,
}

impl Fold {
    pub(super) fn add(&mut self, row: &RequestRow) {
        let Some(session) = &row.session_id else { return };
        let this = (row.turn, row.end_ns);
        let Some(last) = self.last.get_mut(session) else {
            self.last.insert(session.clone(), this);
            return;
        };
        let (turn, ended_ns) = std::mem::replace(last, this);
        let Some(sent_ns) = row.sent_ns.filter(|_| row.turn == turn.saturating_add(1)) else { return };
        self.numbers.turns += 1;
        if ended_ns.is_none_or(|ended_ns| sent_ns < ended_ns) {
            self.numbers.early += 1;
            let early_ms = ended_ns.map(|ended_ns| ended_ns.saturating_sub(sent_ns) as f64 / 1e6);
            let worst = [self.numbers.early_max_ms, early_ms].into_iter().flatten().max_by(f64::total_cmp);
            self.numbers.early_max_ms = worst;
        }
    }

    pub(super) fn finish(self) -> Option<Causality> {
        let sessions = self.last.len() as u64;
        (self.numbers.turns > 0).then_some(Causality { sessions, ..self.numbers })
    }
}
