//! `inputs.json`: the bodies that were sent, in aiperf's shape, so that they can be sent again.
//!
//! aiperf writes it for drawn prompts and for literal ones, not for traces of hashes, whose bodies would repeat the
//! shared blocks; so do we, and stop at [`BODIES_MAX_BYTES`].

use std::io::{self, Write};

use serde_json::value::RawValue;

/// Most bytes of bodies that are written. What is beyond is left out, and the file says so.
pub const BODIES_MAX_BYTES: usize = 64 << 20;

/// Writes the bodies. Each item is a session's name and its bodies, each a whole JSON object.
pub fn write<'a>(
    out: &mut dyn Write,
    sessions: impl Iterator<Item = (String, Vec<Box<RawValue>>)> + 'a,
) -> io::Result<()> {
    let mut left = BODIES_MAX_BYTES;
    let mut truncated = false;
    out.write_all(b"{\n  \"data\": [")?;
    for (n, (session_id, payloads)) in sessions.enumerate() {
        let size: usize = payloads.iter().map(|p| p.get().len()).sum();
        if size > left {
            truncated = true;
            break;
        }
        left -= size;
        let entry = serde_json::json!({ "session_id": session_id });
        let head = entry.to_string();
        write!(out, "{}\n    {}, \"payloads\": [", if n > 0 { "," } else { "" }, &head[..head.len() - 1])?;
        for (i, payload) in payloads.iter().enumerate() {
            write!(out, "{}{}", if i > 0 { ", " } else { "" }, payload.get())?;
        }
        out.write_all(b"]}")?;
    }
    out.write_all(b"\n  ]")?;
    if truncated {
        write!(out, ",\n  \"truncated_at_bytes\": {BODIES_MAX_BYTES}")?;
    }
    out.write_all(b"\n}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    #[test]
    fn it_is_json_in_aiperfs_shape() {
        let sessions =
            [("a\"b".to_string(), vec![raw("{\"x\":1}"), raw("{\"x\":2}")]), ("c".into(), vec![raw("{}")])];
        let mut out = Vec::new();
        write(&mut out, sessions.into_iter()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["data"][0]["session_id"], "a\"b");
        assert_eq!(value["data"][0]["payloads"][1]["x"], 2);
        assert_eq!(value["data"][1]["payloads"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let big = format!("{{\"x\":\"{}\"}}", "y".repeat(BODIES_MAX_BYTES));
        let mut out = Vec::new();
        write(&mut out, [("a".to_string(), vec![raw("{}")]), ("b".into(), vec![raw(&big)])].into_iter()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((value["data"].as_array().unwrap().len(), value["truncated_at_bytes"].is_u64()), (1, true));
    }
}
