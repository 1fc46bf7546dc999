//! `loadline sweep --online`: deploys and measures one size after the other, prints and writes what came of it.

mod bench;
mod candidate;

use std::sync::Arc;

use bench::OnlineBench;
use candidate::Measuring;

use super::write;
use crate::cli::online::OnlineConfig;
use crate::cli::sweep::SweepFormat;
use crate::commands::interrupt::Interrupts;
use crate::comparison::measured_sweep::{self, MeasuredPoint, MeasuredPrefill, Recommendation};
use crate::comparison::profiled::{MeasuredSweep, Profiled, State};
use crate::comparison::selection::{Candidate, Choice, Method};
use crate::engine::stop::{Stop, StopSwitch};
use crate::error::{Error, ExitCode, Result};
use crate::export::online as export;
use crate::profiler::results::log::{self, Mapping};
use crate::profiler::results::planner::Suggestion;
use crate::profiler::results::suggest;
use crate::profiler::results::tables::{DecodeTable, PrefillTable};
use crate::report::terminal::Style;
use crate::report::{online as report, out, sweep::log_time};
use crate::rng::Stream;
use crate::time::{Clock, SECOND_NS, SystemClock};

/// Measures. Exit code 1 where nothing that was measured meets the SLA, 4 where the user stopped it.
///
/// # Errors
/// [`Error::Endpoint`] where no deployment answered, [`Error::Usage`] where one cannot be started at all, [`Error::Io`] for files.
pub(in crate::commands) fn run(config: &OnlineConfig, command: &[String], style: Style) -> Result<ExitCode> {
    let clock = SystemClock::starting_in(0);
    let switch = Arc::new(StopSwitch::default());
    let _interrupts = Interrupts::listen(Arc::clone(&switch), |_| {})?;
    let mut measuring = Measuring::new(config, command, style, &switch);
    let Swept { mut candidates, broken, chosen } = match config.method {
        None => sweep(config, &mut measuring),
        Some(method) => choose(config, method, &mut measuring)?,
    };
    let broken = match broken {
        Some(error) if candidates.iter().all(|c| c.state == State::NotMeasured) => return Err(error),
        broken => broken,
    };
    let too_large = |size: &(u32, u32)| Profiled::not_measured(*size, "none", "it takes more than --max-gpus");
    candidates.extend(config.too_large.iter().map(too_large));
    let mut notes = config.notes.clone();
    notes.append(&mut measuring.notes);
    let points: Vec<MeasuredPoint> = candidates.iter().flat_map(|c| c.points.iter().copied()).collect();
    let recommendation = measured_sweep::recommend(&points, config.bounds);
    let files = suggested(config, &candidates, &points, &mut notes)?;
    let online = MeasuredSweep {
        model: &config.model,
        gpu: &config.gpu,
        backend: config.backend.as_str(),
        isl: config.isl,
        osl: config.osl,
        bounds: config.bounds,
        max_gpus: config.max_gpus,
        candidates: &candidates,
        recommendation: recommendation.as_ref(),
        wall_s: clock.now_ns() as f64 / SECOND_NS as f64,
        notes: &notes,
    };
    let internal = |e: serde_json::Error| Error::Internal(e.to_string());
    let json = serde_json::to_string_pretty(&export::json(&online)).map_err(internal)? + "\n";
    let csv = export::csv(&online);
    write(&config.output_dir, export::JSON_NAME, json.as_bytes())?;
    write(&config.output_dir, export::CSV_NAME, csv.as_bytes())?;
    for (name, bytes) in files {
        write(&config.output_dir, name, &bytes)?;
    }
    let mut text = report::render(&online, style);
    let mut printed = json;
    if let Some((method, among, choice)) = &chosen {
        let selection = export::selection(among, choice, (method, &config.budget, config.seed), online.clock());
        printed = serde_json::to_string_pretty(&selection).map_err(internal)? + "\n";
        write(&config.output_dir, export::SELECTION_NAME, printed.as_bytes())?;
        text = report::selection(among, choice, online.clock(), style) + &text;
    }
    out::stderr(&format!("Written to {}\n", config.output_dir.display()))?;
    out::stdout(&match config.format {
        SweepFormat::Text => text,
        SweepFormat::Json => printed,
        SweepFormat::Csv => csv,
    })?;
    match (broken, &chosen) {
        (Some(error), _) => Err(error),
        (None, Some((_, among, choice))) if switch.asked() == Stop::No => code_of_choice(among, choice, &candidates),
        (None, _) => code(&candidates, recommendation.as_ref(), switch.asked() != Stop::No),
    }
}

/// What was measured, and how that ended.
struct Swept {
    candidates: Vec<Profiled>,
    /// What no further size can be measured for.
    broken: Option<Error>,
    /// Of a method: itself, what it chose among, and its choice.
    chosen: Option<(&'static Method, Vec<Candidate>, Choice)>,
}

/// Every size, in full.
fn sweep(config: &OnlineConfig, measuring: &mut Measuring<'_>) -> Swept {
    let mut candidates: Vec<Profiled> = Vec::new();
    let mut broken: Option<Error> = None;
    for candidate in &config.candidates {
        let missing = |why: &str| Profiled::not_measured(candidate.size(), candidate.recipe.kind(), why);
        candidates.push(if let Some(error) = &broken {
            missing(&format!("the sweep ended before it: {error}"))
        } else if measuring.is_stopped() {
            missing("the sweep was interrupted before it")
        } else {
            measuring.measure(candidate).unwrap_or_else(|error| {
                let lost = missing(&error.to_string());
                broken = Some(error);
                lost
            })
        });
    }
    Swept { candidates, broken, chosen: None }
}

/// What a method asks for.
fn choose<'a>(config: &'a OnlineConfig, method: &'static Method, measuring: &mut Measuring<'a>) -> Result<Swept> {
    let mut bench = OnlineBench::new(config, measuring)?;
    let choice = method.choose(&mut bench, &config.budget, &mut config.seed.stream(Stream::Selection))?;
    let (among, candidates) = bench.finish()?;
    Ok(Swept { candidates, broken: None, chosen: Some((method, among, choice)) })
}

/// As [`code`], of the candidate that was chosen; what was only predicted of it counts where it was not measured.
fn code_of_choice(among: &[Candidate], choice: &Choice, candidates: &[Profiled]) -> Result<ExitCode> {
    if !choice.steps.is_empty() && choice.steps.iter().all(|step| step.value.is_none()) {
        return code(candidates, None, false);
    }
    let value = choice.chosen.and_then(|c| {
        let last = choice.steps.iter().rev().find(|step| step.candidate == c);
        last.map_or(among[c].predicted, |step| step.value)
    });
    Ok(if value.is_some_and(|v| v > 0.0) { ExitCode::Ok } else { ExitCode::ThresholdFailed })
}

fn code(candidates: &[Profiled], recommendation: Option<&Recommendation>, is_interrupted: bool) -> Result<ExitCode> {
    match recommendation {
        // What is missing could have been better.
        _ if is_interrupted => Ok(ExitCode::Internal),
        Some(Recommendation::Deploy { .. }) => Ok(ExitCode::Ok),
        Some(Recommendation::Infeasible { .. }) => Ok(ExitCode::ThresholdFailed),
        None => {
            let failed = candidates.iter().filter(|c| c.state == State::Failed).find_map(|c| c.reason.clone());
            Err(Error::Endpoint(failed.unwrap_or_else(|| "no deployment answered".into())))
        }
    }
}

/// What Dynamo's profiler would leave; the log alone where nothing can be suggested.
fn suggested(
    config: &OnlineConfig,
    candidates: &[Profiled],
    points: &[MeasuredPoint],
    notes: &mut Vec<String>,
) -> Result<suggest::Files> {
    let mut log = log_of(config, candidates);
    let prefills: Vec<MeasuredPrefill> = candidates.iter().flat_map(|c| c.prefill.iter().copied()).collect();
    let chosen = measured_sweep::best_prefill(&prefills, config.isl, config.bounds)
        .zip(measured_sweep::best_decode(points, config.bounds));
    let Some((p, d)) = chosen else { return Ok(vec![("profile_sla.log", log.into_bytes())]) };
    let at = |c: &Profiled| c.ended_ns;
    let end = log_time(candidates.iter().map(at).max().unwrap_or(0));
    let mapping = |tp: u32, gpus, latency_ms, tokens_per_s_per_gpu| Mapping {
        label: format!("TP{tp}"),
        gpus: Some(gpus),
        latency_ms,
        tokens_per_s_per_gpu,
    };
    log += &log::write(
        &mapping(p.tp, p.gpus, p.ttft_ms, p.tokens_per_s_per_gpu()),
        &mapping(d.tp, d.gpus, d.itl_ms.unwrap_or(0.0), d.tokens_per_s_per_gpu()),
        &end,
    );
    let of = |tp| candidates.iter().find(|c| c.tp == tp);
    let (Some(prefill), Some(decode)) = (of(p.tp).map(prefill_table), of(d.tp).map(|c| decode_table(c, config))) else {
        return Err(Error::Internal("what was chosen was not measured".into()));
    };
    notes.push(format!(
        "The planner's decode table has one context, of {} tokens, and {:.0} tokens of KV cache: {}.",
        decode.context_tokens.first().copied().unwrap_or(0.0),
        decode.max_kv_tokens,
        if of(d.tp).is_some_and(|c| c.is_saturated) {
            "those in flight where throughput stopped to grow"
        } else {
            "no fewer, for throughput still grew at the largest load"
        }
    ));
    suggest::folder(
        log,
        &Suggestion {
            model: &config.model,
            backend: config.backend,
            prefill_tp: p.tp,
            decode_tp: d.tp,
            ttft_ms: config.bounds.ttft_ms,
            itl_ms: config.bounds.itl_ms,
            max_gpus: config.max_gpus,
            prefill: &prefill,
            decode: &decode,
        },
    )
}

/// When each deployment began, was ready and ended.
fn log_of(config: &OnlineConfig, candidates: &[Profiled]) -> String {
    let mut log = String::new();
    for c in candidates.iter().filter(|c| c.state != State::NotMeasured) {
        let clock = if c.is_simulated() { ", times are simulated ones" } else { "" };
        let starts = format!("Deployment TP{} of {} starts ({}{clock})", c.tp, config.model, c.deployment);
        log += &log::line(&log_time(c.started_ns), &starts);
        if let Some(ready_at_ns) = c.ready_at_ns {
            log += &log::line(&log_time(ready_at_ns), &format!("Deployment TP{} is ready", c.tp));
        }
        let how = c.reason.as_deref().unwrap_or("measured");
        log += &log::line(&log_time(c.ended_ns), &format!("Deployment TP{} ended: {}", c.tp, how.replace('\n', " ")));
    }
    log
}

fn prefill_table(c: &Profiled) -> PrefillTable {
    PrefillTable {
        isl: c.prefill.iter().map(|p| p.isl_tokens.into()).collect(),
        ttft_ms: c.prefill.iter().map(|p| p.ttft_ms).collect(),
        tokens_per_s_per_gpu: c.prefill.iter().map(MeasuredPrefill::tokens_per_s_per_gpu).collect(),
    }
}

/// The loads up to the capacity: what is beyond waits, and has no share of the cache.
fn decode_table(c: &Profiled, config: &OnlineConfig) -> DecodeTable {
    let context = f64::from(config.isl) + f64::from(config.osl) / 2.0;
    let max_kv_tokens = f64::from(c.capacity) * context;
    let mut table = DecodeTable { max_kv_tokens, ..DecodeTable::default() };
    for (p, itl_ms) in c.points.iter().filter(|p| p.batch <= c.capacity).filter_map(|p| Some((p, p.itl_ms?))) {
        table.kv_usage.push(f64::from(p.batch) * context / max_kv_tokens);
        table.context_tokens.push(context);
        table.itl_ms.push(itl_ms);
        table.tokens_per_s_per_gpu.push(p.tokens_per_s_per_gpu());
    }
    table
}
