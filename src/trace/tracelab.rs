//! Turns TraceLab's replay CSV into traces: sessions of an agent's rounds, each after the one before it and a tool's wait.
//!
//! In: the columns `id` (or `session_id`), `round_idx`, `prefix_len`, `input_len`, `output_len`, `tool_wait_after_ms` and,
//! where there is one, `arrival_time` (of the session, in milliseconds), found by name; rows in any order. Out: a [`Trace`]
//! whose prompts are whole conversations of `prefix_len + input_len` tokens. The file has no hashes: blocks are made, so that
//! a round begins with as much of its session's context (prompts and answers) as its `prefix_len` says.
//! Invariants: a prefix that the session has not said is new text, and noted; so is a context that is cut.
//!
//! The format is that of uw-syfi/TraceLab's `session_runner`.

use std::io::BufRead;

use super::bad_rows::{BadRows, RowProblem};
use super::csv_rows::{Column, CsvRow, CsvRows, header_of, names_all};
use super::dialect::Dialect;
use super::draft::Draft;
use super::intern::Names;
use super::row::Row;
use super::time_axis::UnitRule;
use super::{ReadOptions, TimeUnit, Trace, TraceFormat, TurnPrompt, number};
use crate::error::Result;

const TIME: &str = "arrival_time";
const WAIT: &str = "tool_wait_after_ms";
/// The columns that every file has.
const LENGTHS: [&str; 3] = ["prefix_len", "input_len", "output_len"];

const DIALECT: Dialect = Dialect {
    unit: UnitRule::Always(TimeUnit::Ms),
    session: "id",
    turn_prompt: TurnPrompt::Whole,
    ..Dialect::plain(TIME, LENGTHS[1])
};

/// TraceLab's replay files.
pub struct TraceLab;

impl TraceFormat for TraceLab {
    fn name(&self) -> &'static str {
        "tracelab_trace"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["tracelab"]
    }

    fn summary(&self) -> &'static str {
        "TraceLab's CSV with id, round_idx, prefix_len, input_len, output_len and tool_wait_after_ms"
    }

    fn sniff(&self, head: &[u8]) -> bool {
        names_all(&header_of(head), &LENGTHS)
    }

    fn read(&self, input: &mut dyn BufRead, file: &str, options: &ReadOptions) -> Result<Trace> {
        let mut bad = BadRows::new(file, options);
        let mut sessions = Names::default();
        let rounds = read_rounds(input, &mut bad, &mut sessions)?;
        let names = sessions.into_names();
        let mut draft = Draft::new(&DIALECT);
        let mut contexts = Contexts::new(options.block_size.unwrap_or(DIALECT.block_tokens));
        let mut previous: Option<&Round> = None;
        for round in &rounds {
            let before = previous.filter(|p| p.session == round.session);
            contexts.prompt(round, before.is_none());
            let row = Row {
                line: round.line,
                time: round.time.filter(|_| before.is_none()),
                delay_ns: before.map(|p| p.wait_ns),
                input_tokens: round.prompt_tokens(),
                output_tokens: round.output_tokens,
                session: Some(names[round.session as usize].as_str().into()),
                ..Row::default()
            };
            let added = draft.add(row, |_, out| {
                out.extend_from_slice(&contexts.blocks);
                Ok(())
            });
            draft.taken(added, round.line, &mut bad)?;
            contexts.answer(round.output_tokens.unwrap_or(0));
            previous = Some(round);
        }
        contexts.notes().into_iter().for_each(|note| draft.note(note));
        draft.finish(&mut bad, options)
    }
}

/// One row.
struct Round {
    line: u64,
    session: u32,
    index: u32,
    prefix_tokens: u32,
    fresh_tokens: u32,
    output_tokens: Option<u32>,
    wait_ns: i64,
    time: Option<i128>,
}

impl Round {
    fn prompt_tokens(&self) -> u32 {
        self.prefix_tokens + self.fresh_tokens
    }
}

/// All rows, a session's rounds one after the other.
fn read_rounds(input: &mut dyn BufRead, bad: &mut BadRows<'_>, sessions: &mut Names) -> Result<Vec<Round>> {
    let mut rows = CsvRows::open(input, bad)?;
    let session = rows.find("session_id").map_or_else(|| rows.column("id"), Ok)?;
    let index = rows.column("round_idx")?;
    let [prefix, fresh, output] = LENGTHS.map(|name| rows.column(name));
    let columns = Columns {
        index,
        prefix: prefix?,
        fresh: fresh?,
        output: output?,
        wait: rows.column(WAIT)?,
        time: rows.find(TIME),
    };
    let mut rounds = Vec::new();
    while let Some((line, row)) = rows.next()? {
        let round = row.and_then(|row| columns.round(&row, line, sessions.number(row.field(session))));
        match round {
            Ok(round) => rounds.push(round),
            Err(problem) => bad.report(line, problem)?,
        }
        if rounds.len() > super::draft::MAX_ROWS {
            return Err(bad.file_error("has too many rows", "cut it into parts").into());
        }
    }
    rounds.sort_by_key(|round| (round.session, round.index));
    Ok(rounds)
}

struct Columns {
    index: Column,
    prefix: Column,
    fresh: Column,
    output: Column,
    wait: Column,
    time: Option<Column>,
}

impl Columns {
    fn round(&self, row: &CsvRow<'_>, line: u64, session: u32) -> std::result::Result<Round, RowProblem> {
        let tokens = |column: Column| number::tokens_or_none(column.name, row.field(column));
        let round = Round {
            line,
            session,
            index: row.field(self.index).parse().map_err(|_| {
                let problem = format!("{} is no number of a round", super::bad_rows::shown(row.field(self.index)));
                RowProblem::field(self.index.name, problem, "number a session's rounds from 0")
            })?,
            prefix_tokens: tokens(self.prefix)?.unwrap_or(0),
            fresh_tokens: tokens(self.fresh)?.unwrap_or(0),
            output_tokens: tokens(self.output)?,
            wait_ns: number::delay_ns(WAIT, row.field(self.wait), TimeUnit::Ms)?,
            time: row.optional(self.time).map(|text| number::time(TIME, text, TimeUnit::Ms)).transpose()?,
        };
        if round.prompt_tokens() == 0 {
            return Err(RowProblem::row(
                "has a prompt of 0 tokens",
                "prefix_len and input_len together are its length",
            ));
        }
        Ok(round)
    }
}

/// The context of the session that is being read, as blocks.
struct Contexts {
    block_tokens: u32,
    blocks: Vec<u32>,
    tokens: u32,
    next_block: u32,
    rounds_cut: u64,
    rounds_beyond: u64,
}

impl Contexts {
    fn new(block_tokens: u32) -> Contexts {
        // A size of 0 is refused at the end, with the other options that cannot be.
        Contexts {
            block_tokens: block_tokens.max(1),
            blocks: Vec::new(),
            tokens: 0,
            next_block: 0,
            rounds_cut: 0,
            rounds_beyond: 0,
        }
    }

    /// Makes the context this round's prompt: what it keeps of the context so far, and new text.
    fn prompt(&mut self, round: &Round, first: bool) {
        if first {
            (self.tokens, self.blocks) = (0, Vec::new());
        }
        self.rounds_beyond += u64::from(round.prefix_tokens > self.tokens);
        if round.prefix_tokens < self.tokens {
            self.rounds_cut += 1;
            // The rest of a block that is cut would be the old text.
            self.blocks.truncate((round.prefix_tokens / self.block_tokens) as usize);
        }
        self.grow_to(round.prompt_tokens());
    }

    fn answer(&mut self, tokens: u32) {
        self.grow_to(self.tokens + tokens);
    }

    /// A last block that is not full goes on with what follows it.
    fn grow_to(&mut self, tokens: u32) {
        self.tokens = tokens;
        while self.blocks.len() < tokens.div_ceil(self.block_tokens) as usize {
            self.blocks.push(self.next_block);
            self.next_block += 1;
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "blocks of {} tokens are made from prefix_len, as the format has no hashes",
            self.block_tokens
        )];
        if self.rounds_cut > 0 {
            notes.push(format!(
                "{} rounds keep less than their session's context; they share whole blocks of what they keep",
                self.rounds_cut
            ));
        }
        if self.rounds_beyond > 0 {
            notes.push(format!(
                "{} rounds have a longer prefix_len than their session's context; the rest is new text",
                self.rounds_beyond
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::{ReadOptions, Trace, TurnPrompt, parse};

    fn accepted(file: &str, block_size: Option<u32>) -> Trace {
        let options = ReadOptions { block_size, ..Default::default() };
        let trace = parse(&mut file.as_bytes(), "t.csv", &options).unwrap();
        trace.check().unwrap();
        trace
    }

    #[test]
    fn rounds_follow_each_other_and_share_what_their_prefix_says() {
        let trace = accepted(
            "id,input_len,output_len,arrival_time,round_idx,tool_wait_after_ms,prefix_len\n\
             a,100,60,500,0,250.5,0\n\
             b,90,10,0,0,0,64\n\
             a,40,20,500,2,0,100\n\
             a,40,20,500,1,0,160\n",
            Some(32),
        );
        let lines: Vec<_> = trace.entries.iter().map(|e| (e.line, e.input_tokens, e.arrival_ns, e.delay_ns)).collect();
        assert_eq!(
            lines,
            [
                (3, 154, Some(0), None),
                (2, 100, Some(500_000_000), None),
                (5, 200, None, Some(250_500_000)),
                (4, 140, None, Some(0))
            ]
        );
        let [_, first, second, cut] = &trace.entries[..] else { panic!("{:?}", trace.entries) };
        let (first, second, cut) = (trace.blocks(first), trace.blocks(second), trace.blocks(cut));
        assert_eq!(first.len(), 4, "100 tokens");
        assert_eq!(
            (second.len(), &second[..4]),
            (7, first),
            "160 tokens of context and 40 more: the last block goes on"
        );
        assert_eq!((cut.len(), &cut[..3]), (5, &first[..3]), "100 tokens of it: three whole blocks");
        assert!(cut[3..].iter().all(|id| !second.contains(id)));
        assert_eq!((trace.turn_prompt, &trace.sessions[..]), (TurnPrompt::Whole, &["b", "a"].map(String::from)[..]));
        for note in [
            "1 rounds keep less than their session's context; they share whole blocks of what they keep",
            "1 rounds have a longer prefix_len than their session's context; the rest is new text",
        ] {
            assert!(trace.notes.iter().any(|n| n == note), "{:?}", trace.notes);
        }
    }

    #[test]
    fn without_arrivals_there_are_no_times() {
        let trace = accepted(
            "session_id,round_idx,prefix_len,input_len,output_len,tool_wait_after_ms\ns,0,0,9,0,1\ns,1,9,1,2,0\n",
            None,
        );
        assert_eq!((trace.entries[0].output_tokens, trace.entries[1].input_tokens), (None, 10));
        assert!(trace.notes[0].starts_with("rows have no times"), "{:?}", trace.notes);
        assert_eq!((trace.block_size, &trace.block_ids[..]), (512, &[0, 0][..]));
    }
}
