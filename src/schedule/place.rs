//! A pool of requests and a phase's load → the phase's slots, and who waits for whom among them.
//!
//! By the trace's own clock every request has its time, if it has one, and its links beside it. At a rate, and in closed
//! loop, the trace's clock means nothing: each group of requests that hang together begins at a time, or on a lane, and
//! the rest of it follows by its links; what begins a group later than its first request does is sent with that one.
//! Not here: texts and lengths ([`super::build`]).

use std::collections::HashMap;

use super::graph::{Graph, Link, grouped, groups_of};
use super::opening::Opening;
use super::order::Order;
use super::spec::{Load, PhaseSpec};
use super::{PhasePlan, Prompt, Release, Slot, users};
use crate::error::{Error, Result};
use crate::outcome::Phase;
use crate::trace::{Trace, TurnPrompt, Wait, WaitFor};

/// Lengths, text and links of one request before it has a place in time.
#[derive(Clone, Copy)]
pub(super) struct Content {
    pub(super) prompt: Prompt,
    pub(super) input_tokens: u32,
    pub(super) max_tokens: Option<u32>,
    pub(super) session: Option<u32>,
    pub(super) recorded_ns: Option<i64>,
    pub(super) delay_ns: Option<i64>,
    /// Whether its prompt holds the conversation so far, so that nothing goes in front of it.
    pub(super) is_whole: bool,
}

/// Requests in their order, and the trace that says what they wait for; one without entries where they were drawn.
pub(super) struct Pool<'a> {
    requests: Vec<Content>,
    trace: &'a Trace,
    opening: &'a Opening,
    /// The group of each request; empty where each stands alone.
    groups: Vec<u32>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(requests: Vec<Content>, trace: &'a Trace, opening: &'a Opening) -> Self {
        let groups = match trace.entries.is_empty() {
            false => groups_of(trace),
            // Drawn requests are in no trace.
            true if requests.iter().any(|r| r.session.is_some()) => {
                grouped(requests.iter().map(|r| r.session), |_| &[])
            }
            true => Vec::new(),
        };
        Pool { requests, trace, opening, groups }
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// How many groups there are.
    pub(super) fn conversations(&self) -> u64 {
        (0..self.len()).filter(|at| self.group(*at) as usize == *at).count() as u64
    }

    /// Whether requests wait for others than the turn before them.
    pub(super) fn has_waits(&self) -> bool {
        !self.trace.waits.is_empty()
    }

    fn waits(&self, request: usize) -> &[Wait] {
        self.trace.entries.get(request).map_or(&[], |entry| self.trace.waits(entry))
    }

    /// The group of a request, named by its first member.
    pub(super) fn group(&self, request: usize) -> u32 {
        self.groups.get(request).copied().unwrap_or(request as u32)
    }
}

/// Gives the pool's requests, taken in that order, their places in one phase.
pub(super) fn phase(spec: &PhaseSpec, pool: &Pool<'_>, order: &mut Order, first_request_id: u64) -> Result<PhasePlan> {
    let mut placing = Placing::new(pool, spec);
    let mut lanes = 0;
    let n = pool.requests.len();
    let most = spec.requests_max.map_or(usize::MAX, |most| most as usize);
    let conversations = spec.conversations_max.unwrap_or(u64::MAX);
    order.begin();
    match &spec.load {
        Load::Recorded => {
            let mut begun = 0;
            for at in 0..n.min(most) {
                let recorded_ns = pool.requests[at].recorded_ns;
                let late = spec.duration_ns.is_some_and(|d| recorded_ns.is_some_and(|t| t >= d));
                let begins = !placing.has_begun(at);
                if late || begins && begun == conversations || placing.hangs_on_what_is_left_out(at) {
                    placing.leave_out(at);
                } else {
                    begun += u64::from(begins);
                    placing.add(at, || recorded_ns.map(Release::At))?;
                }
            }
        }
        Load::Times(times) => {
            let releases = times.iter().map(|t| Release::At(*t));
            placing.take(order, most, conversations, releases)?;
        }
        Load::Lanes { lanes: asked, requests } => {
            lanes = *asked;
            // What is gone through again and again is as many conversations as there are.
            let conversations = if spec.is_endless() { pool.conversations() } else { conversations };
            let most = most.min(requests.map_or(usize::MAX, |wanted| wanted as usize));
            placing.take(order, most, conversations, std::iter::repeat(Release::Lane))?;
        }
        Load::Users(of) => users::place(&mut placing, *of, spec, order)?,
    }
    Ok(PhasePlan {
        phase: spec.phase,
        graph: Graph::new(placing.slots.len(), placing.links),
        slots: placing.slots,
        first_request_id,
        lanes,
        repeat: spec.is_endless(),
        caps: spec.caps,
        duration_ns: spec.duration_ns,
        grace_ns: spec.grace_ns,
        on_overload: spec.on_overload,
        cancel_after_ns: spec.cancellation.map_or(0, |c| c.after_ns),
    })
}

/// The slot of a request that has none.
const NOWHERE: u32 = u32::MAX;

/// The slots so far, and where this pass over the pool stands.
pub(super) struct Placing<'a> {
    pool: &'a Pool<'a>,
    phase: Phase,
    /// Whether the trace's own times count.
    by_clock: bool,
    slots: Vec<Slot>,
    links: Vec<(u32, Link)>,
    /// The slot of each request; kept only where requests wait for each other beyond sessions.
    places: Vec<u32>,
    /// The last slot of each session; [`NOWHERE`] where its last turn was left out.
    last_turns: HashMap<u32, u32>,
    /// The first slot of each group.
    firsts: HashMap<u32, u32>,
}

impl<'a> Placing<'a> {
    fn new(pool: &'a Pool<'a>, spec: &PhaseSpec) -> Self {
        Placing {
            pool,
            phase: spec.phase,
            by_clock: matches!(spec.load, Load::Recorded),
            slots: Vec::new(),
            links: Vec::new(),
            places: if pool.trace.waits.is_empty() { Vec::new() } else { vec![NOWHERE; pool.requests.len()] },
            last_turns: HashMap::new(),
            firsts: HashMap::new(),
        }
    }

    /// Places requests in this order until there are `most`, or no further conversation may begin: there are as many as
    /// may be, or nothing is left to release one.
    fn take(
        &mut self,
        order: &mut Order,
        most: usize,
        conversations: u64,
        releases: impl Iterator<Item = Release>,
    ) -> Result<()> {
        let (mut releases, mut begun) = (releases.peekable(), 0);
        for (request, anew) in order {
            if self.slots.len() >= most {
                break;
            }
            if anew {
                // When the pool starts again, so do its sessions. A place is noted again before it is asked for.
                self.last_turns.clear();
                self.firsts.clear();
            }
            if !self.has_begun(request) {
                if begun == conversations || releases.peek().is_none() {
                    if anew || self.pool.groups.is_empty() {
                        break;
                    }
                    // Conversations that have begun go on.
                    continue;
                }
                begun += 1;
            }
            self.add(request, || releases.next())?;
        }
        Ok(())
    }

    /// Whether a part of the request's group is already in this pass.
    fn has_begun(&self, request: usize) -> bool {
        self.firsts.contains_key(&self.pool.group(request))
    }

    fn hangs_on_what_is_left_out(&self, request: usize) -> bool {
        let session = self.pool.requests[request].session;
        session.is_some_and(|s| self.last_turns.get(&s) == Some(&NOWHERE))
            || self.pool.waits(request).iter().any(|w| self.places[w.entry as usize] == NOWHERE)
    }

    fn leave_out(&mut self, request: usize) {
        if let Some(session) = self.pool.requests[request].session {
            self.last_turns.insert(session, NOWHERE);
        }
    }

    pub(super) fn pool(&self) -> &'a Pool<'a> {
        self.pool
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// Whether later turns' prompts hold only what each adds.
    pub(super) fn adds(&self) -> bool {
        self.pool.trace.turn_prompt == TurnPrompt::Added
    }

    /// Tokens of a turn's own text and its answer.
    pub(super) fn tokens_said(&self, request: usize) -> u64 {
        let content = &self.pool.requests[request];
        u64::from(content.input_tokens) + u64::from(content.max_tokens.unwrap_or(0))
    }

    /// Places a turn that waits for that slot's end, and for a gap after its sending. Gives its own slot.
    pub(super) fn add_turn(
        &mut self,
        request: usize,
        previous: Option<u32>,
        release: Release,
        gap_ns: i64,
    ) -> Result<u32> {
        let index = self.slots.len() as u32;
        if let Some(previous) = previous {
            for (event, delay_ns) in [(WaitFor::End, 0), (WaitFor::Dispatch, gap_ns)] {
                self.links.push((previous, Link { slot: index, event, delay_ns }));
            }
        }
        self.push(request, previous, release)?;
        Ok(index)
    }

    /// Places a request. `first` releases it where nothing else does.
    fn add(&mut self, request: usize, first: impl FnOnce() -> Option<Release>) -> Result<()> {
        let index = self.slots.len() as u32;
        let session = self.pool.requests[request].session;
        let previous = session.and_then(|s| self.last_turns.insert(s, index));
        let release = self.release(request, previous, first)?;
        if let Some(place) = self.places.get_mut(request) {
            *place = index;
        }
        self.push(request, previous, release)
    }

    /// Appends the slot of a request, behind the conversation's previous turn.
    fn push(&mut self, request: usize, previous: Option<u32>, release: Release) -> Result<()> {
        let content = &self.pool.requests[request];
        let index = self.slots.len() as u32;
        let added = self.adds() && !content.is_whole;
        let before = previous.map(|turn| &mut self.slots[turn as usize]);
        let continues = added && before.is_some();
        let (mut turn, mut input_tokens) = (0, Some(content.input_tokens));
        if let Some(before) = before {
            turn = before.turn + 1;
            if continues {
                before.is_continued = true;
                let history = before.input_tokens.checked_add(before.max_tokens.unwrap_or(0));
                input_tokens = history.and_then(|history| history.checked_add(content.input_tokens));
            }
        }
        let opening = match content.prompt {
            Prompt::Messages(_) => 0,
            _ if continues => 0,
            prompt => {
                let is_given = matches!(prompt, Prompt::Literal(_));
                let opening = self.pool.opening;
                opening.message_tokens(self.phase) + opening.turn_tokens(self.phase, is_given)
            }
        };
        let Some(input_tokens) = input_tokens.and_then(|tokens| tokens.checked_add(opening)) else {
            return Err(Error::Usage(format!("the conversation before request {index} is of more than 4e9 tokens")));
        };
        // A warm-up that sent the trace's own blocks would fill the prefix cache that is to be measured.
        let prompt = match (self.phase, content.prompt) {
            (Phase::Warmup, Prompt::Blocks { .. }) => Prompt::Unique,
            (_, prompt) => prompt,
        };
        self.slots.push(Slot {
            release,
            prompt,
            input_tokens,
            max_tokens: content.max_tokens,
            session: content.session,
            turn,
            previous_turn: previous,
            continues,
            is_continued: false,
            cancel: false,
        });
        Ok(())
    }

    /// What releases a request that is about to be placed; notes its links.
    fn release(
        &mut self,
        request: usize,
        previous: Option<u32>,
        first: impl FnOnce() -> Option<Release>,
    ) -> Result<Release> {
        let index = self.slots.len() as u32;
        let content = &self.pool.requests[request];
        let own_ns = content.recorded_ns.filter(|_| self.by_clock);
        let linked = self.links.len();
        if let Some(previous) = previous {
            let link = Link { slot: index, event: WaitFor::End, delay_ns: content.delay_ns.unwrap_or(0) };
            self.links.push((previous, link));
        }
        for wait in self.pool.waits(request) {
            let link = Link { slot: index, event: wait.event, delay_ns: wait.delay_ns };
            self.links.push((self.places[wait.entry as usize], link));
        }
        let begun = self.firsts.get(&self.pool.group(request)).copied();
        if let (Some(first), false, true) = (begun, self.by_clock, self.links.len() == linked) {
            self.links.push((first, Link { slot: index, event: WaitFor::Dispatch, delay_ns: 0 }));
        }
        if !self.pool.groups.is_empty() {
            self.firsts.entry(self.pool.group(request)).or_insert(index);
        }
        if self.links.len() > linked {
            return Ok(Release::After(own_ns.unwrap_or(0)));
        }
        first().ok_or_else(|| {
            Error::Usage(format!(
                "request {index} of the trace has no time: give --request-rate or --concurrency instead of \
                 --fixed-schedule"
            ))
        })
    }
}
