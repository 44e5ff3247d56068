//! Calling the algorithms.

use super::arguments::Arguments;
use super::errors::named;
use super::rows::vertex_columns;
use super::signature::{Argument, Function, has_representatives};
use crate::adjacency::{Adjacency, Masks, Weights, external};
use crate::pattern::Direction;
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::SchemaRef;
use lightning_csr::{
    Between, Dijkstra, NONE, Neighbourhood, PageRank, Sample, Search, Step, Stop, View, Yen, bellman_ford, between,
    lightest,
};
use lightning_sql::{Error, Result};
use std::sync::Arc;

/// Rows of a batch of the result.
const BATCH_ROWS: usize = 8192;
/// A search this shallow costs what it finds, not what the graph holds.
const SHALLOW_MAX: u32 = 3;
/// So few targets are searched for one by one, from both ends.
const FROM_BOTH_ENDS_MAX: usize = 64;
/// Edges that `graph_dot` draws unless asked for more.
const DRAWN_EDGES: u64 = 1000;

/// What a call needs while it runs.
pub(super) struct Run<'a> {
    pub(super) adjacency: &'a Adjacency,
    pub(super) arguments: &'a Arguments,
    pub(super) schema: &'a SchemaRef,
    pub(super) threads: usize,
    pub(super) stop: Stop<'a>,
    /// Takes batches; false when nobody wants more.
    pub(super) emit: &'a mut dyn FnMut(RecordBatch) -> bool,
}

impl Run<'_> {
    /// Runs the call.
    pub(super) fn run(mut self) -> Result<()> {
        let arguments = self.arguments;
        let masks = arguments.masks(self.adjacency)?;
        match arguments.function {
            Function::Bfs => self.bfs(&masks, arguments.count_32(Argument::MaxDepth)?.unwrap_or(NONE)),
            Function::Khop => self.bfs(&masks, arguments.count_32(Argument::K)?.unwrap_or(1)),
            Function::ShortestPath if !arguments.has(Argument::Target) => self.distances(&masks),
            Function::ShortestPath => self.shortest_paths(&masks, Every::First),
            Function::AllShortestPaths => self.shortest_paths(&masks, Every::All),
            Function::KShortestPaths => self.k_shortest_paths(&masks),
            Function::Mst => self.forest(&masks),
            Function::TopologicalSort => self.order(&masks),
            Function::Dot => self.dot(&masks),
            Function::Paths => self.paths(&masks),
            Function::Check => self.checked(),
            function => self.by_vertex(function, &masks),
        }
    }

    /// Views of the edges that are meant.
    fn views<'v>(&'v self, direction: Direction, masks: &'v [Masks]) -> (View<'v>, View<'v>) {
        self.adjacency.views(&self.arguments.which(direction), masks, &[])
    }

    /// Sends rows of vertices, with columns beside them that are made for each range of rows.
    fn send(
        &mut self,
        before: &dyn Fn(std::ops::Range<usize>) -> Vec<ArrayRef>,
        vertices: &[u32],
        after: &dyn Fn(std::ops::Range<usize>) -> Result<Vec<ArrayRef>>,
    ) -> Result<bool> {
        let mut start = 0;
        while start < vertices.len() {
            let range = start..(start + BATCH_ROWS).min(vertices.len());
            let mut columns = before(range.clone());
            columns.extend(vertex_columns(self.adjacency, &vertices[range.clone()])?);
            columns.extend(after(range.clone())?);
            if !(self.emit)(RecordBatch::try_new(self.schema.clone(), columns)?) {
                return Ok(false);
            }
            start = range.end;
        }
        Ok(true)
    }

    fn send_with(&mut self, vertices: &[u32], after: impl Fn(std::ops::Range<usize>) -> ArrayRef) -> Result<()> {
        self.send(&|_| vec![], vertices, &|range| Ok(vec![after(range)])).map(drop)
    }

    fn bfs(&mut self, masks: &[Masks], depth_max: u32) -> Result<()> {
        let direction = self.arguments.direction(Direction::Right)?;
        let sources = self.arguments.vertices(self.adjacency, Argument::Start)?;
        let (found, depths): (Vec<u32>, Vec<i64>) = {
            let (forward, reverse) = self.views(direction, masks);
            if depth_max <= SHALLOW_MAX {
                let mut near = Neighbourhood::new();
                let near = near.search(&forward, &sources, depth_max, self.stop).map_err(external)?;
                near.iter().map(|near| (near.vertex, i64::from(near.depth))).unzip()
            } else {
                let search = Search { depth_max, ..Search::from(&sources) };
                let depths =
                    lightning_csr::bfs(&forward, &reverse, search, self.threads, self.stop).map_err(external)?;
                let reached = (0u32..).zip(depths).filter(|(_, depth)| *depth != NONE);
                reached.map(|(vertex, depth)| (vertex, i64::from(depth))).unzip()
            }
        };
        self.send_with(&found, |range| Arc::new(Int64Array::from(depths[range].to_vec())))
    }

    /// What the edges weigh, by table; nothing when no column was named.
    fn weights(&self, masks: &[Masks]) -> Result<Vec<Weights>> {
        self.arguments.weights(self.adjacency, masks, self.threads, self.stop)
    }

    /// The distance of all vertices that can be reached.
    fn distances(&mut self, masks: &[Masks]) -> Result<()> {
        let direction = self.arguments.direction(Direction::Right)?;
        let sources = self.arguments.vertices(self.adjacency, Argument::Start)?;
        let weights = self.weights(masks)?;
        let depth_max = self.arguments.count_32(Argument::MaxDepth)?.unwrap_or(NONE);
        let distances: Vec<f64> = {
            let which = self.arguments.which(direction);
            let (forward, reverse) = self.adjacency.views(&which, masks, &weights);
            if weights.is_empty() {
                let search = Search { depth_max, ..Search::from(&sources) };
                let depths = lightning_csr::bfs(&forward, &reverse, search, self.threads, self.stop)
                    .map_err(|error| named(self.adjacency, &forward, error))?;
                let distance = |depth: u32| if depth == NONE { f64::INFINITY } else { f64::from(depth) };
                depths.into_iter().map(distance).collect()
            } else if has_negative(&weights) {
                bellman_ford(&forward, &sources, self.stop)
                    .map_err(|error| named(self.adjacency, &forward, error))?
                    .distances()
                    .to_vec()
            } else {
                let mut dijkstra = Dijkstra::new(forward.vertices);
                let tree = dijkstra
                    .search(&forward, &sources, None, f64::INFINITY, self.stop)
                    .map_err(|error| named(self.adjacency, &forward, error))?;
                tree.distances().to_vec()
            }
        };
        let (found, distances): (Vec<u32>, Vec<f64>) =
            (0u32..).zip(distances).filter(|(_, distance)| distance.is_finite()).unzip();
        self.send_with(&found, |range| Arc::new(Float64Array::from(distances[range].to_vec())))
    }

    /// Shortest paths from the start to each of the targets.
    fn shortest_paths(&mut self, masks: &[Masks], every: Every) -> Result<()> {
        let direction = self.arguments.direction(Direction::Right)?;
        let sources = self.arguments.vertices(self.adjacency, Argument::Start)?;
        let targets = self.arguments.vertices(self.adjacency, Argument::Target)?;
        let weights = self.weights(masks)?;
        let length_max = self.arguments.count_32(Argument::MaxDepth)?.unwrap_or(NONE);
        let adjacency = self.adjacency;
        let (which, stop) = (self.arguments.which(direction), self.stop);
        let (forward, reverse) = adjacency.views(&which, masks, &weights);
        let mut paths = Sender::new(self);
        for source in sources {
            if weights.is_empty() {
                for target in &targets {
                    let found = between(&forward, &reverse, source, *target, length_max, stop)
                        .map_err(|error| named(adjacency, &forward, error))?;
                    let found = found.as_ref().map(|found: &Between| found.paths(stop));
                    for path in found.into_iter().flatten() {
                        if !paths.send(source, &path.map_err(|error| named(adjacency, &forward, error))?)? {
                            return Ok(());
                        }
                        if every == Every::First {
                            break;
                        }
                    }
                }
            } else if has_negative(&weights) {
                if every == Every::All {
                    return Err(Error::unsupported("graph_all_shortest_paths with negative weights"));
                }
                let tree =
                    bellman_ford(&forward, &[source], stop).map_err(|error| named(adjacency, &forward, error))?;
                for path in targets.iter().filter_map(|target| tree.path(*target)) {
                    if !paths.send(source, &path)? {
                        return Ok(());
                    }
                }
            } else {
                if every == Every::First && targets.len() <= FROM_BOTH_ENDS_MAX {
                    for target in &targets {
                        let path = lightest(&forward, &reverse, source, *target, stop)
                            .map_err(|error| named(adjacency, &forward, error))?;
                        if let Some(path) = path
                            && !paths.send(source, &path.steps)?
                        {
                            return Ok(());
                        }
                    }
                    continue;
                }
                let mut dijkstra = Dijkstra::new(forward.vertices);
                let wanted = Some(targets.as_slice());
                dijkstra
                    .search(&forward, &[source], wanted, f64::INFINITY, stop)
                    .map_err(|error| named(adjacency, &forward, error))?;
                for target in &targets {
                    if every == Every::First {
                        if let Some(path) = dijkstra.tree().path(*target)
                            && !paths.send(source, &path)?
                        {
                            return Ok(());
                        }
                        continue;
                    }
                    let all =
                        dijkstra.paths(&reverse, *target, stop).map_err(|error| named(adjacency, &forward, error))?;
                    for path in all.into_iter().flatten() {
                        if !paths.send(source, &path.map_err(|error| named(adjacency, &forward, error))?)? {
                            return Ok(());
                        }
                    }
                }
            }
        }
        paths.finish()
    }

    fn k_shortest_paths(&mut self, masks: &[Masks]) -> Result<()> {
        let direction = self.arguments.direction(Direction::Right)?;
        let sources = self.arguments.vertices(self.adjacency, Argument::Start)?;
        let targets = self.arguments.vertices(self.adjacency, Argument::Target)?;
        let weights = self.weights(masks)?;
        let count = self.arguments.positive(Argument::K)?.unwrap_or(1) as usize;
        let (adjacency, which, stop) = (self.adjacency, self.arguments.which(direction), self.stop);
        let (forward, reverse) = adjacency.views(&which, masks, &weights);
        let mut paths = Sender::new(self);
        for source in sources {
            for target in &targets {
                let yen = Yen::new(&forward, &reverse, source, *target, stop)
                    .map_err(|error| named(adjacency, &forward, error))?;
                for path in yen.take(count) {
                    if !paths.send(source, &path.map_err(|error| named(adjacency, &forward, error))?.steps)? {
                        return Ok(());
                    }
                }
            }
        }
        paths.finish()
    }

    /// Functions that give a value for each vertex.
    fn by_vertex(&mut self, function: Function, masks: &[Masks]) -> Result<()> {
        let vertices = self.adjacency.vertices();
        let weights = self.weights(masks)?;
        let values = self.values(function, masks, &weights)?;
        let graph = self.adjacency.graph().clone();
        let adjacency = self.adjacency;
        let after = |range: std::ops::Range<usize>| -> Result<Vec<ArrayRef>> {
            let of = &vertices[range];
            Ok(match &values {
                Values::Whole(values) => {
                    vec![Arc::new(Int64Array::from_iter_values(of.iter().map(|v| values[*v as usize])))]
                }
                Values::Real(values) => {
                    vec![Arc::new(Float64Array::from_iter_values(of.iter().map(|v| values[*v as usize])))]
                }
                Values::Groups(values) => {
                    let named: Vec<u32> = of.iter().map(|vertex| values[*vertex as usize]).collect();
                    match has_representatives(&graph) {
                        true => vertex_columns(adjacency, &named)?,
                        false => vec![Arc::new(Int64Array::from_iter_values(named.into_iter().map(i64::from)))],
                    }
                }
            })
        };
        self.send(&|_| vec![], &vertices, &after).map(drop)
    }

    fn values(&self, function: Function, masks: &[Masks], weights: &[Weights]) -> Result<Values> {
        let (arguments, threads, stop) = (self.arguments, self.threads, self.stop);
        let direction = match function {
            Function::Louvain => Direction::Any,
            Function::Degree => arguments.direction(Direction::Any)?,
            _ => arguments.direction(Direction::Right)?,
        };
        let which = arguments.which(direction);
        let (forward, reverse) = self.adjacency.views(&which, masks, weights);
        let values = match function {
            Function::PageRank => {
                let default = PageRank::default();
                let options = PageRank {
                    damping: arguments.real(Argument::Damping, 0.0..=1.0)?.unwrap_or(default.damping),
                    tolerance: arguments.real(Argument::Tolerance, 0.0..=f64::INFINITY)?.unwrap_or(default.tolerance),
                    iterations_max: arguments.count_32(Argument::MaxIterations)?.unwrap_or(default.iterations_max),
                };
                lightning_csr::pagerank(&forward, &reverse, options, threads, stop)
                    .map(|ranks| Values::Real(ranks.ranks))
            }
            Function::Wcc => lightning_csr::wcc(&forward, &reverse, threads, stop).map(Values::Groups),
            Function::Scc => lightning_csr::scc(&forward, &reverse, threads, stop).map(Values::Groups),
            Function::Triangles => lightning_csr::triangles(&forward, &reverse, threads, stop)
                .map(|found| Values::Whole(found.counts.into_iter().map(|count| count as i64).collect())),
            Function::Lcc => lightning_csr::lcc(&forward, &reverse, threads, stop).map(Values::Real),
            Function::Cdlp => {
                let iterations = arguments.count_32(Argument::Iterations)?.unwrap_or(10);
                lightning_csr::cdlp(&forward, &reverse, iterations, threads, stop).map(Values::Groups)
            }
            Function::Louvain => {
                let resolution = arguments.real(Argument::Resolution, 0.0..=f64::INFINITY)?.unwrap_or(1.0);
                let found = lightning_csr::louvain(&forward, &reverse, resolution, stop);
                found.map(|found| Values::Groups(found.names))
            }
            Function::Degree => Ok(Values::Whole(forward.degrees(threads).into_iter().map(i64::from).collect())),
            Function::Betweenness => {
                let seed = arguments.count(Argument::Seed)?.unwrap_or(0);
                let sample = arguments.count_32(Argument::Samples)?.map(|sources| Sample { sources, seed });
                lightning_csr::betweenness(&forward, sample, threads, stop).map(Values::Real)
            }
            other => return Err(Error::unsupported(other.name())),
        };
        values.map_err(|error| named(self.adjacency, &forward, error))
    }

    /// Vertices in topological order.
    fn order(&mut self, masks: &[Masks]) -> Result<()> {
        let order = {
            let (forward, _) = self.views(Direction::Right, masks);
            let order = lightning_csr::topological_order(&forward, self.stop);
            order.map_err(|error| named(self.adjacency, &forward, error))?
        };
        let order: Vec<u32> = order.into_iter().filter(|vertex| self.adjacency.is_live(*vertex)).collect();
        self.send_with(&order, |range| Arc::new(Int64Array::from_iter_values(range.map(|place| place as i64))))
    }

    /// The edges of a minimum spanning forest.
    fn forest(&mut self, masks: &[Masks]) -> Result<()> {
        let weights = self.weights(masks)?;
        let branches = {
            let which = self.arguments.which(Direction::Right);
            let (forward, _) = self.adjacency.views(&which, masks, &weights);
            lightning_csr::minimum_spanning_forest(&forward, self.stop)
                .map_err(|error| named(self.adjacency, &forward, error))?
        };
        for branches in branches.chunks(BATCH_ROWS) {
            let ends = |of: &dyn Fn(&lightning_csr::Branch) -> u32| {
                vertex_columns(self.adjacency, &branches.iter().map(of).collect::<Vec<_>>())
            };
            let mut columns = ends(&|branch| branch.source)?;
            columns.extend(ends(&|branch| branch.step.vertex)?);
            columns.push(Arc::new(Float64Array::from_iter_values(branches.iter().map(|branch| branch.weight))));
            if !(self.emit)(RecordBatch::try_new(self.schema.clone(), columns)?) {
                break;
            }
        }
        Ok(())
    }

    /// The graph was read, so it is as it should be.
    fn checked(&mut self) -> Result<()> {
        let column: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        (self.emit)(RecordBatch::try_new(self.schema.clone(), vec![column])?);
        Ok(())
    }

    /// The graph, or what is near some vertices, in the language of Graphviz.
    fn dot(&mut self, masks: &[Masks]) -> Result<()> {
        let direction = self.arguments.direction(Direction::Right)?;
        let depth_max = self.arguments.count_32(Argument::MaxDepth)?.unwrap_or(2);
        let limit = self.arguments.count(Argument::Limit)?.unwrap_or(DRAWN_EDGES) as usize;
        let mut lines = vec![format!("digraph {} {{", quoted(&self.adjacency.graph().name))];
        {
            let (forward, _) = self.views(direction, masks);
            let drawn: Vec<u32> = if self.arguments.has(Argument::Start) {
                let sources = self.arguments.vertices(self.adjacency, Argument::Start)?;
                let mut near = Neighbourhood::new();
                let near = near.search(&forward, &sources, depth_max, self.stop).map_err(external)?;
                near.iter().map(|near| near.vertex).collect()
            } else {
                self.adjacency.vertices()
            };
            let is_drawn: std::collections::HashSet<u32> = drawn.iter().copied().collect();
            let mut edges: Vec<(u32, u32, usize)> = vec![];
            let (plain, _) = self.views(Direction::Right, masks);
            'all: for vertex in &drawn {
                for step in plain.steps(*vertex).filter(|step| is_drawn.contains(&step.vertex)) {
                    if edges.len() == limit {
                        break 'all;
                    }
                    edges.push((*vertex, step.vertex, Adjacency::edge_row(&plain, step).table));
                }
            }
            let mut shown: Vec<u32> = edges.iter().flat_map(|edge| [edge.0, edge.1]).collect();
            if shown.is_empty() {
                shown = drawn.into_iter().take(limit).collect();
            }
            shown.sort_unstable();
            shown.dedup();
            let names = vertex_columns(self.adjacency, &shown)?;
            let text = |column: &ArrayRef, row| arrow::util::display::array_value_to_string(column, row);
            for (row, vertex) in shown.iter().enumerate() {
                let name = names.iter().map(|column| text(column, row)).collect::<std::result::Result<Vec<_>, _>>()?;
                lines.push(format!("  v{vertex} [label={}];", quoted(&name.join(" "))));
            }
            for (from, to, table) in edges {
                let label = &self.adjacency.graph().edges[table].element.name;
                lines.push(format!("  v{from} -> v{to} [label={}];", quoted(label)));
            }
        }
        lines.push("}".to_owned());
        let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(lines));
        (self.emit)(RecordBatch::try_new(self.schema.clone(), vec![column])?);
        Ok(())
    }
}

/// A name as Graphviz reads it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn has_negative(weights: &[Weights]) -> bool {
    weights.iter().any(|weights| weights.has_negative)
}

/// A value for each vertex.
enum Values {
    Whole(Vec<i64>),
    Real(Vec<f64>),
    /// A vertex of the same group.
    Groups(Vec<u32>),
}

/// How many of the shortest paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    First,
    All,
}

/// Sends paths, a row for each vertex.
struct Sender<'a, 'r> {
    run: &'a mut Run<'r>,
    paths: i64,
    path_ids: Vec<i64>,
    steps: Vec<i64>,
    vertices: Vec<u32>,
}

impl<'a, 'r> Sender<'a, 'r> {
    fn new(run: &'a mut Run<'r>) -> Sender<'a, 'r> {
        Sender { run, paths: 0, path_ids: vec![], steps: vec![], vertices: vec![] }
    }

    /// Sends a path; false when nobody wants more.
    fn send(&mut self, source: u32, path: &[Step]) -> Result<bool> {
        self.paths += 1;
        for (number, vertex) in (0i64..).zip(std::iter::once(source).chain(path.iter().map(|step| step.vertex))) {
            self.path_ids.push(self.paths);
            self.steps.push(number);
            self.vertices.push(vertex);
        }
        if self.vertices.len() >= BATCH_ROWS { self.flush() } else { Ok(true) }
    }

    fn flush(&mut self) -> Result<bool> {
        let (path_ids, steps) = (std::mem::take(&mut self.path_ids), std::mem::take(&mut self.steps));
        let before = |range: std::ops::Range<usize>| -> Vec<ArrayRef> {
            let of = |values: &[i64]| Arc::new(Int64Array::from(values[range.clone()].to_vec())) as ArrayRef;
            vec![of(&path_ids), of(&steps)]
        };
        self.run.send(&before, &std::mem::take(&mut self.vertices), &|_| Ok(vec![]))
    }

    fn finish(mut self) -> Result<()> {
        self.flush().map(drop)
    }
}
