//! Triangles: three vertices each of which is a neighbour of the others; and how clustered neighbours are.
//!
//! Directions, loops and parallel edges do not count: first, the neighbours of each vertex in either direction are
//! merged. Of these, each vertex keeps those of higher rank, where rank is by number of neighbours: a hub keeps few,
//! nobody more than the square root of twice the number of edges (Chiba and Nishizeki 1985). A triangle is then found
//! exactly once, from its lowest vertex: mark who that one keeps, and look who of the marked is kept by one of them.
//!
//! The local clustering coefficient is LDBC Graphalytics': the number of *directed* edges between neighbours of a
//! vertex, of which parallel ones count once, divided by how many there could be. Neighbours joined both ways count
//! twice, so every pair carries its number of directions along; in an undirected graph, whose views have every edge
//! both ways, the usual coefficient comes out.

use crate::error::{Result, Steps, Stop};
use crate::parallel;
use crate::view::{Adjacency, GRAIN, View};

/// Vertices of low rank that a thread claims at once: a few can be much work.
const GRAIN_FIND: usize = 256;

/// Triangles of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triangles {
    /// How many there are.
    pub total: u64,
    /// In how many each vertex is.
    pub counts: Vec<u64>,
}

/// Counts triangles.
pub fn triangles(forward: &View, reverse: &View, threads: usize, stop: Stop) -> Result<Triangles> {
    let graph = Upward::new(forward, reverse, threads, stop)?;
    let counts = graph.sums(threads, stop, |_| 1)?;
    Ok(Triangles { total: counts.iter().sum::<u64>() / 3, counts })
}

/// The local clustering coefficient of each vertex; 0 with fewer than two neighbours.
pub fn lcc(forward: &View, reverse: &View, threads: usize, stop: Stop) -> Result<Vec<f64>> {
    let graph = Upward::new(forward, reverse, threads, stop)?;
    let sums = graph.sums(threads, stop, u64::from)?;
    let coefficient = |(sum, &degree): (u64, &u32)| {
        let degree = f64::from(degree);
        if degree < 2.0 { 0.0 } else { sum as f64 / (degree * (degree - 1.0)) }
    };
    Ok(sums.into_iter().zip(&graph.degrees).map(coefficient).collect())
}

/// The neighbours of higher rank of each vertex.
struct Upward {
    /// The number of neighbours of each vertex.
    degrees: Vec<u32>,
    offsets: Vec<usize>,
    targets: Vec<u32>,
    /// In how many directions there are edges: 1 or 2.
    directions: Vec<u8>,
}

impl Upward {
    fn new(forward: &View, reverse: &View, threads: usize, stop: Stop) -> Result<Upward> {
        let vertices = forward.vertices as usize;
        let mut degrees = vec![0u32; vertices];
        let tasks = degrees.chunks_mut(GRAIN).enumerate().collect();
        parallel::items(
            threads,
            tasks,
            || Merge::new(forward, reverse, stop),
            |merge, (chunk, degrees)| {
                for (vertex, degree) in (chunk * GRAIN..).zip(degrees) {
                    *degree = merge.neighbours(vertex as u32)?.len() as u32;
                }
                Ok(())
            },
        )?;
        let is_higher = |a: u32, b: u32| (degrees[a as usize], a) > (degrees[b as usize], b);
        let pieces = parallel::ranges(threads, vertices, GRAIN, Vec::new, |own: &mut Vec<_>, range| {
            let mut merge = Merge::new(forward, reverse, stop);
            let mut piece = Upward { degrees: vec![], offsets: vec![], targets: vec![], directions: vec![] };
            let start = range.start;
            for vertex in range {
                let higher = merge.neighbours(vertex as u32)?.iter().filter(|near| is_higher(near.0, vertex as u32));
                for &(target, directions) in higher {
                    piece.targets.push(target);
                    piece.directions.push(directions);
                }
                piece.offsets.push(piece.targets.len());
            }
            own.push((start, piece));
            Ok(())
        })?;
        let mut pieces: Vec<(usize, Upward)> = pieces.into_iter().flatten().collect();
        pieces.sort_unstable_by_key(|piece| piece.0);
        let mut graph = Upward { degrees: vec![], offsets: vec![0], targets: vec![], directions: vec![] };
        for (_, piece) in pieces {
            let first = graph.targets.len();
            graph.offsets.extend(piece.offsets.iter().map(|offset| first + offset));
            graph.targets.extend(piece.targets);
            graph.directions.extend(piece.directions);
        }
        graph.degrees = degrees;
        Ok(graph)
    }

    fn neighbours(&self, vertex: u32) -> impl Iterator<Item = (u32, u8)> {
        let slots = self.offsets[vertex as usize]..self.offsets[vertex as usize + 1];
        self.targets[slots.clone()].iter().copied().zip(self.directions[slots].iter().copied())
    }

    /// For each vertex, the sum over its triangles of what the edges opposite to it are worth by their directions.
    fn sums(&self, threads: usize, stop: Stop, worth: impl Fn(u8) -> u64 + Sync) -> Result<Vec<u64>> {
        let vertices = self.degrees.len();
        let state = || (vec![0u64; vertices], vec![0u8; vertices], Steps::new(stop));
        let sums = parallel::ranges(threads, vertices, GRAIN_FIND, state, |(sums, marks, steps), range| {
            for low in range {
                self.neighbours(low as u32).for_each(|(near, directions)| marks[near as usize] = directions);
                for (middle, low_middle) in self.neighbours(low as u32) {
                    steps.take(1 + (self.offsets[middle as usize + 1] - self.offsets[middle as usize]) as u32)?;
                    let (mut low_sum, mut middle_sum) = (0, 0);
                    for (high, middle_high) in self.neighbours(middle) {
                        let low_high = marks[high as usize];
                        if low_high != 0 {
                            low_sum += worth(middle_high);
                            middle_sum += worth(low_high);
                            sums[high as usize] += worth(low_middle);
                        }
                    }
                    sums[low] += low_sum;
                    sums[middle as usize] += middle_sum;
                }
                self.neighbours(low as u32).for_each(|(near, _)| marks[near as usize] = 0);
            }
            Ok(())
        })?;
        let mut sums = sums.into_iter().map(|(sums, ..)| sums);
        let mut total = sums.next().expect("there is at least one thread");
        sums.for_each(|sums| total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum));
        Ok(total)
    }
}

/// Neighbours in either direction, each once.
struct Merge<'a> {
    forward: &'a View<'a>,
    reverse: &'a View<'a>,
    steps: Steps<'a>,
    /// A neighbour and the direction, which is 1 or 2.
    ends: Vec<(u32, u8)>,
    merged: Vec<(u32, u8)>,
}

impl<'a> Merge<'a> {
    fn new(forward: &'a View<'a>, reverse: &'a View<'a>, stop: Stop<'a>) -> Merge<'a> {
        Merge { forward, reverse, steps: Steps::new(stop), ends: Vec::new(), merged: Vec::new() }
    }

    /// The neighbours of `vertex`, ascending, and in how many directions there are edges.
    fn neighbours(&mut self, vertex: u32) -> Result<&[(u32, u8)]> {
        self.ends.clear();
        self.merged.clear();
        self.ends.extend(self.forward.neighbours(vertex).map(|neighbour| (neighbour, 1)));
        self.ends.extend(self.reverse.neighbours(vertex).map(|neighbour| (neighbour, 2)));
        self.steps.take(1 + self.ends.len() as u32)?;
        // Finds the runs that each part of a view is, and merges them.
        self.ends.sort();
        self.ends.dedup();
        for &(neighbour, _) in &self.ends {
            match self.merged.last_mut() {
                _ if neighbour == vertex => {}
                Some((last, directions)) if *last == neighbour => *directions += 1,
                _ => self.merged.push((neighbour, 1)),
            }
        }
        Ok(&self.merged)
    }
}
