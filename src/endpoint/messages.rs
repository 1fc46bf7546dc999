//! A literal list of chat messages → what a chat's body splices, and the text for an API that has no messages.

use serde_json::Value;

/// Chat messages, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages<'a> {
    /// The messages as they were written, without the brackets around them.
    pub inner: &'a str,
    /// Their text, a line for each message; parts that are no text are left out.
    pub text: String,
}

/// Reads a list of messages.
///
/// # Errors
/// In words: what it is instead of a list of objects, of which there is one at least.
pub fn parse(json: &str) -> Result<Messages<'_>, String> {
    let list: Vec<Value> = serde_json::from_str(json).map_err(|e| format!("no list of chat messages: {e}"))?;
    if list.is_empty() || !list.iter().all(Value::is_object) {
        return Err("no list of chat messages: it holds none, or something else".into());
    }
    let texts: Vec<String> =
        list.iter().map(|message| text_of(&message["content"])).filter(|t| !t.is_empty()).collect();
    let bare = json.trim();
    Ok(Messages { inner: bare[1..bare.len() - 1].trim(), text: texts.join("\n") })
}

/// The text of a message's content: a string, or a list of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_kept_as_they_were_written_and_their_text_is_lines() {
        let json = r#" [ {"role":"system","content":"be \"kind\""}, {"role":"user","content":[{"type":"text","text":"a b"},
            {"type":"image_url","image_url":{"url":"x"}}]},{"role":"assistant","content":null,"tool_calls":[]} ] "#;
        let messages = parse(json).unwrap();
        assert_eq!(messages.text, "be \"kind\"\na b");
        assert!(messages.inner.starts_with("{\"role\":\"system\"") && messages.inner.ends_with("\"tool_calls\":[]}"));
        assert_eq!(parse("[{\"content\": 5}]").unwrap().text, "");
    }

    #[test]
    fn what_is_no_list_of_objects_is_refused() {
        for bad in ["", "[]", "{}", "[1]", "[{}, \"x\"]", "[{}", "\"[{}]\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
