//! A command line's words → the line that a shell takes them from.

/// Most words of a line.
const WORDS_MAX: usize = 200;

/// The line; words beyond the first 200 are left out.
pub(super) fn line(words: &[String]) -> String {
    words.iter().take(WORDS_MAX).map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_a_shell_would_take_apart_is_quoted() {
        let words = ["loadline", "--header", "a b", "it's", "", "x=1"].map(str::to_owned);
        assert_eq!(line(&words), "loadline --header 'a b' 'it'\\''s' '' x=1");
        assert_eq!(line(&vec!["w".to_owned(); 300]).len(), 2 * WORDS_MAX - 1);
    }
}
