//! `loadline serve` that also keeps a log: turns the answers it gave into a file with the time of every event.
//!
//! Takes the flags of `serve`, and `--core` and `--log`. Runs until its standard input ends, then writes a line per
//! request: X-Request-Id, the time at which the kernel had received it (nanoseconds of CLOCK_MONOTONIC; `-` where it gave
//! none), that at which its body had been read, and the events' distances from the latter, in nanoseconds.
//! `scripts/bench-peers` takes this as the truth that clients are held against.

#![allow(missing_docs, clippy::print_stdout, reason = "an example is a program that prints, and has no interface")]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;

use clap::Parser;
use loadline::cli::serve::ServeArgs;
use loadline::sim::config::ServeConfig;
use loadline::sim::server::spawn;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    serve: ServeArgs,
    /// Core to pin the server to.
    #[arg(long)]
    core: Option<usize>,
    /// File to write.
    #[arg(long)]
    log: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let server = spawn(&ServeConfig { oracle: true, core: args.core, ..args.serve.resolve()? })?;
    println!("{}", server.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let oracle = server.finish()?;
    let mut log = BufWriter::new(File::create(args.log)?);
    for request in &oracle.requests {
        let arrived = request.arrived_ns.map_or_else(|| "-".into(), |ns| ns.to_string());
        write!(log, "{} {arrived} {}", request.x_request_id, request.received_ns)?;
        for event_ns in &request.events_ns {
            write!(log, " {}", event_ns - request.received_ns)?;
        }
        writeln!(log)?;
    }
    log.flush()?;
    if oracle.lost > 0 {
        return Err(format!("{} stamps or requests found no room: the log is not whole", oracle.lost).into());
    }
    Ok(())
}
