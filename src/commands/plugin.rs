//! Hands a run directory to an analysis that is not part of this program, as git does with its verbs.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::cli::plugin::PluginCall;
use crate::error::{Error, ExitCode, Result};
use crate::record::manifest::Manifest;

/// Becomes the program: its output, its exit code and what signals do to it are its own. Returns where that cannot be.
///
/// # Errors
/// [`Error::Usage`] where there is no such program, those of [`Manifest::read`] for a directory that holds no run, and
/// [`Error::Internal`] where the system does not start it.
pub(super) fn run(call: &PluginCall) -> Result<ExitCode> {
    let unknown = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => {
            Error::Usage(format!("{}; nor is `{}` on the PATH", call.unknown, call.program))
        }
        _ => Error::Internal(format!("{} cannot be started: {source}", call.program)),
    };
    let manifest = match Manifest::read(&call.run_dir) {
        // A mistyped verb is likelier than a plug-in without a run.
        Err(Error::Io { .. }) if !call.run_dir.exists() => {
            return Err(Error::Usage(format!("{}; nor is there a directory {}", call.unknown, call.run_dir.display())));
        }
        read => read?,
    };
    let dir = std::path::absolute(&call.run_dir).map_err(Error::io(&call.run_dir))?;
    let mut program = Command::new(&call.program);
    program.arg(&call.run_dir).args(&call.args);
    program.env("LOADLINE_RUN_DIR", dir);
    program.env("LOADLINE_SCHEMA_VERSION", manifest.schema_version.to_string());
    Err(unknown(program.exec()))
}
