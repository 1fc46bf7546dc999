//! Turns the later turns of a file's sessions into what their prompts hold: what they add, or everything so far.
//!
//! In: a whole trace. Out: its [`TurnPrompt`], and a note where blocks told it. Messages are sent as they are written, so they
//! are the whole conversation (aiperf's rule). Lengths and texts are what a turn adds (aiperf's rule, too), unless the
//! blocks of nearly all later turns begin with all whole blocks of the turn before: then a turn's length
//! counts the conversation, and to put the history in front of it would count it twice.

use crate::trace::{Content, Trace, TurnPrompt};

/// The share of later turns whose blocks must go on where those of the turn before ended.
const CONVINCING: f64 = 0.95;

/// Finds out what later turns' prompts hold.
///
/// # Errors
/// `(problem, remedy)` where some hold one thing and some the other.
pub(super) fn settle(trace: &mut Trace) -> Result<(), (String, &'static str)> {
    let (mut messages, mut others, mut compared, mut grown) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut last_turn = vec![None; trace.sessions.len()];
    for (at, entry) in trace.entries.iter().enumerate() {
        let Some(session) = entry.session else { continue };
        let Some(before) = last_turn[session as usize].replace(at).map(|before: usize| &trace.entries[before]) else {
            continue;
        };
        let whole = matches!(entry.content, Some(Content::Messages(_)));
        messages += u64::from(whole);
        others += u64::from(!whole);
        if before.blocks_len > 0 && entry.blocks_len > 0 {
            let full = (before.input_tokens / trace.block_size).min(before.blocks_len).max(1) as usize;
            let goes_on = trace.blocks(entry).starts_with(&trace.blocks(before)[..full]);
            compared += 1;
            grown += u64::from(goes_on && entry.input_tokens > before.input_tokens);
        }
    }
    if messages > 0 && others > 0 {
        let problem = format!(
            "has {messages} later turns of messages, which are whole conversations, and {others} of lengths or texts, which are not"
        );
        return Err((problem, "put the two kinds of sessions into files of their own"));
    }
    if compared > 0 && grown as f64 >= CONVINCING * compared as f64 {
        trace.notes.push(format!(
            "later turns hold the whole conversation: {grown} of {compared} begin with the blocks of the turn before"
        ));
        trace.turn_prompt = TurnPrompt::Whole;
    }
    if messages > 0 {
        trace.turn_prompt = TurnPrompt::Whole;
    }
    Ok(())
}
