//! Values that must never reach a file, a log or a debug print, and a command line without them.

use std::fmt;

/// A secret; its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands in a secret's place.
pub const MASK: &str = "***";

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(Secret::new(s))
    }
}

/// Whether a header's value is likely to be a secret, by its name.
pub fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "cookie", "password", "credential"].iter().any(|w| name.contains(w))
}

/// The command line with secrets replaced.
pub fn masked_command(args: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut masked = Vec::new();
    let mut previous = String::new();
    for arg in args {
        let (flag, value) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => (previous.as_str(), None),
        };
        let shown = match (flag, value) {
            ("--api-key", Some(_)) => format!("--api-key={MASK}"),
            ("--api-key", None) => MASK.to_string(),
            ("--header", Some(v)) => format!("--header={}", masked_header(v)),
            ("--header" | "-H", None) => masked_header(&arg),
            _ => match arg.strip_prefix("-H") {
                Some(joined) if !joined.is_empty() && !arg.starts_with("--") => {
                    format!("-H{}", masked_header(joined))
                }
                _ => arg.clone(),
            },
        };
        masked.push(shown);
        previous = arg;
    }
    masked
}

fn masked_header(header: &str) -> String {
    match header.split_once(':') {
        Some((name, _)) if is_secret_header(name) => format!("{name}:{MASK}"),
        _ => header.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_a_secret_survives() {
        let line = "loadline profile --api-key s3cret --api-key=s3cret -H Authorization:s3cret --header X-Api-Key:s3cret \
                    --header=cookie:s3cret -Hx-token:s3cret -H X-Trace:yes --model m";
        let shown = masked_command(line.split_whitespace().map(String::from)).join(" ");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("X-Trace:yes") && shown.contains("--model m"), "{shown}");
        assert_eq!(format!("{:?}", Secret::new("s3cret")), MASK);
    }
}
