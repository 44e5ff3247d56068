//! Shortest paths by number of edges between two given vertices, searched from both.
//!
//! Levels of two breadth-first searches, one against the edges, grow in turns, always the side whose frontier has fewer
//! edges (Pohl 1971). When levels `a` and `b` share a vertex for the first time, the least number of steps is `a + b`:
//! in graphs where everybody is a few steps from everybody, each side sees a small ball instead of nearly everything.
//! What is met lies in hash tables.
//!
//! All shortest paths go through the vertices that both last levels share: from these, the steps back to the source and
//! on to the target are linked.

use crate::error::{Result, Steps, Stop};
use crate::paths::{Links, Paths};
use crate::sparse::SparseMap;
use crate::view::{Adjacency, NONE, Step, View};
use std::sync::Arc;

/// The shortest paths between two vertices.
#[derive(Clone, Debug)]
pub struct Between {
    /// The number of steps of each.
    pub length: u32,
    links: Arc<Links>,
    /// Where paths end.
    target: u32,
}

/// The shortest paths from `source` to `target`; `None` when there are none of at most `length_max` steps.
pub fn between(
    forward: &View,
    reverse: &View,
    source: u32,
    target: u32,
    length_max: u32,
    stop: Stop,
) -> Result<Option<Between>> {
    let mut steps = Steps::new(stop);
    let (mut out, mut back) = (Side::new(source), Side::new(target));
    let middle = loop {
        let middle: Vec<u32> = out.level.iter().copied().filter(|&vertex| back.depth(vertex) == back.last).collect();
        if !middle.is_empty() {
            break middle;
        }
        if out.level.is_empty() || back.level.is_empty() || out.last + back.last >= length_max {
            return Ok(None);
        }
        if out.edges(forward) <= back.edges(reverse) {
            out.grow(forward, &mut steps)?;
        } else {
            back.grow(reverse, &mut steps)?;
        }
    };
    let mut states = States { numbers: SparseMap::new(), vertices: Vec::new(), links: Links::default() };
    for &vertex in &middle {
        states.number(vertex);
    }
    // Back to the source, from every state there is.
    let mut next = 0;
    while let Some(&vertex) = states.vertices.get(next) {
        let depth = out.depth(vertex);
        for step in reverse.steps(vertex).take_while(|_| depth > 0) {
            steps.take(1)?;
            if out.depth(step.vertex) == depth - 1 {
                let (from, _) = states.number(step.vertex);
                states.links.add(from, Step { vertex, ..step }, next as u32);
            }
        }
        next += 1;
    }
    // On to the target, from the middle and what comes after it.
    let mut onward = middle;
    let mut next = 0;
    while let Some(&vertex) = onward.get(next) {
        let (from, _) = states.number(vertex);
        let depth = back.depth(vertex);
        for step in forward.steps(vertex).take_while(|_| depth > 0) {
            steps.take(1)?;
            if back.depth(step.vertex) == depth - 1 {
                let (state, is_new) = states.number(step.vertex);
                if is_new {
                    onward.push(step.vertex);
                }
                states.links.add(from, step, state);
            }
        }
        next += 1;
    }
    let (target, _) = states.number(target);
    Ok(Some(Between { length: out.last + back.last, links: Arc::new(states.links), target }))
}

impl Between {
    /// One of the paths.
    pub fn path(&self) -> Vec<Step> {
        self.links.first(self.target)
    }

    /// All of them.
    pub fn paths<'a>(&self, stop: Stop<'a>) -> Paths<'a> {
        Paths::new(self.links.clone(), self.target, stop)
    }
}

/// The search from one end.
struct Side {
    depths: SparseMap,
    level: Vec<u32>,
    /// The depth of the level.
    last: u32,
}

impl Side {
    fn new(vertex: u32) -> Side {
        Side { depths: SparseMap::of(&[vertex]), level: vec![vertex], last: 0 }
    }

    /// The depth of `vertex`, [`NONE`] if it was not met.
    fn depth(&self, vertex: u32) -> u32 {
        self.depths.get(u64::from(vertex)).unwrap_or(NONE)
    }

    fn edges(&self, view: &View) -> u64 {
        self.level.iter().map(|&vertex| u64::from(view.degree_max(vertex))).sum()
    }

    fn grow(&mut self, view: &View, steps: &mut Steps) -> Result<()> {
        let mut next = Vec::new();
        for &vertex in &self.level {
            for step in view.steps(vertex) {
                steps.take(1)?;
                if self.depths.insert(u64::from(step.vertex), self.last + 1).is_none() {
                    next.push(step.vertex);
                }
            }
        }
        self.level = next;
        self.last += 1;
        Ok(())
    }
}

/// The vertices of the paths, numbered.
struct States {
    numbers: SparseMap,
    vertices: Vec<u32>,
    links: Links,
}

impl States {
    /// The number of `vertex`, and whether it is new.
    fn number(&mut self, vertex: u32) -> (u32, bool) {
        let number = self.vertices.len() as u32;
        if let Some(number) = self.numbers.insert(u64::from(vertex), number) {
            return (number, false);
        }
        self.vertices.push(vertex);
        self.links.add_state();
        (number, true)
    }
}
