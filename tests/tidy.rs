//! Reads the source and holds it to the house's rules: layers, headers, names, and what the data plane may not use.
//!
//! Lengths are warned about, not failed: `cargo test --test tidy -- --nocapture` shows them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What each top-level module may use, itself aside. `error`, `outcome`, `rng` and `time` may be used by all.
const LAYERS: &[(&str, &[&str])] = &[
    ("prompt", &[]),
    ("trace", &["prompt"]),
    ("arrival", &[]),
    ("wire", &[]),
    ("endpoint", &["prompt", "wire"]),
    ("schedule", &["trace", "arrival", "prompt", "endpoint"]),
    ("record", &[]),
    ("engine", &["schedule", "endpoint", "prompt", "wire", "record"]),
    // Beside the engine, whose sockets it dials; it shares nothing with the workers.
    ("telemetry", &["engine", "record", "wire"]),
    ("metrics", &["record"]),
    // The index of dispersion is that of `arrival`, so that planned and sent times are judged as generated ones are.
    // `wire` takes the labels of the server's metrics apart.
    ("analysis", &["arrival", "wire", "record", "metrics"]),
    ("comparison", &["record", "metrics"]),
    ("plan", &[]),
    // Starts and ends what is measured; who asks it, and how, is passed in.
    ("deployment", &[]),
    // Describes what a run would ask for with the same arithmetic that describes what a run got.
    ("inspection", &["trace", "arrival", "schedule", "record", "metrics", "analysis"]),
    // Tables of measured kernels are Parquet, of anyone.
    ("profiler", &["record"]),
    // Directories of results hold recordings, summaries and what profilers left; a comparison is of what they say.
    ("evidence", &["record", "metrics", "comparison", "profiler"]),
    // Its oracle has the schema of every recording.
    ("sim", &["profiler", "prompt", "wire", "endpoint", "engine", "record"]),
    ("forecast", &["trace", "arrival", "metrics", "profiler", "sim"]),
    ("export", &["wire", "record", "metrics", "analysis", "comparison", "profiler", "forecast"]),
    // Above the whole pipeline, which it measures, and below what shows its result.
    (
        "calibration",
        &["trace", "arrival", "prompt", "schedule", "endpoint", "engine", "record", "metrics", "sim", "profiler"],
    ),
    (
        "report",
        &["record", "metrics", "analysis", "comparison", "inspection", "calibration", "profiler", "forecast", "plan"],
    ),
    (
        "cli",
        &[
            "comparison",
            // What a command line names is what there is to read.
            "evidence",
            "trace",
            "arrival",
            "endpoint",
            "engine",
            "schedule",
            "record",
            "metrics",
            "export",
            "profiler",
            "sim",
            "calibration",
            "deployment",
            "report",
        ],
    ),
    (
        "commands",
        &[
            "cli",
            "comparison",
            "evidence",
            "trace",
            "arrival",
            "prompt",
            "schedule",
            "endpoint",
            "engine",
            "record",
            "telemetry",
            "metrics",
            "analysis",
            "inspection",
            "export",
            "report",
            "profiler",
            "sim",
            "forecast",
            "calibration",
            "plan",
            "deployment",
        ],
    ),
];

/// The core nouns, below every layer.
const CORE: &[&str] = &["error", "outcome", "rng", "time"];

/// Names that say nothing.
const VAGUE: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "manager"];

/// Longest file that is not warned about.
const FILE_LINES_MAX: usize = 400;
/// Longest function that is not warned about.
const FUNCTION_LINES_MAX: usize = 70;

struct SourceFile {
    /// Path below `src/`.
    path: String,
    text: String,
}

impl SourceFile {
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or("")
    }

    /// The lines before the file's unit tests, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, l)| !l.starts_with("#[cfg(test)]"))
            .map(|(n, l)| (n + 1, l.split("//").next().unwrap_or("")))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<SourceFile> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let below = path.strip_prefix(root().join("src")).unwrap().to_string_lossy().into_owned();
                files.push(SourceFile { path: below, text: std::fs::read_to_string(&path).unwrap() });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 40, "the source was not found");
    files
}

fn fail_with(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Module names that follow `crate::` in a line, `crate::{a, b::c}` included.
fn used_modules(line: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let inside = rest.strip_prefix('{').map_or(rest, |r| r.split('}').next().unwrap_or(r));
        let parts: Vec<&str> = if rest.starts_with('{') { inside.split(',').collect() } else { vec![inside] };
        for part in parts {
            let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            used.push(name);
        }
    }
    used
}

#[test]
fn dependencies_run_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut findings = Vec::new();
    for file in sources() {
        let module = file.module();
        if matches!(module, "lib" | "main") {
            continue;
        }
        for (n, line) in file.code() {
            if line.contains("super::super") {
                findings.push(format!("src/{}:{n}: `super::super` hides which layer is meant", file.path));
            }
            for used in used_modules(line) {
                let own = used == module || CORE.contains(&used.as_str());
                let may = allowed.get(module).is_some_and(|list| list.contains(&used.as_str()));
                let known = allowed.contains_key(used.as_str());
                if known && !own && !may {
                    findings.push(format!("src/{}:{n}: `{module}` may not use `{used}`", file.path));
                }
            }
        }
        if !CORE.contains(&module) && !allowed.contains_key(module) {
            findings.push(format!("src/{}: `{module}` has no line in the table of layers", file.path));
        }
    }
    fail_with(&findings);
}

#[test]
fn the_table_of_layers_has_no_cycle() {
    let order: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    for (at, (module, uses)) in LAYERS.iter().enumerate() {
        for used in *uses {
            let below = order.iter().position(|m| m == used).expect("a layer uses one that is in the table");
            assert!(below < at, "`{module}` stands above `{used}`, which it uses");
        }
    }
    let uses = |module: &str, used: &str| LAYERS.iter().any(|(m, list)| *m == module && list.contains(&used));
    assert!(!uses("engine", "metrics") && !uses("metrics", "engine"), "engine and metrics never import each other");
}

#[test]
fn every_file_says_what_it_is() {
    let mut findings = Vec::new();
    for file in sources() {
        let header: Vec<&str> = file.text.lines().take_while(|l| l.starts_with("//!")).collect();
        if header.is_empty() {
            findings.push(format!("src/{}: has no `//!` header", file.path));
        }
        let stem = Path::new(&file.path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folders = PathBuf::from(&file.path);
        let vague = folders.iter().map(|p| p.to_string_lossy().into_owned()).chain([stem]);
        for name in vague.filter(|n| VAGUE.contains(&n.as_str())) {
            findings.push(format!("src/{}: `{name}` says nothing", file.path));
        }
    }
    fail_with(&findings);
}

/// Files of the data plane: what runs per event or per request.
fn is_data_plane(path: &str) -> bool {
    let control = ["engine/mod.rs", "engine/affinity.rs", "engine/simulated.rs"];
    let folders = ["wire/", "engine/"];
    !control.contains(&path) && (folders.iter().any(|f| path.starts_with(f)) || path == "record/ring.rs")
}

#[test]
fn the_data_plane_has_no_lock_no_dyn_and_no_log() {
    let mut findings = Vec::new();
    for file in sources().iter().filter(|f| is_data_plane(&f.path)) {
        for (n, line) in file.code() {
            for banned in ["dyn ", "RwLock", ".lock()", "println!", "tracing::", "log::"] {
                // The ring's lock is taken once, when its worker has ended.
                let at_the_end = file.path == "record/ring.rs" && banned == ".lock()";
                if line.contains(banned) && !at_the_end {
                    findings.push(format!("src/{}:{n}: `{banned}` on the data plane", file.path));
                }
            }
        }
    }
    fail_with(&findings);
}

#[test]
fn only_report_writes_to_the_terminal() {
    let mut findings = Vec::new();
    for file in sources() {
        let may = file.path.starts_with("report/") || file.path == "main.rs";
        for (n, line) in file.code() {
            if !may && (line.contains("io::stdout()") || line.contains("io::stderr()")) {
                findings.push(format!("src/{}:{n}: only `report` prints", file.path));
            }
        }
    }
    fail_with(&findings);
}

#[test]
fn every_metric_and_every_column_is_defined_in_the_methodology() {
    let text = std::fs::read_to_string(root().join("METHODOLOGY.md")).unwrap();
    let mut findings = Vec::new();
    for metric in loadline::metrics::METRICS {
        if !text.lines().any(|l| l.trim_end() == format!("### {}", metric.name)) {
            findings.push(format!("METHODOLOGY.md has no heading for the metric `{}`", metric.name));
        }
    }
    let schema = std::fs::read_to_string(root().join("src/record/row.rs")).unwrap();
    let rows = schema.split("pub struct ").filter(|s| s.starts_with("RequestRow") || s.starts_with("TokenRow "));
    for row in rows {
        let fields = row.lines().take_while(|l| *l != "}").filter_map(|l| l.trim().strip_prefix("pub "));
        for column in fields.filter_map(|l| l.split(':').next()) {
            if !text.contains(&format!("`{column}`")) {
                findings.push(format!("METHODOLOGY.md does not define the column `{column}`"));
            }
        }
    }
    fail_with(&findings);
}

#[test]
fn long_files_and_functions_are_shown() {
    for file in sources() {
        let lines = file.code().count();
        if lines > FILE_LINES_MAX {
            println!("src/{}: {lines} lines before its tests: is it one noun?", file.path);
        }
        let mut start: Option<(usize, &str)> = None;
        for (n, line) in file.code() {
            let is_function =
                line.trim_start().starts_with("fn ") || line.contains("pub fn ") || line.contains("async fn ");
            if is_function && start.is_none() && !line.trim_end().ends_with([';', '}']) {
                start = Some((n, line));
            }
            if let Some((from, head)) = start {
                let indent = head.len() - head.trim_start().len();
                if line.trim_end() == format!("{}}}", " ".repeat(indent)) {
                    if n - from > FUNCTION_LINES_MAX {
                        println!("src/{}:{from}: {} lines in one function", file.path, n - from);
                    }
                    start = None;
                }
            }
        }
    }
}
