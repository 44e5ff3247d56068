//! Building a [`Csr`] from two columns: a radix partition, then sorting within partitions that fit the cache.
//!
//! Edges put straight into the slots of their sources would miss the cache, and the table of pages, nearly every time.
//! Instead:
//!
//! 1. Vertices are cut into at most [`PARTITIONS_MAX`] ranges of equal width, a power of two. Every thread counts the
//!    edges of its share of the table by the partition of their sources.
//! 2. Every thread copies its edges into its own place within each partition. Places are in the order of the threads'
//!    shares, so edges of a partition stay in the order of the table.
//! 3. Each partition is some thread's alone: it counts edges by source, which gives the offsets, puts them there as
//!    (target, edge) in one number of 64 bits, sorts the edges of each vertex and writes the two columns.
//!
//! All writes go to slices that only one thread has, cut off the columns beforehand: no locks and no atomics on the way
//! of an edge.

use crate::csr::Csr;
use crate::error::{Error, Result, Steps, Stop, check};
use crate::parallel;

/// So many streams can be written at once while their lines stay in the second cache.
const PARTITIONS_MAX: usize = 2048;
/// Narrower partitions would do nothing for small graphs.
const WIDTH_MIN: usize = 256;
/// A table with fewer edges is not worth a second thread.
const EDGES_PER_THREAD_MIN: usize = 1 << 16;
/// Edges between two looks at the clock.
const BATCH: usize = 1 << 14;

/// An edge on its way: its source within the partition, its target and its number.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    source: u32,
    target: u32,
    number: u32,
}

/// One partition's edges, and where their slots go.
struct Partition<'a> {
    /// Where its first slot is.
    start: u32,
    edges: &'a [Edge],
    offsets: &'a mut [u32],
    targets: &'a mut [u32],
    numbers: &'a mut [u32],
}

impl Csr {
    /// Edges `i` from `sources[i]` to `targets[i]` between `vertices` vertices. Swapped columns give the edges by
    /// target.
    pub fn build(vertices: u32, sources: &[u32], targets: &[u32], threads: usize, stop: Stop) -> Result<Csr> {
        assert_eq!(sources.len(), targets.len(), "an edge has a source and a target");
        if sources.len() > u32::MAX as usize {
            return Err(Error::TooManyEdges);
        }
        let threads = threads.clamp(1, (sources.len() / EDGES_PER_THREAD_MIN).max(1));
        let width = (vertices as usize).div_ceil(PARTITIONS_MAX).next_power_of_two().max(WIDTH_MIN);
        let shift = width.trailing_zeros();
        let partitions = (vertices as usize).div_ceil(width).max(1);
        let share = sources.len().div_ceil(threads).max(1);

        let counts = parallel::all(threads, |thread| {
            let from = (thread * share).min(sources.len());
            let to = (from + share).min(sources.len());
            count(vertices, &sources[from..to], &targets[from..to], from, shift, partitions, stop)
        })?;
        // `all` returns results in the order of the threads.
        let mut edges = vec![Edge::default(); sources.len()];
        let places = places(&mut edges, &counts, partitions);
        let tasks = places.into_iter().enumerate().collect();
        parallel::items(
            threads,
            tasks,
            || (),
            |_, (thread, mut places)| {
                let from = (thread * share).min(sources.len());
                let to = (from + share).min(sources.len());
                scatter(&sources[from..to], &targets[from..to], from, shift, &mut places, stop)
            },
        )?;

        let sizes = (0..partitions).map(|partition| counts.iter().map(|counts| counts[partition] as usize).sum());
        let mut csr = Csr {
            offsets: vec![0; vertices as usize + 1],
            targets: vec![0; sources.len()],
            edges: vec![0; sources.len()],
        };
        let tasks = cut(&mut csr, &edges, width, sizes);
        parallel::items(threads, tasks, || (), |_, partition| partition.sort(stop))?;
        Ok(csr)
    }
}

/// How many of a thread's edges each partition has. Edge `first` is the first of them.
fn count(
    vertices: u32,
    sources: &[u32],
    targets: &[u32],
    first: usize,
    shift: u32,
    partitions: usize,
    stop: Stop,
) -> Result<Vec<u32>> {
    let mut counts = vec![0; partitions];
    for (batch, (sources, targets)) in sources.chunks(BATCH).zip(targets.chunks(BATCH)).enumerate() {
        check(stop)?;
        let mut highest = 0;
        for (&source, &target) in sources.iter().zip(targets) {
            highest = highest.max(source).max(target);
            if let Some(count) = counts.get_mut((source >> shift) as usize) {
                *count += 1;
            }
        }
        if highest >= vertices {
            let is_unknown = |(&source, &target): (&u32, &u32)| source.max(target) >= vertices;
            let within = sources.iter().zip(targets).position(is_unknown).unwrap_or(0);
            return Err(Error::UnknownVertex { edge: (first + batch * BATCH + within) as u32 });
        }
    }
    Ok(counts)
}

/// Each thread's places within the partitions of `edges`.
fn places<'a>(
    mut edges: &'a mut [Edge],
    counts: &[Vec<u32>],
    partitions: usize,
) -> Vec<Vec<std::slice::IterMut<'a, Edge>>> {
    let mut places: Vec<Vec<_>> = counts.iter().map(|_| Vec::with_capacity(partitions)).collect();
    for partition in 0..partitions {
        for (counts, places) in counts.iter().zip(&mut places) {
            let place;
            (place, edges) = edges.split_at_mut(counts[partition] as usize);
            places.push(place.iter_mut());
        }
    }
    places
}

/// Puts a thread's edges into its places.
fn scatter(
    sources: &[u32],
    targets: &[u32],
    first: usize,
    shift: u32,
    places: &mut [std::slice::IterMut<Edge>],
    stop: Stop,
) -> Result<()> {
    let mask = (1 << shift) - 1;
    let mut number = first as u32;
    for (sources, targets) in sources.chunks(BATCH).zip(targets.chunks(BATCH)) {
        check(stop)?;
        for (&source, &target) in sources.iter().zip(targets) {
            let place = places[(source >> shift) as usize].next().expect("places are as large as was counted");
            *place = Edge { source: source & mask, target, number };
            number = number.wrapping_add(1);
        }
    }
    Ok(())
}

/// The partitions, each with its piece of the columns.
fn cut<'a>(
    csr: &'a mut Csr,
    mut edges: &'a [Edge],
    width: usize,
    sizes: impl Iterator<Item = usize>,
) -> Vec<Partition<'a>> {
    // The first offset is 0 and stays so.
    let mut offsets = csr.offsets[1..].chunks_mut(width);
    let (mut targets, mut numbers) = (&mut csr.targets[..], &mut csr.edges[..]);
    let mut start = 0;
    let mut partitions = Vec::new();
    for size in sizes {
        let (own_edges, own_targets, own_numbers);
        (own_edges, edges) = edges.split_at(size);
        (own_targets, targets) = targets.split_at_mut(size);
        (own_numbers, numbers) = numbers.split_at_mut(size);
        let offsets = offsets.next().unwrap_or_default();
        partitions.push(Partition { start, edges: own_edges, offsets, targets: own_targets, numbers: own_numbers });
        start += size as u32;
    }
    partitions
}

impl Partition<'_> {
    fn sort(self, stop: Stop) -> Result<()> {
        // First the number of edges of each vertex, then where the next one goes, which at last is where they end.
        let ends = self.offsets;
        for edge in self.edges {
            ends[edge.source as usize] += 1;
        }
        let mut next = 0;
        for end in ends.iter_mut() {
            let count = *end;
            *end = next;
            next += count;
        }
        let mut slots = vec![0u64; self.edges.len()];
        for edges in self.edges.chunks(BATCH) {
            check(stop)?;
            for edge in edges {
                let end = &mut ends[edge.source as usize];
                slots[*end as usize] = u64::from(edge.target) << 32 | u64::from(edge.number);
                *end += 1;
            }
        }
        let mut steps = Steps::new(stop);
        let mut from = 0;
        for end in ends.iter_mut() {
            let slots = &mut slots[from..*end as usize];
            steps.take(slots.len() as u32)?;
            slots.sort_unstable();
            from = *end as usize;
            *end += self.start;
        }
        for ((slot, target), number) in slots.iter().zip(self.targets).zip(self.numbers) {
            *target = (slot >> 32) as u32;
            *number = *slot as u32;
        }
        Ok(())
    }
}
