//! Every flag of `aiperf profile`, and what becomes of it here; the page `docs/aiperf.md` is made of this table.
//!
//! A flag that this program has under one of aiperf's names is accepted whatever its row says: the row of a flag that is
//! added here changes to [`Fate::Same`] or [`Fate::But`] (`tests/drop_in.rs` tells which do not fit).

mod aiperf;

pub use aiperf::AIPERF;

/// How many values follow a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None: it is a switch.
    Nothing,
    /// One.
    One,
    /// One or more.
    Many,
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is here, under one of these names, with aiperf's meaning.
    Same,
    /// It is here likewise, but for this; values that are left out here are refused with these words.
    But(&'static str),
    /// Accepted; these words stand for it.
    Written(&'static str),
    /// Accepted without an effect, and why there is none.
    Idle(&'static str),
    /// Refused, and what to use instead.
    Instead(&'static str),
    /// Refused, because what it is about has no place here.
    Outside(&'static str),
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct KnownFlag {
    /// Its names with their dashes, separated by spaces.
    pub names: &'static str,
    /// What follows it.
    pub takes: Takes,
    /// aiperf's default; empty where there is none.
    pub default: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

const fn flag(names: &'static str, takes: Takes, default: &'static str, fate: Fate) -> KnownFlag {
    KnownFlag { names, takes, default, fate }
}

impl KnownFlag {
    /// Its names, with their dashes.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split(' ')
    }

    /// The flag of that name (with its dashes).
    pub fn find(name: &str) -> Option<&'static KnownFlag> {
        AIPERF.iter().flat_map(|(_, flags)| *flags).find(|f| f.names().any(|n| n == name))
    }
}

/// The tables of `docs/aiperf.md`, in Markdown.
pub fn page() -> String {
    let mut text = String::new();
    for (heading, flags) in AIPERF {
        text.push_str(&format!("## {heading}\n\n| aiperf's flag | its default | here |\n|---|---|---|\n"));
        for flag in *flags {
            let names: Vec<String> = flag.names().map(|n| format!("`{n}`")).collect();
            let default = if flag.default.is_empty() { String::new() } else { format!("`{}`", flag.default) };
            text.push_str(&format!("| {} | {default} | {} |\n", names.join(" "), flag.fate.told().replace('|', "\\|")));
        }
        text.push('\n');
    }
    text
}

impl Fate {
    /// Whether the flag is here.
    pub fn is_here(self) -> bool {
        matches!(self, Fate::Same | Fate::But(_))
    }

    fn told(self) -> String {
        match self {
            Fate::Same => "the same".into(),
            Fate::But(what) => format!("the same, but: {what}"),
            Fate::Written(words) => format!("accepted as `{words}`"),
            Fate::Idle(why) => format!("accepted without effect: {why}"),
            Fate::Instead(what) => format!("refused: {what}"),
            Fate::Outside(why) => format!("not here: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_in_the_table_twice() {
        let mut names: Vec<&str> = AIPERF.iter().flat_map(|(_, flags)| *flags).flat_map(KnownFlag::names).collect();
        assert!(names.len() > 300 && names.iter().all(|n| n.starts_with('-')));
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }
}
