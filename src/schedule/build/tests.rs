//! What a plan is built into, from traces and from laws.

use super::*;
use crate::endpoint::{EndpointType, RequestOptions};
use crate::prompt::count_builtin;
use crate::schedule::Release;
use crate::schedule::dataset::DatasetLaws;
use crate::schedule::graph::Link;
use crate::schedule::opening::{Marker, MarkerPlace, OpeningSpec, SystemPrompt};
use crate::schedule::order::Sampling;
use crate::schedule::spec::LengthLaw;
use crate::trace::{Entry, TurnPrompt, Wait, WaitFor};

pub(in crate::schedule) fn spec(source: Source, phases: Vec<PhaseSpec>) -> PlanSpec {
    let request = RequestOptions {
        endpoint: EndpointType::Completions,
        model: "m".into(),
        streaming: true,
        extra: serde_json::Map::new(),
        force_output: false,
        legacy_max_tokens: false,
    };
    PlanSpec {
        seed: Seed(5),
        request,
        source,
        sampling: Sampling::Sequential,
        output: None,
        opening: OpeningSpec::default(),
        history: History::Planned,
        phases,
    }
}

fn entry(arrival_ms: Option<i64>, session: Option<u32>, delay_ms: Option<i64>) -> Entry {
    Entry {
        arrival_ns: arrival_ms.map(|t| t * 1_000_000),
        input_tokens: 20,
        output_tokens: Some(3),
        session,
        delay_ns: delay_ms.map(|t| t * 1_000_000),
        ..Entry::default()
    }
}

pub(in crate::schedule) fn trace(entries: Vec<Entry>) -> Source {
    Source::Trace(Trace { entries, block_size: 8, sessions: vec!["a".into(), "b".into()], ..Trace::default() })
}

fn prompt_text(plan: &Plan, phase: usize, index: usize) -> String {
    let body = plan.body(&plan.phases[phase], index as u64, None);
    let body: serde_json::Value = serde_json::from_slice(&body.to_vec()).unwrap();
    body["prompt"].as_str().unwrap().to_string()
}

#[test]
fn a_recorded_session_is_a_chain_and_the_clock_releases_the_rest() {
    let entries = vec![entry(Some(0), Some(0), None), entry(Some(5), None, None), entry(Some(9), Some(0), Some(2))];
    let plan = spec(trace(entries), vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)]).build().unwrap();
    let slots = &plan.phases[0].slots;
    assert_eq!(slots[0].release, Release::At(0));
    assert_eq!(slots[1].release, Release::At(5_000_000));
    assert_eq!((slots[2].release, slots[2].turn, slots[2].previous_turn), (Release::After(9_000_000), 1, Some(0)));
    let link = Link { slot: 2, event: WaitFor::End, delay_ns: 2_000_000 };
    assert_eq!((plan.phases[0].graph.links(0), plan.phases[0].graph.waits(2)), (&[link][..], 1));
}

#[test]
fn rates_time_first_turns_and_the_pool_starts_again_when_it_runs_out() {
    let entries = vec![entry(None, Some(0), None), entry(None, Some(0), Some(1)), entry(None, None, None)];
    let times = vec![10, 20, 30, 40];
    let plan = spec(trace(entries), vec![PhaseSpec::new(Phase::Profiling, Load::Times(times))]).build().unwrap();
    let slots = &plan.phases[0].slots;
    let timed: Vec<Release> = slots.iter().map(|s| s.release).filter(|r| matches!(r, Release::At(_))).collect();
    assert_eq!(timed, [10, 20, 30, 40].map(Release::At));
    assert_eq!(slots.iter().map(|s| s.turn).collect::<Vec<_>>(), [0, 1, 0, 0, 1, 0]);
}

#[test]
fn requests_that_hang_together_begin_with_one_time_or_one_lane() {
    let wait = |entry, event| Wait { entry, event, delay_ns: 7 };
    let waiting = |waits_start, waits_len| Entry { waits_start, waits_len, ..entry(Some(50), None, None) };
    // 0 and 1 begin by themselves, 2 joins them; 3 stands alone.
    let source = || {
        Source::Trace(Trace {
            entries: vec![waiting(0, 0), waiting(0, 0), waiting(0, 2), waiting(2, 0)],
            waits: vec![wait(0, WaitFor::Dispatch), wait(1, WaitFor::End)],
            block_size: 8,
            ..Trace::default()
        })
    };
    let slots_of =
        |load| spec(source(), vec![PhaseSpec::new(Phase::Profiling, load)]).build().unwrap().phases.remove(0);
    let by_clock = slots_of(Load::Recorded);
    let at = Release::At(50_000_000);
    assert_eq!(by_clock.slots.iter().map(|s| s.release).collect::<Vec<_>>(), [at, at, Release::After(50_000_000), at]);
    let at_rate = slots_of(Load::Times(vec![10, 20, 30]));
    let after = Release::After(0);
    assert_eq!(
        at_rate.slots.iter().map(|s| s.release).collect::<Vec<_>>(),
        [Release::At(10), after, after, Release::At(20), Release::At(30), after, after]
    );
    let link = |slot, event, delay_ns| Link { slot, event, delay_ns };
    assert_eq!(at_rate.graph.links(4), [link(5, WaitFor::Dispatch, 0), link(6, WaitFor::Dispatch, 7)]);
    let lanes = slots_of(Load::Lanes { lanes: 1, requests: Some(4) });
    assert_eq!(lanes.slots.iter().map(|s| s.release).collect::<Vec<_>>(), [Release::Lane, after, after, Release::Lane]);
}

#[test]
fn what_hangs_on_a_request_behind_the_end_is_left_out_with_it() {
    let waiting = Entry { waits_len: 1, ..entry(None, None, None) };
    let source = Source::Trace(Trace {
        entries: vec![
            entry(Some(0), Some(0), None),
            entry(Some(9), Some(0), None),
            entry(None, Some(0), Some(1)),
            waiting,
        ],
        waits: vec![Wait { entry: 2, event: WaitFor::End, delay_ns: 0 }],
        block_size: 8,
        sessions: vec!["a".into()],
        ..Trace::default()
    });
    let phase = PhaseSpec { duration_ns: Some(9_000_000), ..PhaseSpec::new(Phase::Profiling, Load::Recorded) };
    assert_eq!(spec(source, vec![phase]).build().unwrap().len(), 1);
}

#[test]
fn a_turn_that_adds_is_sent_with_what_was_said_and_a_whole_one_alone() {
    let plan_of = |turn_prompt| {
        let mut entries = vec![entry(Some(0), Some(0), None); 3];
        entries[1].content = Some(Literal::Text("why not".into()));
        entries[1].input_tokens = 0;
        let source = Trace { entries, turn_prompt, block_size: 8, sessions: vec!["a".into()], ..Trace::default() };
        spec(Source::Trace(source), vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)]).build().unwrap()
    };
    let added = plan_of(TurnPrompt::Added);
    let texts: Vec<String> = (0..3).map(|n| prompt_text(&added, 0, n)).collect();
    assert_eq!(texts.iter().map(|t| count_builtin(t)).collect::<Vec<_>>(), [20, 20 + 3 + 2, 25 + 3 + 20]);
    assert_eq!(added.phases[0].slots.iter().map(|s| s.input_tokens).collect::<Vec<_>>(), [20, 25, 48]);
    assert!(texts[1].starts_with(&texts[0]) && texts[2].starts_with(&texts[1]) && texts[1].ends_with("\nwhy not"));
    let whole = plan_of(TurnPrompt::Whole);
    assert_eq!((0..3).map(|n| count_builtin(&prompt_text(&whole, 0, n))).collect::<Vec<_>>(), [20, 2, 20]);
}

#[test]
fn messages_are_a_chat_as_they_are_and_the_lines_of_a_completion() {
    let list = r#"[{"role":"system","content":"be"},{"role":"user","content":"say \"hi\"","name":"x"}]"#;
    let source = |json: &str| {
        let content = Some(Literal::Messages(json.into()));
        trace(vec![Entry { input_tokens: 0, content, ..entry(Some(0), None, None) }])
    };
    let plan = spec(source(list), vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)]).build().unwrap();
    assert_eq!((prompt_text(&plan, 0, 0), plan.phases[0].slots[0].input_tokens), ("be\nsay \"hi\"".into(), 3));
    let mut chat = spec(source(list), vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)]);
    chat.request.endpoint = EndpointType::Chat;
    let plan = chat.build().unwrap();
    let body = String::from_utf8(plan.body(&plan.phases[0], 0, None).to_vec()).unwrap();
    assert!(body.starts_with(&format!(r#"{{"messages":{list},"model":"m""#)), "{body}");
    let error = spec(source("[7]"), vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)]).build().unwrap_err();
    assert!(error.to_string().contains("line 0 has no list of chat messages"), "{error}");
}

#[test]
fn answers_of_unknown_length_are_told_of() {
    let entries = vec![Entry { output_tokens: None, ..entry(Some(0), Some(0), None) }; 2];
    let plan = spec(trace(entries), vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)]).build().unwrap();
    assert!(plan.notes[0].starts_with("1 turns have no output length"), "{:?}", plan.notes);
    assert_eq!(plan.phases[0].slots[1].input_tokens, 40);
}

#[test]
fn a_trace_without_times_cannot_be_replayed_by_them() {
    let error = spec(trace(vec![entry(None, None, None)]), vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)])
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("--request-rate"), "{error}");
}

#[test]
fn lanes_bounded_by_time_alone_repeat_their_pool() {
    let source = Source::Synthetic(Dataset::single_turns(LengthLaw::exactly(7.0), 3));
    let load = |requests| Load::Lanes { lanes: 2, requests };
    let phases = vec![PhaseSpec::new(Phase::Warmup, load(Some(5))), PhaseSpec::new(Phase::Profiling, load(None))];
    let plan = spec(source, phases).build().unwrap();
    assert_eq!((plan.phases[0].slots.len(), plan.phases[0].repeat), (5, false));
    assert_eq!((plan.phases[1].slots.len(), plan.phases[1].repeat, plan.phases[1].first_request_id), (3, true, 5));
    assert_eq!(plan.len(), 8);
}

fn conversations(turns: f64, conversations: u64, repeats: bool) -> Source {
    let laws = DatasetLaws {
        input: LengthLaw::exactly(7.0),
        pairs: Vec::new(),
        texts: None,
        turns: LengthLaw::exactly(turns),
        pauses: None,
    };
    Source::Synthetic(Dataset { laws, conversations, requests: u64::MAX, repeats })
}

#[test]
fn drawn_conversations_are_sessions_and_a_bound_on_them_keeps_them_whole() {
    for load in [Load::Lanes { lanes: 2, requests: None }, Load::Times(vec![1, 2, 3, 4, 5, 6])] {
        let phase = PhaseSpec { conversations_max: Some(5), ..PhaseSpec::new(Phase::Profiling, load) };
        let mut planned = spec(conversations(3.0, 3, false), vec![phase]);
        planned.output = Some(LengthLaw::exactly(4.0));
        let plan = planned.build().unwrap();
        let phase = &plan.phases[0];
        assert!(!phase.repeat);
        let sessions: Vec<_> = phase.slots.iter().map(|s| s.session.unwrap()).collect();
        assert_eq!(sessions, [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 1, 1, 1]);
        assert_eq!(phase.slots[..3].iter().map(|s| s.input_tokens).collect::<Vec<_>>(), [7, 18, 29]);
        assert_eq!(count_builtin(&prompt_text(&plan, 0, 2)), 29);
        assert_eq!(plan.sessions, ["session_000000", "session_000001", "session_000002"]);
        assert_ne!(prompt_text(&plan, 0, 0), prompt_text(&plan, 0, 9), "another text each time");
    }
}

#[test]
fn a_pool_of_a_given_size_is_sent_again_as_it_was() {
    let phases = [Phase::Warmup, Phase::Profiling]
        .map(|phase| PhaseSpec::new(phase, Load::Lanes { lanes: 1, requests: Some(7) }));
    let plan = spec(conversations(1.0, 3, true), phases.to_vec()).build().unwrap();
    let texts: Vec<String> = (0..7).map(|n| prompt_text(&plan, 1, n)).collect();
    assert_eq!((&texts[0], &texts[4], &texts[2]), (&texts[3], &texts[1], &texts[5]));
    assert!(texts[..3].iter().all(|t| count_builtin(t) == 7));
    let firsts: std::collections::HashSet<&str> = texts.iter().filter_map(|t| t.split(' ').nth(1)).collect();
    assert_eq!(firsts.len(), 3, "they differ in their first token");
    assert_eq!(plan.expected_cached_tokens(), Some(4 * 7));
    assert!(!texts.contains(&prompt_text(&plan, 0, 0)), "the warm-up has texts of its own");
}

/// The chat messages of a request, as (role, text).
fn messages(plan: &Plan, phase: usize, index: u64) -> Vec<(String, String)> {
    let body = plan.body(&plan.phases[phase], index, None).to_vec();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_string();
    body["messages"].as_array().unwrap().iter().map(|m| (text(&m["role"]), text(&m["content"]))).collect()
}

fn opened(opening: OpeningSpec, repeats: bool) -> PlanSpec {
    let phases = [Phase::Warmup, Phase::Profiling]
        .map(|phase| PhaseSpec::new(phase, Load::Lanes { lanes: 1, requests: Some(12) }));
    let mut spec = spec(conversations(2.0, 3, repeats), phases.to_vec());
    spec.request.endpoint = EndpointType::Chat;
    spec.output = Some(LengthLaw::exactly(4.0));
    spec.opening = opening;
    spec
}

#[test]
fn conversations_open_with_a_system_prompt_for_all_and_a_context_of_their_own() {
    let system = Some(SystemPrompt::Drawn(30));
    let plan = opened(OpeningSpec { system, context_tokens: 20, ..OpeningSpec::default() }, true).build().unwrap();
    let first: Vec<_> = (0..12).step_by(2).map(|n| messages(&plan, 1, n)).collect();
    for (n, said) in first.iter().enumerate() {
        assert_eq!(said.iter().map(|m| m.0.as_str()).collect::<Vec<_>>(), ["system", "user", "user"]);
        assert_eq!(said.iter().map(|m| count_builtin(&m.1)).collect::<Vec<_>>(), [30, 20, 7]);
        assert_eq!((&said[0], said == &first[n % 3]), (&first[0][0], true), "the pool is sent again");
    }
    let word = |said: &[(String, String)]| said[1].1.split(' ').nth(1).map(str::to_owned);
    assert!(word(&first[0]) != word(&first[1]) && word(&first[1]) != word(&first[2]));
    let second = messages(&plan, 1, 1);
    assert_eq!((&second[..3], second.len()), (&first[0][..], 5));
    assert_eq!(plan.phases[1].slots[..2].iter().map(|s| s.input_tokens).collect::<Vec<_>>(), [57, 68]);
    let warm = messages(&plan, 0, 0);
    assert!(warm[0] == first[0][0] && warm[1] != first[0][1]);
    // All six system prompts, as the warm-up had it; three contexts with their prompts; of each second turn the first.
    assert_eq!(plan.expected_cached_tokens(), Some(6 * 30 + 3 * (20 + 7) + 6 * 57));
    // The same request by request: the measurement starts behind a warm-up of twelve.
    let course = plan.expected_course().unwrap();
    assert_eq!((course.first_request_id, course.requests_per_step), (12, 1));
    assert_eq!(course.prompt_tokens[..2], [57, 68]);
    let cached = [30, 57, 30, 57, 30, 57, 57, 57, 57, 57, 57, 57];
    assert_eq!(course.cached_tokens, cached, "the pool's three conversations, and once more");
}

#[test]
fn prefixes_come_from_a_pool_and_stand_before_the_first_prompt_alone() {
    let plan = opened(OpeningSpec { prefixes: 2, prefix_tokens: 25, ..OpeningSpec::default() }, false).build().unwrap();
    let texts: Vec<String> = (0..12).step_by(2).map(|n| messages(&plan, 1, n)[0].1.clone()).collect();
    assert!(texts.iter().all(|t| count_builtin(t) == 32));
    let prefix = |t: &String| t.split(' ').take(26).map(str::to_owned).collect::<Vec<_>>();
    let prefixes: std::collections::HashSet<_> = texts.iter().map(prefix).collect();
    assert_eq!(prefixes.len(), 2, "{texts:?}");
    assert_eq!(texts.iter().collect::<std::collections::HashSet<_>>().len(), 6);
    let said = messages(&plan, 1, 1);
    assert_eq!(said.iter().map(|m| count_builtin(&m.1)).collect::<Vec<_>>(), [32, 4, 7]);
}

#[test]
fn markers_part_conversations_where_they_stand() {
    let text = SystemPrompt::Text("be \"kind\"".into());
    for (place, system, parted, tokens) in [
        (MarkerPlace::SystemStart, Some(SystemPrompt::Drawn(30)), [true, true], [30, 7]),
        (MarkerPlace::SystemEnd, Some(text.clone()), [true, true], [10, 7]),
        (MarkerPlace::SystemStart, Some(text.clone()), [true, true], [10, 7]),
        (MarkerPlace::FirstTurnStart, Some(text), [false, true], [2, 7]),
    ] {
        let marker = Some(Marker { place, warmup_only: false });
        let plan = opened(OpeningSpec { system, marker, ..OpeningSpec::default() }, true).build().unwrap();
        let [first, again] = [0, 6].map(|n| messages(&plan, 1, n));
        assert_eq!([0, 1].map(|m| count_builtin(&first[m].1) as u32), tokens, "{place:?}");
        assert_eq!(plan.phases[1].slots[0].input_tokens, tokens[0] + tokens[1]);
        assert_eq!([0, 1].map(|m| first[m] != again[m]), [parted[0], place == MarkerPlace::FirstTurnStart]);
        assert!(first != again);
        let begins = [&first, &again].map(|said| said[0].1.split([' ', '\n']).nth(1).map(str::to_owned));
        assert_eq!(begins[0] != begins[1], place == MarkerPlace::SystemStart, "{begins:?}");
    }
    let marker = Some(Marker { place: MarkerPlace::FirstTurnStart, warmup_only: true });
    let plan = opened(OpeningSpec { marker, ..OpeningSpec::default() }, true).build().unwrap();
    let plain = opened(OpeningSpec::default(), true).build().unwrap();
    assert_eq!(count_builtin(&messages(&plan, 1, 0)[0].1), count_builtin(&messages(&plain, 1, 0)[0].1));
    assert_eq!(messages(&plan, 1, 0), messages(&plan, 1, 6), "the measurement has no marker");
    let warm = [0, 2].map(|n| messages(&plan, 0, n)[0].1.split(' ').nth(1).map(str::to_owned));
    assert_eq!(warm[0], warm[1]);
}

#[test]
fn a_given_system_prompt_stands_before_a_traces_texts_and_not_before_its_messages() {
    let list = r#"[{"role":"user","content":"hi"}]"#;
    let entries = vec![
        Entry { content: Some(Literal::Text("why not".into())), input_tokens: 0, ..entry(Some(0), None, None) },
        Entry { content: Some(Literal::Messages(list.into())), input_tokens: 0, ..entry(Some(1), None, None) },
        entry(Some(2), None, None),
    ];
    let phases = vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)];
    let mut spec = spec(trace(entries), phases);
    spec.opening.system = Some(SystemPrompt::Text("be kind".into()));
    spec.request.endpoint = EndpointType::Chat;
    let plan = spec.build().unwrap();
    let said = |index| messages(&plan, 0, index).into_iter().map(|m| m.1).collect::<Vec<_>>();
    assert_eq!((said(0), said(1)), (vec!["be kind".into(), "why not".into()], vec!["hi".into()]));
    assert_eq!((said(2)[0].as_str(), count_builtin(&said(2)[1])), ("be kind", 20));
    assert_eq!(plan.phases[0].slots.iter().map(|s| s.input_tokens).collect::<Vec<_>>(), [4, 1, 22]);
}

#[test]
fn openings_of_a_completion_are_one_text() {
    let entries = vec![
        Entry { content: Some(Literal::Text("why not".into())), input_tokens: 0, ..entry(Some(0), None, None) },
        entry(Some(2), None, None),
    ];
    let phases = vec![PhaseSpec::new(Phase::Profiling, Load::Recorded)];
    let mut given = spec(trace(entries), phases);
    given.opening.system = Some(SystemPrompt::Text("be kind".into()));
    let plan = given.build().unwrap();
    assert_eq!(prompt_text(&plan, 0, 0), "be kind\nwhy not");
    let second = prompt_text(&plan, 0, 1);
    assert!(second.starts_with("be kind ") && count_builtin(&second) == 22, "{second}");
    let opening = OpeningSpec { system: Some(SystemPrompt::Drawn(9)), context_tokens: 5, ..OpeningSpec::default() };
    let mut drawn = opened(opening, false);
    drawn.request.endpoint = EndpointType::Completions;
    let plan = drawn.build().unwrap();
    assert_eq!((count_builtin(&prompt_text(&plan, 1, 0)), plan.phases[1].slots[0].input_tokens), (21, 21));
}

#[test]
fn a_replay_of_so_many_conversations_leaves_the_others_out_whole() {
    let entries = vec![
        entry(Some(0), Some(0), None),
        entry(Some(1), Some(1), None),
        entry(Some(2), None, None),
        entry(Some(3), Some(0), None),
        entry(Some(4), Some(1), None),
    ];
    let phase = |n| PhaseSpec { conversations_max: Some(n), ..PhaseSpec::new(Phase::Profiling, Load::Recorded) };
    let sessions = |n| {
        let plan = spec(trace(entries.clone()), vec![phase(n)]).build().unwrap();
        plan.phases[0].slots.iter().map(|s| s.session).collect::<Vec<_>>()
    };
    assert_eq!(sessions(1), [Some(0), Some(0)]);
    assert_eq!(sessions(2), [Some(0), Some(1), Some(0), Some(1)]);
    assert_eq!(sessions(3).len(), 5);
}

#[test]
fn sampled_conversations_stay_whole_and_differ_from_phase_to_phase() {
    let phases = [Phase::Warmup, Phase::Profiling]
        .map(|phase| PhaseSpec::new(phase, Load::Lanes { lanes: 1, requests: Some(40) }));
    let mut sampled = spec(conversations(2.0, 20, false), phases.to_vec());
    sampled.sampling = Sampling::Shuffle;
    let plan = sampled.build().unwrap();
    let of = |phase: usize| plan.phases[phase].slots.chunks(2).map(|c| (c[0].session, c[1].session, c[1].turn));
    for (first, second, turn) in of(0).chain(of(1)) {
        assert_eq!((first, turn), (second, 1));
    }
    let seen = |phase| of(phase).map(|c| c.0).collect::<std::collections::HashSet<_>>().len();
    assert_eq!((seen(0), seen(1)), (20, 20));
    assert_ne!(of(0).collect::<Vec<_>>(), of(1).collect::<Vec<_>>());
}

#[test]
fn equal_blocks_are_equal_text_and_tails_are_prefixes_of_their_block() {
    let with_blocks = |start, len, tokens| Entry {
        arrival_ns: Some(0),
        input_tokens: tokens,
        blocks_start: start,
        blocks_len: len,
        ..Entry::default()
    };
    let entries = vec![with_blocks(0, 2, 16), with_blocks(2, 2, 11), with_blocks(4, 1, 20)];
    let source = Source::Trace(Trace {
        entries,
        block_ids: vec![0, 1, 0, 1, 2],
        unique_blocks: 3,
        block_size: 8,
        ..Trace::default()
    });
    let load = Load::Lanes { lanes: 1, requests: Some(3) };
    let phases = vec![PhaseSpec::new(Phase::Warmup, load), PhaseSpec::new(Phase::Profiling, Load::Recorded)];
    let plan = spec(source, phases).build().unwrap();
    let (full, short, floor) = (prompt_text(&plan, 1, 0), prompt_text(&plan, 1, 1), prompt_text(&plan, 1, 2));
    assert_eq!([&full, &short, &floor].map(|t| count_builtin(t)), [16, 11, 20]);
    assert!(full.starts_with(&short));
    assert_eq!(
        plan.expected_cached_tokens(),
        Some(11),
        "the second prompt's two blocks, and its tail's eleventh token"
    );
    let warm = prompt_text(&plan, 0, 0);
    assert_eq!(count_builtin(&warm), 16);
    assert_ne!(warm.split(' ').nth(1), full.split(' ').nth(1), "the warm-up must not warm the prefix cache");
}
