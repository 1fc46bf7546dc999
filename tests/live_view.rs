//! What stands on standard error while a run goes on: nothing, lines, or a dashboard on a terminal.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::process::Command;

use support::{Scratch, loadline, run_expecting};

const LOAD: &str =
    "profile --tp 8 --request-rate 20 --arrival-pattern constant --isl 5 --osl 2 --streaming --random-seed 3";

#[test]
fn lines_are_written_where_they_are_asked_for_and_nothing_unasked() {
    let scratch = Scratch::new("live-lines");
    let told = |more: &str| {
        let output = run_expecting(0, &scratch, &format!("{LOAD} {more}"));
        String::from_utf8(output.stderr).unwrap()
    };
    let lines = told("--benchmark-duration 5.4 --artifact-dir a --ui simple");
    // A tick comes each tenth of a second: the line is of the sixth second's first half.
    let line = lines.lines().find(|l| l.contains(" of 5.4 s · sent ")).unwrap_or_else(|| panic!("{lines}"));
    assert!(line.starts_with("5.") && line.contains("/107 (") && line.contains(" · in flight "), "{line}");
    assert_eq!(lines.matches(" · sent ").count(), 1, "one in five seconds: {lines}");
    for (more, why) in [("", "it is no terminal"), ("--ui-type none", "nothing was asked for")] {
        let silent = told(&format!("--benchmark-duration 0.6 --artifact-dir b {more}"));
        assert!(!silent.contains(" · sent ") && !silent.contains('\x1b'), "{why}: {silent}");
    }
}

#[test]
fn on_a_terminal_the_dashboard_replaces_itself_and_is_cleared_at_the_end() {
    let scratch = Scratch::new("live-dashboard");
    let run = loadline(&scratch, "");
    let line = format!("{} {LOAD} --benchmark-duration 1.5 --artifact-dir run", run.get_program().to_string_lossy());
    // util-linux's `script` gives it a terminal, which is its standard output too.
    let script = Command::new("script").args(["-qec", &line, "/dev/null"]).current_dir(scratch.path("")).output();
    let Ok(output) = script else {
        eprintln!("SKIPPED: `script` is not here");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let frames: Vec<&str> = text.split("\x1b[J").collect();
    assert!(frames.len() >= 5, "{} frames: {text}", frames.len() - 1);
    for word in ["due and waiting", "TTFT ms", "ITL ms", "lag ms", "measurement"] {
        assert!(frames[1].contains(word), "{word}: {}", frames[1]);
    }
    // Up by as many lines as the frame before had: nothing of it is left behind.
    let lines = frames[1].matches("\x1b[K").count();
    assert!(frames[2].contains(&format!("\x1b[{lines}F")), "{lines}: {}", frames[2]);
    let last = frames[frames.len() - 2];
    assert!(
        last.contains(&format!("\x1b[{lines}F")) && !last.contains("TTFT ms"),
        "the last one only clears: {last:?}"
    );
    assert!(frames[frames.len() - 1].contains("scheduled 29 = completed 29"), "{text}");
}
