//! Parses the command line, executes it, and turns an error into an exit code.

use std::io::IsTerminal;

use clap::Parser;
use loadline::cli::{self, Cli};
use loadline::commands;
use loadline::report::out;

/// The workers of a run allocate a little per request, all at the same time; this allocator has a heap per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let style = cli::style(std::io::stdout().is_terminal());
    let code = match commands::execute(&cli, std::env::args(), style) {
        Ok(code) => code,
        Err(error) => {
            // When standard error is closed, the exit code still tells.
            let _ = out::stderr(&format!("error: {error}\n"));
            error.exit_code()
        }
    };
    std::process::ExitCode::from(code as u8)
}
