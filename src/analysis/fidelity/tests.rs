//! Each part worked out by hand.

use super::*;
use crate::analysis::fixture::{answered, manifest};
use crate::time::SECOND_NS;

fn fold(rows: &[RequestRow], config: serde_json::Value) -> Fidelity {
    let mut fold = Fold::default();
    rows.iter().for_each(|row| fold.add(row));
    fold.finish(&Manifest { config, ..manifest() })
}

fn fidelity(rows: &[RequestRow]) -> Fidelity {
    fold(rows, serde_json::Value::Null)
}

#[test]
fn arrivals_are_compared_in_the_seconds_of_the_plan() {
    let rows = [
        answered(0, 5_000.0, 0.0, 10.0, 1.0, 2),
        answered(1, 5_500.0, 4.0, 10.0, 1.0, 2),
        // 5 ms late, across the end of its second: nobody would notice.
        answered(2, 5_998.0, 5.0, 10.0, 1.0, 2),
        // A second and a half late: it moves.
        answered(3, 6_900.0, 1_500.0, 10.0, 1.0, 2),
        // Due, and not sent.
        RequestRow::scheduled(4, 9 * SECOND_NS),
    ];
    let a = fidelity(&rows).arrivals.unwrap();
    assert_eq!((a.planned, a.sent, a.moved), (5, 4, 2));
    // 5 requests in 4 s; 4 in 3.4 s.
    assert_eq!((a.planned_rps, a.sent_rps), (Some(1.25), Some(4.0 / 3.4)));
    // Lags 0, 4, 5, 1500: the median lies between 4 and 5.
    assert_eq!((a.lag_p50_ms, a.lag_max_ms), (Some(4.5), Some(1_500.0)));
    // Seconds 0 to 3. Planned 3 1 0 0: mean 1, variance (4 + 0 + 1 + 1) / 3. Sent 2 1 0 1: variance 2/3.
    assert_eq!(a.planned_idc_1s, Some(2.0));
    assert!((a.sent_idc_1s.unwrap() - 2.0 / 3.0).abs() < 1e-12);
}

#[test]
fn what_nothing_released_was_not_due() {
    let mut lane = answered(0, 0.0, 0.0, 10.0, 1.0, 2);
    lane.released_ns = Some(0);
    let never = RequestRow::scheduled(1, 7 * SECOND_NS);
    assert_eq!(fidelity(&[lane, never.clone()]).arrivals.unwrap().planned, 1, "a closed loop that stopped");
    let mut later_turn = never.clone();
    later_turn.turn = 1;
    let open = answered(0, 0.0, 0.0, 10.0, 1.0, 2);
    assert_eq!(fidelity(&[open.clone(), later_turn]).arrivals.unwrap().planned, 1);
    assert_eq!(fidelity(&[open, never]).arrivals.unwrap().planned, 2, "the clock released it");
}

fn counted(asked: u32, counted: u32) -> RequestRow {
    let mut row = answered(0, 0.0, 0.0, 10.0, 1.0, 2);
    (row.input_tokens, row.prompt_tokens) = (asked, Some(counted));
    row
}

#[test]
fn prompt_errors_fall_into_the_nearest_class() {
    let rows = [
        counted(1000, 1000),
        counted(10, 11),
        counted(1000, 999),
        counted(1000, 1010),
        counted(1000, 950),
        counted(1000, 1051),
        counted(0, 5),
        RequestRow { outcome: crate::outcome::Outcome::Truncated, ..counted(10, 99) },
    ];
    let t = fidelity(&rows).input.unwrap();
    assert_eq!(t.classes().map(|(_, n)| n), [1, 2, 1, 1, 1]);
    assert_eq!((t.n, t.min_error_tokens, t.max_error_tokens), (6, -50, 51));
    // 0 + 1 - 1 + 10 - 50 + 51 tokens; 0 + 10 - 0.1 + 1 - 5 + 5.1 per cent.
    assert!((t.mean_error_tokens - 11.0 / 6.0).abs() < 1e-12 && (t.mean_error_pct - 11.0 / 6.0).abs() < 1e-12, "{t:?}");
    assert_eq!(fidelity(&[answered(0, 0.0, 0.0, 10.0, 1.0, 2)]).input, None, "the server did not count");
}

#[test]
fn answers_are_held_against_their_limits() {
    let limited = |limit, given| {
        let mut row = answered(0, 0.0, 0.0, 10.0, 1.0, given);
        row.max_tokens = limit;
        row
    };
    let rows = [limited(Some(10), 10), limited(Some(10), 5), limited(Some(100), 105), limited(None, 7)];
    let expect = OutputTokens {
        n: 3,
        as_asked: 1,
        shorter: 1,
        longer: 1,
        asked_tokens: 120,
        given_tokens: 120,
        mean_error_pct: -15.0,
    };
    assert_eq!(fidelity(&rows).output, Some(expect));
    assert_eq!(fidelity(&rows[3..]).output, None);
}

#[test]
fn expected_hits_stand_beside_observed_ones() {
    let cached = |n| RequestRow { cached_tokens: n, ..counted(100, 120) };
    let rows = [cached(Some(30)), cached(Some(0)), cached(None)];
    let p = fold(&rows, serde_json::json!({"expected_cached_tokens": 60})).prefixes.unwrap();
    assert_eq!((p.expected_tokens, p.expected_share), (Some(60), Some(0.2)));
    assert_eq!((p.told, p.observed_tokens, p.observed_share), (2, Some(30), Some(30.0 / 240.0)));
    let silent = fold(&rows[2..], serde_json::json!({"expected_cached_tokens": 60})).prefixes.unwrap();
    assert_eq!((silent.told, silent.observed_tokens, silent.observed_share), (0, None, None));
    assert_eq!(fidelity(&rows[2..]).prefixes, None);
}

#[test]
fn a_turn_is_early_if_the_one_before_it_had_not_ended() {
    let turn = |session: &str, turn: u32, due_ms: f64| {
        let mut row = answered(0, due_ms, 0.0, 10.0, 10.0, 2); // ends 21 ms after it was sent
        (row.session_id, row.turn) = (Some(session.into()), turn);
        row
    };
    let mut unended = turn("c", 0, 0.0);
    unended.end_ns = None;
    let rows = [
        turn("a", 0, 0.0),
        turn("b", 0, 0.0),
        turn("a", 1, 21.0), // at the very end: in order
        turn("b", 1, 14.0), // 7 ms early
        turn("a", 2, 41.0), // 1 ms early
        turn("a", 0, 41.5), // the session again, by another user
        unended,
        turn("c", 1, 90.0), // nothing released it
    ];
    let s = fidelity(&rows).sessions.unwrap();
    assert_eq!(s, Causality { sessions: 3, turns: 4, early: 3, early_max_ms: Some(7.0) });
    assert_eq!(fidelity(&rows[..2]).sessions, None);
}

#[test]
fn the_warm_up_is_in_none_of_it() {
    let warm = RequestRow { phase: Phase::Warmup, cached_tokens: Some(1), max_tokens: Some(9), ..counted(5, 9) };
    assert_eq!(fidelity(&[warm]), Fidelity::default());
}
