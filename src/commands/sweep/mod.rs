//! `loadline sweep`: predicts, plays through, prints, and writes the files; or scores a table of points.

mod aic;
pub(super) mod regret;
pub(super) mod online;

use std::path::Path;

use crate::cli::sweep::{Measured, SweepConfig, SweepFormat, UnderLoadConfig};
use crate::commands::plots;
use crate::error::{Error, ExitCode, Result};
use crate::export::sweep as export;
use crate::forecast::workload::Requests;
use crate::forecast::{Forecast, Question};
use crate::profiler::aic::{KernelTables, Spoken};
use crate::profiler::calibrate::file::ProfileFile;
use crate::profiler::calibrate::{self, observe};
use crate::profiler::capacity::Engine;
use crate::profiler::recommend::Recommendation;
use crate::profiler::results::suggest;
use crate::profiler::sweep::{Spec, Sweep};
use crate::report::sweep::Answer;
use crate::report::terminal::Style;
use crate::report::{html, out, points as report_of_points, sweep as report};
use crate::time::realtime_ns;
use crate::trace;

/// Answers a sweep. Exit code 1 where nothing meets the SLA.
///
/// # Errors
/// Those of [`Spec::sweep`] and of the trace, and [`Error::Io`] for files that cannot be written.
pub fn run(config: &SweepConfig, command: &[String], style: Style) -> Result<ExitCode> {
    let mut notes = config.notes.clone();
    let profile = match &config.measured {
        Some(measured) => Some(profile(&config.spec, measured, &mut notes)?),
        None => None,
    };
    let spec =
        &profile.as_ref().map_or_else(|| config.spec.clone(), |p| config.spec.calibrated(p, config.handoff_given));
    let sweep = spec.sweep()?;
    let kernels = spec.spoken(&sweep);
    notes.extend(kernels.as_ref().map(|(tables, spoken)| note_of_tables(tables, spoken)));
    let forecasts = match &config.under_load {
        Some(under_load) => play(spec, &sweep, under_load, &mut notes)?,
        None => Vec::new(),
    };
    let aic = config.ask_aic.then(|| aic::ask(spec));
    if let Some(Err(reason)) = &aic {
        notes.push(format!("AI Configurator was not used: {reason}."));
    }
    let aic = aic.and_then(std::result::Result::ok);
    let answer = Answer {
        spec,
        sweep: &sweep,
        forecasts: &forecasts,
        profile: profile.as_ref(),
        aic: aic.as_ref(),
        gpu_hour_price: config.gpu_hour_price,
        notes: &notes,
    };
    let mut json = export::json(spec, &sweep, &forecasts, config.gpu_hour_price, &notes)?;
    json["profile"] = serde_json::to_value(&profile).map_err(|e| Error::Internal(e.to_string()))?;
    json["kernels"] = kernels.map_or(
        serde_json::Value::Null,
        |(tables, spoken)| serde_json::json!({"dir": tables.dir, "files": tables.sources, "operators": spoken}),
    );
    json["aiconfigurator"] = aic.as_ref().map_or(serde_json::Value::Null, |table| {
        serde_json::json!({
            "kernels_version": table.version,
            "left_out": table.left_out,
            "topologies": table.points.iter().map(|p| export::point(p, spec, config.gpu_hour_price)).collect::<Vec<_>>(),
        })
    });
    let json = serde_json::to_string_pretty(&json).map_err(|e| Error::Internal(e.to_string()))? + "\n";
    let csv = export::csv(spec, &sweep);
    let page = html::sweep::render(&answer);
    if let Some(dir) = &config.output_dir {
        write(dir, "sweep.json", json.as_bytes())?;
        write(dir, "sweep.csv", csv.as_bytes())?;
        write(dir, "sweep.html", page.text.as_bytes())?;
        for (name, bytes) in suggest::files(spec, &sweep, &report::log_time(realtime_ns()))? {
            write(dir, name, &bytes)?;
        }
        out::stderr(&format!("Written to {}\n", dir.display()))?;
    }
    if let Some(dir) = &config.plots {
        plots::write(&page, command, dir)?;
    }
    out::stdout(&match config.format {
        SweepFormat::Text => report::render(&answer, style),
        SweepFormat::Json => json,
        SweepFormat::Csv => csv,
    })?;
    Ok(match sweep.recommendation {
        Recommendation::Deploy { .. } => ExitCode::Ok,
        Recommendation::Infeasible { .. } => ExitCode::ThresholdFailed,
    })
}

fn note_of_tables(tables: &KernelTables, spoken: &Spoken) -> String {
    let files: Vec<String> = tables.sources.iter().map(|s| format!("{} of {}", s.table, s.version)).collect();
    let rest = match spoken.constants.join(", ") {
        none if none.is_empty() => "nothing falls back to loadline's own constants".into(),
        some => format!("from loadline's own constants: {some}"),
    };
    let from_tables = spoken.tables.join(", ");
    format!(
        "Kernel times from the tables below {}: {from_tables} ({}); {rest}. Element-wise kernels by formula.",
        tables.dir.display(),
        files.join(", ")
    )
}

/// What was measured of the deployment: fitted now, or earlier.
fn profile(spec: &Spec, measured: &Measured, notes: &mut Vec<String>) -> Result<ProfileFile> {
    let (model, gpu, backend) = (spec.model.names[0], spec.gpu.name, spec.backend.as_str());
    let (dirs, output) = match measured {
        Measured::File(path) => {
            let file = ProfileFile::load(path)?;
            file.must_fit(model, gpu, backend)?;
            return Ok(file);
        }
        Measured::Runs { dirs, output } => (dirs, output),
    };
    let observed = observe::read(dirs)?;
    notes.extend(observed.notes);
    let first = spec.tps.first().copied().unwrap_or(1);
    let (prefill_tp, decode_tp) = (observed.prefill_tp.unwrap_or(first), observed.decode_tp.unwrap_or(first));
    let engine = |tp| Engine::new(spec.model, spec.gpu, spec.backend, tp);
    let (calibration, held_out) = calibrate::fit(&observed.observations, &engine(prefill_tp)?, &engine(decode_tp)?);
    let file = ProfileFile {
        schema: ProfileFile::schema(),
        model: model.into(),
        gpu: gpu.into(),
        backend: backend.into(),
        prefill_tp,
        decode_tp,
        calibration,
        held_out,
        sources: dirs.iter().map(|d| d.display().to_string()).collect(),
    };
    if let Some(path) = output {
        std::fs::write(path, file.to_text()?).map_err(Error::io(path))?;
        out::stderr(&format!("Profile written to {}\n", path.display()))?;
    }
    Ok(file)
}

/// Plays the recommended topology and the runner-up through.
fn play(spec: &Spec, sweep: &Sweep, config: &UnderLoadConfig, notes: &mut Vec<String>) -> Result<Vec<Forecast>> {
    let requests = match &config.trace {
        Some((path, options, transforms)) => {
            let mut trace = trace::read(path, options)?;
            transforms.apply(&mut trace, config.seed)?;
            notes.extend(trace.notes.iter().cloned());
            Some(Requests::of(&trace, spec.workload))
        }
        None => None,
    };
    if let Some(r) = &requests {
        notes.push(format!(
            "The trace: {} requests played through, {} without a time of their own left out, {} without an answer's length \
             given {} tokens.",
            r.arrivals.len(),
            r.untimed,
            r.unsized_answers,
            spec.workload.osl_tokens
        ));
    }
    let question = Question { spec, attainment: config.attainment, seed: config.seed, trace: requests.as_ref() };
    let points = match &sweep.recommendation {
        Recommendation::Deploy { best, runner_up } => [Some(*best), runner_up.map(|r| r.point)],
        Recommendation::Infeasible { nearest, .. } => [*nearest, None],
    };
    points.iter().flatten().map(|point| question.forecast(point)).collect()
}

/// Scores a table of points: prints the errors, and writes the table to `output`, or prints it where there is none.
///
/// # Errors
/// A file that cannot be read or written, or that is no table of points.
pub fn score(points: &Path, output: Option<&Path>, style: Style) -> Result<ExitCode> {
    let text = std::fs::read_to_string(points).map_err(Error::io(points))?;
    let scored = crate::profiler::points::score(&points.display().to_string(), &text)?;
    if let Some(path) = output {
        std::fs::write(path, &scored.csv).map_err(Error::io(path))?;
        let written = path.display().to_string();
        out::stdout(&report_of_points::render(&scored, Some(&written), style))?;
    } else {
        out::stdout(&scored.csv)?;
        out::stderr(&report_of_points::render(&scored, None, style))?;
    }
    Ok(ExitCode::Ok)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    std::fs::write(&path, bytes).map_err(Error::io(&path))
}
