//! `loadline serve`: runs a simulated deployment until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::serve::ServeArgs;
use crate::engine::limits;
use crate::error::{Error, Result};
use crate::report::out;
use crate::sim::oracle::ServerCounts;
use crate::sim::{oracle_files, server};

/// Starts the server, calls `on_ready` with its URL once it listens, and runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// Those of [`server::spawn`], and [`Error::Internal`] where the server fails while it runs.
pub fn run(args: &ServeArgs, on_ready: &mut dyn FnMut(&str)) -> Result<()> {
    limits::raise_open_files();
    let internal = |e: std::io::Error| Error::Internal(format!("cannot wait for signals: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(internal)?;
    runtime.block_on(async {
        // Before the server, so that a signal that comes while it starts is not lost.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(internal)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(internal)?;
        let mut handle = server::spawn(&args.resolve()?)?;
        on_ready(&handle.url());
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = handle.ended() => {}
        }
        let seen = handle.shutdown()?;
        out::stderr(&cost(handle.counts(), seen.cpu_ns))?;
        let Some(dir) = &args.oracle else { return Ok(()) };
        oracle_files::write(&seen, dir)?;
        if seen.lost > 0 {
            out::stderr(&format!("{} requests and events found no room in the oracle\n", seen.lost))?;
        }
        Ok(())
    })
}

/// What the server did, and what that cost: the same figures as at its `/metrics`.
fn cost(counts: ServerCounts, cpu_ns: i64) -> String {
    let ServerCounts { requests, events, .. } = counts;
    let cpu_s = cpu_ns as f64 / 1e9;
    let each = match events {
        0 => String::new(),
        n => format!(
            " ({:.2} µs of CPU time per event, {:.0} events per CPU second)",
            cpu_s * 1e6 / n as f64,
            n as f64 / cpu_s
        ),
    };
    format!("served {requests} requests and {events} events in {cpu_s:.2} s of CPU time{each}\n")
}
