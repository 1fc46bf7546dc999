//! An analysis that is not part of the program: `loadline NAME RUN_DIR` runs `loadline-NAME` from the PATH.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::os::unix::fs::PermissionsExt;

use support::{Scratch, loadline, run_expecting};

#[test]
fn a_plugin_is_told_of_the_run_and_its_exit_code_is_passed_on() {
    let scratch = Scratch::new("plugin");
    run_expecting(0, &scratch, "profile --simulate --request-count 3 --isl 16 --osl 2 --artifact-dir run");
    std::fs::create_dir(scratch.path("bin")).unwrap();
    let script = "#!/bin/sh\necho \"$LOADLINE_RUN_DIR $LOADLINE_SCHEMA_VERSION $*\"\nexit 7\n";
    let program = scratch.file("bin/loadline-told", script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", scratch.path("bin").display());
    let output = loadline(&scratch, "told run --top 3").env("PATH", &path).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let dir = scratch.path("run").canonicalize().unwrap();
    assert_eq!(told, format!("{} {} run --top 3\n", dir.display(), loadline::record::manifest::SCHEMA_VERSION));
    assert_eq!(output.status.code(), Some(7));

    let said = |line: &str| {
        let output = loadline(&scratch, line).env("PATH", &path).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        said("other run")
            .contains("there is no verb `other`; `loadline --help` lists them; nor is `loadline-other` on the PATH")
    );
    assert!(said("told nowhere").contains("nor is there a directory nowhere"));
    assert!(said("told bin").contains("run.json"));
    assert!(said("profil --help").contains("did you mean `profile`?"));
}
