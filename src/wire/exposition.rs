//! The text that a Prometheus endpoint answers with → samples, one at a time.
//!
//! In: text in Prometheus' format 0.0.4, or OpenMetrics as far as the two agree. Out: [`Sample`]s, in order, each with the
//! family that the comments before it declare; and what was left out, counted.
//! Invariants: no input panics; nothing is copied, so memory is the text's; more than [`SAMPLES_MAX`] samples, and lines that
//! are no sample, are counted and passed over. Timestamps and exemplars are read over: the time of a sample is the scrape's.
//! Not here: what a sample means, and fetching the text.

/// Samples of one text that are read.
pub const SAMPLES_MAX: u64 = 50_000;
/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Labels of one sample that are read.
const LABELS_MAX: usize = 64;

/// What a family is declared to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FamilyKind {
    /// Only ever grows, until its server starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative counts below bounds, their sum and their number.
    Histogram,
    /// Anything else: summaries, and families without a declaration.
    Unknown,
}

impl FamilyKind {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
            FamilyKind::Unknown => "unknown",
        }
    }

    /// The kind of that name; `unknown` for every other.
    pub fn parse(name: &str) -> FamilyKind {
        match name {
            "counter" => FamilyKind::Counter,
            "gauge" => FamilyKind::Gauge,
            "histogram" => FamilyKind::Histogram,
            _ => FamilyKind::Unknown,
        }
    }
}

/// One line with a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The family: the declared name, of a counter without `_total`; the sample's own where none is declared.
    pub family: &'a str,
    /// What the family is.
    pub kind: FamilyKind,
    /// The family's help, escapes as they stand; empty without.
    pub help: &'a str,
    /// The name on the line, such as `x_bucket`.
    pub name: &'a str,
    /// What stands between the braces; [`labels`] takes it apart.
    pub labels: &'a str,
    /// The value; may be infinite or no number, as the format allows.
    pub value: f64,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples handed out.
    pub samples: u64,
    /// Lines that are neither a comment nor a sample, or too long.
    pub bad_lines: u64,
    /// Samples beyond [`SAMPLES_MAX`].
    pub left_out: u64,
}

/// The family that the comments before a sample declare.
#[derive(Clone, Copy, Default)]
struct Declared<'a> {
    name: &'a str,
    kind: Option<FamilyKind>,
    help: &'a str,
}

impl<'a> Declared<'a> {
    /// Takes a comment.
    fn comment(&mut self, comment: &'a str) {
        let (word, rest) = split_word(comment);
        let (name, rest) = split_word(rest);
        if !matches!(word, "HELP" | "TYPE") || name.is_empty() {
            return;
        }
        if self.name != name {
            *self = Declared { name, ..Declared::default() };
        }
        match word {
            "HELP" => self.help = rest,
            _ => self.kind = Some(FamilyKind::parse(rest.trim_end())),
        }
    }

    /// Whether a sample of this name is one of the family's.
    fn holds(&self, sample: &str) -> bool {
        let suffix = sample.strip_prefix(self.name);
        let counter = self.kind == Some(FamilyKind::Counter);
        let histogram = self.kind == Some(FamilyKind::Histogram);
        !self.name.is_empty()
            && (suffix == Some("")
                || counter && suffix == Some("_total")
                || histogram && matches!(suffix, Some("_bucket" | "_sum" | "_count")))
    }
}

/// Reads a text and calls `on_sample` with each of its samples.
pub fn read<'a>(text: &'a str, mut on_sample: impl FnMut(Sample<'a>)) -> Counts {
    let mut counts = Counts::default();
    let mut declared = Declared::default();
    for line in text.lines() {
        let line = line.trim_ascii_start();
        if line.len() > LINE_BYTES_MAX {
            counts.bad_lines += 1;
        } else if let Some(comment) = line.strip_prefix('#') {
            declared.comment(comment);
        } else if !line.is_empty() {
            match sample(line, &declared) {
                Some(_) if counts.samples == SAMPLES_MAX => counts.left_out += 1,
                Some(sample) => {
                    counts.samples += 1;
                    on_sample(sample);
                }
                None => counts.bad_lines += 1,
            }
        }
    }
    counts
}

/// A line as a sample.
fn sample<'a>(line: &'a str, declared: &Declared<'a>) -> Option<Sample<'a>> {
    let end = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let (inside, rest) = match rest.strip_prefix('{') {
        Some(behind) => {
            let close = label_end(behind)?;
            (&behind[..close], &behind[close + 1..])
        }
        None => ("", rest),
    };
    let value = number(split_word(rest).0)?;
    if labels(inside).any(|label| label.is_none()) {
        return None;
    }
    let known = declared.holds(name);
    let family = if known { declared.name } else { name };
    let kind = declared.kind.filter(|_| known).unwrap_or(FamilyKind::Unknown);
    Some(Sample {
        family: if kind == FamilyKind::Counter { family.strip_suffix("_total").unwrap_or(family) } else { family },
        kind,
        help: if known { declared.help } else { "" },
        name,
        labels: inside,
        value,
    })
}

/// Where the closing brace of labels stands: outside of their quotes.
fn label_end(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The labels between two braces: name, and value with its escapes as they stand. `None` ends them where they are damaged
/// or more than 64.
pub fn labels(inside: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    let mut rest = Some(inside.trim_ascii());
    let mut n = 0;
    std::iter::from_fn(move || {
        let text = rest.take().filter(|text| !text.is_empty())?;
        n += 1;
        let Some((name, value, behind)) = label(text).filter(|_| n <= LABELS_MAX) else { return Some(None) };
        rest = behind.trim_ascii_start().strip_prefix(',').map(str::trim_ascii_start);
        if rest.is_none() && !behind.trim_ascii().is_empty() {
            return Some(None);
        }
        Some(Some((name, value)))
    })
}

/// The first label of a text, and what stands behind it.
fn label(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_ascii();
    let rest = rest.trim_ascii_start().strip_prefix('"')?;
    let mut escaped = false;
    let close = rest.bytes().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => byte == b'"',
    })?;
    (!name.is_empty()).then(|| (name, &rest[..close], &rest[close + 1..]))
}

/// A label's value or a help text with its escapes undone: `\\`, `\"` and `\n`.
pub fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some(c @ ('\\' | '"')) => plain.push(c),
                Some(c) => plain.extend(['\\', c]),
                None => plain.push('\\'),
            },
            c => plain.push(c),
        }
    }
    plain
}

/// A value as Go writes it: a decimal number, or an infinity, or NaN.
fn number(word: &str) -> Option<f64> {
    match word {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        // Rust's parser takes more words than the format has.
        _ if word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E')) => word.parse().ok(),
        _ => None,
    }
}

/// The first word, and what stands behind the white space after it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_start();
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_ascii_start())
}

/// The property that the fuzz target checks: every sample's parts lie within the text and can be taken apart, and a sample
/// that is written out again is read alike.
pub fn fuzz_exposition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let counts = read(&text, |sample| {
        assert!(labels(sample.labels).all(|label| label.is_some()), "labels that cannot be taken apart");
        let value = match sample.value {
            value if value.is_finite() => format!("{value:e}"),
            value if value.is_nan() => "NaN".into(),
            value => if value > 0.0 { "+Inf" } else { "-Inf" }.into(),
        };
        let again = format!("{}{{{}}} {value}\n", sample.name, sample.labels);
        if again.len() > LINE_BYTES_MAX {
            return;
        }
        let mut seen = 0;
        read(&again, |other| {
            seen += 1;
            assert_eq!((other.name, other.labels), (sample.name, sample.labels));
            assert!(other.value == sample.value || other.value.is_nan() && sample.value.is_nan());
        });
        assert_eq!(seen, 1, "{again}");
    });
    assert!(counts.samples <= SAMPLES_MAX && counts.samples + counts.bad_lines <= text.lines().count() as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine=\"0\",model_name=\"a \\\"b\\\" }\"} 2.0

# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{model_name=\"m\"} 3522.0 1795486982030
# HELP ttft h\\nh
# TYPE ttft histogram
ttft_bucket{le=\"0.01\"} 0
ttft_bucket{le=\"+Inf\",} 9
ttft_sum 0.278479884
ttft_count 9
python_info{a=\"b\"} 1 # {trace=\"x\"} 2
# EOF
";

    fn samples(text: &str) -> (Vec<Sample<'_>>, Counts) {
        let mut found = Vec::new();
        let counts = read(text, |sample| found.push(sample));
        (found, counts)
    }

    #[test]
    fn a_text_is_read_line_by_line_with_what_its_comments_declare() {
        let (found, counts) = samples(TEXT);
        assert_eq!(counts, Counts { samples: 7, bad_lines: 0, left_out: 0 });
        let named: Vec<_> = found.iter().map(|s| (s.family, s.kind.as_str(), s.name, s.value)).collect();
        assert_eq!(
            named,
            [
                ("vllm:num_requests_running", "gauge", "vllm:num_requests_running", 2.0),
                ("vllm:prompt_tokens", "counter", "vllm:prompt_tokens_total", 3522.0),
                ("ttft", "histogram", "ttft_bucket", 0.0),
                ("ttft", "histogram", "ttft_bucket", 9.0),
                ("ttft", "histogram", "ttft_sum", 0.278_479_884),
                ("ttft", "histogram", "ttft_count", 9.0),
                ("python_info", "unknown", "python_info", 1.0),
            ]
        );
        assert_eq!(found[0].help, "Number of requests in model execution batches.");
        let of = |n: usize| labels(found[n].labels).map(|l| l.map(|(k, v)| (k, unescape(v)))).collect::<Vec<_>>();
        assert_eq!(of(0), [Some(("engine", "0".into())), Some(("model_name", "a \"b\" }".into()))]);
        assert_eq!(of(3), [Some(("le", "+Inf".into()))]);
        assert_eq!((of(4), unescape(found[2].help)), (vec![], "h\nh".into()));
    }

    #[test]
    fn lines_that_are_no_sample_are_counted_and_the_rest_is_read() {
        for bad in
            ["x", "x{a=\"b\" 1", "{} 1", "x one", "x{a=b} 1", "x{a=\"b\"c=\"d\"} 1", "x 0x10", "x infinity", "<p> 1a"]
        {
            let counts = samples(&format!("{bad}\ny 1\n")).1;
            assert_eq!((counts.bad_lines, counts.samples), (1, 1), "{bad}");
        }
        let (found, _) = samples("x NaN\ny +Inf\nz -1e-3");
        assert!(found[0].value.is_nan());
        assert_eq!([found[1].value, found[2].value], [f64::INFINITY, -0.001]);
    }

    #[test]
    fn a_sample_is_its_own_family_where_another_is_declared() {
        let (found, _) = samples("# TYPE a gauge\nab 1\na_sum 2\na 3\n");
        let families: Vec<_> = found.iter().map(|s| (s.family, s.kind)).collect();
        assert_eq!(families, [("ab", FamilyKind::Unknown), ("a_sum", FamilyKind::Unknown), ("a", FamilyKind::Gauge)]);
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted() {
        let many = "x 1\n".repeat(SAMPLES_MAX as usize + 7);
        let (found, counts) = samples(&many);
        assert_eq!((found.len() as u64, counts.left_out), (SAMPLES_MAX, 7));
        assert_eq!(samples(&format!("x{{a=\"{}\"}} 1", "b".repeat(LINE_BYTES_MAX))).1.bad_lines, 1);
        assert_eq!(samples(&format!("x{{{}}} 1", "a=\"b\",".repeat(65))).1.bad_lines, 1);
    }

    #[test]
    fn the_fuzz_corpus_holds() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/exposition");
        let mut files = 0;
        for file in std::fs::read_dir(dir).unwrap() {
            fuzz_exposition(&std::fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 6, "{files} files in {dir}");
    }
}
