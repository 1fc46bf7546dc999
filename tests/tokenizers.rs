//! Prompts in the tokenizers of real models: every one has exactly the tokens that were asked for.
//!
//! The tokenizers' files are not part of the repository: `scripts/fetch_tokenizers` puts them in a folder, one folder per
//! model, and `LOADLINE_TOKENIZERS` names it. Without it only the encodings that come with the program are tried.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it skips")]

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use loadline::endpoint::{EndpointType, RequestOptions};
use loadline::outcome::Phase;
use loadline::prompt::source::{Around, TextSource};
use loadline::prompt::tokenizer::Tokenizer;
use loadline::rng::Seed;
use loadline::schedule::Plan;
use loadline::schedule::conversation::History;
use loadline::schedule::opening::OpeningSpec;
use loadline::schedule::order::Sampling;
use loadline::schedule::spec::{Load, PhaseSpec, PlanSpec, Source};
use loadline::trace::{Entry, Trace};

/// Tokens in a block.
const BLOCK: u32 = 512;
/// Encodings that come with the program.
const EMBEDDED: [&str; 2] = ["tiktoken:o200k_base", "tiktoken:cl100k_base"];

/// Folders of tokenizers that `scripts/fetch_tokenizers` made.
#[expect(clippy::disallowed_methods, reason = "the one way to hand a folder to a test")]
fn fetched() -> Vec<String> {
    let Some(folder) = std::env::var_os("LOADLINE_TOKENIZERS").map(PathBuf::from) else {
        eprintln!(
            "SKIPPED: tokenizers of real models are not tried; run scripts/fetch_tokenizers DIR, set LOADLINE_TOKENIZERS=DIR"
        );
        return Vec::new();
    };
    let folders = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        folders.filter(|f| f.join("tokenizer.json").exists()).map(|f| f.display().to_string()).collect();
    assert!(names.len() >= 6, "{} holds too few tokenizers: {names:?}", folder.display());
    names.sort();
    names
}

fn plan(entries: Vec<Entry>, block_ids: Vec<u32>, unique_blocks: u32, text: &TextSource) -> Plan {
    let trace = Trace { entries, block_ids, unique_blocks, block_size: BLOCK, ..Trace::default() };
    let phase = PhaseSpec::new(Phase::Profiling, Load::Recorded);
    let request = RequestOptions {
        endpoint: EndpointType::Completions,
        model: "m".into(),
        streaming: true,
        extra: serde_json::Map::new(),
        force_output: false,
        legacy_max_tokens: false,
    };
    let spec = PlanSpec {
        seed: Seed(7),
        request,
        source: Source::Trace(trace),
        sampling: Sampling::Sequential,
        output: None,
        opening: OpeningSpec::default(),
        history: History::Planned,
        phases: vec![phase],
    };
    spec.build_with(text).unwrap()
}

fn prompt(plan: &Plan, request_id: usize) -> String {
    let body: serde_json::Value =
        serde_json::from_slice(&plan.body(&plan.phases[0], request_id as u64, None).to_vec()).unwrap();
    body["prompt"].as_str().unwrap().to_string()
}

/// 1 to 131,072 tokens: every length up to 40, then steps of an eighth, with lengths around whole blocks among them. Each
/// is asked for alone, and as blocks that others have too.
fn lengths() -> Vec<u32> {
    let mut lengths: Vec<u32> = (1..=40).collect();
    while let Some(last) = lengths.last().copied().filter(|n| *n < 131_072) {
        lengths.push((last + last / 8).min(131_072));
    }
    lengths.extend([BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 65_535, 65_536, 65_537, 131_071]);
    lengths
}

fn entries() -> (Vec<Entry>, Vec<u32>, u32) {
    let (mut entries, mut block_ids) = (Vec::new(), Vec::new());
    let longest = 131_072 / BLOCK;
    for (n, tokens) in lengths().into_iter().enumerate() {
        let entry = Entry { arrival_ns: Some(n as i64), input_tokens: tokens, ..Entry::default() };
        entries.push(entry.clone());
        let start = block_ids.len() as u32;
        let blocks = tokens.div_ceil(BLOCK);
        // Every third prompt shares the blocks of the one before it; the others begin with ids of their own.
        let from = if n % 3 == 2 { (n as u32 - 1) * longest } else { n as u32 * longest };
        block_ids.extend(from..from + blocks);
        entries.push(Entry { blocks_start: start, blocks_len: blocks, ..entry });
    }
    let dense: HashMap<u32, u32> = {
        let mut seen = HashMap::new();
        for id in &block_ids {
            let next = seen.len() as u32;
            seen.entry(*id).or_insert(next);
        }
        seen
    };
    let unique = dense.len() as u32;
    (entries, block_ids.iter().map(|id| dense[id]).collect(), unique)
}

#[test]
fn every_prompt_has_exactly_the_tokens_that_were_asked_for() {
    let (entries, block_ids, unique) = entries();
    for name in fetched().iter().map(String::as_str).chain(EMBEDDED) {
        let tokenizer = Tokenizer::open(name).unwrap();
        let text = TextSource::new(tokenizer, Around::Uncounted, Seed(7)).unwrap();
        let plan = plan(entries.clone(), block_ids.clone(), unique, &text);
        let slots = &plan.phases[0].slots;
        let mut tokens = 0;
        for (n, slot) in slots.iter().enumerate() {
            let prompt = prompt(&plan, n);
            assert_eq!(text.tokenizer().count(&prompt), slot.input_tokens as usize, "{name}: request {n}");
            tokens += u64::from(slot.input_tokens);
        }
        println!("{name}: {} prompts, {tokens} tokens, {:?}", slots.len(), text.vocabulary().radix());
    }
}

#[test]
fn blocks_are_equal_tokens_where_ids_are_equal_and_part_at_their_first_token_where_not() {
    let (entries, block_ids, unique) = entries();
    for name in fetched().iter().map(String::as_str).chain(EMBEDDED) {
        let text = TextSource::new(Tokenizer::open(name).unwrap(), Around::Uncounted, Seed(7)).unwrap();
        let plan = plan(entries.clone(), block_ids.clone(), unique, &text);
        let mut firsts = HashSet::new();
        let mut of_id: HashMap<u32, Vec<u32>> = HashMap::new();
        for (n, entry) in entries.iter().enumerate() {
            let ids = text.tokenizer().ids(&prompt(&plan, n));
            let range = entry.blocks_start as usize..(entry.blocks_start + entry.blocks_len) as usize;
            for (block, tokens) in block_ids[range].iter().zip(ids.chunks(BLOCK as usize)) {
                let known = of_id.entry(*block).or_insert_with(|| tokens.to_vec());
                let both = known.len().min(tokens.len());
                assert_eq!(known[..both], tokens[..both], "{name}: block {block} of request {n}");
                if tokens.len() > known.len() {
                    *known = tokens.to_vec();
                }
            }
            if entry.blocks_len > 0 {
                firsts.insert((block_ids[entry.blocks_start as usize], ids[0]));
            }
        }
        let tokens: HashSet<u32> = firsts.iter().map(|(_, token)| *token).collect();
        assert_eq!(tokens.len(), firsts.len(), "{name}: two first blocks share their first token");
    }
}

#[test]
fn rendered_counts_hold_what_the_chat_template_adds() {
    for name in fetched() {
        let tokenizer = Tokenizer::open(&name).unwrap();
        let Ok(around) = Around::of(&tokenizer, true) else {
            println!("{name}: no chat template");
            continue;
        };
        let text = TextSource::new(tokenizer, around, Seed(3)).unwrap();
        let entries = (1..200).map(|n| Entry { arrival_ns: Some(n), input_tokens: 7 * n as u32, ..Entry::default() });
        let plan = plan(entries.collect(), Vec::new(), 0, &text);
        let added = text.around_tokens();
        assert!(added > 0, "{name}");
        for (n, slot) in plan.phases[0].slots.iter().enumerate() {
            let counted = text.count(&prompt(&plan, n)).unwrap();
            assert_eq!(counted, slot.input_tokens.max(added + 1), "{name}: request {n}");
        }
        println!("{name}: the template adds {added} tokens");
    }
}
