//! loadline drives a precise open-loop load into an OpenAI-compatible endpoint, records the time of every token, and
//! tells what the deployment can carry within its SLO.
//!
//! ```text
//! trace ──► schedule ──► engine ──► record ──► metrics ──► analysis ──► report / export
//! what       what × when   obeys      Parquet    numbers     answers      people / programs
//!            (arrival)
//! ```
//!
//! 1. The **schedule** is complete before the first byte is sent: what is asked, and at which nanosecond. Later turns
//!    of a session and closed-loop load are slots too, released by a completion instead of by the clock.
//! 2. The **engine** obeys the schedule and records what it saw. It computes no metric and prints nothing.
//! 3. The **recording** is the only bridge: `profile`, then `report` on its files alone, gives the same numbers, byte
//!    for byte.
//!
//! The law of conservation: every scheduled request ends in exactly one outcome, and
//! `scheduled = completed + failed + cancelled + not sent`.

// The core nouns.
pub mod error;
pub mod outcome;
pub mod rng;
pub mod time;

// The pipeline, in the order in which a run passes through it.
pub mod trace;
pub mod arrival;
pub mod prompt;
pub mod schedule;
pub mod wire;
pub mod endpoint;
pub mod engine;
pub mod record;
pub mod telemetry;
pub mod metrics;
pub mod analysis;
pub mod comparison;
pub mod inspection;
pub mod evidence;
pub mod export;
pub mod report;

// Predictions, and the deployment that is simulated from them.
pub mod profiler;
pub mod sim;
pub mod forecast;

// What this host's client can do, measured against that deployment.
pub mod calibration;

// Many command lines as one.
pub mod plan;

// Started, measured, and stopped.
pub mod deployment;

// The program around it.
pub mod cli;
pub mod commands;

#[cfg(test)]
#[path = "../tests/support/shared.rs"]
mod published;
