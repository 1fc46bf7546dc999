//! What a plan unfolds to, what is wrong with one, and in which order its steps may start.

use super::address::address;
use super::agenda::{Agenda, State};
use super::file::{Plan, Reading};
use super::reference::{Places, resolve};

const PLAN: &str = r#"
[values]
model = "Qwen/Qwen3-32B"

[[step]]
name = "trace"
run = "synth sin --output-file {dir}/t.jsonl"

[[step]]
name = "measure"
each = { tp = [1, 2] }
needs = ["trace"]
on = "tp{tp}"
gpus = "{tp}"
expected_s = 30
run = 'profile --model {model} --tp {tp} --goodput "ttft:500 itl:50" --input-file {trace}/t.jsonl --artifact-dir {dir} --header {{x}}'

[[step]]
name = "second"
each = { tp = [1, 2] }
needs = ["measure-{tp}"]
run = ["validate", "--predicted-ttft", "{measure-{tp}:a.json:/ttft}"]

[[step]]
name = "compare"
needs = ["measure", "second"]
run = "compare {measure-1} {measure-2}"
accepted_exit_codes = [0, 1]
"#;

fn line(plan: &Plan, n: usize, dirs: &[&std::path::Path]) -> Result<Vec<String>, String> {
    let of: Vec<_> = dirs.iter().map(|dir| Some(dir.to_path_buf())).collect();
    let places = Places { own: "OWN", of: &of, written: &|dir| dir.display().to_string() };
    plan.steps[n].words.iter().map(|word| resolve(word, &places)).collect()
}

#[test]
fn each_unfolds_and_references_lead_to_earlier_steps() {
    let plan = Plan::parse("p.toml", PLAN, &Reading::default()).unwrap();
    let names: Vec<&str> = plan.steps.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["trace", "measure-1", "measure-2", "second-1", "second-2", "compare"]);
    let needs: Vec<&[usize]> = plan.steps.iter().map(|s| s.needs.as_slice()).collect();
    assert_eq!(needs, [&[][..], &[0], &[0], &[1], &[2], &[1, 2, 3, 4]]);
    let step = &plan.steps[2];
    assert_eq!(
        (step.on.as_deref(), step.gpus, step.expected_s, &step.accepted[..]),
        (Some("tp2"), 2.0, Some(30.0), &[0][..])
    );
    assert_eq!(plan.steps[5].accepted, [0, 1]);

    let dir = std::env::temp_dir().join(format!("loadline-plan-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("a.json"), r#"{"ttft": 12.5}"#).unwrap();
    let words = line(&plan, 2, &[&dir]).unwrap();
    let trace = format!("{}/t.jsonl", dir.display());
    let expected = [
        "profile",
        "--model",
        "Qwen/Qwen3-32B",
        "--tp",
        "2",
        "--goodput",
        "ttft:500 itl:50",
        "--input-file",
        &trace,
        "--artifact-dir",
        "OWN",
        "--header",
        "{x}",
    ];
    assert_eq!(words, expected);
    let told = line(&plan, 3, &[&dir, &dir]).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(told, ["validate", "--predicted-ttft", "12.5"]);
    assert!(line(&plan, 3, &[&dir, &dir]).unwrap_err().contains("a.json"));
}

#[test]
fn what_is_wrong_with_a_plan_is_told_with_its_line() {
    let why = |text: &str| Plan::parse("p.toml", text, &Reading::default()).unwrap_err().to_string();
    assert!(why("").starts_with("p.toml: has no step"));
    assert!(why("[[step]]\nname = 'a'\nrun = 'x'\nrum = 1\n").starts_with("p.toml:4: unknown field `rum`"));
    let step = |rest: &str| why(&format!("\n[[step]]\nname = 'a'\n{rest}\n"));
    assert_eq!(step("run='x'\nneeds=['b']"), "p.toml:3: field `needs`: step `a`: `b` is no step before it");
    assert_eq!(
        step("run='x {y}'"),
        "p.toml:3: field `run`: step `a`: `{y}` is neither a value, nor `dir`, nor a step among its `needs`"
    );
    assert!(step("run='x \"y'").ends_with("step `a`: a quote is not closed"));
    assert!(step("run='x }'").contains("has a `}` without its pair"));
    assert!(why("[[step]]\nname='a/b'\nrun='x'").contains("has more than letters"));
    assert!(why("[[step]]\nname='a'\nrun='x'\n[[step]]\nname='a'\nrun='x'").contains("there are two steps `a`"));
    let told = "[[step]]\nname='a'\nrun='x'\n[[step]]\nname='b'\nneeds=['a']\nrun='x {a:../f.json:/x}'";
    assert!(why(told).contains("with FILE below the step's directory"));
}

#[test]
fn an_address_depends_on_words_and_contents_and_on_nothing_else() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let of = |name: &str, w: &[&str]| address(name, &words(w), &[]).unwrap();
    assert_eq!(of("a", &["x", "y"]), of("a", &["x", "y"]));
    assert_ne!(of("a", &["x", "y"]), of("a", &["xy"]));
    let file = std::env::temp_dir().join(format!("loadline-address-{}", std::process::id()));
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        address("a", &[], std::slice::from_ref(&file)).unwrap()
    };
    assert_ne!(with("1"), with("2"));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_step_waits_for_its_needs_and_its_endpoint_and_falls_with_them() {
    let plan = Plan::parse(
        "p.toml",
        "[[step]]\nname='a'\non='x'\nrun='1'\n[[step]]\nname='b'\non='x'\nrun='2'\n[[step]]\nname='c'\non='y'\nrun='3'\n\
         [[step]]\nname='d'\nneeds=['b']\nrun='4'\n[[step]]\nname='e'\nneeds=['d', 'c']\nrun='5'\n",
        &Reading::default(),
    )
    .unwrap();
    let mut agenda = Agenda::new(&plan);
    assert_eq!(agenda.next(), Some(0));
    agenda.set(0, State::Running);
    assert_eq!(agenda.next(), Some(2), "another endpoint");
    agenda.set(2, State::Running);
    assert_eq!((agenda.next(), agenda.running()), (None, 2));
    agenda.set(0, State::Done);
    assert_eq!(agenda.next(), Some(1));
    agenda.set(1, State::Failed);
    agenda.set(2, State::Kept);
    assert_eq!(agenda.next(), None);
    let expected = [State::Done, State::Failed, State::Kept, State::Skipped, State::Skipped];
    assert_eq!(agenda.states(), expected);
}

#[test]
fn values_are_words_hold_values_and_are_replaced_for_a_simulation_or_by_hand() {
    let text = "[values]\nhost = 'h'\nwhere = ['--url', 'http://{host}{tp}:80']\ns = 9\n[simulated]\nwhere = ['--simulate']\ns = 1\n\
        [[step]]\nname='a'\neach={tp=[4]}\nexpected_s='{s}'\nrun='p {where} --x={host}'\n";
    let read = |is_simulated: bool, set: &[(&str, &str)]| {
        let set = set.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        Plan::parse("p.toml", text, &Reading { is_simulated, set })
    };
    let told = |is_simulated, set| {
        let plan = read(is_simulated, set).unwrap();
        (line(&plan, 0, &[]).unwrap().join(" "), plan.steps[0].expected_s)
    };
    assert_eq!(told(false, &[]), ("p --url http://h4:80 --x=h".into(), Some(9.0)));
    assert_eq!(told(true, &[]), ("p --simulate --x=h".into(), Some(1.0)));
    let chosen = "[values]\nwhere = ['--url', 'http://h{tp}']\n[[step]]\nname='a'\nrun='sweep {dir}'\n\
        [[step]]\nname='b'\nneeds=['a']\nwith={tp='{a:x.json:/tp}'}\nrun='p {where}'\n";
    let plan = Plan::parse("p.toml", chosen, &Reading::default()).unwrap();
    let dir = std::env::temp_dir().join(format!("loadline-plan-with-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("x.json"), r#"{"tp": 4}"#).unwrap();
    let words = line(&plan, 1, &[&dir]);
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(words.unwrap(), ["p", "--url", "http://h4"], "what an earlier step told, inside a value");
    let around = "[values]\nn_4 = '{n_{tp}}'\n[[step]]\nname='a'\neach={tp=[4]}\nrun='p x{n_{tp}}'\n";
    let error = Plan::parse("p.toml", around, &Reading::default()).unwrap_err().to_string();
    assert!(error.contains("values stand in each other"), "{error}");
    let nested = "[values]\nn_4 = 2\n[[step]]\nname='a'\neach={tp=[4]}\nrun='p {n_{tp}} {{n_4}}'\n";
    let plan = Plan::parse("p.toml", nested, &Reading::default()).unwrap();
    assert_eq!(
        line(&plan, 0, &[]).unwrap(),
        ["p", "2", "{n_4}"],
        "a value's name may hold a value; two braces are one"
    );
    assert_eq!(told(false, &[("host", "g")]).0, "p --url http://g4:80 --x=g");
    assert_eq!(told(true, &[("where", "--url u -v")]).0, "p --url u -v --x=h", "what is set by hand wins");
    assert!(read(false, &[("hots", "g")]).unwrap_err().to_string().contains("no value `hots`"));
    assert!(read(false, &[("host", "{host}")]).unwrap_err().to_string().contains("values stand in each other"));
    let plain = Plan::parse("p.toml", "[[step]]\nname='a'\nrun='x'", &Reading { is_simulated: true, set: Vec::new() });
    assert!(plain.unwrap_err().to_string().contains("has no [simulated] values"));
}
