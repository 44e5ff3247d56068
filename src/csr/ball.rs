//! What is near a vertex by weight: a search by Dijkstra that grows one vertex at a time and costs what it meets.
//!
//! For searches that meet others halfway, or that need to know the surroundings of their target. What is met lies in a
//! hash table.

use crate::error::{Result, Steps};
use crate::sparse::SparseMap;
use crate::view::{NONE, Step, View};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The vertices nearest to one, and how to get there.
#[derive(Clone, Debug)]
pub(crate) struct Ball {
    numbers: SparseMap,
    met: Vec<Met>,
    /// Weights as bits, which have the order of the numbers as these are not negative, and what was met. Some are
    /// outdated.
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

/// A vertex that was met.
#[derive(Clone, Copy, Debug)]
struct Met {
    weight: f64,
    /// The number of the one before, and the step from there.
    from: u32,
    step: Step,
}

impl Ball {
    pub(crate) fn new(centre: u32) -> Ball {
        let mut ball = Ball { numbers: SparseMap::new(), met: Vec::new(), heap: BinaryHeap::new() };
        ball.meet(Met { weight: 0.0, from: NONE, step: Step { vertex: centre, ..Step::NONE } });
        ball
    }

    /// What the best path to `vertex` so far weighs: infinite if none is known.
    pub(crate) fn weight(&self, vertex: u32) -> f64 {
        self.numbers.get(u64::from(vertex)).map_or(f64::INFINITY, |number| self.met[number as usize].weight)
    }

    /// Weights below this are final, and no other vertex is nearer. Infinite when all is met.
    pub(crate) fn radius(&mut self) -> f64 {
        while let Some(&Reverse((bits, number))) = self.heap.peek() {
            if bits == self.met[number as usize].weight.to_bits() {
                return f64::from_bits(bits);
            }
            self.heap.pop();
        }
        f64::INFINITY
    }

    /// How many vertices were met.
    pub(crate) fn len(&self) -> usize {
        self.met.len()
    }

    /// How many vertices wait at the rim, about.
    pub(crate) fn rim(&self) -> usize {
        self.heap.len()
    }

    /// Takes in the next vertex. Tells `nearer` of those that came nearer by that.
    pub(crate) fn grow(&mut self, view: &View, steps: &mut Steps, mut nearer: impl FnMut(u32, f64)) -> Result<()> {
        if self.radius() == f64::INFINITY {
            return Ok(());
        }
        let Some(Reverse((_, number))) = self.heap.pop() else { return Ok(()) };
        let Met { weight, step, .. } = self.met[number as usize];
        for step in view.steps(step.vertex) {
            steps.take(1)?;
            let weight = weight + view.weight_not_negative(step)?;
            if self.meet(Met { weight, from: number, step }) {
                nearer(step.vertex, weight);
            }
        }
        Ok(())
    }

    /// The steps of the best path to `vertex`, last first; each with where it comes from.
    pub(crate) fn back(&self, vertex: u32) -> impl Iterator<Item = (u32, Step)> {
        let mut at = self.numbers.get(u64::from(vertex)).unwrap_or(NONE);
        std::iter::from_fn(move || {
            let met = self.met.get(at as usize)?;
            at = met.from;
            self.met.get(at as usize).map(|before| (before.step.vertex, met.step))
        })
    }

    /// Whether that is nearer than what was known.
    fn meet(&mut self, met: Met) -> bool {
        let new = self.met.len() as u32;
        let number = self.numbers.insert(u64::from(met.step.vertex), new).unwrap_or(new);
        match self.met.get_mut(number as usize) {
            None => self.met.push(met),
            Some(known) if met.weight < known.weight => *known = met,
            Some(_) => return false,
        }
        self.heap.push(Reverse((met.weight.to_bits(), number)));
        true
    }
}
