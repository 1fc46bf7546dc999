//! Faults of the simulated deployment, as a client sees them, and its oracle as files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::HashMap;

use loadline::outcome::{EventKind, Outcome};
use loadline::record::manifest::Manifest;
use loadline::record::row::{RequestRow, TokenRow};
use loadline::sim::config::ServeConfig;
use loadline::sim::fault::FaultRule;
use loadline::sim::oracle_files;
use loadline::sim::server::{ServerHandle, spawn};
use support::{Scratch, rows, run_expecting};

fn server(config: ServeConfig) -> ServerHandle {
    spawn(&ServeConfig { tp: 8, speedup: 20.0, ..config }).unwrap()
}

fn profile(server: &ServerHandle, more: &str) -> Vec<(RequestRow, Vec<TokenRow>)> {
    let scratch = Scratch::new("fault");
    let line = format!(
        "profile --url {} --model Qwen/Qwen3-32B --streaming --isl 20 --artifact-dir run --no-server-metrics {more}",
        server.url()
    );
    run_expecting(0, &scratch, &line);
    rows(&scratch.path("run"))
}

#[test]
fn a_request_meets_the_fault_that_it_names() {
    let server = server(ServeConfig::default());
    let meet = |fault: &str| {
        let mut rows = profile(&server, &format!("--osl 8 --request-count 1 --header X-Loadline-Fault:{fault}"));
        let (row, tokens) = rows.remove(0);
        (row.outcome, row.http_status, tokens.len())
    };
    assert_eq!(meet("status=429"), (Outcome::HttpError, Some(429), 0));
    // The role is the first event.
    assert_eq!(meet("cut@4").2, 4);
    assert!(matches!(meet("cut@4").0, Outcome::Truncated | Outcome::Reset));
    assert_eq!(meet("truncate@4"), (Outcome::Truncated, Some(200), 4));
    assert_eq!(meet("malformed@4").0, Outcome::ProtocolError);
    assert_eq!(meet("nonsense").1, Some(400));
    // Role, eight tokens, usage and the end.
    assert_eq!(meet("stall@4=0.2"), (Outcome::Completed, Some(200), 11));
    let gaps = |fault: &str| -> Vec<i64> {
        let rows = profile(&server, &format!("--osl 8 --request-count 1 --header X-Loadline-Fault:{fault}"));
        rows[0].1.windows(2).map(|w| w[1].t_ns - w[0].t_ns).collect()
    };
    let stalled = gaps("stall@4=0.3");
    assert_eq!(stalled.iter().position(|gap| *gap > 290_000_000), Some(3), "{stalled:?}");
    assert!(gaps("slow=0.02").iter().all(|gap| *gap > 15_000_000));
}

#[test]
fn rules_hit_their_share_and_every_row_is_accounted_for() {
    let faults = ["0.3:status=503", "0.3:truncate@2"].map(|rule| FaultRule::parse(rule).unwrap()).to_vec();
    let server = server(ServeConfig { faults, ..ServeConfig::default() });
    let rows = profile(&server, "--osl 8 --request-count 200 --concurrency 10");
    let of = |outcome| rows.iter().filter(|(r, _)| r.outcome == outcome).count();
    let (refused, truncated, whole) = (of(Outcome::HttpError), of(Outcome::Truncated), of(Outcome::Completed));
    assert_eq!(refused + truncated + whole, 200);
    // Within five standard deviations of 60, 42 and 98.
    assert!((28..93).contains(&refused) && (13..72).contains(&truncated), "{refused} refused, {truncated} truncated");
}

#[test]
fn a_restart_cuts_everything_off_and_then_serves_again() {
    let config = ServeConfig { tp: 8, speedup: 0.2, restart_ns: Some(800_000_000), ..ServeConfig::default() };
    let server = spawn(&config).unwrap();
    let rows = profile(&server, "--osl 20 --request-count 12 --concurrency 4");
    let cut = rows.iter().filter(|(r, _)| matches!(r.outcome, Outcome::Reset | Outcome::Truncated)).count();
    let whole = rows.iter().filter(|(r, _)| r.outcome == Outcome::Completed).count();
    assert!((1..=4).contains(&cut) && cut + whole == 12, "{cut} cut off, {whole} whole");
}

#[test]
fn the_oracles_files_join_a_clients_by_request_id() {
    let server = server(ServeConfig { oracle: true, ..ServeConfig::default() });
    let scratch = Scratch::new("oracle-files");
    let line = format!(
        "profile --url {} --model Qwen/Qwen3-32B --streaming --isl 20 --osl 40 --request-count 25 --concurrency 5 \
         --artifact-dir run --no-server-metrics",
        server.url()
    );
    run_expecting(0, &scratch, &line);
    let dir = scratch.path("oracle");
    oracle_files::write(&server.finish().unwrap(), &dir).unwrap();
    // Its rows are read as any recording's; the manifest only says what they mean.
    std::fs::copy(scratch.path("run/run.json"), dir.join("run.json")).unwrap();
    let t0_ns = Manifest::read(&scratch.path("run")).unwrap().anchor.t0_monotonic_ns;
    let truth: HashMap<String, (RequestRow, Vec<TokenRow>)> =
        rows(&dir).into_iter().map(|(row, tokens)| (row.x_request_id.clone(), (row, tokens))).collect();
    let seen = rows(&scratch.path("run"));
    assert_eq!((seen.len(), truth.len()), (25, 25));
    for (row, tokens) in &seen {
        let (true_row, sent) = &truth[&row.x_request_id];
        assert_eq!((true_row.outcome, true_row.output_tokens), (row.outcome, row.output_tokens));
        let kinds = |tokens: &[TokenRow]| tokens.iter().map(|t| t.kind).collect::<Vec<EventKind>>();
        // The client tells the finish by its token; of events, both have the same.
        assert_eq!(kinds(tokens), kinds(sent));
        assert!(tokens.iter().zip(sent).all(|(read, written)| read.t_ns >= written.t_ns - t0_ns));
        assert!(row.sent_ns.unwrap() <= true_row.sent_ns.unwrap() - t0_ns);
    }
}
