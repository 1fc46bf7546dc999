//! Turns aiperf's `multi_turn` files into traces: one conversation per line.
//!
//! In: rows `{"session_id": …, "turns": [turn, …]}`, each turn as a row of [`super::single_turn`]. Out: a [`Trace`] whose turns
//! hold what they add. Invariants: a conversation with a fault leaves nothing behind; rows with one `session_id` are one
//! conversation. System texts stand before the first turn that is somebody else's, in one request with it (aiperf does so
//! with one of them alone).

use std::borrow::Cow;
use std::io::BufRead;

use serde_json::value::RawValue;

use super::bad_rows::{BadRows, RowProblem, shown};
use super::draft::Draft;
use super::first_keys::first_keys;
use super::row::Row;
use super::single_turn::{TURNS, Turn, note_extra};
use super::{ReadOptions, Trace, TraceFormat, json_row};
use crate::error::Result;

/// aiperf's conversations, one per line.
pub struct MultiTurn;

#[derive(serde::Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    session_id: Option<&'a RawValue>,
    turns: Option<&'a RawValue>,
}

impl TraceFormat for MultiTurn {
    fn name(&self) -> &'static str {
        "multi_turn"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    fn summary(&self) -> &'static str {
        "aiperf's JSON lines with session_id and turns of text, one conversation per line"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.first() == Some(&b'{') && first_keys(head).contains(&&b"turns"[..])
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&TURNS);
        let mut turns_with_extra = 0;
        draft.read_lines(input, &mut bad, |draft, line, number| {
            let keys: Keys<'_> = json_row::object(line)?;
            let name = |raw| json_row::name("session_id", raw, "name the session by a text");
            let name = keys.session_id.map_or_else(|| Ok(format!("#{number}").into()), name)?;
            for row in rows(json_row::required("turns", keys.turns)?, &name, number, &mut turns_with_extra)? {
                draft.add(row, |_, _| Ok(()))?;
            }
            Ok(())
        })?;
        note_extra(turns_with_extra, &mut draft);
        draft.finish(&mut bad, options)
    }
}

/// One row per turn that is sent.
fn rows<'b>(
    raw: &RawValue,
    session: &'b str,
    line: u64,
    turns_with_extra: &mut u64,
) -> std::result::Result<Vec<Row<'b>>, RowProblem> {
    let fault = |problem: String| RowProblem::field("turns", problem, "give a list of turns, each with text");
    let list: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| fault(format!("{} is no list", shown(raw.get()))))?;
    let (mut rows, mut messages) = (Vec::new(), Vec::new());
    for (raw, count) in list.into_iter().zip(1..) {
        let turn: Turn<'_> = json_row::object(raw.get().as_bytes())
            .map_err(|problem| problem.with_remedy("each turn is an object").within(&format!("turn {count}: ")))?;
        let part = |problem: RowProblem| problem.within(&format!("turn {count}: "));
        *turns_with_extra += u64::from(turn.extra.is_some());
        let message = turn.message().map_err(part)?;
        let system = message.role == "system";
        messages.push(message);
        if system && rows.is_empty() {
            continue;
        }
        rows.push(turn.row(line, Some(Cow::Borrowed(session)), &messages).map_err(part)?);
        messages.clear();
    }
    if rows.is_empty() {
        return Err(fault("has no turn that asks".into()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use crate::trace::{Content, ReadOptions, Trace, TurnPrompt, parse};

    fn read(file: &str) -> crate::error::Result<Trace> {
        let trace = parse(&mut file.as_bytes(), "t.jsonl", &ReadOptions::default())?;
        trace.check().unwrap();
        Ok(trace)
    }

    #[test]
    fn turns_follow_each_other_behind_the_system_text() {
        let trace = read(
            r#"{"session_id": "a", "turns": [{"role": "system", "text": "brief"}, {"text": "one", "output_length": 3}, {"text": "two", "delay": 1000}]}
{"turns": [{"text": "alone"}]}
{"session_id": "a", "turns": [{"text": "three"}]}
"#,
        )
        .unwrap();
        let rows: Vec<_> = trace
            .entries
            .iter()
            .map(|e| (e.line, e.session.unwrap(), e.content.clone().unwrap(), e.output_tokens, e.delay_ns))
            .collect();
        let text = |text: &str| Content::Text(text.into());
        let first = r#"[{"role":"system","content":"brief"},{"role":"user","content":"one"}]"#;
        assert_eq!(trace.sessions, ["a", "#2"]);
        assert_eq!(trace.turn_prompt, TurnPrompt::Added);
        assert_eq!(
            rows,
            [
                (1, 0, Content::Messages(first.into()), Some(3), None),
                (1, 0, text("two"), None, Some(1_000_000_000)),
                (2, 1, text("alone"), None, None),
                (3, 0, text("three"), None, None),
            ]
        );
    }

    #[test]
    fn a_turn_with_a_fault_is_named_and_its_conversation_left_out() {
        let bad = r#"{"session_id": "x", "turns": [{"text": "a"}, {"image": "cat.png"}]}"#;
        let message = "t.jsonl:1: field `image`: turn 2: is no text, and only texts are sent (take the row out)";
        assert_eq!(read(bad).unwrap_err().to_string(), message);
        let options = ReadOptions { on_bad_row: crate::trace::OnBadRow::Skip, ..ReadOptions::default() };
        let file = format!("{bad}\n{{\"turns\": [{{\"text\": \"b\"}}]}}\n");
        let trace = parse(&mut file.as_bytes(), "t.jsonl", &options).unwrap();
        assert_eq!((trace.entries.len(), trace.skipped_rows), (1, 1));
        for (row, message) in [
            (
                r#"{"turns": []}"#,
                "t.jsonl:1: field `turns`: has no turn that asks (give a list of turns, each with text)",
            ),
            (r#"{"turns": ["a"]}"#, "t.jsonl:1: turn 1: is not a JSON object (each turn is an object)"),
            (
                r#"{"turns": [{"messages": []}]}"#,
                "t.jsonl:1: field `text`: turn 1: is missing (every turn needs text or texts)",
            ),
        ] {
            assert_eq!(read(row).unwrap_err().to_string(), message);
        }
    }
}
