//! Turns names of any kind into dense numbers, in order of first appearance.
//!
//! In: block ids as traces write them (integers or texts), or chains of blocks. Out: `u32` from 0.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Entry, Trace};

/// A block's id as the file writes it.
pub(super) enum BlockId<'a> {
    /// An integer.
    Integer(u64),
    /// A text; the text of an integer is that integer.
    Text(&'a str),
}

/// Block ids of a file. Equal ids of different scopes are different blocks.
#[derive(Default)]
pub(super) struct BlockNames {
    integers: HashMap<(u32, u64), u32>,
    texts: HashMap<Box<str>, u32>,
    scope: u32,
}

impl BlockNames {
    /// From here on ids are those of this scope, which is 0 at first.
    pub(super) fn enter(&mut self, scope: u32) {
        self.scope = scope;
    }

    /// The number of a block.
    pub(super) fn number(&mut self, id: &BlockId<'_>) -> u32 {
        let next = (self.integers.len() + self.texts.len()) as u32;
        let text = match *id {
            BlockId::Integer(id) => return *self.integers.entry((self.scope, id)).or_insert(next),
            BlockId::Text(text) => text,
        };
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if plain && let Ok(id) = text.parse() {
            return self.number(&BlockId::Integer(id));
        }
        let scoped = if self.scope == 0 { Cow::Borrowed(text) } else { Cow::Owned(format!("{}\0{text}", self.scope)) };
        match self.texts.get(&*scoped) {
            Some(&number) => number,
            None => *self.texts.entry(scoped.into()).or_insert(next),
        }
    }
}

/// Names of sessions, models or kinds.
#[derive(Default)]
pub(super) struct Names {
    numbers: HashMap<Box<str>, u32>,
    in_order: Vec<String>,
}

impl Names {
    /// The number of a name.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.in_order.len() as u32;
        self.in_order.push(name.to_owned());
        self.numbers.insert(name.into(), number);
        number
    }

    /// The names, by number.
    pub(super) fn into_names(self) -> Vec<String> {
        self.in_order
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.in_order.len()
    }
}

/// Chains of blocks: a block is known by its content and by all that stands before it, as prefix caches know it.
#[derive(Default)]
pub(super) struct PrefixTree {
    children: HashMap<(Option<u32>, u64), u32>,
}

impl PrefixTree {
    /// The number of the block with this content that follows `parent` (null at the start of a prompt).
    pub(super) fn child(&mut self, parent: Option<u32>, content: u64) -> u32 {
        let next = self.len();
        *self.children.entry((parent, content)).or_insert(next)
    }

    /// How many different blocks there are.
    pub(super) fn len(&self) -> u32 {
        self.children.len() as u32
    }
}

/// Renumbers what is left of dense numbers after some were dropped or moved, in order of first appearance.
#[derive(Default)]
pub(super) struct Renumber {
    new: Vec<u32>,
    used: u32,
}

impl Renumber {
    /// The new number of `old`.
    pub(super) fn number(&mut self, old: u32) -> u32 {
        const UNSEEN: u32 = u32::MAX;
        let at = old as usize;
        if at >= self.new.len() {
            self.new.resize(at + 1, UNSEEN);
        }
        if self.new[at] == UNSEEN {
            self.new[at] = self.used;
            self.used += 1;
        }
        self.new[at]
    }

    /// How many different numbers were seen.
    pub(super) fn len(&self) -> u32 {
        self.used
    }

    /// What stood at the old numbers, at its new places.
    pub(super) fn in_new_order<T: Clone>(&self, old: &[T]) -> Vec<T> {
        let mut places = vec![0; self.used as usize];
        for (at, &new) in self.new.iter().enumerate().filter(|&(_, &new)| new != u32::MAX) {
            places[new as usize] = at;
        }
        places.into_iter().map(|at| old[at].clone()).collect()
    }
}

impl Trace {
    /// Leaves out the entries that `keep` refuses, with what only they used. A wait for an entry that is left out is left out
    /// too.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut Entry) -> bool) {
        const GONE: u32 = u32::MAX;
        let mut place = Vec::with_capacity(self.entries.len());
        let mut kept = 0;
        self.entries.retain_mut(|entry| {
            let stays = keep(entry);
            place.push(if stays { kept } else { GONE });
            kept += u32::from(stays);
            stays
        });
        for wait in &mut self.waits {
            wait.entry = place[wait.entry as usize];
        }
        let old = std::mem::take(&mut self.waits);
        for entry in &mut self.entries {
            let of_entry = &old[entry.waits_start as usize..][..entry.waits_len as usize];
            entry.waits_start = self.waits.len() as u32;
            self.waits.extend(of_entry.iter().filter(|w| w.entry != GONE));
            entry.waits_len = self.waits.len() as u32 - entry.waits_start;
        }
        self.renumber();
    }

    /// Numbers blocks, sessions, models and kinds in order of first appearance, without gaps, and leaves out what no entry
    /// uses.
    pub(super) fn renumber(&mut self) {
        let (mut blocks, mut sessions) = (Renumber::default(), Renumber::default());
        let (mut models, mut kinds) = (Renumber::default(), Renumber::default());
        let mut block_ids = Vec::with_capacity(self.block_ids.len());
        for entry in &mut self.entries {
            let start = entry.blocks_start as usize;
            let old = &self.block_ids[start..start + entry.blocks_len as usize];
            entry.blocks_start = block_ids.len() as u32;
            block_ids.extend(old.iter().map(|&id| blocks.number(id)));
            entry.session = entry.session.map(|s| sessions.number(s));
            entry.model = entry.model.map(|m| models.number(m));
            entry.kind = entry.kind.map(|k| kinds.number(k));
        }
        self.block_ids = block_ids;
        self.unique_blocks = blocks.len();
        self.sessions = sessions.in_new_order(&self.sessions);
        self.models = models.in_new_order(&self.models);
        self.kinds = kinds.in_new_order(&self.kinds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Wait, WaitFor};

    #[test]
    fn integers_and_texts_share_one_numbering_within_a_scope() {
        let mut names = BlockNames::default();
        let ids =
            [BlockId::Integer(7), BlockId::Text("a"), BlockId::Text("7"), BlockId::Text("07"), BlockId::Text("a")];
        assert_eq!(ids.each_ref().map(|id| names.number(id)), [0, 1, 0, 2, 1]);
        names.enter(1);
        assert_eq!(ids.each_ref().map(|id| names.number(id)), [3, 4, 3, 5, 4]);
        names.enter(0);
        assert_eq!(names.number(&BlockId::Integer(7)), 0);
    }

    #[test]
    fn equal_content_after_different_beginnings_is_a_different_block() {
        let mut tree = PrefixTree::default();
        let a = tree.child(None, 5);
        let b = tree.child(None, 6);
        assert_ne!(tree.child(Some(a), 9), tree.child(Some(b), 9));
        assert_eq!(tree.child(Some(a), 9), tree.child(Some(a), 9));
        assert_eq!(tree.len(), 4);
    }

    #[test]
    fn what_is_left_out_takes_what_hangs_on_it_along() {
        let wait = |entry| Wait { entry, event: WaitFor::End, delay_ns: 5 };
        let entry = |line, model, waits_start, waits_len| Entry {
            line,
            input_tokens: 1,
            model: Some(model),
            waits_start,
            waits_len,
            ..Entry::default()
        };
        let mut trace = Trace {
            entries: vec![entry(1, 1, 0, 0), entry(2, 0, 0, 0), entry(3, 1, 0, 2), entry(4, 2, 2, 1)],
            waits: vec![wait(0), wait(1), wait(2)],
            models: vec!["a".into(), "b".into(), "c".into()],
            block_size: 1,
            ..Trace::default()
        };
        trace.check().unwrap_err();
        trace.renumber();
        trace.check().unwrap();
        trace.retain(|e| e.line != 2);
        trace.check().unwrap();
        assert_eq!((&trace.waits[..], &trace.models[..]), (&[wait(0), wait(1)][..], &["b", "c"].map(String::from)[..]));
        assert_eq!(trace.waits(&trace.entries[2]), [wait(1)]);
    }

    #[test]
    fn renumbering_is_dense_and_keeps_names() {
        let mut renumber = Renumber::default();
        assert_eq!([4, 2, 4, 0].map(|old| renumber.number(old)), [0, 1, 0, 2]);
        assert_eq!(renumber.in_new_order(&["a", "b", "c", "d", "e"]), ["e", "c", "a"]);
        assert_eq!(renumber.len(), 3);
    }
}
