//! Turns the head of a JSON file into the keys of its first object: what tells formats apart.
//!
//! In: the first kilobytes, which may end anywhere. Out: the keys as they are written. Invariant: no more is read than stands
//! there; a file that is no JSON has no keys.

/// The keys of the first object, which may stand in an array.
pub(super) fn first_keys(head: &[u8]) -> Vec<&[u8]> {
    let head = head.trim_ascii_start();
    let object = head.strip_prefix(b"[").unwrap_or(head).trim_ascii_start();
    let mut keys = Vec::new();
    if object.first() != Some(&b'{') {
        return keys;
    }
    let (mut depth, mut key_next, mut at) = (0, false, 0);
    while let Some(&byte) = object.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let Some(text) = text_at(&object[at..]) else {
                    break;
                };
                if depth == 1 && std::mem::take(&mut key_next) {
                    keys.push(text);
                }
                at += text.len() + 1;
            }
            b'{' | b'[' => {
                depth += 1;
                key_next = depth == 1;
            }
            b'}' | b']' if depth == 1 => break,
            b'}' | b']' => depth -= 1,
            b',' => key_next = depth == 1,
            _ => {}
        }
    }
    keys
}

/// The text up to its closing quote; null where the head ends before it does.
fn text_at(bytes: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', &bytes[from..])?;
        if bytes[at] == b'"' {
            return Some(&bytes[..at]);
        }
        from = at + 2;
        if from > bytes.len() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::first_keys;

    fn keys(head: &str) -> Vec<&str> {
        first_keys(head.as_bytes()).into_iter().map(|k| std::str::from_utf8(k).unwrap()).collect()
    }

    #[test]
    fn keys_are_those_of_the_first_object_alone() {
        let file =
            " [ {\"a\": \"x,\\\"y\", \"b\" :[{\"c\": 1}, \"d\"], \"e\\\\\": {\"f\": 2},\n\"g\": null}, {\"h\": 1}]";
        assert_eq!(keys(file), ["a", "b", "e\\\\", "g"]);
    }

    #[test]
    fn a_head_may_end_anywhere() {
        let file = "{\"a\": \"x\\\"\", \"b\": 1}";
        for end in 0..file.len() {
            let all = ["a", "b"];
            let found = keys(&file[..end]);
            assert_eq!(found, all[..found.len()], "{}", &file[..end]);
        }
        assert!(keys("a,b\n").is_empty());
        assert!(keys("[1, 2]").is_empty());
    }
}
