//! All shortest paths to a state of a search, one after another.
//!
//! A search that keeps, for each state, every step by which it can be reached at the least cost makes a graph without
//! cycles, whose paths back from a state are the shortest paths to it. Their number may be exponential, so they are
//! walked one by one, with one link for each step in memory.
//!
//! Edges that weigh nothing can make cycles after all. Then paths that meet a vertex twice are left out.

use crate::error::{Result, Steps, Stop};
use crate::view::{NONE, Step};
use std::sync::Arc;

/// A way into a state.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The state it comes from.
    from: u32,
    step: Step,
    /// Another link into the same state.
    next: u32,
}

/// Every step of every shortest path between states, which are numbered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    links: Vec<Link>,
    /// The first and the last link into each state.
    ends: Vec<(u32, u32)>,
    /// Whether a state may be met twice on the way back.
    pub(crate) may_have_cycles: bool,
}

impl Links {
    /// Adds a state.
    pub(crate) fn add_state(&mut self) {
        self.ends.push((NONE, NONE));
    }

    /// Adds a way into `state`, after those it has.
    pub(crate) fn add(&mut self, from: u32, step: Step, state: u32) {
        let link = self.links.len() as u32;
        self.links.push(Link { from, step, next: NONE });
        let (first, last) = &mut self.ends[state as usize];
        match *last {
            NONE => *first = link,
            last => self.links[last as usize].next = link,
        }
        *last = link;
    }

    /// The first path into `state`, in a graph without cycles.
    pub(crate) fn first(&self, state: u32) -> Vec<Step> {
        let mut path = Vec::new();
        let mut at = state;
        while let Some(link) = self.links.get(self.ends[at as usize].0 as usize) {
            path.push(link.step);
            at = link.from;
        }
        path.reverse();
        path
    }
}

/// The shortest paths to one vertex, each as its steps.
#[derive(Clone, Debug)]
pub struct Paths<'a> {
    links: Arc<Links>,
    steps: Steps<'a>,
    /// Where paths end.
    state: u32,
    is_new: bool,
    /// The link tried last of each state on the way back.
    stack: Vec<u32>,
}

impl<'a> Paths<'a> {
    pub(crate) fn new(links: Arc<Links>, state: u32, stop: Stop<'a>) -> Paths<'a> {
        Paths { links, steps: Steps::new(stop), state, is_new: true, stack: Vec::new() }
    }

    fn advance(&mut self) -> Result<Option<Vec<Step>>> {
        let first = |state: u32| self.links.ends[state as usize].0;
        if std::mem::take(&mut self.is_new) {
            let link = first(self.state);
            if link == NONE {
                return Ok(Some(Vec::new()));
            }
            self.stack.push(link);
        }
        while let Some((&top, way)) = self.stack.split_last() {
            self.steps.take(1)?;
            let Some(&Link { from, next, .. }) = self.links.links.get(top as usize) else {
                self.stack.pop();
                if let Some(below) = self.stack.last_mut() {
                    *below = self.links.links[*below as usize].next;
                }
                continue;
            };
            let is_on_way = self.links.may_have_cycles
                && (from == self.state || way.iter().any(|&link| self.links.links[link as usize].from == from));
            if !is_on_way && first(from) != NONE {
                self.stack.push(first(from));
                continue;
            }
            let path = || self.stack.iter().rev().map(|&link| self.links.links[link as usize].step).collect();
            let path = (!is_on_way).then(path);
            *self.stack.last_mut().expect("it has a top") = next;
            if path.is_some() {
                return Ok(path);
            }
        }
        Ok(None)
    }
}

impl Iterator for Paths<'_> {
    type Item = Result<Vec<Step>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
