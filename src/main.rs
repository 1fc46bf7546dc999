//! Parses the command line, executes it, and turns an error into an exit code.

use std::io::IsTerminal;

use loadline::cli::{self, Unread};
use loadline::commands;
use loadline::error::{ExitCode, Result};
use loadline::report::out;

/// The workers of a run allocate a little per request, all at the same time; this allocator has a heap per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // The allocator asks for huge pages, of which a short run fills a few kilobytes each: three times the memory for no
    // time that could be measured. A kernel that knows none refuses.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let code = match cli::parse(std::env::args_os()) {
        Ok(parsed) => execute(&parsed),
        Err(Unread::Error(error)) => Err(error),
        Err(Unread::Clap { error, notes }) => {
            // A reader that went away has no use for the help.
            let _ = error.print();
            let _ = tell(&notes);
            return std::process::ExitCode::from(error.exit_code() as u8);
        }
    };
    let code = code.unwrap_or_else(|error| {
        // When standard error is closed, the exit code still tells.
        let _ = out::stderr(&format!("error: {error}\n"));
        error.exit_code()
    });
    std::process::ExitCode::from(code as u8)
}

fn execute(parsed: &cli::Parsed) -> Result<ExitCode> {
    tell(&parsed.notes)?;
    let style = cli::style(std::io::stdout().is_terminal());
    commands::execute(&parsed.cli, std::env::args(), style)
}

fn tell(notes: &[String]) -> Result<()> {
    out::stderr(&notes.iter().map(|note| format!("note: {note}\n")).collect::<String>())
}
