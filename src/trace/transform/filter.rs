//! Turns a trace into the requests that went to some models, or were of some kinds.
//!
//! In: names of models and of kinds. Out: the entries that have one of each. Of a session the turns that match stay, and stay one
//! session; an entry that matches but that nothing could release any more (it has no time, and all that it depended on is gone)
//! goes too, and is counted.

use serde::Serialize;

use super::select::select;
use crate::error::{Error, Result};
use crate::trace::Trace;

/// How many names an error shows.
const NAMES_SHOWN: usize = 10;

/// What a request must be to stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Names of models, one of which it went to; empty for any.
    pub models: Vec<String>,
    /// Names of kinds, one of which it is of; empty for any.
    pub kinds: Vec<String>,
}

impl Filter {
    pub(super) fn apply(&self, trace: &mut Trace) -> Result<()> {
        let models = wanted("model", &self.models, &trace.models)?;
        let kinds = wanted("type", &self.kinds, &trace.kinds)?;
        let has = |wanted: &Option<Vec<bool>>, name: Option<u32>| match wanted {
            Some(wanted) => name.is_some_and(|n| wanted[n as usize]),
            None => true,
        };
        let timed = trace.entries.iter().any(|e| e.arrival_ns.is_some());
        let (all, mut unreleased) = (trace.entries.len(), 0);
        let gone = select(trace, |entry, before| {
            let matches = has(&models, entry.model) && has(&kinds, entry.kind);
            let released = !timed || entry.arrival_ns.is_some() || before.any_stays;
            unreleased += usize::from(matches && !released);
            matches && released
        });
        let names: Vec<&str> = self.models.iter().chain(&self.kinds).map(String::as_str).collect();
        let names = names.join(", ");
        if gone == all {
            return Err(Error::Usage(format!("no request of the trace is of {names}; ask for fewer things at once")));
        }
        let mut note = format!("filter {names}: {} of {all} requests", all - gone);
        if unreleased > 0 {
            note += &format!("; {unreleased} that match are left out, as what would release them is");
        }
        trace.notes.push(note);
        Ok(())
    }
}

/// Which of the trace's names are wanted; `None` for all, those of nameless requests included.
fn wanted(what: &str, asked: &[String], known: &[String]) -> Result<Option<Vec<bool>>> {
    if let Some(name) = asked.iter().find(|name| !known.contains(name)) {
        let shown: Vec<&str> = known.iter().take(NAMES_SHOWN).map(String::as_str).collect();
        let more = if known.len() > NAMES_SHOWN { ", …" } else { "" };
        return Err(Error::Usage(match known.is_empty() {
            true => format!("--filter-{what} {name:?}: the trace tells no {what} of its requests"),
            false => format!("--filter-{what} {name:?}: the trace knows {}{more}", shown.join(", ")),
        }));
    }
    Ok((!asked.is_empty()).then(|| known.iter().map(|name| asked.contains(name)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Entry, Wait, WaitFor};

    fn trace() -> Trace {
        let entry = |line, arrival_ns, model, kind, session| Entry {
            arrival_ns,
            input_tokens: 5,
            model,
            kind,
            session,
            line,
            ..Entry::default()
        };
        let mut trace = Trace {
            entries: vec![
                entry(1, Some(0), Some(0), Some(0), Some(0)),
                entry(2, None, Some(1), Some(0), Some(0)),
                entry(3, Some(5), None, Some(1), None),
                entry(4, None, Some(0), Some(1), Some(0)),
                entry(5, None, Some(1), None, None),
            ],
            waits: vec![Wait { entry: 1, event: WaitFor::End, delay_ns: 7 }],
            block_size: 16,
            sessions: vec!["s".into()],
            models: vec!["large".into(), "small".into()],
            kinds: vec!["chat".into(), "code".into()],
            ..Trace::default()
        };
        trace.entries[4].waits_len = 1;
        trace.check().unwrap();
        trace
    }

    fn kept(models: &[&str], kinds: &[&str]) -> (Vec<u64>, String) {
        let mut trace = trace();
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Filter { models: names(models), kinds: names(kinds) }.apply(&mut trace).unwrap();
        trace.check().unwrap();
        (trace.entries.iter().map(|e| e.line).collect(), trace.notes[0].clone())
    }

    #[test]
    fn names_of_one_flag_are_alternatives_and_flags_add_up() {
        assert_eq!(kept(&["large"], &[]), (vec![1, 4], "filter large: 2 of 5 requests".into()));
        assert_eq!(kept(&["large", "small"], &[]).0, [1, 2, 4, 5]);
        assert_eq!(kept(&["large"], &["code", "chat"]).0, [1, 4]);
        assert_eq!(kept(&[], &["code"]).0, [3]);
    }

    #[test]
    fn what_nothing_releases_any_more_is_left_out_and_counted() {
        let mut trace = trace();
        trace.entries[2].model = Some(1);
        Filter { models: vec!["small".into()], ..Filter::default() }.apply(&mut trace).unwrap();
        trace.check().unwrap();
        assert_eq!(trace.entries.iter().map(|e| e.line).collect::<Vec<_>>(), [3]);
        assert_eq!(
            trace.notes,
            ["filter small: 1 of 5 requests; 2 that match are left out, as what would release them is"]
        );
    }

    #[test]
    fn unknown_names_and_empty_results_are_refused() {
        let refused = |models: &[&str], kinds: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
            Filter { models: names(models), kinds: names(kinds) }.apply(&mut trace()).unwrap_err().to_string()
        };
        assert_eq!(refused(&["tiny"], &[]), "--filter-model \"tiny\": the trace knows large, small");
        assert!(refused(&["small"], &["code"]).contains("no request of the trace is of small, code"));
        let mut nameless = Trace { models: Vec::new(), ..trace() };
        let error = Filter { models: vec!["x".into()], ..Filter::default() }.apply(&mut nameless).unwrap_err();
        assert_eq!(error.to_string(), "--filter-model \"x\": the trace tells no model of its requests");
    }
}
