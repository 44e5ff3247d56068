//! All paths from a vertex, one after another: what SQL/PGQ's quantifiers `{min,max}` ask for.
//!
//! Depth first, with one cursor for each vertex of the path: memory grows with the length of a path, never with the
//! number of paths, which is easily astronomical. A path comes before those that continue it. Paths are told apart by
//! their edges: parallel edges make different ones.
//!
//! Whether an edge or a vertex is on the path already is looked up in its first steps directly, and for the others in a
//! hash table: most paths are short.

use crate::error::{Result, Steps, Stop};
use crate::view::{Cursor, NONE, Step, View};
use std::collections::HashSet;

/// Steps that are looked through one by one.
const NEAR: usize = 32;

/// What a path may not do twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It may do anything twice: there is no end of paths unless their length has a bound.
    Walk,
    /// No edge is gone twice, whichever way.
    Trail,
    /// No vertex is met twice.
    Acyclic,
    /// No vertex is met twice, but the last may be the first.
    Simple,
}

/// How many steps a path has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lengths {
    /// At least so many.
    pub min: u32,
    /// At most so many; [`NONE`] is no bound.
    pub max: u32,
}

/// Paths from one vertex after another.
#[derive(Clone, Debug)]
pub struct Walks<'a> {
    view: &'a View<'a>,
    mode: Mode,
    lengths: Lengths,
    /// How many steps it takes at least from each vertex to where paths are to end.
    reach: Option<&'a [u32]>,
    steps: Steps<'a>,
    start: u32,
    /// Whether there would be more if longer ones were wanted.
    was_cut: bool,
    /// The empty path has yet to be given.
    is_new: bool,
    path: Vec<Step>,
    /// What is left to try after each number of steps; one more than there are steps, or none.
    cursors: Vec<Cursor>,
    /// Edges or vertices of the steps that are not near.
    far: HashSet<u64>,
}

impl<'a> Walks<'a> {
    /// No paths until [`Walks::start`]. Unbounded walks are the caller's to refuse.
    pub fn new(view: &'a View<'a>, mode: Mode, lengths: Lengths, stop: Stop<'a>) -> Walks<'a> {
        Walks {
            view,
            mode,
            lengths,
            reach: None,
            steps: Steps::new(stop),
            start: NONE,
            was_cut: false,
            is_new: false,
            path: Vec::new(),
            cursors: Vec::new(),
            far: HashSet::new(),
        }
    }

    /// Only paths to vertices where `reach` is 0. It has the least number of steps from each vertex to any of these,
    /// [`NONE`] if there is no way: the depths of a search from there in the reverse view. Steps that lead too far away
    /// are never taken.
    pub fn toward(mut self, reach: &'a [u32]) -> Walks<'a> {
        self.reach = Some(reach);
        self
    }

    /// From now on, paths from `vertex`.
    pub fn start(&mut self, vertex: u32) {
        self.start = vertex;
        self.path.clear();
        self.far.clear();
        self.cursors.clear();
        self.was_cut = false;
        self.is_new = self.is_near_enough(0, vertex);
        if self.is_new {
            let cursor = self.cursor();
            self.cursors.push(cursor);
        }
    }

    /// The steps of the next path; `None` after the last.
    #[expect(clippy::should_implement_trait, reason = "it lends what it gives, which an Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<&[Step]>> {
        Ok(self.advance()?.then_some(&self.path))
    }

    /// From the next start on, paths of these lengths.
    pub(crate) fn set_lengths(&mut self, lengths: Lengths) {
        self.lengths = lengths;
    }

    /// After the last path: whether there would be more if longer ones were wanted.
    pub(crate) fn was_cut(&self) -> bool {
        self.was_cut
    }

    /// The path it is at.
    pub(crate) fn path(&self) -> &[Step] {
        &self.path
    }

    /// Goes to the next path; whether there is one.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.is_new) && self.is_wanted(self.start) {
            return Ok(true);
        }
        while let Some(cursor) = self.cursors.last_mut() {
            let at = self.path.last().map_or(self.start, |step| step.vertex);
            let Some(step) = self.view.advance(at, cursor) else {
                self.leave();
                continue;
            };
            self.steps.take(1)?;
            if self.may_take(step) {
                self.enter(step);
                if self.is_wanted(step.vertex) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the path, which is at `vertex`, is one to give.
    fn is_wanted(&self, vertex: u32) -> bool {
        self.path.len() >= self.lengths.min as usize && self.reach.is_none_or(|reach| reach[vertex as usize] == 0)
    }

    /// Whether `vertex`, after so many steps, is not too far from where paths are to end.
    fn is_near_enough(&mut self, steps: u32, vertex: u32) -> bool {
        let reach = self.reach.map_or(0, |reach| reach[vertex as usize]);
        let is_near_enough = reach != NONE && steps.checked_add(reach).is_some_and(|steps| steps <= self.lengths.max);
        self.was_cut |= !is_near_enough && reach != NONE;
        is_near_enough
    }

    fn may_take(&mut self, step: Step) -> bool {
        // First what says nothing about longer paths.
        self.is_allowed(step) && self.is_near_enough(self.path.len() as u32 + 1, step.vertex)
    }

    fn is_allowed(&self, step: Step) -> bool {
        match self.mode {
            Mode::Walk => true,
            Mode::Trail => !self.has(step),
            Mode::Acyclic => step.vertex != self.start && !self.has(step),
            Mode::Simple => !self.has(step),
        }
    }

    /// Whether the path has the step's edge or vertex.
    fn has(&self, step: Step) -> bool {
        let key = self.key(step);
        let near = &self.path[..self.path.len().min(NEAR)];
        near.iter().any(|&step| self.key(step) == key) || self.path.len() > NEAR && self.far.contains(&key)
    }

    /// What the path may not have twice.
    fn key(&self, step: Step) -> u64 {
        match self.mode {
            Mode::Walk | Mode::Trail => self.view.edge_id(step),
            Mode::Acyclic | Mode::Simple => u64::from(step.vertex),
        }
    }

    fn enter(&mut self, step: Step) {
        if self.path.len() >= NEAR && self.mode != Mode::Walk {
            self.far.insert(self.key(step));
        }
        self.path.push(step);
        let is_closed = self.mode == Mode::Simple && step.vertex == self.start;
        let cursor = if is_closed { Cursor::END } else { self.cursor() };
        self.cursors.push(cursor);
    }

    /// Where the steps after the path begin.
    fn cursor(&mut self) -> Cursor {
        if (self.path.len() as u32) < self.lengths.max {
            return Cursor::START;
        }
        self.was_cut = true;
        Cursor::END
    }

    fn leave(&mut self) {
        self.cursors.pop();
        if let Some(step) = self.path.pop()
            && self.path.len() >= NEAR
            && self.mode != Mode::Walk
        {
            self.far.remove(&self.key(step));
        }
    }
}
