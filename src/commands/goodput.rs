//! `loadline goodput`: searches, with a run of `profile` for each look at a rate.

use super::{plots, profile};
use crate::cli::goodput::GoodputConfig;
use crate::comparison::goodput_search::search;
use crate::comparison::levels::Load;
use crate::comparison::steady_state::met;
use crate::error::{Error, ExitCode, Result};
use crate::export::goodput as export;
use crate::record::manifest::RunState;
use crate::record::reader::{Recording, Rows};
use crate::report::terminal::Style;
use crate::report::{goodput as report, html, out};

/// Searches. Exit code 1 where the answer is unresolved and that was to fail.
///
/// # Errors
/// Those of `profile`, and [`Error::Io`] for a file that cannot be written.
pub fn run(config: &GoodputConfig, command: &[String], style: Style) -> Result<ExitCode> {
    let mut look = 0;
    let found = search(&config.question, &mut |rate_rps, requests| {
        let dir = config.output_dir.join(format!("goodput/look_{:03}", look + 1));
        out::stderr(&format!("{rate_rps:.4} requests per second, {requests} requests …\n"))?;
        profile::run(&config.run(rate_rps, requests, look, dir.clone()), command.to_vec(), style)?;
        look += 1;
        let recording = Recording::open(&dir)?;
        if recording.manifest().state == RunState::Interrupted {
            return Ok(None);
        }
        met(&recording, Load::Rate(rate_rps)).map(Some)
    })?;
    let url = config.base.destination.place();
    let model = &config.base.request.model;
    let json = export::json(&export::Searched {
        asked: config.target.asked(model, &url),
        seed: config.base.seed.0,
        question: &config.question,
        found: &found,
    });
    let title = format!("{model} at {url}: goodput search");
    let about = config.target.about(command);
    let path = config.output_dir.join(export::FILE_NAME);
    std::fs::create_dir_all(&config.output_dir).map_err(Error::io(&config.output_dir))?;
    let text = serde_json::to_string_pretty(&json).map_err(|e| Error::Internal(e.to_string()))? + "\n";
    std::fs::write(&path, text).map_err(Error::io(&path))?;
    let page = html::goodput::render(&title, &about, &config.question, &found);
    let page_path = config.output_dir.join("goodput.html");
    std::fs::write(&page_path, &page.text).map_err(Error::io(&page_path))?;
    out::stdout(&report::render(&title, &config.question, &found, style))?;
    out::stderr(&format!("Written to {} and {}\n", path.display(), page_path.display()))?;
    if let Some(dir) = &config.plots {
        plots::write(&page, command, dir)?;
    }
    let fails = config.fail_unresolved && !found.is_resolved;
    Ok(if fails { ExitCode::ThresholdFailed } else { ExitCode::Ok })
}
