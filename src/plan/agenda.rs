//! Steps and how they ended → which may start now.
//!
//! Invariants: a step starts once, after all that it needs were answered; of the steps on one endpoint one runs at a time; what
//! needs a step that failed is never started.

use super::file::Plan;

/// What has become of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for others, or for its turn.
    Waiting,
    /// It runs.
    Running,
    /// It was answered now.
    Done,
    /// An earlier call of the plan had answered it.
    Kept,
    /// It ended without an answer.
    Failed,
    /// It was cut short.
    Interrupted,
    /// Something that it needs was not answered.
    Skipped,
}

impl State {
    /// Whether there is a result.
    pub fn is_answered(self) -> bool {
        matches!(self, State::Done | State::Kept)
    }
}

/// The steps of a plan under way.
#[derive(Clone, Debug)]
pub struct Agenda<'a> {
    plan: &'a Plan,
    states: Vec<State>,
}

impl<'a> Agenda<'a> {
    /// Nothing has been started.
    pub fn new(plan: &'a Plan) -> Agenda<'a> {
        Agenda { plan, states: vec![State::Waiting; plan.steps.len()] }
    }

    /// What has become of each step.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// Tells of a step. Those that can no longer be answered are skipped.
    pub fn set(&mut self, step: usize, state: State) {
        self.states[step] = state;
        for (n, step) in self.plan.steps.iter().enumerate() {
            let is_lost =
                |need: &usize| matches!(self.states[*need], State::Failed | State::Interrupted | State::Skipped);
            if self.states[n] == State::Waiting && step.needs.iter().any(is_lost) {
                self.states[n] = State::Skipped;
            }
        }
    }

    /// The first step that may start, if there is one.
    pub fn next(&self) -> Option<usize> {
        let is_free = |on: &str| {
            let mut others = self.plan.steps.iter().zip(&self.states);
            !others.any(|(other, state)| *state == State::Running && other.on.as_deref() == Some(on))
        };
        self.plan.steps.iter().enumerate().position(|(n, step)| {
            self.states[n] == State::Waiting
                && step.needs.iter().all(|need| self.states[*need].is_answered())
                && step.on.as_deref().is_none_or(is_free)
        })
    }

    /// Steps that run.
    pub fn running(&self) -> usize {
        self.states.iter().filter(|state| **state == State::Running).count()
    }
}
