//! Turns aiperf's `single_turn` files into traces: one text per line, perhaps with a time, a role and a session.
//!
//! In: rows `{"text": …}` or `{"texts": […]}` with `timestamp` or `delay` in milliseconds, `role`, `session_id`,
//! `output_length`. Out: a [`Trace`] of literal prompts. Rows of one session follow each other, and each is sent as it stands
//! (aiperf's rule): nothing goes in front of it. Pictures, sound and films are refused by name.

use std::borrow::Cow;
use std::io::BufRead;

use serde_json::value::RawValue;

use super::bad_rows::{BadRows, RowProblem, shown};
use super::dialect::Dialect;
use super::draft::Draft;
use super::first_keys::first_keys;
use super::row::Row;
use super::time_axis::{TimeUnit, UnitRule};
use super::{Content, ReadOptions, Trace, TraceFormat, TurnPrompt, json_row, number};
use crate::error::Result;

const DIALECT: Dialect = Dialect { turn_prompt: TurnPrompt::Whole, ..TURNS };

/// What aiperf's turns call their fields, in rows of their own and in conversations.
pub(super) const TURNS: Dialect =
    Dialect { unit: UnitRule::Always(TimeUnit::Ms), ..Dialect::plain("timestamp", "text") };

/// aiperf's texts, one per line.
pub struct SingleTurn;

impl TraceFormat for SingleTurn {
    fn name(&self) -> &'static str {
        "single_turn"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    fn summary(&self) -> &'static str {
        "aiperf's JSON lines with text or texts, one request per line"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        let keys = first_keys(head);
        head.first() == Some(&b'{') && keys.iter().any(|key| [&b"text"[..], b"texts"].contains(key))
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut draft = Draft::new(&DIALECT);
        let mut rows_with_extra = 0;
        draft.read_lines(input, &mut bad, |draft, line, number| {
            let turn: Turn<'_> = json_row::object(line)?;
            let name = |raw| json_row::name("session_id", raw, "name the session by a text");
            let session = turn.session_id.map(name).transpose()?;
            let messages = turn.message()?;
            draft.add(turn.row(number, session, &[messages])?, |_, _| Ok(()))?;
            rows_with_extra += u64::from(turn.extra.is_some());
            Ok(())
        })?;
        note_extra(rows_with_extra, &mut draft);
        draft.finish(&mut bad, options)
    }
}

/// One turn's keys. Everything else is passed over.
#[derive(serde::Deserialize)]
pub(super) struct Turn<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    texts: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    delay: Option<&'a RawValue>,
    role: Option<&'a RawValue>,
    session_id: Option<&'a RawValue>,
    output_length: Option<&'a RawValue>,
    pub(super) extra: Option<&'a RawValue>,
    image: Option<&'a RawValue>,
    images: Option<&'a RawValue>,
    image_uuids: Option<&'a RawValue>,
    audio: Option<&'a RawValue>,
    audios: Option<&'a RawValue>,
    video: Option<&'a RawValue>,
    videos: Option<&'a RawValue>,
}

/// Who says what.
pub(super) struct Message<'a> {
    pub(super) role: Cow<'a, str>,
    texts: Vec<Cow<'a, str>>,
}

/// Several texts under a name.
#[derive(serde::Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    contents: Vec<Cow<'a, str>>,
}

impl<'a> Turn<'a> {
    /// What the turn says.
    pub(super) fn message(&self) -> std::result::Result<Message<'a>, RowProblem> {
        self.refuse_media()?;
        let texts = match (self.text, self.texts) {
            (Some(_), Some(_)) => return Err(RowProblem::field("texts", "stands beside text", "give one of them")),
            (Some(text), None) => vec![json_row::text("text", text)?],
            (None, Some(list)) => texts(list)?,
            (None, None) => return Err(RowProblem::field("text", "is missing", "every turn needs text or texts")),
        };
        if texts.iter().all(|text| text.is_empty()) {
            return Err(RowProblem::field("text", "is empty", "give the prompt's text"));
        }
        let role = self.role.map(|raw| json_row::text("role", raw)).transpose()?.unwrap_or("user".into());
        Ok(Message { role, texts })
    }

    /// The row of a turn that sends these messages.
    pub(super) fn row<'b>(
        &self,
        line: u64,
        session: Option<Cow<'b, str>>,
        messages: &[Message<'_>],
    ) -> std::result::Result<Row<'b>, RowProblem> {
        if let (Some(_), Some(_)) = (self.timestamp, self.delay) {
            return Err(RowProblem::field("delay", "stands beside timestamp", "give one of them"));
        }
        let time = self.timestamp.map(|raw| number::time("timestamp", raw.get(), TimeUnit::Ms)).transpose()?;
        let delay = self.delay.map(|raw| number::delay_ns("delay", raw.get(), TimeUnit::Ms)).transpose()?;
        Ok(Row {
            line,
            time,
            // A row alone follows nothing, and aiperf does not wait before it.
            delay_ns: delay.filter(|_| session.is_some()),
            output_tokens: self.output_length.map(|raw| number::tokens("output_length", raw.get())).transpose()?,
            content: Some(content(messages)),
            session,
            ..Row::default()
        })
    }

    fn refuse_media(&self) -> std::result::Result<(), RowProblem> {
        let media = [
            ("image", self.image),
            ("images", self.images),
            ("image_uuids", self.image_uuids),
            ("audio", self.audio),
            ("audios", self.audios),
            ("video", self.video),
            ("videos", self.videos),
        ];
        match media.into_iter().find(|(_, raw)| raw.is_some_and(|raw| !["null", "[]", "\"\""].contains(&raw.get()))) {
            Some((field, _)) => {
                Err(RowProblem::field(field, "is no text, and only texts are sent", "take the row out"))
            }
            None => Ok(()),
        }
    }
}

/// Texts of a list of texts, or of lists of texts that have names.
fn texts<'a>(raw: &'a RawValue) -> std::result::Result<Vec<Cow<'a, str>>, RowProblem> {
    let fault = || {
        let problem = format!("{} is no list of texts", shown(raw.get()));
        RowProblem::field("texts", problem, "give texts, or objects with name and contents")
    };
    let list: Vec<&'a RawValue> = serde_json::from_str(raw.get()).map_err(|_| fault())?;
    let mut all = Vec::with_capacity(list.len());
    for element in list {
        if element.get().starts_with('{') {
            let named: Named<'a> = serde_json::from_str(element.get()).map_err(|_| fault())?;
            all.extend(named.contents);
        } else {
            all.push(json_row::text("texts", element)?);
        }
    }
    Ok(all)
}

/// One user's text as it is; anything else as chat messages, several texts of one message as its parts.
fn content(messages: &[Message<'_>]) -> Content {
    if let [Message { role, texts }] = messages
        && let ("user", [text]) = (&**role, &texts[..])
    {
        return Content::Text((&**text).into());
    }
    let list = messages.iter().map(|message| {
        let content = match &message.texts[..] {
            [text] => serde_json::Value::from(&**text),
            texts => texts.iter().map(|text| serde_json::json!({"type": "text", "text": text})).collect(),
        };
        serde_json::json!({"role": message.role, "content": content})
    });
    Content::Messages(list.collect::<serde_json::Value>().to_string().into())
}

/// Says that parameters of single requests are not carried.
pub(super) fn note_extra(turns: u64, draft: &mut Draft) {
    if turns > 0 {
        draft.note(format!("{turns} turns have `extra` parameters, which are not used"));
    }
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
    fn every_line_is_a_request_as_it_stands() {
        let trace = read(
            r#"{"text": "What is \"deep\" learning?", "output_length": 7, "session_id": "s"}
{"texts": ["Who are you?", "Hello"], "extra": {"top_k": 1}}
{"texts": [{"name": "query", "contents": ["one"]}]}
{"text": "be brief", "role": "system", "images": []}
{"text": "again", "session_id": "s", "delay": 1500}
"#,
        )
        .unwrap();
        let rows: Vec<_> = trace
            .entries
            .iter()
            .map(|e| (e.line, e.content.clone().unwrap(), e.output_tokens, e.session, e.delay_ns))
            .collect();
        let text = |text: &str| Content::Text(text.into());
        let messages = |json: &str| Content::Messages(json.into());
        let parts =
            r#"[{"role":"user","content":[{"type":"text","text":"Who are you?"},{"type":"text","text":"Hello"}]}]"#;
        assert_eq!(
            rows,
            [
                (1, text("What is \"deep\" learning?"), Some(7), Some(0), None),
                (2, messages(parts), None, None, None),
                (3, text("one"), None, None, None),
                (4, messages(r#"[{"role":"system","content":"be brief"}]"#), None, None, None),
                (5, text("again"), None, Some(0), Some(1_500_000_000)),
            ]
        );
        assert_eq!(trace.turn_prompt, TurnPrompt::Whole);
        assert!(
            trace.notes.iter().any(|n| n == "1 turns have `extra` parameters, which are not used"),
            "{:?}",
            trace.notes
        );
    }

    #[test]
    fn times_are_milliseconds() {
        let trace = read("{\"timestamp\": 1000, \"text\": \"b\"}\n{\"timestamp\": 0, \"text\": \"a\"}\n").unwrap();
        let times: Vec<_> = trace.arrivals_ns().collect();
        assert_eq!(times, [0, 1_000_000_000]);
        assert_eq!(trace.entries[0].content, Some(Content::Text("a".into())));
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        for (row, message) in [
            (
                r#"{"text": "see", "image": "cat.png"}"#,
                "t.jsonl:1: field `image`: is no text, and only texts are sent (take the row out)",
            ),
            (r#"{"text": "a", "texts": ["b"]}"#, "t.jsonl:1: field `texts`: stands beside text (give one of them)"),
            (r#"{"text": ""}"#, "t.jsonl:1: field `text`: is empty (give the prompt's text)"),
            (
                r#"{"texts": [{"name": "query"}]}"#,
                "t.jsonl:1: field `texts`: [{\"name\": \"query\"}] is no list of texts (give texts, or objects with name and contents)",
            ),
            (
                r#"{"text": "a", "timestamp": 0, "delay": 1}"#,
                "t.jsonl:1: field `delay`: stands beside timestamp (give one of them)",
            ),
        ] {
            assert_eq!(read(row).unwrap_err().to_string(), message);
        }
    }
}
