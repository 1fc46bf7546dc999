//! What command lines of `profile` mean, and which are refused.

use clap::Parser;
use serde_json::json;

use super::*;
use crate::cli::{Cli, Verb};

pub(in crate::cli) fn resolve(line: &str) -> Result<ProfileConfig> {
    let words = ["loadline", "profile"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).map_err(|e| Error::Usage(e.to_string()))?.verb {
        Verb::Profile(args) => args.resolve(),
        _ => unreachable!("the verb is profile"),
    }
}

#[track_caller]
pub(in crate::cli) fn refused(line: &str, why: &str) {
    let text = resolve(line).unwrap_err().to_string();
    assert!(text.contains(why), "{line}: {text}");
}

#[test]
fn the_modes_of_load_are_decided_in_aiperfs_order() {
    let load = |line| resolve(line).unwrap().load;
    assert_eq!(load("--input-file t.jsonl"), LoadConfig::FromTrace);
    assert_eq!(load("--input-file t.jsonl --fixed-schedule"), LoadConfig::Recorded);
    assert_eq!(load("--input-file t.jsonl --no-fixed-schedule"), LoadConfig::Lanes(1));
    assert_eq!(load("--concurrency 7"), LoadConfig::Lanes(7));
    assert_eq!(load("--input-file t.jsonl --no-fixed-schedule --concurrency 7"), LoadConfig::Lanes(7));
    assert_eq!(resolve("--input-file t.jsonl --concurrency 7").unwrap().caps.in_flight_max, Some(7));
    let rate = |process, smoothness| LoadConfig::Rate {
        process,
        params: ArrivalParams { rate_rps: Some(5.0), smoothness, curve: None },
    };
    assert_eq!(load("--request-rate 5"), rate("poisson", None));
    assert_eq!(load("--request-rate 5 --arrival-pattern constant"), rate("constant", None));
    assert_eq!(load("--request-rate 5 --arrival-smoothness 2"), rate("gamma", Some(2.0)));
    let profile = resolve("--rate-profile 5+sin(period=9s) --benchmark-duration 60").unwrap();
    assert_eq!(
        (profile.stimulus(), &profile.to_json()["load"]["rate_profile"]),
        ("rate_profile".into(), &json!("5+sin(period=9s)"))
    );
    let capped = resolve("--request-rate 5 --concurrency 3").unwrap();
    assert_eq!((capped.caps.in_flight_max, capped.stimulus()), (Some(3), "concurrency3-request_rate5.0".into()));
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    refused("--url localhost:8000", "--model");
    refused("--rate-profile 5", "--benchmark-duration");
    refused("--rate-profile 5 --request-rate 5 --benchmark-duration 9", "cannot be used with");
    refused("--rate-profile sin(period=9s) --benchmark-duration 9", "--rate-profile falls to -1.0000 at 6.750 s");
    refused("--slice-duration 0", "more than 0");
    refused("--profile-export-prefix a/b", "--artifact-dir");
    refused("--profile-export-prefix run", "none of run");
    refused("--request-rate 0", "rate of 0");
    refused("--request-rate nan", "NaN");
    refused("--concurrency 0", "at least 1");
    refused("--max-in-flight 0", "at least 1");
    refused("--concurrency 3 --max-in-flight 3", "cannot be used with");
    refused("--max-in-flight 3", "--concurrency");
    refused("--input-file t --no-fixed-schedule --max-in-flight 3", "--concurrency");
    refused("--request-cancellation-rate 101", "100 per cent");
    refused("--from 10", "--input-file");
    refused("--input-file t --from 10 --to 5", "behind");
    refused("--input-file t --speed 0", "positive");
    refused("--loop 2", "--input-file");
    refused("--input-file t --loop 2 --loop-for 5", "cannot be used with");
    refused("--input-file t --loop-prefixes kept", "--loop-for");
    refused("--input-file t --speed 2 --target-rate 5", "both set the speed");
    refused("--input-file t --target-rate-by sampling", "--target-rate");
    refused("--arrival-smoothness 2", "--request-rate");
    refused("--header nocolon", "NAME:VALUE");
    refused("--extra-inputs x", "NAME:VALUE");
    refused("--goodput speed:5", "speed");
    refused("--reset-kv-cache", "need --url");
    refused("--wait-for-model-timeout=-1", "0 or more");
    refused("--user-centric-rate 5", "--num-users");
    refused("--user-centric-rate 5 --num-users 2 --request-rate 3", "cannot be used with");
    refused("--user-centric-rate 0 --num-users 2", "above 0");
    refused("--user-centric-rate 5 --num-users 0", "0 is not in");
    refused("--failed-request-threshold 1.5", "from 0 to 1");
    refused("--request-rate-series nowhere.json", "--benchmark-duration");
    refused("--arrival-pattern concurrency_burst --request-rate 5", "concurrency_burst");
    refused("--request-rate-ramp-duration 5", "--request-rate");
    refused("--concurrency-ramp-duration 5", "needs --concurrency");
    refused("--concurrency 2 --prefill-concurrency 1", "--streaming");
    refused("--url http://x --model m --tls-insecure", "https://");
    refused("--url https://x --model m --tls-insecure --tls-ca-file f", "one of them");
    refused("--custom-endpoint /v1/x", "--url");
    refused("--http-version 2", "--url");
    refused("--url http://x --model m --streams-per-connection 5", "--http-version 2");
    refused("--url https://x --model m --http-version 1.1 --streams-per-connection 5", "--http-version 2");
    refused("--url https://x --model m --streams-per-connection 0", "0 is not in");
    refused("--url unix:/x --model m --local-address 127.0.0.2", "unix:");
    refused("--local-address here", "invalid IP address");
    refused("--url http://u:p@x --model m", "credentials");
    refused("--url ftp://x --model m", "scheme");
    refused("--url http://x,http://y --model m", "one endpoint a run");
    refused("--url http://x --model m,n", "one model a run");
    refused("--input-file t --fixed-schedule --request-rate 3", "cannot be used with");
    refused("--backend llama", "llama");
    refused("--endpoint-type embeddings --streaming", "one piece");
    refused("--endpoint-type nim_rankings --streaming", "nim_rankings gives its answers in one piece");
    refused("--prompt-batch-size 2", "--endpoint-type embeddings alone");
    refused("--endpoint-type embeddings -b 0", "at least 1");
    refused("--endpoint-type embeddings -b 2 --seq-dist 1,1:100", "no conversations");
    refused("--endpoint-type embeddings -b 2 --conversation-turn-mean 2", "no conversations");
    refused("--endpoint-type cohere_rankings --cache-bust first-turn-prefix", "no conversations");
    refused("--endpoint-type cohere_rankings --input-file t", "leave out --input-file");
    refused("--rankings-passages-mean 3", "need --endpoint-type cohere_rankings");
    refused("--endpoint-type hf-tei-rankings --rankings-passages-mean 0.5", "from 1 to");
    refused("--endpoint-type hf-tei-rankings --rankings-passages-stddev 1", "--rankings-passages-mean");
    refused("--conversation-turn-mean 0.5", "from 1 to");
    refused("--conversation-turn-delay-stddev 5", "needs --conversation-turn-delay-mean");
    refused("--conversation-turn-delay-mean -1", "unexpected argument");
    refused("--input-file t --conversation-turn-mean 2", "as they are");
    refused("--input-file t --num-dataset-entries 2", "drawn requests");
    refused("--num-conversations 0", "not in 1..");
    refused("--seq-dist 1,1:50", "not to 100");
    refused("--seq-dist 1,1:100 --isl 5", "cannot be used with");
    refused("--input-file t --seq-dist 1,1:100", "as they are");
    refused("--random-range-ratio 1", "below 1");
    refused("--random-range-ratio 0.5 --isl-stddev 3", "two laws");
    refused("--random-corpus-style sglang", "--random-range-ratio");
    refused("--num-prefix-prompts 3", "need each other");
    refused("--num-prefix-prompts 3 --prefix-prompt-length 9 --user-context-prompt-length 5", "does not go with");
    refused("--system-prompt hi --shared-system-prompt-length 9", "cannot be used with");
    refused("--input-file t --user-context-prompt-length 5", "drawn requests");
    refused("--cache-bust system-prefix", "needs one");
    refused("--system-prompt hi --isl-counts rendered", "--isl-counts prompt");
    refused("--fixed-schedule-start-offset 5", "--input-file");
    refused("--input-file t --fixed-schedule-start-offset 5 --fixed-schedule-end-offset 4", "before");
    refused("--input-file t --fixed-schedule-start-offset 5 --fixed-schedule-auto-offset", "cannot be used with");
    refused("--input-file t --fixed-schedule-start-offset 5 --from 1", "cannot be used with");
    refused("--session-header b@d", "--session-header");
}

#[test]
fn drawn_conversations_are_asked_for_in_aiperfs_words() {
    let line = "--num-sessions 9 --num-prompts 5 --session-turns-mean 3 --session-turns-stddev 1 --dataset-sampling-strategy \
                shuffle --session-turn-delay-mean 200 --session-delay-ratio 0.5";
    let config = resolve(line).unwrap();
    let SourceConfig::Synthetic(laws) = &config.source else { panic!("nothing names a trace") };
    assert_eq!(laws.turns, LengthLaw::normal(3.0, 1.0));
    assert_eq!(laws.pauses.map(|p| (p.ms, p.ratio)), Some((LengthLaw::exactly(200.0), 0.5)));
    let expect = json!({"entries": 5, "conversations": 9, "sampling": "shuffle"});
    assert_eq!(config.to_json()["pool"], expect);
    let SourceConfig::Synthetic(laws) = resolve("--conversation-turn-mean 2").unwrap().source else { panic!() };
    assert_eq!(laws.pauses, None);
}

#[test]
fn ranges_of_lengths_are_vllms_or_sglangs() {
    let laws = |line: &str| {
        let config = resolve(line).unwrap();
        let SourceConfig::Synthetic(laws) = config.source else { panic!("nothing names a trace") };
        (laws.input, config.output)
    };
    let range = |low, high| LengthLaw::Uniform { low, high };
    let vllm = "--isl 129 --osl 10 --random-range-ratio 0.3";
    assert_eq!(laws(vllm), (range(90, 168), Some(range(7, 13))));
    assert_eq!(laws(&format!("{vllm} --random-corpus-style sglang")), (range(38, 129), Some(range(3, 10))));
    assert_eq!(laws("--isl 129 --random-range-ratio 0").0, range(129, 129));
}

#[test]
fn secrets_are_in_no_text_of_the_configuration() {
    let config = resolve("--api-key s3cret -H Authorization:s3cret -H x-api-key:s3cret -H x-ok:yes").unwrap();
    let text = format!("{} {config:?}", config.to_json());
    let json = config.to_json().to_string();
    assert!(!json.contains("s3cret"), "{json}");
    assert!(json.contains("yes"));
    assert!(!text.replace("\"s3cret\"", "").contains("api_key: Some(s3cret)"));
}

#[test]
fn how_the_endpoint_is_spoken_to_is_recorded() {
    let line = "--url https://x --model m --streams-per-connection 7 --local-address 127.0.0.2,::1 --tls-ca-file f";
    let expect = json!({"path": null, "connection_reuse": true, "http_version": "auto", "streams_per_connection": 7,
        "local_addresses": ["127.0.0.2", "::1"], "tls_ca_file": "f", "tls_insecure": false});
    assert_eq!(resolve(line).unwrap().to_json()["network"], expect);
}

#[test]
fn extra_inputs_are_pairs_or_objects() {
    let config = resolve("--extra-inputs ignore_eos:true temperature:0.5 {\"top_k\":3} user:bob").unwrap();
    let expect = json!({"ignore_eos": true, "temperature": 0.5, "top_k": 3, "user": "bob"});
    assert_eq!(Value::Object(config.request.extra), expect);
}
