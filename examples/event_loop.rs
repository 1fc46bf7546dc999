//! Feeds N stream events from memory through flight and recorder, one event a read: what an event costs in instructions.
//!
//! `scripts/callgrind-event` runs it for two N and takes the difference, so that what is not per event cancels out.

#![allow(missing_docs, clippy::print_stdout, reason = "an example is a program that prints, and has no interface")]

use loadline::engine::flight::Flight;
use loadline::engine::transport::ReadStamp;
use loadline::record::ring::{Parcel, ring};

const EVENT: &[u8] = b"data: {\"id\":\"chatcmpl-b2e93dcd-0e30-4bc4-baf6-669c822cc21f\",\"choices\":[{\"index\":0,\"delta\":{\
    \"content\":\" log\"},\"finish_reason\":null,\"logprobs\":null}],\"created\":1795491094,\"model\":\"Qwen/Qwen3-32B\",\
    \"object\":\"chat.completion.chunk\"}\n\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events: u32 = std::env::args().nth(1).ok_or("usage: event_loop EVENTS")?.parse()?;
    let (mut recorder, mut intake) = ring(64);
    let mut flight = Flight::default();
    flight.begin(0, 0, 0, None);
    flight.on_head(200, true);
    let mut seen = 0;
    for n in 0..events {
        let stamp = ReadStamp { t_ns: i64::from(n), kernel_ns: Some(i64::from(n)), read: n };
        seen += flight.on_body(EVENT, stamp, &mut recorder);
        while let Some(parcel) = intake.pop() {
            if let Parcel::Tokens(chunk) = parcel {
                intake.recycle(chunk);
            }
        }
    }
    if seen != events {
        return Err(format!("{seen} of {events} events were seen").into());
    }
    println!("{seen}");
    Ok(())
}
