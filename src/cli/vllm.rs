//! The flags of `vllm bench serve` → aiperf's and ours, with vLLM's defaults.
//!
//! A command line is read as vLLM's when it says `bench serve`, or has a flag that vLLM alone has. Then `--num-prompts`
//! counts requests; in aiperf's words it counts the entries of the data set.

use super::argv::Given;
use super::known_flags::Takes::{self, Many, Nothing, One};
use super::secret::masked_command;
use crate::error::{Error, Result};

/// What becomes of a flag of vLLM's.
#[derive(Clone, Copy, Debug)]
enum To {
    /// It is this flag, with the same values.
    Flag(&'static str),
    /// It is a field of the request's body.
    Field(&'static str),
    /// It has no effect.
    Idle,
    /// It is refused, and what to use instead; a value that asks for nothing is not.
    Refused {
        /// What to use instead.
        instead: &'static str,
        /// The value that asks for nothing.
        nothing: &'static str,
    },
    /// It is looked at together with others.
    Read,
}

/// A flag that vLLM has under this name; the mark says whether it tells vLLM's command lines from others'.
const FLAGS: &[(&str, Takes, bool, To)] = &[
    ("--base-url", One, true, To::Flag("--url")),
    ("--host", One, true, To::Read),
    ("--port", One, true, To::Read),
    ("--backend", One, false, To::Read),
    ("--endpoint", One, false, To::Read),
    ("--served-model-name", One, true, To::Read),
    ("--dataset-name", One, true, To::Read),
    ("--dataset-path", One, true, To::Flag("--input-file")),
    ("--num-prompts", One, false, To::Read),
    ("--max-concurrency", One, true, To::Flag("--concurrency")),
    ("--request-rate", One, false, To::Read),
    ("--burstiness", One, false, To::Read),
    ("--random-input-len", One, true, To::Flag("--isl")),
    ("--random-output-len", One, true, To::Flag("--osl")),
    ("--input-len", One, true, To::Flag("--isl")),
    ("--output-len", One, true, To::Flag("--osl")),
    ("--sharegpt-output-len", One, true, To::Flag("--osl")),
    ("--custom-output-len", One, true, To::Flag("--osl")),
    ("--random-prefix-len", One, true, To::Read),
    ("--random-batch-size", One, true, refused("one prompt a request", "1")),
    ("--num-warmups", One, true, To::Flag("--warmup-request-count")),
    ("--seed", One, false, To::Flag("--random-seed")),
    ("--ignore-eos", Nothing, false, To::Read),
    ("--header", Many, false, To::Read),
    ("--extra-body", One, false, To::Flag("--extra-inputs")),
    ("--insecure", Nothing, false, To::Flag("--tls-insecure")),
    ("--self-timed", Nothing, true, To::Flag("--fixed-schedule")),
    ("--no-self-timed", Nothing, true, To::Flag("--no-fixed-schedule")),
    ("--ready-check-timeout-sec", One, true, To::Read),
    ("--temperature", One, false, To::Field("temperature")),
    ("--top-p", One, false, To::Field("top_p")),
    ("--top-k", One, false, To::Field("top_k")),
    ("--min-p", One, false, To::Field("min_p")),
    ("--frequency-penalty", One, false, To::Field("frequency_penalty")),
    ("--presence-penalty", One, false, To::Field("presence_penalty")),
    ("--repetition-penalty", One, false, To::Field("repetition_penalty")),
    ("--logprobs", One, false, To::Field("logprobs")),
    ("--tokenizer-mode", One, false, To::Idle),
    ("--trust-remote-code", Nothing, false, To::Idle),
    ("--skip-tokenizer-init", Nothing, true, To::Idle),
    ("--disable-tqdm", Nothing, false, To::Idle),
    ("--disable-shuffle", Nothing, true, To::Idle),
    ("--no-oversample", Nothing, true, To::Idle),
    ("--request-id-prefix", One, true, To::Idle),
    ("--plot-timeline", Nothing, true, To::Idle),
    ("--timeline-itl-thresholds", One, true, To::Idle),
    ("--plot-dataset-stats", Nothing, true, To::Idle),
    ("--profile", Nothing, true, refused("POST /start_profile and /stop_profile around the run, with curl", "")),
    ("--use-beam-search", Nothing, true, refused("answers are sampled; --extra-body sets fields of the request", "")),
    ("--append-result", Nothing, true, refused("--save-result, a file for each run", "")),
    ("--probe-request-rate", One, true, refused("a second run beside this one", "0")),
    ("--lora-modules", Many, true, refused("--model, and a run for each", "")),
    ("--lora-assignment", One, true, refused("--model, and a run for each", "")),
    ("--ramp-up-strategy", One, true, refused("--rate-profile \"ramp(from=1, to=20, end=60s)\"", "")),
    ("--ramp-up-start-rps", One, true, refused("--rate-profile \"ramp(from=1, to=20, end=60s)\"", "")),
    ("--ramp-up-end-rps", One, true, refused("--rate-profile \"ramp(from=1, to=20, end=60s)\"", "")),
    ("--chat-template-kwargs", One, true, refused("--extra-body '{\"chat_template_kwargs\":{…}}'", "")),
];

const fn refused(instead: &'static str, nothing: &'static str) -> To {
    To::Refused { instead, nothing }
}

/// What follows a flag of vLLM's.
pub(super) fn takes(name: &str) -> Option<Takes> {
    FLAGS.iter().find(|(n, ..)| *n == name).map(|(_, takes, ..)| *takes)
}

/// Translates a command line, if it is vLLM's; other lines may still use vLLM's names of what aiperf has no name for.
///
/// # Errors
/// [`Error::Usage`] with one line for what cannot be translated.
pub(super) fn translate(given: &[Given], bench: bool, notes: &mut Vec<String>) -> Result<Vec<Given>> {
    let telling = given.iter().find(|flag| tells(flag)).map(|flag| flag.name.clone());
    let is_vllm = bench || telling.is_some();
    if let Some(prompts) = given.iter().find(|flag| !is_vllm && flag.name == "--num-prompts") {
        notes.push(format!(
            "--num-prompts {} is aiperf's here and counts the entries of the data set; --request-count counts requests",
            prompts.value()
        ));
    }
    let mut line = Line { given: Vec::new(), is_vllm, idle: Vec::new() };
    for flag in given {
        line.take(flag)?;
    }
    line.destination(given)?;
    line.load(given)?;
    if is_vllm {
        line.defaults(given);
        let mut words = vec!["profile".to_string()];
        words.extend(super::argv::words(&line.given));
        notes.push(format!(
            "read as vllm bench serve's command line{}, with its defaults: {}",
            telling.map(|flag| format!(" (it has {flag})")).unwrap_or_default(),
            masked_command(words).join(" ")
        ));
    }
    if !line.idle.is_empty() {
        notes.push(format!("accepted without effect: {}", line.idle.join(", ")));
    }
    Ok(line.given)
}

/// Whether a flag is vLLM's alone.
fn tells(flag: &Given) -> bool {
    let strong = FLAGS.iter().any(|(name, _, strong, _)| *strong && *name == flag.name);
    strong || flag.name == "--backend" && matches!(flag.value(), "openai" | "openai-chat")
}

/// A command line in the making.
struct Line {
    given: Vec<Given>,
    is_vllm: bool,
    idle: Vec<String>,
}

impl Line {
    fn has(&self, name: &str) -> bool {
        self.given.iter().any(|flag| flag.name == name)
    }

    fn push(&mut self, name: &str, value: impl Into<String>) {
        self.given.push(Given::new(name, value));
    }

    /// Translates a flag that can be looked at alone.
    fn take(&mut self, flag: &Given) -> Result<()> {
        let Some((.., to)) = FLAGS.iter().find(|(name, ..)| *name == flag.name) else {
            self.given.push(flag.clone());
            return Ok(());
        };
        match to {
            To::Flag(name) => self.given.push(Given { name: (*name).into(), ..flag.clone() }),
            To::Field(name) => self.push("--extra-inputs", format!("{name}:{}", flag.value())),
            To::Idle => self.idle.push(flag.name.clone()),
            To::Refused { instead, nothing } => {
                let asked = flag.values.is_empty() || flag.value().parse::<f64>() != nothing.parse::<f64>();
                if asked {
                    return Err(Error::Usage(format!("{} is vllm bench serve's; instead: {instead}", flag.name)));
                }
            }
            To::Read => self.read(flag)?,
        }
        Ok(())
    }

    /// Translates a flag whose value matters.
    fn read(&mut self, flag: &Given) -> Result<()> {
        match (flag.name.as_str(), flag.value()) {
            ("--num-prompts", value) if self.is_vllm => self.push("--request-count", value),
            ("--backend", value) => match value {
                "openai-chat" => self.push("--endpoint-type", "chat"),
                "openai" => self.push("--endpoint-type", "completions"),
                "vllm" | "sglang" | "scalellm" | "lmdeploy" if self.is_vllm => {
                    self.push("--endpoint-type", "completions");
                }
                other if self.is_vllm => {
                    return usage(&format!("--backend {other}: use openai-chat, openai or vllm"));
                }
                _ => self.given.push(flag.clone()),
            },
            ("--request-rate", value) if !is_endless(value) => self.given.push(flag.clone()),
            ("--burstiness", _) => self.given.push(Given { name: "--arrival-smoothness".into(), ..flag.clone() }),
            ("--dataset-name", "sharegpt") => self.push("--custom-dataset-type", "sharegpt"),
            ("--dataset-name", "random" | "custom" | "timed_trace") => {}
            ("--dataset-name", other) => {
                return usage(&format!(
                    "--dataset-name {other}: use random, sharegpt, custom or timed_trace; other files are --input-file FILE"
                ));
            }
            ("--random-prefix-len", value) if value != "0" => {
                self.push("--num-prefix-prompts", "1");
                self.push("--prefix-prompt-length", value);
            }
            ("--ready-check-timeout-sec", value) if value != "0" => self.push("--wait-for-model-timeout", value),
            ("--ignore-eos", _) => self.push("--extra-inputs", "ignore_eos:true"),
            ("--header", _) => {
                let values = flag.values.iter().map(|text| with_colon(text)).collect();
                self.given.push(Given { values, ..flag.clone() });
            }
            ("--num-prompts", _) => self.given.push(flag.clone()),
            // The rest is looked at together with others.
            _ => {}
        }
        Ok(())
    }

    fn once(&mut self, name: &str, value: &str) {
        if !self.has(name) {
            self.push(name, value);
        }
    }

    fn destination(&mut self, given: &[Given]) -> Result<()> {
        let find = |name: &str| given.iter().find(|flag| flag.name == name).map(Given::value);
        if find("--host").is_some() || find("--port").is_some() {
            if self.has("--url") {
                return usage("--host and --port have no meaning beside a URL");
            }
            let (host, port) = (find("--host").unwrap_or("127.0.0.1"), find("--port").unwrap_or("8000"));
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.into() };
            self.push("--url", format!("http://{host}:{port}"));
        }
        if let Some(path) = given.iter().find(|flag| flag.name == "--endpoint") {
            let spoken = self.given.iter().find(|flag| flag.name == "--endpoint-type").map(Given::value);
            match (path.value(), spoken) {
                ("/v1/completions", Some("completions")) | ("/v1/chat/completions", Some("chat")) => {}
                ("/v1/completions", None) => self.push("--endpoint-type", "completions"),
                ("/v1/chat/completions", None) => self.push("--endpoint-type", "chat"),
                _ => self.given.push(path.clone()),
            }
        }
        if let Some(name) = find("--served-model-name") {
            self.given.retain(|flag| !matches!(flag.name.as_str(), "--model" | "-m"));
            self.push("--model", name);
        }
        Ok(())
    }

    /// A rate without an end: all requests at once, as many as may be in flight.
    fn load(&mut self, given: &[Given]) -> Result<()> {
        let rate = given.iter().find(|flag| flag.name == "--request-rate");
        let endless = rate.is_some_and(|rate| is_endless(rate.value()));
        let timed = ["--fixed-schedule", "--rate-profile", "--user-centric-rate"].iter().any(|flag| self.has(flag));
        if self.is_vllm && (endless || rate.is_none()) {
            self.given.retain(|flag| flag.name != "--arrival-smoothness");
        }
        let at_once = endless || self.is_vllm && rate.is_none() && !timed && !is_timed(given);
        if !at_once || self.has("--concurrency") {
            return Ok(());
        }
        let count = |flag: &&Given| matches!(flag.name.as_str(), "--request-count" | "--num-requests");
        match self.given.iter().find(count).map(|flag| flag.value().to_string()) {
            Some(count) => self.push("--concurrency", count),
            None if self.is_vllm => self.push("--concurrency", REQUESTS),
            None => {
                return usage("--request-rate inf sends all requests at once; give --request-count or --concurrency");
            }
        }
        Ok(())
    }

    /// vLLM's defaults, where nothing else is said.
    fn defaults(&mut self, given: &[Given]) {
        let drawn = !self.has("--input-file");
        self.once("--endpoint-type", "completions");
        if !self.has("--streaming") {
            self.given.push(Given::switch("--streaming"));
        }
        if !["--request-count", "--num-requests", "--benchmark-duration"].iter().any(|flag| self.has(flag)) {
            self.push("--request-count", REQUESTS);
        }
        if drawn {
            if !["--isl", "--synthetic-input-tokens-mean", "--prompt-input-tokens-mean"].iter().any(|f| self.has(f)) {
                self.push("--isl", "1024");
            }
            if !["--osl", "--output-tokens-mean", "--prompt-output-tokens-mean"].iter().any(|f| self.has(f)) {
                self.push("--osl", "128");
            }
            if !given.iter().any(|flag| flag.name == "--ignore-eos") {
                self.push("--extra-inputs", "ignore_eos:true");
            }
        } else if !self.has("--fixed-schedule") && !self.has("--no-fixed-schedule") && !is_timed(given) {
            self.given.push(Given::switch("--no-fixed-schedule"));
        }
        self.once("--random-seed", "0");
    }
}

/// Requests that vLLM sends unless told otherwise.
const REQUESTS: &str = "1000";

fn is_endless(rate: &str) -> bool {
    matches!(rate.to_ascii_lowercase().as_str(), "inf" | "infinity")
}

/// Whether the data set has times of its own that vLLM keeps to.
fn is_timed(given: &[Given]) -> bool {
    given.iter().any(|flag| flag.name == "--dataset-name" && flag.value() == "timed_trace")
}

/// vLLM writes `NAME=VALUE`.
fn with_colon(header: &str) -> String {
    match (header.find('='), header.find(':')) {
        (Some(equals), colon) if colon.is_none_or(|colon| equals < colon) => header.replacen('=', ":", 1),
        _ => header.into(),
    }
}

fn usage<T>(text: &str) -> Result<T> {
    Err(Error::Usage(text.into()))
}
