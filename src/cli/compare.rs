//! The arguments of `loadline compare`. Spellings are those of the run_comparison that it replaces.

use std::path::PathBuf;

use super::plots::PlotsArgs;
use super::resolve::usage;
use crate::comparison::bootstrap::Resampling;
use crate::comparison::criteria::Bounds;
use crate::comparison::judgement::Question;
use crate::comparison::method::Target;
use crate::error::Result;
use crate::evidence::Sources;
use crate::rng::Seed;

/// Compare methods that choose a deployment: cost, accuracy of their predictions, goodput of what they chose, and regret.
///
/// Each method is a name and one or several directories of results: trees of the original comparison (profile_sla.log,
/// config_with_planner.yaml, raw_data.npz, validation/LEVEL, optimization), aiperf artifact directories, run directories of
/// `profile`, and what `sweep`, `validate` and `goodput` wrote. A directory given later fills in what earlier ones do not tell.
/// Recorded requests go before summaries: goodput is counted from them for --ttft and --itl, and intervals are made of them.
///
/// Errors are (predicted - actual) / actual. Goodput is requests per second that met both targets, per GPU where all GPUs are known.
/// Regret is (best - own) / best, where the best is the best that was measured of any method; where that is 0 regret is undefined,
/// which is not 0. What is not on disk is unknown, wins nothing, and is named.
///
/// Results: a table on standard output, and OUTPUT/comparison_results.json, summary.txt, comparison.html, .csv and .parquet.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CompareArgs {
    /// Results of AIC-ALL, which predicts everything.
    #[arg(long, value_name = "DIR", help_heading = METHODS)]
    pub aic_results: Option<PathBuf>,

    /// Results of Online-ALL, which measures everything.
    #[arg(long, value_name = "DIR", help_heading = METHODS)]
    pub online_results: Option<PathBuf>,

    /// Results of another method; can be given several times, also for one name.
    #[arg(long, value_name = "NAME:DIR", help_heading = METHODS)]
    pub additional_results: Vec<String>,

    /// A deployment that was measured, one of those that methods choose among: it may be the best, and is asked nothing else. Can be given
    /// several times.
    #[arg(long, value_name = "NAME:DIR", help_heading = METHODS)]
    pub candidate: Vec<String>,

    /// A validation.json of a method; can be given several times.
    #[arg(long, value_name = "NAME:FILE", help_heading = METHODS)]
    pub validation_results: Vec<String>,

    /// GPUs of what a method deploys, where its results do not tell; can be given several times.
    #[arg(long, value_name = "NAME:N", help_heading = METHODS)]
    pub gpus: Vec<String>,

    /// The method that measured everything, which others are held against in speed and accuracy. [default: Online-ALL]
    #[arg(long, value_name = "NAME", help_heading = METHODS)]
    pub ground_truth: Option<String>,

    /// The model. [default: as the results say]
    #[arg(short, long, help_heading = QUESTION)]
    pub model: Option<String>,

    /// The serving engine. [default: as the results say]
    #[arg(long, value_name = "NAME", help_heading = QUESTION)]
    pub backend: Option<String>,

    /// Prompt length, in tokens.
    #[arg(long, value_name = "TOKENS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..), help_heading = QUESTION)]
    pub isl: u32,

    /// Answer length, in tokens.
    #[arg(long, value_name = "TOKENS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..), help_heading = QUESTION)]
    pub osl: u32,

    /// Longest time to first token of a good request.
    #[arg(long, value_name = "MS", default_value_t = 500.0, help_heading = QUESTION)]
    pub ttft: f64,

    /// Longest mean time between the tokens of a good request.
    #[arg(long, value_name = "MS", default_value_t = 50.0, help_heading = QUESTION)]
    pub itl: f64,

    /// Confidence of intervals.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, help_heading = STATISTICS)]
    pub confidence: f64,

    /// Resamples of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..=1_000_000), help_heading = STATISTICS)]
    pub resamples: u32,

    /// Seed of the resampling.
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = STATISTICS)]
    pub random_seed: u64,

    /// Share of the wall time of --ground-truth that a method must save.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, help_heading = SUCCESS)]
    pub success_faster: f64,

    /// How much further off a method's TTFT at medium load may be than that of --ground-truth, as a share of the measured TTFT.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, help_heading = SUCCESS)]
    pub success_accuracy: f64,

    /// Regret below which a method succeeds.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, help_heading = SUCCESS)]
    pub success_regret: f64,

    /// Exit with code 1 where a method fails a criterion. One that is undecided has not failed.
    #[arg(long, help_heading = SUCCESS)]
    pub fail_on_criteria: bool,

    /// What standard output gets.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Where to write; files of an earlier comparison there are replaced.
    #[arg(long, value_name = "DIR", default_value = "comparison_results")]
    pub output_dir: PathBuf,

    /// Pictures.
    #[command(flatten)]
    pub plots: PlotsArgs,
}

/// What standard output gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The summary.
    Text,
    /// The content of comparison_results.json.
    Json,
}

const METHODS: &str = "Methods";
const QUESTION: &str = "What is asked of a deployment";
const STATISTICS: &str = "Statistics";
const SUCCESS: &str = "Success";
const EXAMPLES: &str = "\
Examples:
  The original's, on its own result trees:
    loadline run-comparison --aic-results results/aic_all --online-results results/online_all --model Qwen/Qwen3-32B \\
      --backend trtllm --isl 2048 --osl 256 --ttft 500 --itl 50 --output-dir comparison_results

  Three candidates under one trace, as `profile` recorded them, with paired intervals; exit code 1 where one fails a criterion:
    loadline compare --additional-results TP2:runs/tp2 --additional-results TP4:runs/tp4 --additional-results TP8:runs/tp8 \\
      --ground-truth TP8 --fail-on-criteria

  What was predicted, what was measured of it, and what a goodput search found, as one method:
    loadline compare --additional-results mine:sweep_results --additional-results mine:validation_results \\
      --additional-results mine:goodput_results --online-results online";

/// The names of the plan.
const PREDICTS_ALL: &str = "AIC-ALL";
const MEASURES_ALL: &str = "Online-ALL";
/// Longest name of a method.
const NAME_CHARS_MAX: usize = 40;
/// Methods, at most.
const METHODS_MAX: usize = 64;

/// What `compare` is to do.
#[derive(Clone, Debug)]
pub struct CompareConfig {
    /// What is compared, and how.
    pub question: Question,
    /// What to read of each method.
    pub sources: Vec<Sources>,
    /// Whether a failed criterion fails.
    pub fail_on_criteria: bool,
    /// What standard output gets.
    pub format: Format,
    /// Where to write.
    pub output_dir: PathBuf,
    /// Where plots go as pictures.
    pub plots: Option<PathBuf>,
}

impl CompareArgs {
    /// Checks the arguments against each other.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] for what cannot be.
    pub fn resolve(&self) -> Result<CompareConfig> {
        for (flag, ms) in [("--ttft", self.ttft), ("--itl", self.itl)] {
            if !(ms.is_finite() && ms > 0.0) {
                return usage(&format!("{flag} must be milliseconds above 0"));
            }
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return usage("--confidence must lie between 0 and 1");
        }
        for (flag, share) in [
            ("--success-faster", self.success_faster),
            ("--success-accuracy", self.success_accuracy),
            ("--success-regret", self.success_regret),
        ] {
            if !(share.is_finite() && share >= 0.0) {
                return usage(&format!("{flag} must be a share, 0 or more (0.5 is 50 %)"));
            }
        }
        Ok(CompareConfig {
            question: Question {
                model: self.model.clone(),
                backend: self.backend.clone(),
                target: Target { ttft_ms: self.ttft, itl_ms: self.itl, isl: self.isl, osl: self.osl },
                resampling: Resampling {
                    resamples: self.resamples,
                    level: self.confidence,
                    seed: Seed(self.random_seed),
                },
                bounds: Bounds {
                    faster: self.success_faster,
                    accuracy: self.success_accuracy,
                    regret: self.success_regret,
                },
            },
            sources: self.sources()?,
            fail_on_criteria: self.fail_on_criteria,
            format: self.format,
            output_dir: self.output_dir.clone(),
            plots: self.plots.dir.clone(),
        })
    }

    fn sources(&self) -> Result<Vec<Sources>> {
        let mut sources: Vec<Sources> = Vec::new();
        for (name, dir) in [(PREDICTS_ALL, &self.aic_results), (MEASURES_ALL, &self.online_results)] {
            if let Some(dir) = dir {
                sources.push(Sources { name: name.into(), dirs: vec![dir.clone()], ..Sources::default() });
            }
        }
        for given in &self.additional_results {
            let (name, dir) = named("--additional-results", given, "DIR")?;
            of_name(&mut sources, &name).dirs.push(dir.into());
        }
        for given in &self.candidate {
            let (name, dir) = named("--candidate", given, "DIR")?;
            let of = of_name(&mut sources, &name);
            let is_new = of.dirs.is_empty() && of.validations.is_empty();
            if !(of.is_candidate || is_new) {
                return usage(&format!("--candidate: `{}` is a method already", name.escape_default()));
            }
            of.is_candidate = true;
            of.dirs.push(dir.into());
        }
        for given in &self.validation_results {
            let (name, file) = named("--validation-results", given, "FILE")?;
            of_name(&mut sources, &name).validations.push(file.into());
        }
        if sources.is_empty() {
            return usage(
                "give results: --aic-results, --online-results, --additional-results or --validation-results",
            );
        }
        if sources.len() > METHODS_MAX {
            return usage(&format!("more than {METHODS_MAX} methods"));
        }
        let names = sources.iter().map(|s| s.name.clone()).collect::<Vec<_>>().join(", ");
        let known = |sources: &[Sources], flag: &str, name: &str| {
            let at = sources.iter().position(|s| key(&s.name) == key(name));
            at.map_or_else(
                || usage(&format!("{flag}: no results of `{}`; there are {names}", name.escape_default())),
                Ok,
            )
        };
        for given in &self.gpus {
            let (name, gpus) = named("--gpus", given, "N")?;
            let at = known(&sources, "--gpus", &name)?;
            match gpus.parse() {
                Ok(n) if n > 0 => sources[at].gpus = Some(n),
                _ => return usage(&format!("--gpus: `{}` is no number of GPUs", gpus.escape_default())),
            }
        }
        let reference = match &self.ground_truth {
            Some(name) => Some(known(&sources, "--ground-truth", name)?),
            None => sources.iter().position(|s| s.name == MEASURES_ALL),
        };
        if let Some(at) = reference {
            sources[at].is_reference = true;
        }
        Ok(sources)
    }
}

fn named<'a>(flag: &str, given: &'a str, what: &str) -> Result<(String, &'a str)> {
    match given.split_once(':') {
        Some((name, rest)) if !name.trim().is_empty() && !rest.is_empty() => {
            Ok((name.trim().chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect(), rest))
        }
        _ => usage(&format!("{flag}: `{}` is not NAME:{what}", given.escape_default())),
    }
}

/// The method of that name, made if there is none.
fn of_name<'a>(sources: &'a mut Vec<Sources>, name: &str) -> &'a mut Sources {
    let at = sources.iter().position(|s| key(&s.name) == key(name)).unwrap_or_else(|| {
        let name = match key(name).as_str() {
            "aic-all" => PREDICTS_ALL.into(),
            "online-all" => MEASURES_ALL.into(),
            _ => name.to_owned(),
        };
        sources.push(Sources { name, ..Sources::default() });
        sources.len() - 1
    });
    &mut sources[at]
}

/// What names are compared by: the plan, its code and its results have three for each of the two.
fn key(name: &str) -> String {
    let name = name.to_lowercase().replace(['_', ' '], "-");
    match name.as_str() {
        "aic" | "aic-offline" => "aic-all".into(),
        "online" | "online-aiperf" | "profile-all" => "online-all".into(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(line: &str) -> Result<CompareConfig> {
        use clap::Parser;
        let words = ["loadline", "run-comparison"].into_iter().chain(line.split_whitespace());
        match super::super::Cli::try_parse_from(words).map_err(|e| crate::error::Error::Usage(e.to_string()))?.verb {
            super::super::Verb::Compare(args) => args.resolve(),
            _ => unreachable!("the verb is compare"),
        }
    }

    #[test]
    fn the_originals_line_is_understood() {
        let config = resolve(
            "--aic-results a --online-results o --additional-results hybrid:h --validation-results online_aiperf:v.json \
             --model m --backend vllm --isl 3000 --osl 150 --ttft 200 --itl 20 --output-dir out",
        )
        .unwrap();
        let names: Vec<&str> = config.sources.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["AIC-ALL", "Online-ALL", "hybrid"], "the original's name of Online-ALL is no fourth method");
        assert_eq!(config.sources[1].validations, [PathBuf::from("v.json")]);
        assert!(config.sources[1].is_reference && !config.sources[0].is_reference);
        assert_eq!(config.question.target, Target { ttft_ms: 200.0, itl_ms: 20.0, isl: 3000, osl: 150 });
        assert_eq!(config.question.bounds, Bounds::default());
    }

    #[test]
    fn one_name_is_one_method_and_any_can_be_the_reference() {
        let config = resolve(
            "--additional-results x:C:/a --additional-results x:b --additional-results y:c --ground-truth X --gpus y:4",
        )
        .unwrap();
        assert_eq!(config.sources.len(), 2);
        assert_eq!(config.sources[0].dirs, [PathBuf::from("C:/a"), PathBuf::from("b")]);
        assert!(config.sources[0].is_reference && config.sources[1].gpus == Some(4));
    }

    #[test]
    fn a_candidate_is_no_method_and_no_method_a_candidate() {
        let config = resolve("--aic-results a --candidate TP2:b --candidate TP2:c").unwrap();
        assert_eq!(config.sources.iter().map(|s| s.is_candidate).collect::<Vec<_>>(), [false, true]);
        assert_eq!(config.sources[1].dirs.len(), 2);
        let refused = resolve("--aic-results a --candidate AIC-ALL:b").unwrap_err().to_string();
        assert!(refused.contains("is a method already"), "{refused}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_remedy() {
        for (line, says) in [
            ("", "give results"),
            ("--additional-results nowhere", "NAME:DIR"),
            ("--aic-results a --ground-truth b", "there are AIC-ALL"),
            ("--aic-results a --gpus AIC-ALL:none", "no number of GPUs"),
            ("--aic-results a --confidence 1", "--confidence"),
            ("--aic-results a --ttft 0", "--ttft"),
            ("--aic-results a --success-regret=-1", "success-regret"),
        ] {
            let error = resolve(line).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
