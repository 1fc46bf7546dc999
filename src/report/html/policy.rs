//! The page's own style sheet and script → the policy that lets nothing else in.
//!
//! Invariant: a browser runs a script, or applies a style, only if its text has one of these hashes, so that nothing
//! that got past [`super::escape`] would run. Hashes after CSP Level 3, section 2.3.1 (`sha256-` and base64).
//! Not here: what the script does (`page.js`).

use sha2::{Digest as _, Sha256};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The content security policy of a page with this style and this script: nothing is loaded, sent, framed or
/// submitted, and nothing runs but these two texts.
pub(super) fn policy(style: &str, script: &str) -> String {
    format!(
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src '{}'; script-src '{}'",
        hash(style),
        hash(script)
    )
}

fn hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text)))
}

fn base64(bytes: &[u8]) -> String {
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0_u32, |bits, &b| bits << 8 | u32::from(b)) << (8 * (3 - three.len()));
        let letter = |i: usize| if i <= three.len() { BASE64[(bits >> (18 - 6 * i) & 63) as usize] } else { b'=' };
        [0, 1, 2, 3].map(|i| char::from(letter(i)))
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standard() {
        // RFC 4648, section 10.
        let texts = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        texts.iter().for_each(|(text, encoded)| assert_eq!(base64(text.as_bytes()), *encoded));
        // CSP Level 3, the example of section 8.3.
        assert_eq!(hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }
}
