//! Strongly connected components: which vertices can be reached from each other.
//!
//! Tarjan's algorithm (*Depth-First Search and Linear Graph Algorithms*, 1972), with the stack of calls on the heap. It
//! is one walk through all edges in an order that no second thread can help with. But most large graphs have one
//! component that holds much of them, and that one is quick to find by two breadth-first searches by all threads
//! (Fleischer, Hendrickson, Pınar 2000): what a vertex of high degree reaches, of what reaches it. Tarjan's walk goes
//! through the rest.

use crate::bfs::{Search, bfs};
use crate::error::{Result, Steps, Stop};
use crate::view::{Adjacency, Cursor, NONE, View};

/// Smaller graphs are walked at once.
const VERTICES_MIN: u32 = 1 << 12;

/// The component of each vertex, named by the smallest vertex in it.
pub fn scc(forward: &View, reverse: &View, threads: usize, stop: Stop) -> Result<Vec<u32>> {
    let mut components = vec![NONE; forward.vertices as usize];
    if forward.vertices >= VERTICES_MIN {
        around_pivot(forward, reverse, &mut components, threads, stop)?;
    }
    Tarjan::new(forward, components, stop).run()
}

/// Names the component of a vertex that is likely in the largest.
fn around_pivot(forward: &View, reverse: &View, components: &mut [u32], threads: usize, stop: Stop) -> Result<()> {
    let degree = |&vertex: &u32| u64::from(forward.degree_max(vertex)) * u64::from(reverse.degree_max(vertex));
    let Some(pivot) = (0..forward.vertices).max_by_key(degree) else { return Ok(()) };
    let out = bfs(forward, reverse, Search::from(&[pivot]), threads, stop)?;
    let back = bfs(reverse, forward, Search::from(&[pivot]), threads, stop)?;
    let is_in = |&vertex: &usize| out[vertex] != NONE && back[vertex] != NONE;
    let Some(name) = (0..components.len()).find(is_in) else { return Ok(()) };
    (0..components.len()).filter(is_in).for_each(|vertex| components[vertex] = name as u32);
    Ok(())
}

/// The walk. Vertices that have a component already are as if they were not there.
struct Tarjan<'a> {
    view: &'a View<'a>,
    components: Vec<u32>,
    /// When each vertex was met, from 1; 0 before.
    met: Vec<u32>,
    /// The earliest of those without component that is known to be reached from each vertex.
    low: Vec<u32>,
    /// Met, but without component yet.
    open: Vec<u32>,
    /// The way from the root to where the walk is.
    way: Vec<(u32, Cursor)>,
    clock: u32,
    steps: Steps<'a>,
}

impl<'a> Tarjan<'a> {
    fn new(view: &'a View<'a>, components: Vec<u32>, stop: Stop<'a>) -> Tarjan<'a> {
        let zeros = vec![0; components.len()];
        let (open, way) = (Vec::new(), Vec::new());
        Tarjan { view, components, met: zeros.clone(), low: zeros, open, way, clock: 0, steps: Steps::new(stop) }
    }

    fn run(mut self) -> Result<Vec<u32>> {
        for root in 0..self.view.vertices {
            if self.met[root as usize] == 0 && self.components[root as usize] == NONE {
                self.meet(root);
                self.walk()?;
            }
        }
        Ok(self.components)
    }

    fn meet(&mut self, vertex: u32) {
        self.clock += 1;
        self.met[vertex as usize] = self.clock;
        self.low[vertex as usize] = self.clock;
        self.open.push(vertex);
        self.way.push((vertex, Cursor::START));
    }

    fn walk(&mut self) -> Result<()> {
        while let Some((vertex, cursor)) = self.way.last_mut() {
            let vertex = *vertex;
            let Some(step) = self.view.advance(vertex, cursor) else {
                self.leave(vertex);
                continue;
            };
            self.steps.take(1)?;
            let next = step.vertex as usize;
            if self.components[next] != NONE {
                continue;
            }
            match self.met[next] {
                0 => self.meet(step.vertex),
                met => self.low[vertex as usize] = self.low[vertex as usize].min(met),
            }
        }
        Ok(())
    }

    fn leave(&mut self, vertex: u32) {
        self.way.pop();
        let low = self.low[vertex as usize];
        if low == self.met[vertex as usize] {
            self.close(vertex);
        }
        if let Some(&(before, _)) = self.way.last() {
            self.low[before as usize] = self.low[before as usize].min(low);
        }
    }

    /// Makes a component of `vertex` and those met after it that have none.
    fn close(&mut self, vertex: u32) {
        let first = self.open.iter().rposition(|&open| open == vertex).expect("it is open until it gets a component");
        let members = self.open.split_off(first);
        let name = members.iter().copied().min().unwrap_or(vertex);
        members.into_iter().for_each(|member| self.components[member as usize] = name);
    }
}
