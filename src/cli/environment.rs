//! The environment → the flags that it stands for, told to the user: a load never goes to a real endpoint by surprise.
//!
//! `LOADLINE_URL` is this program's own and is used where no URL is given. `OPENAI_BASE_URL` is set for other programs, and is
//! used on request alone. Keys are read where they are used (`resolve`), and told of here.

use super::argv::Given;
use crate::error::{Error, Result};

/// A variable that is set to something.
#[expect(clippy::disallowed_methods, reason = "cli is where the environment is read")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Adds `--url` where the environment names it, and tells which variable decided, or did not.
pub(super) fn destination(
    given: &mut Vec<Given>,
    variable: &dyn Fn(&str) -> Option<String>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let has = |given: &[Given], names: &[&str]| given.iter().any(|flag| names.contains(&flag.name.as_str()));
    let from = |name: &str, url: String| (format!("the load goes to {} ({name})", shown(&url)), url);
    let asked = has(given, &["--url-from-env"]);
    let chosen = match (asked, variable("LOADLINE_URL"), variable("OPENAI_BASE_URL")) {
        _ if has(given, &["--url", "-u", "--simulate", "--help", "-h"]) => None,
        (true, _, Some(url)) => Some(from("OPENAI_BASE_URL", url)),
        (true, _, None) => return Err(Error::Usage("--url-from-env: OPENAI_BASE_URL is not set".into())),
        (false, Some(url), _) => Some(from("LOADLINE_URL", url)),
        (false, None, Some(url)) => {
            notes.push(format!(
                "the load goes to a simulated deployment; OPENAI_BASE_URL ({}) is used with --url-from-env alone",
                shown(&url)
            ));
            None
        }
        (false, None, None) => None,
    };
    if let Some((note, url)) = chosen {
        notes.push(note);
        given.retain(|flag| flag.name != "--url-from-env");
        given.push(Given::new("--url", url));
    }
    let key = ["LOADLINE_API_KEY", "OPENAI_API_KEY"].into_iter().find(|name| variable(name).is_some());
    if let Some(name) = key.filter(|_| has(given, &["--url", "-u"]) && !has(given, &["--api-key"])) {
        notes.push(format!("the key in {name} is sent"));
    }
    Ok(())
}

/// A URL as it may be shown; credentials in it are refused later, and not told.
fn shown(url: &str) -> &str {
    if url.contains('@') { "a URL with credentials" } else { url }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(flags: &[&str], set: &[(&str, &str)]) -> Result<(Vec<String>, Vec<String>)> {
        let mut given: Vec<Given> = flags.iter().map(|flag| Given::switch(flag)).collect();
        let mut notes = Vec::new();
        let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_string());
        destination(&mut given, &variable, &mut notes)?;
        Ok((super::super::argv::words(&given), notes))
    }

    const OPENAI: (&str, &str) = ("OPENAI_BASE_URL", "https://paid.example/v1");
    const OURS: (&str, &str) = ("LOADLINE_URL", "http://lab:8000");

    #[test]
    fn a_real_endpoint_is_loaded_on_request_alone() {
        let (flags, notes) = words(&[], &[OPENAI]).unwrap();
        assert_eq!(flags, Vec::<String>::new());
        assert!(notes[0].contains("simulated") && notes[0].contains("--url-from-env"), "{notes:?}");
        let (flags, notes) = words(&["--url-from-env"], &[OPENAI, OURS]).unwrap();
        assert_eq!(flags, ["--url=https://paid.example/v1"]);
        assert_eq!(notes, ["the load goes to https://paid.example/v1 (OPENAI_BASE_URL)"]);
        assert!(words(&["--url-from-env"], &[OURS]).is_err());
        assert_eq!(words(&[], &[OPENAI, OURS]).unwrap().0, ["--url=http://lab:8000"]);
        assert_eq!(words(&["--simulate"], &[OPENAI, OURS]).unwrap(), (vec!["--simulate".into()], vec![]));
        assert_eq!(words(&["--url"], &[OPENAI, OURS]).unwrap(), (vec!["--url".into()], vec![]));
        assert_eq!(words(&[], &[]).unwrap(), (vec![], vec![]));
    }

    #[test]
    fn a_key_that_is_sent_is_told_and_not_shown() {
        let key = ("OPENAI_API_KEY", "s3cret");
        assert_eq!(words(&["--url"], &[key]).unwrap().1, ["the key in OPENAI_API_KEY is sent"]);
        assert_eq!(words(&["--url", "--api-key"], &[key]).unwrap().1, Vec::<String>::new());
        assert_eq!(words(&[], &[key]).unwrap().1, Vec::<String>::new());
        let (_, notes) = words(&[], &[("LOADLINE_URL", "http://u:s3cret@h")]).unwrap();
        assert!(!notes.join(" ").contains("s3cret"), "{notes:?}");
    }
}
