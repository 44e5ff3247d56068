//! The k shortest paths between two vertices that meet no vertex twice, one after another (Yen 1971, with Lawler's
//! saving of 1972).
//!
//! The shortest path comes first. Every other one leaves some path before it at some vertex, by an edge that no path
//! with the same beginning has taken: for each vertex of the last path given, from where that one left its own
//! predecessor, the best such continuation is found and put among the candidates. The best candidate is the next path.
//! Parallel edges make different paths.
//!
//! Continuations are searched by A*: what is left to go is never less than without forbidden vertices and edges. That
//! is known for all vertices in a ball around the target, and outside it is at least the ball's radius. At first the
//! ball meets another around the source. Whenever searches have looked at as many vertices as are in the ball, it is
//! doubled: so searches for a few paths stay near both ends, and when many are wanted the ball soon holds all there is,
//! and searches go straight to the target. What they meet is in hash tables.
//!
//! Most candidates never become paths. So one is first only a beginning and what a continuation weighs at least, by the
//! edges that may follow; the search is for when nothing else weighs less.
//!
//! Of candidates of the same weight the one with fewer steps comes first, then the one with the smaller steps.

use crate::ball::Ball;
use crate::dijkstra::Dijkstra;
use crate::error::{Result, Steps, Stop};
use crate::lightest::{WeightedPath, meet};
use crate::sparse::SparseMap;
use crate::view::{NONE, Step, View};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fmt;

/// A ball is at most one in so many vertices.
const BALL_MAX: usize = 32;

/// More than sums of weights are rounded by.
const ROUNDING: f64 = 1e-12;

/// The paths, shortest first.
#[derive(Clone)]
pub struct Yen<'a> {
    view: &'a View<'a>,
    reverse: &'a View<'a>,
    source: u32,
    target: u32,
    steps: Steps<'a>,
    stop: Stop<'a>,
    left: Left,
    found: Vec<Vec<Step>>,
    candidates: BTreeSet<Candidate>,
    /// Where the last path left another.
    left_at: usize,
    search: Search,
}

/// A path that may be the next. The order of fields is the order of paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// What it weighs, at least. Weights are not negative, so their bits are ordered as they are.
    weight_bits: u64,
    /// Whether it was searched. Those that were not come first: they may have fewer steps.
    is_path: bool,
    len: usize,
    /// All steps of a path; otherwise those it begins with.
    steps: Vec<Step>,
    /// The number of steps it shares with the path it came from.
    left_at: usize,
}

impl fmt::Debug for Yen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Yen { source, target, found, candidates, .. } = self;
        let counts = (found.len(), candidates.len());
        f.debug_struct("Yen").field("ends", &(source, target)).field("found, candidates", &counts).finish()
    }
}

impl<'a> Yen<'a> {
    /// Paths from `source` to `target`. Edges must not weigh less than nothing.
    pub fn new(view: &'a View<'a>, reverse: &'a View<'a>, source: u32, target: u32, stop: Stop<'a>) -> Result<Yen<'a>> {
        let mut steps = Steps::new(stop);
        let (mut out, mut back) = (Ball::new(source), Ball::new(target));
        let common = if source == target { source } else { NONE };
        let middle = meet(view, reverse, &mut out, &mut back, common, &mut steps)?;
        let left = Left { target, radius: back.radius(), ball: back, distances: Vec::new() };
        let mut yen = Yen {
            view,
            reverse,
            source,
            target,
            steps,
            stop,
            left,
            found: Vec::new(),
            candidates: BTreeSet::new(),
            left_at: 0,
            search: Search::new(),
        };
        if middle.is_some() {
            yen.search(&[])?;
        }
        Ok(yen)
    }

    fn advance(&mut self) -> Result<Option<WeightedPath>> {
        if let Some(last) = self.found.last().cloned() {
            for shared in self.left_at..last.len() {
                self.leave(&last[..shared])?;
            }
        }
        // Not again what was tried.
        self.left_at = usize::MAX;
        while let Some(best) = self.candidates.pop_first() {
            if best.is_path {
                self.left_at = best.left_at;
                self.found.push(best.steps.clone());
                return Ok(Some(WeightedPath { weight: f64::from_bits(best.weight_bits), steps: best.steps }));
            }
            self.search(&best.steps)?;
        }
        Ok(None)
    }

    /// Where the steps lead, and those after them that paths have taken. Forbids the vertices before.
    fn prepare(&mut self, start: &[Step]) -> (u32, Vec<Step>) {
        let taken = |path: &Vec<Step>| path.starts_with(start).then(|| path.get(start.len()).copied()).flatten();
        let taken = self.found.iter().filter_map(taken).collect();
        let at = start.last().map_or(self.source, |step| step.vertex);
        self.search.forbidden.clear();
        let before = [self.source].into_iter().chain(start.iter().map(|step| step.vertex)).take(start.len());
        for vertex in before {
            self.search.forbidden.insert(u64::from(vertex), 0);
        }
        (at, taken)
    }

    /// Makes a candidate of the paths that begin with `start` and were not found.
    fn leave(&mut self, start: &[Step]) -> Result<()> {
        let (at, taken) = self.prepare(start);
        let mut least = f64::INFINITY;
        for step in self.view.steps(at) {
            self.steps.take(1)?;
            if !taken.contains(&step) && !self.search.forbidden.has(step.vertex) {
                least = least.min(self.view.weight_not_negative(step)? + self.left.at_least(step.vertex));
            }
        }
        if least < f64::INFINITY {
            let start_weight = WeightedPath::new(self.view, start.to_vec()).weight;
            // Never more, however sums are rounded.
            let weight_bits = ((start_weight + least) * (1.0 - ROUNDING)).to_bits();
            let (steps, left_at) = (start.to_vec(), start.len());
            self.candidates.insert(Candidate { weight_bits, is_path: false, len: steps.len(), steps, left_at });
        }
        Ok(())
    }

    /// Makes a candidate of the best path that begins with `start` and was not found.
    fn search(&mut self, start: &[Step]) -> Result<()> {
        let (at, taken) = self.prepare(start);
        let end = loop {
            match self.search.run(self.view, at, self.target, &taken, &self.left, &mut self.steps)? {
                Outcome::Found(end) => break end,
                Outcome::Nothing => return Ok(()),
                Outcome::Lost => self.left.double(self.reverse, &mut self.steps, self.stop)?,
            }
        };
        let WeightedPath { weight, steps } = WeightedPath::new(self.view, [start, &end].concat());
        let (weight_bits, left_at) = (weight.to_bits(), start.len());
        self.candidates.insert(Candidate { weight_bits, is_path: true, len: steps.len(), steps, left_at });
        Ok(())
    }
}

impl Iterator for Yen<'_> {
    type Item = Result<WeightedPath>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// How far it is to the target.
#[derive(Clone, Debug)]
struct Left {
    target: u32,
    ball: Ball,
    radius: f64,
    /// From every vertex, once that was found out.
    distances: Vec<f64>,
}

impl Left {
    /// At least so far: infinite if there is no way.
    fn at_least(&self, vertex: u32) -> f64 {
        match self.distances.get(vertex as usize) {
            Some(&distance) => distance,
            None => self.ball.weight(vertex).min(self.radius),
        }
    }

    /// Whether it is known for all vertices.
    fn is_known(&self) -> bool {
        self.radius == f64::INFINITY || !self.distances.is_empty()
    }

    /// Makes the ball twice as large. When it would be a good part of the graph, looks at all of it instead, which
    /// takes no hash table.
    fn double(&mut self, reverse: &View, steps: &mut Steps, stop: Stop) -> Result<()> {
        let len = 2 * self.ball.len();
        if len > reverse.vertices as usize / BALL_MAX {
            let mut backward = Dijkstra::new(reverse.vertices);
            self.distances = backward.search(reverse, &[self.target], None, f64::INFINITY, stop)?.distances().to_vec();
            return Ok(());
        }
        while self.ball.len() < len && self.radius < f64::INFINITY {
            self.ball.grow(reverse, steps, |_, _| {})?;
            self.radius = self.ball.radius();
        }
        Ok(())
    }
}

/// A search for one continuation; its memory is used again.
#[derive(Clone, Debug)]
struct Search {
    forbidden: SparseMap,
    numbers: SparseMap,
    states: Vec<State>,
    heap: BinaryHeap<Reverse<Entry>>,
    /// How many vertices were looked at since the ball has its size.
    looks: usize,
}

/// What came out of a search.
enum Outcome {
    Found(Vec<Step>),
    /// There is no way.
    Nothing,
    /// It has looked around for long: a larger ball would help.
    Lost,
}

/// A vertex that was reached.
#[derive(Clone, Copy, Debug)]
struct State {
    vertex: u32,
    weight: f64,
    /// The number of the state before, and the step from there.
    from: u32,
    step: Step,
}

/// A state by what a path through it weighs at least; then the furthest, so that of paths of the same weight one is
/// gone to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    total_bits: u64,
    left_bits: u64,
    state: u32,
    weight_bits: u64,
}

impl Search {
    fn new() -> Search {
        Search {
            forbidden: SparseMap::new(),
            numbers: SparseMap::new(),
            states: Vec::new(),
            heap: BinaryHeap::new(),
            looks: 0,
        }
    }

    /// The best path from `source` to `target` that begins with none of `taken`.
    fn run(
        &mut self,
        view: &View,
        source: u32,
        target: u32,
        taken: &[Step],
        left: &Left,
        steps: &mut Steps,
    ) -> Result<Outcome> {
        self.numbers.clear();
        self.states.clear();
        self.heap.clear();
        self.reach(State { vertex: source, weight: 0.0, from: NONE, step: Step::NONE }, left);
        while let Some(Reverse(entry)) = self.heap.pop() {
            let State { vertex, weight, .. } = self.states[entry.state as usize];
            if weight.to_bits() != entry.weight_bits {
                continue;
            }
            if vertex == target {
                return Ok(Outcome::Found(self.path(entry.state)));
            }
            self.looks += 1;
            if self.looks > left.ball.len() && !left.is_known() {
                self.looks = 0;
                return Ok(Outcome::Lost);
            }
            for step in view.steps(vertex) {
                steps.take(1)?;
                let is_taken = entry.state == 0 && taken.contains(&step);
                if is_taken || self.forbidden.has(step.vertex) {
                    continue;
                }
                let weight = weight + view.weight_not_negative(step)?;
                self.reach(State { vertex: step.vertex, weight, from: entry.state, step }, left);
            }
        }
        Ok(Outcome::Nothing)
    }

    fn reach(&mut self, state: State, left: &Left) {
        let left = left.at_least(state.vertex);
        if left == f64::INFINITY {
            return;
        }
        let new = self.states.len() as u32;
        let number = self.numbers.insert(u64::from(state.vertex), new).unwrap_or(new);
        match self.states.get_mut(number as usize) {
            None => self.states.push(state),
            Some(known) if state.weight < known.weight => *known = state,
            Some(_) => return,
        }
        let (total_bits, left_bits) = ((state.weight + left).to_bits(), left.to_bits());
        self.heap.push(Reverse(Entry { total_bits, left_bits, state: number, weight_bits: state.weight.to_bits() }));
    }

    fn path(&self, state: u32) -> Vec<Step> {
        let mut path = Vec::new();
        let mut at = self.states[state as usize];
        while at.from != NONE {
            path.push(at.step);
            at = self.states[at.from as usize];
        }
        path.reverse();
        path
    }
}
