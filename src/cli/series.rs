//! Several runs from one command line: repeats, and lists of values for a flag.
//!
//! In: the words of `profile`, as `spelling` left them (each value in its flag's own word). Out: a command line for each
//! combination, which clap reads as any other, and [`SeriesArgs`]. Not here: what a combination's results say (`comparison`).

use super::config::ProfileConfig;
use super::profile::ProfileArgs;
use super::prompt::SALT_RUN;
use super::resolve::{non_negative_ns, usage};
use crate::comparison::combinations::{Parameters, Setting};
use crate::error::Result;
use crate::rng::Seed;

/// Most combinations of one command line.
const COMBINATIONS_MAX: usize = 1000;
/// The seed of repeats for which none is given; aiperf's.
const CONSISTENT_SEED: u64 = 42;

/// A flag that takes a list.
struct Swept {
    flag: &'static str,
    /// Other names of the flag.
    aliases: &'static [&'static str],
    /// The parameter's name in directories and files; aiperf's.
    name: &'static str,
    /// aiperf's path to it, for labels.
    path: &'static str,
    whole: bool,
}

const SWEPT: [Swept; 12] = [
    swept("--concurrency", &[], "concurrency", "phases.profiling.concurrency", true),
    swept("--prefill-concurrency", &[], "prefill_concurrency", "phases.profiling.prefill_concurrency", true),
    swept("--request-rate", &[], "rate", "phases.profiling.rate", false),
    swept("--request-count", &["--num-requests"], "requests", "phases.profiling.requests", true),
    swept("--benchmark-duration", &[], "duration", "phases.profiling.duration", false),
    swept(
        "--num-conversations",
        &["--num-sessions", "--conversation-num"],
        "sessions",
        "phases.profiling.sessions",
        true,
    ),
    swept("--num-users", &[], "users", "phases.profiling.users", true),
    swept("--synthetic-input-tokens-mean", &["--isl"], "isl", "datasets.main.prompts.isl.mean", true),
    swept(
        "--synthetic-input-tokens-stddev",
        &["--isl-stddev"],
        "isl_stddev",
        "datasets.main.prompts.isl.stddev",
        false,
    ),
    swept("--output-tokens-mean", &["--osl"], "osl", "datasets.main.prompts.osl.mean", true),
    swept("--output-tokens-stddev", &["--osl-stddev"], "osl_stddev", "datasets.main.prompts.osl.stddev", false),
    swept("--conversation-turn-mean", &["--session-turns-mean"], "turns", "datasets.main.turns.mean", true),
];

const fn swept(
    flag: &'static str,
    aliases: &'static [&'static str],
    name: &'static str,
    path: &'static str,
    whole: bool,
) -> Swept {
    Swept { flag, aliases, name, path, whole }
}

/// aiperf's path to a parameter.
pub fn path_of(name: &str) -> &'static str {
    SWEPT.iter().find(|s| s.name == name).map_or("", |s| s.path)
}

/// How several runs are made of one command line.
#[derive(Clone, Debug, clap::Args)]
pub struct SeriesArgs {
    /// Run so many times, and tell how far the runs lie apart: mean, spread and an interval for every number. The warm-up
    /// is in the first run alone. All ask for the same lengths at the same times, each in texts of its own, unless --cache-salt
    /// says otherwise: a prefix cache would answer what it has seen.
    #[arg(long, value_name = "RUNS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10), help_heading = SERIES)]
    pub num_profile_runs: u32,

    /// Confidence of the intervals, between 0 and 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, help_heading = SERIES)]
    pub confidence_level: f64,

    /// Pause between repeats.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, help_heading = SERIES)]
    pub profile_run_cooldown_seconds: f64,

    /// Leave the warm-up out of all repeats but the first; the default.
    #[arg(long, overrides_with = "no_profile_run_disable_warmup_after_first", help_heading = SERIES)]
    pub profile_run_disable_warmup_after_first: bool,

    /// Warm up before every repeat.
    #[arg(long, help_heading = SERIES)]
    pub no_profile_run_disable_warmup_after_first: bool,

    /// Give all repeats the seed 42 where --random-seed gives none; the default.
    #[arg(long, overrides_with = "no_set_consistent_seed", help_heading = SERIES)]
    pub set_consistent_seed: bool,

    /// Draw a seed of their own for the repeats together.
    #[arg(long, help_heading = SERIES)]
    pub no_set_consistent_seed: bool,

    /// What several lists of values mean: every combination, or the first of each, the second of each, and so on. Lists are
    /// given with commas to --concurrency, --prefill-concurrency, --request-rate, --request-count, --benchmark-duration,
    /// --num-conversations, --num-users, --isl, --osl, their standard deviations and --conversation-turn-mean.
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = SweepTypeArg::Grid, help_heading = SERIES)]
    pub sweep_type: SweepTypeArg,

    /// Whether all combinations are run once and then again (repeated), or each one to its last repeat (independent).
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = SweepModeArg::Repeated, help_heading = SERIES)]
    pub parameter_sweep_mode: SweepModeArg,

    /// Pause between combinations.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, help_heading = SERIES)]
    pub parameter_sweep_cooldown_seconds: f64,

    /// Give all combinations the same seed; otherwise each has the seed of the one before it plus one.
    #[arg(long, overrides_with = "no_parameter_sweep_same_seed", help_heading = SERIES)]
    pub parameter_sweep_same_seed: bool,

    /// The default.
    #[arg(long, hide = true)]
    pub no_parameter_sweep_same_seed: bool,
}

const SERIES: &str = "Several runs";

/// How lists are combined, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SweepTypeArg {
    /// Every combination.
    Grid,
    /// Element by element.
    Zip,
}

/// In which order combinations are repeated, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SweepModeArg {
    /// All, then all again.
    Repeated,
    /// Each to its last repeat.
    Independent,
}

impl SweepModeArg {
    /// aiperf's word.
    pub fn as_str(self) -> &'static str {
        match self {
            SweepModeArg::Repeated => "repeated",
            SweepModeArg::Independent => "independent",
        }
    }
}

/// One combination of a command line with lists.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its parameters; none without lists.
    pub parameters: Parameters,
    /// What it runs.
    pub config: ProfileConfig,
}

/// What several runs are.
#[derive(Clone, Debug)]
pub struct SeriesConfig {
    /// The combinations; one without lists.
    pub cells: Vec<Cell>,
    /// Whether there were lists.
    pub is_sweep: bool,
    /// Repeats of each.
    pub repeats: u32,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Pause between repeats.
    pub repeat_pause_ns: i64,
    /// Pause between combinations.
    pub cell_pause_ns: i64,
    /// Whether each repeat has texts of its own.
    pub texts_of_their_own: bool,
    /// Whether only the first repeat warms up.
    pub warm_up_once: bool,
    /// The order of repeats and combinations.
    pub mode: SweepModeArg,
}

/// A command line for each combination of its lists; nothing where it has none.
///
/// # Errors
/// [`Error::Usage`] for a list that is none of numbers, and for too many combinations.
pub(super) fn expand(words: &[String]) -> Result<Vec<(Parameters, Vec<String>)>> {
    let lists = lists(words)?;
    if lists.is_empty() {
        return Ok(Vec::new());
    }
    let zip = words.iter().any(|w| w == "--sweep-type=zip");
    let rows = if zip { zipped(&lists)? } else { grid(&lists)? };
    Ok(rows
        .into_iter()
        .map(|row| {
            let mut words = words.to_vec();
            let mut parameters = Parameters::new();
            for (list, text) in lists.iter().zip(row) {
                words[list.at] = format!("{}={text}", list.swept.flag);
                parameters.push((list.swept.name, list.setting(text)));
            }
            (parameters, words)
        })
        .collect())
}

struct List<'a> {
    swept: &'static Swept,
    /// Which word it is.
    at: usize,
    values: Vec<&'a str>,
}

impl List<'_> {
    fn setting(&self, text: &str) -> Setting {
        match text.parse::<u64>() {
            Ok(n) if self.swept.whole => Setting::Whole(n),
            _ => Setting::Real(text.parse().unwrap_or(f64::NAN)),
        }
    }
}

fn lists(words: &[String]) -> Result<Vec<List<'_>>> {
    let mut lists = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some((flag, text)) = word.split_once('=') else { continue };
        let Some(swept) = SWEPT.iter().find(|s| s.flag == flag || s.aliases.contains(&flag)) else { continue };
        if !text.contains(',') {
            continue;
        }
        let values: Vec<&str> = text.split(',').map(str::trim).collect();
        if let Some(bad) = values.iter().find(|v| v.parse::<f64>().is_err()) {
            return usage(&format!(
                "{flag} {text}: `{bad}` is no number; a list is numbers between commas, e.g. {flag} 1,2,4"
            ));
        }
        lists.push(List { swept, at, values });
    }
    Ok(lists)
}

fn zipped<'a>(lists: &[List<'a>]) -> Result<Vec<Vec<&'a str>>> {
    let length = lists[0].values.len();
    if let Some(other) = lists.iter().find(|l| l.values.len() != length) {
        return usage(&format!(
            "--sweep-type zip needs lists of one length: {} has {length} values, {} has {}",
            lists[0].swept.flag,
            other.swept.flag,
            other.values.len()
        ));
    }
    Ok((0..length).map(|i| lists.iter().map(|l| l.values[i]).collect()).collect())
}

fn grid<'a>(lists: &[List<'a>]) -> Result<Vec<Vec<&'a str>>> {
    let count = lists.iter().map(|l| l.values.len()).product::<usize>();
    if count > COMBINATIONS_MAX {
        return usage(&format!("the lists make {count} combinations, more than {COMBINATIONS_MAX}: give shorter ones"));
    }
    let mut rows: Vec<Vec<&str>> = vec![vec![]];
    for list in lists {
        rows =
            rows.iter().flat_map(|row| list.values.iter().map(|v| row.iter().copied().chain([*v]).collect())).collect();
    }
    Ok(rows)
}

impl ProfileArgs {
    /// Whether more than one run is asked for.
    pub fn is_series(&self) -> bool {
        self.series.num_profile_runs > 1 || !self.combinations.is_empty()
    }

    /// The runs, with what each of them is.
    ///
    /// # Errors
    /// As [`ProfileArgs::resolve`], of any of them.
    pub fn resolve_series(&self) -> Result<SeriesConfig> {
        let series = &self.series;
        if !(series.confidence_level > 0.0 && series.confidence_level < 1.0) {
            return usage("--confidence-level must lie between 0 and 1, e.g. 0.95");
        }
        let mut base = self.resolve()?;
        if self.random_seed.is_none() && series.num_profile_runs > 1 && !series.no_set_consistent_seed {
            base.seed = Seed(CONSISTENT_SEED);
        }
        let is_sweep = !self.combinations.is_empty();
        let mut cells = Vec::new();
        for (index, (parameters, args)) in (0..).zip(&self.combinations) {
            let mut config = args.resolve()?;
            config.seed = Seed(base.seed.0.wrapping_add(if series.parameter_sweep_same_seed { 0 } else { index }));
            cells.push(Cell { parameters: parameters.clone(), config });
        }
        if cells.is_empty() {
            cells.push(Cell { parameters: Parameters::new(), config: base });
        }
        Ok(SeriesConfig {
            cells,
            is_sweep,
            repeats: series.num_profile_runs,
            confidence: series.confidence_level,
            repeat_pause_ns: non_negative_ns("--profile-run-cooldown-seconds", series.profile_run_cooldown_seconds)?,
            cell_pause_ns: non_negative_ns(
                "--parameter-sweep-cooldown-seconds",
                series.parameter_sweep_cooldown_seconds,
            )?,
            texts_of_their_own: self.prompt.cache_salt == SALT_RUN,
            warm_up_once: !series.no_profile_run_disable_warmup_after_first,
            mode: series.parameter_sweep_mode,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combinations(line: &str) -> Result<Vec<String>> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let named = |(parameters, words): (Parameters, Vec<String>)| {
            let names: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}_{value}")).collect();
            format!("{}: {}", names.join("__"), words.join(" "))
        };
        Ok(expand(&words)?.into_iter().map(named).collect())
    }

    #[test]
    fn lists_become_command_lines() {
        assert_eq!(combinations("--concurrency=4 --isl=9").unwrap(), Vec::<String>::new());
        assert_eq!(
            combinations("p --concurrency=1,2 --streaming").unwrap(),
            ["concurrency_1: p --concurrency=1 --streaming", "concurrency_2: p --concurrency=2 --streaming"]
        );
        let grid = combinations("--request-rate=5,40 --num-requests=3,7").unwrap();
        assert_eq!(grid.len(), 4);
        assert_eq!(grid[1], "rate_5.0__requests_7: --request-rate=5 --request-count=7");
        let zip = combinations("--isl=8,16 --osl=1,2 --sweep-type=zip").unwrap();
        let turns = combinations("--num-sessions=4,5 --session-turns-mean=2,3 --sweep-type=zip").unwrap();
        assert_eq!(turns[1], "sessions_5__turns_3: --num-conversations=5 --conversation-turn-mean=3 --sweep-type=zip");
        assert_eq!(zip[1], "isl_16__osl_2: --synthetic-input-tokens-mean=16 --output-tokens-mean=2 --sweep-type=zip");
    }

    #[test]
    fn lists_that_make_no_sense_are_refused() {
        let refused = |line: &str| combinations(line).unwrap_err().to_string();
        assert!(refused("--concurrency=1,x").contains("`x` is no number"));
        assert!(refused("--concurrency=1,2 --isl=1,2,3 --sweep-type=zip").contains("--concurrency has 2 values"));
        let long = (0..40).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert!(refused(&format!("--concurrency={long} --isl={long}")).contains("1600 combinations"));
    }
}
