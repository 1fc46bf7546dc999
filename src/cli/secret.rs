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

/// The command line with secrets replaced, in every spelling that is understood.
pub fn masked_command(args: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut masked = Vec::new();
    // The flag whose values follow; several may, behind one flag.
    let mut flag = String::new();
    for arg in args {
        let joined = arg.split_once('=').filter(|_| arg.starts_with("--"));
        if let Some((name, value)) = joined {
            flag.clear();
            masked.push(format!("{name}={}", masked_value(&name.replace('_', "-"), value)));
        } else if let Some(value) = arg.strip_prefix("-H").filter(|value| !value.is_empty()) {
            flag.clear();
            masked.push(format!("-H{}", masked_header(value)));
        } else if arg.starts_with('-') && !is_secret_flag(&flag) {
            flag = arg.replace('_', "-");
            masked.push(arg);
        } else {
            masked.push(masked_value(&flag, &arg));
            if is_secret_flag(&flag) {
                flag.clear();
            }
        }
    }
    masked
}

/// Whether a flag's value is a secret; it may begin with a hyphen.
fn is_secret_flag(flag: &str) -> bool {
    flag == "--api-key"
}

fn masked_value(flag: &str, value: &str) -> String {
    match flag {
        _ if is_secret_flag(flag) => MASK.into(),
        "--header" | "-H" => masked_header(value),
        _ => value.into(),
    }
}

/// `NAME:VALUE`, or vLLM's `NAME=VALUE`.
fn masked_header(header: &str) -> String {
    match header.find([':', '=']).map(|at| header.split_at(at + 1)) {
        Some((name, _)) if is_secret_header(name) => format!("{name}{MASK}"),
        _ => header.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_a_secret_survives() {
        let line = "loadline profile --api-key s3cret --api-key=s3cret -H Authorization:s3cret --header X-Api-Key:s3cret \
                    --header=cookie:s3cret -Hx-token:s3cret --api_key s3cret --api_key=s3cret --api-key -s3cret \
                    --header X-Ok:1 Authorization=s3cret x-auth:s3cret -H X-Trace:yes --model m";
        let shown = masked_command(line.split_whitespace().map(String::from)).join(" ");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("X-Trace:yes") && shown.contains("--model m"), "{shown}");
        assert_eq!(format!("{:?}", Secret::new("s3cret")), MASK);
    }
}
