//! Prints what the constants of aggregated serving are fitted on, for `scripts/fit_serving.py`: a table of measured points → its terms.
//!
//!     cargo run --example serving_terms measured.csv > terms.csv

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a script")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("usage: serving_terms POINTS.csv");
        return ExitCode::from(2);
    };
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"));
    match text.and_then(|text| loadline::profiler::points::terms(&file, &text).map_err(|e| e.to_string())) {
        Ok(csv) => {
            print!("{csv}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
