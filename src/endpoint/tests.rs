//! What is asked of an API and read from its events.

use super::*;

fn body(endpoint: EndpointType, streaming: bool, extra: &Value, prompt: &str, limit: Option<u32>) -> String {
    let extra = extra.as_object().unwrap().clone();
    encoded(
        &RequestOptions {
            endpoint,
            model: "m\"1".into(),
            streaming,
            extra,
            force_output: false,
            legacy_max_tokens: false,
        },
        prompt,
        limit,
    )
}

fn encoded(options: &RequestOptions, prompt: &str, limit: Option<u32>) -> String {
    let mut arena = Arena::default();
    let shape = Shape::encode(&mut arena, options, [limit, None].into_iter());
    let text = arena.add(escape_json(prompt).as_bytes());
    let mut body = shape.begin();
    body.prompt().push(text);
    let bytes = Pieces::new(Arc::new(arena), body.finish(limit)).to_vec();
    serde_json::from_slice::<Value>(&bytes).expect("a body is JSON");
    String::from_utf8(bytes).unwrap()
}

#[test]
fn bodies_have_aiperfs_fields_in_aiperfs_order() {
    let none = serde_json::json!({});
    assert_eq!(
        body(EndpointType::Chat, true, &none, "a b", Some(16)),
        r#"{"messages":[{"role":"user","content":"a b"}],"model":"m\"1","stream":true,"max_completion_tokens":16,"stream_options":{"include_usage":true}}"#
    );
    assert_eq!(
        body(EndpointType::Completions, false, &none, "a\nb", None),
        r#"{"prompt":"a\nb","model":"m\"1","stream":false}"#
    );
}

#[test]
fn the_other_apis_have_bodies_of_their_own() {
    let none = serde_json::json!({});
    let cases = [
        (
            EndpointType::Responses,
            true,
            Some(16),
            r#"{"input":[{"role":"user","content":"a b"}],"model":"m\"1","stream":true,"max_output_tokens":16}"#,
        ),
        (
            EndpointType::Messages,
            true,
            None,
            r#"{"messages":[{"role":"user","content":"a b"}],"model":"m\"1","stream":true,"max_tokens":1024}"#,
        ),
        (EndpointType::Embeddings, false, Some(16), r#"{"input":["a b"],"model":"m\"1"}"#),
    ];
    for (endpoint, streaming, limit, expect) in cases {
        assert_eq!(body(endpoint, streaming, &none, "a b", limit), expect);
    }
}

#[test]
fn what_the_user_adds_wins_over_what_we_set() {
    let extra = serde_json::json!({"ignore_eos": true, "max_tokens": 9, "stream_options": {"include_usage": false}});
    let text = body(EndpointType::Completions, true, &extra, "a", Some(16));
    assert_eq!(
        text,
        r#"{"prompt":"a","model":"m\"1","stream":true,"ignore_eos":true,"max_tokens":9,"stream_options":{"include_usage":false}}"#
    );
}

#[test]
fn a_conversation_is_messages_in_a_chat_and_one_text_in_a_completion() {
    let told = |endpoint, list: bool| {
        let mut arena = Arena::default();
        let options = RequestOptions {
            endpoint,
            model: "m".into(),
            streaming: false,
            extra: Map::new(),
            force_output: false,
            legacy_max_tokens: false,
        };
        let shape = Shape::encode(&mut arena, &options, [Some(4)].into_iter());
        let [first, answer, next] = ["say", " no", "why"].map(|t| arena.add(t.as_bytes()));
        let messages = arena.add(br#"{"role":"system","content":"s"}"#);
        let mut body = shape.begin();
        if list {
            body.messages(messages);
        } else {
            body.prompt_apart().push(first);
        }
        body.answer().push(answer);
        body.prompt_apart().push(next);
        let spans = body.finish(Some(4));
        let mut alone = shape.begin();
        alone.messages(messages);
        let alone = alone.finish(Some(4));
        let arena = Arc::new(arena);
        let text = |spans| String::from_utf8(Pieces::new(arena.clone(), spans).to_vec()).unwrap();
        (text(spans), text(alone))
    };
    let rest = r#"{"role":"assistant","content":" no"},{"role":"user","content":"why"}],"model":"m","stream":false,"max_completion_tokens":4}"#;
    assert_eq!(told(EndpointType::Chat, false).0, format!(r#"{{"messages":[{{"role":"user","content":"say"}},{rest}"#));
    let (behind_list, alone) = told(EndpointType::Chat, true);
    assert_eq!(behind_list, format!(r#"{{"messages":[{{"role":"system","content":"s"}},{rest}"#));
    let end = r#""model":"m","stream":false,"max_completion_tokens":4}"#;
    assert_eq!(alone, format!(r#"{{"messages":[{{"role":"system","content":"s"}}],{end}"#));
    assert_eq!(
        told(EndpointType::Completions, false).0,
        r#"{"prompt":"say no\nwhy","model":"m","stream":false,"max_tokens":4}"#
    );
}

#[test]
fn an_answer_is_held_to_its_limit_where_it_has_one() {
    let options = RequestOptions {
        endpoint: EndpointType::Chat,
        model: "m".into(),
        streaming: false,
        extra: Map::new(),
        force_output: true,
        legacy_max_tokens: false,
    };
    let body = |limit| serde_json::from_str::<Value>(&encoded(&options, "a", limit)).unwrap();
    let held = body(Some(7));
    assert_eq!((&held["min_tokens"], &held["max_completion_tokens"]), (&7.into(), &7.into()));
    assert_eq!(held["ignore_eos"], true);
    assert_eq!((&body(None)["min_tokens"], &body(None)["ignore_eos"]), (&Value::Null, &Value::Null));
    let legacy = encoded(&RequestOptions { legacy_max_tokens: true, ..options.clone() }, "a", Some(7));
    assert!(legacy.contains("\"max_tokens\":7") && !legacy.contains("max_completion_tokens"), "{legacy}");
}

#[test]
fn a_base_path_may_hold_the_version_already() {
    assert_eq!(EndpointType::Chat.path("/"), "/v1/chat/completions");
    assert_eq!(EndpointType::Completions.path("/proxy/v1/"), "/proxy/v1/completions");
    assert_eq!(EndpointType::Embeddings.path("/v1"), "/v1/embeddings");
    assert_eq!(EndpointType::CohereRankings.path("/v1"), "/v1/v2/rerank");
    assert_eq!(EndpointType::NimRankings.path("/v1"), "/v1/ranking");
    assert_eq!(EndpointType::HfTeiRankings.path(""), "/rerank");
}

#[test]
fn several_texts_are_a_list_or_a_query_and_passages() {
    let none = Map::new();
    let told = |endpoint, extra: &Map<String, Value>| {
        let options = RequestOptions {
            endpoint,
            model: "m".into(),
            streaming: false,
            extra: extra.clone(),
            force_output: false,
            legacy_max_tokens: false,
        };
        let mut arena = Arena::default();
        let shape = Shape::encode(&mut arena, &options, std::iter::once(None));
        let mut body = shape.begin();
        for word in ["a", "b", "c"] {
            body.text().push(arena.add(word.as_bytes()));
        }
        String::from_utf8(Pieces::new(Arc::new(arena), body.finish(None)).to_vec()).unwrap()
    };
    assert_eq!(told(EndpointType::Embeddings, &none), r#"{"input":["a","b","c"],"model":"m"}"#);
    assert_eq!(told(EndpointType::CohereRankings, &none), r#"{"query":"a","documents":["b","c"],"model":"m"}"#);
    assert_eq!(told(EndpointType::HfTeiRankings, &none), r#"{"query":"a","texts":["b","c"]}"#);
    let nim = r#"{"query":{"text":"a"},"passages":[{"text":"b"},{"text":"c"}],"model":"m"}"#;
    assert_eq!(told(EndpointType::NimRankings, &none), nim);
    let extra = Map::from_iter([("truncate".to_string(), Value::from(true))]);
    assert_eq!(told(EndpointType::HfTeiRankings, &extra), r#"{"query":"a","texts":["b","c"],"truncate":true}"#);
}
