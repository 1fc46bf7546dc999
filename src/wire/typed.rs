//! The keys of typed events, and of the whole answers in their style → what [`super::delta`] finds in an event.
//!
//! OpenAI's responses: `response.output_text.delta` with `delta`, its text; `response.reasoning…delta`; `response.completed`,
//! `.incomplete` and `.failed` with the `response`; the response itself. Anthropic's messages: `content_block_delta` with a
//! `delta` object; `message_start` and `message_delta` with `usage`; the message itself.
//! Events of other types say nothing. Not here: the keys that these APIs share with chats ([`super::delta`]).

use super::delta::{Found, some_text};
use super::json::{Cursor, Walk};

/// What typed events say beyond what all events may say.
#[derive(Default)]
pub(super) struct Typed<'a> {
    kind: Option<&'a [u8]>,
    /// The text of an event whose type tells what it is.
    delta: Option<&'a [u8]>,
    /// How a response ended.
    status: Option<&'a [u8]>,
    /// Why it is not whole.
    incomplete: Option<&'a [u8]>,
    /// Whether it is a response, alone or in an event.
    is_response: bool,
}

/// Takes the value of a key at the top of an event.
pub(super) fn top_level<'a>(found: &mut Found<'a>, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
    match key {
        b"type" => c.string_or_null().map(|kind| found.typed.kind = kind),
        b"delta" if c.peek() == Some(b'{') => c.object(|c, key| message_delta(found, c, key)),
        b"delta" => c.string_or_null().map(|text| found.typed.delta = text),
        b"response" => c.object(|c, key| response(found, c, key)),
        b"output" => {
            found.typed.is_response = true;
            c.array(|c, _| c.object(|c, key| item(found, c, key)))
        }
        b"content" if c.peek() == Some(b'[') => c.array(|c, _| c.object(|c, key| part(found, c, key))),
        b"stop_reason" => c.string_or_null().map(|reason| found.finish_reason = reason.or(found.finish_reason)),
        b"status" | b"incomplete_details" => response(found, c, key),
        _ => c.skip(0),
    }
}

/// The delta of a message: some text, or why it ends.
fn message_delta<'a>(found: &mut Found<'a>, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
    match key {
        b"text" => c.string_or_null().map(|text| found.output = some_text(text).or(found.output)),
        b"thinking" => c.string_or_null().map(|text| found.reasoning = some_text(text).or(found.reasoning)),
        b"partial_json" => c.string_or_null().map(|text| found.tool_call |= some_text(text).is_some()),
        b"stop_reason" => c.string_or_null().map(|reason| found.finish_reason = reason.or(found.finish_reason)),
        _ => c.skip(1),
    }
}

/// A field of a response that an event carries.
fn response<'a>(found: &mut Found<'a>, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
    match key {
        b"status" => c.string_or_null().map(|status| found.typed.status = status),
        b"usage" => found.usage_value(c),
        b"error" => found.error_value(c),
        b"incomplete_details" => c.object(|c, key| match key {
            b"reason" => c.string_or_null().map(|reason| found.typed.incomplete = reason),
            _ => c.skip(2),
        }),
        _ => c.skip(1),
    }
}

/// A field of an item of a response's output: a message's parts, a reasoning's, or a call's arguments.
fn item<'a>(found: &mut Found<'a>, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
    match key {
        b"content" => c.array(|c, _| c.object(|c, key| part(found, c, key))),
        b"arguments" => c.string_or_null().map(|text| found.tool_call |= some_text(text).is_some()),
        _ => c.skip(2),
    }
}

/// A field of a part of a message.
fn part<'a>(found: &mut Found<'a>, c: &mut Cursor<'a>, key: &'a [u8]) -> Walk<()> {
    match key {
        b"text" | b"refusal" => c.string_or_null().map(|text| found.output = some_text(text).or(found.output)),
        b"thinking" => c.string_or_null().map(|text| found.reasoning = some_text(text).or(found.reasoning)),
        _ => c.skip(3),
    }
}

/// Lets the type say what the rest is.
pub(super) fn settle(found: &mut Found<'_>) {
    let Typed { kind, delta, status, incomplete, is_response } = &found.typed;
    let kind = kind.unwrap_or_default();
    if let Some(text) = some_text(*delta) {
        match kind {
            b"response.output_text.delta" | b"response.refusal.delta" => found.output = Some(text),
            _ if kind.starts_with(b"response.reasoning") => found.reasoning = Some(text),
            _ if kind.ends_with(b"arguments.delta") => found.tool_call = true,
            _ => {}
        }
    }
    let ended = matches!(kind, b"response.completed" | b"response.incomplete") || *is_response;
    let ended = ended.then(|| incomplete.or(*status)).flatten();
    found.finish_reason = found.finish_reason.or(ended.filter(|status| *status != b"in_progress"));
}

#[cfg(test)]
mod tests {
    use crate::outcome::EventKind::{self, Error, Other, Output, Reasoning, ToolCall, Usage};
    use crate::wire::delta::{self, Delta};

    #[track_caller]
    fn check(data: &str, kind: EventKind) -> Delta<'_> {
        let delta = Delta::read(data.as_bytes()).unwrap();
        assert_eq!(delta.kind, kind, "{data}");
        delta
    }

    fn counts(delta: &Delta<'_>) -> [Option<u32>; 4] {
        let usage = delta.usage.unwrap_or_default();
        [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens]
    }

    #[test]
    fn the_events_of_a_response() {
        check(
            r#"{"type":"response.created","response":{"status":"in_progress","usage":null},"sequence_number":0}"#,
            Other,
        );
        check(r#"{"type":"response.output_item.added","item":{"type":"message","content":[]}}"#, Other);
        let d =
            check(r#"{"type":"response.output_text.delta","delta":" log","item_id":"x","sequence_number":4}"#, Output);
        assert_eq!(d.text, Some(&b" log"[..]));
        check(r#"{"type":"response.output_text.delta","delta":""}"#, Other);
        check(r#"{"type":"response.reasoning_text.delta","delta":"hm"}"#, Reasoning);
        check(r#"{"type":"response.reasoning_summary_text.delta","delta":"hm"}"#, Reasoning);
        check(r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#, ToolCall);
        // What was told piece by piece is told again whole, and must not count twice.
        check(r#"{"type":"response.output_text.done","text":" log"}"#, Other);
        check(r#"{"type":"response.unheard_of.delta","delta":"x"}"#, Other);
        let d = check(
            r#"{"type":"response.completed","response":{"status":"completed","output":[{"content":[{"text":" log"}]}],
               "usage":{"input_tokens":20,"input_tokens_details":{"cached_tokens":16},"output_tokens":5,
               "output_tokens_details":{"reasoning_tokens":2},"total_tokens":25}}}"#,
            Other,
        );
        assert_eq!(counts(&d), [Some(20), Some(5), Some(16), Some(2)]);
        assert_eq!(d.finish_reason, Some(&b"completed"[..]));
        let cut = r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}"#;
        assert_eq!(check(cut, Other).finish_reason, Some(&b"max_output_tokens"[..]));
        let failed = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"boom"}}}"#;
        assert_eq!(check(failed, Error).error, Some(&b"boom"[..]));
        assert_eq!(
            check(r#"{"type":"error","code":null,"message":"boom","param":null}"#, Error).error,
            Some(&b"boom"[..])
        );
    }

    #[test]
    fn a_whole_response() {
        let d = check(
            r#"{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,
               "output":[{"type":"reasoning","content":[]},{"type":"message","role":"assistant",
               "content":[{"type":"output_text","text":" log","annotations":[]}]}],
               "usage":{"input_tokens":3,"output_tokens":1}}"#,
            Output,
        );
        assert_eq!((d.finish_reason, d.text), (Some(&b"completed"[..]), Some(&b" log"[..])));
        assert_eq!(counts(&d), [Some(3), Some(1), None, None]);
    }

    #[test]
    fn the_events_of_a_message_and_a_whole_one() {
        let d = check(
            r#"{"type":"message_start","message":{"role":"assistant","usage":{"input_tokens":9,"cache_read_input_tokens":4,"output_tokens":1}}}"#,
            Usage,
        );
        assert_eq!(counts(&d), [Some(9), Some(1), Some(4), None]);
        check(r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#, Other);
        check(r#"{"type":"ping"}"#, Other);
        let d =
            check(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" log"}}"#, Output);
        assert_eq!(d.text, Some(&b" log"[..]));
        check(
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            Reasoning,
        );
        check(
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            ToolCall,
        );
        let d = check(
            r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":15}}"#,
            Other,
        );
        assert_eq!((d.finish_reason, counts(&d)[1]), (Some(&b"max_tokens"[..]), Some(15)));
        check(r#"{"type":"message_stop"}"#, Other);
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        assert_eq!(check(error, Error).error, Some(&b"Overloaded"[..]));
        let whole = r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}"#;
        assert_eq!(check(whole, Output).finish_reason, Some(&b"end_turn"[..]));
    }

    #[test]
    fn vectors_are_an_answer_and_no_output() {
        let vectors = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
        let d = check(vectors, Usage);
        assert!(d.vectors && d.text.is_none());
        assert!(!check(r#"{"object":"list","data":[{"id":"m"}]}"#, Other).vectors);
        delta::fuzz_against_serde(vectors.as_bytes());
        for scores in [
            r#"{"results":[{"index":1,"relevance_score":0.5,"document":{"text":"a"}},{"index":0,"relevance_score":0.1}]}"#,
            r#"[{"index":0,"score":0.5,"text":"a"}]"#,
            r#"{"rankings":[{"index":0,"logit":-1.5}]}"#,
        ] {
            assert!(check(scores, Other).vectors, "{scores}");
        }
        assert!(!check(r#"{"results":[]}"#, Other).vectors && !check("[]", Other).vectors);
    }
}
